import { bitsOf, formatPrefix, type IpVersion, parsePrefix } from '../address/index.ts';
import { ArgumentError, CodecError } from '../error.ts';
import { encode } from '../layout/index.ts';
import { familyOf, ipAttribute, versionOf } from './address.ts';
import {
  type Attribute,
  type Attributes,
  bytesAttribute,
  numberOption,
  stringAttribute,
  u8Attribute,
  u32Attribute,
} from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import { requireLinkName } from './link-spec.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';
import { ROUTE_PROTOCOLS, type RouteProtocol } from './route.ts';
import { type RouteTable, tableNumber } from './route-spec.ts';
import { decodeBody, fibRuleHeader, nameIn, numberIn } from './rtnetlink.ts';

/** A rule of the routing policy: which packets look into which table. */
export interface Rule {
  readonly version: IpVersion;
  /** The lowest is asked first. */
  readonly priority: number;
  readonly action: RuleAction;
  /** For the action `table`. */
  readonly table: number | undefined;
  /** The priority to go on with, for the action `goto`. */
  readonly goto: number | undefined;
  /** Applies to the packets that do *not* match. */
  readonly invert: boolean;
  /** Prefixes; absent matches everything, as for all that follows. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly fwmark: number | undefined;
  /** Which bits of the mark count. */
  readonly fwmask: number | undefined;
  /** Interface names: a rule may wait for one that does not exist yet. */
  readonly iif: string | undefined;
  readonly oif: string | undefined;
  readonly uids: RuleRange | undefined;
  /** As in 17 for UDP. */
  readonly ipProtocol: number | undefined;
  readonly sourcePorts: RuleRange | undefined;
  readonly destinationPorts: RuleRange | undefined;
  readonly tos: number;
  /** Routes with a prefix of up to that length do not count. */
  readonly suppressPrefixLength: number | undefined;
  /** Looks into the table of the VRF that the packet belongs to. */
  readonly l3mdev: boolean;
  /** Who made it. */
  readonly protocol: RouteProtocol;
}

/** From `start` to `end`, both included. */
export interface RuleRange {
  readonly start: number;
  readonly end: number;
}

/** A rule that is to be made, or that picks out one to delete. */
export interface RuleSpec {
  /** Needed only where no prefix tells it. Default is 4 then. */
  readonly version?: IpVersion;
  /** Default is the kernel's choice: just before the lowest that is not 0. */
  readonly priority?: number;
  /** Default is `table`. */
  readonly action?: RuleAction;
  /** Default is `main`, for the action `table`. */
  readonly table?: RouteTable;
  readonly goto?: number;
  readonly invert?: boolean;
  readonly from?: string;
  readonly to?: string;
  readonly fwmark?: number;
  readonly fwmask?: number;
  readonly iif?: string;
  readonly oif?: string;
  readonly uids?: RuleRange;
  readonly ipProtocol?: number;
  readonly sourcePorts?: RuleRange;
  readonly destinationPorts?: RuleRange;
  readonly tos?: number;
  readonly suppressPrefixLength?: number;
  /** Default is `static`. */
  readonly protocol?: RouteProtocol;
}

/** `FR_ACT_` numbers (linux/fib_rules.h). */
const RULE_ACTIONS = { table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

export type RuleAction = keyof typeof RULE_ACTIONS | `action-${number}`;

const FRA = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  GOTO: 4,
  PRIORITY: 6,
  FWMARK: 10,
  FLOW: 11,
  TUN_ID: 12,
  SUPPRESS_IFGROUP: 13,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
  L3MDEV: 19,
  UID_RANGE: 20,
  PROTOCOL: 21,
  IP_PROTO: 22,
  SPORT_RANGE: 23,
  DPORT_RANGE: 24,
} as const;

export const RULE_ATTRIBUTE_NAMES: AttributeNames = { prefix: 'FRA_', types: FRA };

const FIB_RULE_INVERT = 2;
const NOT_SUPPRESSED = 0xffff_ffff;

/**
 * The rule that a NEWRULE or DELRULE message describes.
 *
 * @throws CodecError when it is cut off or misformed, or is neither IPv4 nor IPv6.
 */
export function decodeRule(message: Message): Rule {
  const { header, attributes } = decodeBody(fibRuleHeader, message);
  const version = versionOf(header.family);
  const action = nameIn(RULE_ACTIONS, header.action, 'action');
  const suppressed = attributes.u32(FRA.SUPPRESS_PREFIXLEN);
  return {
    version,
    priority: attributes.u32(FRA.PRIORITY) ?? 0,
    action,
    table: action === 'table' ? (attributes.u32(FRA.TABLE) ?? header.table) : undefined,
    goto: action === 'goto' ? attributes.u32(FRA.GOTO) : undefined,
    invert: (header.flags & FIB_RULE_INVERT) !== 0,
    from: prefixText(attributes, FRA.SRC, version, header.sourceLength),
    to: prefixText(attributes, FRA.DST, version, header.destinationLength),
    fwmark: attributes.u32(FRA.FWMARK),
    fwmask: attributes.u32(FRA.FWMASK),
    iif: attributes.string(FRA.IIFNAME),
    oif: attributes.string(FRA.OIFNAME),
    uids: range32(attributes, FRA.UID_RANGE),
    ipProtocol: attributes.u8(FRA.IP_PROTO),
    sourcePorts: range16(attributes, FRA.SPORT_RANGE),
    destinationPorts: range16(attributes, FRA.DPORT_RANGE),
    tos: header.tos,
    suppressPrefixLength: suppressed === NOT_SUPPRESSED ? undefined : suppressed,
    l3mdev: (attributes.u8(FRA.L3MDEV) ?? 0) !== 0,
    protocol: nameIn(ROUTE_PROTOCOLS, attributes.u8(FRA.PROTOCOL) ?? 0, 'protocol'),
  };
}

/** @throws ArgumentError when the parts do not go together. */
export function encodeRule(
  spec: RuleSpec,
  purpose: 'make' | 'delete',
): { readonly header: Uint8Array; readonly attributes: Attribute[] } {
  const from = spec.from === undefined ? undefined : parsePrefix(spec.from);
  const to = spec.to === undefined ? undefined : parsePrefix(spec.to);
  const version = spec.version ?? from?.version ?? to?.version ?? 4;
  for (const prefix of [from, to]) {
    if (prefix !== undefined && prefix.version !== version) {
      throw new ArgumentError(`${formatPrefix(prefix)} is IPv${prefix.version}, the rule is IPv${version}`);
    }
  }
  const making = purpose === 'make';
  const attributes: Attribute[] = [];
  const number = (
    type: number,
    name: 'priority' | 'goto' | 'fwmark' | 'fwmask' | 'suppressPrefixLength',
  ): void => {
    attributes.push(...numberOption(name, 32, type, spec[name]));
  };
  if (from !== undefined) attributes.push(bytesAttribute(FRA.SRC, from.bytes));
  if (to !== undefined) attributes.push(bytesAttribute(FRA.DST, to.bytes));
  number(FRA.PRIORITY, 'priority');
  number(FRA.GOTO, 'goto');
  number(FRA.FWMARK, 'fwmark');
  number(FRA.FWMASK, 'fwmask');
  if (spec.iif !== undefined) attributes.push(stringAttribute(FRA.IIFNAME, requireLinkName(spec.iif)));
  if (spec.oif !== undefined) attributes.push(stringAttribute(FRA.OIFNAME, requireLinkName(spec.oif)));
  if (spec.uids !== undefined) attributes.push(rangeAttribute(FRA.UID_RANGE, spec.uids, 32));
  attributes.push(...numberOption('ipProtocol', 8, FRA.IP_PROTO, spec.ipProtocol));
  if (spec.sourcePorts !== undefined) attributes.push(rangeAttribute(FRA.SPORT_RANGE, spec.sourcePorts, 16));
  if (spec.destinationPorts !== undefined) {
    attributes.push(rangeAttribute(FRA.DPORT_RANGE, spec.destinationPorts, 16));
  }
  number(FRA.SUPPRESS_PREFIXLEN, 'suppressPrefixLength');
  const action = spec.action ?? (making || spec.table !== undefined ? 'table' : undefined);
  // When deleting, what is left out matches everything.
  const table = spec.table ?? (making && action === 'table' ? 'main' : undefined);
  if (table !== undefined) attributes.push(u32Attribute(FRA.TABLE, tableNumber(table)));
  const protocol = spec.protocol ?? (making ? 'static' : undefined);
  if (protocol !== undefined) {
    attributes.push(u8Attribute(FRA.PROTOCOL, numberIn('protocol', ROUTE_PROTOCOLS, protocol)));
  }
  const header = encode(fibRuleHeader, {
    family: familyOf(version),
    destinationLength: to?.length ?? 0,
    sourceLength: from?.length ?? 0,
    tos: spec.tos ?? 0,
    table: 0,
    reserved1: 0,
    reserved2: 0,
    action: action === undefined ? 0 : numberIn('rule action', RULE_ACTIONS, action),
    flags: spec.invert === true ? FIB_RULE_INVERT : 0,
  });
  return { header, attributes };
}

function prefixText(
  attributes: Attributes,
  type: number,
  version: IpVersion,
  length: number,
): string | undefined {
  const address = ipAttribute(attributes, type, version);
  if (address === undefined) return undefined;
  if (length > bitsOf(version)) {
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, `${length} is no IPv${version} prefix length`);
  }
  return `${address}/${length}`;
}

/** `struct fib_rule_uid_range`. */
function range32(attributes: Attributes, type: number): RuleRange | undefined {
  const view = attributes.struct(type, 8);
  return view && { start: view.getUint32(0, true), end: view.getUint32(4, true) };
}

/** `struct fib_rule_port_range`, in host order. */
function range16(attributes: Attributes, type: number): RuleRange | undefined {
  const view = attributes.struct(type, 4);
  return view && { start: view.getUint16(0, true), end: view.getUint16(2, true) };
}

function rangeAttribute(type: number, { start, end }: RuleRange, bits: 16 | 32): Attribute {
  const valid = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** bits;
  if (!valid(start) || !valid(end) || start > end) {
    throw new ArgumentError(`${start} to ${end} is not a range of numbers from 0 to ${2 ** bits - 1}`);
  }
  const view = new DataView(new ArrayBuffer(bits / 4));
  if (bits === 32) {
    view.setUint32(0, start, true);
    view.setUint32(4, end, true);
  } else {
    view.setUint16(0, start, true);
    view.setUint16(2, end, true);
  }
  return bytesAttribute(type, new Uint8Array(view.buffer));
}
