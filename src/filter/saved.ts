import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BarewireError } from '../error.ts';
import type { PackedBlock } from '../policy/block.ts';
import { ENTRY } from '../policy/entry.ts';
import type { Clock } from './clock.ts';
import type { Generation } from './generation.ts';
import { decodeRecord, encodeRecord, type LogRecord, META } from './log.ts';
import { Journal, readIfThere, removeDurably, removeFolder, writeDurably } from './store.ts';

/** Entries of one record: few enough to be read at once, many enough that nobody notices the frame. */
const CHUNK = 65_536;

/**
 * The files of one filter on disk:
 *
 *     FOLDER/current       which of the logs is the filter's
 *     FOLDER/log-ID        its policy and entries, and every edit since
 */
export class Saved {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The number of the filter's log; undefined when nothing is saved. */
  get current(): bigint | undefined {
    const text = readIfThere(join(this.folder, 'current'));
    if (text === undefined) return undefined;
    const id = Buffer.from(text).toString().trim();
    if (!/^[0-9a-f]{16}$/.test(id)) {
      throw new BarewireError('BW_STATE', `${join(this.folder, 'current')} does not name a log`, {
        hint: 'One of the logs beside it is the filter; write the digits of its name into the file.',
      });
    }
    return BigInt(`0x${id}`);
  }

  /** The step by which another log becomes the filter's. */
  setCurrent(log: bigint): void {
    writeDurably(join(this.folder, 'current'), [Buffer.from(`${nameOf(log)}\n`)]);
  }

  /** Writes a generation as it is into a new log and makes that the generation's. */
  write(generation: Generation, clock: Clock): void {
    const log = newLog();
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const size = this.journal(log).create(recordsOf(generation, clock));
    generation.fill.log = log;
    generation.fill.logSize = size;
  }

  /** Appends edits to a generation's log. */
  append(generation: Generation, records: readonly LogRecord[], clock: Clock): void {
    const { fill } = generation;
    const encoded = records.flatMap((record) => split(record)).map((record) => encodeRecord(record, clock));
    fill.logSize = this.journal(fill.log).append(encoded, fill.logSize);
  }

  /** Whether a generation's log is so much longer than its entries that it is worth writing it anew. */
  isLong({ fill, tables }: Generation): boolean {
    const compact = tables.reduce((sum, table) => sum + fill.of(table) * (table.keySize + META), 0);
    return fill.logSize > 2 * compact + 4_194_304;
  }

  *read(log: bigint, clock: Clock): Generator<LogRecord> {
    const journal = this.journal(log);
    if (journal.size === 0) {
      throw new BarewireError('BW_STATE', `the saved filter ${journal.path} is empty or missing`, {
        hint: '`filter detach --forget` begins anew.',
      });
    }
    for (const record of journal.records()) yield decodeRecord(record, clock);
  }

  /** Removes the logs that are none of these, and drafts. */
  keepOnly(logs: readonly bigint[]): void {
    const kept = new Set(logs.map((log) => `log-${nameOf(log)}`));
    for (const name of this.#names()) {
      if (name !== 'current' && !kept.has(name)) removeDurably(join(this.folder, name));
    }
  }

  remove(): void {
    removeFolder(this.folder);
  }

  journal(log: bigint): Journal {
    return new Journal(join(this.folder, `log-${nameOf(log)}`));
  }

  #names(): string[] {
    try {
      return readdirSync(this.folder);
    } catch {
      return [];
    }
  }
}

function nameOf(log: bigint): string {
  return log.toString(16).padStart(16, '0');
}

function newLog(): bigint {
  return randomBytes(8).readBigUInt64LE() | 1n;
}

/** What makes a generation anew. */
function* recordsOf(generation: Generation, clock: Clock): Generator<Uint8Array> {
  yield encodeRecord({ type: 'policy', policy: generation.record.policy }, clock);
  for (const [id, text] of generation.reasons.all()) {
    yield encodeRecord({ type: 'reason', id, text }, clock);
  }
  for (const table of generation.tables) {
    for (const { count, keys, values } of generation.table(table.name).packedEntries()) {
      yield encodeRecord({ type: 'put', block: { table, count, keys, values } }, clock);
    }
  }
}

function split(record: LogRecord): LogRecord[] {
  if (record.type !== 'put' || record.block.count <= CHUNK) return [record];
  const { table, count, keys, values } = record.block;
  const parts: LogRecord[] = [];
  for (let at = 0; at < count; at += CHUNK) {
    const end = Math.min(count, at + CHUNK);
    const block: PackedBlock = {
      table,
      count: end - at,
      keys: keys.subarray(at * table.keySize, end * table.keySize),
      values: values.subarray(at * ENTRY.size, end * ENTRY.size),
    };
    parts.push({ type: 'put', block });
  }
  return parts;
}
