/** Between two PADI of one MAC where the concentrator seems to count them, in milliseconds. */
const CAUTIOUS_INTERVAL = 1100;
/** As many unanswered PADI, beside answered ones, tell such a concentrator. */
const SUSPICIOUS = 3;

interface Pace {
  interval: number;
  nextAt: number;
  answered: number;
  unanswered: number;
}

/**
 * When a MAC address may send its next PADI. Some concentrators answer one PADI per MAC and second; a fleet on one
 * address that does not keep to it is heard no better for asking more often.
 */
export class MacPacing {
  readonly #interval: number;
  readonly #paces: Map<number, Pace> = new Map();

  /** @param interval between two PADI of one address, in milliseconds; it only grows. */
  constructor(interval: number) {
    this.#interval = interval;
  }

  /** Takes the next place in the row. @returns when it is; not before `now`. */
  slot(mac: number, now: number): number {
    const pace = this.#of(mac);
    // Whoever took this place waits for it and asks again when it has come.
    const at = Math.max(now, pace.nextAt);
    if (pace.interval > 0) pace.nextAt = at + pace.interval;
    return at;
  }

  answered(mac: number): void {
    this.#of(mac).answered++;
  }

  unanswered(mac: number): void {
    const pace = this.#of(mac);
    pace.unanswered++;
    // A concentrator that is down answers none; a lossy line loses the smaller part.
    if (pace.answered > 0 && pace.unanswered >= SUSPICIOUS && pace.unanswered > 2 * pace.answered) {
      pace.interval = Math.max(pace.interval, CAUTIOUS_INTERVAL);
    }
  }

  #of(mac: number): Pace {
    let pace = this.#paces.get(mac);
    if (pace === undefined) {
      pace = { interval: this.#interval, nextAt: Number.NEGATIVE_INFINITY, answered: 0, unanswered: 0 };
      this.#paces.set(mac, pace);
    }
    return pace;
  }
}
