import { formatPrefix, type Prefix } from '../address/index.ts';
import type { AddressAction, Side } from './table.ts';

/** One address or prefix at one end: an entry of a table. */
export interface AddressRule {
  readonly action: AddressAction;
  readonly side: Side;
  readonly prefix: Prefix;
  /** When it ends, in ms since 1970; undefined for never. */
  readonly expires?: number | undefined;
  readonly reason?: string | undefined;
}

/** Inclusive. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** A token bucket: so much each second, and `burst` at once after a pause. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface Limit {
  readonly packets?: Rate | undefined;
  /** Of whole frames, in bytes. */
  readonly bytes?: Rate | undefined;
  /** Leading bits of the source that share a bucket, for IPv4 and IPv6; zeros make one bucket for all. */
  readonly per: { readonly ipv4: number; readonly ipv6: number };
  /** What becomes of packets that keep to it: whatever comes next decides, or they pass. */
  readonly within: 'continue' | 'allow';
}

/** A rule that becomes code of the program. Every condition that is there must hold. */
export interface Rule {
  readonly action: 'allow' | 'deny' | 'limit';
  readonly source?: Prefix | undefined;
  readonly destination?: Prefix | undefined;
  /** The number behind all extension headers. */
  readonly protocol?: number | undefined;
  readonly ports?: readonly PortRange[] | undefined;
  readonly sourcePorts?: readonly PortRange[] | undefined;
  /** `syn`: the first segment of a TCP connection; `established`: one with ACK or RST. */
  readonly segment?: 'syn' | 'established' | undefined;
  /** Limits only. */
  readonly limit?: Limit | undefined;
  readonly expires?: number | undefined;
  readonly reason?: string | undefined;
  /** In ms since 1970. */
  readonly added: number;
  /** The list it is on, by its bit. */
  readonly list: number;
}

/** How many rules may become code. */
export const MOST_RULES = 128;

/** What tells a rule from others: two with the same identity are one, the later in place of the earlier. */
export function identityOf(rule: Omit<Rule, 'added' | 'list'>): string {
  return describeRule(rule);
}

/** A rule in words, as on the command line: `deny udp port 53,1000-2000 from 10.0.0.0/8`. */
export function describeRule(rule: Omit<Rule, 'added' | 'list'>): string {
  const words: string[] = [rule.action];
  if (rule.protocol !== undefined) words.push(protocolName(rule.protocol));
  if (rule.segment !== undefined) words.push(rule.segment);
  if (rule.ports !== undefined) words.push('port', describePorts(rule.ports));
  if (rule.sourcePorts !== undefined) words.push('source-port', describePorts(rule.sourcePorts));
  if (rule.source !== undefined) words.push('from', formatPrefix(rule.source));
  if (rule.destination !== undefined) words.push('to', formatPrefix(rule.destination));
  if (rule.limit !== undefined) words.push(describePer(rule.limit));
  return words.join(' ');
}

export function describePorts(ports: readonly PortRange[]): string {
  return ports.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

export function describeLimit(limit: Limit): string {
  const rates = [
    limit.packets === undefined ? undefined : `${limit.packets.perSecond} packets/s`,
    limit.bytes === undefined ? undefined : `${limit.bytes.perSecond} bytes/s`,
  ].filter((part) => part !== undefined);
  return `${rates.join(' and ')} ${describePer(limit)}`;
}

function describePer({ per }: Limit): string {
  if (per.ipv4 === 0 && per.ipv6 === 0) return 'in all';
  if (per.ipv4 === 32 && per.ipv6 === 128) return 'per source';
  return `per source /${per.ipv4} and /${per.ipv6}`;
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  ospf: 89,
  vrrp: 112,
  sctp: 132,
  'udp-lite': 136,
};

export const PROTOCOL_NAMES: readonly string[] = Object.keys(PROTOCOLS);

export function protocolNumber(name: string): number | undefined {
  return PROTOCOLS[name];
}

export function protocolName(number: number): string {
  return PROTOCOL_NAMES.find((name) => PROTOCOLS[name] === number) ?? `protocol ${number}`;
}

/** Those that begin with a source and a destination port. */
export const PROTOCOLS_WITH_PORTS: readonly number[] = [6, 17, 33, 132, 136];
