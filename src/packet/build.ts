import { ArgumentError } from '../error.ts';
import { type AhFields, ahLength, writeAh } from './ah.ts';
import { ARP_LENGTH, type ArpFields, emitArp } from './arp.ts';
import { type ChapPacket, emitChap } from './chap.ts';
import { addressSum4, addressSum6 } from './checksum.ts';
import { type DnsMessage, emitDns } from './dns.ts';
import { type EapPacket, emitEap } from './eap.ts';
import { ETHERNET_LENGTH, type EthernetFields, writeEthernet } from './ethernet.ts';
import { EtherType, IpProtocol, PppProtocol } from './headers.ts';
import { ICMP_LENGTH, type IcmpFields, writeIcmp } from './icmp.ts';
import { ICMPV6_LENGTH, type Icmpv6Fields, writeIcmpv6 } from './icmpv6.ts';
import { type Ipv4Fields, ipv4Length, writeIpv4 } from './ipv4.ts';
import { IPV6_LENGTH, type Ipv6Fields, writeIpv6 } from './ipv6.ts';
import {
  FRAGMENT_LENGTH,
  type Ipv6FragmentFields,
  type Ipv6OptionsFields,
  type Ipv6RoutingFields,
  ipv6OptionsHeaderLength,
  ipv6RoutingLength,
  RoutingType,
  writeIpv6Fragment,
  writeIpv6OptionsHeader,
  writeIpv6Routing,
} from './ipv6-extension.ts';
import { emitNdp, type NdpMessage, ndpLength } from './ndp.ts';
import { emitPap, type PapPacket } from './pap.ts';
import {
  PPP_LENGTH,
  type PppControlFields,
  type PppFields,
  pppControlLength,
  writePpp,
  writePppControl,
} from './ppp.ts';
import { type PppoeFields, pppoeLength, writePppoe } from './pppoe.ts';
import { type TcpFields, tcpLength, writeTcp } from './tcp.ts';
import { UDP_LENGTH, type UdpFields, writeUdp } from './udp.ts';
import { requireRoom } from './view.ts';
import { VLAN_LENGTH, type VlanFields, writeVlan } from './vlan.ts';

/** What the builder fills in by itself, from the layers around. */
type Payload = 'payload' | 'payloadLength';
type Optional<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

/**
 * One layer of a packet, or its payload as bytes. What a layer says about the next one (`etherType`, `protocol`,
 * `nextHeader`) is taken from it when left out.
 */
export type PacketLayer =
  | Uint8Array
  | ({ readonly layer: 'eth' } & Optional<EthernetFields, 'etherType'>)
  | ({ readonly layer: 'vlan' } & Optional<VlanFields, 'etherType'>)
  | ({ readonly layer: 'arp' } & ArpFields)
  | ({ readonly layer: 'ipv4' } & Optional<Omit<Ipv4Fields, Payload>, 'protocol'>)
  | ({ readonly layer: 'ipv6' } & Optional<Omit<Ipv6Fields, Payload>, 'nextHeader'>)
  | ({ readonly layer: 'hopByHop' | 'destinationOptions' } & Optional<Ipv6OptionsFields, 'nextHeader'>)
  | ({ readonly layer: 'routing' } & Optional<Ipv6RoutingFields, 'nextHeader'>)
  | ({ readonly layer: 'fragment' } & Optional<Ipv6FragmentFields, 'nextHeader'>)
  | ({ readonly layer: 'ah' } & Optional<AhFields, 'nextHeader'>)
  | ({ readonly layer: 'icmp' } & Omit<IcmpFields, Payload>)
  | ({ readonly layer: 'icmpv6' } & Omit<Icmpv6Fields, Payload>)
  | { readonly layer: 'ndp'; readonly message: NdpMessage }
  | ({ readonly layer: 'udp' } & Omit<UdpFields, Payload>)
  | ({ readonly layer: 'tcp' } & Omit<TcpFields, Payload>)
  | { readonly layer: 'dns'; readonly message: DnsMessage }
  | ({ readonly layer: 'pppoe' } & Omit<PppoeFields, Payload>)
  | ({ readonly layer: 'ppp' } & Optional<Omit<PppFields, Payload>, 'protocol'>)
  | ({ readonly layer: 'lcp' | 'ipcp' | 'ipv6cp' | 'ccp' } & Omit<PppControlFields, Payload>)
  | { readonly layer: 'pap'; readonly packet: PapPacket }
  | { readonly layer: 'chap'; readonly packet: ChapPacket }
  | { readonly layer: 'eap'; readonly packet: EapPacket };

/**
 * A packet from its layers, outermost first, with every length, checksum and next-protocol number filled in.
 *
 *     buildPacket([
 *       { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' },
 *       { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' },
 *       { layer: 'udp', sourcePort: 4000, destinationPort: 5000 },
 *       new TextEncoder().encode('hello'),
 *     ]);
 *
 * @throws ArgumentError if a field is out of range, or a layer cannot tell what comes next.
 */
export function buildPacket(layers: readonly PacketLayer[]): Uint8Array {
  const plan = planOf(layers);
  const out = new Uint8Array(plan.length);
  emitPlan(out, 0, plan);
  return out;
}

/** As {@link buildPacket}, into a given buffer. @returns the offset behind the packet. */
export function emitPacket(out: Uint8Array, offset: number, layers: readonly PacketLayer[]): number {
  const plan = planOf(layers);
  requireRoom('packet', out, offset, plan.length);
  emitPlan(out, offset, plan);
  return offset + plan.length;
}

interface Plan {
  readonly layers: readonly PacketLayer[];
  /** What whole messages were encoded to beforehand, as their length is not known otherwise. */
  readonly encoded: readonly (Uint8Array | undefined)[];
  readonly lengths: readonly number[];
  readonly length: number;
}

/** Where messages are encoded first whose length is not known before; no IP packet holds a longer one. */
const SCRATCH = new Uint8Array(0xffff);

function planOf(layers: readonly PacketLayer[]): Plan {
  const encoded: (Uint8Array | undefined)[] = [];
  const lengths: number[] = [];
  let length = 0;
  for (const layer of layers) {
    const bytes = encode(layer);
    const size = bytes === undefined ? headerLength(layer) : bytes.length;
    encoded.push(bytes);
    lengths.push(size);
    length += size;
  }
  return { layers, encoded, lengths, length };
}

function encode(layer: PacketLayer): Uint8Array | undefined {
  if (layer instanceof Uint8Array) return layer;
  switch (layer.layer) {
    case 'dns':
      return SCRATCH.slice(0, emitDns(SCRATCH, 0, layer.message));
    case 'pap':
      return SCRATCH.slice(0, emitPap(SCRATCH, 0, layer.packet));
    case 'chap':
      return SCRATCH.slice(0, emitChap(SCRATCH, 0, layer.packet));
    case 'eap':
      return SCRATCH.slice(0, emitEap(SCRATCH, 0, layer.packet));
    default:
      return undefined;
  }
}

function headerLength(layer: PacketLayer): number {
  if (layer instanceof Uint8Array) return layer.length;
  switch (layer.layer) {
    case 'eth':
      return ETHERNET_LENGTH;
    case 'vlan':
      return VLAN_LENGTH;
    case 'arp':
      return ARP_LENGTH;
    case 'ipv4':
      return ipv4Length(layer);
    case 'ipv6':
      return IPV6_LENGTH;
    case 'hopByHop':
    case 'destinationOptions':
      return ipv6OptionsHeaderLength(layer);
    case 'routing':
      return ipv6RoutingLength(layer);
    case 'fragment':
      return FRAGMENT_LENGTH;
    case 'ah':
      return ahLength(layer);
    case 'icmp':
      return ICMP_LENGTH;
    case 'icmpv6':
      return ICMPV6_LENGTH;
    case 'ndp':
      return ndpLength(layer.message);
    case 'udp':
      return UDP_LENGTH;
    case 'tcp':
      return tcpLength(layer);
    case 'pppoe':
      return pppoeLength(layer);
    case 'ppp':
      return PPP_LENGTH;
    case 'lcp':
    case 'ipcp':
    case 'ipv6cp':
    case 'ccp':
      return pppControlLength(layer);
    default:
      return 0;
  }
}

/** From the innermost layer outwards: a checksum needs what it covers in place. */
function emitPlan(out: Uint8Array, offset: number, plan: Plan): void {
  let at = offset + plan.length;
  for (let i = plan.layers.length - 1; i >= 0; i--) {
    const payloadLength = offset + plan.length - at;
    at -= plan.lengths[i]!;
    const encoded = plan.encoded[i];
    if (encoded === undefined) emitLayer(out, at, plan.layers, i, payloadLength);
    else out.set(encoded, at);
  }
}

function emitLayer(
  out: Uint8Array,
  at: number,
  layers: readonly PacketLayer[],
  index: number,
  payloadLength: number,
): void {
  const layer = layers[index]!;
  if (layer instanceof Uint8Array) return;
  switch (layer.layer) {
    case 'eth':
      writeEthernet(out, at, layer, layer.etherType ?? etherTypeOf(layers, index));
      return;
    case 'vlan':
      writeVlan(out, at, layer, layer.etherType ?? etherTypeOf(layers, index));
      return;
    case 'arp':
      emitArp(out, at, layer);
      return;
    case 'ipv4':
      writeIpv4(out, at, layer, layer.protocol ?? protocolOf(layers, index), payloadLength);
      return;
    case 'ipv6':
      writeIpv6(out, at, layer, layer.nextHeader ?? protocolOf(layers, index), payloadLength);
      return;
    case 'hopByHop':
    case 'destinationOptions':
      writeIpv6OptionsHeader(out, at, layer, layer.nextHeader ?? protocolOf(layers, index));
      return;
    case 'routing':
      writeIpv6Routing(out, at, layer, layer.nextHeader ?? protocolOf(layers, index));
      return;
    case 'fragment':
      writeIpv6Fragment(out, at, layer, layer.nextHeader ?? protocolOf(layers, index));
      return;
    case 'ah':
      writeAh(out, at, layer, layer.nextHeader ?? protocolOf(layers, index));
      return;
    case 'icmp':
      writeIcmp(out, at, layer, payloadLength);
      return;
    case 'icmpv6':
      writeIcmpv6(out, at, layer, payloadLength, sumFor(layer, layers, index));
      return;
    case 'ndp':
      emitNdp(out, at, layer.message, addressSumOf(layers, index));
      return;
    case 'udp':
      writeUdp(out, at, layer, payloadLength, sumFor(layer, layers, index));
      return;
    case 'tcp':
      writeTcp(out, at, layer, payloadLength, sumFor(layer, layers, index));
      return;
    case 'pppoe':
      writePppoe(out, at, layer, payloadLength);
      return;
    case 'ppp':
      writePpp(out, at, layer.protocol ?? pppProtocolOf(layers, index));
      return;
    case 'lcp':
    case 'ipcp':
    case 'ipv6cp':
    case 'ccp':
      writePppControl(out, at, layer, payloadLength);
      return;
  }
}

/** The name of the layer behind `index`; empty for bytes and for the end. */
function nameBehind(layers: readonly PacketLayer[], index: number): string {
  const next = layers[index + 1];
  return next === undefined || next instanceof Uint8Array ? '' : next.layer;
}

function etherTypeOf(layers: readonly PacketLayer[], index: number): number {
  const next = nameBehind(layers, index);
  switch (next) {
    case 'ipv4':
      return EtherType.ipv4;
    case 'ipv6':
      return EtherType.ipv6;
    case 'arp':
      return EtherType.arp;
    case 'vlan':
      // Of two tags the outer is the provider's (IEEE 802.1ad).
      return nameBehind(layers, index + 1) === 'vlan' ? EtherType.qinq : EtherType.vlan;
    case 'pppoe': {
      const pppoe = layers[index + 1] as { readonly code: number };
      return pppoe.code === 0 ? EtherType.pppoeSession : EtherType.pppoeDiscovery;
    }
    default:
      throw unknownNext('etherType', next);
  }
}

function protocolOf(layers: readonly PacketLayer[], index: number): number {
  const next = nameBehind(layers, index);
  switch (next) {
    case 'ndp':
      return IpProtocol.icmpv6;
    case 'icmp':
    case 'icmpv6':
    case 'tcp':
    case 'udp':
    case 'ipv4':
    case 'ipv6':
    case 'hopByHop':
    case 'routing':
    case 'fragment':
    case 'destinationOptions':
    case 'ah':
      return IpProtocol[next];
    default:
      if (index === layers.length - 1) return IpProtocol.noNextHeader;
      throw unknownNext('protocol', next);
  }
}

function pppProtocolOf(layers: readonly PacketLayer[], index: number): number {
  const next = nameBehind(layers, index);
  if (Object.hasOwn(PppProtocol, next)) return PppProtocol[next as keyof typeof PppProtocol];
  throw unknownNext('protocol', next);
}

function unknownNext(field: string, next: string): ArgumentError {
  return new ArgumentError(`no ${field} is known for ${next === '' ? 'bytes' : `a layer '${next}'`}`, {
    hint: `Give \`${field}\` in the layer before.`,
  });
}

/** The address sum for a checksum, unless the layer has its own or needs none. */
function sumFor(
  layer: { readonly checksum?: number; readonly addressSum?: number },
  layers: readonly PacketLayer[],
  index: number,
): number | undefined {
  return layer.checksum === undefined ? (layer.addressSum ?? addressSumOf(layers, index)) : undefined;
}

/** Of the innermost IP header around layer `index`. */
function addressSumOf(layers: readonly PacketLayer[], index: number): number {
  let final: Extract<PacketLayer, { layer: 'routing' }> | undefined;
  for (let i = index - 1; i >= 0; i--) {
    const layer = layers[i]!;
    if (layer instanceof Uint8Array) continue;
    if (layer.layer === 'routing' && layer.segmentsLeft > 0) final ??= layer;
    if (layer.layer === 'ipv4') return addressSum4(layer.source, layer.destination);
    if (layer.layer === 'ipv6') {
      // While a routing header has segments left, the pseudo-header has its final destination (RFC 8200, 8.1).
      const { addresses = [], routingType } = final ?? {};
      const destination = routingType === RoutingType.segment ? addresses[0] : addresses.at(-1);
      return addressSum6(layer.source, destination ?? layer.destination);
    }
  }
  throw new ArgumentError('a checksum needs an IP layer around it', {
    hint: 'Give the checksum or the `addressSum` in the layer.',
  });
}
