import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { BpfMap } from '../bpf/map.ts';
import { parseDuration } from '../duration.ts';
import { BarewireError } from '../error.ts';
import { Blocks, type PackedBlock } from '../policy/block.ts';
import { type CheckedConfig, ConfigError } from '../policy/config.ts';
import { ENTRY } from '../policy/entry.ts';
import { LIST_FORMATS, ListError, type ListFormat } from '../policy/list.ts';
import { CONFIG, DEFAULT_SETTINGS, MANUAL, type Policy, type Settings } from '../policy/policy.ts';
import { describeRule, identityOf, type Rule } from '../policy/rule.ts';
import { TABLES, type Table, type TableName, tableOf } from '../policy/table.ts';
import { tableMap } from '../programs/filter-maps.ts';
import { replaceProgram } from './attach.ts';
import { mergeRules, requireNoGuard, requireWayIn, withList, withoutEnded } from './change.ts';
import { type Collected, collect } from './collect.ts';
import { keyAt, prefixText } from './edit.ts';
import type { Generation } from './generation.ts';
import { keyText, settle } from './import.ts';
import type { Session } from './live.ts';
import type { LogRecord } from './log.ts';
import { type AdminPeer, peerRule } from './peer.ts';
import { requireReason } from './reasons.ts';
import { makeNext, type OnStep } from './switch.ts';

export interface ApplyOptions {
  /** Go back by itself unless it is confirmed within so many ms; the kernel holds to it. */
  readonly confirm?: number | undefined;
  /** Say what would change and change nothing. Default is false. */
  readonly dryRun?: boolean | undefined;
  /** Take off what was added by hand, too. Default is false. */
  readonly prune?: boolean | undefined;
  /** The folder that the configuration's paths count from. Default is the working directory. */
  readonly folder?: string | undefined;
  /** Somebody who must not be locked out, as the caller of an SSH session. */
  readonly peer?: AdminPeer | undefined;
  /** Told before each step. */
  readonly onStep?: OnStep | undefined;
}

/** What applying a configuration changes. */
export interface Changes {
  readonly settings: readonly { readonly name: string; readonly from: unknown; readonly to: unknown }[];
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly changed: readonly string[];
  };
  readonly entries: {
    readonly added: number;
    readonly removed: number;
    readonly changed: number;
    readonly kept: number;
    /** The first ones, as in `+ deny 192.0.2.1/32`. */
    readonly shown: readonly string[];
  };
  /** Whether anything changes. */
  readonly any: boolean;
}

/** How many changed entries are shown. */
const SHOWN = 50;

/** What one table becomes. */
interface TablePlan {
  readonly table: Table;
  readonly desired: PackedBlock | undefined;
  readonly index: ReadonlyMap<string, number>;
  readonly same: boolean;
  readonly entries: number;
}

/**
 * Makes the filter what a configuration says: new tables where their entries differ, a program for it, and one step in
 * which it takes the place of the one before.
 */
export function applyConfig(session: Session, config: CheckedConfig, options: ApplyOptions): Changes {
  const live = session.require();
  requireNoGuard(live, session.place);
  const onStep = options.onStep ?? (() => {});
  const { generation } = live;
  const { clock } = session;
  const before = generation.record.policy;
  onStep('read the lists');
  let lists = before.lists;
  for (const { name } of config.lists) lists = withList(lists, name);
  const owned = ownedBits(before, config, lists, options.prune === true);
  const records: LogRecord[] = [];
  const blocks = desiredBlocks(session, config, lists, options, records);
  onStep('compare');
  const changes = new ChangeCount();
  const plans = TABLES.map((table) => planTable(generation, table, blocks[table.id], owned, changes));
  const rules = desiredRules(before, config, options, session);
  const settings: Settings = { ...DEFAULT_SETTINGS, ...config.settings };
  const tables = plans.filter(({ entries }) => entries > 0).map(({ table }) => table.name);
  const policy: Policy = { settings, rules, lists: trimmed(lists, config, options.prune === true), tables };
  const result = describe(before, policy, changes);
  requireWayIn(policy, generation, new Map(plans.map(({ table, entries }) => [table.name, { entries }])));
  for (const { table, entries } of plans) requireCapacity(table, entries, settings.capacity);
  if (options.dryRun === true || (!result.any && options.confirm === undefined)) return result;

  onStep('fill new tables');
  const fresh = new Map<TableName, { map: BpfMap<unknown, unknown>; entries: number }>();
  const capacities: Partial<Record<TableName, number>> = {};
  try {
    for (const plan of plans) {
      const { name } = plan.table;
      if (plan.entries === 0) continue;
      const capacity = generation.has(name) ? generation.capacity(name) : undefined;
      capacities[name] = settings.capacity;
      if (plan.same && capacity === settings.capacity) continue;
      fresh.set(name, fillTable(generation, plan, owned, settings.capacity));
    }
    using next = makeNext(session.pins, {
      policy,
      record: { ...generation.record, capacities },
      from: generation,
      tables: fresh,
      guardUntil: options.confirm === undefined ? undefined : clock.now + options.confirm,
      clock,
      onStep,
    });
    for (const { table, entries } of plans) next.generation.fill.set(table, entries);
    onStep('write the list');
    session.saved.write(next.generation, clock);
    replaceProgram(session, live, next, onStep);
    onStep('save');
    const guarded = options.confirm !== undefined;
    if (!guarded) session.saved.setCurrent(next.generation.fill.log);
    next.generation.fill.dirty = false;
    onStep('clear away');
    session.pins.keepOnly(guarded ? [next.number, generation.number] : [next.number]);
    session.saved.keepOnly([next.generation.fill.log, ...(guarded ? [generation.fill.log] : [])]);
    return result;
  } finally {
    for (const { map } of fresh.values()) map.close();
  }
}

/** Confirms what a guard would take back. */
export function confirmGuard(session: Session, onStep: OnStep = () => {}): void {
  const live = session.require();
  if (live.guard !== 'pending') {
    throw new BarewireError('BW_NO_GUARD', `nothing on ${session.place.key} waits for a confirmation`, {
      hint: 'It was confirmed before, or its time was over and the filter before is back: `barewire filter status`.',
    });
  }
  const { generation } = live;
  onStep('disarm');
  generation.disarm();
  onStep('save');
  session.saved.setCurrent(generation.fill.log);
  onStep('build');
  // A program that does not ask for a guard any more.
  using next = makeNext(session.pins, {
    policy: generation.record.policy,
    record: { ...generation.record },
    from: generation,
    clock: session.clock,
    onStep,
  });
  replaceProgram(session, live, next, onStep);
  next.generation.fill.dirty = false;
  onStep('clear away');
  session.pins.keepOnly([next.number]);
  session.saved.keepOnly([next.generation.fill.log]);
}

/** Bits of lists whose entries the configuration decides: its own, those it names, and with `prune` all. */
function ownedBits(before: Policy, config: CheckedConfig, lists: readonly string[], prune: boolean): number {
  if (prune) return 0xffff;
  let bits = 1 << CONFIG;
  for (const { name } of config.lists) bits |= 1 << lists.indexOf(name);
  // Lists that an earlier configuration named: they begin with its mark.
  for (const [bit, name] of before.lists.entries()) if (name.startsWith(OF_CONFIG)) bits |= 1 << bit;
  return bits;
}

/** Names of lists that come from the configuration file begin so, which tells them from feeds. */
const OF_CONFIG = 'config:';

/** Without the names of lists that have no entries any more, so that their bits can be used again. */
function trimmed(lists: readonly string[], config: CheckedConfig, prune: boolean): readonly string[] {
  const named = new Set(config.lists.map(({ name }) => name));
  return lists.map((name, bit) => {
    if (bit <= CONFIG || named.has(name)) return name;
    return prune || name.startsWith(OF_CONFIG) ? '' : name;
  });
}

function desiredBlocks(
  session: Session,
  config: CheckedConfig,
  lists: readonly string[],
  options: ApplyOptions,
  records: LogRecord[],
): (PackedBlock | undefined)[] {
  const { clock } = session;
  const { generation } = session.require();
  const number = (text: string | undefined): number =>
    generation.reasons.number(text, (id, fresh) => records.push({ type: 'reason', id, text: fresh }));
  const own = new Blocks();
  for (const { action, side, prefix, expires, reason } of config.entries) {
    if (reason !== undefined) requireReason(reason);
    own.add(tableOf(action, side, prefix.version, prefix.length), prefix.bytes, 0, prefix.length, {
      deadline: expires === undefined ? 0n : clock.deadline(expires),
      added: Math.floor(clock.now / 1000),
      reason: number(reason),
      lists: 1 << CONFIG,
    });
  }
  const parts: PackedBlock[] = [...own.blocks()];
  for (const list of config.lists) {
    const collected = readListFile(session, list, options);
    records.push(...settle(generation, collected, 1 << lists.indexOf(list.name)));
    parts.push(...collected.blocks);
  }
  return TABLES.map((table) => together(parts.filter((part) => part.table === table)));
}

function readListFile(
  session: Session,
  list: CheckedConfig['lists'][number],
  options: ApplyOptions,
): Collected {
  const path = resolve(options.folder ?? '.', list.file);
  let text: Uint8Array;
  try {
    text = readFileSync(path);
  } catch (cause) {
    throw new ConfigError(`the list '${list.name}'`, `${path} cannot be read: ${(cause as Error).message}`);
  }
  const { format } = list;
  if (format !== undefined && !(LIST_FORMATS as readonly string[]).includes(format)) {
    throw new ConfigError(
      `the list '${list.name}'`,
      `there is no format '${format}'`,
      `There are: ${LIST_FORMATS.join(', ')}.`,
    );
  }
  const collected = collect(
    text,
    {
      format: format as ListFormat | undefined,
      action: list.action,
      side: list.side,
      expires: list.expires === undefined ? undefined : session.clock.now + parseDuration(list.expires),
      reason: list.reason ?? list.name,
    },
    session.clock,
  );
  if (collected.read.badLines > 0 && list.skipBad !== true) throw new ListError(list.file, collected.read);
  return collected;
}

/** Blocks of one table as one; of an entry that is named twice the first one counts, on all of its lists. */
function together(parts: readonly PackedBlock[]): PackedBlock | undefined {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first;
  return {
    table: first.table,
    count: parts.reduce((sum, { count }) => sum + count, 0),
    keys: Buffer.concat(parts.map(({ keys }) => keys)),
    values: Buffer.concat(parts.map(({ values }) => values)),
  };
}

class ChangeCount {
  added = 0;
  removed = 0;
  changed = 0;
  kept = 0;
  readonly shown: string[] = [];

  show(sign: string, table: Table, keys: Uint8Array, index: number): void {
    if (this.shown.length === SHOWN) return;
    const to = table.side === 'destination' ? 'to ' : '';
    this.shown.push(`${sign} ${table.action} ${to}${prefixText(table, keys, index)}`);
  }
}

/** Holds what a table should have against what it has. */
function planTable(
  generation: Generation,
  table: Table,
  desired: PackedBlock | undefined,
  owned: number,
  changes: ChangeCount,
): TablePlan {
  const index = new Map<string, number>();
  const values = desired === undefined ? undefined : viewOf(desired);
  for (let i = 0; i < (desired?.count ?? 0); i++) {
    const key = keyText(table, desired!.keys, i);
    const known = index.get(key);
    if (known === undefined) {
      index.set(key, i);
      continue;
    }
    const lists =
      values!.getUint16(known * ENTRY.size + ENTRY.lists, true) |
      values!.getUint16(i * ENTRY.size + ENTRY.lists, true);
    values!.setUint16(known * ENTRY.size + ENTRY.lists, lists, true);
  }
  let entries = index.size;
  let found = 0;
  let same = true;
  if (generation.has(table.name)) {
    for (const { count, keys, valueView } of generation.table(table.name).packedEntries()) {
      for (let i = 0; i < count; i++) {
        const at = i * ENTRY.size;
        const lists = valueView.getUint16(at + ENTRY.lists, true);
        const others = lists & ~owned;
        const place = index.get(keyText(table, keys, i));
        if (place !== undefined) {
          found++;
          const wanted = values!.getUint16(place * ENTRY.size + ENTRY.lists, true) | others;
          if (wanted === lists && (others !== 0 || sameEntry(valueView, at, values!, place * ENTRY.size))) {
            changes.kept++;
          } else {
            changes.changed++;
            changes.show('~', table, keys, i);
            same = false;
          }
        } else if (others !== 0) {
          entries++;
          if (others === lists) changes.kept++;
          else {
            changes.changed++;
            same = false;
          }
        } else {
          changes.removed++;
          changes.show('-', table, keys, i);
          same = false;
        }
      }
    }
  }
  const fresh = index.size - found;
  if (fresh > 0) {
    same = false;
    changes.added += fresh;
    showFresh(generation, table, desired!, index, changes);
  }
  return { table, desired, index, same: same && generation.has(table.name) === entries > 0, entries };
}

function showFresh(
  generation: Generation,
  table: Table,
  { keys }: PackedBlock,
  index: ReadonlyMap<string, number>,
  changes: ChangeCount,
): void {
  const map = generation.has(table.name) ? generation.table(table.name) : undefined;
  for (const i of index.values()) {
    if (changes.shown.length === SHOWN) return;
    if (map === undefined || !hasExactly(map, table, keys, i)) changes.show('+', table, keys, i);
  }
}

/** A trie finds shorter prefixes too. */
function hasExactly(map: BpfMap<unknown, unknown>, table: Table, keys: Uint8Array, index: number): boolean {
  const entry = map.get(keyAt(table, keys, index)) as { length: number } | undefined;
  if (entry === undefined) return false;
  return table.form === 'address' || entry.length === keys[index * table.keySize];
}

/** The same end, to a second, and the same reason. */
function sameEntry(a: DataView, aAt: number, b: DataView, bAt: number): boolean {
  if (a.getUint16(aAt + ENTRY.reason, true) !== b.getUint16(bAt + ENTRY.reason, true)) return false;
  const one = a.getBigUint64(aAt + ENTRY.deadline, true);
  const other = b.getBigUint64(bAt + ENTRY.deadline, true);
  if (one === 0n || other === 0n) return one === other;
  const apart = one > other ? one - other : other - one;
  return apart < 1_000_000_000n;
}

/** A new table of what is desired and what other lists have, with the counts that entries had. */
function fillTable(
  generation: Generation,
  { table, desired, index }: TablePlan,
  owned: number,
  capacity: number,
): { map: BpfMap<unknown, unknown>; entries: number } {
  const map = BpfMap.create(tableMap(table, capacity)) as BpfMap<unknown, unknown>;
  try {
    let entries = 0;
    const values = desired === undefined ? undefined : viewOf(desired);
    if (generation.has(table.name)) {
      for (const part of generation.table(table.name).packedEntries()) {
        const keys: Uint8Array[] = [];
        const rows: Uint8Array[] = [];
        for (let i = 0; i < part.count; i++) {
          const at = i * ENTRY.size;
          const others = part.valueView.getUint16(at + ENTRY.lists, true) & ~owned;
          const place = index.get(keyText(table, part.keys, i));
          if (place !== undefined) {
            const to = place * ENTRY.size;
            // Counts and age go on; an entry that is on other lists as well keeps its end and reason.
            for (let byte = ENTRY.hits; byte < ENTRY.reason; byte++) {
              desired!.values[to + byte] = part.values[at + byte]!;
            }
            if (others === 0) continue;
            values!.setUint16(to + ENTRY.lists, values!.getUint16(to + ENTRY.lists, true) | others, true);
            values!.setBigUint64(
              to,
              laterOf(part.valueView.getBigUint64(at, true), values!.getBigUint64(to, true)),
              true,
            );
          } else if (others !== 0) {
            const row = part.values.slice(at, at + ENTRY.size);
            new DataView(row.buffer).setUint16(ENTRY.lists, others, true);
            keys.push(part.keys.slice(i * table.keySize, (i + 1) * table.keySize));
            rows.push(row);
          }
        }
        if (keys.length > 0)
          entries += map.insertPacked(Buffer.concat(keys), Buffer.concat(rows), keys.length);
      }
    }
    if (desired !== undefined) entries += map.insertPacked(desired.keys, desired.values, desired.count);
    return { map, entries };
  } catch (error) {
    map.close();
    throw error;
  }
}

function laterOf(a: bigint, b: bigint): bigint {
  if (a === 0n || b === 0n) return 0n;
  return a > b ? a : b;
}

function desiredRules(
  before: Policy,
  config: CheckedConfig,
  options: ApplyOptions,
  { clock }: Session,
): readonly Rule[] {
  const kept = withoutEnded(before.rules, clock).filter(
    ({ list }) => list !== CONFIG && options.prune !== true,
  );
  const own = config.rules.map((rule): Rule => {
    if (rule.reason !== undefined) requireReason(rule.reason);
    const known = before.rules.find((other) => identityOf(other) === identityOf(rule));
    return { ...rule, added: known?.added ?? clock.now, list: CONFIG };
  });
  const peer = options.peer === undefined ? [] : [{ ...peerRule(options.peer, clock.now), list: MANUAL }];
  return mergeRules(mergeRules(kept, own).rules, peer).rules;
}

function describe(
  before: Policy,
  after: Policy,
  { added, removed, changed, kept, shown }: ChangeCount,
): Changes {
  const settings = (Object.keys(after.settings) as (keyof Settings)[]).flatMap((name) =>
    before.settings[name] === after.settings[name]
      ? []
      : [{ name, from: before.settings[name], to: after.settings[name] }],
  );
  const old = new Map(before.rules.map((rule) => [identityOf(rule), rule]));
  const now = new Map(after.rules.map((rule) => [identityOf(rule), rule]));
  const essence = ({ limit, reason, list }: Rule): string => JSON.stringify([limit, reason, list]);
  const rules = {
    added: [...now].flatMap(([identity, rule]) => (old.has(identity) ? [] : [describeRule(rule)])),
    removed: [...old].flatMap(([identity, rule]) => (now.has(identity) ? [] : [describeRule(rule)])),
    changed: [...now].flatMap(([identity, rule]) => {
      const known = old.get(identity);
      return known !== undefined && essence(known) !== essence(rule) ? [describeRule(rule)] : [];
    }),
  };
  const order =
    [...old.keys()].filter((key) => now.has(key)).join() !==
    [...now.keys()].filter((key) => old.has(key)).join();
  const any =
    order ||
    settings.length > 0 ||
    added + removed + changed > 0 ||
    rules.added.length + rules.removed.length + rules.changed.length > 0 ||
    before.rules.some((rule) => rule.expires !== now.get(identityOf(rule))?.expires);
  return { settings, rules, entries: { added, removed, changed, kept, shown }, any };
}

function requireCapacity(table: Table, entries: number, capacity: number): void {
  if (entries <= capacity) return;
  throw new BarewireError(
    'BW_LIMIT',
    `the table ${table.name} would have ${entries} entries and takes ${capacity}; nothing was changed`,
    { hint: `Set capacity: ${2 ** Math.ceil(Math.log2(entries * 1.1))} in the configuration.` },
  );
}

function viewOf({ values }: PackedBlock): DataView {
  return new DataView(values.buffer, values.byteOffset, values.length);
}
