import { ArgumentError, BarewireError } from '../error.ts';
import { Owner, type OwnerNumber } from './ownership.ts';
import type { PacketBatch } from './packet-batch.ts';
import type { QueueRings } from './queue-rings.ts';
import { ConsumerRing, type RingPlace } from './ring.ts';
import { DescriptorOption } from './uapi.ts';
import type { Umem } from './umem.ts';

/** Looks at a packet: bytes `address` to `address + length - 1` of `bytes`. `more`: it goes on in the next frame. */
export type Visit = (bytes: Uint8Array, address: number, length: number, more: boolean) => void;

/** A number of its own, for hot loops read no properties. */
const CONTINUED: number = DescriptorOption.continued;

/** The RX ring's side of a socket. */
export class Receiver {
  readonly umem: Umem;
  readonly ring: ConsumerRing;
  readonly queue: QueueRings;
  /** Since the socket was made. Doubles in a typed array: as fields they would be garbage each time. */
  readonly #counted: Float64Array = new Float64Array(2);
  readonly #baseMask: number;

  constructor(words: Int32Array, place: RingPlace, queue: QueueRings) {
    this.umem = queue.umem;
    this.ring = new ConsumerRing(words, place);
    this.queue = queue;
    this.#baseMask = queue.umem.baseMask;
  }

  get packets(): number {
    return this.#counted[0]!;
  }

  get bytes(): number {
    return this.#counted[1]!;
  }

  count(packets: number, bytes: number): void {
    this.#counted[0]! += packets;
    this.#counted[1]! += bytes;
  }

  /** Shows up to `limit` packets and gives their frames back; how many. */
  receive(visit: Visit, limit: number): number {
    // Less than none: another thread closed the socket this moment, and its rings read as zeros.
    const count = this.ring.available(limit) | 0;
    if (count <= 0) {
      this.queue.tend(0);
      return 0;
    }
    this.enter();
    try {
      this.#show(visit, count);
    } finally {
      this.queue.busy = false;
      if (this.ring.isDue(this.queue.lag)) this.settle();
    }
    return count;
  }

  /** Tells the kernel what was read and which frames it has back. */
  settle(): void {
    const { ring, queue } = this;
    ring.release();
    queue.fillRing.publish();
    queue.tend(queue.slack);
  }

  /** Moves up to a batch of packets to the caller; how many. */
  take(batch: PacketBatch): number {
    const { ring, queue } = this;
    const count = ring.available(batch.capacity) | 0;
    if (count <= 0) {
      queue.tend(0);
      return 0;
    }
    if (batch.socket.umem !== this.umem) throw new ArgumentError('the batch is of another socket');
    batch.release();
    const { words } = ring;
    const first = ring.first | 0;
    const mask = ring.mask | 0;
    const next = ring.next | 0;
    const { ledger, unaligned } = this.umem;
    let octets = 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const at = (first + (((next + i) & mask) << 2)) | 0;
      const low = words[at]!;
      const length = words[(at + 2) | 0]!;
      if (ledger !== undefined) ledger.move(this.umem.frameOf(low), Owner.fill, Owner.user, 'to take');
      batch.addresses[i] = unaligned ? low + (words[(at + 1) | 0]! >>> 16) : low;
      batch.lengths[i] = length;
      batch.options[i] = words[(at + 3) | 0]!;
      octets = (octets + length) | 0;
    }
    ring.next = (next + count) | 0;
    batch.count = count;
    queue.filled -= count;
    this.count(count, octets);
    if (ring.isDue(queue.lag)) this.settle();
    return count;
  }

  /** @throws BarewireError `BW_REENTERED` when packets of this queue are being looked at already. */
  enter(): void {
    if (this.queue.busy) {
      throw new BarewireError('BW_REENTERED', 'receive or forward was called from its own callback');
    }
    this.queue.busy = true;
  }

  /** With `debug`: the kernel hands over only what it was given. */
  check(count: number): void {
    this.#move(0, count, Owner.fill, Owner.rx, 'the kernel received into it');
  }

  /** With `debug`: packets from number `from` on were not looked at after all. */
  uncheck(from: number, count: number): void {
    this.#move(from, count, Owner.rx, Owner.fill, 'not looked at');
  }

  #show(visit: Visit, count: number): void {
    const { ring, queue, umem } = this;
    const fill = queue.fillRing;
    const { pool, ledger, bytes } = umem;
    const unaligned = umem.unaligned === true;
    const { words } = ring;
    const fillWords = fill.words;
    // What `| 0` says outside the loop, that these are 32-bit numbers, the compiler need not check in it.
    const baseMask = this.#baseMask | 0;
    const first = ring.first | 0;
    const mask = ring.mask | 0;
    const next = ring.next | 0;
    const fillFirst = fill.first | 0;
    const fillMask = fill.mask | 0;
    const fillNext = fill.next | 0;
    // The kernel tells how far it has emptied the fill ring only when it looks for more, so there may be no room.
    const room = fill.room(count) | 0;
    if (ledger !== undefined) this.check(count);
    let octets = 0;
    let done = 0;
    try {
      while (done < count) {
        const at = (first + (((next + done) & mask) << 2)) | 0;
        const low = words[at]!;
        const length = words[(at + 2) | 0]!;
        const base = low & baseMask;
        if (done < room) fillWords[(fillFirst + (((fillNext + done) & fillMask) << 1)) | 0] = base;
        else pool.give(base);
        done = (done + 1) | 0;
        octets = (octets + length) | 0;
        // An unaligned descriptor has the offset within its chunk in the upper 16 of its 64 bits.
        const address = unaligned ? low + (words[(at + 1) | 0]! >>> 16) : low;
        visit(bytes, address, length, (words[(at + 3) | 0]! & CONTINUED) !== 0);
      }
    } finally {
      // When a visit throws, the packets after its own stay on the ring.
      const filled = Math.min(done, room);
      if (ledger !== undefined) {
        this.#move(0, filled, Owner.rx, Owner.fill, 'to refill');
        this.#move(filled, done, Owner.rx, Owner.pool, 'to recycle');
        this.uncheck(done, count);
      }
      ring.next = (next + done) | 0;
      queue.filled += filled - done;
      fill.next = (fillNext + filled) | 0;
      this.count(done, octets);
    }
  }

  /** In the ledger, the frames of packets `from` to `to` that wait on the ring. */
  #move(from: number, to: number, owner: OwnerNumber, next: OwnerNumber, doing: string): void {
    const { words, first, mask, next: start } = this.ring;
    for (let i = from; i < to; i++) {
      const frame = this.umem.frameOf(words[first + (((start + i) & mask) << 2)]!);
      this.umem.ledger?.move(frame, owner, next, doing);
    }
  }
}
