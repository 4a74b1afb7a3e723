import { Netlink } from '../netlink/index.ts';
import {
  Arena,
  callTo,
  Errno,
  Fd,
  MAP_POPULATE,
  PROT_READ,
  PROT_WRITE,
  rawSyscall,
  SYS,
  SystemError,
} from '../sys/index.ts';

/** `linux/if_packet.h`, `linux/if_ether.h`, `linux/socket.h`. */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
const MSG_DONTWAIT = 0x40;
const Option = { rxRing: 5, version: 10, txRing: 13, qdiscBypass: 20, ignoreOutgoing: 23 } as const;
const TPACKET_V3 = 2;

const BLOCK_SIZE = 1 << 18;
const BLOCKS = 16;
const FRAME_SIZE = 2048;
/** After so long a block is handed over although it is not full, in ms. */
const RETIRE = 1;
/** Words of `struct tpacket_block_desc`: status, number of packets, offset of the first. */
const BLOCK = { status: 2, packets: 3, first: 4 } as const;
/** Words of `struct tpacket3_hdr`; `mac` is the lower half of its word. */
const HEADER = { next: 0, snapLength: 3, length: 4, status: 5, mac: 6 } as const;
const TP_STATUS_USER = 1;
const TP_STATUS_SEND_REQUEST = 1;
/** Where a frame to be sent begins behind its header. */
const TX_DATA = 48;

/** Looks at a frame in `bytes` from `at` on. */
export type PacketLook = (bytes: Uint8Array, at: number, length: number) => void;
/** Writes a frame to `bytes` from `at` on and returns its length. */
export type PacketWrite = (bytes: Uint8Array, at: number) => number;

/** What a benchmark does with AF_PACKET: the peers that AF_XDP is held against. */
export interface PacketSubject {
  /** Shows at most `limit` frames; how many there were. */
  receive(look: PacketLook, limit: number): number;
  /** Sends at most `count` frames; how many were taken. */
  send(count: number, write: PacketWrite): number;
}

function openSocket(name: string): { fd: Fd; index: number } {
  using net = new Netlink();
  const { index } = net.links.get(name);
  const what = `the AF_PACKET socket of ${name}`;
  return {
    index,
    fd: new Fd(callTo(`make ${what}`, 'socket', AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), what),
  };
}

function setOption(fd: Fd, option: number, ...words: number[]): void {
  const value = Uint32Array.from(words);
  callTo(`set up ${fd.what}`, 'setsockopt', fd.number, SOL_PACKET, option, value, value.byteLength);
}

function bindTo(fd: Fd, index: number): void {
  // struct sockaddr_ll { family @0, protocol @2 in network order, ifindex @4, … }
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL, false);
  address.setInt32(4, index, true);
  callTo(`bind ${fd.what}`, 'bind', fd.number, address, 20);
}

/** The rings of version 3, both ways: blocks of packets come in, frames go out. */
export function openPacketRings(name: string): PacketSubject {
  const { fd, index } = openSocket(name);
  setOption(fd, Option.version, TPACKET_V3);
  setOption(fd, Option.ignoreOutgoing, 1);
  setOption(fd, Option.qdiscBypass, 1);
  const frames = (BLOCK_SIZE / FRAME_SIZE) * BLOCKS;
  // struct tpacket_req3 { block_size, block_nr, frame_size, frame_nr, retire_blk_tov, sizeof_priv, feature_req_word }
  setOption(fd, Option.rxRing, BLOCK_SIZE, BLOCKS, FRAME_SIZE, frames, RETIRE, 0, 0);
  setOption(fd, Option.txRing, BLOCK_SIZE, BLOCKS, FRAME_SIZE, frames, 0, 0, 0);
  const size = 2 * BLOCK_SIZE * BLOCKS;
  const arena = new Arena(size);
  arena.map(fd, 0, size, PROT_READ | PROT_WRITE, 0, MAP_POPULATE);
  bindTo(fd, index);
  const words = new Int32Array(arena.buffer, 0, size >> 2);
  const bytes = new Uint8Array(arena.buffer, 0, size);
  const txStart = BLOCK_SIZE * BLOCKS;
  let block = 0;
  let left = 0;
  let at = 0;
  let slot = 0;
  return {
    receive(look, limit) {
      let count = 0;
      while (count < limit) {
        const head = (block * BLOCK_SIZE) >> 2;
        if (left === 0) {
          if ((Atomics.load(words, head + BLOCK.status) & TP_STATUS_USER) === 0) break;
          left = words[head + BLOCK.packets]!;
          at = block * BLOCK_SIZE + words[head + BLOCK.first]!;
        }
        for (; left > 0 && count < limit; left--, count++) {
          const header = at >> 2;
          look(bytes, at + (words[header + HEADER.mac]! & 0xffff), words[header + HEADER.snapLength]!);
          at += words[header + HEADER.next]!;
        }
        if (left === 0) {
          Atomics.store(words, head + BLOCK.status, 0);
          block = block + 1 === BLOCKS ? 0 : block + 1;
        }
      }
      return count;
    },
    send(count, write) {
      let sent = 0;
      for (; sent < count; sent++) {
        const frame = txStart + slot * FRAME_SIZE;
        const header = frame >> 2;
        // Anything but "available": it is on its way, or was refused.
        if (Atomics.load(words, header + HEADER.status) !== 0) break;
        words[header + HEADER.length] = write(bytes, frame + TX_DATA);
        words[header + HEADER.next] = 0;
        Atomics.store(words, header + HEADER.status, TP_STATUS_SEND_REQUEST);
        slot = slot + 1 === frames ? 0 : slot + 1;
      }
      judge(rawSyscall(SYS.sendto, fd.number, null, 0, MSG_DONTWAIT, null, 0));
      return sent;
    },
  };
}

/** A system call for each packet. */
export function openPlainPacket(name: string): PacketSubject {
  const { fd, index } = openSocket(name);
  setOption(fd, Option.ignoreOutgoing, 1);
  setOption(fd, Option.qdiscBypass, 1);
  bindTo(fd, index);
  const bytes = new Uint8Array(FRAME_SIZE);
  return {
    receive(look, limit) {
      for (let count = 0; count < limit; count++) {
        const length = rawSyscall(SYS.recvfrom, fd.number, bytes, FRAME_SIZE, MSG_DONTWAIT, null, null);
        if (length < 0) {
          judge(length);
          return count;
        }
        look(bytes, 0, length);
      }
      return limit;
    },
    send(count, write) {
      for (let sent = 0; sent < count; sent++) {
        const result = rawSyscall(SYS.sendto, fd.number, bytes, write(bytes, 0), MSG_DONTWAIT, null, 0);
        if (result < 0) {
          judge(result);
          return sent;
        }
      }
      return count;
    },
  };
}

/** Errors that mean "not now" pass. */
function judge(result: number): void {
  const passing: readonly number[] = [Errno.EAGAIN, Errno.ENOBUFS, Errno.EINTR, Errno.ENETDOWN];
  if (result < 0 && !passing.includes(-result)) throw new SystemError('sendto', -result);
}
