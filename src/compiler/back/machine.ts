import type { Block } from '../middle/ir.ts';

/** Registers 0 to 10 are the machine's; from 11 on they are virtual. */
export const FP = 10;
export const FIRST_VIRTUAL = 11;

export type MachineOp =
  | 'mov'
  | 'movi'
  | 'mapref'
  /** `dst = r10 + imm` */
  | 'stackaddr'
  | 'alu'
  | 'alui'
  /** To network order and back: the low `size` bits, the rest cleared. */
  | 'swap'
  | 'load'
  | 'store'
  | 'storei'
  | 'atomic'
  | 'call'
  /** `dst = a condition b ? 1 : 0` */
  | 'set'
  /** Conditional jump to the short exit, in the middle of a block. */
  | 'side'
  /** Goes on while the kernel's budget for loops lasts. */
  | 'maygoto'
  | 'exit';

/** ALU operations and jump conditions by their encodings in RFC 9669. */
export type Condition = 'eq' | 'gt' | 'ge' | 'set' | 'ne' | 'sgt' | 'sge' | 'lt' | 'le' | 'slt' | 'sle';
export type AluName = 'add' | 'sub' | 'mul' | 'div' | 'or' | 'and' | 'lsh' | 'rsh' | 'mod' | 'xor' | 'arsh';

/** One machine instruction over virtual registers. */
export interface Inst {
  op: MachineOp;
  /** Defined, or for stores and jumps the left operand; -1 for none. */
  dst: number;
  /** -1 where `imm` stands in its place. */
  src: number;
  /** The left operand of `set`. */
  left: number;
  imm: bigint;
  off: number;
  size: number;
  /** 32-bit operation. */
  narrow: boolean;
  alu: AluName;
  cond: Condition;
  map: string;
  /** Arguments of a call. */
  args: number;
  at: number;
}

/** How a block ends. */
export type End =
  | { kind: 'jump'; to: MachineBlock }
  | {
      kind: 'branch';
      cond: Condition;
      a: number;
      /** -1 where `imm` stands in its place. */
      b: number;
      imm: bigint;
      narrow: boolean;
      taken: MachineBlock;
      otherwise: MachineBlock;
      at: number;
    }
  | { kind: 'exit'; at: number };

export interface MachineBlock {
  readonly id: number;
  readonly source: Block | undefined;
  insts: Inst[];
  end: End;
  /** Of the loops around it. */
  depth: number;
  readonly liveOut: Set<number>;
}

/** A program over virtual registers. */
export interface MachineProgram {
  readonly blocks: MachineBlock[];
  /** The next free virtual register. */
  registers: number;
  /** Bytes of the stack used for keys and values; spills lie below. */
  scratch: number;
  short: number;
  /** Whether some check leaves for the short exit. */
  usesShort: boolean;
}

/** The register an instruction writes, or -1. */
export function defined(inst: Inst): number {
  switch (inst.op) {
    case 'store':
    case 'storei':
    case 'atomic':
    case 'side':
    case 'maygoto':
    case 'exit':
      return -1;
    case 'call':
      return 0;
    default:
      return inst.dst;
  }
}

/** Calls `use` with every register an instruction reads. */
export function eachUse(inst: Inst, use: (register: number) => void): void {
  switch (inst.op) {
    case 'movi':
    case 'mapref':
    case 'stackaddr':
    case 'maygoto':
      return;
    case 'mov':
    case 'load':
      use(inst.src);
      return;
    case 'alu':
      use(inst.dst);
      use(inst.src);
      return;
    case 'alui':
    case 'swap':
    case 'storei':
      use(inst.dst);
      return;
    case 'store':
    case 'atomic':
    case 'side':
      use(inst.dst);
      if (inst.src >= 0) use(inst.src);
      return;
    case 'set':
      use(inst.left);
      if (inst.src >= 0) use(inst.src);
      return;
    case 'call':
      for (let r = 1; r <= inst.args; r++) use(r);
      return;
    case 'exit':
      use(0);
      return;
  }
}

export function successorsOf(block: MachineBlock): MachineBlock[] {
  const { end } = block;
  if (end.kind === 'jump') return [end.to];
  if (end.kind === 'branch') return [end.taken, end.otherwise];
  return [];
}

/** Calls `use` with every register a block's end reads. */
export function eachEndUse(end: End, use: (register: number) => void): void {
  if (end.kind === 'branch') {
    use(end.a);
    if (end.b >= 0) use(end.b);
  } else if (end.kind === 'exit') {
    use(0);
  }
}

export function negate(cond: Condition): Condition {
  return NEGATED[cond];
}

const NEGATED: Readonly<Record<Condition, Condition>> = {
  eq: 'ne',
  ne: 'eq',
  gt: 'le',
  le: 'gt',
  ge: 'lt',
  lt: 'ge',
  sgt: 'sle',
  sle: 'sgt',
  sge: 'slt',
  slt: 'sge',
  set: 'ne',
};

/** The condition with its operands exchanged. */
export const MIRRORED: Readonly<Record<Condition, Condition>> = {
  eq: 'eq',
  ne: 'ne',
  gt: 'lt',
  lt: 'gt',
  ge: 'le',
  le: 'ge',
  sgt: 'slt',
  slt: 'sgt',
  sge: 'sle',
  sle: 'sge',
  set: 'set',
};
