/**
 * The frames that nobody uses: a stack of their addresses, the last one given back on top, for it is the warmest.
 *
 * It lies in shared memory, so that a socket can move to a worker with its frames; one thread at a time uses it.
 */
export class FramePool {
  /** `[count, address, address, …]` */
  readonly words: Int32Array;

  private constructor(words: Int32Array) {
    this.words = words;
  }

  /** @param capacity How many frames it may ever hold. */
  static create(capacity: number): FramePool {
    const buffer = new SharedArrayBuffer(4 * (capacity + 1));
    return new FramePool(new Int32Array(buffer, 0, capacity + 1));
  }

  /** The same pool in another thread, by its memory. */
  static adopt(buffer: SharedArrayBuffer): FramePool {
    return new FramePool(new Int32Array(buffer, 0, buffer.byteLength / 4));
  }

  get buffer(): SharedArrayBuffer {
    return this.words.buffer as SharedArrayBuffer;
  }

  get available(): number {
    return this.words[0]!;
  }

  /** The address of a frame, or -1 when there is none. */
  take(): number {
    const { words } = this;
    const count = words[0]!;
    if (count === 0) return -1;
    words[0] = count - 1;
    return words[count]!;
  }

  give(address: number): void {
    const { words } = this;
    const count = words[0]! + 1;
    words[count] = address;
    words[0] = count;
  }

  clear(): void {
    this.words[0] = 0;
  }
}
