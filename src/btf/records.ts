import { CodecError } from '../error.ts';
import { BTF_HEADER_SIZE, BTF_MAGIC, BTF_VERSION } from './encode.ts';
import { BTF_KINDS, BTF_LINKAGES } from './type.ts';

/**
 * The checked first pass over a `.BTF` blob: sections, where each record starts, every reference within bounds.
 *
 * The type section becomes one array of host-order words, because everything in it is a 32-bit word; types are made
 * from it when somebody asks. That keeps vmlinux (millions of words) in the tens of milliseconds.
 */
export interface BtfRecords {
  /** The type section. */
  readonly words: Uint32Array;
  /** Index of each record's first word, in order of ID. */
  readonly starts: Uint32Array;
  /** The string section. */
  readonly strings: Uint8Array;
  /** Where `words` begins in the blob, in bytes; for error messages. */
  readonly wordsOffset: number;
}

/** Numbers of the kinds, for reading words. */
export const Kind = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

/**
 * Reads the header in either byte order and indexes the records.
 *
 * @param trusted References inside are known to be right: they come from the kernel, which has checked them.
 */
export function readRecords(
  bytes: Uint8Array,
  firstId: number,
  firstString: number,
  trusted: boolean,
): BtfRecords {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { little, headerSize } = readHeader(view);
  const section = (at: number, what: string): { start: number; length: number } => {
    const start = headerSize + view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    if (start + length > bytes.length) throw fail(at, `the ${what} section passes the end`);
    return { start, length };
  };
  const types = section(8, 'type');
  const names = section(16, 'string');
  if (types.start % 4 !== 0 || types.length % 4 !== 0) throw fail(8, 'the type section is not aligned to 4');
  const strings = bytes.subarray(names.start, names.start + names.length);
  if (names.length > 0 && strings.at(-1) !== 0) throw fail(20, 'the string section does not end with a zero');
  if (firstString === 0 && strings[0] !== 0) throw fail(16, 'the string section does not begin with a zero');

  const words = wordsOf(bytes.subarray(types.start, types.start + types.length), little);
  const starts = findStarts(words, types.start);
  const records = { words, starts, strings, wordsOffset: types.start };
  if (!trusted) checkReferences(records, firstId + starts.length, firstString + names.length);
  return records;
}

/** Whether this machine keeps words as the bytes of most blobs are. */
const LITTLE = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** A copy: what was checked stays as it was. */
function wordsOf(bytes: Uint8Array, little: boolean): Uint32Array {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  const words = new Uint32Array(copy.buffer);
  if (little === LITTLE) return words;
  const view = new DataView(copy.buffer);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(i * 4, little);
  return words;
}

/** The first four bytes of `.BTF` and `.BTF.ext` tell the byte order and the version; then the header's size. */
export function readHeader(view: DataView): { little: boolean; headerSize: number } {
  if (view.byteLength < 8) throw fail(view.byteLength, 'the header is truncated');
  const little = view.getUint16(0, true) === BTF_MAGIC;
  if (!little && view.getUint16(0, false) !== BTF_MAGIC) throw fail(0, 'no BTF magic number');
  if (view.getUint8(2) !== BTF_VERSION) throw fail(2, `version ${view.getUint8(2)}, only 1 is known`);
  if (view.getUint8(3) !== 0) throw fail(3, 'unknown flags');
  const headerSize = view.getUint32(4, little);
  // A longer header belongs to a newer format, whose further sections nobody needs to read.
  if (headerSize < BTF_HEADER_SIZE || headerSize > view.byteLength) {
    throw fail(4, `a header of ${headerSize} bytes`);
  }
  return { little, headerSize };
}

/** The text at `offset`, which lies within the strings; `undefined` if it has more than `limit` bytes. */
export function textAt(strings: Uint8Array, offset: number, limit: number): string | undefined {
  let end = offset;
  while (end < strings.length && strings[end] !== 0) {
    if (++end - offset > limit) return undefined;
  }
  return end === offset ? '' : utf8.decode(strings.subarray(offset, end));
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Kinds whose info word may carry a count (or, for a function, its linkage), as bits by number. */
const COUNTED = bits(
  Kind.STRUCT,
  Kind.UNION,
  Kind.ENUM,
  Kind.FUNC,
  Kind.FUNC_PROTO,
  Kind.DATASEC,
  Kind.ENUM64,
);
/** Kinds whose info word may carry the flag. */
const FLAGGED = bits(Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FWD, Kind.ENUM64, Kind.DECL_TAG, Kind.TYPE_TAG);
/** Kinds whose third word is a type, not a size. */
const REFERRING = bits(
  Kind.PTR,
  Kind.TYPEDEF,
  Kind.VOLATILE,
  Kind.CONST,
  Kind.RESTRICT,
  Kind.FUNC,
  Kind.FUNC_PROTO,
  Kind.VAR,
  Kind.DECL_TAG,
  Kind.TYPE_TAG,
);

/** Words of a record without its members, by kind; 0 for a kind that nobody knows. */
const HEADS: Uint8Array = Uint8Array.from(BTF_KINDS, (_, kind) => {
  if (kind === 0) return 0;
  if (kind === Kind.ARRAY) return 6;
  return kind === Kind.INT || kind === Kind.VAR || kind === Kind.DECL_TAG ? 4 : 3;
});
/** Words of each of its members. */
const STEPS: Uint8Array = Uint8Array.from(BTF_KINDS, (_, kind) => {
  if (kind === Kind.ENUM || kind === Kind.FUNC_PROTO) return 2;
  return kind !== Kind.FUNC && (COUNTED >>> kind) & 1 ? 3 : 0;
});

/** This loop runs once for every type of the kernel, mostly before it is compiled: it does as little as it can. */
function findStarts(words: Uint32Array, wordsOffset: number): Uint32Array {
  // The shortest record takes three words.
  const starts = new Uint32Array(Math.ceil(words.length / 3));
  const last = words.length - 3;
  let count = 0;
  let at = 0;
  while (at <= last) {
    const info = words[at + 1]!;
    const kind = (info >>> 24) & 0x1f;
    const vlen = info & 0xffff;
    const head = HEADS[kind];
    const flags = info >>> 16;
    if (!head || (vlen !== 0 && !((COUNTED >>> kind) & 1)) || (flags & 0xe0ff) !== 0) {
      checkHead(info, wordsOffset + at * 4);
    }
    starts[count++] = at;
    at += head! + STEPS[kind]! * vlen;
  }
  if (at !== words.length) {
    const start = count === 0 || at < words.length ? at : starts[count - 1]!;
    if (start === at) throw fail(wordsOffset + at * 4, 'the last type is truncated');
    const info = words[start + 1]!;
    const kind = BTF_KINDS[(info >>> 24) & 0x1f];
    throw fail(wordsOffset + start * 4, `${kind} with ${info & 0xffff} members passes the end`);
  }
  return starts.slice(0, count);
}

/** Finds out what is wrong with an unusual second word of a record, if anything is. */
function checkHead(info: number, offset: number): void {
  const kind = (info >>> 24) & 0x1f;
  if (!HEADS[kind]) throw fail(offset + 4, `unknown kind ${kind}`);
  if (info & 0x60ff_0000) throw fail(offset + 4, 'reserved bits are set');
  if ((info & 0xffff) !== 0 && !((COUNTED >>> kind) & 1)) {
    throw fail(offset + 4, `${BTF_KINDS[kind]} with a member count`);
  }
  if (info >>> 31 && !((FLAGGED >>> kind) & 1)) {
    throw fail(offset + 4, `${BTF_KINDS[kind]} with the kind flag`);
  }
}

/** Every type ID below `nextId`, every name inside the strings, every enumerated field a known value. */
function checkReferences(records: BtfRecords, nextId: number, stringsEnd: number): void {
  const { words, starts, wordsOffset } = records;
  const name = (at: number): void => {
    const offset = words[at]!;
    // Offset 0 is the absent name, even where no strings are.
    if (offset !== 0 && offset >= stringsEnd) throw fail(wordsOffset + at * 4, `name at ${offset}`);
  };
  const type = (at: number): void => {
    if (words[at]! >= nextId) throw fail(wordsOffset + at * 4, `no type has ID ${words[at]}`);
  };
  for (const start of starts) {
    const info = words[start + 1]!;
    const kind = (info >>> 24) & 0x1f;
    const vlen = info & 0xffff;
    const first = start + 3;
    name(start);
    if ((REFERRING >>> kind) & 1) type(start + 2);
    switch (kind) {
      case Kind.INT: {
        const encoding = words[first]! >>> 24;
        if (encoding !== 0 && encoding !== 1 && encoding !== 2 && encoding !== 4) {
          throw fail(wordsOffset + first * 4, `integer encoding ${encoding}`);
        }
        if (words[first]! & 0xff00) throw fail(wordsOffset + first * 4, 'reserved bits are set');
        break;
      }
      case Kind.ARRAY:
        type(first);
        type(first + 1);
        break;
      case Kind.STRUCT:
      case Kind.UNION:
        for (let at = first; at < first + vlen * 3; at += 3) {
          name(at);
          type(at + 1);
        }
        break;
      case Kind.ENUM:
        for (let at = first; at < first + vlen * 2; at += 2) name(at);
        break;
      case Kind.ENUM64:
        for (let at = first; at < first + vlen * 3; at += 3) name(at);
        break;
      case Kind.FUNC_PROTO:
        for (let at = first; at < first + vlen * 2; at += 2) {
          name(at);
          type(at + 1);
        }
        break;
      case Kind.FUNC:
        if (vlen >= BTF_LINKAGES.length) throw fail(wordsOffset + start * 4 + 4, `linkage ${vlen}`);
        break;
      case Kind.VAR:
        if (words[first]! >= BTF_LINKAGES.length) {
          throw fail(wordsOffset + first * 4, `linkage ${words[first]}`);
        }
        break;
      case Kind.DATASEC:
        for (let at = first; at < first + vlen * 3; at += 3) type(at);
        break;
    }
  }
}

function bits(...numbers: readonly number[]): number {
  return numbers.reduce((set, number) => set | (1 << number), 0);
}

function fail(offset: number, problem: string): CodecError {
  return new CodecError('btf', offset, problem);
}
