import { type AckEvent, type CongestionControl, INITIAL_WINDOW } from './congestion.ts';

/** RFC 9438, section 4.1 and 4.6. */
const C = 0.4;
const BETA = 0.7;
/** Growth of the window that Reno would have, for the same average (section 4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** HyStart++ (RFC 9406, section 4.3): round trips, in ms, and samples. */
const LEAST_THRESHOLD = 4;
const MOST_THRESHOLD = 16;
const SAMPLES = 8;
/** Conservative slow start grows by a quarter, for five rounds at most. */
const CSS_DIVISOR = 4;
const CSS_ROUNDS = 5;

/** CUBIC (RFC 9438), with HyStart++ (RFC 9406) to leave slow start before queues overflow. */
export class Cubic implements CongestionControl {
  readonly name = 'cubic';
  window: number;
  threshold: number = Number.POSITIVE_INFINITY;
  mss: number;
  /** The window before the last reduction, in segments (W_max). */
  #most = 0;
  /** When the present growth began, in ms; 0 before. */
  #epoch = 0;
  /** How long the curve takes to come back to W_max, in seconds (K). */
  #k = 0;
  /** What Reno would have by now, in segments (W_est). */
  #reno = 0;
  /** The window before the reduction, in segments (cwnd_prior). */
  #prior = 0;
  #before: readonly number[] = [];
  readonly #start = new HyStart();

  constructor(mss: number) {
    this.mss = mss;
    this.window = INITIAL_WINDOW * mss;
  }

  onAck(event: AckEvent): void {
    if (this.window < this.threshold) {
      const growth = this.#start.onAck(event, this.window);
      if (growth === 0) this.threshold = this.window;
      this.window += event.acked * growth;
      if (growth > 0) return;
    }
    const { acked, now, smoothed } = event;
    const window = this.window / this.mss;
    if (this.#epoch === 0) this.#begin(now, window);
    const t = (now - this.#epoch) / 1000;
    // Where the curve will be a round trip from now, at most half a window further (section 4.2).
    const ahead = t + smoothed / 1000 - this.#k;
    const target = Math.min(1.5 * window, Math.max(window, C * ahead * ahead * ahead + this.#most));
    const segments = acked / this.mss;
    this.#reno += ((this.#reno >= this.#prior ? 1 : ALPHA) * segments) / window;
    const behind = t - this.#k;
    const curve = C * behind * behind * behind + this.#most;
    const grown = window + (segments * (target - window)) / window;
    this.window = this.mss * (curve < this.#reno ? Math.max(grown, this.#reno) : grown);
  }

  onLoss(): void {
    const window = this.window / this.mss;
    this.#before = [this.window, this.threshold, this.#most, this.#epoch, this.#k, this.#reno, this.#prior];
    // Fast convergence (section 4.7): a flow that loses again before it is back makes room for others.
    this.#most = window < this.#most ? (window * (1 + BETA)) / 2 : window;
    this.#prior = window;
    this.#epoch = 0;
    this.threshold = Math.max(2 * this.mss, Math.floor(this.window * BETA));
  }

  onIdle(ms: number): void {
    // Section 5.8: time without traffic is no time on the curve.
    if (this.#epoch !== 0) this.#epoch += ms;
  }

  undo(): void {
    if (this.#before.length === 0) return;
    const [window, threshold, most, epoch, k, reno, prior] = this.#before as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.window = Math.max(this.window, window);
    this.threshold = Math.max(this.threshold, threshold);
    this.#most = most;
    this.#epoch = epoch;
    this.#k = k;
    this.#reno = reno;
    this.#prior = prior;
    this.#before = [];
  }

  #begin(now: number, window: number): void {
    this.#epoch = now;
    if (this.#most <= window) {
      this.#most = window;
      this.#k = 0;
    } else this.#k = Math.cbrt((this.#most - window) / C);
    this.#reno = window;
  }
}

/** Watches round trips during slow start: when they grow, a queue does. */
class HyStart {
  /** Bytes until the round ends. */
  #left = 0;
  #least = Number.POSITIVE_INFINITY;
  #lastLeast = Number.POSITIVE_INFINITY;
  #samples = 0;
  /** The round trip at which conservative slow start began, while it lasts. */
  #baseline = 0;
  #rounds = 0;

  /** How much of the acknowledged bytes the window grows by: 1, a part of it, or 0 when slow start is over. */
  onAck({ acked, rtt }: AckEvent, window: number): number {
    this.#left -= acked;
    if (this.#left <= 0) {
      this.#left = window;
      this.#lastLeast = this.#least;
      this.#least = Number.POSITIVE_INFINITY;
      this.#samples = 0;
      if (this.#baseline > 0 && ++this.#rounds >= CSS_ROUNDS) return 0;
    }
    this.#samples++;
    if (rtt < this.#least) this.#least = rtt;
    if (this.#samples >= SAMPLES) this.#judge();
    return this.#baseline > 0 ? 1 / CSS_DIVISOR : 1;
  }

  #judge(): void {
    if (this.#baseline > 0) {
      if (this.#least < this.#baseline) {
        this.#baseline = 0;
        this.#rounds = 0;
      }
      return;
    }
    if (this.#lastLeast === Number.POSITIVE_INFINITY) return;
    const threshold = Math.min(MOST_THRESHOLD, Math.max(LEAST_THRESHOLD, this.#lastLeast / 8));
    if (this.#least >= this.#lastLeast + threshold) this.#baseline = this.#least;
  }
}
