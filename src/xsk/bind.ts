import { ArgumentError } from '../error.ts';
import {
  Arena,
  callTo,
  Errno,
  Fd,
  MAP_POPULATE,
  type Netns,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  syscall,
  withNetns,
} from '../sys/index.ts';
import { InterfaceGoneError, QueueBusyError } from './error.ts';
import type { RingPlace } from './ring.ts';
import {
  AF_XDP,
  BindFlag,
  ENTRY_SIZE,
  OPTION_ZERO_COPY,
  RING_FILE_OFFSET,
  type RingName,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_XDP,
  XdpOption,
} from './uapi.ts';
import type { Umem } from './umem.ts';

/** Entries of each ring: powers of two. */
export type RingSizes = Readonly<Record<RingName, number>>;

/** A way that the kernel refused, and why. */
export interface Refusal {
  /** As in `zero copy`. */
  readonly what: string;
  readonly reason: string;
}

/** Whether packets are copied between the driver's memory and the UMEM. */
export type CopyMode = 'zero-copy' | 'copy';

const RING_DEFAULTS: RingSizes = { rx: 2048, tx: 2048, fill: 4096, completion: 2048 };
const MAX_RING = 1 << 20;

/**
 * Fills in what was not said.
 *
 * @throws ArgumentError for a size that is no power of two.
 */
export function ringSizes(given: Partial<RingSizes>): RingSizes {
  const sizes = { ...RING_DEFAULTS, completion: given.tx ?? RING_DEFAULTS.tx, ...given };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < 1 || size > MAX_RING || (size & (size - 1)) !== 0) {
      throw new ArgumentError(`a ${name} ring of ${size} entries: not a power of two up to ${MAX_RING}`);
    }
  }
  return sizes;
}

export interface BindRequest {
  readonly umem: Umem;
  readonly netns: Netns | string | undefined;
  /** The interface, by name for errors. */
  readonly name: string;
  readonly ifindex: number;
  readonly queue: number;
  readonly rings: RingSizes;
  /** What may be tried, best first. */
  readonly modes: readonly CopyMode[];
  readonly multiBuffer: boolean;
  /** Descriptors that one system call sends in copy mode, where the kernel lets us say. */
  readonly txBudget: number;
  /** A bound socket of the same queue, whose fill and completion rings serve both. */
  readonly sameQueue: Fd | undefined;
  readonly what: string;
}

/** A socket bound to its queue, with its rings mapped. */
export interface Bound {
  readonly fd: Fd;
  readonly arena: Arena;
  readonly places: Partial<Record<RingName, RingPlace>>;
  readonly mode: CopyMode;
  readonly refusals: readonly Refusal[];
}

/**
 * Binds as `bindSocket` does, and tries again for `timeout` ms while the queue is another's: one that was just given up
 * is taken for some moments more.
 *
 * @throws QueueBusyError, InterfaceGoneError; SystemError.
 */
export async function bindWhenFree(request: BindRequest, timeout: number): Promise<Bound> {
  const end = performance.now() + timeout;
  for (let wait = 1; ; wait = Math.min(2 * wait, 50)) {
    try {
      return bindSocket(request);
    } catch (error) {
      if (!(error instanceof SystemError) || error.syscall !== 'bind') throw error;
      if (error.errno === Errno.ENODEV) throw new InterfaceGoneError(request.name, { cause: error });
      if (error.errno !== Errno.EBUSY) throw error;
      if (performance.now() >= end) throw new QueueBusyError(request.name, request.queue, error);
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/**
 * Makes a socket, its rings, and binds it: the best mode that the kernel grants.
 *
 * A failed bind leaves the UMEM registered with its socket, so every try begins with a new one.
 *
 * @throws SystemError of the last try.
 */
function bindSocket(request: BindRequest): Bound {
  const refusals: Refusal[] = [];
  for (const [index, mode] of request.modes.entries()) {
    try {
      return { ...tryBind(request, mode), refusals };
    } catch (error) {
      const last = index === request.modes.length - 1;
      if (last || !(error instanceof SystemError) || error.syscall !== 'bind' || !refusesMode(error.errno)) {
        throw error;
      }
      refusals.push({ what: mode === 'zero-copy' ? 'zero copy' : 'copy', reason: reasonOf(error.errno) });
    }
  }
  throw new ArgumentError('no mode to bind in was given');
}

type BoundOnce = Omit<Bound, 'refusals'>;

function tryBind(request: BindRequest, mode: CopyMode): BoundOnce {
  const { umem, what } = request;
  const fd = withNetns(request.netns, () => {
    return new Fd(callTo(`make ${what}`, 'socket', AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), what);
  });
  let arena: Arena | undefined;
  try {
    const shared = request.sameQueue ?? umem.register(fd);
    const names: RingName[] =
      request.sameQueue === undefined ? ['rx', 'tx', 'fill', 'completion'] : ['rx', 'tx'];
    for (const name of names) {
      const size = new Uint32Array([request.rings[name]]);
      callTo(
        `make the ${name} ring of ${what}`,
        'setsockopt',
        fd.number,
        SOL_XDP,
        RING_OPTION[name],
        size,
        4,
      );
    }
    setTxBudget(fd, Math.min(request.txBudget, request.rings.tx));
    const offsets = readOffsets(fd);
    // The first page is ours: what this socket says to a worker that uses it.
    let end = PAGE_SIZE;
    const parts = names.map((name) => {
      const start = end;
      const length = pages(offsets[name].entries + request.rings[name] * ENTRY_SIZE[name]);
      end += length;
      return { name, start, length };
    });
    arena = new Arena(end);
    const places: Partial<Record<RingName, RingPlace>> = {};
    for (const { name, start, length } of parts) {
      arena.map(fd, start, length, PROT_READ | PROT_WRITE, RING_FILE_OFFSET[name], MAP_POPULATE);
      places[name] = placeAt(start, offsets[name], request.rings[name]);
    }
    bind(fd, request, mode, shared);
    umem.join(fd);
    return { fd, arena, places, mode: modeOf(fd) };
  } catch (error) {
    arena?.close();
    fd.close();
    throw error;
  }
}

const RING_OPTION: Readonly<Record<RingName, number>> = {
  rx: XdpOption.rxRing,
  tx: XdpOption.txRing,
  fill: XdpOption.fillRing,
  completion: XdpOption.completionRing,
};

function bind(fd: Fd, request: BindRequest, mode: CopyMode, shared: Fd | undefined): void {
  let flags: number = BindFlag.sharedUmem;
  if (shared === undefined) {
    // A shared UMEM takes over the first socket's mode, and the kernel refuses to hear of another.
    flags = BindFlag.needWakeup | (mode === 'zero-copy' ? BindFlag.zeroCopy : BindFlag.copy);
    if (request.multiBuffer) flags |= BindFlag.scatterGather;
  }
  // struct sockaddr_xdp { family @0, flags @2, ifindex @4, queue_id @8, shared_umem_fd @12 }
  const address = new DataView(new ArrayBuffer(16));
  address.setUint16(0, AF_XDP, true);
  address.setUint16(2, flags, true);
  address.setUint32(4, request.ifindex, true);
  address.setUint32(8, request.queue, true);
  address.setUint32(12, shared?.number ?? 0, true);
  const result = syscall('bind', fd.number, address, 16);
  if (result < 0) throw new SystemError('bind', -result, { doing: `bind ${request.what}` });
}

/** Errnos that speak of the mode rather than of the queue. */
function refusesMode(errno: number): boolean {
  return (
    errno === Errno.EOPNOTSUPP || errno === Errno.ENOTSUPP || errno === Errno.EINVAL || errno === Errno.ENOMEM
  );
}

function reasonOf(errno: number): string {
  if (errno === Errno.EOPNOTSUPP || errno === Errno.ENOTSUPP) return 'the driver has none';
  if (errno === Errno.ENOMEM) return 'the driver could not map the memory';
  return `the driver refused (${new SystemError('bind', errno).errnoName})`;
}

/** Since 6.18 one system call may send more than 32 packets in copy mode; before, it does not matter. */
function setTxBudget(fd: Fd, budget: number): void {
  syscall('setsockopt', fd.number, SOL_XDP, XdpOption.maxTxSkbBudget, new Uint32Array([budget]), 4);
}

function modeOf(fd: Fd): CopyMode {
  const options = new Uint32Array(1);
  const length = new Uint32Array([4]);
  callTo(`ask about ${fd.what}`, 'getsockopt', fd.number, SOL_XDP, XdpOption.options, options, length);
  return (options[0]! & OPTION_ZERO_COPY) === 0 ? 'copy' : 'zero-copy';
}

/** Offsets within a ring's mapping, in bytes. */
interface RingOffsets {
  readonly producer: number;
  readonly consumer: number;
  readonly entries: number;
  readonly flags: number;
}

/** `struct xdp_mmap_offsets { rx, tx, fr, cr }` of `struct xdp_ring_offset { producer, consumer, desc, flags }`. */
function readOffsets(fd: Fd): Record<RingName, RingOffsets> {
  const offsets = new DataView(new ArrayBuffer(128));
  const length = new Uint32Array([128]);
  callTo(`ask about ${fd.what}`, 'getsockopt', fd.number, SOL_XDP, XdpOption.mmapOffsets, offsets, length);
  if (length[0] !== 128) {
    throw new SystemError('getsockopt', Errno.EOPNOTSUPP, {
      doing: `use ${fd.what}`,
      hint: 'AF_XDP with need-wakeup came with Linux 5.4.',
    });
  }
  const ring = (at: number): RingOffsets => ({
    producer: Number(offsets.getBigUint64(at, true)),
    consumer: Number(offsets.getBigUint64(at + 8, true)),
    entries: Number(offsets.getBigUint64(at + 16, true)),
    flags: Number(offsets.getBigUint64(at + 24, true)),
  });
  return { rx: ring(0), tx: ring(32), fill: ring(64), completion: ring(96) };
}

function placeAt(start: number, offsets: RingOffsets, size: number): RingPlace {
  return {
    producer: (start + offsets.producer) >> 2,
    consumer: (start + offsets.consumer) >> 2,
    flags: (start + offsets.flags) >> 2,
    entries: (start + offsets.entries) >> 2,
    size,
  };
}

/** The kernel refuses a mapping longer than the ring, in whole pages. */
function pages(length: number): number {
  return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
}
