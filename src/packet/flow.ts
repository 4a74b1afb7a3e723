import { formatIPv6 } from '../address/index.ts';
import { ipv4Text } from './address.ts';
import { LayerKind, type PacketLayers } from './decode.ts';
import { u16At, u32At } from './wire.ts';

/**
 * Which flow a packet belongs to: protocol, addresses and ports of its innermost IP header.
 *
 * Fragments have no ports (only the first holds them, and all of a packet must land together): they count as 0.
 */
export interface Flow {
  /** `IpProtocol` of what the IP header carries, extension headers passed over. */
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  /** 0 for protocols without ports. */
  readonly destinationPort: number;
}

/** The flow of a packet that was walked, or `undefined` if it holds no IP header. */
export function flowOf(layers: PacketLayers): Flow | undefined {
  const ip = innermostIp(layers);
  if (ip < 0) return undefined;
  const { bytes, offsets } = layers;
  const at = offsets[ip]!;
  const v4 = layers.kinds[ip] === LayerKind.ipv4;
  const transport = transportOf(layers, ip);
  const ports = transport < 0 ? 0 : u32At(bytes, offsets[transport]!);
  return {
    protocol: protocolOf(layers, ip),
    source: v4 ? ipv4Text(u32At(bytes, at + 12)) : formatIPv6(bytes, at + 8),
    destination: v4 ? ipv4Text(u32At(bytes, at + 16)) : formatIPv6(bytes, at + 24),
    sourcePort: ports >>> 16,
    destinationPort: ports & 0xffff,
  };
}

/**
 * A number of 31 bits (such need no allocation) that is the same for every packet of a flow: for spreading flows over
 * workers or buckets. It is no protection from somebody who wants collisions.
 *
 * @param symmetric Whether both directions give the same number. Default is true.
 * @returns 0 for a packet without an IP header.
 */
export function flowHash(layers: PacketLayers, symmetric = true): number {
  const ip = innermostIp(layers);
  if (ip < 0) return 0;
  const { bytes, offsets } = layers;
  const at = offsets[ip]!;
  const v4 = layers.kinds[ip] === LayerKind.ipv4;
  const length = v4 ? 4 : 16;
  const transport = transportOf(layers, ip);
  const ports = transport < 0 ? 0 : offsets[transport]!;
  const address = at + (v4 ? 12 : 8);
  const a = endpoint(bytes, address, length, transport < 0 ? 0 : u16At(bytes, ports));
  const b = endpoint(bytes, address + length, length, transport < 0 ? 0 : u16At(bytes, ports + 2));
  // A sum does not tell the two ends apart; the difference in the factor does.
  const both = symmetric ? (a + b) | 0 : (Math.imul(a, 31) + b) | 0;
  return mix(both ^ protocolOf(layers, ip)) >>> 1;
}

function innermostIp(layers: PacketLayers): number {
  for (let i = layers.count - 1; i >= 0; i--) {
    const kind = layers.kinds[i];
    if (kind === LayerKind.ipv4 || kind === LayerKind.ipv6) return i;
  }
  return -1;
}

/** The TCP or UDP layer behind IP layer `ip` of an unfragmented packet, or -1. */
function transportOf(layers: PacketLayers, ip: number): number {
  const { bytes, kinds, offsets } = layers;
  if (kinds[ip] === LayerKind.ipv4 && (u16At(bytes, offsets[ip]! + 6) & 0x3fff) !== 0) return -1;
  for (let i = ip + 1; i < layers.count; i++) {
    const kind = kinds[i];
    if (kind === LayerKind.fragment && (u16At(bytes, offsets[i]! + 2) & 0xfff9) !== 0) return -1;
    if (kind === LayerKind.tcp || kind === LayerKind.udp) return i;
  }
  return -1;
}

/** What the last of the IP header and its extension headers names as the next. */
function protocolOf(layers: PacketLayers, ip: number): number {
  const { bytes, kinds, offsets } = layers;
  let protocol = bytes[offsets[ip]! + (kinds[ip] === LayerKind.ipv4 ? 9 : 6)]!;
  for (let i = ip + 1; i < layers.count; i++) {
    const kind = kinds[i]!;
    if (kind < LayerKind.hopByHop || kind > LayerKind.ah) break;
    protocol = bytes[offsets[i]!]!;
  }
  return protocol;
}

function endpoint(bytes: Uint8Array, offset: number, length: number, port: number): number {
  let hash = mix(port);
  for (let i = 0; i < length; i += 4) hash = mix(hash ^ u32At(bytes, offset + i));
  return hash;
}

/** The finalizer of MurmurHash3: every input bit reaches every output bit. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
