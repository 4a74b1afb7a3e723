/** Takes the bytes of a string: a string section and where in it the string begins. */
export type VisitText = (strings: Uint8Array, offset: number) => void;

/** Gives the bytes of a type's name to `visit`, or does not call it when there is no name. */
export type NameSource = (index: number, visit: VisitText) => void;

/** Only so many bytes decide on the bucket, or names that overlap could take for ever to index. */
const HASHED = 64;

/**
 * Finds types by name: a chained hash table in typed arrays, filled from bytes without making a string of any name.
 */
export class NameIndex {
  readonly #source: NameSource;
  readonly #heads: Int32Array;
  readonly #next: Int32Array;

  constructor(count: number, source: NameSource) {
    this.#source = source;
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(count + 2))).fill(-1);
    this.#next = new Int32Array(count).fill(-1);
    let bucket = -1;
    const visit: VisitText = (strings, offset) => {
      bucket = hashAt(strings, offset) & (this.#heads.length - 1);
    };
    // Backwards, so that each chain rises.
    for (let index = count - 1; index >= 0; index--) {
      bucket = -1;
      source(index, visit);
      if (bucket < 0) continue;
      this.#next[index] = this.#heads[bucket]!;
      this.#heads[bucket] = index;
    }
  }

  /** Indices of the types with this name, rising. */
  *find(name: string): IterableIterator<number> {
    const wanted = new TextEncoder().encode(name);
    let found = false;
    const visit: VisitText = (strings, offset) => {
      found = equalsAt(strings, offset, wanted);
    };
    for (let index = this.#heads[hashAt(wanted, 0) & (this.#heads.length - 1)]!; index >= 0; ) {
      found = false;
      this.#source(index, visit);
      if (found) yield index;
      index = this.#next[index]!;
    }
  }
}

/** FNV-1a over the first bytes up to a zero or the end, with its high bits folded in. */
function hashAt(strings: Uint8Array, offset: number): number {
  let hash = 0x811c_9dc5;
  const end = Math.min(offset + HASHED, strings.length);
  for (let at = offset; at < end && strings[at] !== 0; at++) {
    hash = Math.imul(hash ^ strings[at]!, 0x0100_0193);
  }
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Whether the string at `offset`, which ends with a zero, is `wanted`. */
function equalsAt(strings: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) {
    if (strings[offset + i] !== wanted[i]) return false;
  }
  return strings[offset + wanted.length] === 0;
}
