import { CodecError } from '../error.ts';

/**
 * Reads ELF64 relocatable objects for eBPF of either byte order (`elf.h`).
 *
 * Nothing is copied: sections are views of the file. Sections may not overlap, so that whatever walks all of them takes
 * time and memory in proportion to the file.
 */
export interface ElfObject {
  readonly byteOrder: 'little' | 'big';
  /** By section index; index 0 is the empty one. */
  readonly sections: readonly InputSection[];
  /** By symbol index; index 0 is the empty one. */
  readonly symbols: readonly InputSymbol[];
  /** What is to be filled in, by index of the section it is filled in to. */
  readonly relocations: ReadonlyMap<number, readonly InputRelocation[]>;
}

export interface InputSection {
  readonly index: number;
  readonly name: string;
  /** `SHT_` number. */
  readonly type: number;
  /** `SHF_` bits. */
  readonly flags: number;
  /** Where it starts in the file, in bytes. */
  readonly offset: number;
  /** In bytes, also where the file holds none of them (`.bss`). */
  readonly size: number;
  /** Its contents; empty for `.bss`. */
  readonly bytes: Uint8Array;
  readonly link: number;
  readonly info: number;
}

export interface InputSymbol {
  readonly name: string;
  readonly type: number;
  readonly binding: number;
  readonly visibility: number;
  /** Index of its section; 0 is undefined, from 0xff00 on special. */
  readonly section: number;
  /** In its section, in bytes. */
  readonly value: number;
  /** In bytes. */
  readonly size: number;
}

export interface InputRelocation {
  /** In the section it applies to, in bytes. */
  readonly offset: number;
  /** `R_BPF_` number. */
  readonly type: number;
  /** Index of the symbol. */
  readonly symbol: number;
}

export const InputType = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, RELA: 4, NOBITS: 8, REL: 9 } as const;
export const InputFlag = { WRITE: 1, ALLOC: 2, EXECINSTR: 4 } as const;
export const InputSymbolType = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3 } as const;
export const Binding = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;
export const Visibility = { DEFAULT: 0, INTERNAL: 1, HIDDEN: 2 } as const;

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
const REL_SIZE = 16;
const ET_REL = 1;
const EM_BPF = 247;
/** Section indices from here on are not indices (`SHN_LORESERVE`). */
export const FIRST_RESERVED = 0xff00;
const SHN_XINDEX = 0xffff;
/** Bytes of a name. Without a bound, a few shared bytes could make gigabytes of names. */
const MAX_NAME = 1024;

/**
 * The sections, symbols and relocations of an object file.
 *
 * @throws CodecError that names the section and the offset, when the file is truncated, contradicts itself, or is made
 *   for another machine.
 */
export function readElf(given: Uint8Array): ElfObject {
  // A Buffer's slices are no copies: what follows counts on those of plain arrays.
  const file = new Uint8Array(given.buffer, given.byteOffset, given.length);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const little = readIdentity(file);
  const type = view.getUint16(16, little);
  if (type !== ET_REL) throw fail(16, `no relocatable object, but type ${type}`);
  const machine = view.getUint16(18, little);
  // clang before 3.9 had no number for eBPF yet.
  if (machine !== EM_BPF && machine !== 0) {
    throw fail(18, `an object for machine ${machine}${MACHINES[machine] ?? ''}, not for eBPF (${EM_BPF})`);
  }
  const reader = new Reader(file, view, little);
  const sections = reader.sections();
  const symbolTables = sections.filter((section) => section.type === InputType.SYMTAB);
  if (symbolTables.length > 1) throw fail(symbolTables[1]?.offset ?? 0, 'two symbol tables');
  const symbols = symbolTables[0] === undefined ? [] : reader.symbols(symbolTables[0], sections);
  const relocations = new Map<number, InputRelocation[]>();
  for (const section of sections) {
    if (section.type !== InputType.REL) continue;
    const target = sections[section.info];
    if (target === undefined || section.info === 0) {
      throw fail(
        section.offset,
        `section '${section.name}' relocates section ${section.info}, which is none`,
      );
    }
    // Relocations of debugging information refer to symbols that may be stripped; nobody needs them.
    if (!isRelocated(target)) continue;
    const known = relocations.get(target.index) ?? [];
    relocations.set(target.index, known);
    for (const relocation of reader.relocations(section, target, symbols.length)) known.push(relocation);
  }
  return { byteOrder: little ? 'little' : 'big', sections, symbols, relocations };
}

/** Sections that are loaded, as opposed to those that describe. */
function isRelocated({ flags, name }: InputSection): boolean {
  return (flags & InputFlag.ALLOC) !== 0 || name === '.maps' || name === 'maps';
}

/** A few machines whose objects end up here by mistake (`linux/elf-em.h`). */
const MACHINES: Readonly<Record<number, string>> = {
  3: ' (x86)',
  40: ' (ARM)',
  62: ' (x86-64)',
  183: ' (AArch64)',
  243: ' (RISC-V)',
};

/** `e_ident`; whether the file is little-endian. */
function readIdentity(file: Uint8Array): boolean {
  if (file.length < EHDR_SIZE) throw fail(file.length, 'the file header is truncated');
  if (file[0] !== 0x7f || file[1] !== 0x45 || file[2] !== 0x4c || file[3] !== 0x46) {
    throw fail(0, 'no ELF file');
  }
  if (file[4] !== 2) throw fail(4, `ELF class ${file[4]}, where eBPF has 2 (64 bits)`);
  if (file[5] !== 1 && file[5] !== 2) throw fail(5, `byte order ${file[5]}`);
  if (file[6] !== 1) throw fail(6, `ELF version ${file[6]}`);
  return file[5] === 1;
}

class Reader {
  readonly #file: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(file: Uint8Array, view: DataView, little: boolean) {
    this.#file = file;
    this.#view = view;
    this.#little = little;
  }

  /** Elf64_Shdr: name @0, type @4, flags @8, addr @16, offset @24, size @32, link @40, info @44, align @48, entsize @56. */
  sections(): InputSection[] {
    const table = this.#long(40, 'the section table');
    const entry = this.#half(58);
    if (table === 0) throw fail(40, 'no sections');
    if (entry !== SHDR_SIZE)
      throw fail(58, `section headers of ${entry} bytes, where ELF64 has ${SHDR_SIZE}`);
    if (table > this.#file.length - SHDR_SIZE) throw fail(40, `the section table at ${table} passes the end`);
    // More sections than 16 bits count, and the index of their names, stand in the empty section.
    const count = this.#half(60) || this.#long(table + 32, 'the number of sections');
    if (count === 0) throw fail(60, 'no sections');
    if (count > (this.#file.length - table) / SHDR_SIZE) {
      throw fail(60, `${count} section headers pass the end`);
    }
    const namesIndex = this.#half(62) === SHN_XINDEX ? this.#word(table + 40) : this.#half(62);
    if (namesIndex >= count) throw fail(62, `section names lie in section ${namesIndex} of ${count}`);
    const names = this.#contents(table + namesIndex * SHDR_SIZE, 'section names');
    const sections: InputSection[] = [];
    let total = 0;
    for (let index = 0; index < count; index++) {
      const at = table + index * SHDR_SIZE;
      const name = index === 0 ? '' : this.#text(names, this.#word(at), at, `the name of section ${index}`);
      const bytes = index === 0 ? new Uint8Array(0) : this.#contents(at, `section '${name}'`);
      total += bytes.length;
      if (total > this.#file.length) throw fail(at + 32, `section '${name}' overlaps others`);
      const type = this.#word(at + 4);
      sections.push({
        index,
        name,
        type,
        // Every flag that matters here lies in the low word.
        flags: this.#word(at + (this.#little ? 8 : 12)),
        offset: this.#long(at + 24, `the offset of section '${name}'`),
        size: this.#long(at + 32, `the size of section '${name}'`),
        bytes,
        link: this.#word(at + 40),
        info: this.#word(at + 44),
      });
    }
    return sections;
  }

  /** Elf64_Sym: name @0, info @4, other @5, shndx @6, value @8, size @16. */
  symbols(table: InputSection, sections: readonly InputSection[]): InputSymbol[] {
    const names = sections[table.link];
    if (names === undefined || names.type !== InputType.STRTAB) {
      throw fail(
        table.offset,
        `section '${table.name}': its names lie in section ${table.link}, no string table`,
      );
    }
    if (table.size % SYM_SIZE !== 0)
      throw fail(table.offset, `section '${table.name}': the last symbol is truncated`);
    const symbols: InputSymbol[] = [];
    for (let at = table.offset; at < table.offset + table.size; at += SYM_SIZE) {
      const info = this.#view.getUint8(at + 4);
      const what = `symbol ${symbols.length}`;
      const section = this.#half(at + 6);
      if (section < FIRST_RESERVED && section >= sections.length) {
        throw fail(
          at + 6,
          `section '${table.name}': ${what} lies in section ${section} of ${sections.length}`,
        );
      }
      const type = info & 15;
      const named = this.#text(names.bytes, this.#word(at), at, `the name of ${what}`);
      symbols.push({
        name: type === InputSymbolType.SECTION && named === '' ? (sections[section]?.name ?? '') : named,
        type,
        binding: info >> 4,
        visibility: this.#view.getUint8(at + 5) & 3,
        section,
        value: this.#long(at + 8, `the value of ${what}`),
        size: this.#long(at + 16, `the size of ${what}`),
      });
    }
    return symbols;
  }

  /** Elf64_Rel: offset @0, type @8, symbol @12. */
  relocations(section: InputSection, target: InputSection, symbolCount: number): InputRelocation[] {
    if (section.size % REL_SIZE !== 0) {
      throw fail(section.offset, `section '${section.name}': the last relocation is truncated`);
    }
    const relocations: InputRelocation[] = [];
    for (let at = section.offset; at < section.offset + section.size; at += REL_SIZE) {
      const offset = this.#long(at, 'the offset of a relocation');
      if (offset > target.size - 4) {
        throw fail(
          at,
          `section '${section.name}': a relocation at ${offset} lies beyond section '${target.name}'`,
        );
      }
      // r_info is one 64-bit word: symbol << 32 | type.
      const type = this.#word(at + (this.#little ? 8 : 12));
      const symbol = this.#word(at + (this.#little ? 12 : 8));
      if (symbol >= symbolCount) {
        throw fail(
          at + 8,
          `section '${section.name}': a relocation refers to symbol ${symbol} of ${symbolCount}`,
        );
      }
      relocations.push({ offset, type, symbol });
    }
    return relocations;
  }

  /** The bytes of the section whose header is at `at`. */
  #contents(at: number, what: string): Uint8Array {
    const type = this.#word(at + 4);
    if (type === InputType.NOBITS || type === 0) return new Uint8Array(0);
    const offset = this.#long(at + 24, `the offset of ${what}`);
    const size = this.#long(at + 32, `the size of ${what}`);
    if (offset + size > this.#file.length) {
      throw fail(at + 24, `${what}: bytes ${offset} to ${offset + size} pass the end (${this.#file.length})`);
    }
    return this.#file.subarray(offset, offset + size);
  }

  #text(strings: Uint8Array, offset: number, at: number, what: string): string {
    if (offset >= strings.length) {
      if (offset === 0) return '';
      throw fail(at, `${what} lies at ${offset}, beyond the ${strings.length} bytes of strings`);
    }
    const end = strings.indexOf(0, offset);
    if (end < 0) throw fail(at, `${what} does not end`);
    if (end - offset > MAX_NAME) throw fail(at, `${what} has more than ${MAX_NAME} bytes`);
    return end === offset ? '' : utf8.decode(strings.subarray(offset, end));
  }

  #half(at: number): number {
    return this.#view.getUint16(at, this.#little);
  }

  #word(at: number): number {
    return this.#view.getUint32(at, this.#little);
  }

  /** A 64-bit number that has to be an offset or a size. */
  #long(at: number, what: string): number {
    const low = this.#word(at + (this.#little ? 0 : 4));
    const high = this.#word(at + (this.#little ? 4 : 0));
    // A file of 2^48 bytes exceeds every file system's page cache; sums of two such numbers stay exact.
    if (high > 0xffff) throw fail(at, `${what} is beyond 2^48`);
    return high * 2 ** 32 + low;
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function fail(offset: number, problem: string): CodecError {
  return new CodecError('elf', offset, problem);
}
