import { type Btf, type BtfMember, type BtfType, valueCodec } from '../btf/index.ts';
import { CodecError } from '../error.ts';
import { type ElfObject, type InputSection, InputSymbolType } from './elf-reader.ts';
import type { ObjectMapSpec, SectionData } from './spec.ts';

/** Where maps lie: by index of their section, then by offset in it. */
export type MapPlaces = ReadonlyMap<number, ReadonlyMap<number, string>>;

export interface FoundMaps {
  readonly maps: ObjectMapSpec[];
  readonly places: MapPlaces;
}

/** Arrays of programs, events, cgroups and maps: indices and descriptors are four bytes, whether or not it is said. */
const REFERENCE_ARRAYS: ReadonlySet<number> = new Set([3, 4, 8, 12]);
/** `BPF_MAP_TYPE_ARRAY_OF_MAPS`, `BPF_MAP_TYPE_HASH_OF_MAPS`. */
const HOLDS_MAPS: ReadonlySet<number> = new Set([12, 13]);

/**
 * The maps that an object defines: in `.maps` by BTF, in `maps` by the structs that came before.
 *
 * What cannot be loaded is noted in the map, for it matters only when somebody loads it.
 */
export function findMaps(elf: ElfObject, btf: Btf | undefined): FoundMaps {
  const maps: ObjectMapSpec[] = [];
  const places = new Map<number, Map<number, string>>();
  for (const section of elf.sections) {
    const legacy = section.name === 'maps' || section.name.startsWith('maps/');
    if (!legacy && section.name !== '.maps') continue;
    const found = legacy ? legacyMaps(elf, section, btf) : btfMaps(elf, section, btf);
    const at = new Map<number, string>();
    for (const { offset, map } of found) {
      at.set(offset, map.name);
      maps.push(map);
    }
    places.set(section.index, at);
  }
  return { maps, places };
}

interface FoundMap {
  readonly offset: number;
  readonly map: ObjectMapSpec;
}

/** A map without anything said about it. */
export function bareMap(name: string, type: number, more: Partial<ObjectMapSpec> = {}): ObjectMapSpec {
  return {
    name,
    type,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    extra: 0n,
    numaNode: undefined,
    keyType: 0,
    valueType: 0,
    pinned: false,
    inner: undefined,
    initial: [],
    data: undefined,
    unsupported: undefined,
    ...more,
  };
}

/** The map behind a data section: an array of one value, which programs address byte by byte. */
export function dataMap(
  name: string,
  data: SectionData,
  valueType: number,
  unsupported?: string,
): ObjectMapSpec {
  const readOnly = data.kind === 'rodata' || data.kind === 'kconfig';
  return bareMap(name, 2, {
    keySize: 4,
    valueSize: data.size,
    maxEntries: 1,
    // BPF_F_MMAPABLE, so that one variable can be changed without its neighbours; BPF_F_RDONLY_PROG.
    flags: readOnly ? 0x480 : 0x400,
    valueType,
    data,
    unsupported: data.size > 0x7fff_ffff ? `a data section of ${data.size} bytes` : unsupported,
  });
}

/** `struct { __uint(type, …); __type(key, …); … } name SEC(".maps")`: the type of the variable says it all. */
function btfMaps(elf: ElfObject, section: InputSection, btf: Btf | undefined): FoundMap[] {
  const datasec = btf?.find('.maps', 'datasec');
  const type = datasec === undefined ? undefined : btf?.type(datasec);
  if (btf === undefined || type?.kind !== 'datasec') {
    if (section.size === 0) return [];
    throw new CodecError('elf', section.offset, "section '.maps' is not described in .BTF");
  }
  const symbols = symbolsIn(elf, section);
  const byName = new Map(symbols.map((symbol) => [symbol.name, symbol]));
  const found: FoundMap[] = [];
  for (const variable of type.variables) {
    const described = typeAt(btf, variable.type);
    if (described?.kind !== 'var') continue;
    const offset = byName.get(described.name)?.value ?? variable.offset;
    const map = new Definition(btf, described.name).read(described.type, 0);
    found.push({ offset, map });
  }
  return fillIn(elf, section, found, btf);
}

/** The type with an ID, unless that is 0 for `void`. */
function typeAt(btf: Btf, id: number): BtfType | undefined {
  return id === 0 ? undefined : btf.type(id);
}

/** Entries that the object fills stand as relocations in the map's own bytes, in its `values`. */
function fillIn(elf: ElfObject, section: InputSection, found: FoundMap[], btf: Btf): FoundMap[] {
  const relocations = elf.relocations.get(section.index) ?? [];
  if (relocations.length === 0) return found;
  const sorted = found.toSorted((a, b) => a.offset - b.offset);
  const initial = new Map<FoundMap, { index: number; name: string }[]>();
  for (const { offset, symbol } of relocations) {
    const owner = sorted.findLast((map) => map.offset <= offset);
    const target = elf.symbols[symbol];
    if (owner === undefined || target === undefined) continue;
    const values = valuesOffset(btf, owner.map.name);
    const index = (offset - owner.offset - values) / 8;
    if (!Number.isInteger(index) || index < 0) {
      throw new CodecError(
        'elf',
        section.offset + offset,
        `section '${section.name}': a value of map '${owner.map.name}' lies beside its places`,
      );
    }
    const entries = initial.get(owner) ?? [];
    initial.set(owner, entries);
    // A static program or map has no symbol of its own: it is named by its place.
    const name =
      target.type === InputSymbolType.SECTION
        ? (found.find((map) => map.offset === target.value)?.map.name ?? target.name)
        : target.name;
    entries.push({ index, name });
  }
  return found.map((map) => ({ ...map, map: { ...map.map, initial: initial.get(map) ?? [] } }));
}

/** Where the member `values` of a map's definition begins, in bytes. */
function valuesOffset(btf: Btf, name: string): number {
  const id = btf.find(name, 'var');
  const variable = id === undefined ? undefined : btf.type(id);
  if (variable?.kind !== 'var') return 0;
  const definition = typeAt(btf, btf.resolve(variable.type));
  const members = definition?.kind === 'struct' ? definition.members : [];
  return (members.find((member) => member.name === 'values')?.bitOffset ?? 0) / 8;
}

function impliedSizes(type: number): { key: number; value: number } {
  const array = REFERENCE_ARRAYS.has(type);
  return { key: array ? 4 : 0, value: array || HOLDS_MAPS.has(type) ? 4 : 0 };
}

/** One definition, member by member. */
class Definition {
  readonly #btf: Btf;
  readonly #name: string;
  #unsupported: string | undefined;

  constructor(btf: Btf, name: string) {
    this.#btf = btf;
    this.#name = name;
  }

  read(id: number, depth: number): ObjectMapSpec {
    const resolved = this.#btf.resolve(id);
    const type = resolved === 0 ? undefined : this.#btf.type(resolved);
    if (type?.kind !== 'struct') {
      return bareMap(this.#name, 0, { unsupported: `a definition that is a ${type?.kind ?? 'void'}` });
    }
    const numbers = new Map<string, bigint>();
    const sizes = { key: 0, value: 0 };
    const types = { key: 0, value: 0 };
    let inner: ObjectMapSpec | undefined;
    for (const member of type.members) {
      switch (member.name) {
        case 'type':
        case 'max_entries':
        case 'map_flags':
        case 'numa_node':
        case 'map_extra':
        case 'pinning':
        case 'key_size':
        case 'value_size':
          numbers.set(member.name, this.#number(member));
          break;
        case 'key':
        case 'value': {
          const pointee = this.#pointee(member);
          if (pointee === undefined) break;
          types[member.name] = pointee;
          sizes[member.name] = this.#btf.sizeOf(pointee) ?? 0;
          break;
        }
        case 'values':
          inner = this.#values(member, depth);
          break;
        default:
          this.#unsupported ??= `the member '${member.name}' of its definition`;
      }
    }
    const number = (name: string): number => Number(numbers.get(name) ?? 0n);
    const mapType = number('type');
    const pinning = number('pinning');
    if (pinning > 1) this.#unsupported ??= `pinning ${pinning}`;
    for (const side of ['key', 'value'] as const) {
      const stated = number(`${side}_size`);
      if (stated !== 0 && sizes[side] !== 0 && stated !== sizes[side]) {
        this.#unsupported ??= `a ${side}_size of ${stated} for a ${side} of ${sizes[side]} bytes`;
      }
      sizes[side] ||= stated;
    }
    const holdsMaps = HOLDS_MAPS.has(mapType);
    const implied = impliedSizes(mapType);
    return bareMap(this.#name, mapType, {
      keySize: sizes.key || implied.key,
      valueSize: sizes.value || implied.value,
      maxEntries: number('max_entries'),
      flags: number('map_flags'),
      extra: numbers.get('map_extra') ?? 0n,
      numaNode: numbers.has('numa_node') ? number('numa_node') : undefined,
      keyType: types.key,
      valueType: holdsMaps ? 0 : types.value,
      pinned: pinning === 1,
      inner: holdsMaps ? inner : undefined,
      unsupported: this.#unsupported,
    });
  }

  /** `__uint(name, n)` is a pointer to an array of n; `__ulong(name, n)` an enumeration of one value n. */
  #number(member: BtfMember): bigint {
    const type = this.#type(member.type);
    if (type?.kind === 'ptr') {
      const array = this.#type(type.type);
      if (array?.kind === 'array') return BigInt(array.length);
    }
    if (type?.kind === 'enum' || type?.kind === 'enum64') return BigInt(type.values[0]?.value ?? 0);
    this.#unsupported ??= `the form of '${member.name}' in its definition`;
    return 0n;
  }

  #pointee(member: BtfMember): number | undefined {
    const type = this.#type(member.type);
    if (type?.kind === 'ptr') return type.type;
    this.#unsupported ??= `the form of '${member.name}' in its definition`;
    return undefined;
  }

  /** `__array(values, struct inner)`: an array of pointers to a definition, or to functions. */
  #values(member: BtfMember, depth: number): ObjectMapSpec | undefined {
    const array = this.#type(member.type);
    const pointer = array?.kind === 'array' ? this.#type(array.type) : undefined;
    const pointee = pointer?.kind === 'ptr' ? this.#type(pointer.type) : undefined;
    if (pointee?.kind === 'func_proto') return undefined;
    if (pointer?.kind !== 'ptr' || pointee?.kind !== 'struct' || depth > 0) {
      this.#unsupported ??=
        depth > 0 ? 'maps inside of inner maps' : "the form of 'values' in its definition";
      return undefined;
    }
    return new Definition(this.#btf, `${this.#name}.inner`).read(pointer.type, depth + 1);
  }

  #type(id: number): BtfType | undefined {
    const resolved = this.#btf.resolve(id);
    return resolved === 0 ? undefined : this.#btf.type(resolved);
  }
}

/** `struct bpf_map_def`: type, key size, value size, entries, flags. iproute2 added id, pinning, inner id, inner index. */
const LEGACY_SIZE = 20;
/** What follows is read as zeros only. */
const LEGACY_LARGEST = 256;

function legacyMaps(elf: ElfObject, section: InputSection, btf: Btf | undefined): FoundMap[] {
  const symbols = symbolsIn(elf, section);
  if (symbols.length === 0) return [];
  const view = new DataView(section.bytes.buffer, section.bytes.byteOffset, section.bytes.length);
  const little = elf.byteOrder === 'little';
  // Every definition takes the same room.
  const stride = Math.floor(section.bytes.length / symbols.length);
  if (stride < LEGACY_SIZE - 4 || stride > LEGACY_LARGEST) {
    throw new CodecError(
      'elf',
      section.offset,
      `section '${section.name}': ${symbols.length} maps in ${section.bytes.length} bytes`,
    );
  }
  return symbols.map(({ name, value: offset }) => {
    if (offset + stride > section.bytes.length) {
      throw new CodecError('elf', section.offset, `section '${section.name}': map '${name}' passes the end`);
    }
    const word = (at: number): number => (at + 4 <= stride ? view.getUint32(offset + at, little) : 0);
    let rest = false;
    for (let at = LEGACY_SIZE; at < stride; at += 4) rest ||= word(at) !== 0;
    const types = annotated(btf, name);
    const map = bareMap(name, word(0), {
      keySize: word(4) || impliedSizes(word(0)).key,
      valueSize: word(8) || impliedSizes(word(0)).value,
      maxEntries: word(12),
      flags: word(16),
      ...(types?.keySize === word(4) ? { keyType: types.keyType } : {}),
      ...(types?.valueSize === word(8) ? { valueType: types.valueType } : {}),
      unsupported: rest
        ? "further fields of a definition in 'maps' (iproute2's id, pinning or inner map)"
        : undefined,
    });
    return { offset, map };
  });
}

/** `BPF_ANNOTATE_KV_PAIR(name, key, value)` leaves a struct of both types behind. */
function annotated(
  btf: Btf | undefined,
  name: string,
): { keyType: number; keySize: number; valueType: number; valueSize: number } | undefined {
  const id = btf?.find(`____btf_map_${name}`, 'struct');
  const type = id === undefined ? undefined : btf?.type(id);
  if (btf === undefined || type?.kind !== 'struct') return undefined;
  const [key, value] = type.members;
  if (key?.name !== 'key' || value?.name !== 'value') return undefined;
  return {
    keyType: key.type,
    keySize: valueCodec(btf, key.type).size,
    valueType: value.type,
    valueSize: valueCodec(btf, value.type).size,
  };
}

function symbolsIn(elf: ElfObject, section: InputSection): { name: string; value: number }[] {
  return elf.symbols
    .filter(
      ({ section: index, type }) =>
        index === section.index && (type === InputSymbolType.OBJECT || type === InputSymbolType.NOTYPE),
    )
    .toSorted((a, b) => a.value - b.value);
}
