/**
 * SipHash-2-4 with a 128-bit key (Aumasson and Bernstein, 2012) over 32-bit words.
 *
 * A pure stack has no randomness of its own: whatever must be hard to guess (initial sequence numbers, ports, query
 * IDs) is this hash under a key that came in, over what is public and a counter.
 */
export class KeyedHash {
  readonly #key: Int32Array;
  #counter = 0;
  /** The upper half of the last result. */
  high = 0;

  /** @param secret 16 bytes that nobody can guess. */
  constructor(secret: Uint8Array) {
    const view = new DataView(secret.buffer, secret.byteOffset, 16);
    this.#key = Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i, true));
  }

  /** The lower half of the hash, a signed 32-bit integer; the upper half is left in `high`. */
  hash(words: readonly number[]): number {
    const key = this.#key;
    const v = state;
    v[0] = key[0]! ^ 0x70736575;
    v[1] = key[1]! ^ 0x736f6d65;
    v[2] = key[2]! ^ 0x6e646f6d;
    v[3] = key[3]! ^ 0x646f7261;
    v[4] = key[0]! ^ 0x6e657261;
    v[5] = key[1]! ^ 0x6c796765;
    v[6] = key[2]! ^ 0x79746573;
    v[7] = key[3]! ^ 0x74656462;
    for (let i = 0; i < words.length; i += 2) {
      mix(v, words[i]! | 0, i + 1 < words.length ? words[i + 1]! | 0 : 0);
    }
    mix(v, 0, (words.length * 4) << 24);
    v[4]! ^= 0xff;
    for (let i = 0; i < 4; i++) round(v);
    this.high = v[1]! ^ v[3]! ^ v[5]! ^ v[7]!;
    return v[0]! ^ v[2]! ^ v[4]! ^ v[6]!;
  }

  /** A fresh unsigned 32-bit number, unguessable without the key. */
  next(): number {
    const counter = this.#counter++;
    return this.hash([0x6e657874, counter | 0, Math.floor(counter / 2 ** 32)]) >>> 0;
  }

  /** A fresh number from 0 to `bound - 1`; the bias is below 2^-16 for the bounds of ports and IDs. */
  below(bound: number): number {
    return Math.floor((this.next() / 2 ** 32) * bound);
  }
}

/** v0 to v3, each as its low and its high word. */
const state: Int32Array = new Int32Array(8);

function mix(v: Int32Array, low: number, high: number): void {
  v[6]! ^= low;
  v[7]! ^= high;
  round(v);
  round(v);
  v[0]! ^= low;
  v[1]! ^= high;
}

function round(v: Int32Array): void {
  add(v, 0, 2);
  rotate(v, 2, 13);
  xor(v, 2, 0);
  rotate(v, 0, 32);
  add(v, 4, 6);
  rotate(v, 6, 16);
  xor(v, 6, 4);
  add(v, 0, 6);
  rotate(v, 6, 21);
  xor(v, 6, 0);
  add(v, 4, 2);
  rotate(v, 2, 17);
  xor(v, 2, 4);
  rotate(v, 4, 32);
}

function add(v: Int32Array, a: number, b: number): void {
  const low = (v[a]! >>> 0) + (v[b]! >>> 0);
  v[a] = low;
  v[a + 1] = v[a + 1]! + v[b + 1]! + (low > 0xffff_ffff ? 1 : 0);
}

function xor(v: Int32Array, a: number, b: number): void {
  v[a]! ^= v[b]!;
  v[a + 1]! ^= v[b + 1]!;
}

function rotate(v: Int32Array, a: number, by: number): void {
  const low = v[a]!;
  const high = v[a + 1]!;
  if (by === 32) {
    v[a] = high;
    v[a + 1] = low;
    return;
  }
  v[a] = (low << by) | (high >>> (32 - by));
  v[a + 1] = (high << by) | (low >>> (32 - by));
}
