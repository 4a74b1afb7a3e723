import { Owner } from './ownership.ts';
import { ConsumerRing, ProducerRing, type RingPlace } from './ring.ts';
import type { Umem } from './umem.ts';
import type { Wakeup } from './wakeup.ts';

/** So many frames on their way are worth looking whether they have left: each look costs two cores a cache line. */
const COMPLETE_AT = 256;

/** More than this gains nothing any more. */
const LAG = 256;

/** Sees a frame that was sent before it goes to the pool. */
export type CompletionVisit = (bytes: Uint8Array, address: number) => void;

/**
 * The two rings through which frames change hands without packets: fill (ours to the kernel, to receive into) and
 * completion (back to us, sent). One pair for each queue; sockets that share a queue share the pair.
 */
export class QueueRings {
  readonly umem: Umem;
  readonly fillRing: ProducerRing;
  readonly completionRing: ConsumerRing;
  /** How many frames are to wait in the kernel for packets. */
  readonly target: number;
  /** Frames handed over through the fill ring and not yet received, wherever in the kernel they are. */
  filled: number;
  /** Frames sent and not yet completed. */
  sending: number;
  /** While received packets are being looked at, whose frames go back to the fill ring as that goes on. */
  busy = false;
  /** What may be missing in the fill ring while packets come, to fill it less often: an eighth. */
  readonly slack: number;
  /** So many received packets may be read before the kernel hears of it, and of their frames in the fill ring. */
  readonly lag: number;
  /** From so many frames on their way on it is worth looking; few enough for small rings and memories. */
  readonly completeAt: number;
  readonly #wakeup: Wakeup;
  readonly #baseMask: number;

  constructor(
    umem: Umem,
    words: Int32Array,
    places: { readonly fill: RingPlace; readonly completion: RingPlace },
    wakeup: Wakeup,
    held: { readonly target: number; readonly filled: number; readonly sending: number },
  ) {
    this.umem = umem;
    this.fillRing = new ProducerRing(words, places.fill);
    this.completionRing = new ConsumerRing(words, places.completion);
    this.#wakeup = wakeup;
    this.target = held.target;
    this.slack = held.target >> 3;
    this.lag = Math.min(held.target >> 3, LAG);
    this.completeAt = Math.min(COMPLETE_AT, this.completionRing.size >> 1, umem.frames >> 3);
    this.filled = held.filled;
    this.sending = held.sending;
    this.#baseMask = umem.baseMask;
  }

  /** Hands frames of the pool to the kernel until `target` of them wait there; how many that took. */
  fill(): number {
    const { fillRing } = this;
    const { pool, ledger } = this.umem;
    const wanted = Math.min(this.target - this.filled, pool.available);
    if (wanted <= 0 || this.busy) return 0;
    const count = fillRing.room(wanted) | 0;
    if (count <= 0) return 0;
    const { words } = fillRing;
    const first = fillRing.first | 0;
    const mask = fillRing.mask | 0;
    const next = fillRing.next | 0;
    const stack = pool.words;
    const top = stack[0]! | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const address = stack[(top - i) | 0]!;
      if (ledger !== undefined) ledger.move(this.umem.frameOf(address), Owner.pool, Owner.fill, 'to fill');
      words[(first + (((next + i) & mask) << 1)) | 0] = address;
    }
    stack[0] = top - count;
    fillRing.next = (next + count) | 0;
    fillRing.publish();
    this.filled += count;
    if (fillRing.needsWakeup()) this.#wakeup.receive();
    return count;
  }

  /**
   * Tops the fill ring up, and has the driver look where it waits to be told.
   *
   * @param slack So many frames may be missing for now.
   */
  tend(slack: number): void {
    if (this.filled < this.target - slack) this.fill();
    if (this.#wakeup.busyPolled || this.fillRing.needsWakeup()) this.#wakeup.receive();
  }

  /** Takes back the frames that were sent, into the pool; how many. */
  complete(visit?: CompletionVisit): number {
    const ring = this.completionRing;
    const count = ring.available(ring.size) | 0;
    if (count <= 0) return 0;
    const { pool, ledger, bytes, unaligned } = this.umem;
    const { words } = ring;
    const first = ring.first | 0;
    const mask = ring.mask | 0;
    const next = ring.next | 0;
    const baseMask = this.#baseMask | 0;
    if (ledger !== undefined) this.#checkCompleted(count);
    if (visit !== undefined) {
      for (let i = 0; i < count; i++) {
        const at = first + (((next + i) & mask) << 1);
        visit(bytes, unaligned ? words[at]! + (words[at + 1]! >>> 16) : words[at]!);
      }
    }
    const stack = pool.words;
    const above = stack[0]! + 1;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      stack[(above + i) | 0] = words[(first + (((next + i) & mask) << 1)) | 0]! & baseMask;
    }
    stack[0] = above + count - 1;
    ring.next = (next + count) | 0;
    ring.release();
    this.sending -= count;
    return count;
  }

  /** Goes on where another thread left off. */
  resume(filled: number, sending: number): void {
    this.filled = filled;
    this.sending = sending;
    this.fillRing.reload();
    this.completionRing.reload();
  }

  /** With `debug`: the kernel completes what it was given to send, once. */
  #checkCompleted(count: number): void {
    const { words, first, mask, next } = this.completionRing;
    const ledger = this.umem.ledger!;
    for (let i = 0; i < count; i++) {
      const frame = this.umem.frameOf(words[first + (((next + i) & mask) << 1)]!);
      ledger.move(frame, Owner.tx, Owner.completion, 'the kernel completed it');
      ledger.move(frame, Owner.completion, Owner.pool, 'to complete');
    }
  }
}
