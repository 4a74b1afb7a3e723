import { ArgumentError, BarewireError } from '../error.ts';
import { type Arena, Errno, Fd, type Netns, rawSyscall, SYS, SystemError } from '../sys/index.ts';

import { type Bound, bindSocket, type CopyMode, type Refusal, type RingSizes } from './bind.ts';
import { type BusyPollOptions, setBusyPoll } from './busy-poll.ts';
import { InterfaceGoneError, NoQueueError, QueueBusyError } from './error.ts';
import { Owner } from './ownership.ts';
import type { PacketBatch } from './packet-batch.ts';
import { QueueRings } from './queue-rings.ts';
import { discoverQueues } from './queues.ts';
import { ConsumerRing, ProducerRing, type RingPlace } from './ring.ts';
import { readStatistics, type XskStatistics } from './statistics.ts';
import { DescriptorOption, MSG_DONTWAIT } from './uapi.ts';
import { Umem, type UmemHandle } from './umem.ts';

export interface XskSocketOptions {
  /** The memory its packets lie in. Sockets that share one stay in one thread. */
  readonly umem: Umem;
  /** By name, alternative name or index. */
  readonly interface: string | number;
  /** By name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Default is 0. */
  readonly queue?: number;
  /** Entries of the rings: powers of two. Defaults are RX 2048, TX 2048, completion as TX, fill 4096. */
  readonly rings?: Partial<RingSizes>;
  /** Default is `auto`: zero copy where the driver has it, else copy. */
  readonly copy?: 'auto' | CopyMode;
  /** Packets longer than a frame come and go in several (Linux 6.6). Default is false. */
  readonly multiBuffer?: boolean;
  /** How many frames wait in the kernel for packets. Default is half of the UMEM's share, and no more than RX holds. */
  readonly fillTarget?: number;
  /** Packets that one system call sends in copy mode, 32 or more, where the kernel lets us say (6.18). Default is 64. */
  readonly txBudget?: number;
  /** Polls the driver from our own thread. Default is not to. */
  readonly busyPoll?: BusyPollOptions | undefined;
  /** A socket of the same queue and UMEM to share fill and completion rings with. */
  readonly sameQueueAs?: XskSocket;
  /** How long to try while the queue is still another's, in ms. Default is 500: a closed socket's is freed late. */
  readonly busyTimeout?: number;
}

/** Looks at a packet: bytes `address` to `address + length - 1` of `bytes`. `more`: it goes on in the next frame. */
export type Visit = (bytes: Uint8Array, address: number, length: number, more: boolean) => void;

/** As `Visit`; returns how many bytes from `address` on to send, 0 to send none. */
export type Rewrite = (bytes: Uint8Array, address: number, length: number, more: boolean) => number;

/** Writes the packet number `index` to `bytes` from `address` on, at most `room` bytes, and returns its length. */
export type Build = (bytes: Uint8Array, address: number, room: number, index: number) => number;

/** What a worker needs to use a socket: may be posted. */
export interface XskSocketHandle {
  readonly fd: number;
  readonly what: string;
  readonly interface: string;
  readonly queue: number;
  readonly rings: SharedArrayBuffer;
  readonly places: Readonly<Record<'rx' | 'tx' | 'fill' | 'completion', RingPlace>>;
  readonly umem: UmemHandle;
  readonly mode: CopyMode;
  readonly filled: number;
  readonly sending: number;
  readonly fillTarget: number;
  readonly busyPolled: boolean;
  readonly multiBuffer: boolean;
}

/** Packets and bytes since the socket was made, as counted here. */
export interface Traffic {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Handed to the kernel, which took and dropped them: no carrier, too short, or refused by the driver. */
  readonly txRefused: number;
  /** System calls that told the kernel of packets to send. */
  readonly kicks: number;
}

/** Whether packets can leave: `down` while the interface is, `gone` once it was deleted. */
export type LinkState = 'up' | 'down' | 'gone';

const RX_PACKETS = 0;
const RX_BYTES = 1;
const TX_PACKETS = 2;
const TX_BYTES = 3;
const TX_REFUSED = 4;
const KICKS = 5;

/** Words of the first page of the rings' memory, which is ours: what two threads tell each other. */
const CLOSED_AT = 0;
const FILLED_AT = 1;
const SENDING_AT = 2;

/** A number of its own, for hot loops read no properties. */
const CONTINUED: number = DescriptorOption.continued;

/** Packets in one go where the caller does not say. */
const DEFAULT_BATCH = 64;

/**
 * An AF_XDP socket on one queue of an interface.
 *
 *     pool --fill()--> fill ring --kernel--> RX ring --receive()--> back to the fill ring
 *     pool --send()--> TX ring --kernel--> completion ring --complete()--> pool
 *     RX ring --forward()--> TX ring
 *
 * Nothing in `receive`, `forward`, `send` and `complete` allocates. It receives what an XDP program redirects to it.
 */
export class XskSocket implements Disposable {
  readonly umem: Umem;
  readonly fd: Fd;
  readonly interface: string;
  readonly queue: number;
  /** Whether the kernel granted zero copy. */
  readonly mode: CopyMode;
  /** What was asked for and not granted, with the reasons. */
  readonly refusals: readonly Refusal[];
  readonly multiBuffer: boolean;
  readonly fillTarget: number;
  readonly #bytes: Uint8Array;
  readonly #rx: ConsumerRing;
  readonly #tx: ProducerRing;
  readonly #queue: QueueRings;
  readonly #arena: Arena | undefined;
  readonly #control: Int32Array;
  readonly #places: Partial<Record<'rx' | 'tx' | 'fill' | 'completion', RingPlace>>;
  readonly #busyPolled: boolean;
  /** From the address in a descriptor to its frame's. */
  readonly #baseMask: number;
  readonly #unaligned: boolean;
  readonly #number: number;
  readonly #counters: Float64Array;
  #state: LinkState = 'up';
  #visiting = false;
  /** The packet that `forward` is in the middle of is being dropped. */
  #dropping = false;
  #closed = false;

  private constructor(parts: {
    umem: Umem;
    fd: Fd;
    name: string;
    queue: number;
    mode: CopyMode;
    refusals: readonly Refusal[];
    multiBuffer: boolean;
    fillTarget: number;
    words: Int32Array;
    places: Partial<Record<'rx' | 'tx' | 'fill' | 'completion', RingPlace>>;
    rings: QueueRings;
    arena: Arena | undefined;
    busyPolled: boolean;
  }) {
    const { umem, places, words } = parts;
    this.umem = umem;
    this.fd = parts.fd;
    this.interface = parts.name;
    this.queue = parts.queue;
    this.mode = parts.mode;
    this.refusals = parts.refusals;
    this.multiBuffer = parts.multiBuffer;
    this.fillTarget = parts.fillTarget;
    this.#bytes = umem.bytes;
    this.#rx = new ConsumerRing(words, places.rx!);
    this.#tx = new ProducerRing(words, places.tx!);
    this.#queue = parts.rings;
    this.#arena = parts.arena;
    this.#control = words;
    this.#places = places;
    this.#busyPolled = parts.busyPolled;
    this.#unaligned = umem.unaligned;
    this.#baseMask = umem.unaligned ? -1 : -umem.frameSize;
    this.#number = parts.fd.number;
    this.#counters = new Float64Array(6);
  }

  /**
   * Makes a socket, binds it to its queue and fills its fill ring.
   *
   * @throws NoInterfaceError, NoQueueError, QueueBusyError; ArgumentError for sizes that cannot be; SystemError.
   */
  static async open(options: XskSocketOptions): Promise<XskSocket> {
    const { umem, queue = 0, netns, multiBuffer = false, sameQueueAs } = options;
    const rings = ringSizes(options.rings ?? {});
    const link = discoverQueues(options.interface, netns);
    const { queues } = link;
    if (!Number.isInteger(queue) || queue < 0 || queue >= queues)
      throw new NoQueueError(link.name, queue, queues);
    if (sameQueueAs !== undefined && sameQueueAs.umem !== umem) {
      throw new ArgumentError('sockets of one queue share its UMEM');
    }
    const modes: CopyMode[] =
      options.copy === undefined || options.copy === 'auto' ? ['zero-copy', 'copy'] : [options.copy];
    const request = {
      umem,
      netns,
      ifindex: link.index,
      queue,
      rings,
      modes,
      multiBuffer,
      txBudget: options.txBudget ?? 64,
      sameQueue: sameQueueAs?.fd,
      what: `the AF_XDP socket of ${link.name}, queue ${queue}`,
    };
    const bound = await bindWhenFree(request, link.name, queue, options.busyTimeout ?? 500);
    try {
      const words = new Int32Array(bound.arena.buffer, 0, bound.arena.size / 4);
      const { fill, completion } = bound.places;
      const queueRings =
        sameQueueAs === undefined ? new QueueRings(words, fill!, completion!, 0, 0) : sameQueueAs.#queue;
      if (options.busyPoll !== undefined) setBusyPoll(bound.fd, options.busyPoll);
      const socket = new XskSocket({
        umem,
        fd: bound.fd,
        name: link.name,
        queue,
        mode: bound.mode,
        refusals: bound.refusals,
        multiBuffer,
        fillTarget: options.fillTarget ?? Math.min(umem.frames >> 1, rings.rx),
        words,
        places: bound.places,
        rings: queueRings,
        arena: bound.arena,
        busyPolled: options.busyPoll !== undefined,
      });
      // Before any program redirects to it: a packet that finds no frame is lost.
      socket.fill();
      return socket;
    } catch (error) {
      umem.leave(bound.fd);
      bound.arena.close();
      bound.fd.close();
      throw error;
    }
  }

  /**
   * A socket that another thread made, with its frames. Only one of the two threads may use it; the first one closes it.
   */
  static adopt(handle: XskSocketHandle): XskSocket {
    const words = new Int32Array(handle.rings, 0, handle.rings.byteLength / 4);
    const { places } = handle;
    return new XskSocket({
      umem: Umem.adopt(handle.umem),
      fd: new Fd(handle.fd, handle.what),
      name: handle.interface,
      queue: handle.queue,
      mode: handle.mode,
      refusals: [],
      multiBuffer: handle.multiBuffer,
      fillTarget: handle.fillTarget,
      words,
      places,
      rings: new QueueRings(words, places.fill, places.completion, handle.filled, handle.sending),
      arena: undefined,
      busyPolled: handle.busyPolled,
    });
  }

  /** For `adopt` in a worker. */
  get handle(): XskSocketHandle {
    const { rx, tx, fill, completion } = this.#places;
    if (this.#arena === undefined || fill === undefined || completion === undefined) {
      throw new ArgumentError(
        'only a socket with rings of its own, in its first thread, can move to a worker',
      );
    }
    this.yield();
    return {
      fd: this.fd.number,
      what: this.fd.what,
      interface: this.interface,
      queue: this.queue,
      rings: this.#arena.buffer,
      places: { rx: rx!, tx: tx!, fill, completion },
      umem: this.umem.handle,
      mode: this.mode,
      filled: this.#queue.filled,
      sending: this.#queue.sending,
      fillTarget: this.fillTarget,
      busyPolled: this.#busyPolled,
      multiBuffer: this.multiBuffer,
    };
  }

  /** In the thread that adopted it: hands the socket back. Nothing of it may be used here any more. */
  yield(): void {
    this.#control[FILLED_AT] = this.#queue.filled;
    this.#control[SENDING_AT] = this.#queue.sending;
  }

  /** In its first thread: takes the socket back from a thread that has yielded it. */
  resume(): void {
    this.#queue.filled = this.#control[FILLED_AT]!;
    this.#queue.sending = this.#control[SENDING_AT]!;
    this.#rx.reload();
    this.#tx.reload();
    this.#queue.fill.reload();
    this.#queue.completion.reload();
  }

  get state(): LinkState {
    return this.#state;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get traffic(): Traffic {
    const c = this.#counters;
    return {
      rxPackets: c[RX_PACKETS]!,
      rxBytes: c[RX_BYTES]!,
      txPackets: c[TX_PACKETS]!,
      txBytes: c[TX_BYTES]!,
      txRefused: c[TX_REFUSED]!,
      kicks: c[KICKS]!,
    };
  }

  /** Frames with the kernel: waiting for packets, and on their way out. With `umem.pool` that is all of them. */
  get held(): { readonly filled: number; readonly sending: number } {
    return { filled: this.#queue.filled, sending: this.#queue.sending };
  }

  /** The kernel's counters. */
  statistics(): XskStatistics {
    return readStatistics(this.fd);
  }

  // ---- receiving

  /** How many packets wait, up to `limit`. */
  waiting(limit: number = DEFAULT_BATCH): number {
    return this.#rx.available(limit);
  }

  /**
   * Shows the packets that are there to `visit`, at most `limit` of them, and returns how many that were.
   *
   * When it returns, their frames are the kernel's again: what is to be kept must be copied out.
   *
   * @param limit Default is 64.
   */
  receive(visit: Visit, limit: number = DEFAULT_BATCH): number {
    const rx = this.#rx;
    const count = rx.available(limit);
    if (count === 0) {
      this.#whenIdle();
      return 0;
    }
    this.#enter();
    try {
      this.#show(visit, count);
    } finally {
      this.#visiting = false;
      if (this.#queue.filled < this.fillTarget) this.fill();
      if (this.#queue.fill.needsWakeup()) this.#wakeReceive();
    }
    return count;
  }

  /**
   * Shows packets as `receive` does and sends each on, in place, without a copy.
   *
   * @param to Where to; must have the same UMEM. Default is this socket.
   * @param limit Default is 64. It looks at no more packets than the TX ring has room for.
   * @returns How many packets were looked at.
   * @throws ArgumentError when `rewrite` returned a length that the frame does not have; that packet was dropped.
   */
  forward(rewrite: Rewrite, to: XskSocket = this, limit: number = DEFAULT_BATCH): number {
    if (to.#queue.sending > 0) to.complete();
    const rx = this.#rx;
    let count = rx.available(limit);
    if (count === 0) {
      this.#whenIdle();
      if (to.#tx.pending() > 0) to.flush();
      return 0;
    }
    if (to !== this && to.umem !== this.umem) throw new ArgumentError('sockets forward within one UMEM only');
    const room = to.#tx.room(count);
    if (room < count) {
      count = room;
      if (count === 0) {
        to.flush();
        return 0;
      }
    }
    this.#enter();
    try {
      this.#forwardAll(rewrite, to, count);
    } finally {
      this.#visiting = false;
      to.flush();
      if (this.#queue.filled < this.fillTarget) this.fill();
    }
    return count;
  }

  /**
   * Takes packets that are there into `batch`: their frames are the caller's until the batch is `release`d.
   *
   * @returns How many; at most the batch's capacity.
   */
  take(batch: PacketBatch): number {
    const rx = this.#rx;
    const count = rx.available(batch.capacity) | 0;
    if (count === 0) {
      this.#whenIdle();
      return 0;
    }
    if (batch.socket !== this) throw new ArgumentError('the batch is of another socket');
    batch.release();
    const { words } = rx;
    const first = rx.first | 0;
    const mask = rx.mask | 0;
    const next = rx.next | 0;
    const { ledger } = this.umem;
    let octets = 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const at = (first + (((next + i) & mask) << 2)) | 0;
      const low = words[at]!;
      const length = words[(at + 2) | 0]!;
      if (ledger !== undefined) ledger.move(this.umem.frameOf(low), Owner.fill, Owner.user, 'to take');
      batch.addresses[i] = this.#unaligned ? low + (words[(at + 1) | 0]! >>> 16) : low;
      batch.lengths[i] = length;
      batch.options[i] = words[(at + 3) | 0]!;
      octets = (octets + length) | 0;
    }
    rx.release(count);
    batch.count = count;
    this.#queue.filled -= count;
    this.#counters[RX_PACKETS]! += count;
    this.#counters[RX_BYTES]! += octets;
    if (this.#queue.filled < this.fillTarget) this.fill();
    return count;
  }

  /** Hands frames of the pool to the kernel until `fillTarget` of them wait there; how many that took. */
  fill(): number {
    const { fill } = this.#queue;
    const { pool, ledger } = this.umem;
    const wanted = Math.min(this.fillTarget - this.#queue.filled, pool.available);
    // In the middle of a batch its frames are being put there.
    if (wanted <= 0 || this.#visiting) return 0;
    const count = fill.room(wanted) | 0;
    if (count === 0) return 0;
    const { words } = fill;
    const first = fill.first | 0;
    const mask = fill.mask | 0;
    const next = fill.next | 0;
    const stack = pool.words;
    const top = stack[0]! | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const address = stack[(top - i) | 0]!;
      if (ledger !== undefined) ledger.move(this.umem.frameOf(address), Owner.pool, Owner.fill, 'to fill');
      words[(first + (((next + i) & mask) << 1)) | 0] = address;
    }
    stack[0] = top - count;
    fill.next = (next + count) | 0;
    fill.publish();
    this.#queue.filled += count;
    if (fill.needsWakeup()) this.#wakeReceive();
    return count;
  }

  // ---- sending

  /**
   * Sends up to `count` packets, each written by `build` straight into its frame.
   *
   * A `build` that returns 0 sends none for its index.
   *
   * @returns How many indices were dealt with; fewer than `count` while TX ring or pool are short.
   * @throws ArgumentError when `build` returned a length beyond its room; what was built before it is sent.
   */
  send(count: number, build: Build): number {
    if (this.#queue.sending > 0) this.complete();
    const tx = this.#tx;
    const { pool, ledger } = this.umem;
    const { words } = tx;
    const bytes = this.#bytes;
    const unaligned = this.#unaligned;
    const txStart = this.umem.txStart | 0;
    const txRoom = this.umem.txRoom | 0;
    const first = tx.first | 0;
    const mask = tx.mask | 0;
    const next = tx.next | 0;
    const room = Math.min(tx.room(count), pool.available) | 0;
    let packets = 0;
    let octets = 0;
    let done = 0;
    // The frame that is being built: back to the pool when that throws.
    let open = -1;
    try {
      while (done < room) {
        const base = pool.take() | 0;
        open = base;
        const length = build(bytes, (base + txStart) | 0, txRoom, done) | 0;
        if (length < 0 || length > txRoom) throw lengthRefused(length, txRoom);
        open = -1;
        done = (done + 1) | 0;
        if (length === 0) {
          pool.give(base);
          continue;
        }
        if (ledger !== undefined) ledger.move(this.umem.frameOf(base), Owner.pool, Owner.tx, 'to send');
        const at = (first + (((next + packets) & mask) << 2)) | 0;
        words[at] = unaligned ? base : (base + txStart) | 0;
        words[(at + 1) | 0] = unaligned ? txStart << 16 : 0;
        words[(at + 2) | 0] = length;
        words[(at + 3) | 0] = 0;
        packets = (packets + 1) | 0;
        octets = (octets + length) | 0;
      }
    } finally {
      if (open !== -1) pool.give(open);
      tx.next = (next + packets) | 0;
      this.#queue.sending += packets;
      this.#counters[TX_PACKETS]! += packets;
      this.#counters[TX_BYTES]! += octets;
      this.flush();
    }
    return done;
  }

  /** Takes a frame out of the pool: the address where a packet to be sent begins, or -1. It is the caller's now. */
  reserve(): number {
    const { pool, ledger, frameSize, txStart } = this.umem;
    if (pool.available === 0) this.complete();
    const base = pool.take();
    if (base < 0) return -1;
    if (ledger !== undefined) ledger.move(base / frameSize, Owner.pool, Owner.user, 'to reserve');
    return base + txStart;
  }

  /** Gives back the frame that `address` lies in, which was `reserve`d or kept from `take`. */
  release(address: number): void {
    const { umem } = this;
    umem.ledger?.move(umem.frameOf(address), Owner.user, Owner.pool, 'to release');
    umem.pool.give(umem.baseOf(address));
  }

  /**
   * Puts a packet in the caller's frame on the TX ring; `flush` sends. The frame is the kernel's then.
   *
   * @param options Bits of `DescriptorOption`: the packet goes on in the next frame, metadata lies before it.
   * @returns false when the ring is full, and the frame is still the caller's.
   */
  enqueue(address: number, length: number, options = 0): boolean {
    const { umem } = this;
    const base = umem.baseOf(address);
    // The kernel would swallow such a descriptor and never complete it: the frame would be lost.
    if (length <= 0 || address - base + length > umem.frameSize) {
      throw lengthRefused(length, umem.frameSize - (address - base));
    }
    const tx = this.#tx;
    if (tx.room(1) === 0) return false;
    umem.ledger?.move(umem.frameOf(address), Owner.user, Owner.tx, 'to enqueue');
    const at = tx.first + ((tx.next & tx.mask) << 2);
    const { words } = tx;
    words[at] = this.#unaligned ? base : address;
    words[(at + 1) | 0] = this.#unaligned ? (address - base) << 16 : 0;
    words[at + 2] = length;
    words[(at + 3) | 0] = options;
    tx.next = (tx.next + 1) | 0;
    this.#queue.sending++;
    this.#counters[TX_PACKETS]!++;
    this.#counters[TX_BYTES]! += length;
    return true;
  }

  /** Shows the kernel what was put on the TX ring, and wakes it where it must be. */
  flush(): void {
    this.#tx.publish();
    if (this.#busyPolled || this.#tx.needsWakeup()) this.#kick();
  }

  /**
   * Takes back the frames that were sent, into the pool; how many.
   *
   * @param visit Sees each one before it goes, for the metadata of what was sent.
   */
  complete(visit?: (bytes: Uint8Array, address: number) => void): number {
    const { completion } = this.#queue;
    const count = completion.available(completion.size) | 0;
    if (count === 0) return 0;
    const { pool, ledger } = this.umem;
    const { words } = completion;
    const first = completion.first | 0;
    const mask = completion.mask | 0;
    const next = completion.next | 0;
    const baseMask = this.#baseMask | 0;
    if (ledger !== undefined) this.#checkCompleted(count);
    if (visit !== undefined) {
      for (let i = 0; i < count; i++) {
        const at = first + (((next + i) & mask) << 1);
        visit(this.#bytes, this.#unaligned ? words[at]! + (words[at + 1]! >>> 16) : words[at]!);
      }
    }
    const stack = pool.words;
    const top = stack[0]! + 1;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      stack[(top + i) | 0] = words[(first + (((next + i) & mask) << 1)) | 0]! & baseMask;
    }
    stack[0] = top + count - 1;
    completion.release(count);
    this.#queue.sending -= count;
    return count;
  }

  /** Packets on the TX ring that the kernel has not taken yet. */
  get unsent(): number {
    return this.#tx.pending();
  }

  /**
   * Sends what is left and takes back its frames, for at most `timeout` ms; whether nothing is left on its way.
   */
  async drain(timeout = 1000): Promise<boolean> {
    const end = performance.now() + timeout;
    for (;;) {
      this.flush();
      this.complete();
      if (this.#queue.sending === 0) return true;
      if (performance.now() >= end || this.#state === 'gone') return false;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /**
   * Closes the socket. Take it out of its XSKMAP first, so that no packet is on its way to it.
   *
   * Frames that the kernel still had go back to the pool with the UMEM's last socket.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#arena === undefined) return;
    Atomics.store(this.#control, CLOSED_AT, 1);
    // The rings' mappings keep the socket, and so the queue, alive: they go before the descriptor.
    this.#arena.close();
    this.umem.leave(this.fd);
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #enter(): void {
    if (this.#visiting)
      throw new BarewireError('BW_REENTERED', 'receive or forward was called from its own callback');
    this.#visiting = true;
  }

  #show(visit: Visit, count: number): void {
    const rx = this.#rx;
    const { fill } = this.#queue;
    const { pool, ledger } = this.umem;
    const bytes = this.#bytes;
    const unaligned = this.#unaligned;
    const { words } = rx;
    const fillWords = fill.words;
    // What `| 0` says outside the loop, that these are 32-bit numbers, the compiler need not check in it.
    const baseMask = this.#baseMask | 0;
    const first = rx.first | 0;
    const mask = rx.mask | 0;
    const next = rx.next | 0;
    const fillFirst = fill.first | 0;
    const fillMask = fill.mask | 0;
    const fillNext = fill.next | 0;
    // The kernel tells how far it has emptied the fill ring only when it looks for more, so there may be no room.
    const room = fill.room(count) | 0;
    if (ledger !== undefined) this.#check(count);
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
        visit(
          bytes,
          unaligned ? low + (words[(at + 1) | 0]! >>> 16) : low,
          length,
          (words[(at + 3) | 0]! & CONTINUED) !== 0,
        );
      }
    } finally {
      // When a visit throws, the packets after its own stay on the ring.
      if (ledger !== undefined) this.#settle(count, done, room);
      rx.release(done);
      const filled = Math.min(done, room);
      this.#queue.filled += filled - done;
      fill.next = (fillNext + filled) | 0;
      if (filled > 0) fill.publish();
      this.#counters[RX_PACKETS]! += done;
      this.#counters[RX_BYTES]! += octets;
    }
  }

  /** With `debug`: what was shown goes to the fill ring or the pool, what was not stays the kernel's. */
  #settle(count: number, shown: number, room: number): void {
    const { words, first, mask, next } = this.#rx;
    const ledger = this.umem.ledger!;
    for (let i = 0; i < count; i++) {
      const frame = this.umem.frameOf(words[first + (((next + i) & mask) << 2)]!);
      ledger.move(frame, Owner.rx, i < shown && i >= room ? Owner.pool : Owner.fill, 'to give it back');
    }
  }

  /** With `debug`: the kernel hands over only what it was given. */
  #check(count: number): void {
    const { words, first, mask, next } = this.#rx;
    const ledger = this.umem.ledger!;
    for (let i = 0; i < count; i++) {
      const frame = this.umem.frameOf(words[first + (((next + i) & mask) << 2)]!);
      ledger.move(frame, Owner.fill, Owner.rx, 'the kernel received into it');
    }
  }

  /** With `debug`: the kernel completes what it was given to send, once. */
  #checkCompleted(count: number): void {
    const { words, first, mask, next } = this.#queue.completion;
    const ledger = this.umem.ledger!;
    for (let i = 0; i < count; i++) {
      const frame = this.umem.frameOf(words[first + (((next + i) & mask) << 1)]!);
      ledger.move(frame, Owner.tx, Owner.completion, 'the kernel completed it');
      ledger.move(frame, Owner.completion, Owner.pool, 'to complete');
    }
  }

  #forwardAll(rewrite: Rewrite, to: XskSocket, count: number): void {
    const rx = this.#rx;
    const tx = to.#tx;
    const { pool, ledger } = this.umem;
    const frameSize = this.umem.frameSize | 0;
    const bytes = this.#bytes;
    const baseMask = this.#baseMask | 0;
    const unaligned = this.#unaligned;
    const from = rx.words;
    const first = rx.first | 0;
    const mask = rx.mask | 0;
    const next = rx.next | 0;
    const out = tx.words;
    const outFirst = tx.first | 0;
    const outMask = tx.mask | 0;
    const outNext = tx.next | 0;
    if (ledger !== undefined) this.#check(count);
    let octetsIn = 0;
    let octetsOut = 0;
    let sent = 0;
    let done = 0;
    let refused = -1;
    let dropping = this.#dropping;
    // The frame whose rewrite is under way: dropped when that throws.
    let open = -1;
    try {
      while (done < count) {
        const at = (first + (((next + done) & mask) << 2)) | 0;
        const low = from[at]!;
        const base = low & baseMask;
        const offset = unaligned ? from[(at + 1) | 0]! >>> 16 : low - base;
        const received = from[(at + 2) | 0]!;
        const more = from[(at + 3) | 0]! & CONTINUED;
        octetsIn = (octetsIn + received) | 0;
        done = (done + 1) | 0;
        open = base;
        let length = dropping ? 0 : rewrite(bytes, (base + offset) | 0, received, more !== 0) | 0;
        open = -1;
        if (length <= 0 || length + offset > frameSize) {
          if (length !== 0) refused = length;
          if (ledger !== undefined) ledger.move(this.umem.frameOf(base), Owner.rx, Owner.pool, 'to drop');
          pool.give(base);
          length = 0;
        }
        dropping = length === 0 && more !== 0;
        if (length === 0) continue;
        if (ledger !== undefined) ledger.move(this.umem.frameOf(base), Owner.rx, Owner.tx, 'to forward');
        const slot = (outFirst + (((outNext + sent) & outMask) << 2)) | 0;
        out[slot] = low;
        out[(slot + 1) | 0] = unaligned ? offset << 16 : 0;
        out[(slot + 2) | 0] = length;
        out[(slot + 3) | 0] = more;
        sent = (sent + 1) | 0;
        octetsOut = (octetsOut + length) | 0;
      }
    } finally {
      if (open !== -1) {
        if (ledger !== undefined) ledger.move(this.umem.frameOf(open), Owner.rx, Owner.pool, 'to drop');
        pool.give(open);
      }
      this.#dropping = dropping;
      rx.release(done);
      tx.next = (outNext + sent) | 0;
      this.#queue.filled -= done;
      to.#queue.sending += sent;
      this.#counters[RX_PACKETS]! += done;
      this.#counters[RX_BYTES]! += octetsIn;
      to.#counters[TX_PACKETS]! += sent;
      to.#counters[TX_BYTES]! += octetsOut;
      // What was checked and not looked at, because a rewrite threw, is still the kernel's on the RX ring.
      if (ledger !== undefined) this.#uncheck(count - done);
    }
    if (refused !== -1) throw lengthRefused(refused, frameSize);
  }

  #uncheck(count: number): void {
    const { words, first, mask, next } = this.#rx;
    for (let i = 0; i < count; i++) {
      const frame = this.umem.frameOf(words[first + (((next + i) & mask) << 2)]!);
      this.umem.ledger!.move(frame, Owner.rx, Owner.fill, 'not looked at');
    }
  }

  #whenIdle(): void {
    if (this.#closed) throw new BarewireError('BW_CLOSED', `${this.fd.what} is closed`);
    if (this.#queue.filled < this.fillTarget) this.fill();
    if (this.#busyPolled || this.#queue.fill.needsWakeup()) this.#wakeReceive();
  }

  /** Has the driver look for packets, and for frames in the fill ring. */
  #wakeReceive(): void {
    if (Atomics.load(this.#control, CLOSED_AT) === 1) return;
    const result = rawSyscall(SYS.recvfrom, this.#number, null, 0, MSG_DONTWAIT, null, null);
    if (result < 0) this.#judge(-result, 'receive');
  }

  #kick(): void {
    const tx = this.#tx;
    while (tx.pending() > 0) {
      if (Atomics.load(this.#control, CLOSED_AT) === 1) return;
      const before = tx.taken();
      const result = rawSyscall(SYS.sendto, this.#number, null, 0, MSG_DONTWAIT, null, 0);
      this.#counters[KICKS]!++;
      if (result >= 0) {
        if (this.#state === 'down') this.#state = 'up';
        return;
      }
      // A packet was taken and dropped by the driver; its frame completes.
      if (result === -Errno.EBUSY) this.#counters[TX_REFUSED]!++;
      else if (!this.#judge(-result, 'send')) return;
      if (tx.taken() === before) {
        // Stuck behind completions that were not collected, or a full queue of the device: the next flush tries again.
        if (this.complete() === 0) return;
      }
    }
  }

  /** Whether to go on after an errno of a wake-up. */
  #judge(errno: number, doing: string): boolean {
    switch (errno) {
      case Errno.EAGAIN:
      case Errno.EINTR:
      case Errno.ENOBUFS:
      case Errno.EBUSY:
        return true;
      case Errno.ENETDOWN:
        if (this.#state === 'up') this.#state = 'down';
        return false;
      case Errno.ENXIO:
      case Errno.ENODEV:
        // The kernel unbinds the sockets of an interface that is deleted.
        this.#state = 'gone';
        return false;
      default:
        throw new SystemError('sendto', errno, { doing: `${doing} on ${this.fd.what}` });
    }
  }
}

const RING_DEFAULTS: RingSizes = { rx: 2048, tx: 2048, fill: 4096, completion: 2048 };
const MAX_RING = 1 << 20;

function ringSizes(given: Partial<RingSizes>): RingSizes {
  const sizes = { ...RING_DEFAULTS, completion: given.tx ?? RING_DEFAULTS.tx, ...given };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < 1 || size > MAX_RING || (size & (size - 1)) !== 0) {
      throw new ArgumentError(`a ${name} ring of ${size} entries: not a power of two up to ${MAX_RING}`);
    }
  }
  return sizes;
}

/** A queue that was just given up is taken for some moments more. */
async function bindWhenFree(
  request: Parameters<typeof bindSocket>[0],
  name: string,
  queue: number,
  timeout: number,
): Promise<Bound> {
  const end = performance.now() + timeout;
  for (let wait = 1; ; wait = Math.min(2 * wait, 50)) {
    try {
      return bindSocket(request);
    } catch (error) {
      if (!(error instanceof SystemError) || error.syscall !== 'bind') throw error;
      if (error.errno === Errno.ENODEV) throw new InterfaceGoneError(name, { cause: error });
      if (error.errno !== Errno.EBUSY) throw error;
      if (performance.now() >= end) throw new QueueBusyError(name, queue, error);
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function lengthRefused(length: number, room: number): ArgumentError {
  return new ArgumentError(`a packet of ${length} bytes does not fit its frame, which has room for ${room}`);
}
