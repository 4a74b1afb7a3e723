import { ENTRY } from './entry.ts';
import { TABLES, type Table } from './table.ts';

/** Entries for one table as the kernel lays them out: keys in a row, and as many values. */
export interface PackedBlock {
  readonly table: Table;
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

/** What entries that are added together have in common. */
export interface EntryDefaults {
  /** In ns of CLOCK_MONOTONIC; 0 for never. */
  readonly deadline: bigint;
  /** In seconds since 1970. */
  readonly added: number;
  readonly reason: number;
  readonly lists: number;
}

/** Collects entries for many tables without an object for each. */
export class Blocks {
  readonly #tables: (Growing | undefined)[] = new Array(TABLES.length);
  #count = 0;

  /** Entries so far. */
  get count(): number {
    return this.#count;
  }

  /** @param address 4 or 16 bytes at `offset` of `bytes`, whose bits beyond `length` are zero. */
  add(table: Table, bytes: Uint8Array, offset: number, length: number, what: EntryDefaults): void {
    let growing = this.#tables[table.id];
    if (growing === undefined) {
      growing = new Growing(table);
      this.#tables[table.id] = growing;
    }
    growing.add(bytes, offset, length, what);
    this.#count++;
  }

  /** What was collected, by table. */
  blocks(): PackedBlock[] {
    return this.#tables.flatMap((growing) => growing?.block() ?? []);
  }
}

class Growing {
  readonly #table: Table;
  #count = 0;
  #room = 64;
  #keys: Uint8Array;
  #values: Uint8Array;
  #view: DataView;

  constructor(table: Table) {
    this.#table = table;
    this.#keys = new Uint8Array(this.#room * table.keySize);
    this.#values = new Uint8Array(this.#room * ENTRY.size);
    this.#view = new DataView(this.#values.buffer);
  }

  add(bytes: Uint8Array, offset: number, length: number, what: EntryDefaults): void {
    if (this.#count === this.#room) this.#grow();
    const { keySize, addressSize, form } = this.#table;
    let at = this.#count * keySize;
    if (form === 'prefix') {
      // struct bpf_lpm_trie_key: the length in host order, then the address.
      this.#keys[at] = length;
      at += 4;
    }
    for (let i = 0; i < addressSize; i++) this.#keys[at + i] = bytes[offset + i]!;
    const value = this.#count * ENTRY.size;
    if (what.deadline !== 0n) this.#view.setBigUint64(value + ENTRY.deadline, what.deadline, true);
    this.#view.setUint32(value + ENTRY.added, what.added, true);
    this.#view.setUint16(value + ENTRY.reason, what.reason, true);
    this.#view.setUint16(value + ENTRY.lists, what.lists, true);
    this.#values[value + ENTRY.length] = length;
    this.#count++;
  }

  block(): PackedBlock {
    const { keySize } = this.#table;
    return {
      table: this.#table,
      count: this.#count,
      keys: this.#keys.subarray(0, this.#count * keySize),
      values: this.#values.subarray(0, this.#count * ENTRY.size),
    };
  }

  #grow(): void {
    this.#room *= 2;
    const keys = new Uint8Array(this.#room * this.#table.keySize);
    keys.set(this.#keys);
    this.#keys = keys;
    const values = new Uint8Array(this.#room * ENTRY.size);
    values.set(this.#values);
    this.#values = values;
    this.#view = new DataView(values.buffer);
  }
}

/** The key of one prefix in its table. */
export function keyOf(table: Table, bytes: Uint8Array, length: number): Uint8Array {
  const key = new Uint8Array(table.keySize);
  if (table.form === 'prefix') {
    key[0] = length;
    key.set(bytes, 4);
  } else {
    key.set(bytes);
  }
  return key;
}
