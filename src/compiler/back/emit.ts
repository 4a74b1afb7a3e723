import type { Instruction, SourceLine } from '../../asm/instruction.ts';
import { Alu, Call, Class, Jump, LDDW, Mode, Pseudo, Size, Source } from '../../asm/opcode.ts';
import { tooLarge } from '../front/builder.ts';
import {
  type AluName,
  type Condition,
  FP,
  type Inst,
  type MachineBlock,
  type MachineProgram,
  negate,
} from './machine.ts';
import { fitsImm } from './select.ts';

const ALU: Readonly<Record<AluName, number>> = {
  add: Alu.ADD,
  sub: Alu.SUB,
  mul: Alu.MUL,
  div: Alu.DIV,
  or: Alu.OR,
  and: Alu.AND,
  lsh: Alu.LSH,
  rsh: Alu.RSH,
  mod: Alu.MOD,
  xor: Alu.XOR,
  arsh: Alu.ARSH,
};

const JUMP: Readonly<Record<Condition, number>> = {
  eq: Jump.JEQ,
  gt: Jump.JGT,
  ge: Jump.JGE,
  set: Jump.JSET,
  ne: Jump.JNE,
  sgt: Jump.JSGT,
  sge: Jump.JSGE,
  lt: Jump.JLT,
  le: Jump.JLE,
  slt: Jump.JSLT,
  sle: Jump.JSLE,
};

const SIZE: Readonly<Record<number, number>> = { 1: Size.B, 2: Size.H, 4: Size.W, 8: Size.DW };

/** Jumps hold 16 bits of distance. */
const FARTHEST = 0x7fff;

/** The verdict of a loop that the kernel would have ended. */
const ABORTED = 0;

/** An instruction that may still wait for its target. */
interface Slot {
  readonly instruction: Instruction;
  readonly target: Target | undefined;
}

/** Where a jump leads: a block, or the end that returns a verdict. */
type Target = MachineBlock | number;

/** Lays out the blocks and encodes the program. */
export function emit(program: MachineProgram, line: (at: number) => SourceLine | undefined): Instruction[] {
  return new Emitter(program, line).run();
}

class Emitter {
  readonly #program: MachineProgram;
  readonly #line: (at: number) => SourceLine | undefined;
  readonly #slots: Slot[] = [];
  readonly #starts = new Map<Target, number>();
  readonly #wanted = new Set<Target>();
  #position = 0;

  constructor(program: MachineProgram, line: (at: number) => SourceLine | undefined) {
    this.#program = program;
    this.#line = line;
  }

  run(): Instruction[] {
    const order = layout(this.#program);
    order.forEach((block, i) => {
      this.#starts.set(block, this.#position);
      for (const inst of block.insts) this.#inst(inst);
      this.#end(block, order[i + 1]);
    });
    for (const verdict of [...this.#wanted].filter((t) => typeof t === 'number')) {
      this.#starts.set(verdict, this.#position);
      this.#verdict(verdict, -1);
    }
    return this.#resolve();
  }

  #push(instruction: Instruction, at: number, target?: Target): void {
    const source = at < 0 ? undefined : this.#line(at);
    this.#slots.push({
      instruction: source === undefined ? instruction : { ...instruction, source },
      target,
    });
    this.#position += instruction.opcode === LDDW ? 2 : 1;
    if (target !== undefined) this.#wanted.add(target);
  }

  #verdict(verdict: number, at: number): void {
    this.#push(make(Class.ALU64 | Alu.MOV | Source.K, 0, 0, 0, verdict), at);
    this.#push(make(Class.JMP | Jump.EXIT, 0, 0, 0, 0), at);
  }

  #inst(inst: Inst): void {
    const { at, dst, src, off } = inst;
    const kind = inst.narrow ? Class.ALU : Class.ALU64;
    switch (inst.op) {
      case 'mov':
        this.#push(make(kind | Alu.MOV | Source.X, dst, src, 0, 0), at);
        return;
      case 'movi':
        this.#constant(dst, inst.imm, at);
        return;
      case 'mapref':
        this.#push(
          { opcode: LDDW, dst, src: Pseudo.MAP_FD, offset: 0, imm: 0, immHigh: 0, map: inst.map },
          at,
        );
        return;
      case 'stackaddr':
        this.#push(make(Class.ALU64 | Alu.MOV | Source.X, dst, FP, 0, 0), at);
        this.#push(make(Class.ALU64 | Alu.ADD | Source.K, dst, 0, 0, Number(inst.imm)), at);
        return;
      case 'alu':
        this.#push(make(kind | ALU[inst.alu] | Source.X, dst, src, 0, 0), at);
        return;
      case 'alui':
        this.#push(make(kind | ALU[inst.alu] | Source.K, dst, 0, 0, Number(inst.imm)), at);
        return;
      case 'swap':
        this.#push(make(Class.ALU | Alu.END | Source.X, dst, 0, 0, inst.size), at);
        return;
      case 'load':
        this.#push(make(Class.LDX | Mode.MEM | SIZE[inst.size]!, dst, src, off, 0), at);
        return;
      case 'store':
        this.#push(make(Class.STX | Mode.MEM | SIZE[inst.size]!, dst, src, off, 0), at);
        return;
      case 'storei':
        this.#push(make(Class.ST | Mode.MEM | SIZE[inst.size]!, dst, 0, off, Number(inst.imm)), at);
        return;
      case 'atomic':
        this.#push(make(Class.STX | Mode.ATOMIC | SIZE[inst.size]!, dst, src, off, Alu.ADD), at);
        return;
      case 'call':
        this.#push(make(Class.JMP | Jump.CALL, 0, Call.HELPER, 0, Number(inst.imm)), at);
        return;
      case 'set': {
        this.#constant(dst, 1n, at);
        this.#push({ ...compare(inst.cond, inst.left, src, inst.imm, inst.narrow), offset: 1 }, at);
        this.#constant(dst, 0n, at);
        return;
      }
      case 'side':
        this.#push(compare(inst.cond, dst, src, inst.imm, false), at, this.#program.short);
        return;
      case 'maygoto':
        // Never taken: the loop's iterations were proved to be fewer than the kernel allows.
        this.#push(make(Class.JMP | Jump.JCOND, 0, 0, 0, 0), at, ABORTED);
        return;
      case 'exit':
        this.#push(make(Class.JMP | Jump.EXIT, 0, 0, 0, 0), at);
        return;
    }
  }

  #constant(dst: number, value: bigint, at: number): void {
    if (fitsImm(value)) {
      this.#push(make(Class.ALU64 | Alu.MOV | Source.K, dst, 0, 0, Number(value)), at);
      return;
    }
    if (value > 0n && value < 1n << 32n) {
      // A 32-bit move clears the upper half: one slot where lddw takes two.
      this.#push(make(Class.ALU | Alu.MOV | Source.K, dst, 0, 0, Number(BigInt.asIntN(32, value))), at);
      return;
    }
    const imm = Number(BigInt.asIntN(32, value));
    const immHigh = Number(BigInt.asIntN(32, value >> 32n));
    this.#push({ opcode: LDDW, dst, src: 0, offset: 0, imm, immHigh }, at);
  }

  #end(block: MachineBlock, next: MachineBlock | undefined): void {
    const { end } = block;
    switch (end.kind) {
      case 'exit':
        this.#push(make(Class.JMP | Jump.EXIT, 0, 0, 0, 0), end.at);
        return;
      case 'jump':
        this.#go(end.to, next);
        return;
      case 'branch': {
        const then = finalTarget(end.taken);
        const otherwise = finalTarget(end.otherwise);
        const { at } = end;
        if (then === otherwise) {
          this.#goTo(then, next, at);
        } else if (then === next) {
          this.#push(compare(negate(end.cond), end.a, end.b, end.imm, end.narrow), at, otherwise);
        } else {
          this.#push(compare(end.cond, end.a, end.b, end.imm, end.narrow), at, then);
          this.#goTo(otherwise, next, at);
        }
        return;
      }
    }
  }

  #go(to: MachineBlock, next: MachineBlock | undefined): void {
    this.#goTo(finalTarget(to), next, -1);
  }

  #goTo(target: Target, next: MachineBlock | undefined, at: number): void {
    if (target === next) return;
    if (typeof target === 'number') {
      this.#verdict(target, at);
      return;
    }
    this.#push(make(Class.JMP | Jump.JA, 0, 0, 0, 0), at, target);
  }

  #resolve(): Instruction[] {
    let position = 0;
    return this.#slots.map(({ instruction, target }) => {
      position += instruction.opcode === LDDW ? 2 : 1;
      if (target === undefined) return instruction;
      const start = this.#starts.get(target);
      if (start === undefined) throw new Error('a jump leads nowhere');
      const offset = start - position;
      if (offset > FARTHEST || offset < -FARTHEST) {
        throw tooLarge(0, `${this.#position} instructions, and a jump reaches ${FARTHEST}`);
      }
      return { ...instruction, offset };
    });
  }
}

function compare(cond: Condition, a: number, b: number, imm: bigint, narrow: boolean): Instruction {
  const kind = narrow ? Class.JMP32 : Class.JMP;
  if (b >= 0) return make(kind | JUMP[cond] | Source.X, a, b, 0, 0);
  return make(kind | JUMP[cond] | Source.K, a, 0, 0, Number(imm));
}

/** Follows empty blocks; an end that only returns a constant is shared by all. */
function finalTarget(block: MachineBlock): Target {
  let b = block;
  for (let i = 0; i < 64; i++) {
    const verdict = verdictOnly(b);
    if (verdict !== undefined) return verdict;
    if (b.insts.length > 0 || b.end.kind !== 'jump') return b;
    b = b.end.to;
  }
  return b;
}

function verdictOnly(block: MachineBlock): number | undefined {
  const [only] = block.insts;
  if (block.end.kind !== 'exit' || block.insts.length !== 1 || only!.op !== 'movi' || only!.dst !== 0)
    return undefined;
  return Number(only!.imm);
}

/** Puts blocks one after the other so that the way on, and the inside of loops, needs no jump. */
function layout(program: MachineProgram): MachineBlock[] {
  const order: MachineBlock[] = [];
  const placed = new Set<MachineBlock>();
  const reached = new Set<MachineBlock>();
  const pending: MachineBlock[] = [program.blocks[0]!];
  while (pending.length > 0) {
    let block: MachineBlock | undefined = pending.pop()!;
    while (block !== undefined && !placed.has(block)) {
      order.push(block);
      placed.add(block);
      block = follow(block, placed, pending, reached);
    }
  }
  return order;
}

function follow(
  block: MachineBlock,
  placed: Set<MachineBlock>,
  pending: MachineBlock[],
  _reached: Set<MachineBlock>,
): MachineBlock | undefined {
  const { end } = block;
  const open = (target: Target): MachineBlock | undefined =>
    typeof target === 'number' || placed.has(target) ? undefined : target;
  if (end.kind === 'exit') return undefined;
  if (end.kind === 'jump') return open(finalTarget(end.to));
  const then = open(finalTarget(end.taken));
  const otherwise = open(finalTarget(end.otherwise));
  if (then === undefined) return otherwise;
  if (otherwise === undefined) return then;
  const [first, second] = otherwise.depth > then.depth ? [otherwise, then] : [then, otherwise];
  pending.push(second);
  return first;
}

function make(opcode: number, dst: number, src: number, offset: number, imm: number): Instruction {
  return { opcode, dst, src, offset, imm };
}
