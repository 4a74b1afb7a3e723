/** What a network does to packets. Everything left out does not happen. */
export interface Weather {
  /** One way, in ms. */
  readonly delay?: number;
  /** Up to so much more, in ms, at random; what overtakes what is part of it. */
  readonly jitter?: number;
  /** Share of packets that are lost, 0 to 1. */
  readonly loss?: number;
  /** Share that comes twice. */
  readonly duplicate?: number;
  /** Share that is held up by `reorderDelay`, so that later ones overtake it. */
  readonly reorder?: number;
  /** In ms. Default is 1 more than a quarter of the delay. */
  readonly reorderDelay?: number;
  /** Share of which one bit is turned over. */
  readonly corrupt?: number;
  /** Bytes a second. */
  readonly rate?: number;
  /** With a rate: bytes that may queue; what comes beyond is lost. Default is 256 KiB. */
  readonly queue?: number;
}

/** A packet on its way. */
interface Parcel {
  readonly at: number;
  /** Which came first, among those due at once. */
  readonly order: number;
  readonly bytes: Uint8Array;
  readonly length: number;
}

/**
 * One direction of a network with {@link Weather}: what goes in comes out later, more than once, damaged or not at all.
 *
 * Time and chance come in: the same ones give the same weather.
 */
export class Path {
  /** Weather from now on; packets on their way keep theirs. */
  weather: Weather;
  readonly #random: () => number;
  /** A binary heap, the earliest first. */
  readonly #heap: Parcel[] = [];
  readonly #pool: Uint8Array[] = [];
  #order = 0;
  /** With a rate: when the last packet that queues will have left. */
  #free = 0;
  /** Packets that the weather took. */
  lost = 0;

  /** @param random Gives numbers from 0 to below 1. */
  constructor(weather: Weather, random: () => number) {
    this.weather = weather;
    this.#random = random;
  }

  /** When the next packet comes out; Infinity when none is on its way. */
  get deadline(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  get count(): number {
    return this.#heap.length;
  }

  /** Takes a copy of the packet. */
  send(bytes: Uint8Array, offset: number, length: number, now: number): void {
    const { loss = 0, duplicate = 0 } = this.weather;
    const leaves = this.#queue(length, now);
    if (leaves === undefined || this.#random() < loss) {
      this.lost++;
      return;
    }
    this.#add(bytes, offset, length, leaves);
    if (duplicate > 0 && this.#random() < duplicate) this.#add(bytes, offset, length, leaves);
  }

  /** Gives out what has arrived by `now`, at most `limit` packets; how many. The bytes are gone when `take` returns. */
  deliver(
    now: number,
    take: (bytes: Uint8Array, offset: number, length: number) => void,
    limit: number = Number.POSITIVE_INFINITY,
  ): number {
    let count = 0;
    while (count < limit && this.deadline <= now) {
      const parcel = this.#pop();
      take(parcel.bytes, 0, parcel.length);
      this.#pool.push(parcel.bytes);
      count++;
    }
    return count;
  }

  /** When it leaves; undefined when the queue is full. */
  #queue(length: number, now: number): number | undefined {
    const { rate, queue = 256 << 10 } = this.weather;
    if (rate === undefined) return now;
    const begins = Math.max(now, this.#free);
    if ((begins - now) * rate > queue * 1000) return undefined;
    this.#free = begins + (length / rate) * 1000;
    return this.#free;
  }

  #add(bytes: Uint8Array, offset: number, length: number, leaves: number): void {
    const { delay = 0, jitter = 0, reorder = 0, corrupt = 0 } = this.weather;
    let at = leaves + delay;
    if (jitter > 0) at += jitter * this.#random();
    if (reorder > 0 && this.#random() < reorder) at += this.weather.reorderDelay ?? 1 + delay / 4;
    const copy = this.#take(length);
    copy.set(bytes.subarray(offset, offset + length));
    if (corrupt > 0 && this.#random() < corrupt) {
      copy[Math.floor(this.#random() * length)]! ^= 1 << Math.floor(this.#random() * 8);
    }
    this.#push({ at, order: this.#order++, bytes: copy, length });
  }

  #take(length: number): Uint8Array {
    const pooled = this.#pool.pop();
    return pooled !== undefined && pooled.length >= length ? pooled : new Uint8Array(Math.max(2048, length));
  }

  #push(parcel: Parcel): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(parcel);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isEarlier(parcel, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = parcel;
  }

  #pop(): Parcel {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && isEarlier(heap[child + 1]!, heap[child]!)) child++;
      if (!isEarlier(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isEarlier(a: Parcel, b: Parcel): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Numbers from 0 to below 1 that follow from a seed (Mulberry32): for weather, never for secrets. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
