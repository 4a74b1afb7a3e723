import { readArp, sendArp } from './arp.ts';
import type { StackInterface } from './interface.ts';
import { halfAt, type Ip, putHalf } from './ip.ts';
import { HEADROOM } from './ip-header.ts';
import { NeighbourDiscovery } from './neighbour-discovery.ts';
import { type Neighbour, NeighbourTable } from './neighbours.ts';
import type { IpPacket } from './packet.ts';
import type { TimerWheel } from './timer-wheel.ts';

/** EtherTypes. */
const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;
const HEADER = 14;

/** What an interface on Ethernet needs of its stack. */
export interface EthernetEnvironment {
  readonly wheel: TimerWheel;
  readonly scratch: Uint8Array;
  now(): number;
  /** Nobody answers for that address. */
  onUnreachable(via: StackInterface, next: Ip): void;
}

/** Ethernet below an interface: frame headers, and who has which MAC address. */
export class EthernetLink {
  /** The own MAC address, 6 bytes. */
  readonly address: Uint8Array;
  readonly neighbours: NeighbourTable;
  readonly discovery: NeighbourDiscovery;
  readonly #via: StackInterface;
  readonly #environment: EthernetEnvironment;

  constructor(via: StackInterface, address: Uint8Array, environment: EthernetEnvironment) {
    this.#via = via;
    this.#environment = environment;
    this.address = address.slice();
    this.discovery = new NeighbourDiscovery(via, this);
    this.neighbours = new NeighbourTable({
      wheel: environment.wheel,
      solicit: (neighbour) => this.#solicit(neighbour),
      send: (neighbour, bytes, length) => this.#sendTo(neighbour.mac!, bytes, HEADROOM, length, neighbour.ip),
      onUnreachable: (next) => environment.onUnreachable(via, next),
    });
  }

  get now(): number {
    return this.#environment.now();
  }

  get scratch(): Uint8Array {
    return this.#environment.scratch;
  }

  /** Sends an IP packet to whoever is next on its way. */
  transmit(bytes: Uint8Array, offset: number, length: number, destination: Ip): boolean {
    const via = this.#via;
    if (destination.isMulticast || (destination.version === 4 && via.isBroadcast(destination.w3))) {
      return this.#sendTo(multicastMac(destination), bytes, offset, length, destination);
    }
    const next = via.isOnLink(destination)
      ? destination
      : via.gateways.find(({ version }) => version === destination.version);
    if (next === undefined) {
      this.#environment.onUnreachable(via, destination);
      return true;
    }
    const { neighbours } = this;
    const neighbour = neighbours.get(next);
    let sent = true;
    if (neighbour.mac === undefined) neighbours.queue(neighbour, bytes, offset, length);
    else sent = this.#sendTo(neighbour.mac, bytes, offset, length, destination);
    neighbours.check(neighbour, this.now);
    return sent;
  }

  /**
   * Takes a frame.
   *
   * @returns where its IP packet begins, counted from the frame's start; 0 when there is none for us.
   */
  input(bytes: Uint8Array, offset: number, length: number): number {
    if (length < HEADER || !this.#isForUs(bytes, offset)) return 0;
    const type = halfAt(bytes, offset + 12);
    if (type === IPV4 || type === IPV6) return HEADER;
    if (type === ARP) this.#onArp(bytes, offset + HEADER, length - HEADER);
    return 0;
  }

  /** An ICMPv6 message of neighbour discovery. */
  inputDiscovery(packet: IpPacket): void {
    this.discovery.input(packet);
  }

  /** Writes a frame header before what lies at `HEADROOM` of the scratch, and sends. */
  sendFrame(mac: Uint8Array, type: number, bytes: Uint8Array, offset: number, length: number): boolean {
    const at = offset - HEADER;
    bytes.set(mac, at);
    bytes.set(this.address, at + 6);
    putHalf(bytes, at + 12, type);
    return this.#via.put(bytes, at, length + HEADER);
  }

  close(): void {
    this.neighbours.clear();
  }

  #sendTo(mac: Uint8Array, bytes: Uint8Array, offset: number, length: number, destination: Ip): boolean {
    return this.sendFrame(mac, destination.version === 4 ? IPV4 : IPV6, bytes, offset, length);
  }

  #isForUs(bytes: Uint8Array, offset: number): boolean {
    if (bytes[offset]! & 1) return true;
    for (let i = 0; i < 6; i++) if (bytes[offset + i] !== this.address[i]) return false;
    return true;
  }

  /** RFC 826, "Packet Reception". */
  #onArp(bytes: Uint8Array, offset: number, length: number): void {
    const message = readArp(bytes, offset, length);
    if (message === undefined) return;
    const { sender, senderMac, target, request } = message;
    const via = this.#via;
    const forUs = via.owns(target.w0, target.w1, target.w2, target.w3);
    // Somebody who claims our own address changes nothing here.
    if (via.owns(sender.w0, sender.w1, sender.w2, sender.w3)) return;
    if (!sender.isUnspecified) this.neighbours.learn(sender, senderMac, forUs, !request && forUs, this.now);
    if (request && forUs) sendArp(this, 'reply', target, sender, senderMac);
  }

  #solicit({ ip, mac }: Neighbour): void {
    const source = this.#via.sourceFor(ip);
    if (source === undefined) return;
    if (ip.version === 4) sendArp(this, 'request', source, ip, mac);
    else this.discovery.solicit(source, ip, mac);
  }
}

/** RFC 1112, section 6.4; RFC 2464, section 7. */
function multicastMac(ip: Ip): Uint8Array {
  if (ip.version === 6) {
    return Uint8Array.of(0x33, 0x33, ip.w3 >>> 24, ip.w3 >>> 16, ip.w3 >>> 8, ip.w3);
  }
  if (ip.w3 >>> 28 !== 14) return new Uint8Array(6).fill(0xff);
  return Uint8Array.of(1, 0, 0x5e, (ip.w3 >>> 16) & 0x7f, ip.w3 >>> 8, ip.w3);
}
