import { deadline, dial } from '../http/index.ts';
import type { Exit } from './exit.ts';

export interface HealthOptions {
  /** What an exit must be able to connect to, as HOST and port. */
  readonly host: string;
  readonly port: number;
  /** Between two checks of an exit that works, in ms. Default is 30 s. */
  readonly every?: number;
  /** How long a check may take, in ms. Default is 5 s. */
  readonly timeout?: number;
}

/** In ms. An exit that is down is tried again after 1 s, 2 s, 4 s, … up to this. */
const LONGEST_BACKOFF = 60_000;

/** Checks every exit by a connection to one destination, those that are down with back-off. */
export class HealthChecks {
  readonly #options: Required<HealthOptions>;
  readonly #timers = new Map<Exit, NodeJS.Timeout>();
  readonly #failures = new Map<Exit, number>();
  #stopped = false;

  constructor(options: HealthOptions) {
    this.#options = { every: 30_000, timeout: 5_000, ...options };
  }

  watch(exits: readonly Exit[]): void {
    for (const [exit, timer] of this.#timers) {
      if (exits.includes(exit)) continue;
      clearTimeout(timer);
      this.#timers.delete(exit);
      this.#failures.delete(exit);
    }
    for (const exit of exits) if (!this.#timers.has(exit)) this.#next(exit, 0);
  }

  /** One check now. */
  async check(exit: Exit): Promise<void> {
    const { host, port, timeout } = this.#options;
    const began = performance.now();
    try {
      const stream = await dial(exit.line, host, port, { signal: deadline(timeout, 'the check') });
      stream.on('error', () => undefined);
      stream.destroy();
      this.#failures.delete(exit);
      exit.checked({ latency: performance.now() - began });
    } catch (error) {
      this.#failures.set(exit, (this.#failures.get(exit) ?? 0) + 1);
      exit.checked({ error: error instanceof Error ? error.message : String(error) });
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #next(exit: Exit, wait: number): void {
    const timer = setTimeout(async () => {
      await this.check(exit);
      if (this.#stopped || this.#timers.get(exit) !== timer) return;
      const failures = this.#failures.get(exit) ?? 0;
      const backoff = Math.min(LONGEST_BACKOFF, 1000 * 2 ** (failures - 1));
      this.#next(exit, failures === 0 ? this.#options.every : backoff);
    }, wait);
    timer.unref();
    this.#timers.set(exit, timer);
  }
}
