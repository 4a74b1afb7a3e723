import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from './crc32.ts';

/**
 * Writes a file so that whenever the machine stops, either the old content or the new one is there in full: written
 * beside, synced, renamed, and the folder synced.
 */
export function writeDurably(path: string, parts: Iterable<Uint8Array>): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.draft`;
  writeAll(draft, parts);
  renameDurably(draft, path);
}

/** Writes and syncs a file; it is not there in full before this returns. */
export function writeAll(path: string, parts: Iterable<Uint8Array>): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'w', 0o600);
  try {
    for (const part of parts) writeFully(file, part);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Renames a file and syncs its folder. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  syncFolder(dirname(to));
}

export function removeDurably(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return;
  }
  syncFolder(dirname(path));
}

/** Removes a folder and what is in it. */
export function removeFolder(path: string): void {
  if (!existsSync(path)) return;
  rmSync(path, { recursive: true, force: true });
  syncFolder(dirname(path));
}

/** The file's bytes; undefined when there is none. */
export function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A file of records that only grows: what was appended before a crash is there, and a record that was cut short by it
 * is not.
 *
 *     { u32 length of the record, u32 CRC-32 of it, the record } ...        little-endian
 */
export class Journal {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Size in bytes; 0 when there is none. */
  get size(): number {
    return statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Writes a new file of these records; only when all of them are on the disk is there one. Returns its size. */
  create(records: Iterable<Uint8Array>): number {
    writeDurably(this.path, framed(records));
    return this.size;
  }

  /**
   * Appends records and syncs them to the disk. Returns the file's size.
   *
   * @param known Its size after the last append: when it is another, a crash cut a record short, which goes first.
   */
  append(records: Iterable<Uint8Array>, known: number): number {
    if (this.size !== known) this.repair();
    const file = openSync(this.path, 'a', 0o600);
    const size = this.size;
    let written = 0;
    try {
      try {
        for (const part of framed(records)) {
          writeFully(file, part);
          written += part.length;
        }
        fdatasyncSync(file);
      } catch (error) {
        // A full disk: no half record may stand before those that follow.
        ftruncateSync(file, size);
        throw error;
      }
    } finally {
      closeSync(file);
    }
    return size + written;
  }

  /** Cuts off what a crash left behind the last full record. */
  repair(): void {
    for (const _ of this.records());
  }

  /** Every record that is there in full; what a crash cut short is cut off the file. */
  *records(): Generator<Uint8Array> {
    const bytes = readIfThere(this.path);
    if (bytes === undefined) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (at + 8 <= bytes.length) {
      const length = view.getUint32(at, true);
      if (at + 8 + length > bytes.length) break;
      const record = bytes.subarray(at + 8, at + 8 + length);
      if (crc32(record) !== view.getUint32(at + 4, true)) break;
      yield record;
      at += 8 + length;
    }
    if (at < bytes.length) {
      const file = openSync(this.path, 'r+');
      try {
        ftruncateSync(file, at);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    }
  }

  remove(): void {
    removeDurably(this.path);
  }
}

function* framed(records: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const record of records) {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(record.length);
    head.writeUInt32LE(crc32(record), 4);
    // Small ones in one piece: a process that is killed has written all of it or nothing.
    if (record.length <= 4096) yield Buffer.concat([head, record]);
    else {
      yield head;
      yield record;
    }
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at);
}
