import { ArgumentError, CodecError } from '../error.ts';
import type { BtfBase } from './encode.ts';
import { NameIndex, type VisitText } from './name-index.ts';
import { type BtfRecords, Kind, readRecords, textAt } from './records.ts';
import { BTF_KINDS, BTF_LINKAGES, type BtfKind, type BtfMember, type BtfType } from './type.ts';

/**
 * Reads a `.BTF` blob of either byte order.
 *
 * @param base What a split blob (a module's) builds on, as vmlinux.
 * @throws CodecError when the blob is truncated, contradicts itself or refers outside of itself.
 */
export function decodeBtf(bytes: Uint8Array, base?: Btf): Btf {
  return new Btf(readRecords(bytes, base?.nextId ?? 1, base?.stringsSize ?? 0, false), base, false);
}

/** Reads a blob that the kernel gave, which has checked what {@link decodeBtf} checks. */
export function decodeKernelBtf(bytes: Uint8Array, base?: Btf): Btf {
  return new Btf(readRecords(bytes, base?.nextId ?? 1, base?.stringsSize ?? 0, true), base, true);
}

/** Types in a row that may refer to the next one, as kernel and libbpf have it. */
const MAX_CHAIN = 32;
/** Bytes of a name; the kernel takes 512. Without a bound, a few shared bytes could make gigabytes of names. */
const MAX_NAME = 4096;
/** Names that are looked for one by one before all of them are indexed. */
const SEARCHES = 8;
/** Structs that are kept as they were read, and how many members those may have. */
const RECENT = 16;
const MOST_MEMBERS = 1024;
/** Bytes of a pointer: BTF does not tell, eBPF and its kernels have 64 bits. */
const POINTER_SIZE = 8;

/**
 * The types of a blob and of its base, decoded when asked for.
 *
 * Every ID inside is checked, so following references never leaves the blob; references may still go round in
 * circles, which `resolve` and `sizeOf` report as a `CodecError`.
 */
export class Btf implements BtfBase {
  readonly base: Btf | undefined;
  /** The first ID of this blob itself; what lies below is the base's (or `void`). */
  readonly firstId: number;
  /** One above the last ID. */
  readonly nextId: number;
  /** Bytes of string section, the base's included. */
  readonly stringsSize: number;
  readonly #records: BtfRecords;
  readonly #firstString: number;
  readonly #trusted: boolean;
  readonly #recent = new Map<number, BtfType>();
  #names: NameIndex | undefined;
  #searches = 0;
  #allText: string | undefined;

  /** @internal Made by `decodeBtf`. */
  constructor(records: BtfRecords, base: Btf | undefined, trusted: boolean) {
    this.#records = records;
    this.#trusted = trusted;
    this.base = base;
    this.firstId = base?.nextId ?? 1;
    this.nextId = this.firstId + records.starts.length;
    this.#firstString = base?.stringsSize ?? 0;
    this.stringsSize = this.#firstString + records.strings.length;
  }

  /** The types of this blob itself (not of its base), in order of ID. */
  *types(): IterableIterator<BtfType> {
    for (let id = this.firstId; id < this.nextId; id++) yield this.type(id);
  }

  /**
   * The type with this ID.
   *
   * @throws ArgumentError when there is none; ID 0 is `void`, which has no record.
   * @throws CodecError when a name in it is longer than 4096 bytes.
   */
  type(id: number): BtfType {
    const owner = this.#ownerOf(id);
    const known = owner.#recent.get(id);
    if (known !== undefined) return known;
    const type = owner.#read(owner.#records.starts[id - owner.firstId]!);
    owner.#remember(id, type);
    return type;
  }

  /** Whoever looks for one member of a large struct soon looks for the next. */
  #remember(id: number, type: BtfType): void {
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.members.length > MOST_MEMBERS) return;
    if (this.#recent.size >= RECENT) this.#recent.clear();
    this.#recent.set(id, type);
  }

  /** The kind of the type with this ID, without decoding it; `void` for 0. */
  kind(id: number): BtfKind | 'void' {
    if (id === 0) return 'void';
    const owner = this.#ownerOf(id);
    const start = owner.#records.starts[id - owner.firstId]!;
    return BTF_KINDS[(owner.#records.words[start + 1]! >>> 24) & 0x1f]!;
  }

  /** The name of the type with this ID, without decoding it; `''` for none. */
  name(id: number): string {
    if (id === 0) return '';
    const owner = this.#ownerOf(id);
    return owner.#nameAt(owner.#records.starts[id - owner.firstId]!);
  }

  /** The lowest ID of a type with this name, of this kind if one is given; `undefined` when there is none. */
  find(name: string, kind?: BtfKind): number | undefined {
    const inBase = this.base?.find(name, kind);
    if (inBase !== undefined) return inBase;
    for (const id of this.#findOwn(name)) {
      if (kind === undefined || this.kind(id) === kind) return id;
    }
    return undefined;
  }

  /** IDs of all types with this name, the base's first, rising. */
  *findAll(name: string): IterableIterator<number> {
    if (this.base !== undefined) yield* this.base.findAll(name);
    yield* this.#findOwn(name);
  }

  /**
   * The text at an offset of the string section, as `.BTF.ext` and line info refer to it.
   *
   * @param limit In bytes. Default is none.
   * @throws CodecError when there is none, or a longer one.
   */
  text(offset: number, limit: number = Number.POSITIVE_INFINITY): string {
    if (!(offset < this.stringsSize) && offset !== 0)
      throw new CodecError('btf', 0, `no string at ${offset}`);
    const text = this.#textWithin(offset, limit);
    if (text === undefined)
      throw new CodecError('btf', 0, `the string at ${offset} has more than ${limit} bytes`);
    return text;
  }

  /**
   * The type behind typedefs, qualifiers and type tags.
   *
   * @throws CodecError when they go round in a circle, or there are more than 32 of them.
   */
  resolve(id: number): number {
    let current = id;
    for (let steps = 0; steps <= MAX_CHAIN; steps++) {
      switch (this.kind(current)) {
        case 'typedef':
        case 'volatile':
        case 'const':
        case 'restrict':
        case 'type_tag':
          current = this.#third(current);
          break;
        default:
          return current;
      }
    }
    throw this.#circle(id);
  }

  /**
   * Bytes that a value of the type takes; `undefined` for what has no values (`void`, functions, forwards, tags).
   *
   * @throws CodecError when the type contains itself or is larger than 2^53 bytes.
   */
  sizeOf(id: number): number | undefined {
    let current = this.resolve(id);
    let count = 1;
    for (let steps = 0; steps <= MAX_CHAIN; steps++) {
      const kind = this.kind(current);
      if (kind === 'array') {
        const array = this.type(current);
        if (array.kind === 'array') {
          count *= array.length;
          current = this.resolve(array.type);
        }
      } else if (kind === 'var') {
        current = this.resolve(this.#third(current));
      } else {
        const size = this.#ownSize(current, kind);
        if (size === undefined) return undefined;
        if (!Number.isSafeInteger(size * count)) {
          throw new CodecError('btf', this.#offsetOf(id), `type ${id} is larger than memory`);
        }
        return size * count;
      }
    }
    throw this.#circle(id);
  }

  #ownSize(id: number, kind: BtfKind | 'void'): number | undefined {
    switch (kind) {
      case 'int':
      case 'struct':
      case 'union':
      case 'enum':
      case 'enum64':
      case 'float':
      case 'datasec':
        return this.#third(id);
      case 'ptr':
        return POINTER_SIZE;
      default:
        return undefined;
    }
  }

  *#findOwn(name: string): IterableIterator<number> {
    const { words, starts } = this.#records;
    // An index takes longer than a few searches, and most objects ask for a few names.
    if (this.#names === undefined && this.#searches++ < SEARCHES) {
      const offsets = this.#textOffsets(name);
      if (offsets !== undefined) {
        for (const index of this.#search(offsets)) yield this.firstId + index;
        return;
      }
    }
    this.#names ??= new NameIndex(starts.length, (index, visit) =>
      this.visitText(words[starts[index]!]!, visit),
    );
    for (const index of this.#names.find(name)) yield this.firstId + index;
  }

  /**
   * All strings as one text, which is quick to search also before this is compiled: of blobs that come from the kernel,
   * and only where each byte is a character, so that places are the same.
   */
  #text(): string | undefined {
    if (!this.#trusted) return undefined;
    const { strings } = this.#records;
    this.#allText ??= new TextDecoder('utf-8', { ignoreBOM: true }).decode(strings);
    return this.#allText.length === strings.length ? this.#allText : undefined;
  }

  /** Indices of own types whose names stand at these places. */
  #search(offsets: ReadonlySet<number>): number[] {
    const { words, starts } = this.#records;
    const found: number[] = [];
    const [only] = offsets;
    if (only === undefined) return found;
    if (offsets.size === 1) {
      for (let i = 0; i < starts.length; i++) if (words[starts[i]!] === only) found.push(i);
    } else {
      for (let i = 0; i < starts.length; i++) if (offsets.has(words[starts[i]!]!)) found.push(i);
    }
    return found;
  }

  /** Where a text stands, the base's places first: whole, or as the end of another one; undefined without a text. */
  #textOffsets(name: string): Set<number> | undefined {
    const found = this.base === undefined ? new Set<number>() : this.base.#textOffsets(name);
    const all = this.#text();
    if (all === undefined || found === undefined || name === '') return undefined;
    const text = `${name}\0`;
    for (let at = all.indexOf(text); at >= 0; at = all.indexOf(text, at + 1)) {
      found.add(this.#firstString + at);
    }
    return found;
  }

  /** @internal The bytes of a string, for name indices: a split blob's name may lie in its base. */
  visitText(offset: number, visit: VisitText): void {
    if (offset < this.#firstString) this.base?.visitText(offset, visit);
    else if (offset !== 0) visit(this.#records.strings, offset - this.#firstString);
  }

  #ownerOf(id: number): Btf {
    if (!Number.isInteger(id) || id < 1 || id >= this.nextId) {
      throw new ArgumentError(`BTF has no type ${id}`, { hint: `IDs go from 1 to ${this.nextId - 1}.` });
    }
    return id >= this.firstId || this.base === undefined ? this : this.base.#ownerOf(id);
  }

  /** The third word of a record: its size, or the type it refers to. */
  #third(id: number): number {
    const owner = this.#ownerOf(id);
    return owner.#records.words[owner.#records.starts[id - owner.firstId]! + 2]!;
  }

  #offsetOf(id: number): number {
    if (id === 0) return 0;
    const owner = this.#ownerOf(id);
    return owner.#records.wordsOffset + owner.#records.starts[id - owner.firstId]! * 4;
  }

  #circle(id: number): CodecError {
    return new CodecError('btf', this.#offsetOf(id), `type ${id} refers to itself or to too many in a row`);
  }

  #read(start: number): BtfType {
    const { words } = this.#records;
    const info = words[start + 1]!;
    const third = words[start + 2]!;
    const vlen = info & 0xffff;
    const flag = info >>> 31 === 1;
    const name = this.#nameAt(start);
    const first = start + 3;
    switch ((info >>> 24) & 0x1f) {
      case Kind.INT: {
        const data = words[first]!;
        const encoding = (['unsigned', 'signed', 'char', 'unsigned', 'bool'] as const)[data >>> 24]!;
        return {
          kind: 'int',
          name,
          size: third,
          encoding,
          bits: data & 0xff,
          bitOffset: (data >>> 16) & 0xff,
        };
      }
      case Kind.PTR:
        return { kind: 'ptr', type: third };
      case Kind.ARRAY:
        return {
          kind: 'array',
          type: words[first]!,
          indexType: words[first + 1]!,
          length: words[first + 2]!,
        };
      case Kind.STRUCT:
        return { kind: 'struct', name, size: third, members: this.#members(first, vlen, flag) };
      case Kind.UNION:
        return { kind: 'union', name, size: third, members: this.#members(first, vlen, flag) };
      case Kind.ENUM: {
        const values = list(vlen, first, 2, (at) => {
          const value = words[at + 1]!;
          return { name: this.#nameAt(at), value: flag ? value | 0 : value };
        });
        return { kind: 'enum', name, size: third, signed: flag, values };
      }
      case Kind.FWD:
        return { kind: 'fwd', name, of: flag ? 'union' : 'struct' };
      case Kind.TYPEDEF:
        return { kind: 'typedef', name, type: third };
      case Kind.VOLATILE:
        return { kind: 'volatile', type: third };
      case Kind.CONST:
        return { kind: 'const', type: third };
      case Kind.RESTRICT:
        return { kind: 'restrict', type: third };
      case Kind.FUNC:
        return { kind: 'func', name, type: third, linkage: BTF_LINKAGES[vlen]! };
      case Kind.FUNC_PROTO: {
        const parameters = list(vlen, first, 2, (at) => ({
          name: this.#nameAt(at),
          type: words[at + 1]!,
        }));
        return { kind: 'func_proto', type: third, parameters };
      }
      case Kind.VAR:
        return { kind: 'var', name, type: third, linkage: BTF_LINKAGES[words[first]!]! };
      case Kind.DATASEC: {
        const variables = list(vlen, first, 3, (at) => ({
          type: words[at]!,
          offset: words[at + 1]!,
          size: words[at + 2]!,
        }));
        return { kind: 'datasec', name, size: third, variables };
      }
      case Kind.FLOAT:
        return { kind: 'float', name, size: third };
      case Kind.DECL_TAG:
        return { kind: 'decl_tag', name, type: third, component: words[first]! | 0, attribute: flag };
      case Kind.TYPE_TAG:
        return { kind: 'type_tag', name, type: third, attribute: flag };
      default: {
        const values = list(vlen, first, 3, (at) => {
          const value = (BigInt(words[at + 2]!) << 32n) | BigInt(words[at + 1]!);
          return { name: this.#nameAt(at), value: flag ? BigInt.asIntN(64, value) : value };
        });
        return { kind: 'enum64', name, size: third, signed: flag, values };
      }
    }
  }

  /** The name whose offset is the word at `at`. */
  #nameAt(at: number): string {
    const name = this.#textWithin(this.#records.words[at]!, MAX_NAME);
    if (name !== undefined) return name;
    throw new CodecError('btf', this.#records.wordsOffset + at * 4, `a name of more than ${MAX_NAME} bytes`);
  }

  /** The text at a checked offset; `undefined` if it has more than `limit` bytes. */
  #textWithin(offset: number, limit: number): string | undefined {
    // Offset 0 is the absent text, even where no strings are.
    if (offset === 0) return '';
    if (this.base !== undefined && offset < this.#firstString) return this.base.#textWithin(offset, limit);
    const at = offset - this.#firstString;
    const all = this.#text();
    if (all === undefined) return textAt(this.#records.strings, at, limit);
    const end = all.indexOf('\0', at);
    return end - at > limit ? undefined : all.slice(at, end);
  }

  /** With the flag, a member's offset word holds a bit field's width in its top byte. */
  #members(first: number, count: number, bitFields: boolean): BtfMember[] {
    const { words } = this.#records;
    return list(count, first, 3, (at) => {
      const place = words[at + 2]!;
      return {
        name: this.#nameAt(at),
        type: words[at + 1]!,
        bitOffset: bitFields ? place & 0xff_ffff : place,
        bitSize: bitFields ? place >>> 24 : 0,
      };
    });
  }
}

function list<T>(count: number, first: number, step: number, read: (at: number) => T): T[] {
  const out: T[] = new Array(count);
  for (let i = 0; i < count; i++) out[i] = read(first + i * step);
  return out;
}
