/** In ms. How often silence is looked for. */
const SWEEP = 5_000;

/** Notices when nothing has happened for too long. */
export class IdleWatch {
  readonly #timer: NodeJS.Timeout;
  #last: number = performance.now();

  /** @param limit In ms. */
  constructor(limit: number, onIdle: () => void) {
    this.#timer = setInterval(
      () => {
        if (performance.now() - this.#last >= limit) onIdle();
      },
      Math.min(limit, SWEEP),
    );
    this.#timer.unref();
  }

  /** Something happened. */
  touch(): void {
    this.#last = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
