import { type Btf, type BtfExtSectionRows, decodeBtf, readBtfExt } from '../btf/index.ts';
import { CodecError } from '../error.ts';
import {
  Binding,
  type ElfObject,
  FIRST_RESERVED,
  InputFlag,
  type InputRelocation,
  type InputSection,
  type InputSymbol,
  InputSymbolType,
  InputType,
  readElf,
  Visibility,
} from './elf-reader.ts';
import { dataMap, findMaps, type MapPlaces } from './maps.ts';
import { isLoadedByDefault, programKind } from './section-name.ts';
import {
  type ObjectExtern,
  type ObjectFunction,
  type ObjectMapSpec,
  type ObjectProgram,
  type ObjectSpec,
  ObjectVariable,
  type Reference,
  SectionData,
} from './spec.ts';

const SLOT = 8;
const LDDW = 0x18;
const CALL = 0x85;
const R_BPF_64_64 = 1;
const R_BPF_64_32 = 10;
const NO_ROWS = new Uint32Array(0);

/**
 * Reads an object file that a C compiler made for eBPF.
 *
 * Nothing touches the kernel. Parts that cannot be loaded are kept and noted, so that the rest can be.
 *
 * @throws CodecError, and nothing else, when the file is no such object, is truncated or contradicts itself.
 */
export function readObject(file: Uint8Array): ObjectSpec {
  const elf = readElf(file);
  const btfBytes = sectionNamed(elf, '.BTF')?.bytes;
  const btf = btfBytes === undefined ? undefined : within('.BTF', () => decodeBtf(btfBytes));
  const { maps, places } = within('.maps', () => findMaps(elf, btf));
  const data = dataSections(elf, btf);
  const externs = findExterns(elf, btf);
  const kconfig = kconfigSection(externs);
  const allMaps = [...maps, ...data.map(({ map }) => map)];
  if (kconfig !== undefined)
    allMaps.push(dataMap('.kconfig', kconfig, btf?.find('.kconfig', 'datasec') ?? 0));
  const functions = findFunctions(
    elf,
    btf,
    places,
    new Map(data.map(({ section, map }) => [section.index, map])),
  );
  return {
    byteOrder: elf.byteOrder,
    license: licenseOf(elf),
    kernelVersion: versionOf(elf),
    programs: byName(findPrograms(functions)),
    maps: byName(allMaps),
    variables: byName(findVariables(elf, data, btf)),
    externs: byName(externs),
    functions: functions.map(({ func }) => func),
    btf:
      btf === undefined || btfBytes === undefined
        ? undefined
        : { types: btf, bytes: btfBytes, sections: describedSections(elf, btf) },
  };
}

/** Names the section in what its decoder found wrong. */
function within<T>(section: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CodecError) || error.format === 'elf') throw error;
    const problem = error.message.replace(/^[\w.]+: /, '').replace(/ \(at byte \d+\)$/, '');
    throw new CodecError('elf', error.offset, `section '${section}': ${problem}, counted from its start`, {
      cause: error,
    });
  }
}

/** A record that has no names of its own, such as `constructor`. */
function byName<T extends { readonly name: string }>(items: readonly T[]): Record<string, T> {
  const record: Record<string, T> = Object.create(null);
  // The first of a name stands, as for a linker.
  for (const item of items) record[item.name] ??= item;
  return record;
}

function sectionNamed(elf: ElfObject, name: string): InputSection | undefined {
  return elf.sections.find((section) => section.name === name && section.type !== InputType.NOBITS);
}

function licenseOf(elf: ElfObject): string {
  const bytes = sectionNamed(elf, 'license')?.bytes;
  if (bytes === undefined) return '';
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, 128)));
}

function versionOf(elf: ElfObject): number {
  const bytes = sectionNamed(elf, 'version')?.bytes;
  if (bytes === undefined || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, elf.byteOrder === 'little');
}

/** Compilers leave it to the linker to say in BTF where the variables of a section lie. */
function describedSections(elf: ElfObject, btf: Btf): NonNullable<ObjectSpec['btf']>['sections'] {
  const sections = new Map<string, { size: number; offsets: Map<string, number> }>();
  const byIndex = new Map<number, Map<string, number>>();
  for (const { index, name, size } of elf.sections) {
    if (name === '' || sections.has(name) || btf.find(name, 'datasec') === undefined) continue;
    const offsets = new Map<string, number>();
    sections.set(name, { size, offsets });
    byIndex.set(index, offsets);
  }
  for (const { name, section, value, type } of elf.symbols) {
    if (type !== InputSymbolType.SECTION) byIndex.get(section)?.set(name, value);
  }
  return sections;
}

interface DataSection {
  readonly section: InputSection;
  readonly map: ObjectMapSpec;
  readonly data: SectionData;
}

/** `.rodata`, `.data`, `.bss` and those with a dot and more behind. */
function dataSections(elf: ElfObject, btf: Btf | undefined): DataSection[] {
  return elf.sections.flatMap((section) => {
    const kind = /^\.(rodata|data|bss)(\.|$)/.exec(section.name)?.[1] as
      | 'rodata'
      | 'data'
      | 'bss'
      | undefined;
    if (kind === undefined || section.size === 0 || (section.flags & InputFlag.ALLOC) === 0) return [];
    const data = new SectionData(kind, section.size, section.bytes);
    const type = btf?.find(section.name, 'datasec') ?? 0;
    const pointers = (elf.relocations.get(section.index)?.length ?? 0) > 0;
    const unsupported = pointers ? `addresses in the data section '${section.name}'` : undefined;
    return [{ section, data, map: dataMap(section.name, data, type, unsupported) }];
  });
}

/** Variables by BTF; those that it leaves out, or all without it, by their symbols. */
function findVariables(
  elf: ElfObject,
  sections: readonly DataSection[],
  btf: Btf | undefined,
): ObjectVariable[] {
  const variables: ObjectVariable[] = [];
  /** The section of a variable, by its name. */
  const homes = new Map<string, number>();
  for (const { name, type, section } of elf.symbols) {
    if (type === InputSymbolType.OBJECT && section !== 0 && !homes.has(name)) homes.set(name, section);
  }
  for (const { section, map, data } of sections) {
    const symbols = new Map<string, InputSymbol>();
    for (const symbol of elf.symbols) {
      if (symbol.section !== section.index || symbol.type !== InputSymbolType.OBJECT) continue;
      if (symbol.value + symbol.size > section.size) {
        throw new CodecError(
          'elf',
          section.offset,
          `section '${section.name}': variable '${symbol.name}' at ${symbol.value} passes the end`,
        );
      }
      if (!symbols.has(symbol.name)) symbols.set(symbol.name, symbol);
    }
    const described = new Set<string>();
    const type = map.valueType === 0 ? undefined : btf?.type(map.valueType);
    for (const place of type?.kind === 'datasec' ? type.variables : []) {
      const variable = place.type === 0 ? undefined : btf?.type(place.type);
      if (variable?.kind !== 'var' || variable.linkage === 'extern') continue;
      const symbol = symbols.get(variable.name);
      const offset = symbol?.value ?? place.offset;
      if (offset + place.size > section.size) {
        // BTF says .rodata also of constants that clang before 16 puts into sections to be merged (.rodata.cst16).
        if (symbol === undefined && (homes.get(variable.name) ?? section.index) !== section.index) continue;
        throw new CodecError(
          'elf',
          section.offset,
          `section '${section.name}': variable '${variable.name}' at ${offset} passes the end`,
        );
      }
      described.add(variable.name);
      const { name, linkage } = variable;
      variables.push(
        new ObjectVariable(
          { name, section: section.name, offset, size: place.size, type: variable.type, linkage },
          data,
          btf,
        ),
      );
    }
    for (const { name, value, size, binding } of symbols.values()) {
      if (described.has(name) || name === '') continue;
      const linkage = binding === Binding.LOCAL ? 'static' : 'global';
      variables.push(
        new ObjectVariable({ name, section: section.name, offset: value, size, type: 0, linkage }, data, btf),
      );
    }
  }
  return variables;
}

/** Undefined symbols; BTF says by their section what they are (`__kconfig`, `__ksym`). */
function findExterns(elf: ElfObject, btf: Btf | undefined): ObjectExtern[] {
  const described = new Map<string, { kind: 'kconfig' | 'ksym' | 'kfunc'; type: number }>();
  for (const [section, kind] of [
    ['.kconfig', 'kconfig'],
    ['.ksyms', 'ksym'],
  ] as const) {
    const id = btf?.find(section, 'datasec');
    const type = id === undefined ? undefined : btf?.type(id);
    for (const place of type?.kind === 'datasec' ? type.variables : []) {
      const declared = place.type === 0 ? undefined : btf?.type(place.type);
      if (declared?.kind === 'var') described.set(declared.name, { kind, type: declared.type });
      if (declared?.kind === 'func') described.set(declared.name, { kind: 'kfunc', type: place.type });
    }
  }
  const externs: ObjectExtern[] = [];
  let offset = 0;
  for (const { name, section, binding, type } of elf.symbols) {
    if (section !== 0 || name === '' || type === InputSymbolType.SECTION) continue;
    const found = described.get(name);
    const size = found?.kind === 'kconfig' && btf !== undefined ? (btf.sizeOf(found.type) ?? 0) : 0;
    // Aligned to eight bytes, which suits every type.
    const place = Math.ceil(offset / 8) * 8;
    if (size > 0) offset = place + size;
    externs.push({
      name,
      kind: found?.kind ?? 'unknown',
      weak: binding === Binding.WEAK,
      type: found?.type ?? 0,
      offset: place,
      size,
    });
  }
  return externs;
}

function kconfigSection(externs: readonly ObjectExtern[]): SectionData | undefined {
  const size = externs.reduce(
    (end, extern) => (extern.kind === 'kconfig' ? Math.max(end, extern.offset + extern.size) : end),
    0,
  );
  return size === 0 ? undefined : new SectionData('kconfig', size, new Uint8Array(0));
}

interface FoundFunction {
  readonly func: ObjectFunction;
  readonly section: InputSection;
  readonly symbol: InputSymbol;
}

function findFunctions(
  elf: ElfObject,
  btf: Btf | undefined,
  places: MapPlaces,
  data: ReadonlyMap<number, ObjectMapSpec>,
): FoundFunction[] {
  const extBytes = btf === undefined ? undefined : sectionNamed(elf, '.BTF.ext')?.bytes;
  const ext =
    extBytes === undefined || btf === undefined
      ? undefined
      : within('.BTF.ext', () => readBtfExt(extBytes, btf));
  const functionRows = rowsBySection(ext?.functions);
  const lineRows = rowsBySection(ext?.lines);
  const relocationRows = rowsBySection(ext?.relocations);
  const symbols = symbolsBySection(elf);
  const found: FoundFunction[] = [];
  for (const section of elf.sections) {
    if (section.type !== InputType.PROGBITS || (section.flags & InputFlag.EXECINSTR) === 0) continue;
    if (section.size % SLOT !== 0) {
      throw new CodecError(
        'elf',
        section.offset + section.size - (section.size % SLOT),
        `section '${section.name}': the last instruction is truncated`,
      );
    }
    const code = elf.byteOrder === 'little' ? section.bytes : swapCode(section.bytes);
    const relocations = (elf.relocations.get(section.index) ?? []).toSorted((a, b) => a.offset - b.offset);
    const functions = functionRows.get(section.name) ?? NO_ROWS;
    const types = new Map<number, number>();
    for (let i = 0; i < functions.length; i += 2) types.set(functions[i] ?? 0, functions[i + 1] ?? 0);
    const lines = lineRows.get(section.name) ?? NO_ROWS;
    const core = relocationRows.get(section.name) ?? NO_ROWS;
    let next = 0;
    let last = -1;
    for (const symbol of symbols.get(section.index) ?? []) {
      const { value: start, size, name } = symbol;
      // Two names for one function.
      if (start === last) continue;
      if (
        start % SLOT !== 0 ||
        size % SLOT !== 0 ||
        size === 0 ||
        start + size > section.size ||
        start < next
      ) {
        throw new CodecError(
          'elf',
          section.offset + Math.min(start, section.size),
          `section '${section.name}': function '${name}' of ${size} bytes at ${start} fits neither section nor neighbours`,
        );
      }
      last = start;
      next = start + size;
      const own = between(relocations, start, next);
      const view = new DataView(code.buffer, code.byteOffset + start, size);
      const hidden = symbol.visibility === Visibility.HIDDEN || symbol.visibility === Visibility.INTERNAL;
      const func: ObjectFunction = {
        name,
        section: section.name,
        sectionIndex: section.index,
        offset: start,
        code: code.subarray(start, next),
        references: own.map((relocation) => referenceOf(elf, section, view, relocation, start, places, data)),
        linkage: symbol.binding === Binding.LOCAL || hidden ? 'static' : 'global',
        type: types.get(start) ?? 0,
        lines: rowsWithin(lines, start, next),
        relocations: rowsWithin(core, start, next),
      };
      found.push({ func, section, symbol });
    }
  }
  return found;
}

/** Relocations of a sorted list that lie in a function; by halves, for there may be many of both. */
function between(sorted: readonly InputRelocation[], start: number, end: number): InputRelocation[] {
  const firstAt = (offset: number): number => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle]?.offset ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return sorted.slice(firstAt(start), firstAt(end));
}

/** What is to be put into an instruction, by the symbol that the relocation names. */
function referenceOf(
  elf: ElfObject,
  section: InputSection,
  view: DataView,
  relocation: InputRelocation,
  start: number,
  places: MapPlaces,
  data: ReadonlyMap<number, ObjectMapSpec>,
): Reference {
  const offset = relocation.offset - start;
  const symbol = elf.symbols[relocation.symbol];
  const where = section.offset + relocation.offset;
  const wrong = (problem: string): CodecError =>
    new CodecError(
      'elf',
      where,
      `section '${section.name}': a relocation at ${relocation.offset} ${problem}`,
    );
  if (symbol === undefined) throw wrong('without a symbol');
  if (offset % SLOT !== 0) throw wrong('lies in the middle of an instruction');
  if (offset + SLOT > view.byteLength) throw wrong('passes the end of its function');
  const opcode = view.getUint8(offset);
  const imm = view.getInt32(offset + 4, true);
  if (relocation.type === R_BPF_64_32) {
    if (opcode !== CALL) throw wrong(`of a call, at an instruction 0x${opcode.toString(16)}`);
    if (symbol.section === 0) return { offset, kind: 'extern', name: symbol.name, call: true };
    // The distance counts from behind the symbol, in slots; it is -1 for a function with a symbol of its own.
    return { offset, kind: 'call', section: symbol.section, at: symbol.value + (imm + 1) * SLOT };
  }
  if (relocation.type !== R_BPF_64_64) {
    return { offset, kind: 'unsupported', problem: `relocations of type ${relocation.type} in code` };
  }
  if (opcode === CALL && symbol.section === 0)
    return { offset, kind: 'extern', name: symbol.name, call: true };
  if (opcode !== LDDW) throw wrong(`of an address, at an instruction 0x${opcode.toString(16)}`);
  if (offset + 2 * SLOT > view.byteLength) throw wrong('passes the end of its function');
  if (symbol.section === 0) return { offset, kind: 'extern', name: symbol.name, call: false };
  if (symbol.section >= FIRST_RESERVED) {
    return { offset, kind: 'unsupported', problem: `the symbol '${symbol.name}', which lies in no section` };
  }
  const at = symbol.value + imm;
  const maps = places.get(symbol.section);
  if (maps !== undefined) {
    const map = maps.get(at);
    if (map === undefined) throw wrong(`refers to byte ${at} of the maps, where none begins`);
    return { offset, kind: 'map', map };
  }
  const dataSection = data.get(symbol.section);
  if (dataSection !== undefined) {
    if (at < 0 || at > dataSection.valueSize) throw wrong(`refers to byte ${at} of '${dataSection.name}'`);
    return { offset, kind: 'value', map: dataSection.name, at };
  }
  const target = elf.sections[symbol.section];
  if (target !== undefined && (target.flags & InputFlag.EXECINSTR) !== 0) {
    return { offset, kind: 'function', section: symbol.section, at };
  }
  const named = symbol.name === target?.name ? '' : ` of '${symbol.name}'`;
  return { offset, kind: 'unsupported', problem: `the address${named} in section '${target?.name ?? '?'}'` };
}

/**
 * Programs are the functions outside of `.text` that others may see, but for those that others call and whose section
 * says nothing: libraries lie in sections of their own.
 */
function findPrograms(functions: readonly FoundFunction[]): ObjectProgram[] {
  const called = new Set(
    functions.flatMap(({ func }) =>
      func.references.flatMap((reference) =>
        reference.kind === 'call' || reference.kind === 'function'
          ? `${reference.section}:${reference.at}`
          : [],
      ),
    ),
  );
  return functions.flatMap(({ func, section, symbol }) => {
    if (section.name === '.text' || symbol.binding === Binding.LOCAL) return [];
    if (programKind(section.name) === undefined && called.has(`${section.index}:${func.offset}`)) return [];
    return [
      {
        name: func.name,
        section: section.name,
        kind: programKind(section.name),
        loadedByDefault: isLoadedByDefault(section.name),
        entry: func,
      },
    ];
  });
}

/**
 * Functions by their section, rising by place, those with the better name first.
 *
 * clang before 8 did not mark functions as such: there every symbol that is no label is one, up to the next.
 */
function symbolsBySection(elf: ElfObject): Map<number, InputSymbol[]> {
  const marked = new Map<number, InputSymbol[]>();
  const unmarked = new Map<number, InputSymbol[]>();
  for (const symbol of elf.symbols) {
    if (symbol.section === 0 || symbol.section >= FIRST_RESERVED) continue;
    const label = /^(LBB|\.L|$)/.test(symbol.name);
    const into =
      symbol.type === InputSymbolType.FUNC
        ? marked
        : symbol.type === InputSymbolType.NOTYPE && !label
          ? unmarked
          : undefined;
    if (into === undefined) continue;
    const symbols = into.get(symbol.section) ?? [];
    into.set(symbol.section, symbols);
    symbols.push(symbol);
  }
  const sort = (symbols: InputSymbol[]): InputSymbol[] =>
    symbols.sort((a, b) => a.value - b.value || b.binding - a.binding);
  for (const symbols of marked.values()) sort(symbols);
  for (const [section, symbols] of unmarked) {
    if (marked.has(section)) continue;
    const size = elf.sections[section]?.size ?? 0;
    const sorted = sort(symbols).filter((symbol, i) => symbol.value !== symbols[i - 1]?.value);
    marked.set(
      section,
      sorted.map((symbol, i) => ({ ...symbol, size: (sorted[i + 1]?.value ?? size) - symbol.value })),
    );
  }
  return marked;
}

function rowsBySection(sections: readonly BtfExtSectionRows[] | undefined): Map<string, Uint32Array> {
  const map = new Map<string, Uint32Array>();
  for (const { section, words } of sections ?? []) if (!map.has(section)) map.set(section, words);
  return map;
}

/** Rows of four words whose first lies in a function, counted from its start. They rise, as compilers write them. */
function rowsWithin(rows: Uint32Array, start: number, end: number): Uint32Array {
  let first = 0;
  let high = rows.length / 4;
  while (first < high) {
    const middle = (first + high) >>> 1;
    if ((rows[middle * 4] ?? 0) < start) first = middle + 1;
    else high = middle;
  }
  let last = first;
  while (last * 4 < rows.length && (rows[last * 4] ?? 0) >= start && (rows[last * 4] ?? 0) < end) last++;
  if (last === first) return NO_ROWS;
  const own = rows.slice(first * 4, last * 4);
  for (let i = 0; i < own.length; i += 4) own[i] = (own[i] ?? 0) - start;
  return own;
}

/** Code of a big-endian object: registers change places in their byte, numbers their order. */
function swapCode(code: Uint8Array): Uint8Array {
  const swapped = new Uint8Array(code.length);
  const from = new DataView(code.buffer, code.byteOffset, code.length);
  const to = new DataView(swapped.buffer);
  for (let at = 0; at < code.length; at += SLOT) {
    const registers = from.getUint8(at + 1);
    to.setUint8(at, from.getUint8(at));
    to.setUint8(at + 1, ((registers & 15) << 4) | (registers >> 4));
    to.setInt16(at + 2, from.getInt16(at + 2, false), true);
    to.setInt32(at + 4, from.getInt32(at + 4, false), true);
  }
  return swapped;
}
