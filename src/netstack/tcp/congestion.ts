/** Segments of the first window (RFC 6928). */
export const INITIAL_WINDOW = 10;

/** What congestion control sees of an acknowledgement. */
export interface AckEvent {
  /** Bytes that it acknowledges for the first time. */
  readonly acked: number;
  /** In ms. */
  readonly now: number;
  /** The last round trip that was measured, and the smoothed one; in ms. */
  readonly rtt: number;
  readonly smoothed: number;
}

/**
 * How much may be in flight. Losses are found elsewhere; this says what they mean.
 *
 * Bytes throughout. `window` is written by loss recovery too.
 */
export interface CongestionControl {
  readonly name: 'cubic' | 'reno';
  /** cwnd */
  window: number;
  /** ssthresh */
  threshold: number;
  mss: number;
  /** Outside of recovery, while the window was what limited the sender. */
  onAck(event: AckEvent): void;
  /** A loss: sets the threshold, and leaves the window to recovery. */
  onLoss(now: number): void;
  /** Time passed in which nothing was sent. */
  onIdle(ms: number): void;
  /** The last loss was none: what {@link onLoss} changed comes back. */
  undo(): void;
}

/** NewReno's halving and linear growth (RFC 5681, RFC 6582). */
export class NewReno implements CongestionControl {
  readonly name = 'reno';
  window: number;
  threshold: number = Number.POSITIVE_INFINITY;
  mss: number;
  #acked = 0;
  #before: readonly [window: number, threshold: number] = [0, 0];

  constructor(mss: number) {
    this.mss = mss;
    this.window = INITIAL_WINDOW * mss;
  }

  onAck({ acked }: AckEvent): void {
    if (this.window < this.threshold) {
      this.window += acked;
      return;
    }
    this.#acked += acked;
    if (this.#acked < this.window) return;
    this.#acked -= this.window;
    this.window += this.mss;
  }

  onLoss(): void {
    this.#before = [this.window, this.threshold];
    this.threshold = Math.max(2 * this.mss, Math.floor(this.window / 2));
    this.#acked = 0;
  }

  onIdle(): void {}

  undo(): void {
    this.window = Math.max(this.window, this.#before[0]);
    this.threshold = Math.max(this.threshold, this.#before[1]);
  }
}
