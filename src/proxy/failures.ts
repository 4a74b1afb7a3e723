/**
 * Failed log-ins by client address: each one more makes the next answer wait longer, and from some number on the
 * address is refused without a look at its password, until it has kept still for a while.
 */
export class FailureLog {
  readonly #entries = new Map<string, { count: number; last: number }>();
  readonly #capacity: number;

  /** @param capacity How many addresses are remembered at most; the one that failed longest ago goes first. */
  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  /** How long an answer to the address waits, in ms; `refuse` when its password is not to be looked at. */
  delay(address: string, now: number): number | 'refuse' {
    const entry = this.#entries.get(address);
    if (entry === undefined) return 0;
    if (now - entry.last > FORGET_AFTER) {
      this.#entries.delete(address);
      return 0;
    }
    if (entry.count >= REFUSE_FROM) return 'refuse';
    return entry.count < FREE ? 0 : Math.min(LONGEST, 250 * 2 ** (entry.count - FREE));
  }

  failed(address: string, now: number): void {
    const count = (this.#entries.get(address)?.count ?? 0) + 1;
    this.#entries.delete(address);
    if (this.#entries.size >= this.#capacity) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(address, { count, last: now });
  }

  succeeded(address: string): void {
    this.#entries.delete(address);
  }

  get size(): number {
    return this.#entries.size;
  }
}

/** Typing errors that cost nothing. */
const FREE = 3;
/** From here on nothing is looked at: 250 ms, 500 ms, … up to 8 s have been waited by then. */
const REFUSE_FROM = 10;
const LONGEST = 8_000;
const FORGET_AFTER = 10 * 60_000;
