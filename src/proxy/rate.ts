/** A rate in bytes a second as a token bucket that holds one second's worth. */
export class ByteRate {
  readonly #rate: number;
  #tokens: number;
  #last = 0;

  constructor(bytesPerSecond: number) {
    this.#rate = bytesPerSecond;
    this.#tokens = bytesPerSecond;
  }

  /**
   * Takes what has just been moved.
   *
   * @returns How long to wait before more is moved, in ms; 0 when there is some left.
   */
  take(bytes: number, now: number): number {
    if (this.#last !== 0) {
      const earned = ((now - this.#last) / 1000) * this.#rate;
      this.#tokens = Math.min(this.#rate, this.#tokens + earned);
    }
    this.#last = now;
    this.#tokens -= bytes;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate) * 1000;
  }
}
