import type { IpVersion, Prefix } from '../address/index.ts';
import type { Policy } from '../policy/policy.ts';
import type { Limit, Rate, Rule } from '../policy/rule.ts';
import { TABLE_NAMES } from '../policy/table.ts';
import type { CodeLimit, CodeRule, FilterShape, Word } from './filter.ts';
import { type Capacities, OUTCOMES, type Outcome } from './filter-maps.ts';

/** Of the ring buffer of drops, in bytes. */
export const EVENT_BYTES = 262_144;

export interface ShapeOptions {
  readonly guarded: boolean;
  /** Entries that each table takes, where that is not what the settings say. */
  readonly capacities: Readonly<Partial<Capacities>>;
  readonly frags: boolean;
  /** CLOCK_MONOTONIC, in ns, at a moment of CLOCK_REALTIME, in ms. */
  monotonic(time: number): bigint;
}

/** The program that a policy needs. */
export function shapeOf(policy: Policy, options: ShapeOptions): FilterShape {
  const { settings, rules } = policy;
  const code = (action: Rule['action'], version: IpVersion): CodeRule[] =>
    rules.flatMap((rule, index) =>
      rule.action === action && appliesTo(rule, version) ? [codeOf(rule, index, version, options)] : [],
    );
  return {
    tables: new Set(policy.tables),
    allow4: code('allow', 4),
    allow6: code('allow', 6),
    deny4: code('deny', 4),
    deny6: code('deny', 6),
    limit4: code('limit', 4),
    limit6: code('limit', 6),
    rules: rules.length,
    defaultAction: settings.default,
    laterFragments: settings.fragments,
    malformed: settings.malformed,
    arp: settings.arp,
    nd: settings.nd,
    other: settings.other,
    events: settings.events,
    guarded: options.guarded,
    capacities: { ...capacitiesOf(policy), ...options.capacities },
    sources: settings.sources,
    eventBytes: EVENT_BYTES,
    frags: options.frags,
  };
}

export function capacitiesOf({ settings }: Policy): Capacities {
  return Object.fromEntries(TABLE_NAMES.map((name) => [name, settings.capacity])) as Capacities;
}

function appliesTo(rule: Rule, version: IpVersion): boolean {
  return [rule.source, rule.destination].every(
    (prefix) => prefix === undefined || prefix.version === version,
  );
}

function codeOf(rule: Rule, index: number, version: IpVersion, options: ShapeOptions): CodeRule {
  const outcomes: Readonly<Record<Rule['action'], Outcome>> = {
    allow: 'allow-rule',
    deny: 'deny-rule',
    limit: 'limit',
  };
  return {
    index,
    outcome: OUTCOMES.indexOf(outcomes[rule.action]) | (index << 8),
    granted: OUTCOMES.indexOf('limit-allow') | (index << 8),
    source: wordsOf(rule.source),
    destination: wordsOf(rule.destination),
    protocol: rule.protocol ?? -1,
    segment: rule.segment === undefined ? 0 : rule.segment === 'syn' ? 1 : 2,
    ports: rule.ports ?? [],
    sourcePorts: rule.sourcePorts ?? [],
    deadline: rule.expires === undefined ? 0n : options.monotonic(rule.expires),
    limit: rule.limit === undefined ? NO_LIMIT : codeLimitOf(rule.limit, version),
  };
}

/** Those 32-bit words of a prefix that have bits to compare. */
function wordsOf(prefix: Prefix | undefined): Word[] {
  if (prefix === undefined) return [];
  const view = new DataView(prefix.bytes.buffer, prefix.bytes.byteOffset, prefix.bytes.length);
  return maskWords(prefix.length, prefix.bytes.length / 4).flatMap((mask, i) =>
    mask === 0 ? [] : [{ offset: 4 * i, mask, value: (view.getUint32(4 * i) & mask) >>> 0 }],
  );
}

function maskWords(bits: number, words: number): number[] {
  return Array.from({ length: words }, (_, i) => {
    const inWord = Math.min(32, Math.max(0, bits - 32 * i));
    return inWord === 0 ? 0 : (0xffff_ffff << (32 - inWord)) >>> 0;
  });
}

const NO_LIMIT: CodeLimit = {
  masks: [],
  packetCost: 0n,
  packetBurst: 0n,
  byteCost: 0n,
  byteBurst: 0n,
  grants: false,
};

function codeLimitOf({ packets, bytes, per, within }: Limit, version: IpVersion): CodeLimit {
  const packetCost = packets === undefined ? 0n : atLeastOne(Math.round(1e9 / packets.perSecond));
  return {
    masks: version === 4 ? maskWords(per.ipv4, 1) : maskWords(per.ipv6, 4),
    packetCost,
    // The first packet of a burst finds the bucket full, so it saves up one packet less.
    packetBurst: packets === undefined ? 0n : packetCost * BigInt(Math.max(0, packets.burst - 1)),
    byteCost: bytes === undefined ? 0n : atLeastOne(Math.round((1024 * 1e9) / bytes.perSecond)),
    byteBurst: bytes === undefined ? 0n : burstTime(bytes),
    grants: within === 'allow',
  };
}

function burstTime({ perSecond, burst }: Rate): bigint {
  return BigInt(Math.round((burst * 1e9) / perSecond));
}

function atLeastOne(value: number): bigint {
  return BigInt(Math.max(1, value));
}
