import type { Duplex } from 'node:stream';
import { formatIp, parseIp } from '../address/index.ts';
import { dial, startDeadline } from '../http/index.ts';
import type { AccessLog, AccessRecord } from './access-log.ts';
import { type Destination, DestinationPolicy, type DestinationRules } from './destination.ts';
import { asProxyError, type ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import { Job } from './job.ts';
import { type Route, Router, type RoutingOptions } from './router.ts';
import { type Admission, type UserSpec, Users } from './users.ts';

export interface Timeouts {
  /** For a client's request or greeting to be complete, in ms. Default is 10 s. */
  readonly request: number;
  /** For a connection to the destination, its name's look-up included, in ms. Default is 20 s. */
  readonly connect: number;
  /** How long a tunnel may be silent, in ms. Default is 10 minutes. */
  readonly idle: number;
}

export const TIMEOUTS: Timeouts = { request: 10_000, connect: 20_000, idle: 600_000 };

/** What a running proxy is made of; a reload replaces it whole. */
export interface ServiceParts {
  readonly users: readonly UserSpec[];
  readonly exits: readonly Exit[];
  readonly routing: RoutingOptions;
  readonly destinations: DestinationRules;
  readonly timeouts: Timeouts;
}

/** What every protocol of the proxy does: admit, route, connect, charge, report. */
export class ProxyService {
  readonly users: Users;
  readonly router: Router;
  readonly #log: AccessLog;
  readonly #own: () => Iterable<string>;
  #policy: DestinationPolicy;
  #timeouts: Timeouts;
  readonly #answers = new Map<string, number>();

  /** @param own The machine's own addresses; exits' are added to them. */
  constructor(parts: ServiceParts, own: () => Iterable<string>, log: AccessLog) {
    this.users = new Users(parts.users);
    this.router = new Router(parts.exits, parts.routing);
    this.#log = log;
    this.#own = own;
    this.#policy = this.#policyOf(parts.destinations);
    this.#timeouts = parts.timeouts;
  }

  get timeouts(): Timeouts {
    return this.#timeouts;
  }

  /** Requests so far by protocol and status, as `connect 200`. */
  get answers(): ReadonlyMap<string, number> {
    return this.#answers;
  }

  /** Takes another configuration over. Open connections go on as they began. */
  replace(parts: ServiceParts): void {
    const policy = this.#policyOf(parts.destinations);
    this.users.replace(parts.users);
    this.router.replace(parts.exits, parts.routing);
    this.#policy = policy;
    this.#timeouts = parts.timeouts;
  }

  /** A request that got no further than its first words. */
  reject(client: string, protocol: AccessRecord['protocol'], status: number, error: unknown): void {
    const about = { client, protocol, admission: undefined, destination: undefined };
    new Job(
      about,
      (record) => this.#report(record),
      (user) => user,
    ).finish(status, error);
  }

  /** @throws ProxyError `BW_PROXY_LIMIT` when the user may have no more; that is reported. */
  begin(
    client: string,
    protocol: AccessRecord['protocol'],
    admission: Admission,
    destination: Destination | undefined,
  ): Job {
    const user = this.users.current(admission.user);
    try {
      user.admit();
    } catch (error) {
      this.reject(client, protocol, asProxyError(error).status, error);
      throw error;
    }
    return new Job(
      { client, protocol, admission, destination },
      (record) => this.#report(record),
      (of) => this.users.current(of),
    );
  }

  /** Chooses the job's exit. @throws ProxyError */
  route(job: Job): Exit {
    if (job.admission === undefined) throw new TypeError('only an admitted job is routed');
    const route: Route = this.router.route(job.admission, job.client, performance.now());
    job.route = route;
    route.exit.requests++;
    return route.exit;
  }

  /**
   * Connects a job to its destination by its exit; by another one when that turns out to be down and the job is
   * bound to none.
   *
   * @throws ProxyError
   */
  async connect(job: Job, signal?: AbortSignal): Promise<Duplex> {
    const { destination } = job;
    if (destination === undefined) throw new TypeError('only a job with a destination is connected');
    this.judge(destination);
    for (let attempt = 1; ; attempt++) {
      const exit = this.route(job);
      const limit = startDeadline(this.#timeouts.connect, 'the connection');
      try {
        const stream = await dial(exit.line, destination.host, destination.port, {
          signal: signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal]),
          judge: (address) => this.judgeAddress(address),
          // What a client has ended may still be answered.
          allowHalfOpen: true,
        });
        exit.worked();
        return stream;
      } catch (error) {
        const failure = this.failure(error, exit);
        if (attempt === ATTEMPTS || job.route?.free !== true || exit.usable) throw failure;
      } finally {
        limit.clear();
      }
    }
  }

  /** What a failed connection means, and notes what it says about the exit. */
  failure(error: unknown, exit: Exit): ProxyError {
    if (EXIT_FAILURES.has(String((error as { code?: unknown } | undefined)?.code))) {
      exit.failed(error instanceof Error ? error.message : String(error));
    }
    return asProxyError(error);
  }

  /** @throws ProxyError `BW_PROXY_DESTINATION` */
  judge(destination: Destination): void {
    this.#policy.judge(destination);
  }

  /** @throws ProxyError `BW_PROXY_DESTINATION` */
  judgeAddress(address: string): void {
    this.#policy.judgeAddress(parseIp(address));
  }

  #policyOf(rules: DestinationRules): DestinationPolicy {
    return new DestinationPolicy(rules, () => this.#ownAddresses());
  }

  *#ownAddresses(): Generator<string> {
    for (const exit of this.router.exits) {
      for (const address of exit.line.addresses) yield formatIp(parseIp(address).bytes);
    }
    yield* this.#own();
  }

  #report(record: AccessRecord): void {
    const key = `${record.protocol} ${record.status}`;
    this.#answers.set(key, (this.#answers.get(key) ?? 0) + 1);
    this.#log(record);
  }
}

const ATTEMPTS = 3;
/** What says that the line is at fault, not the destination. */
const EXIT_FAILURES = new Set(['ENETDOWN', 'ENODEV', 'EADDRNOTAVAIL', 'BW_LINE_DOWN']);
