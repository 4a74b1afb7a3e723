import { decode, encode, type Instruction, type SourceLine, slotsOf } from '../asm/index.ts';
import { BarewireError, CodecError } from '../error.ts';
import {
  array,
  be16,
  be32,
  be64,
  bytes,
  i8,
  i16,
  i32,
  i64,
  type Layout,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../layout/index.ts';
import { type MapFlags, type MapSpec, type MapType, makeMap } from './map.ts';
import { MAP_TYPES } from './map-number.ts';
import type { AttachType, FunctionSpec, MapSpecs, ProgramNeed, ProgramSpec } from './program.ts';

/**
 * Compiled programs as text: made ahead of time, loaded where no compiler is wanted.
 *
 * One JSON object. Instructions are their encoding in base64; what it adds is what the encoding cannot say: which map
 * an instruction names, and which line it comes from.
 */
interface Artifact {
  readonly barewire: 1 | 2;
  readonly name: string;
  readonly attachType: AttachType;
  readonly frags: boolean;
  readonly license: string;
  readonly code: string;
  /** From version 2 on. */
  readonly needs?: readonly ProgramNeed[];
  /** The program for kernels that lack what it needs, from version 2 on. */
  readonly fallback?: CodeArtifact;
  readonly functions: readonly FunctionSpec[];
  readonly maps: Readonly<Record<string, MapArtifact>>;
  /** Index of an instruction, and the map it names. */
  readonly references: readonly (readonly [number, string])[];
  /** Index of the first instruction of a line, and the line; all up to the next belong to it. */
  readonly lines: readonly (readonly [number, SourceLine | null])[];
}

/** Instructions and what their encoding cannot say. */
type CodeArtifact = Pick<Artifact, 'code' | 'references' | 'lines'>;

interface MapArtifact {
  readonly type: MapType;
  readonly name: string;
  readonly key: LayoutArtifact;
  readonly value: LayoutArtifact;
  readonly maxEntries: number;
  readonly flags: MapFlags;
  readonly inner?: MapArtifact;
}

type LayoutArtifact =
  | string
  | { readonly bytes: number }
  | { readonly array: LayoutArtifact; readonly length: number }
  | { readonly struct: string; readonly fields: readonly (readonly [string, LayoutArtifact])[] };

const ATTACH_TYPES = ['xdp', 'xdp/devmap', 'xdp/cpumap', 'tcx/ingress', 'tcx/egress'] as const;

/** Version 2 adds what a program needs of the kernel, which a reader of version 1 would not ask for. */
const VERSION = { plain: 1, needing: 2 } as const;

const NEEDS: readonly ProgramNeed[] = ['may-goto'];

/** A program as text, to be kept in a file. {@link parseProgram} reads it back. */
export function serializeProgram(spec: ProgramSpec): string {
  const { needs = [], fallback } = spec;
  const artifact: Artifact = {
    barewire: needs.length > 0 ? VERSION.needing : VERSION.plain,
    name: spec.name,
    attachType: spec.attachType,
    frags: spec.frags,
    license: spec.license,
    ...codeToArtifact(spec.instructions),
    ...(needs.length > 0 ? { needs } : {}),
    ...(fallback === undefined ? {} : { fallback: codeToArtifact(fallback) }),
    functions: spec.functions,
    maps: Object.fromEntries(Object.entries(spec.maps).map(([name, map]) => [name, mapToArtifact(map)])),
  };
  return `${JSON.stringify(artifact)}\n`;
}

function codeToArtifact(instructions: readonly Instruction[]): CodeArtifact {
  const references: [number, string][] = [];
  const lines: [number, SourceLine | null][] = [];
  let last: SourceLine | undefined;
  for (const [i, instruction] of instructions.entries()) {
    if (instruction.map !== undefined) references.push([i, instruction.map]);
    if (i === 0 || instruction.source !== last) lines.push([i, instruction.source ?? null]);
    last = instruction.source;
  }
  const code = toBase64(encode(instructions.map(({ map: _, ...plain }) => plain)));
  return { code, references, lines };
}

/**
 * Reads what {@link serializeProgram} wrote.
 *
 * @typeParam M The program's maps, where the caller knows them: it is taken at its word.
 * @throws CodecError for anything else; the verifier has the last word on the program itself.
 */
export function parseProgram<M extends MapSpecs = MapSpecs>(text: string): ProgramSpec<M> {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw broken('it is no JSON');
  }
  const artifact = record(given, 'the program');
  const { plain, needing } = VERSION;
  if (artifact.barewire !== plain && artifact.barewire !== needing) {
    throw broken(
      `it is of version ${String(artifact.barewire)}, this is for versions ${plain} and ${needing}`,
    );
  }
  const maps: Record<string, MapSpec> = {};
  for (const [name, map] of Object.entries(record(artifact.maps, 'maps')))
    maps[name] = mapFrom(map, `maps.${name}`);
  const needs = artifact.needs === undefined ? [] : list(artifact.needs, 'needs');
  const attachType = oneOf(artifact.attachType, ATTACH_TYPES, 'attachType');
  return {
    name: identifier(artifact.name, 'name'),
    type: attachType === 'tcx/ingress' || attachType === 'tcx/egress' ? 'sched_cls' : 'xdp',
    attachType,
    frags: artifact.frags === true,
    license: string(artifact.license, 'license'),
    instructions: codeFrom(artifact, maps),
    ...(needs.length > 0 ? { needs: needs.map((need) => oneOf(need, NEEDS, 'needs')) } : {}),
    ...(artifact.fallback === undefined
      ? {}
      : { fallback: codeFrom(record(artifact.fallback, 'fallback'), maps) }),
    maps: maps as MapSpecs as M,
    functions: list(artifact.functions, 'functions').map((entry) => {
      const func = record(entry, 'functions');
      return {
        name: identifier(func.name, 'functions.name'),
        slot: natural(func.slot, 'functions.slot'),
        parameters: natural(func.parameters, 'functions.parameters'),
      };
    }),
  };
}

function codeFrom(artifact: Readonly<Record<string, unknown>>, maps: MapSpecs): Instruction[] {
  const plain = decode(fromBase64(string(artifact.code, 'code')));
  const references = new Map(
    list(artifact.references, 'references').map((pair) => {
      const [index, map] = list(pair, 'references');
      return [index, string(map, 'references')] as const;
    }),
  );
  for (const [index, map] of references) {
    if (!Object.hasOwn(maps, map))
      throw broken(`instruction ${String(index)} names the map '${map}', which is missing`);
  }
  const lines = new Map(
    list(artifact.lines, 'lines').map((pair) => {
      const [index, line] = list(pair, 'lines');
      return [index, line === null ? undefined : sourceFrom(line)] as const;
    }),
  );
  let source: SourceLine | undefined;
  return plain.map((instruction, i) => {
    if (lines.has(i)) source = lines.get(i);
    const map = references.get(i);
    if (map !== undefined && slotsOf(instruction) !== 2) throw broken(`instruction ${i} cannot name a map`);
    return {
      ...instruction,
      ...(map === undefined ? {} : { map }),
      ...(source === undefined ? {} : { source }),
    };
  });
}

function mapToArtifact(map: MapSpec): MapArtifact {
  const { type, name, maxEntries, flags, inner } = map;
  return {
    type,
    name,
    key: layoutToArtifact(map.key),
    value: layoutToArtifact(map.value),
    maxEntries,
    flags,
    ...(inner === undefined ? {} : { inner: mapToArtifact(inner) }),
  };
}

const MAP_FLAGS: readonly (keyof MapFlags)[] = [
  'noPrealloc',
  'perCpuLru',
  'readOnlyForPrograms',
  'writeOnlyForPrograms',
  'mmapable',
  'innerMap',
];

function mapFrom(given: unknown, where: string, depth = 0): MapSpec {
  const map = record(given, where);
  const set = record(map.flags, `${where}.flags`);
  const flags = Object.fromEntries(
    MAP_FLAGS.filter((flag) => set[flag] === true).map((flag) => [flag, true]),
  );
  const type = oneOf(map.type, MAP_TYPES, `${where}.type`);
  try {
    const spec = makeMap(
      type,
      string(map.name, `${where}.name`),
      layoutFrom(map.key, `${where}.key`),
      layoutFrom(map.value, `${where}.value`),
      natural(map.maxEntries, `${where}.maxEntries`),
      flags,
    );
    if (map.inner === undefined) return spec;
    if (depth > 0) throw broken(`${where}: the kernel takes maps of maps one level deep`);
    return { ...spec, inner: mapFrom(map.inner, `${where}.inner`, depth + 1) };
  } catch (error) {
    throw asCodecError(error);
  }
}

const INTS: Readonly<Record<string, Layout>> = { u8, u16, u32, u64, i8, i16, i32, i64, be16, be32, be64 };

function layoutToArtifact(layout: Layout): LayoutArtifact {
  switch (layout.kind) {
    case 'int':
      return layout.name;
    case 'bytes':
      return { bytes: layout.size };
    case 'array':
      return { array: layoutToArtifact(layout.element), length: layout.length };
    case 'struct':
      return {
        struct: layout.name,
        fields: layout.fields.map((field) => [field.name, layoutToArtifact(field.layout)]),
      };
  }
}

/** Deep enough for any key or value, shallow enough for the stack. */
const MAX_DEPTH = 32;
/** The kernel takes no larger keys or values. */
const MAX_SIZE = 2 ** 30;

function layoutFrom(given: unknown, where: string, depth = 0): Layout {
  if (depth > MAX_DEPTH) throw broken(`${where} is nested more than ${MAX_DEPTH} deep`);
  if (typeof given === 'string') {
    const int = Object.hasOwn(INTS, given) ? INTS[given] : undefined;
    if (int === undefined) throw broken(`${where}: there is no integer '${given}'`);
    return int;
  }
  const layout = record(given, where);
  try {
    const made = layoutFromRecord(layout, where, depth);
    if (made.size > MAX_SIZE) throw broken(`${where} takes ${made.size} bytes`);
    return made;
  } catch (error) {
    throw asCodecError(error);
  }
}

function layoutFromRecord(layout: Readonly<Record<string, unknown>>, where: string, depth: number): Layout {
  if (layout.bytes !== undefined) return bytes(natural(layout.bytes, where));
  if (layout.array !== undefined) {
    return array(layoutFrom(layout.array, where, depth + 1), natural(layout.length, where));
  }
  const fields = list(layout.fields, where).map((pair) => {
    const [name, field] = list(pair, where);
    return [identifier(name, where), layoutFrom(field, `${where}.${String(name)}`, depth + 1)] as const;
  });
  if (new Set(fields.map(([name]) => name)).size !== fields.length)
    throw broken(`${where} has a field twice`);
  return struct(identifier(layout.struct, where), Object.fromEntries(fields));
}

function sourceFrom(given: unknown): SourceLine {
  const line = record(given, 'lines');
  return {
    file: string(line.file, 'lines.file'),
    line: natural(line.line, 'lines.line'),
    column: natural(line.column, 'lines.column'),
    text: string(line.text, 'lines.text'),
  };
}

function record(given: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw broken(`${where} is no object`);
  return given as Record<string, unknown>;
}

function list(given: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(given)) throw broken(`${where} is no list`);
  return given;
}

function string(given: unknown, where: string): string {
  if (typeof given !== 'string') throw broken(`${where} is no text`);
  return given;
}

function identifier(given: unknown, where: string): string {
  const name = string(given, where);
  if (!/^[A-Za-z_]\w{0,126}$/.test(name)) throw broken(`${where}: '${name}' is no identifier`);
  return name;
}

function natural(given: unknown, where: string): number {
  if (!Number.isSafeInteger(given) || (given as number) < 0) throw broken(`${where} is no whole number`);
  return given as number;
}

function oneOf<T extends string>(given: unknown, known: readonly T[], where: string): T {
  const found = known.find((value) => value === given);
  if (found === undefined) throw broken(`${where} is none of ${known.join(', ')}`);
  return found;
}

function broken(problem: string): CodecError {
  return new CodecError('program artifact', 0, problem, {
    hint: 'Make it again: barewire compile FILE -o OUT',
  });
}

/** The constructors of layouts and maps refuse bad shapes as bad arguments; here they are bad bytes. */
function asCodecError(error: unknown): unknown {
  if (error instanceof CodecError || !(error instanceof BarewireError)) return error;
  return broken(error.message);
}

function toBase64(data: Uint8Array): string {
  let text = '';
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw broken('code is no base64');
  }
}
