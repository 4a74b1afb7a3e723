/** Memory of one piece: what streams write at a time, mostly. */
const PIECE = 65536;
/** Pieces that are kept for the next time. */
const KEPT = 256;
/** Chunks below this are copied to a pool of Node's. */
const SMALL = 4096;

/**
 * Copies of what streams write. A stream's user may change a chunk as soon as it has been taken, the stack needs it
 * until it is acknowledged; the copies' memory is used again and again, for it would be a garbage collector's main work.
 */
export class SendPool {
  readonly #free: Buffer[] = [];

  /** The chunk in memory of its own, in pieces. */
  copy(chunk: Buffer): Buffer[] {
    if (chunk.length < SMALL) return [Buffer.from(chunk)];
    const copies: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += PIECE) {
      const length = Math.min(PIECE, chunk.length - at);
      const piece = this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE);
      piece.set(at === 0 && length === chunk.length ? chunk : chunk.subarray(at, at + length));
      copies.push(length === PIECE ? piece : piece.subarray(0, length));
    }
    return copies;
  }

  /** Takes a copy back. */
  release(chunk: Uint8Array): void {
    // Node's own pool has other sizes.
    if (chunk.buffer.byteLength !== PIECE || chunk.byteOffset !== 0 || this.#free.length >= KEPT) return;
    this.#free.push(
      chunk.length === PIECE && chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer as ArrayBuffer),
    );
  }
}
