import { type Prefix, parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';

/** One port, or the first and the last of a range. */
export type PortRange = number | readonly [number, number];

/**
 * Which frames are meant: those that every given field agrees to, each field with any of its values.
 *
 * Up to two VLAN tags are looked through. Fragments have no ports, for only the first one would tell them; they go
 * the kernel's way when a rule names ports.
 */
export interface MatchRule {
  /** Of what the frame carries, inside its VLAN tags, as in 0x0800. */
  readonly etherTypes?: readonly number[];
  /** The outer VLAN tag's ID, 0 to 4095. */
  readonly vlans?: readonly number[];
  /** IP protocol numbers; of IPv6 the header after all extension headers. */
  readonly protocols?: readonly number[];
  /** Destination ports of TCP, UDP or SCTP. */
  readonly ports?: readonly PortRange[];
  /** Source ports of TCP, UDP or SCTP. */
  readonly sourcePorts?: readonly PortRange[];
  /** Destination addresses, IPv4 or IPv6, as in `192.0.2.0/24`. */
  readonly destinations?: readonly string[];
  /** Source addresses, IPv4 or IPv6. */
  readonly sources?: readonly string[];
}

/** All frames, or those that any of the rules means. */
export type Match = 'all' | MatchRule | readonly MatchRule[];

/** A rule with its values checked and read. */
export interface Rule {
  readonly etherTypes: readonly number[] | undefined;
  readonly vlans: readonly number[] | undefined;
  readonly protocols: readonly number[] | undefined;
  readonly ports: readonly (readonly [number, number])[] | undefined;
  readonly sourcePorts: readonly (readonly [number, number])[] | undefined;
  readonly destinations: readonly Prefix[] | undefined;
  readonly sources: readonly Prefix[] | undefined;
}

/** Values of one match that still make a sensible program; beyond it a map is the right way. */
const MAX_VALUES = 1000;

/**
 * Reads a match.
 *
 * @throws ArgumentError that names the value which cannot be.
 */
export function readMatch(match: Match): 'all' | Rule[] {
  if (match === 'all') return 'all';
  const given = Array.isArray(match) ? (match as readonly MatchRule[]) : [match as MatchRule];
  if (given.length === 0)
    throw new ArgumentError('a match without rules matches nothing', { hint: "Say 'all' for everything." });
  const rules = given.map(readRule);
  const values = rules
    .flatMap((rule) => Object.values(rule))
    .reduce((sum, list) => sum + (list?.length ?? 0), 0);
  if (values > MAX_VALUES) {
    throw new ArgumentError(`a match of ${values} values: at most ${MAX_VALUES} become a program`, {
      hint: 'Give an XDP program of your own, which looks them up in a map.',
    });
  }
  return rules;
}

const FIELDS = [
  'etherTypes',
  'vlans',
  'protocols',
  'ports',
  'sourcePorts',
  'destinations',
  'sources',
] as const;

function readRule(rule: MatchRule): Rule {
  const known: readonly string[] = FIELDS;
  for (const name of Object.keys(rule)) {
    if (!known.includes(name)) {
      throw new ArgumentError(`a match has no field '${name}'`, { hint: `There are: ${FIELDS.join(', ')}.` });
    }
  }
  const named = FIELDS.filter((name) => rule[name] !== undefined);
  if (named.length === 0)
    throw new ArgumentError('a rule without fields', { hint: "Say 'all' for everything." });
  for (const name of named) {
    if (rule[name]!.length === 0) throw new ArgumentError(`${name}: an empty list matches nothing`);
  }
  return {
    etherTypes: numbers('etherTypes', rule.etherTypes, 0xffff),
    vlans: numbers('vlans', rule.vlans, 4095),
    protocols: numbers('protocols', rule.protocols, 255),
    ports: rule.ports?.map((range) => portRange('ports', range)),
    sourcePorts: rule.sourcePorts?.map((range) => portRange('sourcePorts', range)),
    destinations: rule.destinations?.map((text) => parsePrefix(text)),
    sources: rule.sources?.map((text) => parsePrefix(text)),
  };
}

function numbers(
  name: string,
  values: readonly number[] | undefined,
  max: number,
): readonly number[] | undefined {
  for (const value of values ?? []) requireNumber(name, value, max);
  return values;
}

function portRange(name: string, range: PortRange): readonly [number, number] {
  const [first, last] = typeof range === 'number' ? [range, range] : range;
  requireNumber(name, first, 0xffff);
  requireNumber(name, last, 0xffff);
  if (first > last) throw new ArgumentError(`${name}: ${first} to ${last} is an empty range`);
  return [first, last];
}

function requireNumber(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new ArgumentError(`${name}: ${value} is not a whole number of 0 to ${max}`);
  }
}
