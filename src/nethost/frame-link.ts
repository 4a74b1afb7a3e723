import type { LinkLayer } from '../xsk/index.ts';
import type { HostLink, LinkEvents, PacketVisit } from './link.ts';

/** Frames between two flushes that wait to be sent together: a system call carries many. */
const QUEUE = 256;
/** Destination, source, EtherType. */
const ETHERNET_HEADER = 14;
/** How long to wait for room when the link is full, in ms. */
const RETRY = 1;

/**
 * Ethernet as a link: AF_XDP (`openXskLink`), AF_PACKET (`PacketLink`), or a pair in memory. With it a host is one of
 * its own on the wire, with ARP and neighbour discovery, whatever the machine's own addresses are.
 */
export class FrameLink implements HostLink {
  readonly mtu: number;
  readonly address: Uint8Array;
  readonly #below: LinkLayer;
  readonly #slot: number;
  readonly #bytes: Uint8Array;
  readonly #lengths: Int32Array = new Int32Array(QUEUE);
  #first = 0;
  #count = 0;
  /** A frame was refused: somebody waits for room. */
  #refused = false;
  #timer: NodeJS.Timeout | undefined;
  #events: LinkEvents | undefined;
  readonly #closing: AbortController = new AbortController();
  readonly #build = (bytes: Uint8Array, address: number, _room: number, index: number): number => {
    const slot = (this.#first + index) % QUEUE;
    const length = this.#lengths[slot]!;
    bytes.set(this.#bytes.subarray(slot * this.#slot, slot * this.#slot + length), address);
    return length;
  };

  /**
   * @param below Closed with the link.
   * @param address The host's MAC address. Default is the link's own.
   */
  constructor(below: LinkLayer, address: Uint8Array = below.address) {
    this.#below = below;
    this.mtu = below.mtu;
    this.address = address;
    this.#slot = below.mtu + ETHERNET_HEADER;
    this.#bytes = new Uint8Array(this.#slot * QUEUE);
  }

  receive(visit: PacketVisit, limit: number): number {
    return this.#below.closed ? 0 : this.#below.receive(visit, limit);
  }

  send(bytes: Uint8Array, offset: number, length: number): boolean {
    if (length > this.#slot) return true;
    if (this.#count === QUEUE) this.flush();
    if (this.#count === QUEUE) {
      this.#refused = true;
      return false;
    }
    const slot = (this.#first + this.#count++) % QUEUE;
    this.#bytes.set(bytes.subarray(offset, offset + length), slot * this.#slot);
    this.#lengths[slot] = length;
    return true;
  }

  flush(): void {
    if (this.#count === 0 || this.#below.closed) return;
    const sent = this.#below.send(this.#count, this.#build);
    this.#first = (this.#first + sent) % QUEUE;
    this.#count -= sent;
    if (this.#count > 0) this.#timer ??= setTimeout(() => this.#retry(), RETRY);
  }

  start(events: LinkEvents): void {
    this.#events = events;
    void this.#watch(events);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort();
    await this.#below.close();
  }

  async #watch(events: LinkEvents): Promise<void> {
    const { signal } = this.#closing;
    try {
      while (!signal.aborted && !this.#below.closed) {
        await this.#below.readable(signal);
        if (!signal.aborted && !this.#below.closed) events.onReadable();
      }
    } catch (error) {
      if (!signal.aborted) events.onGone(error as Error);
    }
  }

  #retry(): void {
    this.#timer = undefined;
    this.flush();
    if (!this.#refused || this.#count === QUEUE) return;
    this.#refused = false;
    this.#events?.onWritable();
  }
}
