import { BarewireError } from '../error.ts';
import { addressOf, callTo, syscall } from './call.ts';
import { SystemError } from './error.ts';
import type { Fd } from './fd.ts';

/** `sys/mman.h`. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
const MAP_HUGETLB = 0x40000;
const MADV_HUGEPAGE = 14;

/** The unit of mappings on x86-64 and on arm64 with 4 KiB pages; an arena checks it. */
export const PAGE_SIZE = 4096;

/**
 * Page-aligned memory that JavaScript and the kernel share, and that never moves.
 *
 * The pages are a SharedArrayBuffer's; files of the kernel (the rings of a socket, a BPF ring buffer) are mapped over
 * parts of them with `MAP_FIXED`. Take views with an explicit length: a length-tracking view on a growable buffer is
 * ten times slower.
 */
export class Arena implements Disposable {
  readonly buffer: SharedArrayBuffer;
  /** Where the first byte lies. */
  readonly address: number;
  #mapped: { offset: number; length: number }[] = [];

  /** @param size In bytes; rounded up to whole pages. */
  constructor(size: number) {
    const length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    // A maximum makes V8 reserve whole pages that stay in place; a plain SharedArrayBuffer is mere heap memory.
    this.buffer = new SharedArrayBuffer(length, { maxByteLength: length });
    this.address = addressOf(new Uint8Array(this.buffer, 0, length));
    if (this.address % PAGE_SIZE !== 0) {
      throw new BarewireError(
        'BW_UNSUPPORTED',
        'this Node.js does not align growable SharedArrayBuffers to pages',
        {
          hint: 'Use a released Node.js of version 20.19 or later.',
        },
      );
    }
  }

  get size(): number {
    return this.buffer.byteLength;
  }

  /**
   * Maps `length` bytes of a file over the arena at `offset`.
   *
   * @param fileOffset Where in the file, in bytes; a bigint for the large constants of AF_XDP rings.
   * @param flags Further `MAP_` flags, such as `MAP_POPULATE`.
   */
  map(
    fd: Fd,
    offset: number,
    length: number,
    protection: number,
    fileOffset: number | bigint,
    flags = 0,
  ): void {
    this.#require(offset, length);
    const at = this.address + offset;
    const result = syscall(
      'mmap',
      at,
      length,
      protection,
      MAP_SHARED | MAP_FIXED | flags,
      fd.number,
      fileOffset,
    );
    if (result < 0) {
      // A failed MAP_FIXED may leave a hole where JavaScript still reads.
      this.#paper(offset, length);
      throw new SystemError('mmap', -result, { doing: `map ${length} bytes of ${fd.what}` });
    }
    this.#mapped.push({ offset, length });
  }

  /**
   * Puts pages of 2 MiB under a part of the arena that begins and ends on such pages' borders in memory; what was there
   * becomes zeros.
   *
   * @returns false, with the memory as it was but zeroed, when the kernel has not that many (`vm.nr_hugepages`).
   */
  mapHugePages(offset: number, length: number): boolean {
    this.#require(offset, length);
    const flags = MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS | MAP_HUGETLB;
    const at = this.address + offset;
    if (syscall('mmap', at, length, PROT_READ | PROT_WRITE, flags, -1, 0) < 0) {
      this.#paper(offset, length);
      return false;
    }
    this.#mapped.push({ offset, length });
    return true;
  }

  /** Asks for transparent huge pages under a part of the arena; whether the kernel takes the advice. */
  adviseHugePages(offset: number, length: number): boolean {
    this.#require(offset, length);
    return syscall('madvise', this.address + offset, length, MADV_HUGEPAGE) === 0;
  }

  /** Ends a mapping: zeros take its place, so that a view still in use reads them instead of faulting. */
  unmap(offset: number): void {
    const index = this.#mapped.findIndex((mapping) => mapping.offset === offset);
    const mapping = this.#mapped[index];
    if (mapping === undefined) return;
    this.#mapped.splice(index, 1);
    this.#paper(mapping.offset, mapping.length);
  }

  /** Ends every mapping. The memory itself goes when its last view does. */
  close(): void {
    for (const { offset } of [...this.#mapped]) this.unmap(offset);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #paper(offset: number, length: number): void {
    const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
    callTo('unmap', 'mmap', this.address + offset, length, PROT_READ | PROT_WRITE, flags, -1, 0);
  }

  #require(offset: number, length: number): void {
    if (offset % PAGE_SIZE !== 0 || offset < 0 || length <= 0 || offset + length > this.size) {
      throw new BarewireError(
        'BW_ARGUMENT',
        `bytes ${offset} to ${offset + length} are no pages of this arena`,
      );
    }
  }
}
