import { BarewireError } from '../error.ts';

/**
 * Who has a frame. `fill` and `tx` belong to the kernel, `completion` is the moment between its completion and the
 * pool, `rx` the time in which a received packet is being looked at.
 */
export const Owner = { pool: 0, user: 1, fill: 2, rx: 3, tx: 4, completion: 5 } as const;

export type OwnerName = keyof typeof Owner;
export type OwnerNumber = (typeof Owner)[OwnerName];

const NAMES = Object.keys(Owner) as OwnerName[];

/** A frame was used by somebody it does not belong to. `code` is `BW_FRAME_OWNERSHIP`. */
export class FrameOwnershipError extends BarewireError {
  /** The frame's number in its UMEM. */
  readonly frame: number;

  constructor(frame: number, is: OwnerName, wanted: readonly OwnerName[], doing: string) {
    super('BW_FRAME_OWNERSHIP', `frame ${frame} belongs to ${is}, not to ${wanted.join(' or ')}: ${doing}`, {
      hint: 'Every frame has one owner; give it back once, and leave it alone afterwards.',
    });
    this.frame = frame;
  }
}

/** Who has each frame of a UMEM: kept when `debug` is set, and every step is checked against it. */
export class Ledger {
  readonly #owners: Uint8Array;

  constructor(buffer: SharedArrayBuffer, frames: number) {
    this.#owners = new Uint8Array(buffer, 0, frames);
  }

  static create(frames: number): Ledger {
    return new Ledger(new SharedArrayBuffer(frames), frames);
  }

  get buffer(): SharedArrayBuffer {
    return this.#owners.buffer as SharedArrayBuffer;
  }

  /** @throws FrameOwnershipError when it is not `from`'s (or `orFrom`'s) to give. */
  move(frame: number, from: OwnerNumber, to: OwnerNumber, doing: string, orFrom: OwnerNumber = from): void {
    const is = this.#owners[frame];
    if (is === undefined) {
      throw new BarewireError('BW_FRAME_OWNERSHIP', `frame ${frame} is none of this UMEM: ${doing}`);
    }
    if (is !== from && is !== orFrom) {
      const wanted = from === orFrom ? [NAMES[from]!] : [NAMES[from]!, NAMES[orFrom]!];
      throw new FrameOwnershipError(frame, NAMES[is]!, wanted, doing);
    }
    this.#owners[frame] = to;
  }

  ownerOf(frame: number): OwnerName | undefined {
    const owner = this.#owners[frame];
    return owner === undefined ? undefined : NAMES[owner];
  }

  /** How many frames each owner has. */
  count(): Record<OwnerName, number> {
    const counts = Object.fromEntries(NAMES.map((name) => [name, 0])) as Record<OwnerName, number>;
    for (const owner of this.#owners) counts[NAMES[owner]!]++;
    return counts;
  }

  /** All frames to the pool. */
  reset(): void {
    this.#owners.fill(Owner.pool);
  }
}
