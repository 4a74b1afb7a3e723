import { compile } from '../compiler/index.ts';
import { type Monitor, Netlink } from '../netlink/index.ts';
import { pppoeRedirect } from '../programs/pppoe-redirect.ts';
import { addressOf, type Netns } from '../sys/index.ts';
import type { TunQueue } from '../tun/index.ts';
import { type InterfaceGoneError, openInterface, type XskInterface, type XskSocket } from '../xsk/index.ts';
import { MacFilter } from './mac-filter.ts';

export interface WireOptions {
  /** By name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Where the XDP program runs. Default is `auto`: in the driver, else in the stack. */
  readonly mode?: 'auto' | 'driver' | 'generic';
  /** Evict another owner's XDP program. Default is false. */
  readonly replace?: boolean;
  /** Frames of memory of each queue: 2 KiB each. Default is 4096. */
  readonly frames?: number;
}

/** What lives on a wire: a client's or a concentrator's protocol. */
export interface WireUser {
  /** When `advance` is to be called. */
  readonly deadline: number;
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean;
  advance(now: number): void;
  carrier?(up: boolean, now: number): void;
  /** The interface was deleted: nothing more will come. */
  gone?(error: InterfaceGoneError): void;
}

/** What puts headers in front of a packet: a session of either side. */
export interface Encapsulation {
  /** Puts headers in front of a packet, in place, and tells how many bytes; 0 when it does not carry the packet. */
  encapsulate(bytes: Uint8Array, offset: number, length: number): number;
}

/** Says whose a packet is that the kernel has put on a device, and may change it in place; undefined drops it. */
export type Choose = (bytes: Uint8Array, offset: number, length: number) => Encapsulation | undefined;

const ETHER_TYPES = [0x8863, 0x8864];
/** Packets of one device in one go, before others have their turn. */
const PULL_BATCH = 64;
/** Room in front of a packet: Ethernet, two VLAN tags, PPPoE and PPP. */
const HEADERS = 14 + 8 + 6 + 2;
/** The longest time that Node's timers take, in ms. */
const LONGEST_TIMER = 0x7fff_ffff;
/** How long a device waits when there is no room to send, in ms. */
const CONGESTED = 1;

/**
 * An Ethernet interface whose PPPoE frames are ours, over AF_XDP, all queues of it; everything else stays the kernel's.
 *
 * One timer serves everything on it.
 */
export class PppoeWire implements AsyncDisposable {
  readonly interface: XskInterface;
  /** The configuration of its namespace. */
  readonly net: Netlink;
  readonly netns: Netns | string | undefined;
  readonly #user: WireUser;
  readonly #sockets: readonly XskSocket[];
  readonly #memory: readonly number[];
  readonly #monitor: Monitor;
  #filter: MacFilter | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #armed = Number.POSITIVE_INFINITY;
  #carrier: boolean;
  #closed = false;
  #receiving = 0;
  /** Whether there are frames on a ring that the kernel has not been shown. */
  #written = false;
  /** Frames that found no room to be sent. */
  dropped = 0;

  private constructor(
    owner: XskInterface,
    net: Netlink,
    netns: Netns | string | undefined,
    makeUser: (wire: PppoeWire) => WireUser,
  ) {
    this.interface = owner;
    this.net = net;
    this.netns = netns;
    this.#sockets = owner.sockets;
    this.#memory = owner.sockets.map((socket) => addressOf(socket.umem.bytes));
    this.#monitor = net.monitor({ groups: ['link'] });
    this.#carrier = net.links.find(owner.index)?.carrier ?? false;
    this.#user = makeUser(this);
  }

  /**
   * @throws NoInterfaceError, QueueBusyError, OccupiedError, ModeRefusedError, SystemError.
   */
  static async open(
    ref: string | number,
    options: WireOptions,
    makeUser: (wire: PppoeWire) => WireUser,
  ): Promise<PppoeWire> {
    const { netns, mode = 'auto', replace = false, frames } = options;
    const net = new Netlink({ netns });
    let owner: XskInterface | undefined;
    try {
      const { rxQueues } = net.links.get(ref);
      owner = await openInterface(ref, {
        netns,
        mode,
        replace,
        match: compile(pppoeRedirect(Math.max(1, rxQueues))),
        ...(frames === undefined ? {} : { umem: { frames } }),
      });
      const types = owner.maps.etherTypes as unknown as { set(key: number, value: number): void };
      const wire = new PppoeWire(owner, net, netns, makeUser);
      for (const type of ETHER_TYPES) types.set(type, 1);
      wire.#start();
      return wire;
    } catch (error) {
      await owner?.close();
      net.close();
      throw error;
    }
  }

  get name(): string {
    return this.interface.name;
  }

  /** Whether the interface has a carrier. */
  get carrier(): boolean {
    return this.#carrier;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Milliseconds, of a clock that never goes back. */
  now(): number {
    return performance.now();
  }

  /** Where the memory of the frame that is being received begins, for system calls. */
  get receiving(): number {
    return this.#receiving;
  }

  /** Takes frames for this address as well. */
  listenFor(mac: Uint8Array): void {
    this.#filter ??= new MacFilter(this.interface.index, this.netns);
    this.#filter.add(mac);
  }

  ignore(mac: Uint8Array): void {
    this.#filter?.remove(mac);
  }

  /** Sends a copy of a frame; {@link settle} shows it to the kernel. What finds no room is lost, as on any wire. */
  transmit(bytes: Uint8Array, offset: number, length: number): void {
    const socket = this.#sockets[0]!;
    if (socket.closed) return;
    const address = socket.reserve();
    if (address < 0) {
      this.dropped++;
      return;
    }
    socket.umem.bytes.set(bytes.subarray(offset, offset + length), address);
    this.#written = true;
    if (socket.enqueue(address, length)) return;
    socket.release(address);
    this.dropped++;
  }

  /** Sends one IP packet through a session; false when that does not carry it, or there is no room. */
  sendPacket(to: Encapsulation, bytes: Uint8Array, offset: number, length: number, flow = 0): boolean {
    const socket = this.#sockets[flow % this.#sockets.length]!;
    if (socket.closed) return false;
    const address = socket.reserve();
    if (address < 0) return false;
    const at = address + HEADERS;
    if (at + length > address + socket.umem.txRoom) {
      socket.release(address);
      return false;
    }
    socket.umem.bytes.set(bytes.subarray(offset, offset + length), at);
    const front = to.encapsulate(socket.umem.bytes, at, length);
    this.#written = true;
    if (front > 0 && socket.enqueue(at - front, length + front)) return true;
    socket.release(address);
    return false;
  }

  /**
   * Sends what the kernel has put on a device, each packet read to where it is sent from.
   *
   * @param flow Which of the interface's queues to send by.
   */
  pull(queue: TunQueue, choose: Choose, flow: number): void {
    const number = flow % this.#sockets.length;
    const socket = this.#sockets[number]!;
    if (socket.closed) return;
    const { bytes, txRoom } = socket.umem;
    const memory = this.#memory[number]!;
    for (let count = 0; count < PULL_BATCH; count++) {
      const address = socket.reserve();
      if (address < 0) {
        this.#congested(queue);
        break;
      }
      const at = address + HEADERS;
      const length = queue.read(memory + at, txRoom - HEADERS);
      if (length === 0) {
        socket.release(address);
        break;
      }
      const front = choose(bytes, at, length)?.encapsulate(bytes, at, length) ?? 0;
      if (front === 0) {
        socket.release(address);
      } else if (!socket.enqueue(at - front, length + front)) {
        socket.release(address);
        this.dropped++;
        this.#congested(queue);
        break;
      }
    }
    socket.flush();
  }

  /** Sends what was written and sets the timer. To be called after every call into what lives on the wire. */
  settle(): void {
    if (this.#closed) return;
    if (this.#written) {
      this.#written = false;
      for (const socket of this.#sockets) socket.flush();
    }
    const { deadline } = this.#user;
    // One that is due later than the timer is left to it: it looks again, and setting it anew for each packet would cost.
    if (deadline >= this.#armed) return;
    clearTimeout(this.#timer);
    this.#armed = deadline;
    const wait = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(deadline - this.now())));
    this.#timer = setTimeout(() => this.#due(), wait);
  }

  /** Waits for what was sent to leave, and closes. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.interface.up) for (const socket of this.#sockets) await socket.drain(100);
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#monitor.close();
    await this.interface.close();
    await this.#running;
    this.#filter?.close();
    this.net.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): void {
    let now = 0;
    const visit = (bytes: Uint8Array, address: number, length: number): void => {
      this.#user.input(bytes, address, length, now);
    };
    const work = (socket: XskSocket): number => {
      this.#receiving = this.#memory[this.#sockets.indexOf(socket)]!;
      now = this.now();
      const count = socket.receive(visit);
      if (count > 0) this.settle();
      // What the kernel would not take at once is offered again.
      if (socket.unsent > 0) socket.flush();
      return count;
    };
    const received = this.interface.run(work, { driver: 'event' }).catch((error: unknown) => {
      this.#user.gone?.(error as InterfaceGoneError);
    });
    this.#running = Promise.all([received, this.#watchCarrier()]);
    this.settle();
  }

  #due(): void {
    this.#armed = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    if (this.#closed) return;
    this.#user.advance(this.now());
    this.settle();
  }

  #congested(queue: TunQueue): void {
    queue.pause(true);
    setTimeout(() => queue.pause(false), CONGESTED).unref();
  }

  async #watchCarrier(): Promise<void> {
    for await (const event of this.#monitor) {
      if (this.#closed) return;
      let carrier = this.#carrier;
      if (event.type === 'overrun') carrier = this.net.links.find(this.interface.index)?.carrier ?? false;
      else if (event.type !== 'link' || event.link.index !== this.interface.index) continue;
      else carrier = event.action === 'set' && (event.link.carrier ?? event.link.up);
      if (carrier === this.#carrier) continue;
      this.#carrier = carrier;
      this.#user.carrier?.(carrier, this.now());
      this.settle();
    }
  }
}
