/**
 * Bytes that arrive in chunks and are read in pieces of another size.
 *
 * A piece that lies within one chunk is read in place. Bytes are only ever appended, never moved or overwritten,
 * so pieces handed out stay as they are.
 */
export class ChunkBuffer {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the unread bytes begin in `bytes`. */
  start = 0;
  /** Where they end. */
  end = 0;
  /** Whether `bytes` was allocated here, so that there may be room behind `end`. */
  #own = false;

  get length(): number {
    return this.end - this.start;
  }

  push(chunk: Uint8Array): void {
    if (this.length === 0) {
      // Of a Buffer a plain view: `slice` means a copy to whoever gets a packet.
      this.bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
      this.start = 0;
      this.end = chunk.length;
      this.#own = false;
      return;
    }
    if (!this.#own || this.end + chunk.length > this.bytes.length) {
      const bytes = new Uint8Array(2 * (this.length + chunk.length));
      bytes.set(this.bytes.subarray(this.start, this.end));
      this.end = this.length;
      this.start = 0;
      this.bytes = bytes;
      this.#own = true;
    }
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }
}

/** Bytes that are written piece by piece and handed over in chunks. */
export class GrowingBuffer {
  bytes: Uint8Array;
  /** Of the same bytes; both change when the buffer grows or is taken. */
  view: DataView;
  length = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `size` more bytes, all zero, and counts them as written. @returns where they begin. */
  reserve(size: number): number {
    const offset = this.length;
    if (offset + size > this.bytes.length) {
      this.#replace(Math.max(2 * this.bytes.length, offset + size), this.bytes.subarray(0, offset));
    }
    this.length = offset + size;
    return offset;
  }

  /** Hands over what was written so far; the next bytes begin a new chunk. */
  take(): Uint8Array {
    const chunk = this.bytes.subarray(0, this.length);
    this.#replace(this.bytes.length, new Uint8Array(0));
    this.length = 0;
    return chunk;
  }

  #replace(size: number, kept: Uint8Array): void {
    this.bytes = new Uint8Array(size);
    this.bytes.set(kept);
    this.view = new DataView(this.bytes.buffer);
  }
}
