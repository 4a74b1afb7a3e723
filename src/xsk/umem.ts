import { ArgumentError, BarewireError } from '../error.ts';
import { Arena, Errno, type Fd, SystemError, syscall } from '../sys/index.ts';
import { FramePool } from './frame-pool.ts';
import { Ledger, type OwnerName } from './ownership.ts';
import { MAX_CHUNK, MIN_CHUNK, PACKET_HEADROOM, SOL_XDP, UmemFlag, XdpOption } from './uapi.ts';

export interface UmemOptions {
  /** How many frames. Default is 4096. */
  readonly frames?: number;
  /** Bytes of a frame: 2048 or 4096; with `unaligned` anything from 2048 to 4096. Default is 2048. */
  readonly frameSize?: number;
  /** Bytes kept free before each packet, beyond the kernel's 256 on receive. Default is 0. */
  readonly headroom?: number;
  /**
   * Asks for pages of 2 MiB (`vm.nr_hugepages`), else for transparent ones; `umem.pages` says which were granted.
   * Default is false.
   */
  readonly hugePages?: boolean;
  /** Chunks at any address, so that frames need not be powers of two. Default is false. */
  readonly unaligned?: boolean;
  /**
   * Room for metadata before each sent packet: checksum, timestamp, launch time (Linux 6.8). `software` has the kernel
   * compute the checksums, where the card cannot. Default is false.
   */
  readonly txMetadata?: boolean | 'software';
  /** Checks at every step that a frame is used by its owner only. Default is false, and costs nothing. */
  readonly debug?: boolean;
}

/** Bytes of `struct xsk_tx_metadata`: flags, then the request or the completion. */
export const TX_METADATA_SIZE = 24;

/** What a worker needs to use a UMEM: may be posted. */
export interface UmemHandle {
  readonly buffer: SharedArrayBuffer;
  readonly shape: UmemShape;
  readonly pool: SharedArrayBuffer;
  readonly ledger: SharedArrayBuffer | undefined;
}

interface UmemShape {
  readonly frames: number;
  readonly frameSize: number;
  readonly headroom: number;
  readonly unaligned: boolean;
  readonly txMetadata: boolean | 'software';
  /** Where the frames begin in the buffer. */
  readonly start: number;
}

/** Pages of a UMEM: 2 MiB reserved ones, 2 MiB ones where the kernel finds them, or 4 KiB. */
export type PageKind = 'huge' | 'transparent' | 'normal';

const HUGE_PAGE = 2 * 1024 * 1024;
/** Addresses are small integers of 32 bits. */
const MAX_BYTES = 0x7fff_ffff;

/**
 * The memory that packets lie in, shared by us and the kernel: `frames` frames of `frameSize` bytes.
 *
 * Addresses are byte offsets into `bytes`, so a packet at address `a` of `n` bytes is `bytes[a]` to `bytes[a + n - 1]`.
 */
export class Umem implements Disposable {
  /** All frames. One view for all packets: hot code must not make one per packet. */
  readonly bytes: Uint8Array;
  readonly frames: number;
  readonly frameSize: number;
  readonly headroom: number;
  readonly unaligned: boolean;
  readonly txMetadata: boolean | 'software';
  readonly pages: PageKind;
  /** Where in a frame a packet to be sent begins, in bytes. */
  readonly txStart: number;
  /** Bytes that a packet to be sent may have, in one frame. */
  readonly txRoom: number;
  /** Bytes that a received packet may have, in one frame. */
  readonly rxRoom: number;
  /** What the low word of a descriptor's address is masked with to get its frame's. */
  readonly baseMask: number;
  /** The frames that nobody uses. */
  readonly pool: FramePool;
  /** Set with `debug`. */
  readonly ledger: Ledger | undefined;
  readonly #shape: UmemShape;
  readonly #arena: Arena | undefined;
  readonly #sockets: Fd[] = [];
  #closed = false;

  private constructor(
    buffer: SharedArrayBuffer,
    shape: UmemShape,
    pool: FramePool,
    ledger: Ledger | undefined,
    arena: Arena | undefined,
    pages: PageKind,
  ) {
    this.bytes = new Uint8Array(buffer, shape.start, shape.frames * shape.frameSize);
    this.frames = shape.frames;
    this.frameSize = shape.frameSize;
    this.headroom = shape.headroom;
    this.unaligned = shape.unaligned;
    this.txMetadata = shape.txMetadata;
    this.pages = pages;
    this.txStart = shape.headroom + (shape.txMetadata === false ? 0 : TX_METADATA_SIZE);
    this.txRoom = shape.frameSize - this.txStart;
    this.rxRoom = shape.frameSize - shape.headroom - PACKET_HEADROOM;
    this.pool = pool;
    this.ledger = ledger;
    this.#shape = shape;
    this.#arena = arena;
    this.baseMask = shape.unaligned ? -1 : -shape.frameSize;
  }

  /**
   * Takes the memory; the kernel learns of it with the first socket.
   *
   * @throws ArgumentError for sizes that cannot be; BarewireError `BW_LIMIT` when there is not that much memory.
   */
  static create(options: UmemOptions = {}): Umem {
    const { frames = 4096, frameSize = 2048, headroom = 0, unaligned = false, txMetadata = false } = options;
    requireShape(frames, frameSize, headroom, unaligned, txMetadata);
    const size = frames * frameSize;
    const spare = options.hugePages === true ? HUGE_PAGE : 0;
    const length = spare > 0 ? roundUp(size, HUGE_PAGE) : size;
    let arena: Arena;
    try {
      arena = new Arena(length + spare);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw tooLarge(size, error);
    }
    const start = spare > 0 ? roundUp(arena.address, HUGE_PAGE) - arena.address : 0;
    const pages = spare > 0 ? enlargePages(arena, start, length) : 'normal';
    const shape = { frames, frameSize, headroom, unaligned, txMetadata, start };
    const ledger = options.debug === true ? Ledger.create(frames) : undefined;
    const umem = new Umem(arena.buffer, shape, FramePool.create(frames), ledger, arena, pages);
    umem.#fillPool();
    return umem;
  }

  /** The same memory in another thread. It stays the first thread's to close. */
  static adopt(handle: UmemHandle): Umem {
    const ledger = handle.ledger && new Ledger(handle.ledger, handle.shape.frames);
    const pool = FramePool.adopt(handle.pool);
    return new Umem(handle.buffer, handle.shape, pool, ledger, undefined, 'normal');
  }

  get handle(): UmemHandle {
    return {
      buffer: this.bytes.buffer as SharedArrayBuffer,
      shape: this.#shape,
      pool: this.pool.buffer,
      ledger: this.ledger?.buffer,
    };
  }

  /** Where the frame begins that `address` lies in. */
  baseOf(address: number): number {
    return this.unaligned ? address - (address % this.frameSize) : address & this.baseMask;
  }

  /** The number of the frame that `address` lies in, from 0. */
  frameOf(address: number): number {
    return Math.floor(address / this.frameSize);
  }

  /** How many frames each owner has; known with `debug` only. */
  owners(): Record<OwnerName, number> | undefined {
    return this.ledger?.count();
  }

  /**
   * Makes the UMEM known to the kernel through its first socket.
   *
   * @returns A socket that has it already and whose UMEM is to be shared, or undefined when `fd` is now its first.
   */
  register(fd: Fd): Fd | undefined {
    if (this.#arena === undefined || this.#closed) {
      throw new BarewireError('BW_CLOSED', 'the UMEM is closed, or of another thread');
    }
    const first = this.#sockets[0];
    if (first !== undefined) return first;
    const { frames, frameSize, headroom, start } = this.#shape;
    let flags = this.unaligned ? UmemFlag.unalignedChunks : 0;
    if (this.txMetadata !== false) flags |= UmemFlag.txMetadata;
    if (this.txMetadata === 'software') flags |= UmemFlag.txSoftwareChecksum;
    // struct xdp_umem_reg { addr @0, len @8, chunk_size @16, headroom @20, flags @24, tx_metadata_len @28 }
    const registration = new DataView(new ArrayBuffer(32));
    registration.setBigUint64(0, BigInt(this.#arena.address + start), true);
    registration.setBigUint64(8, BigInt(frames * frameSize), true);
    registration.setUint32(16, frameSize, true);
    registration.setUint32(20, headroom, true);
    registration.setUint32(24, flags, true);
    registration.setUint32(28, this.txMetadata === false ? 0 : TX_METADATA_SIZE, true);
    const result = syscall('setsockopt', fd.number, SOL_XDP, XdpOption.umemRegister, registration, 32);
    if (result < 0) throw registrationRefused(-result, frames * frameSize, this.txMetadata !== false);
    return undefined;
  }

  /** Counts a socket in, once it is bound. */
  join(fd: Fd): void {
    this.#sockets.push(fd);
  }

  /** Counts a socket out. With the last one every frame is back in the pool, wherever the kernel had it. */
  leave(fd: Fd): void {
    const index = this.#sockets.indexOf(fd);
    if (index < 0) return;
    this.#sockets.splice(index, 1);
    if (this.#sockets.length === 0) this.#fillPool();
  }

  /** Gives the memory back. Its sockets must be closed. @throws BarewireError `BW_BUSY` otherwise. */
  close(): void {
    if (this.#closed || this.#arena === undefined) return;
    if (this.#sockets.length > 0) {
      throw new BarewireError('BW_BUSY', `${this.#sockets.length} sockets still use the UMEM`, {
        hint: 'Close the sockets first.',
      });
    }
    this.#closed = true;
    this.#arena.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #fillPool(): void {
    this.pool.clear();
    for (let frame = this.frames - 1; frame >= 0; frame--) this.pool.give(frame * this.frameSize);
    this.ledger?.reset();
  }
}

function requireShape(
  frames: number,
  frameSize: number,
  headroom: number,
  unaligned: boolean,
  txMetadata: boolean | 'software',
): void {
  if (!Number.isInteger(frames) || frames < 1) {
    throw new ArgumentError(`a UMEM of ${frames} frames: give a whole number of at least 1`);
  }
  if (!Number.isInteger(frameSize) || frameSize < MIN_CHUNK || frameSize > MAX_CHUNK) {
    throw new ArgumentError(`frames of ${frameSize} bytes: the kernel takes ${MIN_CHUNK} to ${MAX_CHUNK}`);
  }
  if (!unaligned && frameSize !== MIN_CHUNK && frameSize !== MAX_CHUNK) {
    throw new ArgumentError(`frames of ${frameSize} bytes: not a power of two`, {
      hint: 'Take 2048 or 4096, or set `unaligned`.',
    });
  }
  const taken = PACKET_HEADROOM + (txMetadata === false ? 0 : TX_METADATA_SIZE);
  if (!Number.isInteger(headroom) || headroom < 0 || headroom >= frameSize - taken) {
    throw new ArgumentError(
      `a headroom of ${headroom} bytes leaves no room in frames of ${frameSize} (${taken} are taken)`,
    );
  }
  if (txMetadata !== false && headroom % 8 !== 0) {
    throw new ArgumentError(`a headroom of ${headroom} bytes: metadata wants a multiple of 8`);
  }
  if (frames * frameSize > MAX_BYTES) throw tooLarge(frames * frameSize, undefined);
}

function tooLarge(size: number, cause: unknown): BarewireError {
  return new BarewireError('BW_LIMIT', `a UMEM of ${size} bytes does not fit the memory there may be`, {
    hint: `Take fewer frames: at most ${MAX_BYTES} bytes, and what the machine has.`,
    ...(cause === undefined ? {} : { cause }),
  });
}

function registrationRefused(errno: number, size: number, metadata: boolean): SystemError {
  const hints: Partial<Record<number, string>> = {
    [Errno.ENOBUFS]:
      'It exceeds the limit of locked memory: raise it (ulimit -l), grant CAP_IPC_LOCK, or take fewer frames.',
    [Errno.ENOMEM]: 'The machine has not that much memory free: take fewer frames.',
    ...(metadata ? { [Errno.EINVAL]: 'Metadata for sent packets came with Linux 6.8.' } : {}),
  };
  const hint = hints[errno];
  return new SystemError('setsockopt', errno, {
    doing: `register a UMEM of ${size} bytes`,
    ...(errno === Errno.ENOBUFS ? { code: 'BW_LIMIT' } : {}),
    ...(hint === undefined ? {} : { hint }),
  });
}

function enlargePages(arena: Arena, start: number, length: number): PageKind {
  if (arena.mapHugePages(start, length)) return 'huge';
  return arena.adviseHugePages(start, length) ? 'transparent' : 'normal';
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
