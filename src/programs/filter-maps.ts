// From below the compiler: user space edits tables without loading it.
import {
  be32,
  be64,
  bytes,
  i32,
  type Layout,
  array as row,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../layout/index.ts';
import type { Entry } from '../policy/entry.ts';
import { TABLES, type Table, type TableName } from '../policy/table.ts';
import {
  array,
  hash,
  lpmTrie,
  lruHash,
  type MapSpec,
  type Prefix,
  perCpuArray,
  programArray,
  ringBuffer,
} from '../spec/index.ts';

export const entryLayout: Layout<Entry> = struct('filter_entry', {
  deadline: u64,
  hits: u64,
  lastSeen: u32,
  added: u32,
  reason: u16,
  lists: u16,
  length: u8,
});

/** What a rule that is compiled into the program has decided, per CPU. */
export interface RuleCount {
  packets: bigint;
  bytes: bigint;
  /** As in {@link Entry}. */
  lastSeen: bigint;
}

/** What became of packets, per CPU, by {@link OUTCOMES}. */
export interface OutcomeCount {
  packets: bigint;
  bytes: bigint;
}

/** A source's standing with a limit: its virtual time of arrival in ns, for packets and for bytes. */
export interface Bucket {
  packets: bigint;
  bytes: bigint;
}

/** What the guard goes by. */
export interface Guard {
  /** After this moment of CLOCK_MONOTONIC, in ns, the generation before decides; 0 when it has been confirmed. */
  deadline: bigint;
}

/** A dropped packet, as it is told: at most one every tick on each CPU. */
export interface DropEvent {
  /** CLOCK_MONOTONIC, in ns, of the last tick. */
  time: bigint;
  /** Drops on this CPU since its last event, this one included. */
  stands: bigint;
  length: number;
  ifindex: number;
  /** Of {@link OUTCOMES}. */
  outcome: number;
  /** Of the rule, or the prefix's length. */
  detail: number;
  /** The frame's first bytes, as far as they fill whole words; zeros behind. */
  head: bigint[];
}

export const HEAD_WORDS = 8;

/** What can become of a packet. The numbers are the program's and the events'; the names are for everybody else. */
export const OUTCOMES = [
  'default-allow',
  'allow-source',
  'allow-destination',
  'allow-rule',
  'limit-allow',
  'neighbour',
  'other',
  'fragment',
  'default-deny',
  'deny-source',
  'deny-destination',
  'deny-rule',
  'limit',
  'malformed',
  'fragment-drop',
  'other-drop',
] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** The first outcome that is a drop. */
export const FIRST_DROP = 8;

/** Whether this outcome drops. */
export function isDrop(outcome: Outcome): boolean {
  return OUTCOMES.indexOf(outcome) >= FIRST_DROP;
}

/** The map of one table. Entries are allocated as they come: an empty table of a million costs its buckets only. */
export function tableMap(table: Table, capacity: number): MapSpec {
  if (table.form === 'prefix') return lpmTrie(table.name, table.addressSize, entryLayout, capacity);
  const key = table.version === 4 ? (be32 as Layout<unknown>) : (bytes(16) as Layout<unknown>);
  return hash(table.name, key, entryLayout, capacity, { noPrealloc: true });
}

export type Hash4 = MapSpec<'hash', number, Entry>;
export type Hash6 = MapSpec<'hash', Uint8Array, Entry>;
export type Trie = MapSpec<'lpm_trie', Prefix, Entry>;

/** The tables' maps by name. */
export type TableMaps = {
  readonly [N in TableName]: N extends `${string}_net` ? Trie : N extends `${string}4` ? Hash4 : Hash6;
};

/** How many entries each table takes. */
export type Capacities = Readonly<Record<TableName, number>>;

export function tableMaps(capacities: Capacities): TableMaps {
  return Object.fromEntries(
    TABLES.map((table) => [table.name, tableMap(table, capacities[table.name])]),
  ) as unknown as TableMaps;
}

const bucket = struct('filter_bucket', { packets: u64, bytes: u64 });
const key4 = struct('filter_key4', { rule: u32, address: be32 });
const key6 = struct('filter_key6', { rule: u32, a: be32, b: be32, c: be32, d: be32 });

export type Buckets4 = MapSpec<'lru_hash', { rule: number; address: number }, Bucket>;
export type Buckets6 = MapSpec<
  'lru_hash',
  { rule: number; a: number; b: number; c: number; d: number },
  Bucket
>;

/** Sources under a limit; the longest silent one makes room. */
export function bucketMaps(capacity: number): { buckets4: Buckets4; buckets6: Buckets6 } {
  return {
    buckets4: lruHash('buckets4', key4, bucket, capacity),
    buckets6: lruHash('buckets6', key6, bucket, capacity),
  };
}

/** What one CPU has done, and when it last told of a drop. */
export interface CpuState {
  /** The tick of the last packet that asked, and CLOCK_MONOTONIC then, in ns, and as entries keep it. */
  ticks: bigint;
  now: bigint;
  /** The tick of the last event, `drops` being `toldDrops`. */
  toldAt: bigint;
  toldDrops: bigint;
  drops: bigint;
  /** By {@link OUTCOMES}. */
  outcomes: OutcomeCount[];
  /** `now` in steps of 2^27 ns. */
  seen: number;
  /** Scratch of the program: what it has read of one packet. */
  protocol: number;
  segment: number;
  from: number;
  to: number;
  later: number;
  broken: number;
  /** The source's address, in words. */
  a: number;
  b: number;
  c: number;
  d: number;
}

const outcomeCount = struct('filter_outcome', { packets: u64, bytes: u64 });

export const stateMap: MapSpec<'percpu_array', number, CpuState> = perCpuArray(
  'state',
  struct('filter_state', {
    ticks: u64,
    now: u64,
    toldAt: u64,
    toldDrops: u64,
    drops: u64,
    outcomes: row(outcomeCount, OUTCOMES.length),
    seen: u32,
    protocol: u32,
    segment: u32,
    from: i32,
    to: i32,
    later: u32,
    broken: u32,
    a: u32,
    b: u32,
    c: u32,
    d: u32,
  }),
  1,
);

export function ruleCounts(rules: number): MapSpec<'percpu_array', number, RuleCount> {
  return perCpuArray(
    'rule_counts',
    struct('filter_rule_count', { packets: u64, bytes: u64, lastSeen: u64 }),
    Math.max(1, rules),
  );
}

export const guardMap: MapSpec<'array', number, Guard> = array(
  'guard',
  struct('filter_guard', { deadline: u64 }),
  1,
);

/** The program of the generation before. */
export const previousMap: MapSpec<'prog_array', number, number> = programArray('previous', 1);

const dropEvent: Layout<DropEvent> = struct('filter_drop', {
  time: u64,
  stands: u64,
  length: u32,
  ifindex: u32,
  outcome: u16,
  detail: u16,
  head: row(be64, HEAD_WORDS),
});

export function dropEvents(size: number): MapSpec<'ringbuf', never, DropEvent> {
  return ringBuffer('drop_events', dropEvent, size);
}
