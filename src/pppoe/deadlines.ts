/** Something with a time at which it wants to be called. */
export interface Timed {
  /** Milliseconds on the clock of `now`; Infinity for never. */
  readonly deadline: number;
  /** Kept by {@link Deadlines}; -1 outside. */
  slot: number;
}

/**
 * The deadlines of any number of sessions as a binary heap: one timer of the machine serves them all, and a change costs
 * a few comparisons and no object. Each knows its own slot.
 */
export class Deadlines<T extends Timed> {
  readonly #heap: T[] = [];

  /** How many have a deadline. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline; Infinity if there is none. */
  get next(): number {
    return this.#heap[0]?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** Takes note of an item's deadline as it is now. */
  update(item: T): void {
    const heap = this.#heap;
    if (item.deadline === Number.POSITIVE_INFINITY) {
      this.remove(item);
      return;
    }
    if (item.slot < 0) {
      item.slot = heap.length;
      heap.push(item);
    }
    this.#sink(this.#rise(item.slot));
  }

  remove(item: T): void {
    const heap = this.#heap;
    const { slot } = item;
    if (slot < 0) return;
    item.slot = -1;
    const last = heap.pop()!;
    if (last === item) return;
    heap[slot] = last;
    last.slot = slot;
    this.#sink(this.#rise(slot));
  }

  /** The item whose deadline is the earliest and not after `now`. It stays until it is updated. */
  due(now: number): T | undefined {
    const first = this.#heap[0];
    return first !== undefined && first.deadline <= now ? first : undefined;
  }

  #rise(from: number): number {
    const heap = this.#heap;
    const item = heap[from]!;
    let slot = from;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const other = heap[above]!;
      if (other.deadline <= item.deadline) break;
      heap[slot] = other;
      other.slot = slot;
      slot = above;
    }
    heap[slot] = item;
    item.slot = slot;
    return slot;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const item = heap[from]!;
    let slot = from;
    for (;;) {
      let below = 2 * slot + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.deadline < heap[below]!.deadline) below++;
      const other = heap[below]!;
      if (other.deadline >= item.deadline) break;
      heap[slot] = other;
      other.slot = slot;
      slot = below;
    }
    heap[slot] = item;
    item.slot = slot;
  }
}
