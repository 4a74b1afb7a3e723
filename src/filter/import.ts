import { ENTRY } from '../policy/entry.ts';
import { ListError, type ReadList } from '../policy/list.ts';
import { TABLES, type Table } from '../policy/table.ts';
import { Clock } from './clock.ts';
import { type Collected, type CollectOptions, collect } from './collect.ts';
import type { Filter } from './filter.ts';
import type { Generation } from './generation.ts';
import type { Session } from './live.ts';
import type { LogRecord } from './log.ts';

export interface ImportOptions extends CollectOptions {
  /** What it is called in messages. Default is `the list`. */
  readonly name?: string | undefined;
  /** The list that its entries are put on. Default is `manual`. */
  readonly list?: string | undefined;
  /** Take off the list what the text does not name any more. Default is false. */
  readonly replace?: boolean | undefined;
  /** Leave lines out that are wrong. Default is false: then nothing is changed. */
  readonly skipBad?: boolean | undefined;
}

export interface Imported {
  readonly read: ReadList;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

/**
 * Puts the entries of a list into the tables.
 *
 * @throws ListError when lines are wrong, `BW_LIMIT` when it does not fit: either way nothing has changed.
 */
export function importList(filter: Filter, text: Uint8Array, options: ImportOptions = {}): Promise<Imported> {
  const collected = collect(text, options, new Clock());
  if (collected.read.badLines > 0 && options.skipBad !== true) {
    throw new ListError(options.name ?? 'the list', collected.read);
  }
  return filter.change((session) => putCollected(filter, session, collected, options));
}

async function putCollected(
  filter: Filter,
  session: Session,
  collected: Collected,
  options: ImportOptions,
): Promise<Imported> {
  const { blocks, deleted, read } = collected;
  const list = options.list ?? 'manual';
  const live = await filter.prepare(
    session,
    blocks.map(({ table }) => table.name),
    list,
  );
  const bit = 1 << live.generation.record.policy.lists.indexOf(list);
  const fresh = settle(live.generation, collected, bit);
  const { added, changed } =
    blocks.length === 0 ? { added: 0, changed: 0 } : filter.put(session, blocks, 'extend', fresh);
  let removed = 0;
  for (const { table, keys, count } of deleted) {
    removed += filter.take(session, table, split(table, keys, count), bit);
  }
  if (options.replace === true) {
    for (const table of TABLES) {
      const { generation } = session.require();
      if (!generation.has(table.name)) continue;
      const named = blocks.find((block) => block.table === table);
      const stale = staleKeys(generation, table, bit, named?.keys, named?.count ?? 0);
      if (stale.length > 0) removed += filter.take(session, table, stale, bit);
    }
  }
  return { read, added, changed, removed };
}

/** Gives collected entries their list, and their reasons the generation's numbers. */
export function settle(generation: Generation, { blocks, reasons }: Collected, bit: number): LogRecord[] {
  const records: LogRecord[] = [];
  const numbers = reasons.map((text) =>
    generation.reasons.number(text, (id, fresh) => records.push({ type: 'reason', id, text: fresh })),
  );
  for (const { values, count } of blocks) {
    const view = new DataView(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < count; i++) {
      const at = i * ENTRY.size;
      view.setUint16(at + ENTRY.reason, numbers[view.getUint16(at + ENTRY.reason, true)] ?? 0, true);
      view.setUint16(at + ENTRY.lists, bit, true);
    }
  }
  return records;
}

/** Keys of entries on a list that are not among the named ones. */
function staleKeys(
  generation: Generation,
  table: Table,
  bit: number,
  named: Uint8Array | undefined,
  count: number,
): Uint8Array[] {
  const present = new Set<string>();
  for (let i = 0; i < count; i++) present.add(keyText(table, named!, i));
  const stale: Uint8Array[] = [];
  for (const part of generation.table(table.name).packedEntries()) {
    for (let i = 0; i < part.count; i++) {
      if ((part.valueView.getUint16(i * ENTRY.size + ENTRY.lists, true) & bit) === 0) continue;
      if (!present.has(keyText(table, part.keys, i))) {
        stale.push(part.keys.slice(i * table.keySize, (i + 1) * table.keySize));
      }
    }
  }
  return stale;
}

/** A packed key as a string, to be looked up by. */
export function keyText(table: Table, keys: Uint8Array, index: number): string {
  return Buffer.from(keys.buffer, keys.byteOffset + index * table.keySize, table.keySize).toString('latin1');
}

function split(table: Table, keys: Uint8Array, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => keys.subarray(i * table.keySize, (i + 1) * table.keySize));
}
