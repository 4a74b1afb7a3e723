import { RING_NEED_WAKEUP } from './uapi.ts';

/** Where the parts of a ring lie, in 32-bit words of the memory it is mapped in. */
export interface RingPlace {
  readonly producer: number;
  readonly consumer: number;
  readonly flags: number;
  /** The first entry. */
  readonly entries: number;
  /** How many entries: a power of two. */
  readonly size: number;
}

/*
 * Indices are unsigned 32-bit numbers that run for ever; here they are signed ones with the same bits, for `| 0` keeps
 * them small integers where `>>> 0` would make heap numbers beyond 2^31. Differences come out right either way.
 *
 * Atomics.load orders what follows behind the index, Atomics.store what precedes before it: acquire and release, as
 * the kernel's side does. Entries themselves are plain loads and stores.
 */

/** A ring that the kernel fills and we empty: RX or completion. */
export class ConsumerRing {
  readonly words: Int32Array;
  /** The first entry, in words. */
  readonly first: number;
  readonly size: number;
  readonly mask: number;
  /** The index of the next entry to take. */
  next: number;
  readonly #producerAt: number;
  readonly #consumerAt: number;
  #producer: number;
  /** Where the kernel thinks that we are. */
  #released: number;

  constructor(words: Int32Array, place: RingPlace) {
    this.words = words;
    this.first = place.entries;
    this.size = place.size;
    this.mask = place.size - 1;
    this.#producerAt = place.producer;
    this.#consumerAt = place.consumer;
    this.next = Atomics.load(words, place.consumer);
    this.#released = this.next;
    this.#producer = Atomics.load(words, place.producer);
  }

  /** Goes on where another thread left off. */
  reload(): void {
    this.next = Atomics.load(this.words, this.#consumerAt);
    this.#released = this.next;
  }

  /** How many entries may be read from `next` on: at most `limit`. */
  available(limit: number): number {
    let count = (this.#producer - this.next) | 0;
    if (count < limit) {
      this.#producer = Atomics.load(this.words, this.#producerAt);
      count = (this.#producer - this.next) | 0;
    }
    return Math.min(count, limit);
  }

  /** Gives every entry before `next` back to the kernel; they have been read. */
  release(): void {
    this.#released = this.next;
    Atomics.store(this.words, this.#consumerAt, this.next);
  }

  /**
   * Whether to `release` now: `lag` entries have been read since, or no more are known to wait. A release orders all
   * stores before it, which is to wait for lines of another core's cache, so it is not done for every batch.
   */
  isDue(lag: number): boolean {
    return ((this.next - this.#released) | 0) >= lag || this.next === this.#producer;
  }
}

/** A ring that we fill and the kernel empties: fill or TX. */
export class ProducerRing {
  readonly words: Int32Array;
  readonly first: number;
  readonly size: number;
  readonly mask: number;
  /** The index of the next entry to write. */
  next: number;
  readonly #producerAt: number;
  readonly #consumerAt: number;
  readonly #flagsAt: number;
  /** The kernel's consumer index, as last seen, and the ring's size: how far `next` may run. */
  #end: number;

  constructor(words: Int32Array, place: RingPlace) {
    this.words = words;
    this.first = place.entries;
    this.size = place.size;
    this.mask = place.size - 1;
    this.#producerAt = place.producer;
    this.#consumerAt = place.consumer;
    this.#flagsAt = place.flags;
    this.next = Atomics.load(words, place.producer);
    this.#end = (Atomics.load(words, place.consumer) + place.size) | 0;
  }

  /** Goes on where another thread left off. */
  reload(): void {
    this.next = Atomics.load(this.words, this.#producerAt);
    this.#end = (Atomics.load(this.words, this.#consumerAt) + this.size) | 0;
  }

  /** How many entries may be written from `next` on: at most `limit`. */
  room(limit: number): number {
    let count = (this.#end - this.next) | 0;
    if (count < limit) {
      this.#end = (Atomics.load(this.words, this.#consumerAt) + this.size) | 0;
      count = (this.#end - this.next) | 0;
    }
    return Math.min(count, limit);
  }

  /** Shows the kernel every entry before `next`. */
  publish(): void {
    Atomics.store(this.words, this.#producerAt, this.next);
  }

  /** Published entries that the kernel has not taken yet, as far as it says. */
  pending(): number {
    return (Atomics.load(this.words, this.#producerAt) - Atomics.load(this.words, this.#consumerAt)) | 0;
  }

  /** The kernel's own index. */
  taken(): number {
    return Atomics.load(this.words, this.#consumerAt);
  }

  /** Whether the kernel sleeps until a system call tells it of new entries. */
  needsWakeup(): boolean {
    return (Atomics.load(this.words, this.#flagsAt) & RING_NEED_WAKEUP) !== 0;
  }
}
