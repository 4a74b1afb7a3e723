import { ArgumentError } from '../error.ts';

/** In which order IDs, ports and addresses come. */
export type Order = 'random' | 'sequential';

/** Multipliers whose bits spread well; odd, so that each has an inverse modulo any power of two. */
const FIRST = 0x9e3779b1;
const SECOND = 0x85ebca6b;

/**
 * The pairs of source port and ID that queries carry, one after the other, each once before the first comes again.
 *
 * An answer brings its pair back, and the pair tells the query's place in the order. So nothing has to be searched,
 * however many queries are on their way.
 *
 *     place --scramble--> key = ID * ports + (port - first port)
 */
export class QueryKeys {
  readonly firstPort: number;
  readonly ports: number;
  /** How many pairs there are. */
  readonly size: number;
  readonly #order: Order;
  readonly #mask: number;
  readonly #half: number;
  readonly #seed: number;
  readonly #firstInverse: number;
  readonly #secondInverse: number;

  /** @param seed Any 32-bit number; the same one gives the same order. */
  constructor(ports: readonly [first: number, last: number], order: Order, seed: number) {
    const [first, last] = ports;
    if (
      !(Number.isInteger(first) && Number.isInteger(last) && first >= 1 && last <= 0xffff && first <= last)
    ) {
      throw new ArgumentError(`${first} to ${last} is no range of ports`);
    }
    this.firstPort = first;
    this.ports = last - first + 1;
    this.size = this.ports * 0x1_0000;
    this.#order = order;
    const bits = Math.ceil(Math.log2(this.size));
    this.#mask = bits === 32 ? -1 : (1 << bits) - 1;
    this.#half = Math.ceil(bits / 2);
    this.#seed = seed | 0;
    this.#firstInverse = inverse(FIRST);
    this.#secondInverse = inverse(SECOND);
  }

  /** The key of the query in that place, from 0 to `size - 1`. */
  keyAt(place: number): number {
    if (this.#order === 'sequential') return place;
    let key = place;
    // The scramble permutes a power of two; what falls outside goes through it again until it falls inside.
    do key = this.#scramble(key);
    while (key >= this.size);
    return key;
  }

  /** The place of the query with this key: the inverse of `keyAt`. */
  placeOf(key: number): number {
    if (this.#order === 'sequential') return key;
    let place = key;
    do place = this.#unscramble(place);
    while (place >= this.size);
    return place;
  }

  portOf(key: number): number {
    return this.firstPort + (key % this.ports);
  }

  idOf(key: number): number {
    return Math.floor(key / this.ports);
  }

  /** The key of a port and an ID, or -1 for a port that is none of ours. */
  keyOf(port: number, id: number): number {
    const index = port - this.firstPort;
    return index < 0 || index >= this.ports ? -1 : id * this.ports + index;
  }

  #scramble(value: number): number {
    const mask = this.#mask;
    const half = this.#half;
    let x = (value ^ this.#seed) & mask;
    x = Math.imul(x, FIRST) & mask;
    x ^= x >>> half;
    x = Math.imul(x, SECOND) & mask;
    x ^= x >>> half;
    return x >>> 0;
  }

  #unscramble(value: number): number {
    const mask = this.#mask;
    const half = this.#half;
    let x = value | 0;
    // With at least half of the bits shifted out, this step is its own inverse.
    x ^= (x & mask) >>> half;
    x = Math.imul(x, this.#secondInverse) & mask;
    x ^= x >>> half;
    x = Math.imul(x, this.#firstInverse) & mask;
    return ((x ^ this.#seed) & mask) >>> 0;
  }
}

/** A number in the place of `value` that looks like chance: all bits depend on all bits. */
export function scatter(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** Modulo 2^32, by Newton's iteration: each step doubles the bits that are right. */
function inverse(odd: number): number {
  let x = odd;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}
