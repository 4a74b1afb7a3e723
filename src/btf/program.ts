import { type Instruction, type SourceLine, slotsOf } from '../asm/index.ts';
import { ArgumentError } from '../error.ts';
import type { FunctionSpec, ProgramSpec } from '../spec/index.ts';
import { BtfBuilder } from './builder.ts';
import { addCInt, addInt } from './layout.ts';
import type { StringTable } from './string-table.ts';

/** BTF of a program: names of its functions, and the line of source behind every instruction. */
export interface ProgramBtf {
  /** The `.BTF` blob to load. */
  readonly btf: Uint8Array;
  /** Records of `struct bpf_func_info`, `FUNC_INFO_SIZE` bytes each. */
  readonly funcInfo: Uint8Array;
  /** Records of `struct bpf_line_info`, `LINE_INFO_SIZE` bytes each; empty when no instruction has a source. */
  readonly lineInfo: Uint8Array;
}

/** `struct bpf_func_info`: slot, type ID of the FUNC. */
export const FUNC_INFO_SIZE = 8;
/** `struct bpf_line_info`: slot, file name, text of the line, line << 10 | column. */
export const LINE_INFO_SIZE = 16;

/**
 * Describes the functions and lines of a program to the kernel.
 *
 * The entry is `int name(struct xdp_md *ctx)` of global linkage; every other function is static, its arguments and
 * result `__u64`. A spec that names no functions has no BTF: `undefined`.
 *
 * @throws ArgumentError when the functions do not start at instructions of the program, in order, from slot 0.
 */
export function programBtf(spec: ProgramSpec): ProgramBtf | undefined {
  if (spec.functions.length === 0) return undefined;
  const slots = firstSlots(spec.instructions);
  checkFunctions(spec, slots);
  const builder = new BtfBuilder();
  const funcInfo = new Uint8Array(spec.functions.length * FUNC_INFO_SIZE);
  const view = new DataView(funcInfo.buffer);
  for (const [index, func] of spec.functions.entries()) {
    view.setUint32(index * FUNC_INFO_SIZE, func.slot, true);
    view.setUint32(index * FUNC_INFO_SIZE + 4, addFunction(func, index === 0, builder, spec.type), true);
  }
  const lineInfo = encodeLines(spec, slots, builder.strings);
  return { btf: builder.encode(), funcInfo, lineInfo };
}

/** The ID of a function: the entry takes a pointer to its context, as in `struct xdp_md *ctx`, others words. */
export function addFunction(
  func: FunctionSpec,
  entry: boolean,
  builder: BtfBuilder,
  programType: ProgramSpec['type'] = 'xdp',
): number {
  let type: number;
  if (entry) {
    const context = builder.add({ kind: 'ptr', type: addContext(builder, programType) });
    const parameters = [{ name: 'ctx', type: context }];
    type = builder.add({ kind: 'func_proto', type: addCInt('i32', builder), parameters });
  } else {
    const word = addInt('u64', builder);
    const parameters = Array.from({ length: func.parameters }, (_, i) => ({
      name: `arg${i + 1}`,
      type: word,
    }));
    type = builder.add({ kind: 'func_proto', type: word, parameters });
  }
  return builder.add({ kind: 'func', name: func.name, type, linkage: entry ? 'global' : 'static' });
}

/**
 * `struct xdp_md` (`linux/bpf.h`), the context of an XDP program. That of others is only named: their programs reach
 * the packet through the fields that the verifier knows.
 */
function addContext(builder: BtfBuilder, programType: ProgramSpec['type']): number {
  if (programType === 'sched_cls') return builder.add({ kind: 'fwd', name: '__sk_buff', of: 'struct' });
  const fields = ['data', 'data_end', 'data_meta', 'ingress_ifindex', 'rx_queue_index', 'egress_ifindex'];
  const type = addInt('u32', builder);
  const members = fields.map((name, i) => ({ name, type, bitOffset: i * 32, bitSize: 0 }));
  return builder.add({ kind: 'struct', name: 'xdp_md', size: fields.length * 4, members });
}

/**
 * A record wherever the line changes. The kernel wants records at strictly rising slots and one at the first slot of
 * every function (`check_btf_line` in `kernel/bpf/verifier.c`).
 */
function encodeLines(spec: ProgramSpec, slots: readonly number[], strings: StringTable): Uint8Array {
  if (!spec.instructions.some((instruction) => instruction.source !== undefined)) return new Uint8Array(0);
  const starts = new Set(spec.functions.map((func) => func.slot));
  const records: number[] = [];
  let last: SourceLine | undefined;
  for (const [index, instruction] of spec.instructions.entries()) {
    const slot = slots[index]!;
    let { source } = instruction;
    const start = starts.has(slot);
    if (start)
      source ??= firstSource(spec, index, slots, starts) ?? { file: '', line: 0, column: 0, text: '' };
    if (source === undefined || (!start && last !== undefined && sameLine(source, last))) continue;
    const line = Math.min(source.line, 0x3f_ffff);
    const column = Math.min(source.column, 0x3ff);
    records.push(slot, strings.add(source.file), strings.add(source.text), line * 1024 + column);
    last = source;
  }
  const bytes = new Uint8Array(records.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of records.entries()) view.setUint32(index * 4, word, true);
  return bytes;
}

/** The first source inside the function that starts at `index`, for the instructions before it. */
function firstSource(
  spec: ProgramSpec,
  index: number,
  slots: readonly number[],
  starts: ReadonlySet<number>,
): SourceLine | undefined {
  for (let i = index; i < spec.instructions.length; i++) {
    if (i > index && starts.has(slots[i]!)) return undefined;
    const { source } = spec.instructions[i]!;
    if (source !== undefined) return source;
  }
  return undefined;
}

function sameLine(a: SourceLine, b: SourceLine): boolean {
  return a === b || (a.line === b.line && a.column === b.column && a.file === b.file && a.text === b.text);
}

/** The slot of every instruction. */
function firstSlots(instructions: readonly Instruction[]): number[] {
  let slot = 0;
  return instructions.map((instruction) => {
    const first = slot;
    slot += slotsOf(instruction);
    return first;
  });
}

function checkFunctions(spec: ProgramSpec, slots: readonly number[]): void {
  const known = new Set(slots);
  let last = -1;
  for (const func of spec.functions) {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,126}$/.test(func.name)) {
      throw new ArgumentError(`function '${func.name}' of program ${spec.name} is not a C identifier`);
    }
    if (!known.has(func.slot) || func.slot <= last || (last === -1 && func.slot !== 0)) {
      throw new ArgumentError(`function '${func.name}' of program ${spec.name} starts at slot ${func.slot}`, {
        hint: 'Functions start at an instruction, in rising order, the first at slot 0.',
      });
    }
    last = func.slot;
  }
}
