/** Until the first measurement (RFC 6298, rule 2.1). */
const INITIAL_RTO = 1000;
/** RFC 6298, rule 2.4 asks for a second; 200 ms is what hosts of today use, for delayed ACKs take 40 to 100. */
const LEAST_RTO = 200;
const MOST_RTO = 60_000;
/** The wheel's granularity. */
const CLOCK = 1;
/** How long the smallest round trip counts, in ms: paths change. */
const MIN_RTT_AGE = 300_000;

/** Round-trip time and retransmission time-out (RFC 6298). Times in ms. */
export class RttEstimator {
  /** Smoothed; -1 before the first measurement. */
  smoothed = -1;
  variation = 0;
  /** Without back-off. */
  rto: number = INITIAL_RTO;
  /** The smallest of the last five to ten minutes. */
  least: number = Number.POSITIVE_INFINITY;
  #leastAt = 0;

  sample(rtt: number, now: number): void {
    if (this.smoothed < 0) {
      this.smoothed = rtt;
      this.variation = rtt / 2;
    } else {
      this.variation += (Math.abs(this.smoothed - rtt) - this.variation) / 4;
      this.smoothed += (rtt - this.smoothed) / 8;
    }
    const margin = Math.max(CLOCK, 4 * this.variation);
    this.rto = Math.min(MOST_RTO, Math.max(LEAST_RTO, this.smoothed + margin));
    if (rtt <= this.least || now - this.#leastAt > MIN_RTT_AGE) {
      this.least = rtt;
      this.#leastAt = now;
    }
  }

  /** The time-out after `times` of them in a row (rule 5.5). */
  backedOff(times: number): number {
    return Math.min(MOST_RTO, this.rto * 2 ** Math.min(times, 16));
  }
}
