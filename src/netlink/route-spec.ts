import { type IpVersion, parseIp, parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { encode } from '../layout/index.ts';
import { familyOf, type Scope, sameVersion, scopeNumber } from './address.ts';
import {
  type Attribute,
  bytesAttribute,
  encodeAttributes,
  nestedAttribute,
  numberOption,
  u8Attribute,
  u32Attribute,
} from './attribute.ts';
import type { LinkRef } from './link-spec.ts';
import {
  METRICS,
  NEXT_HOP_BYTES,
  NEXT_HOP_FLAGS,
  type NumericMetric,
  ROUTE_PROTOCOLS,
  ROUTE_TYPES,
  type RouteMetrics,
  type RouteProtocol,
  type RouteType,
  RTA,
  RTAX,
} from './route.ts';
import { numberIn, rtmsg } from './rtnetlink.ts';

/** A routing table by number or by one of its three fixed names. */
export type RouteTable = number | 'main' | 'local' | 'default';

/** A route that is to be made, or that picks out one to delete. */
export interface RouteSpec {
  /** A prefix, a single address, or `default`. */
  readonly destination: string;
  /** Needed only for a `default` route that names no address. Default is 4 then. */
  readonly version?: IpVersion;
  /** The router's address; an IPv4 destination may have an IPv6 router. */
  readonly via?: string;
  readonly link?: LinkRef;
  /** Reach `via` through the link even if no route of the link says so. Default is false. */
  readonly onLink?: boolean;
  /** Several ways that share the traffic, in place of `via` and `link`. */
  readonly nextHops?: readonly NextHopSpec[];
  /** The source address for packets that have none yet; it must be one of our own. */
  readonly preferredSource?: string;
  /** Only for packets from this prefix; IPv6 only. */
  readonly from?: string;
  /** Default is `main`. */
  readonly table?: RouteTable;
  /** The lowest wins. Default is 0 for IPv4 and 1024 for IPv6. */
  readonly metric?: number;
  readonly tos?: number;
  /** Default is `unicast`. */
  readonly type?: RouteType;
  /** IPv4 only. Default follows from the type and the gateway. */
  readonly scope?: Scope;
  /** Default is `static`. */
  readonly protocol?: RouteProtocol;
  readonly metrics?: RouteMetrics;
  /** IPv6 router preference (RFC 4191). */
  readonly preference?: 'low' | 'medium' | 'high';
}

export interface NextHopSpec {
  readonly via?: string;
  readonly link?: LinkRef;
  /** 1 to 256. Default is 1. */
  readonly weight?: number;
  readonly onLink?: boolean;
}

/** `ICMPV6_ROUTER_PREF_` (linux/icmpv6.h). */
const PREFERENCES = { medium: 0, high: 1, low: 3 } as const;

const TABLES = { default: 253, main: 254, local: 255 } as const;
/** `RT_TABLE_COMPAT`: in the header's one byte, for numbers that need the attribute. */
const TABLE_COMPAT = 252;
/** Matches routes of any scope when one is deleted. */
const SCOPE_NOWHERE = 255;

/** @throws ArgumentError when the parts do not go together. */
export function encodeRoute(
  spec: RouteSpec,
  purpose: 'make' | 'delete',
  linkIndex: (ref: LinkRef) => number,
): { readonly header: Uint8Array; readonly attributes: Attribute[] } {
  const version = versionOfRoute(spec);
  const destination = spec.destination === 'default' ? undefined : parsePrefix(spec.destination);
  const from = spec.from === undefined ? undefined : parsePrefix(spec.from);
  if (from !== undefined && (from.version !== 6 || version !== 6)) {
    throw new ArgumentError("'from' is for IPv6 routes", {
      hint: 'For IPv4, put the route into a table of its own and add a rule with that source.',
    });
  }
  const table = tableNumber(spec.table ?? 'main');
  const attributes: Attribute[] = [u32Attribute(RTA.TABLE, table)];
  if (destination !== undefined && destination.length > 0) {
    attributes.push(bytesAttribute(RTA.DST, destination.bytes));
  }
  if (from !== undefined) attributes.push(bytesAttribute(RTA.SRC, from.bytes));
  if (spec.preferredSource !== undefined) {
    const source = sameVersion(spec.preferredSource, version, 'preferred source');
    attributes.push(bytesAttribute(RTA.PREFSRC, source));
  }
  attributes.push(...numberOption('metric', 32, RTA.PRIORITY, spec.metric));
  attributes.push(...hopAttributes(spec, version, linkIndex));
  const metrics = metricAttributes(spec.metrics ?? {});
  if (metrics.length > 0) attributes.push(nestedAttribute(RTA.METRICS, metrics));
  if (spec.preference !== undefined) {
    attributes.push(u8Attribute(RTA.PREF, numberIn('router preference', PREFERENCES, spec.preference)));
  }
  // When deleting, what is left out matches everything.
  const making = purpose === 'make';
  const type = numberIn('route type', ROUTE_TYPES, spec.type ?? (making ? 'unicast' : 'unspecified'));
  const protocol = spec.protocol ?? (making ? 'static' : 'unspecified');
  const header = encode(rtmsg, {
    family: familyOf(version),
    destinationLength: destination?.length ?? 0,
    sourceLength: from?.length ?? 0,
    tos: spec.tos ?? 0,
    table: table < 256 ? table : TABLE_COMPAT,
    protocol: numberIn('route protocol', ROUTE_PROTOCOLS, protocol),
    scope: making || spec.scope !== undefined ? scopeOf(spec, version, type) : SCOPE_NOWHERE,
    type,
    flags: spec.onLink === true ? NEXT_HOP_FLAGS.onlink : 0,
  });
  return { header, attributes };
}

export function tableNumber(table: RouteTable): number {
  const number = typeof table === 'number' ? table : TABLES[table];
  if (!Number.isInteger(number) || number < 1 || number >= 2 ** 32) {
    throw new ArgumentError(`'${table}' is not a routing table`, {
      hint: 'A table is a number from 1, or main, local or default.',
    });
  }
  return number;
}

function versionOfRoute(spec: RouteSpec): IpVersion {
  const stated = spec.destination === 'default' ? spec.version : parsePrefix(spec.destination).version;
  if (spec.version !== undefined && stated !== spec.version) {
    throw new ArgumentError(`the destination '${spec.destination}' is not IPv${spec.version}`);
  }
  if (stated !== undefined) return stated;
  const hint = spec.preferredSource ?? spec.via ?? spec.nextHops?.find((hop) => hop.via !== undefined)?.via;
  return hint === undefined ? 4 : parseIp(hint).version;
}

function hopAttributes(
  spec: RouteSpec,
  version: IpVersion,
  linkIndex: (ref: LinkRef) => number,
): Attribute[] {
  if (spec.nextHops === undefined) return wayAttributes(spec, version, linkIndex);
  if (spec.via !== undefined || spec.link !== undefined || spec.onLink !== undefined) {
    throw new ArgumentError("'nextHops' replaces 'via', 'link' and 'onLink'");
  }
  const hops = spec.nextHops.map((hop) => encodeHop(hop, version, linkIndex));
  return [bytesAttribute(RTA.MULTIPATH, Buffer.concat(hops))];
}

function wayAttributes(
  way: { readonly via?: string; readonly link?: LinkRef },
  version: IpVersion,
  linkIndex: (ref: LinkRef) => number,
): Attribute[] {
  const attributes: Attribute[] = [];
  if (way.via !== undefined) {
    const gateway = parseIp(way.via);
    attributes.push(
      gateway.version === version
        ? bytesAttribute(RTA.GATEWAY, gateway.bytes)
        : bytesAttribute(RTA.VIA, Uint8Array.of(familyOf(gateway.version), 0, ...gateway.bytes)),
    );
  }
  if (way.link !== undefined) attributes.push(u32Attribute(RTA.OIF, linkIndex(way.link)));
  return attributes;
}

function encodeHop(hop: NextHopSpec, version: IpVersion, linkIndex: (ref: LinkRef) => number): Uint8Array {
  const weight = hop.weight ?? 1;
  if (!Number.isInteger(weight) || weight < 1 || weight > 256) {
    throw new ArgumentError(`${weight} is not a weight of 1 to 256`);
  }
  const { link, ...rest } = hop;
  const attributes = encodeAttributes(wayAttributes(rest, version, linkIndex));
  const bytes = new Uint8Array(NEXT_HOP_BYTES + attributes.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, bytes.length, true);
  view.setUint8(2, hop.onLink === true ? NEXT_HOP_FLAGS.onlink : 0);
  view.setUint8(3, weight - 1);
  view.setInt32(4, link === undefined ? 0 : linkIndex(link), true);
  bytes.set(attributes, NEXT_HOP_BYTES);
  return bytes;
}

function metricAttributes(metrics: RouteMetrics): Attribute[] {
  const attributes: Attribute[] = [];
  for (const [name, type] of Object.entries(METRICS)) {
    attributes.push(...numberOption(name, 32, type, metrics[name as NumericMetric]));
  }
  if (metrics.mtuLocked === true) attributes.push(u32Attribute(RTAX.LOCK, 1 << RTAX.MTU));
  if (metrics.quickAck !== undefined) {
    attributes.push(u32Attribute(RTAX.QUICKACK, metrics.quickAck ? 1 : 0));
  }
  return attributes;
}

/** As iproute2 chooses it: how far the destination is, which the kernel checks against the gateway's. */
function scopeOf(spec: RouteSpec, version: IpVersion, type: number): number {
  if (spec.scope !== undefined) return scopeNumber(spec.scope);
  if (version === 6) return scopeNumber('global');
  if (type === ROUTE_TYPES.local) return scopeNumber('host');
  if (type === ROUTE_TYPES.broadcast || type === ROUTE_TYPES.multicast || type === ROUTE_TYPES.anycast) {
    return scopeNumber('link');
  }
  const direct = type === ROUTE_TYPES.unicast && spec.via === undefined && spec.nextHops === undefined;
  return scopeNumber(direct ? 'link' : 'global');
}
