import { ARP_LENGTH } from './arp.ts';
import { DNS_LENGTH } from './dns.ts';
import { ETHERNET_LENGTH } from './ethernet.ts';
import { EtherType, IpProtocol, PppProtocol } from './headers.ts';
import { ICMP_LENGTH } from './icmp.ts';
import { ICMPV6_LENGTH } from './icmpv6.ts';
import { IPV4_LENGTH } from './ipv4.ts';
import { IPV6_LENGTH } from './ipv6.ts';
import { ipv6ExtensionLength } from './ipv6-extension.ts';
import { PPP_CONTROL_LENGTH, PPP_LENGTH } from './ppp.ts';
import { PPPOE_LENGTH } from './pppoe.ts';
import { TCP_LENGTH } from './tcp.ts';
import { UDP_LENGTH } from './udp.ts';
import { requireRange } from './view.ts';
import { VLAN_LENGTH } from './vlan.ts';
import { u16At } from './wire.ts';

/** The numbers that {@link PacketLayers} holds in place of layer names. `payload` is what has no codec here. */
export const LayerKind = {
  payload: 0,
  eth: 1,
  vlan: 2,
  arp: 3,
  ipv4: 4,
  ipv6: 5,
  hopByHop: 6,
  routing: 7,
  fragment: 8,
  destinationOptions: 9,
  ah: 10,
  icmp: 11,
  icmpv6: 12,
  udp: 13,
  tcp: 14,
  dns: 15,
  pppoe: 16,
  ppp: 17,
  lcp: 18,
  ipcp: 19,
  ipv6cp: 20,
  ccp: 21,
  pap: 22,
  chap: 23,
  eap: 24,
} as const;

export type LayerName = keyof typeof LayerKind;

const NAMES = Object.keys(LayerKind) as LayerName[];

/** Deeper stacks are tunnels in tunnels; the rest of such a packet is payload. */
const MAXIMUM_LAYERS = 32;

/** Why a walk ended before the last layer: a header not there whole, or one that contradicts itself. */
export type LayerProblem = 'truncated' | 'malformed' | 'too deep';

/**
 * The stack of headers in a packet: which, from where to where.
 *
 * One object serves any number of packets without allocating. What it walked is in parallel arrays, outermost
 * layer first:
 *
 *     kinds    eth  vlan  ipv4  udp  dns        ends are those that the headers themselves state:
 *     offsets    0    14    18   38   46        Ethernet's padding is behind the end of ipv4.
 *     ends      90    90    86   86   86
 */
export class PacketLayers {
  bytes: Uint8Array = new Uint8Array(0);
  count = 0;
  /** `LayerKind`s. */
  readonly kinds: Uint8Array = new Uint8Array(MAXIMUM_LAYERS);
  readonly offsets: Uint32Array = new Uint32Array(MAXIMUM_LAYERS);
  readonly ends: Uint32Array = new Uint32Array(MAXIMUM_LAYERS);
  /** Why the walk ended early; the bytes from there on are a `payload` layer. */
  problem: LayerProblem | undefined = undefined;
  /** What comes behind the header just stepped over. */
  #next = 0;
  #offset = 0;
  #end = 0;

  /**
   * Walks a packet. It never throws for what the bytes hold: hostile packets must not cost an error object each.
   *
   * @param first What the bytes begin with: `LayerKind.eth` by default, `ipv4`, `ipv6` or `ppp` where a device
   * gives packets without a link-layer header.
   * @throws CodecError if `offset` to `end` is no range of `bytes`.
   */
  decode(
    bytes: Uint8Array,
    offset = 0,
    end: number = bytes.length,
    first: number | undefined = LayerKind.eth,
  ): this {
    requireRange('packet', bytes, offset, end);
    this.bytes = bytes;
    this.count = 0;
    this.problem = undefined;
    this.#next = first;
    this.#offset = offset;
    this.#end = end;
    while (this.#next !== LayerKind.payload && this.problem === undefined) {
      if (this.count === MAXIMUM_LAYERS - 1) {
        this.problem = 'too deep';
        break;
      }
      const kind = this.#next;
      const start = this.#offset;
      if (this.#step(kind, start, this.#end)) this.#push(kind, start, this.#end);
    }
    if (this.#offset < this.#end) this.#push(LayerKind.payload, this.#offset, this.#end);
    return this;
  }

  /** The name of layer `index`. */
  name(index: number): LayerName {
    return NAMES[this.kinds[index]!]!;
  }

  /** The index of the outermost layer of a kind, or -1. */
  find(kind: number): number {
    for (let i = 0; i < this.count; i++) if (this.kinds[i] === kind) return i;
    return -1;
  }

  /** The index of the innermost layer of a kind, or -1. */
  findLast(kind: number): number {
    for (let i = this.count - 1; i >= 0; i--) if (this.kinds[i] === kind) return i;
    return -1;
  }

  /** The names of all layers, outermost first. */
  names(): LayerName[] {
    return Array.from({ length: this.count }, (_, i) => this.name(i));
  }

  #push(kind: number, offset: number, end: number): void {
    const i = this.count++;
    this.kinds[i] = kind;
    this.offsets[i] = offset;
    this.ends[i] = end;
  }

  /** Steps over the header of `kind` at `at`, or says what is wrong with it. */
  #step(kind: number, at: number, end: number): boolean {
    const { bytes } = this;
    switch (kind) {
      case LayerKind.eth:
        if (end - at < ETHERNET_LENGTH) return this.#refuse('truncated');
        this.#offset = at + ETHERNET_LENGTH;
        this.#next = this.#afterEtherType(u16At(bytes, at + 12));
        return true;
      case LayerKind.vlan:
        if (end - at < VLAN_LENGTH) return this.#refuse('truncated');
        this.#offset = at + VLAN_LENGTH;
        this.#next = this.#afterEtherType(u16At(bytes, at + 2));
        return true;
      case LayerKind.arp:
        if (end - at < ARP_LENGTH) return this.#refuse('truncated');
        if (u16At(bytes, at + 4) !== 0x0604) return this.#refuse('malformed');
        return this.#last(at + ARP_LENGTH);
      case LayerKind.ipv4:
        return this.#stepIpv4(at, end);
      case LayerKind.ipv6: {
        if (end - at < IPV6_LENGTH) return this.#refuse('truncated');
        if (bytes[at]! >>> 4 !== 6) return this.#refuse('malformed');
        this.#offset = at + IPV6_LENGTH;
        this.#end = Math.min(end, this.#offset + u16At(bytes, at + 4));
        this.#next = afterIp(bytes[at + 6]!, true);
        return true;
      }
      case LayerKind.hopByHop:
        return this.#stepExtension(IpProtocol.hopByHop, at, end);
      case LayerKind.routing:
        return this.#stepExtension(IpProtocol.routing, at, end);
      case LayerKind.fragment:
        return this.#stepExtension(IpProtocol.fragment, at, end);
      case LayerKind.destinationOptions:
        return this.#stepExtension(IpProtocol.destinationOptions, at, end);
      case LayerKind.ah:
        return this.#stepExtension(IpProtocol.ah, at, end);
      case LayerKind.icmp:
        if (end - at < ICMP_LENGTH) return this.#refuse('truncated');
        return this.#last(at + ICMP_LENGTH);
      case LayerKind.icmpv6:
        if (end - at < ICMPV6_LENGTH) return this.#refuse('truncated');
        return this.#last(at + ICMPV6_LENGTH);
      case LayerKind.udp: {
        if (end - at < UDP_LENGTH) return this.#refuse('truncated');
        const length = u16At(bytes, at + 4);
        if (length < UDP_LENGTH) return this.#refuse('malformed');
        this.#offset = at + UDP_LENGTH;
        this.#end = Math.min(end, at + length);
        const dns = isDnsPort(u16At(bytes, at)) || isDnsPort(u16At(bytes, at + 2));
        this.#next = dns ? LayerKind.dns : LayerKind.payload;
        return true;
      }
      case LayerKind.tcp: {
        if (end - at < TCP_LENGTH) return this.#refuse('truncated');
        const headerLength = (bytes[at + 12]! & 0xf0) >>> 2;
        if (headerLength < TCP_LENGTH) return this.#refuse('malformed');
        if (end - at < headerLength) return this.#refuse('truncated');
        return this.#last(at + headerLength);
      }
      case LayerKind.dns:
        if (end - at < DNS_LENGTH) return this.#refuse('truncated');
        // Questions and records are no layers: the message is one whole.
        return this.#last(end);
      case LayerKind.pppoe:
        if (end - at < PPPOE_LENGTH) return this.#refuse('truncated');
        if (bytes[at] !== 0x11) return this.#refuse('malformed');
        this.#offset = at + PPPOE_LENGTH;
        this.#end = Math.min(end, this.#offset + u16At(bytes, at + 4));
        this.#next = bytes[at + 1] === 0 ? LayerKind.ppp : LayerKind.payload;
        return true;
      case LayerKind.ppp:
        if (end - at < PPP_LENGTH) return this.#refuse('truncated');
        this.#offset = at + PPP_LENGTH;
        this.#next = afterPpp(u16At(bytes, at));
        return true;
      default: {
        // LCP and all that begins like it.
        if (end - at < PPP_CONTROL_LENGTH) return this.#refuse('truncated');
        const length = u16At(bytes, at + 2);
        if (length < PPP_CONTROL_LENGTH) return this.#refuse('malformed');
        this.#end = Math.min(end, at + length);
        return this.#last(at + PPP_CONTROL_LENGTH);
      }
    }
  }

  #stepIpv4(at: number, end: number): boolean {
    const { bytes } = this;
    if (end - at < IPV4_LENGTH) return this.#refuse('truncated');
    const headerLength = (bytes[at]! & 0x0f) << 2;
    const totalLength = u16At(bytes, at + 2);
    const malformed = bytes[at]! >>> 4 !== 4 || headerLength < IPV4_LENGTH || totalLength < headerLength;
    if (malformed) return this.#refuse('malformed');
    if (end - at < headerLength) return this.#refuse('truncated');
    this.#offset = at + headerLength;
    this.#end = Math.min(end, at + totalLength);
    // Only the fragment at offset 0 holds the header of the next layer.
    const first = (u16At(bytes, at + 6) & 0x1fff) === 0;
    this.#next = first ? afterIp(bytes[at + 9]!, false) : LayerKind.payload;
    return true;
  }

  #stepExtension(protocol: number, at: number, end: number): boolean {
    const length = ipv6ExtensionLength(protocol, this.bytes, at, end);
    if (length < 0) return this.#refuse('truncated');
    this.#offset = at + length;
    const first = protocol !== IpProtocol.fragment || (u16At(this.bytes, at + 2) & 0xfff8) === 0;
    this.#next = first ? afterIp(this.bytes[at]!, true) : LayerKind.payload;
    return true;
  }

  /** What an EtherType announces; below 0x600 it is the length of an 802.3 frame. */
  #afterEtherType(etherType: number): number {
    switch (etherType) {
      case EtherType.ipv4:
        return LayerKind.ipv4;
      case EtherType.ipv6:
        return LayerKind.ipv6;
      case EtherType.arp:
        return LayerKind.arp;
      case EtherType.vlan:
      case EtherType.qinq:
        return LayerKind.vlan;
      case EtherType.pppoeDiscovery:
      case EtherType.pppoeSession:
        return LayerKind.pppoe;
      default:
        if (etherType < 0x600) this.#end = Math.min(this.#end, this.#offset + etherType);
        return LayerKind.payload;
    }
  }

  #last(offset: number): boolean {
    this.#offset = offset;
    this.#next = LayerKind.payload;
    return true;
  }

  #refuse(problem: LayerProblem): boolean {
    this.problem = problem;
    return false;
  }
}

function afterIp(protocol: number, ipv6: boolean): number {
  switch (protocol) {
    case IpProtocol.tcp:
      return LayerKind.tcp;
    case IpProtocol.udp:
      return LayerKind.udp;
    case IpProtocol.icmp:
      return LayerKind.icmp;
    case IpProtocol.icmpv6:
      return LayerKind.icmpv6;
    case IpProtocol.ipv4:
      return LayerKind.ipv4;
    case IpProtocol.ipv6:
      return LayerKind.ipv6;
    case IpProtocol.ah:
      return LayerKind.ah;
    case IpProtocol.hopByHop:
      return ipv6 ? LayerKind.hopByHop : LayerKind.payload;
    case IpProtocol.routing:
      return ipv6 ? LayerKind.routing : LayerKind.payload;
    case IpProtocol.fragment:
      return ipv6 ? LayerKind.fragment : LayerKind.payload;
    case IpProtocol.destinationOptions:
      return ipv6 ? LayerKind.destinationOptions : LayerKind.payload;
    default:
      return LayerKind.payload;
  }
}

function afterPpp(protocol: number): number {
  switch (protocol) {
    case PppProtocol.ipv4:
      return LayerKind.ipv4;
    case PppProtocol.ipv6:
      return LayerKind.ipv6;
    case PppProtocol.lcp:
      return LayerKind.lcp;
    case PppProtocol.ipcp:
      return LayerKind.ipcp;
    case PppProtocol.ipv6cp:
      return LayerKind.ipv6cp;
    case PppProtocol.ccp:
      return LayerKind.ccp;
    case PppProtocol.pap:
      return LayerKind.pap;
    case PppProtocol.chap:
      return LayerKind.chap;
    case PppProtocol.eap:
      return LayerKind.eap;
    default:
      return LayerKind.payload;
  }
}

function isDnsPort(port: number): boolean {
  return port === 53 || port === 5353;
}
