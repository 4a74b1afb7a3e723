import { type BtfBase, encodeBtf } from './encode.ts';
import { StringTable } from './string-table.ts';
import type { BtfType } from './type.ts';

/**
 * Collects types for one blob and gives them IDs; a type that is already there keeps its ID.
 *
 * Types are added after those they refer to, so equal IDs inside mean equal types. Types that refer to themselves
 * through a pointer need IDs before they are complete: write those as a list for `encodeBtf`.
 */
export class BtfBuilder {
  readonly strings: StringTable = new StringTable();
  readonly #types: BtfType[] = [];
  readonly #ids = new Map<string, number>();

  /** The types so far; the first has ID 1. */
  get types(): readonly BtfType[] {
    return this.#types;
  }

  /** The ID of `type`. */
  add(type: BtfType): number {
    const key = JSON.stringify(type, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#types.push(type);
    this.#ids.set(key, id);
    return id;
  }

  /** The `.BTF` blob of all types so far. */
  encode(base?: BtfBase): Uint8Array {
    return encodeBtf(this.#types, this.strings, base);
  }
}
