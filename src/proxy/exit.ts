import type { Line, RotatingLine } from '../http/index.ts';
import { ProxyError } from './error.ts';

/**
 * `up` takes requests; `draining` finishes what it has; `down` failed its check and is tried again; `changing` is
 * getting another address.
 */
export type ExitState = 'up' | 'draining' | 'down' | 'changing';

/** What a change of address gave. */
export interface Rotation {
  readonly exit: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface ExitOptions {
  /** How long open connections may go on before a change of address ends them, in ms. Default is 10 s. */
  readonly drain?: number;
  /** Between two changes of address, at least, in ms. Default is 60 s. */
  readonly minimumInterval?: number;
}

/** In ms. */
const LONGEST_DOWN = 60_000;

/** One way out of the proxy: a line, whether it works, and what goes through it. */
export class Exit {
  readonly line: Line | RotatingLine;
  readonly #drainTime: number;
  readonly #minimumInterval: number;
  #state: ExitState = 'up';
  /** When an exit that is down may be tried again by a request, on the clock of `performance.now()`. */
  #downUntil = Number.POSITIVE_INFINITY;
  #failuresInRow = 0;
  #lastRotation = Number.NEGATIVE_INFINITY;
  #rotating: Promise<Rotation> | undefined;
  /** Ends each open connection. */
  readonly #open = new Set<(reason: ProxyError) => void>();
  #onIdle: (() => void) | undefined;

  requests = 0;
  failures = 0;
  bytesUp = 0;
  bytesDown = 0;
  /** Of the last check or connection that failed. */
  lastError: string | undefined;
  /** Of the last check, in ms. */
  latency: number | undefined;

  constructor(line: Line | RotatingLine, options: ExitOptions = {}) {
    this.line = line;
    this.#drainTime = options.drain ?? 10_000;
    this.#minimumInterval = options.minimumInterval ?? 60_000;
  }

  get name(): string {
    return this.line.name;
  }

  /** Its first address, IPv4 before IPv6, as logs and headers show it. */
  get address(): string | undefined {
    const { addresses } = this.line;
    return addresses.find((text) => text.includes('.')) ?? addresses[0];
  }

  get state(): ExitState {
    if (this.#state === 'down' && performance.now() >= this.#downUntil) this.#state = 'up';
    return this.#state === 'up' && this.line.addresses.length === 0 ? 'down' : this.#state;
  }

  get usable(): boolean {
    return this.state === 'up';
  }

  get connections(): number {
    return this.#open.size;
  }

  get canRotate(): boolean {
    return 'redial' in this.line;
  }

  /** Notes an open connection. @param end Ends it. @returns To be called when it is closed. */
  hold(end: (reason: ProxyError) => void): () => void {
    this.#open.add(end);
    return () => {
      if (this.#open.delete(end) && this.#open.size === 0) this.#onIdle?.();
    };
  }

  /** What a check found; an exit that is being drained or changed keeps its state. */
  checked(result: { readonly latency: number } | { readonly error: string }): void {
    if ('latency' in result) {
      this.latency = result.latency;
      this.#failuresInRow = 0;
      if (this.#state === 'down') this.#state = 'up';
    } else {
      this.lastError = result.error;
      if (this.#state === 'up' || this.#state === 'down') this.#goDown(Number.POSITIVE_INFINITY);
    }
  }

  /** A request found the line broken: no others for a second, for two the next time, up to a minute. */
  failed(error: string, now: number = performance.now()): void {
    this.lastError = error;
    if (this.state === 'up' || this.state === 'down') {
      this.#goDown(now + Math.min(LONGEST_DOWN, 1000 * 2 ** this.#failuresInRow++));
    }
  }

  /** A request got through. */
  worked(): void {
    this.#failuresInRow = 0;
  }

  /** Takes no more requests until `resume`; those it has go on. */
  drain(): void {
    if (this.#state !== 'changing') this.#state = 'draining';
  }

  resume(): void {
    if (this.#state === 'draining' || this.#state === 'down') this.#state = 'up';
  }

  /**
   * Gets another address: no new requests, open connections may end by themselves for the drain time and are then
   * ended, the line dials again. A second call while one is under way gets the same result.
   *
   * @throws ProxyError `BW_PROXY_COMMAND` when the line cannot, `BW_PROXY_LIMIT` when it did so a moment ago.
   */
  async rotate(now: number = performance.now()): Promise<Rotation> {
    if (this.#rotating !== undefined) return await this.#rotating;
    const wait = this.#lastRotation + this.#minimumInterval - now;
    if (wait > 0) {
      throw new ProxyError('BW_PROXY_LIMIT', `${this.name} changed its address a moment ago`, {
        hint: `Try again in ${Math.ceil(wait / 1000)} s.`,
      });
    }
    const { line } = this;
    if (!('redial' in line)) {
      throw new ProxyError('BW_PROXY_COMMAND', `${this.name} cannot get another address`);
    }
    this.#lastRotation = now;
    this.#rotating = this.#change(line).finally(() => {
      this.#rotating = undefined;
    });
    return await this.#rotating;
  }

  /** Takes no more requests for good; resolves once those it has are over, after the drain time at the latest. */
  async retire(): Promise<void> {
    this.#state = 'draining';
    await this.#idle();
    this.#endAll();
  }

  #goDown(until: number): void {
    this.#state = 'down';
    this.#downUntil = until;
  }

  #endAll(): void {
    const reason = new ProxyError(
      'BW_PROXY_EXIT_GONE',
      `exit ${this.name} is given up or changes its address`,
    );
    for (const end of [...this.#open]) end(reason);
  }

  async #change(line: RotatingLine): Promise<Rotation> {
    this.#state = 'changing';
    try {
      await this.#idle();
      this.#endAll();
      const { before, after } = await line.redial();
      this.#state = 'up';
      return { exit: this.name, before, after };
    } catch (error) {
      this.#state = 'up';
      this.failed(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async #idle(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#drainTime);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = undefined;
  }
}
