import { BarewireError, CodecError } from '../error.ts';
import type { ObjectFunction, ObjectProgram, ObjectSpec, Reference } from './spec.ts';

/** A program with all functions that it calls: what the kernel takes as one, but for what only the kernel knows. */
export interface LinkedProgram {
  /** A copy, to be changed at will; little-endian. */
  readonly code: Uint8Array;
  readonly functions: readonly LinkedFunction[];
  /** What is left to be put in; offsets count from the start of `code`, in bytes. */
  readonly references: readonly Extract<Reference, { kind: 'map' | 'value' | 'extern' }>[];
  /** CO-RE relocations: four words each, the first the offset in `code`, in bytes. */
  readonly relocations: Uint32Array;
  /** `struct bpf_func_info`, one a function; undefined where BTF does not know them all. */
  readonly functionInfo: Uint32Array | undefined;
  /** `struct bpf_line_info`; undefined where some function has none. */
  readonly lineInfo: Uint32Array | undefined;
}

export interface LinkedFunction {
  readonly name: string;
  /** Its first slot, of 8 bytes. */
  readonly slot: number;
}

const SLOT = 8;
const LDDW = 0x18;
const CALL = 0x85;
const PSEUDO_CALL = 1;
const PSEUDO_FUNC = 4;
/** The kernel takes a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS`). */
const MAX_SLOTS = 1_000_000;

/**
 * Puts the functions that a program calls, and those whose address it takes, behind it, each once.
 *
 * @throws CodecError when a call goes where no function begins.
 * @throws BarewireError `BW_UNSUPPORTED` for what no loader knows, by its name; `BW_LIMIT` for more than a million slots.
 */
export function linkProgram(spec: ObjectSpec, program: ObjectProgram): LinkedProgram {
  const bySection = indexFunctions(spec);
  const slots = new Map<ObjectFunction, number>();
  const order: ObjectFunction[] = [];
  let size = 0;
  const place = (func: ObjectFunction): number => {
    let slot = slots.get(func);
    if (slot === undefined) {
      slot = size;
      slots.set(func, slot);
      order.push(func);
      size += func.code.length / SLOT;
      if (size > MAX_SLOTS) {
        throw new BarewireError(
          'BW_LIMIT',
          `program '${program.name}' has more than ${MAX_SLOTS} instructions`,
        );
      }
    }
    return slot;
  };
  place(program.entry);
  // Calls to fill in, found function by function; `order` grows meanwhile.
  const calls: { at: number; target: number; wide: boolean }[] = [];
  const references: LinkedProgram['references'][number][] = [];
  for (let i = 0; i < order.length; i++) {
    const func = order[i];
    if (func === undefined) break;
    const base = (slots.get(func) ?? 0) * SLOT;
    const find = (section: number, offset: number): ObjectFunction => {
      const target = bySection.get(section)?.get(offset);
      if (target !== undefined) return target;
      throw new CodecError(
        'elf',
        func.offset,
        `section '${func.section}': function '${func.name}' calls byte ${offset} of section ${section}, where none begins`,
      );
    };
    const filled = new Set<number>();
    for (const reference of func.references) {
      const at = base + reference.offset;
      filled.add(reference.offset);
      switch (reference.kind) {
        case 'call':
        case 'function': {
          const target = place(find(reference.section, reference.at));
          calls.push({ at, target, wide: reference.kind === 'function' });
          break;
        }
        case 'unsupported':
          throw new BarewireError('BW_UNSUPPORTED', `program '${program.name}' needs ${reference.problem}`, {
            hint: 'docs/objects.md lists what is supported.',
          });
        default:
          references.push({ ...reference, offset: at });
      }
    }
    for (const [offset, distance] of localCalls(func.code)) {
      if (filled.has(offset)) continue;
      const target = find(func.sectionIndex, func.offset + offset + (distance + 1) * SLOT);
      calls.push({ at: base + offset, target: place(target), wide: false });
    }
  }
  const code = new Uint8Array(size * SLOT);
  for (const func of order) code.set(func.code, (slots.get(func) ?? 0) * SLOT);
  const view = new DataView(code.buffer);
  for (const { at, target, wide } of calls) {
    view.setInt32(at + 4, target - at / SLOT - 1, true);
    const pseudo = wide ? PSEUDO_FUNC : PSEUDO_CALL;
    view.setUint8(at + 1, (view.getUint8(at + 1) & 15) | (pseudo << 4));
  }
  const functions = order.map((func) => ({ name: func.name, slot: slots.get(func) ?? 0, func }));
  return {
    code,
    functions: functions.map(({ name, slot }) => ({ name, slot })),
    references,
    relocations: gather(functions, 'relocations', 1),
    functionInfo: functions.every(({ func }) => func.type !== 0)
      ? Uint32Array.from(functions.flatMap(({ slot, func }) => [slot, func.type]))
      : undefined,
    // The kernel wants a line at the start of every function, or none at all.
    lineInfo: functions.every(({ func }) => func.lines.length > 0 && func.lines[0] === 0)
      ? gather(functions, 'lines', SLOT)
      : undefined,
  };
}

/** Calls within a section, which need no relocation: offset in bytes, distance in slots. */
function* localCalls(code: Uint8Array): Generator<[number, number]> {
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  for (let at = 0; at < code.length; at += SLOT) {
    const opcode = code[at];
    if (opcode === CALL && (code[at + 1] ?? 0) >> 4 === PSEUDO_CALL) yield [at, view.getInt32(at + 4, true)];
    // The second slot of a wide load may look like anything.
    else if (opcode === LDDW) at += SLOT;
  }
}

/** Rows of all functions one after the other; the first word of each counts from the start of the program. */
function gather(
  functions: readonly { readonly slot: number; readonly func: ObjectFunction }[],
  rows: 'lines' | 'relocations',
  unit: number,
): Uint32Array {
  const all = new Uint32Array(functions.reduce((sum, { func }) => sum + func[rows].length, 0));
  let next = 0;
  for (const { slot, func } of functions) {
    const own = func[rows];
    all.set(own, next);
    for (let i = 0; i < own.length; i += 4) all[next + i] = (slot * SLOT + (own[i] ?? 0)) / unit;
    next += own.length;
  }
  return all;
}

const indices = new WeakMap<ObjectSpec, Map<number, Map<number, ObjectFunction>>>();

/** Functions by section and offset. */
function indexFunctions(spec: ObjectSpec): Map<number, Map<number, ObjectFunction>> {
  let index = indices.get(spec);
  if (index !== undefined) return index;
  index = new Map();
  for (const func of spec.functions) {
    const section = index.get(func.sectionIndex) ?? new Map<number, ObjectFunction>();
    index.set(func.sectionIndex, section);
    section.set(func.offset, func);
  }
  indices.set(spec, index);
  return index;
}
