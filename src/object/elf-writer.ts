/** Writes ELF64 relocatable objects for eBPF, little-endian (`elf.h`; `EM_BPF` in `linux/elf-em.h`). */

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
const REL_SIZE = 16;
const ET_REL = 1;
const EM_BPF = 247;

/** Section types and flags, as far as an eBPF object has them. */
export const SectionType = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, REL: 9 } as const;
export const SectionFlag = { WRITE: 1, ALLOC: 2, EXECINSTR: 4 } as const;
/** Relocations of eBPF: a 64-bit immediate, and the target of a call. */
export const RelocationType = { R_BPF_64_64: 1, R_BPF_64_32: 10 } as const;
export const SymbolType = { OBJECT: 1, FUNC: 2, SECTION: 3 } as const;

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly align: number;
  readonly relocations?: readonly ElfRelocation[];
}

export interface ElfRelocation {
  /** In the section it belongs to, in bytes. */
  readonly offset: number;
  readonly type: number;
  /** Name of the symbol it refers to. */
  readonly symbol: string;
}

export interface ElfSymbol {
  readonly name: string;
  readonly type: number;
  readonly global: boolean;
  /** Name of the section it lies in. */
  readonly section: string;
  readonly offset: number;
  readonly size: number;
}

/** The object file of these sections and symbols; relocation, symbol and string sections are added. */
export function writeElf(sections: readonly ElfSection[], symbols: readonly ElfSymbol[]): Uint8Array {
  const strings = new Strings();
  // Local symbols come first; the symbol table's sh_info tells where the global ones begin.
  const ordered = [
    ...symbols.filter((symbol) => !symbol.global),
    ...symbols.filter((symbol) => symbol.global),
  ];
  const symbolIndex = new Map(ordered.map((symbol, i) => [symbol.name, i + 1]));
  const sectionIndex = new Map(sections.map((section, i) => [section.name, i + 1]));
  const relocated = sections.filter((section) => (section.relocations?.length ?? 0) > 0);
  const symtabIndex = sections.length + relocated.length + 1;
  const placed: Placed[] = [
    ...sections.map((section) => ({ ...section, link: 0, info: 0, entrySize: 0 })),
    ...relocated.map((section) => ({
      name: `.rel${section.name}`,
      type: SectionType.REL,
      flags: 0,
      bytes: relocationBytes(section.relocations ?? [], symbolIndex),
      align: 8,
      link: symtabIndex,
      info: sectionIndex.get(section.name) ?? 0,
      entrySize: REL_SIZE,
    })),
    {
      name: '.symtab',
      type: SectionType.SYMTAB,
      flags: 0,
      bytes: symbolBytes(ordered, sectionIndex, strings),
      align: 8,
      link: symtabIndex + 1,
      info: 1 + symbols.filter((symbol) => !symbol.global).length,
      entrySize: SYM_SIZE,
    },
  ];
  const nameOffsets = [...placed.map((section) => strings.add(section.name)), strings.add('.strtab')];
  placed.push({
    name: '.strtab',
    type: SectionType.STRTAB,
    flags: 0,
    bytes: strings.bytes(),
    align: 1,
    link: 0,
    info: 0,
    entrySize: 0,
  });
  return layOut(placed, nameOffsets);
}

interface Placed {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly align: number;
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

function layOut(sections: readonly Placed[], nameOffsets: readonly number[]): Uint8Array {
  const offsets: number[] = [];
  let end = EHDR_SIZE;
  for (const section of sections) {
    end = roundUp(end, section.align);
    offsets.push(end);
    end += section.bytes.length;
  }
  const headers = roundUp(end, 8);
  const file = new Uint8Array(headers + (sections.length + 1) * SHDR_SIZE);
  const view = new DataView(file.buffer);
  // e_ident: magic, ELFCLASS64, ELFDATA2LSB, EV_CURRENT.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_REL, true);
  view.setUint16(18, EM_BPF, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(headers), true);
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(58, SHDR_SIZE, true);
  view.setUint16(60, sections.length + 1, true);
  view.setUint16(62, sections.length, true);
  for (const [i, section] of sections.entries()) {
    const offset = offsets[i] ?? 0;
    file.set(section.bytes, offset);
    // Elf64_Shdr, behind the empty one of index 0.
    const at = headers + (i + 1) * SHDR_SIZE;
    view.setUint32(at, nameOffsets[i] ?? 0, true);
    view.setUint32(at + 4, section.type, true);
    view.setBigUint64(at + 8, BigInt(section.flags), true);
    view.setBigUint64(at + 24, BigInt(offset), true);
    view.setBigUint64(at + 32, BigInt(section.bytes.length), true);
    view.setUint32(at + 40, section.link, true);
    view.setUint32(at + 44, section.info, true);
    view.setBigUint64(at + 48, BigInt(section.align), true);
    view.setBigUint64(at + 56, BigInt(section.entrySize), true);
  }
  return file;
}

function relocationBytes(
  relocations: readonly ElfRelocation[],
  symbols: ReadonlyMap<string, number>,
): Uint8Array {
  const bytes = new Uint8Array(relocations.length * REL_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, { offset, type, symbol }] of relocations.entries()) {
    view.setBigUint64(i * REL_SIZE, BigInt(offset), true);
    view.setUint32(i * REL_SIZE + 8, type, true);
    view.setUint32(i * REL_SIZE + 12, symbols.get(symbol) ?? 0, true);
  }
  return bytes;
}

function symbolBytes(
  symbols: readonly ElfSymbol[],
  sections: ReadonlyMap<string, number>,
  strings: Strings,
): Uint8Array {
  const bytes = new Uint8Array((symbols.length + 1) * SYM_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, symbol] of symbols.entries()) {
    const at = (i + 1) * SYM_SIZE;
    view.setUint32(at, symbol.type === SymbolType.SECTION ? 0 : strings.add(symbol.name), true);
    view.setUint8(at + 4, ((symbol.global ? 1 : 0) << 4) | symbol.type);
    view.setUint16(at + 6, sections.get(symbol.section) ?? 0, true);
    view.setBigUint64(at + 8, BigInt(symbol.offset), true);
    view.setBigUint64(at + 16, BigInt(symbol.size), true);
  }
  return bytes;
}

/** A string section: NUL-terminated, the empty string first, each string once. */
class Strings {
  readonly #offsets = new Map<string, number>([['', 0]]);
  #text = '\0';

  add(string: string): number {
    let offset = this.#offsets.get(string);
    if (offset === undefined) {
      offset = this.#text.length;
      this.#offsets.set(string, offset);
      this.#text += `${string}\0`;
    }
    return offset;
  }

  bytes(): Uint8Array {
    return new TextEncoder().encode(this.#text);
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
