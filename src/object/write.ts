import { encode, type Instruction, SLOT_SIZE, type SourceLine, slotsOf } from '../asm/index.ts';
import {
  addCInt,
  addFunction,
  BtfBuilder,
  type BtfExtSection,
  btfOf,
  encodeBtfExt,
  type FunctionInfo,
  type LineInfo,
} from '../btf/index.ts';
import { ArgumentError } from '../error.ts';
import { type MapSpec, mapFlagBits, mapTypeNumber, type ProgramSpec } from '../spec/index.ts';
import {
  type ElfRelocation,
  type ElfSection,
  type ElfSymbol,
  RelocationType,
  SectionFlag,
  SectionType,
  SymbolType,
  writeElf,
} from './elf-writer.ts';

/**
 * A program as an object file that `bpftool prog load`, libbpf and this library's own loader take.
 *
 * Sections and definitions are libbpf's conventions: the program under its `SEC()` name, functions it calls in `.text`,
 * maps defined by BTF in `.maps`, the licence in `license`. Of two forms of a program, it is the one that needs nothing.
 *
 * @throws ArgumentError for what an object cannot express: maps that share a name but differ.
 */
export function writeObject(of: ProgramSpec): Uint8Array {
  // An object file holds one form of a program, and is carried to other kernels.
  const spec = of.fallback === undefined ? of : { ...of, instructions: of.fallback };
  const builder = new BtfBuilder();
  const parts = splitFunctions(spec);
  const maps = Object.entries(spec.maps);
  const definitions = defineMaps(maps, builder);
  const functions: BtfExtSection<FunctionInfo>[] = [];
  const lines: BtfExtSection<LineInfo>[] = [];
  const sections: ElfSection[] = [];
  const symbols: ElfSymbol[] = [];
  for (const part of parts) {
    const entry = part === parts[0];
    sections.push(codeSection(part, spec));
    functions.push({
      section: part.section,
      records: part.functions.map((func) => ({
        offset: func.offset,
        type: addFunction(func, entry, builder),
      })),
    });
    for (const { name, offset, size } of part.functions) {
      symbols.push({ name, type: SymbolType.FUNC, global: entry, section: part.section, offset, size });
    }
    const records = lineRecords(part);
    if (records.length > 0) lines.push({ section: part.section, records });
  }
  if (parts.length > 1) {
    symbols.push({
      name: '.text',
      type: SymbolType.SECTION,
      global: false,
      section: '.text',
      offset: 0,
      size: 0,
    });
  }
  sections.push(dataSection('license', new TextEncoder().encode(`${spec.license}\0`), 1));
  if (maps.length > 0) {
    sections.push(dataSection('.maps', new Uint8Array(definitions.size), 8));
    symbols.push(...definitions.symbols);
  }
  // Strings go into .BTF, so .BTF.ext comes first. Without lines libbpf would remark on their absence.
  const ext =
    lines.length > 0 ? encodeBtfExt({ functions, lines, relocations: [] }, builder.strings) : undefined;
  sections.push(infoSection('.BTF', builder.encode()));
  if (ext !== undefined) sections.push(infoSection('.BTF.ext', ext));
  return writeElf(sections, symbols);
}

/** Code of one section. */
interface CodePart {
  readonly section: string;
  readonly instructions: readonly Instruction[];
  /** Slot of the first instruction in the whole program. */
  readonly slot: number;
  readonly functions: readonly {
    name: string;
    parameters: number;
    slot: number;
    offset: number;
    size: number;
  }[];
}

/** libbpf wants the entry in a section of its own and the functions it calls in `.text`. */
function splitFunctions(spec: ProgramSpec): CodePart[] {
  const starts: number[] = [];
  let slot = 0;
  for (const instruction of spec.instructions) {
    starts.push(slot);
    slot += slotsOf(instruction);
  }
  const functions =
    spec.functions.length > 0 ? spec.functions : [{ name: spec.name, slot: 0, parameters: 1 }];
  const boundary = functions[1]?.slot ?? slot;
  const end = slot;
  const take = (section: string, from: number, to: number): CodePart => ({
    section,
    slot: from,
    instructions: spec.instructions.filter((_, i) => (starts[i] ?? 0) >= from && (starts[i] ?? 0) < to),
    functions: functions
      .filter((func) => func.slot >= from && func.slot < to)
      .map((func) => ({
        ...func,
        offset: (func.slot - from) * SLOT_SIZE,
        size: ((functions[functions.indexOf(func) + 1]?.slot ?? end) - func.slot) * SLOT_SIZE,
      })),
  });
  const entry = take(sectionName(spec), 0, boundary);
  return boundary < end ? [entry, take('.text', boundary, end)] : [entry];
}

/** The `SEC()` name by which loaders know what the program is. */
function sectionName({ attachType, frags }: ProgramSpec): string {
  if (!frags) return attachType;
  return attachType === 'xdp' ? 'xdp.frags' : attachType.replace('xdp/', 'xdp.frags/');
}

const BPF_CALL = 0x85;
const PSEUDO_CALL = 1;
const LDDW = 0x18;
const PSEUDO_MAP_VALUE = 2;

function codeSection(part: CodePart, spec: ProgramSpec): ElfSection {
  const relocations: ElfRelocation[] = [];
  let slot = 0;
  const instructions = part.instructions.map((instruction) => {
    const at = slot;
    slot += slotsOf(instruction);
    if (instruction.opcode === LDDW && instruction.map !== undefined) {
      const map = spec.maps[instruction.map];
      if (map === undefined) throw new ArgumentError(`program ${spec.name} has no map '${instruction.map}'`);
      if (instruction.src === PSEUDO_MAP_VALUE) {
        throw new ArgumentError(
          `program ${spec.name} loads the address of a value of map '${instruction.map}'`,
          {
            hint: 'An object file can only name maps as a whole.',
          },
        );
      }
      relocations.push({ offset: at * SLOT_SIZE, type: RelocationType.R_BPF_64_64, symbol: map.name });
      const { map: _, ...plain } = instruction;
      return { ...plain, src: 0, imm: 0, immHigh: 0 };
    }
    if (instruction.opcode === BPF_CALL && instruction.src === PSEUDO_CALL) {
      // Within .text the distance stays as it is; from the entry the linker computes it from the target's place.
      if (part.section === '.text') return instruction;
      relocations.push({ offset: at * SLOT_SIZE, type: RelocationType.R_BPF_64_32, symbol: '.text' });
      const target = part.slot + at + 1 + instruction.imm;
      const textStart = spec.functions[1]?.slot ?? 0;
      return { ...instruction, imm: target - textStart - 1 };
    }
    return instruction;
  });
  return {
    name: part.section,
    type: SectionType.PROGBITS,
    flags: SectionFlag.ALLOC | SectionFlag.EXECINSTR,
    bytes: encode(instructions),
    align: 8,
    relocations,
  };
}

/** A record wherever the line changes, and at the start of each function, where libbpf wants one. */
function lineRecords(part: CodePart): LineInfo[] {
  const starts = new Set(part.functions.map((func) => func.offset));
  const records: LineInfo[] = [];
  let offset = 0;
  let last: SourceLine | undefined;
  for (const [i, instruction] of part.instructions.entries()) {
    const start = starts.has(offset);
    const source = instruction.source ?? (start ? sourceFrom(part.instructions, i) : undefined);
    if (source !== undefined && (source !== last || start)) {
      const line = Math.min(source.line, 0x3f_ffff);
      const column = Math.min(source.column, 0x3ff);
      records.push({ offset, file: source.file, text: source.text, line, column });
      last = source;
    }
    offset += slotsOf(instruction) * SLOT_SIZE;
  }
  return records;
}

function sourceFrom(instructions: readonly Instruction[], from: number): SourceLine | undefined {
  return instructions.slice(from).find((instruction) => instruction.source !== undefined)?.source;
}

interface MapDefinitions {
  readonly size: number;
  readonly symbols: readonly ElfSymbol[];
}

/** Each map as a variable in `.maps` whose type says all about it, as `bpf_helpers.h`'s `__uint` and `__type` write it. */
function defineMaps(maps: readonly (readonly [string, MapSpec])[], builder: BtfBuilder): MapDefinitions {
  const symbols: ElfSymbol[] = [];
  const variables: { type: number; offset: number; size: number }[] = [];
  const defined = new Map<string, MapSpec>();
  let offset = 0;
  for (const [, map] of maps) {
    const known = defined.get(map.name);
    if (known === map) continue;
    if (known !== undefined) throw new ArgumentError(`two maps of the program are named '${map.name}'`);
    defined.set(map.name, map);
    const { type, size } = addDefinition(map, builder);
    const variable = builder.add({ kind: 'var', name: map.name, type, linkage: 'global' });
    variables.push({ type: variable, offset, size });
    symbols.push({ name: map.name, type: SymbolType.OBJECT, global: true, section: '.maps', offset, size });
    offset += size;
  }
  if (variables.length > 0) builder.add({ kind: 'datasec', name: '.maps', size: offset, variables });
  return { size: offset, symbols };
}

function addDefinition(map: MapSpec, builder: BtfBuilder): { type: number; size: number } {
  const int = addCInt('i32', builder);
  // `__uint(name, n)` is `int (*name)[n]`: the number is the array's length.
  const number = (value: number): number =>
    builder.add({
      kind: 'ptr',
      type: builder.add({ kind: 'array', type: int, indexType: int, length: value }),
    });
  const pointer = (type: number): number => builder.add({ kind: 'ptr', type });
  const fields: [string, number][] = [['type', number(mapTypeNumber(map.type))]];
  if (map.type !== 'ringbuf') {
    if (map.inner === undefined && !BY_SIZE.has(map.type)) {
      fields.push(['key', pointer(btfOf(map.key, builder))], ['value', pointer(btfOf(map.value, builder))]);
    } else {
      fields.push(['key_size', number(map.key.size)], ['value_size', number(map.value.size)]);
    }
  }
  fields.push(['max_entries', number(map.maxEntries)]);
  const flags = mapFlagBits(map);
  if (flags !== 0) fields.push(['map_flags', number(flags)]);
  let size = fields.length * 8;
  const members = fields.map(([name, type], i) => ({ name, type, bitOffset: i * 64, bitSize: 0 }));
  if (map.inner !== undefined) {
    // `__array(values, struct { … })`: an array of no elements that are pointers to the inner definition.
    const inner = pointer(addDefinition(map.inner, builder).type);
    const type = builder.add({ kind: 'array', type: inner, indexType: int, length: 0 });
    members.push({ name: 'values', type, bitOffset: size * 8, bitSize: 0 });
  }
  const type = builder.add({ kind: 'struct', name: '', size, members });
  size = Math.max(size, 8);
  return { type, size };
}

/** Map types whose values are descriptors; libbpf takes their sizes rather than types. */
const BY_SIZE: ReadonlySet<string> = new Set(['prog_array', 'xskmap', 'devmap', 'devmap_hash', 'cpumap']);

function dataSection(name: string, bytes: Uint8Array, align: number): ElfSection {
  return { name, type: SectionType.PROGBITS, flags: SectionFlag.ALLOC | SectionFlag.WRITE, bytes, align };
}

function infoSection(name: string, bytes: Uint8Array): ElfSection {
  return { name, type: SectionType.PROGBITS, flags: 0, bytes, align: 4 };
}
