/** Reproducible randomness for generated packets: the same seed gives the same corpus on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An unsigned 32-bit number (splitmix32). */
  u32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  }

  /** From 0 to `limit` - 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  bit(): boolean {
    return this.oneIn(2);
  }

  u8(): number {
    return this.below(0x100);
  }

  u16(): number {
    return this.below(0x10000);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u8());
  }

  /** Up to `maximum` bytes, short ones more often. */
  someBytes(maximum: number): Uint8Array {
    return this.bytes(this.below(this.below(maximum + 1) + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** `low` to `high` of what `make` gives. */
  list<T>(low: number, high: number, make: () => T): T[] {
    return Array.from({ length: this.between(low, high) }, make);
  }
}
