import { before, distance, notAfter } from './sequence.ts';

/** What is known of a segment in flight. */
export const SACKED = 1;
export const LOST = 2;
/** A retransmission of it is in flight. */
export const RESENT = 4;
/** It has been retransmitted at some time, so that its time says nothing about the path (Karn's rule). */
export const EVER_RESENT = 8;
/** Its last place in sequence space is the FIN. */
export const WITH_FIN = 16;

const FIRST_CAPACITY = 16;

/**
 * Every segment that has been sent and not acknowledged, in order: the scoreboard of RFC 6675 and the transmission
 * times of RFC 8985, in a ring of typed arrays.
 *
 * Bytes are counted as they change state, so that nothing ever walks the ring to know how much is in flight.
 */
export class Flight {
  /** Segments in the ring. */
  count = 0;
  /** Bytes by state; the lost ones include those whose retransmission is in flight. */
  sackedBytes = 0;
  lostBytes = 0;
  resentBytes = 0;
  #head = 0;
  #mask = 0;
  // One of 0 entries until the first segment: an idle connection needs none.
  #starts: Int32Array = EMPTY_INTS;
  #ends: Int32Array = EMPTY_INTS;
  #times: Float64Array = EMPTY_TIMES;
  #flags: Uint8Array = EMPTY_BYTES;

  get capacity(): number {
    return this.#starts.length;
  }

  /** Index `i` counts from the oldest segment. */
  start(i: number): number {
    return this.#starts[(this.#head + i) & this.#mask]!;
  }

  end(i: number): number {
    return this.#ends[(this.#head + i) & this.#mask]!;
  }

  /** When it was last sent, in ms. */
  time(i: number): number {
    return this.#times[(this.#head + i) & this.#mask]!;
  }

  flags(i: number): number {
    return this.#flags[(this.#head + i) & this.#mask]!;
  }

  length(i: number): number {
    const at = (this.#head + i) & this.#mask;
    return (this.#ends[at]! - this.#starts[at]!) | 0;
  }

  /** A segment has been sent for the first time. */
  push(start: number, end: number, time: number, flags: number): void {
    if (this.count === this.#starts.length) this.#resize(Math.max(FIRST_CAPACITY, 2 * this.count));
    const at = (this.#head + this.count++) & this.#mask;
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#times[at] = time;
    this.#flags[at] = flags;
  }

  /** The oldest segment has been acknowledged in full. */
  shift(): void {
    this.#uncount(0);
    this.#head = (this.#head + 1) & this.#mask;
    this.count--;
  }

  /** The oldest segment has been acknowledged up to `seq`. */
  trim(seq: number): void {
    this.#uncount(0);
    this.#starts[this.#head] = seq;
    this.#recount(0);
  }

  markSacked(i: number): void {
    this.#change(i, (this.flags(i) | SACKED) & ~(LOST | RESENT));
  }

  markLost(i: number): void {
    this.#change(i, (this.flags(i) | LOST) & ~RESENT);
  }

  markResent(i: number, time: number): void {
    this.#times[(this.#head + i) & this.#mask] = time;
    this.#change(i, this.flags(i) | LOST | RESENT | EVER_RESENT);
  }

  /** It has been sent again, as a probe: not because it is known to be lost. */
  touch(i: number, time: number): void {
    this.#times[(this.#head + i) & this.#mask] = time;
    this.#flags[(this.#head + i) & this.#mask]! |= EVER_RESENT;
  }

  /** Nothing is lost after all (an undone recovery). */
  clearLost(): void {
    for (let i = 0; i < this.count; i++) this.#change(i, this.flags(i) & ~(LOST | RESENT));
  }

  /** All is lost, what the peer reported included: it may have thrown that away (RFC 2018, section 8). */
  markAllLost(forgetSacked: boolean): void {
    for (let i = 0; i < this.count; i++) {
      const flags = forgetSacked ? this.flags(i) & ~SACKED : this.flags(i);
      this.#change(i, flags & SACKED ? flags : (flags | LOST) & ~RESENT);
    }
  }

  /** The index of the first segment that ends behind `seq`; `count` if there is none. */
  find(seq: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (notAfter(this.end(middle), seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Cuts every segment to at most `size` bytes: the path takes no longer ones any more. */
  split(size: number): void {
    const entries: [number, number, number, number][] = [];
    for (let i = 0; i < this.count; i++) {
      const end = this.end(i);
      const flags = this.flags(i);
      for (let start = this.start(i); before(start, end); ) {
        const payload = distance(start, end) - (flags & WITH_FIN ? 1 : 0);
        const whole = payload <= size;
        const stop = whole ? end : (start + size) | 0;
        entries.push([start, stop, this.time(i), whole ? flags : flags & ~WITH_FIN]);
        start = stop;
      }
    }
    this.clear();
    for (const [i, [start, end, time, flags]] of entries.entries()) {
      this.push(start, end, time, flags);
      this.#recount(i);
    }
  }

  /** Forgets everything, and gives the memory back. */
  clear(): void {
    this.count = 0;
    this.#head = 0;
    this.#mask = 0;
    this.#starts = EMPTY_INTS;
    this.#ends = EMPTY_INTS;
    this.#times = EMPTY_TIMES;
    this.#flags = EMPTY_BYTES;
    this.sackedBytes = 0;
    this.lostBytes = 0;
    this.resentBytes = 0;
  }

  #change(i: number, flags: number): void {
    this.#uncount(i);
    this.#flags[(this.#head + i) & this.#mask] = flags;
    this.#recount(i);
  }

  #uncount(i: number): void {
    const flags = this.flags(i);
    if ((flags & (SACKED | LOST | RESENT)) === 0) return;
    const length = this.length(i);
    if (flags & SACKED) this.sackedBytes -= length;
    if (flags & LOST) this.lostBytes -= length;
    if (flags & RESENT) this.resentBytes -= length;
  }

  #recount(i: number): void {
    const flags = this.flags(i);
    if ((flags & (SACKED | LOST | RESENT)) === 0) return;
    const length = this.length(i);
    if (flags & SACKED) this.sackedBytes += length;
    if (flags & LOST) this.lostBytes += length;
    if (flags & RESENT) this.resentBytes += length;
  }

  #resize(capacity: number): void {
    const starts = new Int32Array(capacity);
    const ends = new Int32Array(capacity);
    const times = new Float64Array(capacity);
    const flags = new Uint8Array(capacity);
    for (let i = 0; i < this.count; i++) {
      starts[i] = this.start(i);
      ends[i] = this.end(i);
      times[i] = this.time(i);
      flags[i] = this.flags(i);
    }
    this.#head = 0;
    this.#mask = capacity - 1;
    this.#starts = starts;
    this.#ends = ends;
    this.#times = times;
    this.#flags = flags;
  }
}

const EMPTY_INTS: Int32Array = new Int32Array(0);
const EMPTY_TIMES: Float64Array = new Float64Array(0);
const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
