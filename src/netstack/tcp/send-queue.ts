/** Takes back a chunk that was written and has been acknowledged. */
export type Release = (chunk: Uint8Array) => void;

/**
 * What an application has written and the peer has not acknowledged yet: its own chunks, never copied, until they are
 * copied into packets.
 */
export class SendQueue {
  #chunks: Uint8Array[] = [];
  /** The first chunk that is still needed. */
  #first = 0;
  /** How much of that one has been acknowledged. */
  #skip = 0;
  /** Bytes from there to the end. */
  length = 0;
  // Where the last copy ended: transmission goes on there, so nothing is searched.
  #cursor = 0;
  /** Offset of the cursor's chunk from the first unacknowledged byte. */
  #cursorStart = 0;
  readonly #release: Release | undefined;

  /** @param release Told of every chunk that is no longer needed. */
  constructor(release?: Release) {
    this.#release = release;
  }

  /** Takes the chunk; it must not change until it has been acknowledged. */
  append(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  /** The first `count` bytes have been acknowledged. */
  drop(count: number): void {
    this.length -= count;
    let skip = this.#skip + count;
    const chunks = this.#chunks;
    let first = this.#first;
    while (first < chunks.length && skip >= chunks[first]!.length) {
      skip -= chunks[first]!.length;
      this.#release?.(chunks[first]!);
      chunks[first] = NOTHING;
      first++;
    }
    this.#skip = skip;
    this.#cursorStart -= count;
    this.#first = first;
    if (this.#cursor < first) {
      this.#cursor = first;
      this.#cursorStart = -skip;
    }
    if (first === chunks.length || (first > 64 && first * 2 > chunks.length)) {
      if (first === chunks.length) this.#chunks = [];
      else chunks.splice(0, first);
      this.#cursor -= first;
      this.#first = 0;
    }
  }

  /** Copies bytes from `offset`, counted from the first unacknowledged one. */
  copy(out: Uint8Array, at: number, offset: number, length: number): void {
    const chunks = this.#chunks;
    let cursor = this.#cursor;
    let start = this.#cursorStart;
    if (offset < start) {
      cursor = this.#first;
      start = -this.#skip;
    }
    while (offset >= start + chunks[cursor]!.length) start += chunks[cursor++]!.length;
    let from = offset - start;
    let to = at;
    let left = length;
    for (;;) {
      const chunk = chunks[cursor]!;
      const count = Math.min(left, chunk.length - from);
      out.set(from === 0 && count === chunk.length ? chunk : chunk.subarray(from, from + count), to);
      left -= count;
      if (left === 0) break;
      to += count;
      from = 0;
      start += chunk.length;
      cursor++;
    }
    this.#cursor = cursor;
    this.#cursorStart = start;
  }

  clear(): void {
    for (let i = this.#first; i < this.#chunks.length; i++) this.#release?.(this.#chunks[i]!);
    this.#chunks = [];
    this.#first = 0;
    this.#skip = 0;
    this.#cursor = 0;
    this.#cursorStart = 0;
    this.length = 0;
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
