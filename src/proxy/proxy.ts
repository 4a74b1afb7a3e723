import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Line, RotatingLine } from '../http/index.ts';
import type { AccessLog } from './access-log.ts';
import type { DestinationRules } from './destination.ts';
import { Exit, type ExitOptions } from './exit.ts';
import { Front } from './front.ts';
import { HealthChecks, type HealthOptions } from './health.ts';
import { ownAddresses } from './own-addresses.ts';
import type { RoutingOptions } from './router.ts';
import { ProxyService, type ServiceParts, TIMEOUTS, type Timeouts } from './service.ts';
import type { UserSpec } from './users.ts';

export interface ListenAddress {
  /** Default is `127.0.0.1`: a proxy that the world may use is somebody's explicit wish. */
  readonly host?: string;
  readonly port: number;
}

/** What a reload can change. */
export interface ProxySettings {
  readonly users: readonly UserSpec[];
  readonly routing?: RoutingOptions;
  readonly destinations?: DestinationRules;
  readonly timeouts?: Partial<Timeouts>;
  readonly exit?: ExitOptions;
}

export interface ProxyOptions extends ProxySettings {
  readonly listen: ListenAddress;
  readonly lines: readonly (Line | RotatingLine)[];
  /** Default is none: a line says itself whether it is up. */
  readonly health?: HealthOptions;
  /** Connections of clients at a time. Default is 20,000. */
  readonly maxClients?: number;
  /** Called with each finished request. */
  readonly log?: AccessLog;
}

/**
 * An HTTP and SOCKS5 proxy whose ways out are lines.
 *
 * @example
 * await using proxy = await ExitProxy.listen({
 *   listen: { port: 8080 },
 *   users: [{ name: 'local', from: ['127.0.0.0/8'] }],
 *   lines: pool.sessions,
 * });
 */
export class ExitProxy implements AsyncDisposable {
  readonly service: ProxyService;
  readonly #front: Front;
  readonly #health: HealthChecks | undefined;
  #lines: readonly (Line | RotatingLine)[];
  #exits: readonly Exit[];

  private constructor(options: ProxyOptions) {
    this.#lines = options.lines;
    this.#exits = options.lines.map((line) => new Exit(line, options.exit));
    this.service = new ProxyService(this.#parts(options), ownAddresses(), options.log ?? (() => undefined));
    this.#front = new Front(this.service, options.maxClients ?? 20_000);
    this.#health = options.health === undefined ? undefined : new HealthChecks(options.health);
    this.#health?.watch(this.#exits);
  }

  /** @throws ArgumentError for settings that cannot be; Node's error when the port is taken. */
  static async listen(options: ProxyOptions): Promise<ExitProxy> {
    const proxy = new ExitProxy(options);
    const { server } = proxy.#front;
    const { host = '127.0.0.1', port } = options.listen;
    try {
      server.listen({ host, port, backlog: 4096 });
      await once(server, 'listening');
    } catch (error) {
      proxy.#health?.stop();
      throw error;
    }
    return proxy;
  }

  get address(): AddressInfo {
    return this.#front.server.address() as AddressInfo;
  }

  get exits(): readonly Exit[] {
    return this.#exits;
  }

  /** Connections of clients that are open. */
  get clients(): number {
    return this.#front.clients;
  }

  /**
   * Takes new settings over, and lines that came or went. Open connections go on, those through a line that went as
   * well: its exit takes no new ones and is to be retired.
   *
   * @returns The exits that went.
   * @throws ArgumentError for settings that cannot be; then nothing has changed.
   */
  reload(settings: ProxySettings, lines: readonly (Line | RotatingLine)[] = this.#lines): readonly Exit[] {
    const exits = lines.map(
      (line) => this.#exits.find((exit) => exit.line === line) ?? new Exit(line, settings.exit),
    );
    this.service.replace({ ...this.#parts(settings), exits });
    const gone = this.#exits.filter((exit) => !exits.includes(exit));
    this.#exits = exits;
    this.#lines = lines;
    this.#health?.watch(exits);
    return gone;
  }

  /** @param grace How long open connections may go on, in ms. Default is 0. */
  async close(grace = 0): Promise<void> {
    this.#health?.stop();
    await this.#front.close(grace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #parts(settings: ProxySettings): ServiceParts {
    return {
      users: settings.users,
      exits: this.#exits,
      routing: settings.routing ?? {},
      destinations: settings.destinations ?? {},
      timeouts: { ...TIMEOUTS, ...settings.timeouts },
    };
  }
}
