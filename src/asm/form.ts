import type { Instruction } from './instruction.ts';
import { Alu, Atomic, Call, Class, Jump, LDDW, Mode, Pseudo, Size, Source } from './opcode.ts';

/**
 * The form of every instruction: which fields an opcode uses and which values they take.
 *
 * RFC 9669 (section 3) wants unused fields to be zero; encoder and decoder both ask here.
 */

/** The field of an instruction that is wrong, and how. */
export interface Fault {
  readonly field: 'opcode' | 'dst' | 'src' | 'offset' | 'imm' | 'immHigh';
  readonly problem: string;
}

const DST = 1;
const SRC = 2;
const OFFSET = 4;
const IMM = 8;

interface Form {
  /** Which of DST, SRC, OFFSET and IMM the instruction uses freely. */
  readonly uses: number;
  /** For a field that is not free: the values it may have, zero when absent. */
  readonly offsets?: readonly number[];
  readonly imms?: readonly number[];
  readonly srcs?: readonly number[];
}

const forms: readonly (Form | undefined)[] = buildForms();

/** Whether any instruction has this opcode. */
export function isOpcode(opcode: number): boolean {
  return forms[opcode] !== undefined;
}

/** How many 8-byte slots the instruction takes: two for an `lddw`, one for any other. */
export function slotsOf(instruction: Instruction): 1 | 2 {
  return instruction.opcode === LDDW ? 2 : 1;
}

/** What is wrong with an instruction, field by field; `undefined` when it is well formed. */
export function faultOf(instruction: Instruction): Fault | undefined {
  const { opcode, dst, src, offset, imm } = instruction;
  const form = forms[opcode];
  if (form === undefined) return { field: 'opcode', problem: `no instruction has opcode ${hex(opcode)}` };
  const { uses } = form;
  if (!isWhole(dst, 0, uses & DST ? 10 : 0)) return register('dst', dst, uses & DST);
  if (form.srcs !== undefined) {
    if (!form.srcs.includes(src)) return pick('src', src, form.srcs);
  } else if (!isWhole(src, 0, uses & SRC ? 10 : 0)) return register('src', src, uses & SRC);
  if (uses & OFFSET) {
    if (!isWhole(offset, -0x8000, 0x7fff)) return range('offset', offset, 16);
  } else if (!(form.offsets ?? ZERO).includes(offset)) return pick('offset', offset, form.offsets ?? ZERO);
  if (uses & IMM) {
    if (!isWhole(imm, -0x8000_0000, 0x7fff_ffff)) return range('imm', imm, 32);
  } else if (!(form.imms ?? ZERO).includes(imm)) return pick('imm', imm, form.imms ?? ZERO);
  return opcode === LDDW ? wideFault(instruction) : specialFault(instruction);
}

/** `lddw` uses its high half for numbers, for offsets into a map's value and for a module's BTF descriptor. */
function wideFault({ src, immHigh = 0 }: Instruction): Fault | undefined {
  if (!isWhole(immHigh, -0x8000_0000, 0x7fff_ffff)) return range('immHigh', immHigh, 32);
  const single = src === Pseudo.MAP_FD || src === Pseudo.FUNC || src === Pseudo.MAP_IDX;
  if (single && immHigh !== 0) return pick('immHigh', immHigh, ZERO);
  return undefined;
}

/** Rules that tie two fields together. */
function specialFault({ opcode, src, offset, immHigh }: Instruction): Fault | undefined {
  if (immHigh !== undefined) {
    return { field: 'immHigh', problem: 'only lddw has a second immediate' };
  }
  if (opcode === (Class.JMP | Jump.CALL) && src !== Call.KFUNC && offset !== 0) {
    return pick('offset', offset, ZERO);
  }
  return undefined;
}

const ZERO: readonly number[] = [0];

function buildForms(): (Form | undefined)[] {
  const table: (Form | undefined)[] = new Array(256).fill(undefined);
  buildMemory(table);
  buildArithmetic(table);
  buildJumps(table);
  return table;
}

function buildMemory(table: (Form | undefined)[]): void {
  table[LDDW] = { uses: DST | IMM, srcs: Object.values(Pseudo) };
  const simple: readonly number[] = [Atomic.ADD, Atomic.OR, Atomic.AND, Atomic.XOR];
  const ordered: readonly number[] = [Atomic.LOAD_ACQ, Atomic.STORE_REL];
  const atomics: readonly number[] = [
    ...simple,
    ...simple.map((op) => op | Atomic.FETCH),
    Atomic.XCHG,
    Atomic.CMPXCHG,
    ...ordered,
  ];
  for (const size of Object.values(Size)) {
    const wide = size === Size.DW;
    if (!wide) {
      table[Class.LD | Mode.ABS | size] = { uses: IMM };
      table[Class.LD | Mode.IND | size] = { uses: SRC | IMM };
      table[Class.LDX | Mode.MEMSX | size] = { uses: DST | SRC | OFFSET };
    }
    table[Class.LDX | Mode.MEM | size] = { uses: DST | SRC | OFFSET };
    table[Class.ST | Mode.MEM | size] = { uses: DST | OFFSET | IMM };
    table[Class.STX | Mode.MEM | size] = { uses: DST | SRC | OFFSET };
    table[Class.STX | Mode.ATOMIC | size] = {
      uses: DST | SRC | OFFSET,
      imms: wide || size === Size.W ? atomics : ordered,
    };
  }
}

function buildArithmetic(table: (Form | undefined)[]): void {
  for (const operation of Object.values(Alu)) {
    for (const kind of [Class.ALU, Class.ALU64]) {
      const k = kind | operation | Source.K;
      const x = kind | operation | Source.X;
      switch (operation) {
        case Alu.NEG:
          table[k] = { uses: DST };
          break;
        case Alu.END:
          // ALU: the source bit chooses little or big endian. ALU64 with K: an unconditional swap.
          table[k] = { uses: DST, imms: [16, 32, 64] };
          if (kind === Class.ALU) table[x] = { uses: DST, imms: [16, 32, 64] };
          break;
        case Alu.DIV:
        case Alu.MOD:
          table[k] = { uses: DST | IMM, offsets: [0, 1] };
          table[x] = { uses: DST | SRC, offsets: [0, 1] };
          break;
        case Alu.MOV:
          table[k] = { uses: DST | IMM };
          table[x] = { uses: DST | SRC, offsets: kind === Class.ALU64 ? [0, 8, 16, 32] : [0, 8, 16] };
          break;
        default:
          table[k] = { uses: DST | IMM };
          table[x] = { uses: DST | SRC };
      }
    }
  }
}

function buildJumps(table: (Form | undefined)[]): void {
  for (const operation of Object.values(Jump)) {
    const k = operation | Source.K;
    switch (operation) {
      case Jump.JA:
        table[Class.JMP | k] = { uses: OFFSET };
        table[Class.JMP32 | k] = { uses: IMM };
        break;
      case Jump.CALL:
        table[Class.JMP | k] = { uses: OFFSET | IMM, srcs: Object.values(Call) };
        break;
      case Jump.EXIT:
        table[Class.JMP | k] = { uses: 0 };
        break;
      case Jump.JCOND:
        table[Class.JMP | k] = { uses: OFFSET };
        break;
      default:
        for (const kind of [Class.JMP, Class.JMP32]) {
          table[kind | k] = { uses: DST | OFFSET | IMM };
          table[kind | operation | Source.X] = { uses: DST | SRC | OFFSET };
        }
    }
  }
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function register(field: 'dst' | 'src', value: number, used: number): Fault {
  const problem = used ? `${value} is no register (0 to 10)` : `${value} where 0 is reserved`;
  return { field, problem };
}

function range(field: 'offset' | 'imm' | 'immHigh', value: number, bits: number): Fault {
  return { field, problem: `${value} does not fit ${bits} signed bits` };
}

function pick(field: Fault['field'], value: number, allowed: readonly number[]): Fault {
  return {
    field,
    problem: `${value} where ${allowed.join(', ')} ${allowed.length > 1 ? 'are' : 'is'} allowed`,
  };
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
