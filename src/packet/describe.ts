import { formatIPv6 } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { ipv4Text, macText } from './address.ts';
import { LayerKind, type LayerName, PacketLayers } from './decode.ts';
import { DnsView } from './dns.ts';
import { decodeName, skipName } from './dns-name.ts';
import { dnsTypeName } from './dns-record.ts';
import {
  ArpOperation,
  EtherType,
  type HeaderName,
  headerLayouts,
  IcmpType,
  Icmpv6Type,
  PppoeCode,
} from './headers.ts';
import { NdpView } from './ndp.ts';
import { PppCode } from './ppp.ts';
import { u16At, u32At, u48At } from './wire.ts';

/**
 * One line about a packet, for people: addresses, ports, the innermost protocol and what it says.
 *
 *     192.0.2.1:40000 > 192.0.2.53:53 DNS query 4660 A example.com
 *
 * Hostile bytes give a line too: what could not be read is named at its end. Control characters never get through.
 */
export function describePacket(bytes: Uint8Array, offset = 0, end: number = bytes.length): string {
  return describeLayers(new PacketLayers().decode(bytes, offset, end));
}

/** As {@link describePacket}, of a packet that was walked already. */
export function describeLayers(layers: PacketLayers): string {
  const parts: string[] = [];
  let text = '';
  for (let i = 0; i < layers.count; i++) {
    const kind = layers.kinds[i]!;
    if (kind === LayerKind.vlan) parts.push(`vlan ${u16At(layers.bytes, layers.offsets[i]!) & 0xfff}`);
    else if (isPppoeSession(layers, i))
      parts.push(`PPPoE session ${u16At(layers.bytes, layers.offsets[i]! + 2)}`);
    else if (kind === LayerKind.fragment) parts.push('fragment');
    else text = layerText(layers, i) || text;
  }
  if (text !== '') parts.push(text);
  if (layers.problem !== undefined) parts.push(`[${layers.problem}]`);
  return parts.join(' ') || 'empty';
}

/** The fields of a header's fixed part by name, as the header table describes them: for printing, not for speed. */
export function headerFields(
  header: HeaderName,
  bytes: Uint8Array,
  offset: number,
  end: number = bytes.length,
): Record<string, number | boolean | string> {
  const { size, fields } = headerLayouts[header];
  if (!(offset >= 0 && offset + size <= end && end <= bytes.length)) {
    throw new CodecError(header, offset, `needs ${size} bytes, ${Math.max(0, end - offset)} are there`);
  }
  const values: Record<string, number | boolean | string> = {};
  for (const [name, field] of Object.entries(fields)) {
    const at = offset + field.offset;
    if (field.kind === 'ipv6') values[name] = formatIPv6(bytes, at);
    else if (field.kind === 'ipv4') values[name] = ipv4Text(u32At(bytes, at));
    else if (field.kind === 'mac') values[name] = macText(u48At(bytes, at));
    else {
      let word = 0;
      for (let i = 0; i < field.size; i++) word = word * 256 + bytes[at + i]!;
      const raw = Math.floor(word / 2 ** (field.shift ?? 0)) % 2 ** (field.width ?? 8 * field.size);
      values[name] = field.kind === 'flag' ? raw === 1 : raw * (field.scale ?? 1);
    }
  }
  return values;
}

/** Text of one layer, or nothing where a layer further in says more. */
function layerText(layers: PacketLayers, index: number): string {
  const { bytes } = layers;
  const at = layers.offsets[index]!;
  const end = layers.ends[index]!;
  const name: LayerName = layers.name(index);
  switch (name) {
    case 'payload':
      return index === 0 ? `${end - at} bytes` : '';
    case 'eth':
      return ethernet(bytes, at);
    case 'arp':
      return arp(bytes, at);
    case 'ipv4':
      return `${ipv4Text(u32At(bytes, at + 12))} > ${ipv4Text(u32At(bytes, at + 16))} IPv4 protocol ${bytes[at + 9]}`;
    case 'ipv6':
      return `${formatIPv6(bytes, at + 8)} > ${formatIPv6(bytes, at + 24)} IPv6 next header ${bytes[at + 6]}`;
    case 'icmp':
      return `${route(layers, index)} ICMP ${icmp(bytes, at)}`;
    case 'icmpv6':
      return `${route(layers, index)} ICMPv6 ${icmpv6(bytes, at, end)}`;
    case 'udp':
      return `${route(layers, index)} UDP length ${u16At(bytes, at + 4) - 8}`;
    case 'tcp':
      return `${route(layers, index)} TCP ${tcp(bytes, at, end)}`;
    case 'dns':
      return `${route(layers, index - 1)} DNS ${dns(bytes, at, end)}`;
    case 'pppoe':
      return `${stations(layers)}PPPoE ${discovery(bytes, at)}`;
    case 'ppp':
      return `PPP protocol ${hex(u16At(bytes, at))}`;
    case 'lcp':
    case 'ipcp':
    case 'ipv6cp':
    case 'ccp':
      return `${name.toUpperCase()} ${nameOf(PppCode, bytes[at]!, 'code')} id ${bytes[at + 1]}`;
    case 'pap':
    case 'chap':
    case 'eap':
      return `${name.toUpperCase()} code ${bytes[at]} id ${bytes[at + 1]}`;
    default:
      return '';
  }
}

function ethernet(bytes: Uint8Array, at: number): string {
  const etherType = u16At(bytes, at + 12);
  const type = etherType < 0x600 ? '802.3' : nameOf(EtherType, etherType, 'EtherType', hex(etherType));
  return `${macText(u48At(bytes, at + 6))} > ${macText(u48At(bytes, at))} ${type}`;
}

function arp(bytes: Uint8Array, at: number): string {
  const operation = u16At(bytes, at + 6);
  const sender = ipv4Text(u32At(bytes, at + 14));
  if (operation === ArpOperation.request) {
    return `ARP who has ${ipv4Text(u32At(bytes, at + 24))}? tell ${sender}`;
  }
  if (operation === ArpOperation.reply) return `ARP ${sender} is at ${macText(u48At(bytes, at + 8))}`;
  return `ARP operation ${operation} from ${sender}`;
}

function icmp(bytes: Uint8Array, at: number): string {
  const type = bytes[at]!;
  const name = nameOf(IcmpType, type, 'type');
  if (type === IcmpType.echoRequest || type === IcmpType.echoReply) {
    return `${name} id ${u16At(bytes, at + 4)} seq ${u16At(bytes, at + 6)}`;
  }
  return `${name} code ${bytes[at + 1]}`;
}

function icmpv6(bytes: Uint8Array, at: number, end: number): string {
  const type = bytes[at]!;
  const name = nameOf(Icmpv6Type, type, 'type');
  if (type === Icmpv6Type.echoRequest || type === Icmpv6Type.echoReply) {
    return `${name} id ${u16At(bytes, at + 4)} seq ${u16At(bytes, at + 6)}`;
  }
  const ndp = new NdpView();
  if (ndp.tryAt(bytes, at, end)) return `${name} ${ndp.targetText}`.trimEnd();
  return `${name} code ${bytes[at + 1]}`;
}

const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'] as const;

function tcp(bytes: Uint8Array, at: number, end: number): string {
  const bits = bytes[at + 13]!;
  const flags = TCP_FLAGS.filter((_, bit) => (bits & (1 << bit)) !== 0).join(',') || 'no flags';
  const acknowledgment = (bits & 0x10) === 0 ? '' : ` ack ${u32At(bytes, at + 8)}`;
  const length = end - at - ((bytes[at + 12]! & 0xf0) >>> 2);
  return `${flags} seq ${u32At(bytes, at + 4)}${acknowledgment} win ${u16At(bytes, at + 14)} length ${length}`;
}

/** The header and the first question; a question that cannot be read leaves the header. */
function dns(bytes: Uint8Array, at: number, end: number): string {
  const view = new DnsView();
  if (!view.tryAt(bytes, at, end)) return 'malformed';
  const answer = `response ${view.id} code ${view.responseCode} answers ${view.answerCount}`;
  const head = view.response ? answer : `query ${view.id}`;
  if (view.questionCount === 0) return head;
  try {
    const behind = skipName(bytes, view.payloadOffset, end);
    if (behind + 4 > end) return `${head} [truncated]`;
    const name = decodeName(bytes, at, view.payloadOffset, end);
    return `${head} ${dnsTypeName(u16At(bytes, behind))} ${name}`;
  } catch (error) {
    if (error instanceof CodecError) return `${head} [malformed]`;
    throw error;
  }
}

function isPppoeSession(layers: PacketLayers, index: number): boolean {
  if (layers.kinds[index] !== LayerKind.pppoe) return false;
  return layers.bytes[layers.offsets[index]! + 1] === PppoeCode.session;
}

function discovery(bytes: Uint8Array, at: number): string {
  return `${nameOf(PppoeCode, bytes[at + 1]!, 'code').toUpperCase()} session ${u16At(bytes, at + 2)}`;
}

/** `source > destination` of the Ethernet header with a space behind, if there is one. */
function stations(layers: PacketLayers): string {
  const index = layers.find(LayerKind.eth);
  if (index < 0) return '';
  const at = layers.offsets[index]!;
  return `${macText(u48At(layers.bytes, at + 6))} > ${macText(u48At(layers.bytes, at))} `;
}

/** `source > destination` of the IP header around layer `index`, with the ports if it has any. */
function route(layers: PacketLayers, index: number): string {
  const { bytes, kinds, offsets } = layers;
  const kind = kinds[index];
  const at = offsets[index]!;
  const ports = kind === LayerKind.udp || kind === LayerKind.tcp;
  const source = ports ? `:${u16At(bytes, at)}` : '';
  const destination = ports ? `:${u16At(bytes, at + 2)}` : '';
  for (let i = index - 1; i >= 0; i--) {
    const ip = offsets[i]!;
    if (kinds[i] === LayerKind.ipv4) {
      return `${ipv4Text(u32At(bytes, ip + 12))}${source} > ${ipv4Text(u32At(bytes, ip + 16))}${destination}`;
    }
    if (kinds[i] === LayerKind.ipv6) {
      const a = formatIPv6(bytes, ip + 8);
      const b = formatIPv6(bytes, ip + 24);
      return ports ? `[${a}]${source} > [${b}]${destination}` : `${a} > ${b}`;
    }
  }
  return `${source} > ${destination}`;
}

/** `echoRequest` as `echo request`, or the number behind what it is. */
function nameOf(
  names: Readonly<Record<string, number>>,
  value: number,
  what: string,
  number: string = String(value),
): string {
  const found = Object.keys(names).find((name) => names[name] === value);
  if (found === undefined) return `${what} ${number}`;
  return found.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
