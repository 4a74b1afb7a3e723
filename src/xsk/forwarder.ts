import { Owner } from './ownership.ts';
import type { Receiver } from './receiver.ts';
import { lengthRefused, type Sender } from './sender.ts';
import { DescriptorOption } from './uapi.ts';

/** As `Visit`; returns how many bytes from `address` on to send, 0 to send none. */
export type Rewrite = (bytes: Uint8Array, address: number, length: number, more: boolean) => number;

/** A number of its own, for hot loops read no properties. */
const CONTINUED: number = DescriptorOption.continued;

/** From an RX ring to a TX ring, frame by frame, in place. */
export class Forwarder {
  readonly #receiver: Receiver;
  readonly #baseMask: number;
  /** The packet that ended the last batch, and goes on in the next, is being dropped. */
  #dropping = false;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
    this.#baseMask = receiver.umem.baseMask;
  }

  /** Sends on up to `limit` packets, as far as the TX ring has room; how many were looked at. */
  forward(rewrite: Rewrite, to: Sender, limit: number): number {
    const { ring, queue } = this.#receiver;
    const waiting = Math.max(0, ring.available(limit)) | 0;
    const { sending, completeAt } = to.queue;
    if (sending >= completeAt || (waiting === 0 && sending > 0)) to.queue.complete();
    const count = waiting === 0 ? 0 : to.ring.room(waiting) | 0;
    if (count <= 0) {
      if (waiting === 0) queue.tend(0);
      if (sending > 0 && to.ring.pending() > 0) to.flush();
      return 0;
    }
    to.requireIdle();
    this.#receiver.enter();
    try {
      this.#forwardAll(rewrite, to, count);
    } finally {
      queue.busy = false;
      to.flush();
      if (ring.isDue(queue.lag)) this.#receiver.settle();
    }
    return count;
  }

  #forwardAll(rewrite: Rewrite, to: Sender, count: number): void {
    const receiver = this.#receiver;
    const { ring, umem } = receiver;
    const out = to.ring;
    const { pool, ledger, bytes } = umem;
    const unaligned = umem.unaligned === true;
    const words = ring.words;
    const outWords = out.words;
    const frameSize = umem.frameSize | 0;
    const baseMask = this.#baseMask | 0;
    const first = ring.first | 0;
    const mask = ring.mask | 0;
    const next = ring.next | 0;
    const outFirst = out.first | 0;
    const outMask = out.mask | 0;
    const outNext = out.next | 0;
    if (ledger !== undefined) receiver.check(count);
    // Packets lie in another core's cache. In so short a loop the processor fetches many at once, in the long one below
    // it would wait for each; and what is written here, if only as it was, is ours to write there.
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const low = words[(first + (((next + i) & mask) << 2)) | 0]!;
      bytes[low] = bytes[low]!;
    }
    let octetsIn = 0;
    let octetsOut = 0;
    let sent = 0;
    let done = 0;
    let refused = 0;
    let dropping = this.#dropping;
    // The frame whose rewrite is under way: dropped when that throws.
    let open = -1;
    try {
      while (done < count) {
        const at = (first + (((next + done) & mask) << 2)) | 0;
        const low = words[at]!;
        const base = low & baseMask;
        const offset = unaligned ? words[(at + 1) | 0]! >>> 16 : (low - base) | 0;
        const received = words[(at + 2) | 0]!;
        const more = words[(at + 3) | 0]! & CONTINUED;
        octetsIn = (octetsIn + received) | 0;
        done = (done + 1) | 0;
        open = base;
        let length = dropping ? 0 : rewrite(bytes, (base + offset) | 0, received, more !== 0) | 0;
        open = -1;
        if (length <= 0 || length + offset > frameSize) {
          if (length !== 0) refused = length;
          if (ledger !== undefined) ledger.move(umem.frameOf(base), Owner.rx, Owner.pool, 'to drop');
          pool.give(base);
          length = 0;
        }
        dropping = length === 0 && more !== 0;
        if (length === 0) continue;
        if (ledger !== undefined) ledger.move(umem.frameOf(base), Owner.rx, Owner.tx, 'to forward');
        const slot = (outFirst + (((outNext + sent) & outMask) << 2)) | 0;
        outWords[slot] = low;
        if (unaligned) outWords[(slot + 1) | 0] = offset << 16;
        outWords[(slot + 2) | 0] = length;
        outWords[(slot + 3) | 0] = more;
        sent = (sent + 1) | 0;
        octetsOut = (octetsOut + length) | 0;
      }
    } finally {
      if (open !== -1) {
        if (ledger !== undefined) ledger.move(umem.frameOf(open), Owner.rx, Owner.pool, 'to drop');
        pool.give(open);
      }
      if (ledger !== undefined) receiver.uncheck(done, count);
      this.#dropping = dropping;
      ring.next = (next + done) | 0;
      receiver.queue.filled -= done;
      receiver.count(done, octetsIn);
      out.next = (outNext + sent) | 0;
      to.count(sent, octetsOut);
    }
    if (refused !== 0) throw lengthRefused(refused, frameSize);
  }
}
