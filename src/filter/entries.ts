import { formatPrefix, type Prefix, parsePrefix } from '../address/index.ts';
import { ENTRY, type Entry } from '../policy/entry.ts';
import { describeRule, type Rule } from '../policy/rule.ts';
import type { AddressAction, Side, Table } from '../policy/table.ts';
import type { Clock } from './clock.ts';
import { prefixText } from './edit.ts';
import type { Generation } from './generation.ts';

/** An address or a prefix that is allowed or denied, and what it has come to. */
export interface FilterEntry {
  readonly action: AddressAction;
  readonly side: Side;
  /** As in `192.0.2.0/24`; a whole address has its full length. */
  readonly prefix: string;
  /** Packets it decided. */
  readonly hits: bigint;
  /** When it last decided one, to a seventh of a second. */
  readonly lastSeen?: Date | undefined;
  readonly added: Date;
  /** When it ends; undefined for never. */
  readonly expires?: Date | undefined;
  readonly reason?: string | undefined;
  /** Names of the lists it is on. */
  readonly lists: readonly string[];
}

/** All entries that have not ended, table by table. */
export function* entriesOf(generation: Generation, clock: Clock): Generator<FilterEntry> {
  for (const table of generation.tables) {
    for (const { count, keys, valueView } of generation.table(table.name).packedEntries()) {
      for (let i = 0; i < count; i++) {
        const at = i * ENTRY.size;
        const entry: Entry = {
          deadline: valueView.getBigUint64(at + ENTRY.deadline, true),
          hits: valueView.getBigUint64(at + ENTRY.hits, true),
          lastSeen: valueView.getUint32(at + ENTRY.lastSeen, true),
          added: valueView.getUint32(at + ENTRY.added, true),
          reason: valueView.getUint16(at + ENTRY.reason, true),
          lists: valueView.getUint16(at + ENTRY.lists, true),
          length: valueView.getUint8(at + ENTRY.length),
        };
        if (hasEnded(entry, clock)) continue;
        yield describeEntry(generation, table, prefixText(table, keys, i), entry, clock);
      }
    }
  }
}

export function hasEnded({ deadline }: Entry, clock: Clock): boolean {
  return deadline !== 0n && deadline <= clock.monotonic;
}

export function describeEntry(
  generation: Generation,
  { action, side }: Table,
  prefix: string,
  entry: Entry,
  clock: Clock,
): FilterEntry {
  return {
    action,
    side,
    prefix,
    hits: entry.hits,
    lastSeen: dateOf(clock.lastSeen(entry.lastSeen)),
    added: new Date(entry.added * 1000),
    expires: dateOf(clock.time(entry.deadline)),
    reason: generation.reasons.text(entry.reason),
    lists: generation.record.policy.lists.filter((_, bit) => (entry.lists & (1 << bit)) !== 0),
  };
}

/** A rule that has become code, and what it has come to. */
export interface FilterRule {
  readonly rule: Rule;
  /** As one would say it: `deny udp port 53`. */
  readonly text: string;
  /** Packets that it decided; for a limit those it dropped. */
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly lastSeen?: Date | undefined;
  /** Whether it has ended and only waits for the next change to go. */
  readonly ended: boolean;
}

export function rulesOf(generation: Generation, clock: Clock): FilterRule[] {
  const { rules } = generation.record.policy;
  if (rules.length === 0) return [];
  using counts = generation.ruleCounts();
  return rules.map((rule, index): FilterRule => {
    const cpus = counts?.get(index) ?? [];
    const last = cpus.map(({ lastSeen }) => lastSeen).sort((a, b) => (a < b ? 1 : -1))[0] ?? 0n;
    return {
      rule,
      text: describeRule(rule),
      packets: cpus.reduce((sum, { packets }) => sum + packets, 0n),
      bytes: cpus.reduce((sum, { bytes }) => sum + bytes, 0n),
      lastSeen: dateOf(clock.time(last)),
      ended: rule.expires !== undefined && rule.expires <= clock.now,
    };
  });
}

/** Text, or the bytes themselves, as a prefix without host bits. */
export function prefixOf(given: string | Prefix): Prefix {
  return parsePrefix(typeof given === 'string' ? given : formatPrefix(given));
}

function dateOf(time: number | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}
