import { formatIp, parseIp } from '../address/index.ts';
import { openPinned } from '../bpf/pin.ts';
import { RingBuffer } from '../bpf/ring-buffer.ts';
import type { Entry } from '../policy/entry.ts';
import { describeRule, type Rule } from '../policy/rule.ts';
import { type AddressAction, type Side, TABLES, type Table } from '../policy/table.ts';
import {
  type DropEvent,
  dropEvents,
  FIRST_DROP,
  HEAD_WORDS,
  OUTCOMES,
  type Outcome,
} from '../programs/filter-maps.ts';
import { EVENT_BYTES } from '../programs/filter-shape.ts';
import type { Clock } from './clock.ts';
import { describeEntry, type FilterEntry, hasEnded } from './entries.ts';
import type { Generation } from './generation.ts';

/** What has become of packets since the filter was attached. */
export interface OutcomeTally {
  readonly outcome: Outcome;
  readonly drops: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export function outcomesOf(generation: Generation): OutcomeTally[] {
  using state = generation.state();
  const cpus = state.get(0) ?? [];
  return OUTCOMES.map((outcome, index) => ({
    outcome,
    drops: index >= FIRST_DROP,
    packets: cpus.reduce((sum, cpu) => sum + cpu.outcomes[index]!.packets, 0n),
    bytes: cpus.reduce((sum, cpu) => sum + cpu.outcomes[index]!.bytes, 0n),
  }));
}

/** What the filter does with packets from, or to, an address. */
export interface Explanation {
  readonly address: string;
  readonly side: Side;
  /** What the address alone decides; undefined where it decides nothing. */
  readonly decision: AddressAction | undefined;
  /** Every entry that holds for it, the deciding one first. */
  readonly entries: readonly FilterEntry[];
  /** Rules that may apply to such packets, by protocol, ports or rate, in the order in which they are asked. */
  readonly rules: readonly string[];
  /** What happens where no rule applies. */
  readonly otherwise: AddressAction;
}

export function explain(generation: Generation, text: string, clock: Clock): Explanation[] {
  const { bytes, version } = parseIp(text);
  const { policy } = generation.record;
  return (['source', 'destination'] as const).map((side): Explanation => {
    const entries = TABLES.filter((table) => table.version === version && table.side === side)
      .filter((table) => generation.has(table.name))
      .flatMap((table) => matching(generation, table, bytes, clock));
    const rules = policy.rules.filter(
      (rule) =>
        mayApply(rule, side, version, bytes) && !(rule.expires !== undefined && rule.expires <= clock.now),
    );
    const order = ['allow', 'deny', 'limit'];
    const byAddress = entries[0]?.action ?? rules.find((rule) => isSure(rule, side))?.action;
    return {
      address: formatIp(bytes),
      side,
      decision: byAddress === 'limit' ? undefined : byAddress,
      entries,
      rules: rules.toSorted((a, b) => order.indexOf(a.action) - order.indexOf(b.action)).map(describeRule),
      otherwise: policy.settings.default,
    };
  });
}

/** Entries of one table that hold for an address, the longest prefix first. */
function matching(generation: Generation, table: Table, bytes: Uint8Array, clock: Clock): FilterEntry[] {
  const map = generation.table(table.name);
  const found: FilterEntry[] = [];
  if (table.form === 'address') {
    const key = table.version === 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) : bytes;
    const entry = map.get(key) as Entry | undefined;
    if (entry !== undefined && !hasEnded(entry, clock)) {
      found.push(describeEntry(generation, table, `${formatIp(bytes)}/${bytes.length * 8}`, entry, clock));
    }
    return found;
  }
  for (let length = bytes.length * 8; length >= 0; ) {
    const entry = map.get({ prefixlen: length, address: bytes }) as Entry | undefined;
    if (entry === undefined) break;
    if (!hasEnded(entry, clock)) {
      const network = bytes.map(
        (byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, entry.length - 8 * i))),
      );
      found.push(describeEntry(generation, table, `${formatIp(network)}/${entry.length}`, entry, clock));
    }
    length = entry.length - 1;
  }
  return found;
}

function mayApply(rule: Rule, side: Side, version: number, bytes: Uint8Array): boolean {
  if ([rule.source, rule.destination].some((prefix) => prefix !== undefined && prefix.version !== version))
    return false;
  const prefix = side === 'source' ? rule.source : rule.destination;
  if (prefix === undefined) return true;
  const masked = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix.length - 8 * i))));
  return prefix.bytes.every((byte, i) => byte === masked[i]);
}

/** Whether a rule asks for nothing but this end of the packet. */
function isSure(rule: Rule, side: Side): boolean {
  const other = side === 'source' ? rule.destination : rule.source;
  return (
    (side === 'source' ? rule.source : rule.destination) !== undefined &&
    [other, rule.protocol, rule.ports, rule.sourcePorts, rule.segment].every((part) => part === undefined)
  );
}

/** A packet that was dropped. */
export interface Drop {
  readonly time: Date;
  /** How many drops it stands for: those of its CPU since the one before that was told, and itself. */
  readonly stands: number;
  /** Of the frame, in bytes. */
  readonly length: number;
  /** Index of the interface. */
  readonly ifindex: number;
  readonly outcome: Outcome;
  /** What decided: the rule, or the table and the length of the prefix. */
  readonly by: string;
  /** The frame's first bytes, at most 64 and whole groups of eight. */
  readonly head: Uint8Array;
}

/** Drops as they happen: all of them when they are few, samples when they are many. */
export async function* dropsOf(
  generation: Generation,
  clock: Clock,
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Drop> {
  const path = generation.pins.path(generation.number, 'drop_events');
  using ring = RingBuffer.fromFd(dropEvents(EVENT_BYTES), openPinned(path, 'the events of drops'));
  const { signal } = options;
  const { rules } = generation.record.policy;
  for await (const event of ring.events(signal === undefined ? {} : { signal }))
    yield describeDrop(event, rules, clock);
}

export function describeDrop(event: DropEvent, rules: readonly Rule[], clock: Clock): Drop {
  const outcome = OUTCOMES[event.outcome] ?? 'malformed';
  const whole = Math.min(HEAD_WORDS * 8, event.length & ~7);
  const head = new Uint8Array(HEAD_WORDS * 8);
  const view = new DataView(head.buffer);
  for (const [i, word] of event.head.entries()) view.setBigUint64(8 * i, word);
  return {
    time: new Date(clock.time(event.time) ?? clock.now),
    stands: Number(event.stands),
    length: event.length,
    ifindex: event.ifindex,
    outcome,
    by: deciderOf(outcome, event.detail, rules),
    head: head.subarray(0, whole),
  };
}

function deciderOf(outcome: Outcome, detail: number, rules: readonly Rule[]): string {
  switch (outcome) {
    case 'deny-rule':
    case 'limit': {
      const rule = rules[detail];
      return rule === undefined ? outcome : describeRule(rule);
    }
    case 'deny-source':
    case 'deny-destination':
      return detail === 0 ? `${outcome}, by address` : `${outcome}, by a prefix of /${detail}`;
    default:
      return outcome;
  }
}
