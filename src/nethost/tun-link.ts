import { summedMemory } from '../netstack/index.ts';
import { addressOf } from '../sys/index.ts';
import type { TunDevice, TunQueue } from '../tun/index.ts';
import type { HostLink, LinkEvents, PacketVisit } from './link.ts';

/** The longest packet. */
const LONGEST = 65535;

/** A TUN device as a link: the kernel's side of the device is the stack's neighbour. */
export class TunLink implements HostLink {
  readonly mtu: number;
  readonly #device: TunDevice;
  readonly #queue: TunQueue;
  // Read to where the stack finds checksums quickly.
  readonly #received: Uint8Array = summedMemory(LONGEST);
  readonly #receivedAt: number = addressOf(this.#received);
  #bytes: Uint8Array | undefined;
  #memory = 0;

  /**
   * @param device Of kind `tun`, with one queue and without `vnetHeader`; closed with the link.
   * @param mtu In bytes. Default is 1500.
   */
  constructor(device: TunDevice, mtu = 1500) {
    this.#device = device;
    this.#queue = device.queues[0]!;
    this.mtu = mtu;
  }

  receive(visit: PacketVisit, limit: number): number {
    const received = this.#received;
    for (let count = 0; count < limit; count++) {
      const length = this.#queue.read(this.#receivedAt, LONGEST);
      if (length === 0) return count;
      visit(received, 0, length);
    }
    return limit;
  }

  send(bytes: Uint8Array, offset: number, length: number): boolean {
    // The stack writes all its packets to the same memory, which stays where it is.
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.#memory = addressOf(bytes);
    }
    this.#queue.write(this.#memory + offset, length);
    return true;
  }

  start(events: LinkEvents): void {
    this.#queue.watch(events.onReadable);
  }

  close(): void {
    this.#device.close();
  }
}
