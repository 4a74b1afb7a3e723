import { ArgumentError, BarewireError } from '../error.ts';
import { Owner } from './ownership.ts';
import type { QueueRings } from './queue-rings.ts';
import { ProducerRing, type RingPlace } from './ring.ts';
import type { Umem } from './umem.ts';
import type { Wakeup } from './wakeup.ts';

/** Writes the packet number `index` to `bytes` from `address` on, at most `room` bytes, and returns its length. */
export type Build = (bytes: Uint8Array, address: number, room: number, index: number) => number;

/** The TX ring's side of a socket. */
export class Sender {
  readonly umem: Umem;
  readonly ring: ProducerRing;
  readonly queue: QueueRings;
  readonly #wakeup: Wakeup;
  readonly #counted: Float64Array = new Float64Array(2);
  #building = false;
  /** Made once: a closure for each kick would be garbage. */
  readonly #complete: () => number = () => this.queue.complete();

  constructor(words: Int32Array, place: RingPlace, queue: QueueRings, wakeup: Wakeup) {
    this.umem = queue.umem;
    this.ring = new ProducerRing(words, place);
    this.queue = queue;
    this.#wakeup = wakeup;
  }

  get packets(): number {
    return this.#counted[0]!;
  }

  get bytes(): number {
    return this.#counted[1]!;
  }

  /** Counts packets that were put on the ring. */
  count(packets: number, bytes: number): void {
    this.queue.sending += packets;
    this.#counted[0]! += packets;
    this.#counted[1]! += bytes;
  }

  /** @throws BarewireError `BW_REENTERED` while packets are being built. */
  requireIdle(): void {
    if (this.#building)
      throw new BarewireError('BW_REENTERED', 'a callback of send sends by the same socket');
  }

  /** Builds up to `count` packets in frames of the pool, and sends them; how many indices were dealt with. */
  send(count: number, build: Build): number {
    this.requireIdle();
    const { ring } = this;
    const { pool, ledger, bytes, unaligned } = this.umem;
    if (this.queue.sending >= this.queue.completeAt || pool.available < count) this.queue.complete();
    const { words } = ring;
    const txStart = this.umem.txStart | 0;
    const txRoom = this.umem.txRoom | 0;
    const first = ring.first | 0;
    const mask = ring.mask | 0;
    const next = ring.next | 0;
    const room = Math.min(ring.room(count), pool.available) | 0;
    // All frames at once, to where they will be needed: the callback may use the pool as well.
    const stack = pool.words;
    const top = stack[0]! | 0;
    for (let i = 0; i < room; i = (i + 1) | 0) {
      words[(first + (((next + i) & mask) << 2)) | 0] = stack[(top - i) | 0]!;
    }
    stack[0] = (top - room) | 0;
    let packets = 0;
    let octets = 0;
    let done = 0;
    this.#building = true;
    try {
      while (done < room) {
        const base = words[(first + (((next + done) & mask) << 2)) | 0]!;
        const length = build(bytes, (base + txStart) | 0, txRoom, done) | 0;
        if (length < 0 || length > txRoom) throw lengthRefused(length, txRoom);
        done = (done + 1) | 0;
        if (length === 0) {
          pool.give(base);
          continue;
        }
        if (ledger !== undefined) ledger.move(this.umem.frameOf(base), Owner.pool, Owner.tx, 'to send');
        const at = (first + (((next + packets) & mask) << 2)) | 0;
        // The upper half of an address is 0 in a new ring, and never anything else with aligned chunks.
        if (unaligned) words[(at + 1) | 0] = txStart << 16;
        words[at] = unaligned ? base : (base + txStart) | 0;
        words[(at + 2) | 0] = length;
        words[(at + 3) | 0] = 0;
        packets = (packets + 1) | 0;
        octets = (octets + length) | 0;
      }
    } finally {
      this.#building = false;
      // When `build` throws, its frame and those after it are unused.
      for (let i = done; i < room; i++) pool.give(words[(first + (((next + i) & mask) << 2)) | 0]!);
      ring.next = (next + packets) | 0;
      this.count(packets, octets);
      this.flush();
    }
    return done;
  }

  /** Puts a packet in the caller's frame on the ring; false when that is full. */
  enqueue(address: number, length: number, options: number): boolean {
    this.requireIdle();
    const { umem, ring } = this;
    const base = umem.baseOf(address);
    // The kernel would swallow such a descriptor and never complete it: the frame would be lost.
    if (length <= 0 || address - base + length > umem.frameSize) {
      throw lengthRefused(length, umem.frameSize - (address - base));
    }
    if (ring.room(1) === 0) return false;
    umem.ledger?.move(umem.frameOf(address), Owner.user, Owner.tx, 'to enqueue');
    const at = ring.first + ((ring.next & ring.mask) << 2);
    const { words } = ring;
    words[at] = umem.unaligned ? base : address;
    words[at + 1] = umem.unaligned ? (address - base) << 16 : 0;
    words[at + 2] = length;
    words[at + 3] = options;
    ring.next = (ring.next + 1) | 0;
    this.count(1, length);
    return true;
  }

  /** Shows the kernel what was put on the ring, and wakes it where it must be. */
  flush(): void {
    this.ring.publish();
    if (this.#wakeup.busyPolled || this.ring.needsWakeup()) this.#wakeup.send(this.ring, this.#complete);
  }
}

export function lengthRefused(length: number, room: number): ArgumentError {
  return new ArgumentError(`a packet of ${length} bytes does not fit its frame, which has room for ${room}`);
}
