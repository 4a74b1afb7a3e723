/** Whoever wants to be woken. */
export interface TimerOwner {
  /** Called once the time has come; the timer is no longer set then. */
  onTimer(now: number, timer: Timer): void;
}

/** One timer: a place in a wheel's slot. Setting and clearing it costs a few stores, however many there are. */
export class Timer {
  readonly owner: TimerOwner;
  /** When it is due, in ms; Infinity when it is not set. */
  at: number = Number.POSITIVE_INFINITY;
  /** The list of its slot, while it is set. */
  next: Timer | undefined = undefined;
  previous: Timer | undefined = undefined;
  slot = -1;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }
}

/** Slots of each level, as powers of two: 256 of 1 ms, then 64 each of 256 ms, 16.4 s, 17.5 min and 18.6 h. */
const BITS = [8, 6, 6, 6, 6] as const;
const FIRST: readonly number[] = [0, 256, 320, 384, 448];
const SHIFT: readonly number[] = [0, 8, 14, 20, 26];
const SLOTS = 512;
/** Ticks until the last level comes round. What lies further is set again when it gets there. */
const SPAN = 2 ** 32;

/**
 * All timers of a stack, in a hierarchy of wheels (Varghese and Lauck, 1987) that turns when it is told the time.
 *
 * A timer is never early, and up to a millisecond late.
 */
export class TimerWheel {
  readonly #slots: (Timer | undefined)[] = new Array<Timer | undefined>(SLOTS).fill(undefined);
  readonly #counts: Int32Array = new Int32Array(BITS.length);
  /** The last millisecond that has been dealt with. */
  #tick: number;
  /** No timer is due before this one; it may be too early after a timer was cleared. */
  #earliest: number = Number.POSITIVE_INFINITY;
  #exact = true;

  /** @param now In ms, on any scale that does not go back. */
  constructor(now = 0) {
    this.#tick = Math.floor(now);
  }

  /** How many timers are set. */
  get count(): number {
    let sum = 0;
    for (const count of this.#counts) sum += count;
    return sum;
  }

  /** When `advance` has something to do next, in ms; Infinity for never. */
  get deadline(): number {
    if (!this.#exact) {
      this.#earliest = this.#findEarliest();
      this.#exact = true;
    }
    return this.#earliest;
  }

  /** Sets the timer, whether it was set or not. */
  set(timer: Timer, at: number): void {
    if (timer.slot >= 0) this.clear(timer);
    timer.at = at;
    this.#insert(timer);
  }

  clear(timer: Timer): void {
    const { slot } = timer;
    if (slot < 0) return;
    const { next, previous } = timer;
    if (previous === undefined) this.#slots[slot] = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    timer.next = undefined;
    timer.previous = undefined;
    timer.slot = -1;
    this.#counts[levelOf(slot)]!--;
    if (Math.ceil(timer.at) <= this.#earliest) this.#exact = false;
    timer.at = Number.POSITIVE_INFINITY;
  }

  /** Wakes the owners of all timers that are due at `now`. */
  advance(now: number): void {
    const until = Math.floor(now);
    while (this.#tick < until) {
      if (this.deadline > until) {
        this.#tick = until;
        return;
      }
      // Nothing happens before the deadline, so the wheel may jump to just before it.
      this.#tick = Math.max(this.#tick, Math.min(this.#earliest, until) - 1);
      this.#turn(now);
    }
  }

  #turn(now: number): void {
    const tick = ++this.#tick;
    this.#exact = false;
    // Every wheel that comes to a new slot hands its timers down.
    for (let level = BITS.length - 1; level > 0; level--) {
      if (tick % 2 ** SHIFT[level]! === 0) this.#cascade(level, tick);
    }
    const slot = tick & 0xff;
    for (let timer = this.#slots[slot]; timer !== undefined; timer = this.#slots[slot]) {
      this.clear(timer);
      timer.owner.onTimer(now, timer);
    }
  }

  #cascade(level: number, tick: number): void {
    const slot = slotAt(level, tick);
    let timer = this.#slots[slot];
    this.#slots[slot] = undefined;
    while (timer !== undefined) {
      const { next } = timer;
      this.#counts[level]!--;
      timer.previous = undefined;
      // At this very tick the lowest wheel is turned right after.
      this.#insert(timer, tick);
      timer = next;
    }
  }

  #insert(timer: Timer, from = this.#tick + 1): void {
    const due = Math.max(Math.ceil(timer.at), from);
    const wait = due - this.#tick;
    let level = 0;
    while (level < BITS.length - 1 && wait >= 2 ** SHIFT[level + 1]!) level++;
    const slot = slotAt(level, wait < SPAN ? due : this.#tick + SPAN - 1);
    const head = this.#slots[slot];
    timer.slot = slot;
    timer.next = head;
    timer.previous = undefined;
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#counts[level]!++;
    const wake = level === 0 ? due : this.#start(level, wait < SPAN ? due : this.#tick + SPAN - 1);
    if (wake < this.#earliest) this.#earliest = wake;
  }

  /** When the slot that holds `due` is handed down. */
  #start(level: number, due: number): number {
    return due - (due % 2 ** SHIFT[level]!);
  }

  #findEarliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (let level = 0; level < BITS.length; level++) {
      if (this.#counts[level] === 0) continue;
      const width = 2 ** SHIFT[level]!;
      const here = Math.floor(this.#tick / width);
      const slots = 2 ** BITS[level]!;
      for (let ahead = 1; ahead <= slots; ahead++) {
        const start = (here + ahead) * width;
        if (start >= earliest) break;
        if (this.#slots[slotAt(level, start)] === undefined) continue;
        earliest = start;
        break;
      }
    }
    return earliest;
  }
}

function slotAt(level: number, tick: number): number {
  return FIRST[level]! + (Math.floor(tick / 2 ** SHIFT[level]!) % 2 ** BITS[level]!);
}

function levelOf(slot: number): number {
  return slot < 256 ? 0 : 1 + ((slot - 256) >> 6);
}
