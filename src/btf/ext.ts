import { ArgumentError, CodecError } from '../error.ts';
import type { Btf } from './decode.ts';
import { BTF_MAGIC, BTF_VERSION } from './encode.ts';
import { readHeader } from './records.ts';
import type { StringTable } from './string-table.ts';

/** `.BTF.ext` of an object file: what BTF says about instructions, by ELF section. */
export interface BtfExt {
  readonly functions: readonly BtfExtSection<FunctionInfo>[];
  readonly lines: readonly BtfExtSection<LineInfo>[];
  readonly relocations: readonly BtfExtSection<CoreRelocation>[];
}

/** The records of one ELF section. */
export interface BtfExtSection<T> {
  /** As in `xdp` or `.text`. */
  readonly section: string;
  readonly records: readonly T[];
}

/** The same as the kernel takes it: words of host order, names as offsets in the string section. */
export interface BtfExtRows {
  /** Two words each: offset in bytes, type. */
  readonly functions: readonly BtfExtSectionRows[];
  /** Four words each: offset in bytes, file, text, line << 10 | column. */
  readonly lines: readonly BtfExtSectionRows[];
  /** Four words each: offset in bytes, type, access, kind. */
  readonly relocations: readonly BtfExtSectionRows[];
}

export interface BtfExtSectionRows {
  readonly section: string;
  /** All rows, one after the other. */
  readonly words: Uint32Array;
}

export interface FunctionInfo {
  /** Of the function's first instruction within its section, in bytes. */
  readonly offset: number;
  /** ID of its FUNC. */
  readonly type: number;
}

export interface LineInfo {
  /** Of the instruction within its section, in bytes. */
  readonly offset: number;
  readonly file: string;
  /** The line itself. */
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

/** A place that depends on the running kernel's types ("compile once, run everywhere"). */
export interface CoreRelocation {
  /** Of the instruction within its section, in bytes. */
  readonly offset: number;
  /** ID of the type in this object's BTF. */
  readonly type: number;
  /** Which member, as indices: `0:1:2`. */
  readonly access: string;
  readonly kind: CoreRelocationKind;
}

/** `enum bpf_core_relo_kind` (`linux/bpf.h`), by number. */
export const CORE_RELOCATION_KINDS = [
  'field_byte_offset',
  'field_byte_size',
  'field_exists',
  'field_signed',
  'field_lshift_u64',
  'field_rshift_u64',
  'type_id_local',
  'type_id_target',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
] as const;

export type CoreRelocationKind = (typeof CORE_RELOCATION_KINDS)[number];

/** `struct btf_ext_header`: magic, version, flags, header size, then offset and size of each part. */
const HEADER_SIZE = 32;
/** Headers of this size and less end before the relocations. */
const SHORT_HEADER_SIZE = 24;
const FUNCTION_SIZE = 8;
const LINE_SIZE = 16;
const RELOCATION_SIZE = 16;
/** Bytes of a section's name; without a bound, names that overlap could make gigabytes of text. */
const MAX_SECTION_NAME = 1024;

/**
 * Reads `.BTF.ext`; names come from the string section of the object's `.BTF`.
 *
 * @throws CodecError when the bytes are truncated, contradict themselves or refer to what `btf` does not hold.
 */
export function decodeBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { little, headerSize } = readHeader(view);
  const reader = new Reader(view, little, headerSize, btf);
  const functions = reader.part(8, FUNCTION_SIZE, (at) => ({
    offset: reader.word(at),
    type: reader.type(at + 4),
  }));
  const lines = reader.part(16, LINE_SIZE, (at) => {
    const place = reader.word(at + 12);
    return {
      offset: reader.word(at),
      file: reader.text(at + 4),
      text: reader.text(at + 8),
      line: place >>> 10,
      column: place & 0x3ff,
    };
  });
  const relocations =
    headerSize < HEADER_SIZE
      ? []
      : reader.part(24, RELOCATION_SIZE, (at) => ({
          offset: reader.word(at),
          type: reader.type(at + 4),
          access: reader.text(at + 8),
          kind: reader.relocationKind(at + 12),
        }));
  return { functions, lines, relocations };
}

/**
 * As {@link decodeBtfExt}, without making text of what only the kernel reads: a hundred times cheaper for large objects.
 *
 * @throws CodecError under the same conditions.
 */
export function readBtfExt(bytes: Uint8Array, btf: Btf): BtfExtRows {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { little, headerSize } = readHeader(view);
  const reader = new Reader(view, little, headerSize, btf);
  return {
    functions: reader.rows(8, FUNCTION_SIZE, (at) => reader.type(at + 4)),
    lines: reader.rows(16, LINE_SIZE, (at) => {
      reader.string(at + 4);
      reader.string(at + 8);
    }),
    relocations:
      headerSize < HEADER_SIZE
        ? []
        : reader.rows(24, RELOCATION_SIZE, (at) => {
            reader.type(at + 4);
            reader.string(at + 8);
            reader.relocationKind(at + 12);
          }),
  };
}

/**
 * A `.BTF.ext` section, little-endian.
 *
 * @param strings The string table of the `.BTF` beside it, to which names are added: encode that one afterwards.
 * @throws ArgumentError when a line or column does not fit (22 and 10 bits).
 */
export function encodeBtfExt(ext: BtfExt, strings: StringTable): Uint8Array {
  const functions = part(ext.functions, FUNCTION_SIZE, strings, ({ offset, type }) => [offset, type]);
  const lines = part(ext.lines, LINE_SIZE, strings, ({ offset, file, text, line, column }) => {
    if (line < 0 || line > 0x3f_ffff || column < 0 || column > 0x3ff) {
      throw new ArgumentError(`line info: ${file}:${line}:${column} does not fit 22 and 10 bits`);
    }
    return [offset, strings.add(file), strings.add(text), line * 1024 + column];
  });
  const relocations = part(ext.relocations, RELOCATION_SIZE, strings, ({ offset, type, access, kind }) => [
    offset,
    type,
    strings.add(access),
    CORE_RELOCATION_KINDS.indexOf(kind),
  ]);
  const parts = [functions, lines, relocations];
  const size = parts.reduce((sum, words) => sum + words.length * 4, HEADER_SIZE);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, BTF_MAGIC, true);
  view.setUint8(2, BTF_VERSION);
  view.setUint32(4, HEADER_SIZE, true);
  let at = HEADER_SIZE;
  for (const [index, words] of parts.entries()) {
    view.setUint32(8 + index * 8, at - HEADER_SIZE, true);
    view.setUint32(12 + index * 8, words.length * 4, true);
    for (const word of words) {
      view.setUint32(at, word, true);
      at += 4;
    }
  }
  return bytes;
}

/** Record size, then for each ELF section its name, its count and its records. */
function part<T>(
  sections: readonly BtfExtSection<T>[],
  recordSize: number,
  strings: StringTable,
  encode: (record: T) => readonly number[],
): number[] {
  if (sections.length === 0) return [];
  const words = [recordSize];
  for (const { section, records } of sections) {
    words.push(strings.add(section), records.length);
    for (const record of records) words.push(...encode(record));
  }
  return words;
}

/** Where the records of one ELF section lie. */
interface Place {
  readonly section: string;
  readonly first: number;
  readonly count: number;
  readonly recordSize: number;
}

class Reader {
  readonly #view: DataView;
  readonly #little: boolean;
  readonly #headerSize: number;
  readonly #btf: Btf;

  constructor(view: DataView, little: boolean, headerSize: number, btf: Btf) {
    this.#view = view;
    this.#little = little;
    this.#headerSize = headerSize;
    this.#btf = btf;
  }

  part<T>(at: number, knownSize: number, read: (at: number) => T): BtfExtSection<T>[] {
    return this.#sections(at, knownSize).map(({ section, first, count, recordSize }) => ({
      section,
      records: Array.from({ length: count }, (_, i) => read(first + i * recordSize)),
    }));
  }

  rows(at: number, knownSize: number, check: (at: number) => void): BtfExtSectionRows[] {
    return this.#sections(at, knownSize).map(({ section, first, count, recordSize }) => {
      const width = knownSize / 4;
      const words = new Uint32Array(count * width);
      for (let i = 0; i < count; i++) {
        const start = first + i * recordSize;
        check(start);
        for (let word = 0; word < width; word++) words[i * width + word] = this.word(start + word * 4);
      }
      return { section, words };
    });
  }

  /** The part whose offset and size stand at `at` of the header; its records may be longer than we know. */
  #sections(at: number, knownSize: number): Place[] {
    if (at + 8 > Math.max(this.#headerSize, SHORT_HEADER_SIZE)) return [];
    const start = this.#headerSize + this.word(at);
    const size = this.word(at + 4);
    const end = start + size;
    if (end > this.#view.byteLength) throw fail(at, 'a part passes the end');
    if (size === 0) return [];
    if (size < 4) throw fail(start, 'a part without a record size');
    const recordSize = this.word(start);
    if (recordSize < knownSize || recordSize % 4 !== 0) throw fail(start, `records of ${recordSize} bytes`);
    const sections: Place[] = [];
    let next = start + 4;
    while (next < end) {
      if (next + 8 > end) throw fail(next, 'a section is truncated');
      const section = this.#btf.text(this.string(next), MAX_SECTION_NAME);
      const count = this.word(next + 4);
      const first = next + 8;
      if (count === 0) throw fail(next + 4, 'a section without records');
      if (first + count * recordSize > end) throw fail(next + 4, `${count} records pass the end`);
      sections.push({ section, first, count, recordSize });
      next = first + count * recordSize;
    }
    return sections;
  }

  word(at: number): number {
    return this.#view.getUint32(at, this.#little);
  }

  text(at: number): string {
    return this.#btf.text(this.string(at));
  }

  /** The checked offset of a string. */
  string(at: number): number {
    const offset = this.word(at);
    if (offset !== 0 && offset >= this.#btf.stringsSize) throw fail(at, `no string at ${offset}`);
    return offset;
  }

  type(at: number): number {
    const id = this.word(at);
    if (id >= this.#btf.nextId) throw fail(at, `no type has ID ${id}`);
    return id;
  }

  relocationKind(at: number): CoreRelocationKind {
    const kind = CORE_RELOCATION_KINDS[this.word(at)];
    if (kind === undefined) throw fail(at, `relocation kind ${this.word(at)}`);
    return kind;
  }
}

function fail(offset: number, problem: string): CodecError {
  return new CodecError('btf.ext', offset, problem);
}
