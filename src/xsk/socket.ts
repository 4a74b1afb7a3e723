import { ArgumentError, BarewireError } from '../error.ts';
import { type Arena, Fd, type Netns } from '../sys/index.ts';
import { bindWhenFree, type CopyMode, type Refusal, type RingSizes, ringSizes } from './bind.ts';
import { type BusyPollOptions, setBusyPoll } from './busy-poll.ts';
import { NoQueueError } from './error.ts';
import { Forwarder, type Rewrite } from './forwarder.ts';
import { Owner } from './ownership.ts';
import type { PacketBatch } from './packet-batch.ts';
import { type CompletionVisit, QueueRings } from './queue-rings.ts';
import { discoverQueues } from './queues.ts';
import { Receiver, type Visit } from './receiver.ts';
import type { RingPlace } from './ring.ts';
import { type Build, Sender } from './sender.ts';
import { readStatistics, type XskStatistics } from './statistics.ts';
import type { RingName } from './uapi.ts';
import { Umem, type UmemHandle } from './umem.ts';
import { type LinkState, Wakeup } from './wakeup.ts';

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
  /** How many frames wait in the kernel for packets. Default is half of the UMEM, and no more than RX holds. */
  readonly fillTarget?: number;
  /** Packets that one system call sends in copy mode, 32 or more, where the kernel lets us say (6.18). Default is 64. */
  readonly txBudget?: number;
  /** Polls the driver from our own thread. Default is not to. */
  readonly busyPoll?: BusyPollOptions | undefined;
  /** A socket of the same queue and UMEM to share fill and completion rings with; its `fillTarget` is for both. */
  readonly sameQueueAs?: XskSocket;
  /** How long to try while the queue is still another's, in ms. Default is 500: a closed socket's is freed late. */
  readonly busyTimeout?: number;
}

/** What a worker needs to use a socket: may be posted. */
export interface XskSocketHandle {
  readonly fd: number;
  readonly what: string;
  readonly interface: string;
  readonly queue: number;
  readonly rings: SharedArrayBuffer;
  readonly places: Readonly<Record<RingName, RingPlace>>;
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

/** Words of the first page of the rings' memory, which is ours, beside the one of `Wakeup`. */
const FILLED_AT = 1;
const SENDING_AT = 2;

/** Packets in one go where the caller does not say. */
const DEFAULT_BATCH = 64;

/** What a socket is made of. */
interface Parts {
  readonly umem: Umem;
  readonly fd: Fd;
  readonly name: string;
  readonly queue: number;
  readonly mode: CopyMode;
  readonly refusals: readonly Refusal[];
  readonly multiBuffer: boolean;
  readonly words: Int32Array;
  readonly places: Partial<Record<RingName, RingPlace>>;
  /** Absent in a thread that adopted the socket. */
  readonly arena: Arena | undefined;
  readonly wakeup: Wakeup;
  readonly rings: QueueRings;
}

/**
 * An AF_XDP socket on one queue of an interface.
 *
 *     pool --fill()--> fill ring --kernel--> RX ring --receive()--> back to the fill ring
 *     pool --send()--> TX ring --kernel--> completion ring --complete()--> pool
 *     RX ring --forward()--> TX ring
 *
 * Nothing in `receive`, `forward`, `take`, `send` and `complete` allocates. It receives what an XDP program redirects
 * to it.
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
  readonly #rings: QueueRings;
  readonly #receiver: Receiver;
  readonly #sender: Sender;
  readonly #forwarder: Forwarder;
  readonly #wakeup: Wakeup;
  readonly #words: Int32Array;
  readonly #places: Partial<Record<RingName, RingPlace>>;
  readonly #arena: Arena | undefined;
  #closed = false;

  private constructor(parts: Parts) {
    const { umem, words, places, rings, wakeup } = parts;
    this.umem = umem;
    this.fd = parts.fd;
    this.interface = parts.name;
    this.queue = parts.queue;
    this.mode = parts.mode;
    this.refusals = parts.refusals;
    this.multiBuffer = parts.multiBuffer;
    this.#rings = rings;
    this.#receiver = new Receiver(words, places.rx!, rings);
    this.#sender = new Sender(words, places.tx!, rings, wakeup);
    this.#forwarder = new Forwarder(this.#receiver);
    this.#wakeup = wakeup;
    this.#words = words;
    this.#places = places;
    this.#arena = parts.arena;
  }

  /**
   * Makes a socket, binds it to its queue and fills its fill ring.
   *
   * @throws NoInterfaceError, NoQueueError, QueueBusyError; ArgumentError for sizes that cannot be; SystemError.
   */
  static async open(options: XskSocketOptions): Promise<XskSocket> {
    const { umem, queue = 0, netns, multiBuffer = false, sameQueueAs, copy = 'auto', busyPoll } = options;
    const sizes = ringSizes(options.rings ?? {});
    const { name, index, queues } = discoverQueues(options.interface, netns);
    if (!Number.isInteger(queue) || queue < 0 || queue >= queues) throw new NoQueueError(name, queue, queues);
    if (sameQueueAs !== undefined && sameQueueAs.umem !== umem) {
      throw new ArgumentError('sockets of one queue share its UMEM');
    }
    const request = {
      umem,
      netns,
      name,
      ifindex: index,
      queue,
      rings: sizes,
      modes: copy === 'auto' ? (['zero-copy', 'copy'] as const) : [copy],
      multiBuffer,
      txBudget: options.txBudget ?? 64,
      sameQueue: sameQueueAs?.fd,
      what: `the AF_XDP socket of ${name}, queue ${queue}`,
    };
    const { fd, arena, places, mode, refusals } = await bindWhenFree(request, options.busyTimeout ?? 500);
    try {
      if (busyPoll !== undefined) setBusyPoll(fd, busyPoll);
      const words = new Int32Array(arena.buffer, 0, arena.size / 4);
      const wakeup = new Wakeup(fd.number, fd.what, words, busyPoll !== undefined);
      const target = options.fillTarget ?? Math.min(umem.frames >> 1, sizes.rx);
      const { fill, completion } = places;
      const rings =
        fill === undefined || completion === undefined
          ? sameQueueAs!.#rings
          : new QueueRings(umem, words, { fill, completion }, wakeup, { target, filled: 0, sending: 0 });
      const parts = {
        umem,
        fd,
        name,
        queue,
        mode,
        refusals,
        multiBuffer,
        words,
        places,
        arena,
        wakeup,
        rings,
      };
      const socket = new XskSocket(parts);
      // Before any program redirects to it: a packet that finds no frame is lost.
      socket.fill();
      return socket;
    } catch (error) {
      umem.leave(fd);
      arena.close();
      fd.close();
      throw error;
    }
  }

  /**
   * A socket that another thread made, with its frames. Only one of the two threads may use it; the first one closes it.
   */
  static adopt(handle: XskSocketHandle): XskSocket {
    const { places, mode, multiBuffer, queue } = handle;
    const umem = Umem.adopt(handle.umem);
    const words = new Int32Array(handle.rings, 0, handle.rings.byteLength / 4);
    const wakeup = new Wakeup(handle.fd, handle.what, words, handle.busyPolled);
    return new XskSocket({
      umem,
      fd: new Fd(handle.fd, handle.what),
      name: handle.interface,
      queue,
      mode,
      refusals: [],
      multiBuffer,
      words,
      places,
      arena: undefined,
      wakeup,
      rings: new QueueRings(umem, words, places, wakeup, { ...handle, target: handle.fillTarget }),
    });
  }

  /** For `adopt` in a worker. @throws ArgumentError when it shares its rings, or is adopted itself. */
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
      ...this.held,
      fillTarget: this.fillTarget,
      busyPolled: this.#wakeup.busyPolled,
      multiBuffer: this.multiBuffer,
    };
  }

  /** In the thread that adopted it: hands the socket back. Nothing of it may be used here any more. */
  yield(): void {
    this.#receiver.ring.release();
    this.#rings.fillRing.publish();
    this.#words[FILLED_AT] = this.#rings.filled;
    this.#words[SENDING_AT] = this.#rings.sending;
  }

  /** In its first thread: takes the socket back from a thread that has yielded it. */
  resume(): void {
    this.#rings.resume(this.#words[FILLED_AT]!, this.#words[SENDING_AT]!);
    this.#receiver.ring.reload();
    this.#sender.ring.reload();
  }

  /** As the last attempt to send has found it. */
  get state(): LinkState {
    return this.#wakeup.state;
  }

  /** Also when the thread that it was adopted from has closed it. */
  get closed(): boolean {
    return this.#closed || this.#wakeup.closed;
  }

  /** How many frames are to wait in the kernel for packets. */
  get fillTarget(): number {
    return this.#rings.target;
  }

  get traffic(): Traffic {
    return {
      rxPackets: this.#receiver.packets,
      rxBytes: this.#receiver.bytes,
      txPackets: this.#sender.packets,
      txBytes: this.#sender.bytes,
      txRefused: this.#wakeup.refused,
      kicks: this.#wakeup.kicks,
    };
  }

  /** Frames with the kernel: waiting for packets, and on their way out. With `umem.pool` that is all of them. */
  get held(): { readonly filled: number; readonly sending: number } {
    return { filled: this.#rings.filled, sending: this.#rings.sending };
  }

  /** Packets on the TX ring that the kernel has not taken yet. */
  get unsent(): number {
    return this.#sender.ring.pending();
  }

  /** The kernel's counters. */
  statistics(): XskStatistics {
    return readStatistics(this.fd);
  }

  /** How many packets wait, up to `limit`. */
  waiting(limit: number = DEFAULT_BATCH): number {
    return this.#receiver.ring.available(limit);
  }

  /**
   * Shows the packets that are there to `visit`, at most `limit` of them, and returns how many that were.
   *
   * When it returns, their frames are the kernel's again: what is to be kept must be copied out.
   *
   * @param limit Default is 64.
   */
  receive(visit: Visit, limit: number = DEFAULT_BATCH): number {
    if (this.closed) throw this.#closedError();
    return this.#receiver.receive(visit, limit);
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
    if (this.closed) throw this.#closedError();
    if (to.umem !== this.umem) throw new ArgumentError('sockets forward within one UMEM only');
    return this.#forwarder.forward(rewrite, to.#sender, limit);
  }

  /**
   * Takes packets that are there into `batch`: their frames are the caller's until the batch is `release`d.
   *
   * @returns How many; at most the batch's capacity.
   */
  take(batch: PacketBatch): number {
    if (this.closed) throw this.#closedError();
    return this.#receiver.take(batch);
  }

  /** Hands frames of the pool to the kernel until `fillTarget` of them wait there; how many that took. */
  fill(): number {
    return this.#rings.fill();
  }

  /**
   * Sends up to `count` packets, each written by `build` straight into its frame.
   *
   * A `build` that returns 0 sends none for its index.
   *
   * @returns How many indices were dealt with; fewer than `count` while TX ring or pool are short.
   * @throws ArgumentError when `build` returned a length beyond its room; what was built before it is sent.
   */
  send(count: number, build: Build): number {
    if (this.closed) throw this.#closedError();
    return this.#sender.send(count, build);
  }

  /** Takes a frame out of the pool: the address where a packet to be sent begins, or -1. It is the caller's now. */
  reserve(): number {
    const { pool, ledger, txStart } = this.umem;
    if (pool.available === 0) this.complete();
    const base = pool.take();
    if (base < 0) return -1;
    ledger?.move(this.umem.frameOf(base), Owner.pool, Owner.user, 'to reserve');
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
    return this.#sender.enqueue(address, length, options);
  }

  /** Shows the kernel what was put on the TX ring, and wakes it where it must be. */
  flush(): void {
    if (!this.closed) this.#sender.flush();
  }

  /**
   * Takes back the frames that were sent, into the pool; how many.
   *
   * @param visit Sees each one before it goes, for the metadata of what was sent.
   */
  complete(visit?: CompletionVisit): number {
    return this.#rings.complete(visit);
  }

  /** Sends what is left and takes back its frames, for at most `timeout` ms; whether nothing is left on its way. */
  async drain(timeout = 1000): Promise<boolean> {
    const end = performance.now() + timeout;
    for (;;) {
      this.flush();
      this.complete();
      if (this.#rings.sending === 0) return true;
      if (performance.now() >= end || this.state === 'gone' || this.#closed) return false;
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
    this.#wakeup.close();
    // The rings' mappings keep the socket, and so the queue, alive: they go before the descriptor.
    this.#arena.close();
    this.umem.leave(this.fd);
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #closedError(): BarewireError {
    return new BarewireError('BW_CLOSED', `${this.fd.what} is closed`);
  }
}
