import type { AccessRecord } from './access-log.ts';
import { describeError } from './access-log.ts';
import type { Destination } from './destination.ts';
import type { ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import type { Route } from './router.ts';
import type { Admission, User } from './users.ts';

/** One request from admission to its last byte: what it used, and who is charged for it. */
export class Job {
  readonly client: string;
  readonly protocol: AccessRecord['protocol'];
  readonly admission: Admission | undefined;
  readonly destination: Destination | undefined;
  route: Route | undefined;
  bytesUp = 0;
  bytesDown = 0;
  readonly #began = performance.now();
  readonly #time = new Date();
  readonly #report: (record: AccessRecord) => void;
  readonly #current: (user: User) => User;
  #release: (() => void) | undefined;
  #end: ((reason: ProxyError) => void) | undefined;
  #done = false;

  constructor(
    about: Pick<Job, 'client' | 'protocol' | 'admission' | 'destination'>,
    report: (record: AccessRecord) => void,
    current: (user: User) => User,
  ) {
    this.client = about.client;
    this.protocol = about.protocol;
    this.admission = about.admission;
    this.destination = about.destination;
    this.#report = report;
    this.#current = current;
  }

  get user(): User | undefined {
    return this.admission === undefined ? undefined : this.#current(this.admission.user);
  }

  get exit(): Exit | undefined {
    return this.route?.exit;
  }

  /** @param end Ends it before its time: its exit changes its address, or its user has had enough. */
  hold(end: (reason: ProxyError) => void): void {
    this.#release?.();
    this.#release = this.exit?.hold(end);
    this.#end = end;
  }

  /** Charges bytes towards the exit. @returns How long to hold still, in ms. */
  up(bytes: number): number {
    this.bytesUp += bytes;
    const { user, exit } = this;
    if (exit !== undefined) exit.bytesUp += bytes;
    if (user !== undefined) user.bytesUp += bytes;
    return this.#charge(user, bytes);
  }

  /** Charges bytes towards the client. @returns How long to hold still, in ms. */
  down(bytes: number): number {
    this.bytesDown += bytes;
    const { user, exit } = this;
    if (exit !== undefined) exit.bytesDown += bytes;
    if (user !== undefined) user.bytesDown += bytes;
    return this.#charge(user, bytes);
  }

  /** Says what became of it, once; later calls say nothing. */
  finish(status: number, error?: unknown): void {
    if (this.#done) return;
    this.#done = true;
    this.#release?.();
    const { user, exit } = this;
    if (user !== undefined) user.connections--;
    if (error !== undefined && exit !== undefined) exit.failures++;
    this.#report({
      time: this.#time.toISOString(),
      client: this.client,
      protocol: this.protocol,
      user: user?.name,
      session: this.admission?.wishes.session,
      destination: this.destination === undefined ? undefined : formatDestination(this.destination),
      exit: exit?.name,
      address: exit?.address,
      status,
      bytesUp: this.bytesUp,
      bytesDown: this.bytesDown,
      duration: Math.round(performance.now() - this.#began),
      error: error === undefined ? undefined : describeError(error),
    });
  }

  #charge(user: User | undefined, bytes: number): number {
    const binding = this.route?.binding;
    if (binding !== undefined) binding.bytesLeft -= bytes;
    const exhausted = user?.exhausted;
    if (exhausted !== undefined) this.#end?.(exhausted);
    return user?.rate === undefined ? 0 : user.rate.take(bytes, performance.now());
  }
}

/** `host:port`, IPv6 in brackets. */
export function formatDestination({ host, port }: Destination): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
