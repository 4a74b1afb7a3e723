/** Memory of one piece: what streams write at a time, mostly. */
const PIECE = 65536;
/** Pieces that are kept for the next time. */
const KEPT = 256;
/** Chunks below this get memory of just their size. */
const SMALL = 4096;

/**
 * Copies of what streams write. A stream's user may change a chunk as soon as it has been taken, the stack needs it
 * until it is acknowledged; the copies' memory is used again and again, for it would be a garbage collector's main work.
 */
export class SendPool {
  // Plain arrays: a Buffer's `subarray`, which every segment takes, costs several times theirs.
  readonly #free: Uint8Array[] = [];

  /** The chunk in memory of its own, in pieces. */
  copy(chunk: Buffer): Uint8Array[] {
    if (chunk.length < SMALL) return [new Uint8Array(chunk)];
    const copies: Uint8Array[] = [];
    for (let at = 0; at < chunk.length; at += PIECE) {
      const length = Math.min(PIECE, chunk.length - at);
      const piece = this.#free.pop() ?? new Uint8Array(PIECE);
      piece.set(at === 0 && length === chunk.length ? chunk : chunk.subarray(at, at + length));
      copies.push(length === PIECE ? piece : piece.subarray(0, length));
    }
    return copies;
  }

  /** Takes a copy back. */
  release(chunk: Uint8Array): void {
    if (chunk.buffer.byteLength !== PIECE || this.#free.length >= KEPT) return;
    this.#free.push(chunk.length === PIECE ? chunk : new Uint8Array(chunk.buffer));
  }
}
