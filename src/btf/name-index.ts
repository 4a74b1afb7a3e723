/** Gives the bytes of a name to `visit`, or does not call it when there is no name. */
export type NameSource = (index: number, visit: (strings: Uint8Array, offset: number) => void) => void;

/**
 * Finds types by name: a chained hash table in typed arrays, filled from bytes without making a string of any name.
 */
export class NameIndex {
  readonly #heads: Int32Array;
  readonly #next: Int32Array;

  constructor(count: number, source: NameSource) {
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(count + 2))).fill(-1);
    this.#next = new Int32Array(count).fill(-1);
    let hash = 0;
    let named = false;
    const visit = (strings: Uint8Array, offset: number): void => {
      hash = hashAt(strings, offset);
      named = true;
    };
    // Backwards, so that each chain rises.
    for (let index = count - 1; index >= 0; index--) {
      named = false;
      source(index, visit);
      if (!named) continue;
      const bucket = hash & (this.#heads.length - 1);
      this.#next[index] = this.#heads[bucket]!;
      this.#heads[bucket] = index;
    }
  }

  /** Indices whose name may be `name`, rising: the same hash bucket. */
  *find(name: string): IterableIterator<number> {
    const hash = hashAt(new TextEncoder().encode(name), 0);
    let index = this.#heads[hash & (this.#heads.length - 1)]!;
    while (index >= 0) {
      yield index;
      index = this.#next[index]!;
    }
  }
}

/** FNV-1a over the bytes up to a zero or the end, with its high bits folded in. */
function hashAt(strings: Uint8Array, offset: number): number {
  let hash = 0x811c_9dc5;
  for (let at = offset; at < strings.length && strings[at] !== 0; at++) {
    hash = Math.imul(hash ^ strings[at]!, 0x0100_0193);
  }
  return (hash ^ (hash >>> 15)) >>> 0;
}
