import { BarewireError } from '../error.ts';
import { type InterfaceOptions, openInterface, type XskInterface } from './interface.ts';
import {
  type FrameBuild,
  type FrameVisit,
  type LinkLayer,
  longestFrame,
  requireFrameLength,
} from './link-layer.ts';
import { Readable } from './readable.ts';
import type { XskSocket } from './socket.ts';

/** A link over AF_XDP: the frames that `match` means; all others stay the kernel's. */
export async function openXskLink(ref: string | number, options: InterfaceOptions): Promise<XskLink> {
  return new XskLink(await openInterface(ref, options));
}

/** AF_XDP as a link layer; sends by the first queue. */
export class XskLink implements LinkLayer {
  readonly kind = 'af-xdp';
  /** What it rests on, for counters and events. Closed with the link. */
  readonly interface: XskInterface;
  readonly #sockets: readonly XskSocket[];
  readonly #sender: XskSocket;
  readonly #readable: Readable;
  #turn = 0;
  #room = 0;
  #build: FrameBuild = () => 0;
  // One closure for all calls of send: a new one each time would be garbage.
  readonly #checkedBuild: FrameBuild = (bytes, address, room, index) => {
    const length = this.#build(bytes, address, Math.min(room, this.#room), index);
    if (length !== 0) requireFrameLength(length, this.#room);
    return length;
  };

  constructor(owner: XskInterface) {
    this.interface = owner;
    this.#sockets = owner.sockets;
    this.#sender = owner.sockets[0]!;
    this.#room = Math.min(longestFrame(owner.mtu), this.#sender.umem.txRoom);
    this.#readable = new Readable(
      owner.name,
      owner.sockets.map((socket) => socket.fd),
    );
    owner.once('gone', () => this.#readable.close());
  }

  get name(): string {
    return this.interface.name;
  }

  get mtu(): number {
    return this.interface.mtu;
  }

  get address(): Uint8Array {
    return this.interface.address;
  }

  get closed(): boolean {
    return this.interface.closed;
  }

  send(count: number, build: FrameBuild): number {
    this.#requireOpen();
    this.#build = build;
    return this.#sender.send(count, this.#checkedBuild);
  }

  receive(visit: FrameVisit, limit = 64): number {
    this.#requireOpen();
    const sockets = this.#sockets;
    let count = 0;
    for (let i = 0; i < sockets.length && count < limit; i++) {
      this.#turn = (this.#turn + 1) % sockets.length;
      count += sockets[this.#turn]!.receive(visit, limit - count);
    }
    // What the kernel would not take at once is offered again.
    if (this.#sender.unsent > 0) this.#sender.flush();
    return count;
  }

  async readable(signal?: AbortSignal): Promise<void> {
    if (!this.closed) await this.#readable.wait(signal);
    if (this.interface.fault !== undefined) throw this.interface.fault;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.#readable.close();
    if (this.interface.up) await this.#sender.drain(100);
    await this.interface.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireOpen(): void {
    if (this.interface.fault !== undefined) throw this.interface.fault;
    if (this.closed) throw new BarewireError('BW_CLOSED', `the link on ${this.name} is closed`);
  }
}
