/**
 * Events wait here until the automata have come to rest, so that whoever hears of one may dial, hang up or remove: a
 * callback in the midst of a transition would find half of it done.
 */
export class EventQueue<Session, Event> {
  readonly #hear: (session: Session, event: Event) => void;
  #waiting: { readonly session: Session; readonly event: Event }[] = [];
  #telling = false;

  constructor(hear: (session: Session, event: Event) => void) {
    this.#hear = hear;
  }

  push(session: Session, event: Event): void {
    this.#waiting.push({ session, event });
  }

  /** Tells what waits, and what comes of telling it. Within itself it does nothing. */
  flush(): void {
    if (this.#telling || this.#waiting.length === 0) return;
    this.#telling = true;
    try {
      for (let i = 0; i < this.#waiting.length; i++) {
        const { session, event } = this.#waiting[i]!;
        this.#hear(session, event);
      }
    } finally {
      this.#waiting = [];
      this.#telling = false;
    }
  }
}
