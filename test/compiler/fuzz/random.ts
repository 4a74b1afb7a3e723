/** Random choices that a seed decides for good. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits (splitmix32: a Weyl sequence, mixed). */
  bits(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** A whole number from `lo` to `hi`, both included. */
  int(lo: number, hi: number): number {
    return lo + (this.bits() % (hi - lo + 1));
  }

  chance(probability: number): boolean {
    return this.bits() < probability * 2 ** 32;
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.int(0, list.length - 1)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** One of the ways, each as likely as its weight says; 0 leaves it out. */
  weighted<T>(ways: readonly (readonly [weight: number, way: () => T])[]): T {
    const total = ways.reduce((sum, [weight]) => sum + weight, 0);
    let at = (this.bits() / 2 ** 32) * total;
    for (const [weight, way] of ways) {
      if (at < weight) return way();
      at -= weight;
    }
    throw new Error('every way has weight 0');
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.bits() & 0xff);
  }
}
