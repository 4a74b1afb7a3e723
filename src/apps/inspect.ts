import { decode, disassemble, type Instruction, type SourceLine, slotsOf } from '../asm/index.ts';
import { loadObject } from '../bpf/object.ts';
import { MAP_TYPE_NAMES } from '../bpf/uapi.ts';
import { type Btf, type BtfValue, formatDeclaration, formatDefinition } from '../btf/index.ts';
import { BarewireError } from '../error.ts';
import {
  type LinkedProgram,
  linkProgram,
  type ObjectProgram,
  type ObjectSpec,
  readObject,
} from '../object/index.ts';

/** What an object file holds, as a person or a script wants to know it. */
export interface Inspection {
  readonly license: string;
  readonly byteOrder: 'little' | 'big';
  readonly programs: readonly InspectedProgram[];
  readonly maps: readonly InspectedMap[];
  readonly variables: readonly InspectedVariable[];
  readonly externs: readonly { readonly name: string; readonly kind: string; readonly weak: boolean }[];
}

export interface InspectedProgram {
  readonly name: string;
  readonly section: string;
  /** As bpftool names it; undefined where the section says nothing. */
  readonly type: string | undefined;
  /** With the functions that it calls, in slots; undefined when it cannot be linked. */
  readonly instructions: number | undefined;
  readonly functions: readonly string[];
  /** Places that depend on the running kernel's types. */
  readonly relocations: number;
  /** Why it cannot be loaded, as far as that is known without a kernel. */
  readonly problem: string | undefined;
}

export interface InspectedMap {
  readonly name: string;
  readonly type: string;
  /** As C has it, or its size in bytes. */
  readonly key: string;
  readonly value: string;
  readonly maxEntries: number;
  readonly flags: number;
  readonly pinned: boolean;
  readonly problem: string | undefined;
}

export interface InspectedVariable {
  readonly name: string;
  readonly section: string;
  /** As C declares it; undefined without BTF. */
  readonly declaration: string | undefined;
  readonly value: BtfValue | undefined;
}

/** Describes an object file; nothing touches the kernel. @throws CodecError when the bytes are no object. */
export function inspect(bytes: Uint8Array): Inspection {
  const spec = readObject(bytes);
  return {
    license: spec.license,
    byteOrder: spec.byteOrder,
    programs: Object.values(spec.programs).map((program) => describeProgram(spec, program)),
    maps: Object.values(spec.maps).map((map) => ({
      name: map.name,
      type: MAP_TYPE_NAMES[map.type] ?? `type ${map.type}`,
      key: describeType(spec, map.keyType, map.keySize),
      value: describeType(spec, map.data === undefined ? map.valueType : 0, map.valueSize),
      maxEntries: map.maxEntries,
      flags: map.flags,
      pinned: map.pinned,
      problem: map.unsupported,
    })),
    variables: Object.values(spec.variables).map((variable) => ({
      name: variable.name,
      section: variable.section,
      declaration:
        spec.btf === undefined || variable.type === 0
          ? undefined
          : formatDeclaration(spec.btf.types, variable.type, variable.name),
      value: valueIf(() => variable.value),
    })),
    externs: Object.values(spec.externs).map(({ name, kind, weak }) => ({ name, kind, weak })),
  };
}

/** What the running kernel makes of a program. */
export interface VerifiedProgram {
  readonly name: string;
  /** Instructions that the verifier walked; 0 before Linux 5.16. */
  readonly verifiedInstructions: number;
  /** Bytes of machine code; 0 without JIT. */
  readonly machineCode: number;
  /** SHA of the instructions, as `bpftool` prints it. */
  readonly tag: string;
}

/**
 * Loads an object file's programs into this kernel, attaches them to nothing and lets them go.
 *
 * @throws VerifierError when the verifier refuses one; whatever else `loadObjectSpec` throws.
 */
export function verify(bytes: Uint8Array, program?: string): VerifiedProgram[] {
  const object = loadObject(bytes);
  // Maps that it keeps by name are for who uses it.
  for (const map of Object.values(object.maps)) map.pinned = false;
  using loaded = object.load(program === undefined ? {} : { programs: [program] });
  return Object.entries(loaded.programs).map(([name, live]) => {
    const { verifiedInstructions, jitedSize, tag } = live.info();
    return { name, verifiedInstructions, machineCode: jitedSize, tag };
  });
}

/** A program as text, under its lines of source, with names where the file has only places. */
export function disassembleProgram(bytes: Uint8Array, name?: string): string {
  const spec = readObject(bytes);
  const programs = Object.values(spec.programs).filter(
    (program) => name === undefined || program.name === name,
  );
  return programs
    .map((program) => {
      const linked = linkProgram(spec, program);
      const functions = linked.functions.map((func) => ({ ...func, parameters: 0 }));
      return disassemble(annotate(spec, linked), { functions, source: true });
    })
    .join('\n\n');
}

/** Every named type of the object as C defines it. */
export function typeDefinitions(bytes: Uint8Array): string {
  const types = readObject(bytes).btf?.types;
  if (types === undefined) return '';
  const shown: string[] = [];
  for (let id = types.firstId; id < types.nextId; id++) {
    const kind = types.kind(id);
    const defines =
      kind === 'struct' || kind === 'union' || kind === 'enum' || kind === 'enum64' || kind === 'typedef';
    if (defines && types.name(id) !== '') shown.push(formatDefinition(types, id));
  }
  return shown.join('\n\n');
}

function describeProgram(spec: ObjectSpec, program: ObjectProgram): InspectedProgram {
  const { name, section, kind } = program;
  const type = kind === undefined ? undefined : (kind.xdp ?? kind.type);
  try {
    const linked = linkProgram(spec, program);
    return {
      name,
      section,
      type,
      instructions: linked.code.length / 8,
      functions: linked.functions.slice(1).map((func) => func.name),
      relocations: linked.relocations.length / 4,
      problem: type === undefined ? `the section's name '${section}' names no program type` : undefined,
    };
  } catch (error) {
    if (!(error instanceof BarewireError)) throw error;
    return {
      name,
      section,
      type,
      instructions: undefined,
      functions: [],
      relocations: 0,
      problem: error.message,
    };
  }
}

function annotate(spec: ObjectSpec, linked: LinkedProgram): Instruction[] {
  const maps = new Map<number, { map: string; src: number; immHigh: number }>();
  for (const reference of linked.references) {
    const slot = reference.offset / 8;
    if (reference.kind === 'map') maps.set(slot, { map: reference.map, src: 1, immHigh: 0 });
    if (reference.kind === 'value') maps.set(slot, { map: reference.map, src: 2, immHigh: reference.at });
  }
  const lines = linesOf(spec.btf?.types, linked);
  let slot = 0;
  return decode(linked.code).map((instruction) => {
    const map = maps.get(slot);
    const source = lines.get(slot);
    slot += slotsOf(instruction);
    return { ...instruction, ...(map ?? {}), ...(source === undefined ? {} : { source }) };
  });
}

function linesOf(types: Btf | undefined, { lineInfo }: LinkedProgram): Map<number, SourceLine> {
  const lines = new Map<number, SourceLine>();
  if (types === undefined || lineInfo === undefined) return lines;
  for (let i = 0; i + 4 <= lineInfo.length; i += 4) {
    const [slot = 0, file = 0, text = 0, place = 0] = lineInfo.subarray(i, i + 4);
    const name = types.text(file, 4096).split('/').at(-1) ?? '';
    lines.set(slot, {
      file: name,
      line: place >>> 10,
      column: place & 1023,
      text: types.text(text, 4096).trim(),
    });
  }
  return lines;
}

function describeType(spec: ObjectSpec, type: number, size: number): string {
  if (type === 0 || spec.btf === undefined) return size === 0 ? '-' : `${size} bytes`;
  return formatDeclaration(spec.btf.types, type);
}

function valueIf(read: () => BtfValue): BtfValue | undefined {
  try {
    return read();
  } catch {
    // A type without values, or one that is larger than its variable.
    return undefined;
  }
}
