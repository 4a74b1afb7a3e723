import { rawSyscall, SYS } from '../sys/index.ts';

const CLOCK_MONOTONIC = 1;

/**
 * The monotonic clock in ms, read without allocating: a number with a fraction that is handed from function to
 * function would be garbage each time, so those who need the time look at `reading[0]`.
 */
export class Clock {
  /** One number: what `tick` read last, in ms from a second before this clock was made at the earliest. */
  readonly reading: Float64Array = new Float64Array(1);
  readonly #time = new Int32Array(4);
  readonly #origin: number;

  constructor() {
    this.#read();
    this.#origin = this.#time[0]!;
    this.tick();
  }

  tick(): void {
    this.#read();
    // struct timespec: 64 bits of seconds, 64 of nanoseconds; the lower words say it for 68 years.
    this.reading[0] = (this.#time[0]! - this.#origin) * 1000 + this.#time[2]! / 1e6;
  }

  /** Reads the clock, for those who do so rarely. */
  now(): number {
    this.tick();
    return this.reading[0]!;
  }

  #read(): void {
    rawSyscall(SYS.clock_gettime, CLOCK_MONOTONIC, this.#time);
  }
}

export interface Limits {
  /** Packets per second. Default is as many as go. */
  readonly rate?: number | undefined;
  /** Ends after so many packets. Default is never. */
  readonly count?: number | undefined;
  /** Ends after so long, in ms. Default is never. */
  readonly duration?: number | undefined;
}

/** Behind by more than this, in ms, it gives up to catch up: a pause must not be followed by a flood. */
const MOST_DEBT = 100;

/** Spreads packets evenly over time: at every moment as many are due as the rate makes of the time since the start. */
export class Pace {
  readonly #rate: number;
  readonly #count: number;
  readonly #duration: number;
  #start = -1;
  #base = 0;
  #origin = 0;
  #taken = 0;
  #last = 0;
  readonly #reading: Float64Array;

  /** @param reading Of the clock, in ms. */
  constructor({ rate = Infinity, count = Infinity, duration = Infinity }: Limits, reading: Float64Array) {
    this.#reading = reading;
    this.#rate = rate / 1000;
    this.#count = count;
    this.#duration = duration;
  }

  /** How many packets may leave now. */
  due(): number {
    const now = this.#reading[0]!;
    if (this.#start < 0) {
      this.#start = now;
      this.#origin = now;
    }
    const left = this.#count - this.#taken;
    if (left <= 0 || now - this.#start >= this.#duration) return 0;
    if (this.#rate === Infinity) return left;
    let due = Math.floor((now - this.#origin) * this.#rate) + 1 - (this.#taken - this.#base);
    if (due > MOST_DEBT * this.#rate + 64) {
      this.#origin = now;
      this.#base = this.#taken;
      due = 1;
    }
    return Math.min(due, left);
  }

  /** Says that `packets` left. */
  took(packets: number): void {
    if (packets === 0) return;
    this.#taken += packets;
    this.#last = this.#reading[0]!;
  }

  get taken(): number {
    return this.#taken;
  }

  ended(): boolean {
    if (this.#start < 0) return false;
    return this.#taken >= this.#count || this.#reading[0]! - this.#start >= this.#duration;
  }

  /** From the first packet to the last, in ms. */
  get span(): number {
    return this.#taken === 0 ? 0 : this.#last - this.#start;
  }
}

/**
 * Whether a rate was held: 2 percent are allowed, and 10 ms for the beginning and the end.
 *
 * @param span From the first to the last packet, in ms.
 */
export function wasHeld(rate: number, packets: number, span: number): boolean {
  return span <= (Math.max(0, packets - 1) / rate) * 1000 * 1.02 + 10;
}
