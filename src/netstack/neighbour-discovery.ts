import { transportChecksum } from '../packet/checksum.ts';
import type { EthernetLink } from './ethernet.ts';
import type { StackInterface } from './interface.ts';
import { Ip, putHalf, putWord } from './ip.ts';
import { HEADROOM, IPV6_HEADER, writeIpHeader } from './ip-header.ts';
import type { IpPacket } from './packet.ts';

const ICMPV6 = 58;
/** RFC 4861, section 4. */
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
/** Router, solicited, override. */
const SOLICITED = 0x4000_0000;
const OVERRIDE = 0x2000_0000;
const MESSAGE = 24;
const OPTION = 8;
const PAYLOAD: number = HEADROOM + IPV6_HEADER;
const ALL_NODES: Ip = Ip.parse('ff02::1');

/** Neighbour solicitations and advertisements (RFC 4861): who has an IPv6 address on this link. */
export class NeighbourDiscovery {
  readonly #via: StackInterface;
  readonly #link: EthernetLink;

  constructor(via: StackInterface, link: EthernetLink) {
    this.#via = via;
    this.#link = link;
  }

  /** Asks who has the address: those whose addresses end like it, or its known owner. */
  solicit(source: Ip, target: Ip, mac: Uint8Array | undefined): void {
    this.#write(SOLICITATION, 0, target, SOURCE_LINK_LAYER);
    this.#send(source, mac === undefined ? solicitedNode(target) : target, mac);
  }

  /** A message; its checksum has been found right. */
  input(packet: IpPacket): void {
    const { bytes, transport: at, end } = packet;
    // From this very link, as only its hosts can send it (section 7.1).
    if (packet.hops !== 255 || bytes[at + 1] !== 0 || end - at < MESSAGE) return;
    const target = Ip.v6(bytes, at + 8);
    if (target.isMulticast) return;
    const type = bytes[at]!;
    const option = findOption(packet, type === SOLICITATION ? SOURCE_LINK_LAYER : TARGET_LINK_LAYER);
    if (option === undefined) return;
    if (type === SOLICITATION) this.#onSolicitation(packet, target, option.mac);
    else if (type === ADVERTISEMENT) this.#onAdvertisement(packet, target, option.mac);
  }

  /** Section 7.2.3 and 7.2.4. */
  #onSolicitation(packet: IpPacket, target: Ip, mac: Uint8Array | undefined): void {
    if (!this.#via.owns(target.w0, target.w1, target.w2, target.w3)) return;
    const { source } = packet;
    const link = this.#link;
    if (source.isUnspecified) {
      // Somebody wants to take our address: everybody shall hear that it is taken (RFC 4862, section 5.4).
      if (mac !== undefined) return;
      this.#write(ADVERTISEMENT, OVERRIDE, target, TARGET_LINK_LAYER);
      this.#send(target, ALL_NODES, undefined);
      return;
    }
    if (mac !== undefined) link.neighbours.learn(source, mac, true, false, link.now);
    this.#write(ADVERTISEMENT, SOLICITED | OVERRIDE, target, TARGET_LINK_LAYER);
    this.#send(target, source, mac);
  }

  /** Section 7.2.5. */
  #onAdvertisement(packet: IpPacket, target: Ip, mac: Uint8Array | undefined): void {
    if (mac === undefined || this.#via.owns(target.w0, target.w1, target.w2, target.w3)) return;
    const solicited = (packet.bytes[packet.transport + 4]! & 0x40) !== 0;
    if (solicited && !packet.unicast) return;
    this.#link.neighbours.learn(target, mac, false, solicited, this.#link.now);
  }

  #write(type: number, flags: number, target: Ip, option: number): void {
    const out = this.#link.scratch;
    putWord(out, PAYLOAD, type << 24);
    putWord(out, PAYLOAD + 4, flags);
    target.put(out, PAYLOAD + 8);
    out[PAYLOAD + MESSAGE] = option;
    out[PAYLOAD + MESSAGE + 1] = 1;
    out.set(this.#link.address, PAYLOAD + MESSAGE + 2);
  }

  #send(source: Ip, destination: Ip, mac: Uint8Array | undefined): void {
    const out = this.#link.scratch;
    const length = MESSAGE + OPTION;
    const sum = transportChecksum(out, PAYLOAD, PAYLOAD + length, source.sum + destination.sum, ICMPV6);
    putHalf(out, PAYLOAD + 2, sum);
    writeIpHeader(out, HEADROOM, source, destination, ICMPV6, length, 0, 255);
    // An answer goes back where the question came from, without asking in turn.
    if (mac !== undefined) this.#link.sendFrame(mac, 0x86dd, out, HEADROOM, IPV6_HEADER + length);
    else this.#link.transmit(out, HEADROOM, IPV6_HEADER + length, destination);
  }
}

/** The link-layer address option, if there is one; undefined when the options are malformed. */
function findOption(packet: IpPacket, type: number): { readonly mac: Uint8Array | undefined } | undefined {
  const { bytes, end } = packet;
  let mac: Uint8Array | undefined;
  for (let at = packet.transport + MESSAGE; at < end; ) {
    const length = at + 2 <= end ? bytes[at + 1]! << 3 : 0;
    if (length === 0 || at + length > end) return undefined;
    if (bytes[at] === type && length === OPTION) mac = Uint8Array.from(bytes.subarray(at + 2, at + 8));
    at += length;
  }
  return { mac };
}

/** ff02::1:ff and the address's last three bytes (RFC 4291, section 2.7.1). */
export function solicitedNode(ip: Ip): Ip {
  return new Ip(6, 0xff02_0000 | 0, 0, 1, 0xff00_0000 | (ip.w3 & 0xff_ffff));
}
