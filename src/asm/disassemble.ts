import { slotsOf } from './form.ts';
import type { FunctionSpec } from './function.ts';
import { helperName } from './helper-functions.ts';
import type { Instruction, SourceLine } from './instruction.ts';
import { Alu, Atomic, Call, Class, Jump, LDDW, Mode, Pseudo, Size, Source } from './opcode.ts';

export interface DisassembleOptions {
  /** Puts a heading over each function, and its name behind calls. */
  readonly functions?: readonly FunctionSpec[];
  /** Whether to show the source lines that instructions carry. Default is `true`. */
  readonly source?: boolean;
}

/**
 * A program as text, one instruction a line with its slot and opcode: the form of `bpftool prog dump xlated` and of
 * the verifier's log, but maps by name.
 */
export function disassemble(instructions: readonly Instruction[], options: DisassembleOptions = {}): string {
  const functions = new Map(options.functions?.map((func) => [func.slot, func.name]));
  const lines: string[] = [];
  let slot = 0;
  let shown: SourceLine | undefined;
  for (const instruction of instructions) {
    const name = functions.get(slot);
    if (name !== undefined) lines.push(`${name}:`);
    const { source, opcode } = instruction;
    if (options.source !== false && source !== undefined && !sameText(source, shown)) {
      lines.push(`; ${source.text} @ ${source.file}:${source.line}`);
      shown = source;
    }
    const text = formatInstruction(instruction);
    const callee = functions.get(calledSlot(instruction, slot));
    const suffix = callee === undefined ? '' : `#${callee}`;
    lines.push(`${String(slot).padStart(4)}: (${opcode.toString(16).padStart(2, '0')}) ${text}${suffix}`);
    slot += slotsOf(instruction);
  }
  return lines.join('\n');
}

/** One instruction as text, as in `r1 = *(u32 *)(r1 +4)`. An unknown opcode gives `(bad opcode 0x..)`. */
export function formatInstruction(instruction: Instruction): string {
  switch (instruction.opcode & 7) {
    case Class.ALU:
    case Class.ALU64:
      return formatAlu(instruction);
    case Class.JMP:
    case Class.JMP32:
      return formatJump(instruction);
    case Class.LD:
      return formatLegacyLoad(instruction);
    case Class.LDX:
      return formatLoad(instruction);
    default:
      return formatStore(instruction);
  }
}

const aluSymbols: Readonly<Record<number, string>> = {
  [Alu.ADD]: '+=',
  [Alu.SUB]: '-=',
  [Alu.MUL]: '*=',
  [Alu.DIV]: '/=',
  [Alu.OR]: '|=',
  [Alu.AND]: '&=',
  [Alu.LSH]: '<<=',
  [Alu.RSH]: '>>=',
  [Alu.MOD]: '%=',
  [Alu.XOR]: '^=',
  [Alu.MOV]: '=',
  [Alu.ARSH]: 's>>=',
};

function formatAlu(instruction: Instruction): string {
  const { opcode, dst, src, offset, imm } = instruction;
  const wide = (opcode & 7) === Class.ALU64;
  const operation = opcode & 0xf0;
  const letter = wide ? 'r' : 'w';
  if (operation === Alu.END) {
    const order = wide ? 'bswap' : opcode & Source.X ? 'be' : 'le';
    return `r${dst} = ${order}${imm} r${dst}`;
  }
  if (operation === Alu.NEG) return `${letter}${dst} = -${letter}${dst}`;
  const symbol = aluSymbols[operation];
  if (symbol === undefined) return unknown(instruction);
  const divides = operation === Alu.DIV || operation === Alu.MOD;
  const signed = divides && offset === 1 ? 's' : '';
  if (!(opcode & Source.X)) return `${letter}${dst} ${signed}${symbol} ${imm}`;
  const cast = operation === Alu.MOV && offset !== 0 ? `(s${offset})` : '';
  return `${letter}${dst} ${signed}${symbol} ${cast}${letter}${src}`;
}

const jumpSymbols: Readonly<Record<number, string>> = {
  [Jump.JEQ]: '==',
  [Jump.JGT]: '>',
  [Jump.JGE]: '>=',
  [Jump.JSET]: '&',
  [Jump.JNE]: '!=',
  [Jump.JSGT]: 's>',
  [Jump.JSGE]: 's>=',
  [Jump.JLT]: '<',
  [Jump.JLE]: '<=',
  [Jump.JSLT]: 's<',
  [Jump.JSLE]: 's<=',
};

function formatJump(instruction: Instruction): string {
  const { opcode, dst, src, offset, imm } = instruction;
  const wide = (opcode & 7) === Class.JMP;
  switch (opcode & 0xf0) {
    case Jump.JA:
      return wide ? `goto pc${signed(offset)}` : `gotol pc${signed(imm)}`;
    case Jump.CALL:
      return formatCall(instruction);
    case Jump.EXIT:
      return 'exit';
    case Jump.JCOND:
      return `may_goto pc${signed(offset)}`;
  }
  const symbol = jumpSymbols[opcode & 0xf0];
  if (symbol === undefined) return unknown(instruction);
  const letter = wide ? 'r' : 'w';
  const operand = opcode & Source.X ? `${letter}${src}` : `0x${(imm >>> 0).toString(16)}`;
  return `if ${letter}${dst} ${symbol} ${operand} goto pc${signed(offset)}`;
}

function formatCall({ src, imm }: Instruction): string {
  if (src === Call.LOCAL) return `call pc${signed(imm)}`;
  if (src === Call.KFUNC) return `call kernel-function#${imm}`;
  const name = helperName(imm);
  return name === undefined ? `call unknown#${imm}` : `call bpf_${name}#${imm}`;
}

function formatLegacyLoad(instruction: Instruction): string {
  const { opcode, dst, src, imm } = instruction;
  if (opcode === LDDW) return `r${dst} = ${formatWide(instruction)}`;
  const type = typeOf(opcode, 'u');
  if ((opcode & 0xe0) === Mode.ABS) return `r0 = *(${type} *)skb[${imm}]`;
  if ((opcode & 0xe0) === Mode.IND) return `r0 = *(${type} *)skb[r${src} + ${imm}]`;
  return unknown(instruction);
}

function formatWide({ src, imm, immHigh = 0, map }: Instruction): string {
  switch (src) {
    case Pseudo.MAP_FD:
      return `map[${map ?? `fd:${imm}`}]`;
    case Pseudo.MAP_VALUE:
      return `map[${map ?? `fd:${imm}`}][0]+${immHigh}`;
    case Pseudo.MAP_IDX:
      return `map[idx:${imm}]`;
    case Pseudo.MAP_IDX_VALUE:
      return `map[idx:${imm}]+${immHigh}`;
    case Pseudo.FUNC:
      return `subprog[${signed(imm)}]`;
    default:
      return `0x${((BigInt(immHigh >>> 0) << 32n) | BigInt(imm >>> 0)).toString(16)}`;
  }
}

function formatLoad(instruction: Instruction): string {
  const { opcode, dst, src, offset } = instruction;
  const mode = opcode & 0xe0;
  if (mode !== Mode.MEM && mode !== Mode.MEMSX) return unknown(instruction);
  return `r${dst} = *(${typeOf(opcode, mode === Mode.MEM ? 'u' : 's')} *)(r${src} ${signed(offset)})`;
}

const atomicNames: Readonly<Record<number, string>> = {
  [Atomic.ADD]: 'add',
  [Atomic.AND]: 'and',
  [Atomic.OR]: 'or',
  [Atomic.XOR]: 'xor',
};

function formatStore(instruction: Instruction): string {
  const { opcode, dst, src, offset, imm } = instruction;
  const memory = `(${typeOf(opcode, 'u')} *)(r${dst} ${signed(offset)})`;
  const mode = opcode & 0xe0;
  if (mode === Mode.MEM) return `*${memory} = ${(opcode & 7) === Class.ST ? imm : `r${src}`}`;
  if (mode !== Mode.ATOMIC || (opcode & 7) !== Class.STX) return unknown(instruction);
  const prefix = (opcode & 0x18) === Size.DW ? 'atomic64' : 'atomic';
  switch (imm) {
    case Atomic.LOAD_ACQ:
      return `r${dst} = load_acquire((${typeOf(opcode, 'u')} *)(r${src} ${signed(offset)}))`;
    case Atomic.STORE_REL:
      return `store_release(${memory}, r${src})`;
    case Atomic.XCHG:
      return `r${src} = ${prefix}_xchg(${memory}, r${src})`;
    case Atomic.CMPXCHG:
      return `r0 = ${prefix}_cmpxchg(${memory}, r0, r${src})`;
  }
  const name = atomicNames[imm & ~Atomic.FETCH];
  if (name === undefined) return unknown(instruction);
  if (imm & Atomic.FETCH) return `r${src} = ${prefix}_fetch_${name}(${memory}, r${src})`;
  return `lock *${memory} ${aluSymbols[imm]} r${src}`;
}

function typeOf(opcode: number, letter: 'u' | 's'): string {
  switch (opcode & 0x18) {
    case Size.B:
      return `${letter}8`;
    case Size.H:
      return `${letter}16`;
    case Size.W:
      return `${letter}32`;
    default:
      return `${letter}64`;
  }
}

/** The slot of the function that the instruction calls or takes the address of; -1 for any other. */
function calledSlot({ opcode, src, imm }: Instruction, slot: number): number {
  const calls = opcode === (Class.JMP | Jump.CALL) && src === Call.LOCAL;
  return calls || (opcode === LDDW && src === Pseudo.FUNC) ? slot + 1 + imm : -1;
}

function sameText(a: SourceLine, b: SourceLine | undefined): boolean {
  return b !== undefined && a.line === b.line && a.file === b.file && a.text === b.text;
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

function unknown({ opcode }: Instruction): string {
  return `(bad opcode 0x${opcode.toString(16).padStart(2, '0')})`;
}
