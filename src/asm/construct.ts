import { ArgumentError } from '../error.ts';
import { type HelperName, helperNumber } from './helper-functions.ts';
import type { Instruction } from './instruction.ts';
import { Alu, Atomic, Call, Class, Jump, LDDW, Mode, Pseudo, Size, Source } from './opcode.ts';

/**
 * One function per instruction, named as in RFC 9669 with the operand width behind: `add64`, `mov32`, `jeq`, `jeq32`.
 *
 * Each gives plain data. What refers to a label or a function gives a `Reference`, which `assemble` resolves.
 */

/** A register, distinct from a number so that an immediate is never taken for one. */
export interface Register {
  readonly register: number;
}

/** The eleven registers by number. */
export const registers: readonly Register[] = Array.from({ length: 11 }, (_, register) =>
  Object.freeze({ register }),
);

/** Return value of functions and of the program. */
export const r0: Register = registers[0]!;
/** First argument; at the entry the context. */
export const r1: Register = registers[1]!;
export const r2: Register = registers[2]!;
export const r3: Register = registers[3]!;
export const r4: Register = registers[4]!;
export const r5: Register = registers[5]!;
/** The first of the registers that calls preserve (r6 to r9). */
export const r6: Register = registers[6]!;
export const r7: Register = registers[7]!;
export const r8: Register = registers[8]!;
export const r9: Register = registers[9]!;
/** Frame pointer, read-only; the stack of 512 bytes lies below it. */
export const r10: Register = registers[10]!;

/**
 * A register, or the 32-bit immediate: signed where the operation takes 64 bits, as it is sign-extended there;
 * where it takes 32, 0x8000_0000 to 0xffff_ffff do as well.
 */
export type Operand = Register | number;

/** An instruction whose target is still a name. */
export interface Reference {
  readonly instruction: Instruction;
  /** A label of the same function, or for `call` and `address` the name of a function. */
  readonly target: string;
  readonly kind: 'jump' | 'long jump' | 'call' | 'address';
}

/** A label of the function, or the number of slots to skip, which stays as it is given. */
export type Target = string | number;

// Arithmetic (RFC 9669, section 4.1). 32-bit operations clear the upper half of their destination.

export const add64: AluConstructor = alu(Class.ALU64, Alu.ADD);
export const sub64: AluConstructor = alu(Class.ALU64, Alu.SUB);
export const mul64: AluConstructor = alu(Class.ALU64, Alu.MUL);
/** Unsigned; by zero gives 0. */
export const div64: AluConstructor = alu(Class.ALU64, Alu.DIV);
/** Signed; since 6.6. */
export const sdiv64: AluConstructor = alu(Class.ALU64, Alu.DIV, 1);
export const or64: AluConstructor = alu(Class.ALU64, Alu.OR);
export const and64: AluConstructor = alu(Class.ALU64, Alu.AND);
export const lsh64: AluConstructor = alu(Class.ALU64, Alu.LSH);
/** Logical. */
export const rsh64: AluConstructor = alu(Class.ALU64, Alu.RSH);
/** Unsigned; by zero leaves the destination as it is. */
export const mod64: AluConstructor = alu(Class.ALU64, Alu.MOD);
/** Signed, with the sign of the dividend; since 6.6. */
export const smod64: AluConstructor = alu(Class.ALU64, Alu.MOD, 1);
export const xor64: AluConstructor = alu(Class.ALU64, Alu.XOR);
/** An immediate is sign-extended. */
export const mov64: AluConstructor = alu(Class.ALU64, Alu.MOV);
/** Arithmetic shift right. */
export const arsh64: AluConstructor = alu(Class.ALU64, Alu.ARSH);

export const add32: AluConstructor = alu(Class.ALU, Alu.ADD);
export const sub32: AluConstructor = alu(Class.ALU, Alu.SUB);
export const mul32: AluConstructor = alu(Class.ALU, Alu.MUL);
/** Unsigned; by zero gives 0. */
export const div32: AluConstructor = alu(Class.ALU, Alu.DIV);
/** Signed; since 6.6. */
export const sdiv32: AluConstructor = alu(Class.ALU, Alu.DIV, 1);
export const or32: AluConstructor = alu(Class.ALU, Alu.OR);
export const and32: AluConstructor = alu(Class.ALU, Alu.AND);
export const lsh32: AluConstructor = alu(Class.ALU, Alu.LSH);
/** Logical. */
export const rsh32: AluConstructor = alu(Class.ALU, Alu.RSH);
/** Unsigned; by zero leaves the lower half as it is. */
export const mod32: AluConstructor = alu(Class.ALU, Alu.MOD);
/** Signed, with the sign of the dividend; since 6.6. */
export const smod32: AluConstructor = alu(Class.ALU, Alu.MOD, 1);
export const xor32: AluConstructor = alu(Class.ALU, Alu.XOR);
export const mov32: AluConstructor = alu(Class.ALU, Alu.MOV);
/** Arithmetic shift right. */
export const arsh32: AluConstructor = alu(Class.ALU, Alu.ARSH);

/** Two's complement negation. */
export function neg64(dst: Register): Instruction {
  return make(Class.ALU64 | Alu.NEG, dst.register, 0, 0, 0);
}

/** Two's complement negation of the lower half. */
export function neg32(dst: Register): Instruction {
  return make(Class.ALU | Alu.NEG, dst.register, 0, 0, 0);
}

/** Moves the low `bits` of `src`, sign-extended to 64 bits; since 6.6. */
export function movsx64(dst: Register, src: Register, bits: 8 | 16 | 32): Instruction {
  return make(Class.ALU64 | Alu.MOV | Source.X, dst.register, src.register, bits, 0);
}

/** Moves the low `bits` of `src`, sign-extended to 32 bits; since 6.6. */
export function movsx32(dst: Register, src: Register, bits: 8 | 16): Instruction {
  return make(Class.ALU | Alu.MOV | Source.X, dst.register, src.register, bits, 0);
}

/** Between host and network order: the low `bits`, the rest cleared (RFC 9669, section 4.2). */
export function toBe(dst: Register, bits: 16 | 32 | 64): Instruction {
  return make(Class.ALU | Alu.END | Source.X, dst.register, 0, 0, bits);
}

/** Between host and little-endian order: on Barewire's machines this only clears what lies above `bits`. */
export function toLe(dst: Register, bits: 16 | 32 | 64): Instruction {
  return make(Class.ALU | Alu.END | Source.K, dst.register, 0, 0, bits);
}

/** Reverses the low `bits / 8` bytes whatever the host's order, the rest cleared; since 6.6. */
export function bswap(dst: Register, bits: 16 | 32 | 64): Instruction {
  return make(Class.ALU64 | Alu.END, dst.register, 0, 0, bits);
}

// Loads and stores (RFC 9669, section 5). Argument order is that of the kernel's macros.

/** The size of a store. */
export type Width = 'u8' | 'u16' | 'u32' | 'u64';
/** The size of a load; signed ones are sign-extended to 64 bits (since 6.6). */
export type LoadWidth = Width | 'i8' | 'i16' | 'i32';

const sizes: Readonly<Record<LoadWidth, number>> = {
  u8: Size.B,
  u16: Size.H,
  u32: Size.W,
  u64: Size.DW,
  i8: Size.B,
  i16: Size.H,
  i32: Size.W,
};

/** `dst = *(width *)(src + offset)` */
export function ldx(width: LoadWidth, dst: Register, src: Register, offset: number): Instruction {
  const mode = width.startsWith('i') ? Mode.MEMSX : Mode.MEM;
  return make(Class.LDX | mode | sizes[width], dst.register, src.register, offset, 0);
}

/** `*(width *)(dst + offset) = src` */
export function stx(width: Width, dst: Register, src: Register, offset: number): Instruction {
  return make(Class.STX | Mode.MEM | sizes[width], dst.register, src.register, offset, 0);
}

/** `*(width *)(dst + offset) = imm`, the immediate sign-extended for 64 bits */
export function st(width: Width, dst: Register, offset: number, imm: number): Instruction {
  return make(Class.ST | Mode.MEM | sizes[width], dst.register, 0, offset, immediate(imm, width !== 'u64'));
}

/** `r0 = ntoh(*(width *)(packet + imm))`, of socket filters; r6 holds the context, r1 to r5 are lost. */
export function ldAbs(width: 'u8' | 'u16' | 'u32', imm: number): Instruction {
  return make(Class.LD | Mode.ABS | sizes[width], 0, 0, 0, immediate(imm, false));
}

/** `r0 = ntoh(*(width *)(packet + src + imm))`, as `ldAbs`. */
export function ldInd(width: 'u8' | 'u16' | 'u32', src: Register, imm: number): Instruction {
  return make(Class.LD | Mode.IND | sizes[width], 0, src.register, 0, immediate(imm, false));
}

// Atomic operations (RFC 9669, section 5.3) on `*(width *)(dst + offset)`.

export type AtomicWidth = 'u32' | 'u64';

/** `lock *(dst + offset) += src` */
export const atomicAdd: AtomicConstructor = atomic(Atomic.ADD);
export const atomicOr: AtomicConstructor = atomic(Atomic.OR);
export const atomicAnd: AtomicConstructor = atomic(Atomic.AND);
export const atomicXor: AtomicConstructor = atomic(Atomic.XOR);
/** As `atomicAdd`; `src` then holds the value from before. */
export const atomicFetchAdd: AtomicConstructor = atomic(Atomic.ADD | Atomic.FETCH);
export const atomicFetchOr: AtomicConstructor = atomic(Atomic.OR | Atomic.FETCH);
export const atomicFetchAnd: AtomicConstructor = atomic(Atomic.AND | Atomic.FETCH);
export const atomicFetchXor: AtomicConstructor = atomic(Atomic.XOR | Atomic.FETCH);
/** Exchanges memory and `src`. */
export const atomicXchg: AtomicConstructor = atomic(Atomic.XCHG);
/** Stores `src` if memory equals r0; r0 then holds the value from before, zero-extended. */
export const atomicCmpxchg: AtomicConstructor = atomic(Atomic.CMPXCHG);

/** `dst = *(width *)(src + offset)`; later accesses stay behind it. Since 6.15. */
export function loadAcquire(width: Width, dst: Register, src: Register, offset: number): Instruction {
  return make(Class.STX | Mode.ATOMIC | sizes[width], dst.register, src.register, offset, Atomic.LOAD_ACQ);
}

/** `*(width *)(dst + offset) = src`; earlier accesses stay before it. Since 6.15. */
export function storeRelease(width: Width, dst: Register, src: Register, offset: number): Instruction {
  return make(Class.STX | Mode.ATOMIC | sizes[width], dst.register, src.register, offset, Atomic.STORE_REL);
}

// 64-bit immediates (RFC 9669, section 5.4); each takes two slots.

/** `dst = value`; numbers must be exact, negative ones are taken as two's complement. */
export function lddw(dst: Register, value: bigint | number): Instruction {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new ArgumentError(`lddw: ${value} is not an exact whole number`, { hint: 'Give it as a bigint.' });
  }
  const wide = BigInt(value);
  if (wide < -(1n << 63n) || wide >= 1n << 64n)
    throw new ArgumentError(`lddw: ${value} does not fit 64 bits`);
  const low = Number(BigInt.asIntN(32, wide));
  const high = Number(BigInt.asIntN(32, wide >> 32n));
  return load(dst, Pseudo.IMM64, low, high);
}

/** The address of the map with this name in the program's spec. */
export function mapByName(dst: Register, map: string): Instruction {
  return { ...load(dst, Pseudo.MAP_FD, 0, 0), map };
}

/** The address of a byte of the only value of the array map with this name. */
export function mapValueByName(dst: Register, map: string, offset: number): Instruction {
  return { ...load(dst, Pseudo.MAP_VALUE, 0, immediate(offset, true)), map };
}

/** The address of a map by its file descriptor. */
export function mapByFd(dst: Register, fd: number): Instruction {
  return load(dst, Pseudo.MAP_FD, fd, 0);
}

/** The address of a byte of the only value of an array map. */
export function mapValueByFd(dst: Register, fd: number, offset: number): Instruction {
  return load(dst, Pseudo.MAP_VALUE, fd, immediate(offset, true));
}

/** The address of a map by its index in the loader's `fd_array`. */
export function mapByIndex(dst: Register, index: number): Instruction {
  return load(dst, Pseudo.MAP_IDX, index, 0);
}

/** The address of a byte of the only value of an array map, by index in `fd_array`. */
export function mapValueByIndex(dst: Register, index: number, offset: number): Instruction {
  return load(dst, Pseudo.MAP_IDX_VALUE, index, immediate(offset, true));
}

/** The address of a kernel variable by the BTF ID of its VAR; `btfFd` names a module's BTF, 0 is vmlinux. */
export function variable(dst: Register, btfId: number, btfFd = 0): Instruction {
  return load(dst, Pseudo.BTF_ID, btfId, btfFd);
}

/** The address of a function of the same program, for helpers that call back. */
export function functionAddress(dst: Register, name: string): Reference {
  return { instruction: load(dst, Pseudo.FUNC, 0, 0), target: name, kind: 'address' };
}

// Jumps (RFC 9669, section 4.3). `jeq32` and its kind compare the lower halves.

/** Always. A label farther than 16 bits makes it a `gotol`. */
export function ja(target: Target): Instruction | Reference {
  return jump(make(Class.JMP | Jump.JA, 0, 0, 0, 0), target);
}

/** Always, over 32 bits of slots; since 6.6. */
export function gotol(target: Target): Instruction | Reference {
  const instruction = make(Class.JMP32 | Jump.JA, 0, 0, 0, 0);
  if (typeof target === 'number') return { ...instruction, imm: target };
  return { instruction, target, kind: 'long jump' };
}

/** Taken until the kernel's budget for this loop is used up (`may_goto`, since 6.9). */
export function mayGoto(target: Target): Instruction | Reference {
  return jump(make(Class.JMP | Jump.JCOND, 0, 0, 0, 0), target);
}

export const jeq: BranchConstructor = branch(Class.JMP, Jump.JEQ);
export const jne: BranchConstructor = branch(Class.JMP, Jump.JNE);
/** Unsigned, as jge, jlt and jle. */
export const jgt: BranchConstructor = branch(Class.JMP, Jump.JGT);
export const jge: BranchConstructor = branch(Class.JMP, Jump.JGE);
export const jlt: BranchConstructor = branch(Class.JMP, Jump.JLT);
export const jle: BranchConstructor = branch(Class.JMP, Jump.JLE);
/** Signed, as jsge, jslt and jsle. */
export const jsgt: BranchConstructor = branch(Class.JMP, Jump.JSGT);
export const jsge: BranchConstructor = branch(Class.JMP, Jump.JSGE);
export const jslt: BranchConstructor = branch(Class.JMP, Jump.JSLT);
export const jsle: BranchConstructor = branch(Class.JMP, Jump.JSLE);
/** If a bit is set in both. */
export const jset: BranchConstructor = branch(Class.JMP, Jump.JSET);

export const jeq32: BranchConstructor = branch(Class.JMP32, Jump.JEQ);
export const jne32: BranchConstructor = branch(Class.JMP32, Jump.JNE);
export const jgt32: BranchConstructor = branch(Class.JMP32, Jump.JGT);
export const jge32: BranchConstructor = branch(Class.JMP32, Jump.JGE);
export const jlt32: BranchConstructor = branch(Class.JMP32, Jump.JLT);
export const jle32: BranchConstructor = branch(Class.JMP32, Jump.JLE);
export const jsgt32: BranchConstructor = branch(Class.JMP32, Jump.JSGT);
export const jsge32: BranchConstructor = branch(Class.JMP32, Jump.JSGE);
export const jslt32: BranchConstructor = branch(Class.JMP32, Jump.JSLT);
export const jsle32: BranchConstructor = branch(Class.JMP32, Jump.JSLE);
export const jset32: BranchConstructor = branch(Class.JMP32, Jump.JSET);

// Calls (RFC 9669, section 4.3.1): arguments in r1 to r5, which are lost, the result in r0.

/** A helper function of the kernel, by name without `bpf_` or by number. */
export function call(helper: HelperName | number): Instruction {
  const number = typeof helper === 'number' ? helper : helperNumber(helper);
  if (number === undefined) throw new ArgumentError(`no helper function is called '${helper}'`);
  return make(Class.JMP | Jump.CALL, 0, Call.HELPER, 0, number);
}

/** A function of the same program. */
export function callFunction(name: string): Reference {
  const instruction = make(Class.JMP | Jump.CALL, 0, Call.LOCAL, 0, 0);
  return { instruction, target: name, kind: 'call' };
}

/** A kernel function by the BTF ID of its FUNC; `btfIndex` finds a module's BTF in `fd_array`, 0 is vmlinux. */
export function callKernel(btfId: number, btfIndex = 0): Instruction {
  return make(Class.JMP | Jump.CALL, 0, Call.KFUNC, btfIndex, btfId);
}

/** Returns r0. */
export function exit(): Instruction {
  return make(Class.JMP | Jump.EXIT, 0, 0, 0, 0);
}

/** `dst = dst operation operand` */
export type AluConstructor = (dst: Register, operand: Operand) => Instruction;
/** Jumps to `target` if `dst condition operand` */
export type BranchConstructor = (dst: Register, operand: Operand, target: Target) => Instruction | Reference;
export type AtomicConstructor = (
  width: AtomicWidth,
  dst: Register,
  src: Register,
  offset: number,
) => Instruction;

function alu(kind: number, operation: number, offset = 0): AluConstructor {
  return (dst, operand) =>
    typeof operand === 'number'
      ? make(kind | operation | Source.K, dst.register, 0, offset, immediate(operand, kind === Class.ALU))
      : make(kind | operation | Source.X, dst.register, operand.register, offset, 0);
}

function branch(kind: number, operation: number): BranchConstructor {
  return (dst, operand, target) =>
    jump(
      typeof operand === 'number'
        ? make(kind | operation | Source.K, dst.register, 0, 0, immediate(operand, kind === Class.JMP32))
        : make(kind | operation | Source.X, dst.register, operand.register, 0, 0),
      target,
    );
}

function atomic(operation: number): AtomicConstructor {
  return (width, dst, src, offset) =>
    make(Class.STX | Mode.ATOMIC | sizes[width], dst.register, src.register, offset, operation);
}

function jump(instruction: Instruction, target: Target): Instruction | Reference {
  if (typeof target === 'number') return { ...instruction, offset: target };
  return { instruction, target, kind: 'jump' };
}

function load(dst: Register, src: number, imm: number, immHigh: number): Instruction {
  return { opcode: LDDW, dst: dst.register, src, offset: 0, imm, immHigh };
}

function make(opcode: number, dst: number, src: number, offset: number, imm: number): Instruction {
  return { opcode, dst, src, offset, imm };
}

/** An unsigned value of 32 bits becomes the signed one of the same bits, where the upper half does not matter. */
function immediate(value: number, unsignedToo: boolean): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > (unsignedToo ? 0xffff_ffff : 0x7fff_ffff)) {
    throw new ArgumentError(`the immediate ${value} does not fit 32 ${unsignedToo ? '' : 'signed '}bits`, {
      hint: 'Load it into a register with lddw.',
    });
  }
  return value | 0;
}
