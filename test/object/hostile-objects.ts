import { type BtfType, encodeBtf } from '../../src/btf/index.ts';
import {
  type ElfSection,
  type ElfSymbol,
  SectionFlag,
  SectionType,
  SymbolType,
  writeElf,
} from '../../src/object/elf-writer.ts';

/** Of each hostile object: as large as objects of ten thousands of lines are. */
const SIZE = 1 << 20;

/** Objects that are small for what they say, or say as much as there is room for. */
export const HOSTILE: Readonly<Record<string, () => Uint8Array>> = {
  'as many types as fit': () => object({ types: Array.from({ length: SIZE / 12 }, () => pointer(0)) }),
  'structs of as many members as there can be': () =>
    object({ types: [int, ...Array.from({ length: 4 }, () => struct(0xffff))] }),
  'arrays of arrays of nothing': () => object({ types: [int, struct(0), ...nested(2, 24)], variable: 26 }),
  'arrays of arrays of numbers': () => object({ types: [int, ...nested(1, 24)], variable: 25 }),
  'unions of two of the union before': () => {
    const unions = Array.from({ length: 30 }, (_, i): BtfType => {
      const member = (name: string) => ({ name, type: 1 + i, bitOffset: 0, bitSize: 0 });
      return { kind: 'union', name: `u${i}`, size: 4, members: [member('a'), member('b')] };
    });
    return object({ types: [int, ...unions], variable: 31 });
  },
  'a variable as long as memory': () => object({ types: [int, array(1, 0xffff_ffff)], variable: 2 }),
  'as many functions as fit': () => {
    const symbols = Array.from({ length: SIZE / 32 }, (_, i) => symbol(`f${i}`, 'xdp', 8 * i, 8));
    return writeElf([code('xdp', SIZE / 4)], symbols);
  },
  'as many sections as fit': () => {
    const sections = Array.from({ length: SIZE / 128 }, (_, i) => code(`xdp/${i}`, 8));
    return writeElf(sections, []);
  },
  'as many symbols that nothing defines as fit': () => {
    const bytes = writeElf(
      [code('xdp', 8)],
      Array.from({ length: SIZE / 32 }, (_, i) => symbol(`s${i}`, 'xdp', 0, 8)),
    );
    // Sections of symbols: the third word's upper half.
    const view = new DataView(bytes.buffer);
    const headers = Number(view.getBigUint64(40, true));
    for (let at = headers; at < bytes.length; at += 64) {
      if (view.getUint32(at + 4, true) !== 2) continue;
      const start = Number(view.getBigUint64(at + 24, true));
      const end = start + Number(view.getBigUint64(at + 32, true));
      for (let entry = start; entry < end; entry += 24) view.setUint16(entry + 6, 0, true);
    }
    return bytes;
  },
};

const int: BtfType = { kind: 'int', name: 'int', size: 4, encoding: 'signed', bits: 32, bitOffset: 0 };
function pointer(type: number): BtfType {
  return { kind: 'ptr', type };
}
function array(type: number, length: number): BtfType {
  return { kind: 'array', type, indexType: 1, length };
}
function struct(members: number): BtfType {
  const member = { name: 'm', type: 1, bitOffset: 0, bitSize: 0 };
  return {
    kind: 'struct',
    name: 's',
    size: members === 0 ? 0 : 4,
    members: Array.from({ length: members }, () => member),
  };
}
/** Arrays of two each, one in the other. */
function nested(inner: number, depth: number): BtfType[] {
  return Array.from({ length: depth }, (_, i) => array(inner + i, 2));
}
function code(name: string, size: number): ElfSection {
  return {
    name,
    type: SectionType.PROGBITS,
    flags: SectionFlag.ALLOC | SectionFlag.EXECINSTR,
    bytes: new Uint8Array(size),
    align: 8,
  };
}
function symbol(name: string, section: string, offset: number, size: number): ElfSymbol {
  return { name, type: SymbolType.FUNC, global: true, section, offset, size };
}
/** An object of these types, with a variable of one of them in a section of no bytes at all. */
function object({ types, variable }: { types: readonly BtfType[]; variable?: number }): Uint8Array {
  const all = [...types];
  if (variable !== undefined) {
    const id = all.push({ kind: 'var', name: 'v', type: variable, linkage: 'global' });
    all.push({ kind: 'datasec', name: '.data', size: 8, variables: [{ type: id, offset: 0, size: 8 }] });
  }
  const data = {
    name: '.data',
    type: SectionType.PROGBITS,
    flags: SectionFlag.ALLOC | SectionFlag.WRITE,
    bytes: new Uint8Array(8),
    align: 8,
  };
  const btf = { name: '.BTF', type: SectionType.PROGBITS, flags: 0, bytes: encodeBtf(all), align: 1 };
  return writeElf([data, btf], []);
}
