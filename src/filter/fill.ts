import { BpfMap } from '../bpf/map.ts';
import { u64 } from '../layout/layout.ts';
import type { Table } from '../policy/table.ts';
import { array, type MapSpec } from '../spec/map.ts';

const fillSpec: MapSpec<'array', number, bigint> = array('fill', u64, 32);
const DIRTY = 16;
const LOG_SIZE = 17;
const LOG = 18;

/**
 * How full the tables of a generation are, and how far its file on disk goes: the kernel counts neither. Written by
 * whoever holds the lock. While `dirty` is set an edit is under way, and the next one who finds it set counts anew.
 */
export class Fill {
  readonly map: BpfMap<number, bigint>;

  private constructor(map: BpfMap<number, bigint>) {
    this.map = map;
  }

  static create(): Fill {
    return new Fill(BpfMap.create(fillSpec));
  }

  static open(path: string): Fill {
    return new Fill(BpfMap.openPinned(fillSpec, path));
  }

  /** Entries in a table, those included that have ended and not been swept. */
  of(table: Table): number {
    return Number(this.map.get(table.id) ?? 0n);
  }

  set(table: Table, entries: number): void {
    this.map.set(table.id, BigInt(entries));
  }

  get dirty(): boolean {
    return this.map.get(DIRTY) !== 0n;
  }

  set dirty(dirty: boolean) {
    this.map.set(DIRTY, dirty ? 1n : 0n);
  }

  /** The file on disk that makes this generation anew, by its number; 0 for none yet. */
  get log(): bigint {
    return this.map.get(LOG) ?? 0n;
  }

  set log(log: bigint) {
    this.map.set(LOG, log);
  }

  /** Of the file on disk after the last append, in bytes. */
  get logSize(): number {
    return Number(this.map.get(LOG_SIZE) ?? 0n);
  }

  set logSize(size: number) {
    this.map.set(LOG_SIZE, BigInt(size));
  }

  copyFrom(other: Fill): void {
    for (let i = 0; i < fillSpec.maxEntries; i++) this.map.set(i, other.map.get(i) ?? 0n);
  }

  pin(path: string): void {
    this.map.pin(path);
  }

  close(): void {
    this.map.close();
  }
}
