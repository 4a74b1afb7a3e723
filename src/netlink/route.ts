import { bitsOf, formatIp, type IpVersion } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { ipAttribute, type Scope, scopeName, versionOf } from './address.ts';
import { Attributes, align4 } from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';
import { AF, decodeBody, flagNames, nameIn, rtmsg } from './rtnetlink.ts';

/** A route, as the kernel describes it. */
export interface Route {
  readonly version: IpVersion;
  /** As in `192.0.2.0/24`; the default route is `0.0.0.0/0` or `::/0`. */
  readonly destination: string;
  /** Only for packets from there; IPv6 only. */
  readonly from: string | undefined;
  /** The source address for packets that have none yet. */
  readonly preferredSource: string | undefined;
  /** 254 is the main table, 255 the local one. */
  readonly table: number;
  readonly type: RouteType;
  readonly scope: Scope;
  /** Who made it. */
  readonly protocol: RouteProtocol;
  /** The lowest wins. Absent is 0. */
  readonly metric: number | undefined;
  readonly tos: number;
  /** One, or several that share the traffic by weight; none where packets end, as with `blackhole`. */
  readonly nextHops: readonly NextHop[];
  readonly metrics: RouteMetrics;
  readonly flags: readonly RouteFlag[];
  /** Of a next hop object, where the route uses one. */
  readonly nextHopId: number | undefined;
  /** IPv6 router preference (RFC 4191). */
  readonly preference: 'low' | 'medium' | 'high' | undefined;
}

export interface NextHop {
  /** Index of the interface it leaves by. */
  readonly link: number | undefined;
  /** The router's address; absent when the destination is on the link. */
  readonly via: string | undefined;
  /** 1 to 256. */
  readonly weight: number;
  readonly flags: readonly NextHopFlag[];
}

/** What the route tells the transport protocols; absent values follow from the link and the system. */
export interface RouteMetrics {
  /** In bytes. */
  readonly mtu?: number;
  /** Whether path MTU discovery leaves it alone. */
  readonly mtuLocked?: boolean;
  /** In bytes, as the window. */
  readonly advertisedMss?: number;
  readonly window?: number;
  readonly hopLimit?: number;
  /** In segments, both. */
  readonly initialCongestionWindow?: number;
  readonly initialReceiveWindow?: number;
  readonly quickAck?: boolean;
}

/** `RTN_` numbers (linux/rtnetlink.h). */
export const ROUTE_TYPES = {
  unspecified: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;

export type RouteType = keyof typeof ROUTE_TYPES | `type-${number}`;

/** `RTPROT_` numbers (linux/rtnetlink.h). */
export const ROUTE_PROTOCOLS = {
  unspecified: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  ra: 9,
  zebra: 11,
  bird: 12,
  dhcp: 16,
  keepalived: 18,
  babel: 42,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
  eigrp: 192,
} as const;

export type RouteProtocol = keyof typeof ROUTE_PROTOCOLS | `protocol-${number}`;

/** `RTNH_F_` bits. */
export const NEXT_HOP_FLAGS = {
  dead: 1,
  pervasive: 2,
  onlink: 4,
  offload: 8,
  linkdown: 16,
  unresolved: 32,
  trap: 64,
} as const;

export type NextHopFlag = keyof typeof NEXT_HOP_FLAGS;

/** `RTM_F_` bits. */
const ROUTE_FLAGS = { cloned: 0x200, prefix: 0x800, offload: 0x4000, trap: 0x8000 } as const;

export type RouteFlag = keyof typeof ROUTE_FLAGS;

export const RTA = {
  DST: 1,
  SRC: 2,
  IIF: 3,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  FLOW: 11,
  CACHEINFO: 12,
  TABLE: 15,
  MARK: 16,
  VIA: 18,
  PREF: 20,
  EXPIRES: 23,
  UID: 25,
  IP_PROTO: 27,
  SPORT: 28,
  DPORT: 29,
  NH_ID: 30,
} as const;

export const RTAX = {
  LOCK: 1,
  MTU: 2,
  WINDOW: 3,
  ADVMSS: 8,
  HOPLIMIT: 10,
  INITCWND: 11,
  INITRWND: 14,
  QUICKACK: 15,
} as const;

export const ROUTE_ATTRIBUTE_NAMES: AttributeNames = {
  prefix: 'RTA_',
  types: RTA,
  nested: { [RTA.METRICS]: { prefix: 'RTAX_', types: RTAX } },
};

/** `struct rtnexthop`: length, flags, hops (the weight less one), interface index; then attributes. */
export const NEXT_HOP_BYTES = 8;

/**
 * The route that a NEWROUTE or DELROUTE message describes.
 *
 * @throws CodecError when it is cut off or misformed, or is neither IPv4 nor IPv6.
 */
export function decodeRoute(message: Message): Route {
  const { header, attributes } = decodeBody(rtmsg, message);
  const version = versionOf(header.family);
  const multipath = attributes.bytes(RTA.MULTIPATH);
  const preference = attributes.u8(RTA.PREF);
  return {
    version,
    destination: prefixText(attributes, RTA.DST, version, header.destinationLength),
    from:
      header.sourceLength === 0 ? undefined : prefixText(attributes, RTA.SRC, version, header.sourceLength),
    preferredSource: ipAttribute(attributes, RTA.PREFSRC, version),
    table: attributes.u32(RTA.TABLE) ?? header.table,
    type: nameIn(ROUTE_TYPES, header.type, 'type'),
    scope: scopeName(header.scope),
    protocol: nameIn(ROUTE_PROTOCOLS, header.protocol, 'protocol'),
    metric: attributes.u32(RTA.PRIORITY),
    tos: header.tos,
    nextHops: multipath
      ? decodeMultipath(multipath, version)
      : decodeSingleHop(attributes, version, header.flags),
    metrics: decodeMetrics(attributes.nested(RTA.METRICS)),
    flags: flagNames(header.flags, ROUTE_FLAGS),
    nextHopId: attributes.u32(RTA.NH_ID),
    // ICMPV6_ROUTER_PREF_ (linux/icmpv6.h): two bits with a sign.
    preference: preference === undefined ? undefined : PREFERENCES[preference & 3],
  };
}

const PREFERENCES = ['medium', 'high', undefined, 'low'] as const;

function prefixText(attributes: Attributes, type: number, version: IpVersion, length: number): string {
  if (length > bitsOf(version)) {
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, `${length} is no IPv${version} prefix length`);
  }
  return `${ipAttribute(attributes, type, version) ?? (version === 4 ? '0.0.0.0' : '::')}/${length}`;
}

function decodeSingleHop(attributes: Attributes, version: IpVersion, flags: number): NextHop[] {
  const link = attributes.u32(RTA.OIF);
  const via = decodeVia(attributes, version);
  if (link === undefined && via === undefined) return [];
  return [{ link, via, weight: 1, flags: flagNames(flags, NEXT_HOP_FLAGS) }];
}

function decodeMultipath(bytes: Uint8Array, version: IpVersion): NextHop[] {
  const hops: NextHop[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    const length = left < NEXT_HOP_BYTES ? 0 : view.getUint16(offset, true);
    if (length < NEXT_HOP_BYTES || length > left) {
      throw new CodecError('rtnetlink', offset, `a next hop of ${length} bytes, ${left} are left`);
    }
    const attributes = Attributes.decode(bytes.subarray(offset + NEXT_HOP_BYTES, offset + length));
    hops.push({
      link: view.getInt32(offset + 4, true),
      via: decodeVia(attributes, version),
      weight: bytes[offset + 3]! + 1,
      flags: flagNames(bytes[offset + 2]!, NEXT_HOP_FLAGS),
    });
    offset += align4(length);
  }
  return hops;
}

/** RTA_GATEWAY is of the route's version; RTA_VIA (`struct rtvia`) names its own. */
function decodeVia(attributes: Attributes, version: IpVersion): string | undefined {
  const gateway = ipAttribute(attributes, RTA.GATEWAY, version);
  if (gateway !== undefined) return gateway;
  const via = attributes.struct(RTA.VIA, 2);
  if (via === undefined) return undefined;
  const bytes = new Uint8Array(via.buffer, via.byteOffset + 2, via.byteLength - 2);
  const family = via.getUint16(0, true);
  if ((family === AF.INET && bytes.length === 4) || (family === AF.INET6 && bytes.length === 16)) {
    return formatIp(bytes);
  }
  throw new CodecError(
    'rtnetlink',
    MESSAGE_HEADER_BYTES,
    `a gateway of family ${family}, ${bytes.length} bytes`,
  );
}

function decodeMetrics(metrics: Attributes | undefined): RouteMetrics {
  if (metrics === undefined) return {};
  const values: { -readonly [Name in keyof RouteMetrics]: RouteMetrics[Name] } = {};
  for (const [name, type] of Object.entries(METRICS)) {
    const value = metrics.u32(type);
    if (value !== undefined) values[name as NumericMetric] = value;
  }
  const locks = metrics.u32(RTAX.LOCK);
  if (locks !== undefined) values.mtuLocked = (locks & (1 << RTAX.MTU)) !== 0;
  const quickAck = metrics.u32(RTAX.QUICKACK);
  if (quickAck !== undefined) values.quickAck = quickAck !== 0;
  return values;
}

export type NumericMetric = Exclude<keyof RouteMetrics, 'mtuLocked' | 'quickAck'>;

/** The metrics that are plain numbers. */
export const METRICS: Readonly<Record<NumericMetric, number>> = {
  mtu: RTAX.MTU,
  advertisedMss: RTAX.ADVMSS,
  window: RTAX.WINDOW,
  hopLimit: RTAX.HOPLIMIT,
  initialCongestionWindow: RTAX.INITCWND,
  initialReceiveWindow: RTAX.INITRWND,
};
