import { parseMac } from '../address/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import {
  Arena,
  callTo,
  Errno,
  Fd,
  MAP_POPULATE,
  Netns,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  rawSyscall,
  SYS,
  SystemError,
  withNetns,
} from '../sys/index.ts';
import { InterfaceGoneError } from './error.ts';
import {
  type FrameBuild,
  type FrameVisit,
  type LinkLayer,
  longestFrame,
  requireFrameLength,
} from './link-layer.ts';
import { discoverQueues, type InterfaceQueues } from './queues.ts';
import { Readable } from './readable.ts';
import { MSG_DONTWAIT, SO, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from './uapi.ts';

export interface PacketLinkOptions {
  /** By name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Receive frames of this EtherType only. Default is all. */
  readonly etherType?: number;
  /** Frames that this host sends are copied as well. Default is false. */
  readonly outgoing?: boolean;
  /** Frames that wait to be received. A power of two; default is 1024. */
  readonly frames?: number;
}

/** What happened at the socket, since it was last asked. */
export interface PacketStatistics {
  readonly received: number;
  /** Because nobody received what was there before. */
  readonly dropped: number;
}

/** `linux/if_packet.h`, `linux/if_ether.h`. */
const AF_PACKET = 17;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_RESERVE = 12;
const PACKET_QDISC_BYPASS = 20;
/** Since 4.20: frames that this host sends are none that it receives. */
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V2 = 1;
const TP_STATUS_USER = 0x01;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
/** `struct tpacket2_hdr`, in words of 32 bits: where its fields lie. */
const STATUS = 0;
const LENGTH = 1;
const SNAPLEN = 2;
/** mac @12, net @14. */
const OFFSETS = 3;
/** vlan_tci @24, vlan_tpid @26. */
const VLAN = 6;
/** The header, an address and alignment before the frame, and room for the VLAN tag that the kernel took out. */
const FRAME_OVERHEAD = 128;
const RESERVE = 16;

const SEND_BATCH = 64;
/** `struct mmsghdr` (64 bytes, its iov pointer @16, iovlen @24) and `struct iovec` (16 bytes). */
const MMSGHDR = 64;
const IOVEC = 16;

/**
 * A link over an AF_PACKET socket: copies of all frames that the interface receives, which the kernel handles as well.
 *
 * Receiving reads a ring in shared memory (TPACKET_V2), sending hands over batches by sendmmsg.
 */
export class PacketLink implements LinkLayer {
  readonly kind = 'af-packet';
  readonly name: string;
  readonly mtu: number;
  readonly address: Uint8Array;
  readonly #fd: Fd;
  readonly #netns: Netns;
  readonly #index: number;
  readonly #arena: Arena;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #frames: number;
  readonly #frameSize: number;
  readonly #room: number;
  readonly #messages: Uint8Array;
  /** Words of the lengths of the iovecs; the upper halves stay 0. */
  readonly #firstIovec: number;
  readonly #buffers: number;
  readonly #readable: Readable;
  /** Of each message of a batch, the index that its frame was built for. */
  readonly #indices: Int32Array = new Int32Array(SEND_BATCH);
  #next = 0;
  #closed = false;
  #visiting = false;

  private constructor(found: InterfaceQueues, netns: Netns, fd: Fd, arena: Arena, layout: Layout) {
    this.name = found.name;
    this.mtu = found.mtu;
    this.address = found.address === undefined ? new Uint8Array(6) : parseMac(found.address);
    this.#fd = fd;
    this.#netns = netns;
    this.#index = found.index;
    this.#arena = arena;
    this.#words = new Int32Array(arena.buffer, 0, arena.size / 4);
    this.#bytes = new Uint8Array(arena.buffer, 0, arena.size);
    this.#frames = layout.frames;
    this.#frameSize = layout.frameSize;
    this.#room = longestFrame(found.mtu);
    this.#messages = new Uint8Array(arena.buffer, layout.messages, SEND_BATCH * MMSGHDR);
    this.#firstIovec = layout.iovecs / 4;
    this.#buffers = layout.buffers;
    this.#prepareMessages(layout);
    this.#readable = new Readable(found.name, [fd], () => this.#judgeFault());
  }

  /** @throws NoInterfaceError, ArgumentError, SystemError. */
  static open(ref: string | number, options: PacketLinkOptions = {}): PacketLink {
    const { frames = 1024, etherType = ETH_P_ALL } = options;
    if (!Number.isInteger(frames) || frames < 2 || (frames & (frames - 1)) !== 0) {
      throw new ArgumentError(`a ring of ${frames} frames: not a power of two of at least 2`);
    }
    if (!Number.isInteger(etherType) || etherType < 1 || etherType > 0xffff) {
      throw new ArgumentError(`${etherType} is no EtherType`);
    }
    const found = discoverQueues(ref, options.netns);
    const what = `the AF_PACKET socket of ${found.name}`;
    const fd = withNetns(options.netns, () => {
      // Protocol 0 receives nothing until the bind says what and from where.
      return new Fd(callTo(`make ${what}`, 'socket', AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), what);
    });
    let arena: Arena | undefined;
    try {
      const layout = layoutFor(found.mtu, frames);
      const set = (option: number, value: Uint32Array): void => {
        callTo(`set up ${what}`, 'setsockopt', fd.number, SOL_PACKET, option, value, value.byteLength);
      };
      set(PACKET_VERSION, new Uint32Array([TPACKET_V2]));
      set(PACKET_RESERVE, new Uint32Array([RESERVE]));
      if (options.outgoing !== true) set(PACKET_IGNORE_OUTGOING, new Uint32Array([1]));
      set(PACKET_QDISC_BYPASS, new Uint32Array([1]));
      // struct tpacket_req { block_size, block_nr, frame_size, frame_nr }
      set(PACKET_RX_RING, new Uint32Array([layout.blockSize, layout.blocks, layout.frameSize, frames]));
      arena = new Arena(layout.end);
      arena.map(fd, 0, layout.blockSize * layout.blocks, PROT_READ | PROT_WRITE, 0, MAP_POPULATE);
      // struct sockaddr_ll { family @0, protocol @2 in network order, ifindex @4, … }
      const address = new DataView(new ArrayBuffer(20));
      address.setUint16(0, AF_PACKET, true);
      address.setUint16(2, etherType, false);
      address.setInt32(4, found.index, true);
      callTo(`bind ${what}`, 'bind', fd.number, address, 20);
      return new PacketLink(
        found,
        withNetns(options.netns, () => Netns.current()),
        fd,
        arena,
        layout,
      );
    } catch (error) {
      arena?.close();
      fd.close();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(count: number, build: FrameBuild): number {
    this.#requireOpen();
    const indices = this.#indices;
    let done = 0;
    while (done < count) {
      const end = Math.min(count, done + SEND_BATCH);
      let messages = 0;
      for (let index = done; index < end; index++) {
        const at = this.#buffers + messages * this.#frameSize;
        const length = build(this.#bytes, at, this.#room, index);
        if (length === 0) continue;
        requireFrameLength(length, this.#room);
        this.#words[this.#firstIovec + messages * (IOVEC / 4) + 2] = length;
        indices[messages++] = index;
      }
      const sent = messages === 0 ? 0 : this.#hand(messages);
      if (sent < messages) return indices[sent]!;
      done = end;
    }
    return done;
  }

  receive(visit: FrameVisit, limit = 64): number {
    this.#requireOpen();
    if (this.#visiting) throw new BarewireError('BW_REENTERED', 'receive was called from its own callback');
    const words = this.#words;
    let seen = 0;
    this.#visiting = true;
    try {
      while (seen < limit) {
        const start = this.#next * this.#frameSize;
        const header = start >> 2;
        const status = Atomics.load(words, header + STATUS);
        if ((status & TP_STATUS_USER) === 0) break;
        seen++;
        try {
          this.#show(visit, start, status);
        } finally {
          Atomics.store(words, header + STATUS, 0);
          this.#next = (this.#next + 1) & (this.#frames - 1);
        }
      }
    } finally {
      this.#visiting = false;
    }
    return seen;
  }

  async readable(signal?: AbortSignal): Promise<void> {
    if (!this.#closed) await this.#readable.wait(signal);
  }

  /** Resets the counters as it reads them. */
  statistics(): PacketStatistics {
    const counters = new Uint32Array(2);
    const length = new Uint32Array([8]);
    callTo('read counters', 'getsockopt', this.#fd.number, SOL_PACKET, PACKET_STATISTICS, counters, length);
    return { received: counters[0]!, dropped: counters[1]! };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#readable.close();
    this.#arena.close();
    this.#fd.close();
    this.#netns.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The kernel reports an interface that goes down as an error of the socket, and goes on when it comes up. */
  #judgeFault(): Error | undefined {
    const errno = new Int32Array(1);
    // Reading the error clears it.
    rawSyscall(SYS.getsockopt, this.#fd.number, SOL_SOCKET, SO.error, errno, new Uint32Array([4]));
    using net = new Netlink({ netns: this.#netns });
    return net.links.find(this.#index) === undefined ? new InterfaceGoneError(this.name) : undefined;
  }

  #show(visit: FrameVisit, start: number, status: number): void {
    const words = this.#words;
    const header = start >> 2;
    const length = words[header + SNAPLEN]!;
    // What did not fit the ring's frame is a frame of another link's MTU: not one of ours.
    if (length !== words[header + LENGTH]) return;
    let at = start + (words[header + OFFSETS]! & 0xffff);
    if ((status & TP_STATUS_VLAN_VALID) === 0) {
      visit(this.#bytes, at, length);
      return;
    }
    // The kernel has taken the outer tag out of the frame: back in between source and EtherType.
    const bytes = this.#bytes;
    const vlan = words[header + VLAN]!;
    const tpid = (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? 0x8100 : vlan >>> 16;
    bytes.copyWithin(at - 4, at, at + 12);
    at -= 4;
    bytes[at + 12] = tpid >> 8;
    bytes[at + 13] = tpid & 0xff;
    bytes[at + 14] = (vlan >> 8) & 0xff;
    bytes[at + 15] = vlan & 0xff;
    visit(bytes, at, length + 4);
  }

  /** Hands over frames; how many the kernel took. */
  #hand(messages: number): number {
    const result = rawSyscall(SYS.sendmmsg, this.#fd.number, this.#messages, messages, MSG_DONTWAIT);
    if (result >= 0) return result;
    switch (-result) {
      case Errno.EAGAIN:
      case Errno.ENOBUFS:
      case Errno.EINTR:
      case Errno.ENETDOWN:
        return 0;
      case Errno.ENXIO:
      case Errno.ENODEV:
        throw new InterfaceGoneError(this.name);
      default:
        throw new SystemError('sendmmsg', -result, { doing: `send on ${this.#fd.what}` });
    }
  }

  /** Everything of the messages that stays the same: all but the lengths. */
  #prepareMessages(layout: Layout): void {
    const view = new DataView(this.#arena.buffer, 0, this.#arena.size);
    const { address } = this.#arena;
    for (let i = 0; i < SEND_BATCH; i++) {
      const iovec = layout.iovecs + i * IOVEC;
      view.setBigUint64(layout.messages + i * MMSGHDR + 16, BigInt(address + iovec), true);
      view.setBigUint64(layout.messages + i * MMSGHDR + 24, 1n, true);
      view.setBigUint64(iovec, BigInt(address + layout.buffers + i * layout.frameSize), true);
    }
  }

  #requireOpen(): void {
    if (this.#closed) throw new BarewireError('BW_CLOSED', `the link on ${this.name} is closed`);
  }
}

/** Where things lie in the arena, in bytes. */
interface Layout {
  readonly frames: number;
  readonly frameSize: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly messages: number;
  readonly iovecs: number;
  readonly buffers: number;
  readonly end: number;
}

function layoutFor(mtu: number, frames: number): Layout {
  let frameSize = 2048;
  while (frameSize < longestFrame(mtu) + FRAME_OVERHEAD) frameSize *= 2;
  const blockSize = Math.max(PAGE_SIZE, frameSize);
  const blocks = Math.ceil((frames * frameSize) / blockSize);
  const messages = blockSize * blocks;
  const iovecs = messages + SEND_BATCH * MMSGHDR;
  const buffers = iovecs + SEND_BATCH * IOVEC;
  return {
    frames,
    frameSize,
    blockSize,
    blocks,
    messages,
    iovecs,
    buffers,
    end: buffers + SEND_BATCH * frameSize,
  };
}
