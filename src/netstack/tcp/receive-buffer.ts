import { before, distance, later, notAfter } from './sequence.ts';

/** Chunks grow with a connection's traffic, from the one to the other. */
const FIRST_CHUNK = 2048;
const LARGEST_CHUNK = 65536;
/** Gaps at once; a segment that would open one more is dropped. */
const MAX_RANGES = 512;

/** Gives memory for received bytes; need not be zeroed. */
export type Allocate = (size: number) => Uint8Array;

/**
 * What has been received and not read yet.
 *
 * The chunks are addressed by sequence number: a segment out of order is copied to where it belongs, so that nothing
 * moves when the gap before it closes, and the application gets the chunks themselves.
 */
export class ReceiveBuffer {
  /** The next byte that is expected in order: RCV.NXT, but for a FIN, which takes no memory. */
  next: number;
  /** The next byte that the application will read. */
  #read: number;
  #chunks: Uint8Array[] = [];
  /** Sequence number of the first byte of the first chunk. */
  #base: number;
  /** Behind the last chunk. */
  #top: number;
  #chunkSize = FIRST_CHUNK;
  readonly #allocate: Allocate;
  /** Bytes of all chunks. */
  memory = 0;
  /** What lies behind a gap: beginnings and ends, ascending, never touching each other. */
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  /** The range that the last segment out of order lies in. */
  rangeStart = 0;
  rangeEnd = 0;

  constructor(next: number, allocate: Allocate) {
    this.next = next;
    this.#read = next;
    this.#base = next;
    this.#top = next;
    this.#allocate = allocate;
  }

  /** Bytes in order that wait to be read. */
  get readable(): number {
    return (this.next - this.#read) | 0;
  }

  /**
   * Takes bytes that begin at `seq`, at or behind `next`, and lie in the window.
   *
   * @returns how far `next` moved.
   */
  write(seq: number, bytes: Uint8Array, offset: number, length: number): number {
    const end = (seq + length) | 0;
    if (seq === this.next && this.starts.length === 0) {
      this.#copy(seq, bytes, offset, length);
      this.next = end;
      return length;
    }
    if (!this.#insert(seq, end)) return 0;
    this.#copy(seq, bytes, offset, length);
    if (this.starts[0] !== this.next) return 0;
    const reached = this.ends[0]!;
    const moved = distance(this.next, reached);
    this.starts.shift();
    this.ends.shift();
    this.next = reached;
    return moved;
  }

  /** The next bytes in order, as many as lie together; they are the caller's from now on. Undefined when there are none. */
  read(): Uint8Array | undefined {
    const readable = this.readable;
    if (readable === 0) return undefined;
    const chunk = this.#chunks[0]!;
    const from = distance(this.#base, this.#read);
    const count = Math.min(readable, chunk.length - from);
    this.#read = (this.#read + count) | 0;
    if (from + count === chunk.length) {
      this.#chunks.shift();
      this.#base = this.#read;
      this.memory -= chunk.length;
    }
    return count === chunk.length ? chunk : chunk.subarray(from, from + count);
  }

  /** Whether bytes up to `end` need memory that is not held yet. */
  lacks(end: number): boolean {
    return before(this.#top, end);
  }

  /** Whether every byte from `start` to `end` has been received already. */
  has(start: number, end: number): boolean {
    if (notAfter(end, this.next)) return true;
    for (let i = 0; i < this.starts.length; i++) {
      if (notAfter(this.starts[i]!, start) && notAfter(end, this.ends[i]!)) return true;
    }
    return false;
  }

  /** Begins at another sequence number, as long as nothing has been received. */
  rebase(next: number): void {
    this.next = next;
    this.release();
  }

  /** Gives the memory back. There must be nothing to read. */
  release(): void {
    if (this.starts.length > 0) return;
    this.#chunks.length = 0;
    this.memory = 0;
    this.#chunkSize = FIRST_CHUNK;
    this.#base = this.next;
    this.#top = this.next;
    this.#read = this.next;
  }

  /** Throws everything away; what comes is only counted from now on. */
  discard(): void {
    this.starts.length = 0;
    this.ends.length = 0;
    this.#read = this.next;
    this.release();
  }

  #copy(seq: number, bytes: Uint8Array, offset: number, length: number): void {
    const end = (seq + length) | 0;
    while (before(this.#top, end)) this.#grow(distance(this.#top, end));
    // Most bytes belong to the last chunk, so it is looked for from behind.
    let index = this.#chunks.length - 1;
    let chunk = this.#chunks[index]!;
    let start = (this.#top - chunk.length) | 0;
    while (before(seq, start)) {
      chunk = this.#chunks[--index]!;
      start = (start - chunk.length) | 0;
    }
    let at = distance(start, seq);
    let from = offset;
    const stop = offset + length;
    for (;;) {
      const count = Math.min(stop - from, chunk.length - at);
      chunk.set(bytes.subarray(from, from + count), at);
      from += count;
      if (from === stop) return;
      at = 0;
      chunk = this.#chunks[++index]!;
    }
  }

  #grow(needed: number): void {
    const size = Math.min(LARGEST_CHUNK, Math.max(this.#chunkSize, needed));
    this.#chunkSize = Math.min(LARGEST_CHUNK, 2 * size);
    this.#chunks.push(this.#allocate(size));
    this.memory += size;
    this.#top = (this.#top + size) | 0;
  }

  /** Enters a range, joined with those that it touches; false when there are too many. */
  #insert(start: number, end: number): boolean {
    const { starts, ends } = this;
    let first = starts.length;
    while (first > 0 && notAfter(start, ends[first - 1]!)) first--;
    let last = first;
    let from = start;
    let to = end;
    while (last < starts.length && notAfter(starts[last]!, end)) {
      if (before(starts[last]!, from)) from = starts[last]!;
      to = later(to, ends[last]!);
      last++;
    }
    if (first === last && starts.length >= MAX_RANGES && start !== this.next) return false;
    this.rangeStart = from;
    this.rangeEnd = to;
    if (last - first === 1) {
      starts[first] = from;
      ends[first] = to;
    } else {
      starts.splice(first, last - first, from);
      ends.splice(first, last - first, to);
    }
    return true;
  }
}
