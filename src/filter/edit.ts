import { formatIp } from '../address/ip.ts';
import type { BpfMap } from '../bpf/map.ts';
import { BarewireError } from '../error.ts';
import type { PackedBlock } from '../policy/block.ts';
import { ENTRY, type Entry } from '../policy/entry.ts';
import type { Table } from '../policy/table.ts';
import type { Clock } from './clock.ts';
import type { Generation } from './generation.ts';
import type { LogRecord } from './log.ts';

/**
 * What an entry becomes that is there already. `replace`: what is given counts, as when an operator adds it again.
 * `extend`: the later end counts and the first reason stays, as when a second list names it. Either way it is on both
 * lists, and keeps its counts and the moment it was added.
 */
export type Merge = 'replace' | 'extend';

/** What putting entries came to. */
export interface Put {
  readonly added: number;
  readonly changed: number;
}

/**
 * Refuses entries that have no room, before anything changes.
 *
 * @throws BarewireError `BW_LIMIT` with the capacity to set.
 */
export function requireRoom(generation: Generation, blocks: readonly PackedBlock[], clock: Clock): void {
  for (const block of blocks) {
    const { table } = block;
    const capacity = generation.capacity(table.name);
    if (generation.fill.of(table) + block.count <= capacity) continue;
    const map = generation.table(table.name);
    const fresh = countAbsent(map, block);
    let entries = generation.fill.of(table);
    if (entries + fresh > capacity) entries -= sweep(generation, table, clock);
    if (entries + fresh <= capacity) continue;
    throw new BarewireError(
      'BW_LIMIT',
      `the table of ${describeTable(table)} holds ${entries} of ${capacity} entries, and ${fresh} more have no room; nothing was changed`,
      {
        hint: `Set a capacity of ${roundedUp(entries + fresh)} or more: \`filter apply\` with settings.capacity, or \`filter attach --capacity\`.`,
      },
    );
  }
}

/** Puts entries into the tables. `blocks` then says what they became. */
export function putBlocks(generation: Generation, blocks: readonly PackedBlock[], merge: Merge): Put {
  let added = 0;
  let changed = 0;
  for (const { table, count, keys, values } of blocks) {
    const map = generation.table(table.name);
    const view = new DataView(values.buffer, values.byteOffset, values.length);
    const fresh = map.insertPacked(keys, values, count, (index) => {
      if (mergeOne(map, table, keys, view, index, merge)) changed++;
    });
    generation.fill.set(table, generation.fill.of(table) + fresh);
    added += fresh;
  }
  return { added, changed };
}

/** Merges an entry with the one that is there; whether that changed it. */
function mergeOne(
  map: BpfMap<unknown, unknown>,
  table: Table,
  keys: Uint8Array,
  view: DataView,
  index: number,
  merge: Merge,
): boolean {
  const at = index * ENTRY.size;
  const key = keyAt(table, keys, index);
  const before = map.get(key) as Entry | undefined;
  // Gone since: only the lock's holder deletes, so a list named it twice.
  if (before === undefined) return false;
  const lists = view.getUint16(at + ENTRY.lists, true);
  const given = view.getBigUint64(at + ENTRY.deadline, true);
  const deadline = merge === 'replace' ? given : later(before.deadline, given);
  const reason =
    merge === 'replace' || before.reason === 0 ? view.getUint16(at + ENTRY.reason, true) : before.reason;
  const after: Entry = { ...before, deadline, reason, lists: before.lists | lists };
  view.setBigUint64(at + ENTRY.deadline, after.deadline, true);
  view.setUint32(at + ENTRY.added, after.added, true);
  view.setUint16(at + ENTRY.reason, after.reason, true);
  view.setUint16(at + ENTRY.lists, after.lists, true);
  if (after.deadline === before.deadline && after.reason === before.reason && after.lists === before.lists)
    return false;
  map.set(key, after, 'replace');
  return true;
}

/** Of two deadlines, where 0 is never. */
function later(a: bigint, b: bigint): bigint {
  if (a === 0n || b === 0n) return 0n;
  return a > b ? a : b;
}

/** What taking an entry off a list came to. */
export type Removal = 'absent' | 'on other lists' | 'removed';

/**
 * Takes one entry off lists (a bit each), and out of the table with the last of them.
 *
 * @returns what came of it, and what to write down.
 */
export function removeEntry(
  generation: Generation,
  table: Table,
  key: Uint8Array,
  lists: number,
): { removal: Removal; records: LogRecord[] } {
  const map = generation.table(table.name);
  const id = keyAt(table, key, 0);
  const before = map.get(id) as Entry | undefined;
  if (before === undefined || (before.lists & lists) === 0) return { removal: 'absent', records: [] };
  const left = before.lists & ~lists;
  if (left !== 0) {
    const after = { ...before, lists: left };
    map.set(id, after, 'replace');
    const values = new Uint8Array(ENTRY.size);
    writeEntry(values, after);
    return {
      removal: 'on other lists',
      records: [{ type: 'put', block: { table, count: 1, keys: key, values } }],
    };
  }
  map.delete(id);
  generation.fill.set(table, generation.fill.of(table) - 1);
  return { removal: 'removed', records: [{ type: 'delete', block: { table, count: 1, keys: key } }] };
}

export function writeEntry(values: Uint8Array, entry: Entry): void {
  const view = new DataView(values.buffer, values.byteOffset, ENTRY.size);
  view.setBigUint64(ENTRY.deadline, entry.deadline, true);
  view.setBigUint64(ENTRY.hits, entry.hits, true);
  view.setUint32(ENTRY.lastSeen, entry.lastSeen, true);
  view.setUint32(ENTRY.added, entry.added, true);
  view.setUint16(ENTRY.reason, entry.reason, true);
  view.setUint16(ENTRY.lists, entry.lists, true);
  view.setUint8(ENTRY.length, entry.length);
}

/** Deletes the entries of a table that have ended; how many. The file on disk forgets them when it is read. */
export function sweep(generation: Generation, table: Table, clock: Clock): number {
  const map = generation.table(table.name);
  let swept = 0;
  const ended: Uint8Array[] = [];
  for (const { count, keys, valueView } of map.packedEntries()) {
    for (let i = 0; i < count; i++) {
      const deadline = valueView.getBigUint64(i * ENTRY.size + ENTRY.deadline, true);
      if (deadline !== 0n && deadline <= clock.monotonic) {
        ended.push(keys.slice(i * table.keySize, (i + 1) * table.keySize));
      }
    }
  }
  if (ended.length > 0) swept = map.deletePacked(Buffer.concat(ended), ended.length);
  generation.fill.set(table, generation.fill.of(table) - swept);
  return swept;
}

/** Counts a table by walking it. */
export function countEntries(map: BpfMap<unknown, unknown>): number {
  let entries = 0;
  for (const { count } of map.packedEntries()) entries += count;
  return entries;
}

function countAbsent(map: BpfMap<unknown, unknown>, { table, keys, count }: PackedBlock): number {
  let absent = 0;
  for (let i = 0; i < count; i++) if (!map.has(keyAt(table, keys, i))) absent++;
  return absent;
}

/** A packed key as its map takes it. */
export function keyAt(table: Table, keys: Uint8Array, index: number): unknown {
  const at = index * table.keySize;
  if (table.form === 'prefix') {
    return { prefixlen: keys[at]!, address: keys.subarray(at + 4, at + table.keySize) };
  }
  if (table.version === 6) return keys.subarray(at, at + 16);
  return ((keys[at]! << 24) | (keys[at + 1]! << 16) | (keys[at + 2]! << 8) | keys[at + 3]!) >>> 0;
}

/** As in `192.0.2.0/24`. */
export function prefixText(table: Table, keys: Uint8Array, index: number): string {
  const at = index * table.keySize;
  if (table.form === 'address') {
    return `${formatIp(keys.subarray(at, at + table.addressSize))}/${table.addressSize * 8}`;
  }
  return `${formatIp(keys.subarray(at + 4, at + table.keySize))}/${keys[at]}`;
}

export function describeTable({ action, side, version, form }: Table): string {
  const what = form === 'prefix' ? 'prefixes' : 'addresses';
  return `IPv${version} ${what} to ${action} by ${side}`;
}

/** A capacity that leaves some room. */
function roundedUp(entries: number): number {
  return 2 ** Math.ceil(Math.log2(entries * 1.1));
}
