import { BarewireError } from '../error.ts';
import {
  type FrameBuild,
  type FrameVisit,
  type LinkLayer,
  longestFrame,
  requireFrameLength,
} from './link-layer.ts';

export interface MemoryLinkOptions {
  /** Default is 1500. */
  readonly mtu?: number;
  /** Frames on their way, in each direction. Default is 256. */
  readonly capacity?: number;
}

/** Two links connected in memory: what one sends the other receives. */
export function memoryLinkPair(options: MemoryLinkOptions = {}): [MemoryLink, MemoryLink] {
  const { mtu = 1500, capacity = 256 } = options;
  const wires = [new Wire(mtu, capacity), new Wire(mtu, capacity)] as const;
  const a = new MemoryLink('memory-a', mtu, new Uint8Array([2, 0, 0x5e, 0, 0x53, 1]), wires[0], wires[1]);
  const b = new MemoryLink('memory-b', mtu, new Uint8Array([2, 0, 0x5e, 0, 0x53, 2]), wires[1], wires[0]);
  return [a, b];
}

/** One direction: frames in slots of equal size. */
class Wire {
  readonly slot: number;
  readonly capacity: number;
  readonly bytes: Uint8Array;
  readonly lengths: Int32Array;
  first = 0;
  count = 0;
  /** Called when a frame comes. */
  onFrame: () => void = () => {};

  constructor(mtu: number, capacity: number) {
    this.slot = longestFrame(mtu);
    this.capacity = capacity;
    this.bytes = new Uint8Array(this.slot * capacity);
    this.lengths = new Int32Array(capacity);
  }
}

/** One end of `memoryLinkPair`. */
export class MemoryLink implements LinkLayer {
  readonly kind = 'memory';
  readonly name: string;
  readonly mtu: number;
  readonly address: Uint8Array;
  readonly #out: Wire;
  readonly #in: Wire;
  #waiting: (() => void)[] = [];
  #closed = false;
  #visiting = false;

  constructor(name: string, mtu: number, address: Uint8Array, out: Wire, into: Wire) {
    this.name = name;
    this.mtu = mtu;
    this.address = address;
    this.#out = out;
    this.#in = into;
    into.onFrame = () => this.#wake();
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(count: number, build: FrameBuild): number {
    this.#requireOpen();
    const wire = this.#out;
    let done = 0;
    while (done < count && wire.count < wire.capacity) {
      const slot = (wire.first + wire.count) % wire.capacity;
      const length = build(wire.bytes, slot * wire.slot, wire.slot, done);
      if (length !== 0) {
        requireFrameLength(length, wire.slot);
        wire.lengths[slot] = length;
        wire.count++;
        wire.onFrame();
      }
      done++;
    }
    return done;
  }

  receive(visit: FrameVisit, limit = 64): number {
    this.#requireOpen();
    if (this.#visiting) throw new BarewireError('BW_REENTERED', 'receive was called from its own callback');
    const wire = this.#in;
    let seen = 0;
    this.#visiting = true;
    try {
      while (seen < limit && wire.count > 0) {
        const slot = wire.first;
        seen++;
        try {
          visit(wire.bytes, slot * wire.slot, wire.lengths[slot]!);
        } finally {
          wire.first = (slot + 1) % wire.capacity;
          wire.count--;
        }
      }
    } finally {
      this.#visiting = false;
    }
    return seen;
  }

  async readable(signal?: AbortSignal): Promise<void> {
    if (this.#closed || this.#in.count > 0 || signal?.aborted) return;
    let wake = (): void => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    signal?.addEventListener('abort', wake);
    this.#waiting.push(wake);
    await woken;
    signal?.removeEventListener('abort', wake);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #requireOpen(): void {
    if (this.#closed) throw new BarewireError('BW_CLOSED', `the link ${this.name} is closed`);
  }
}
