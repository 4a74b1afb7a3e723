import {
  type AluConstructor,
  type AtomicConstructor,
  add32,
  add64,
  and32,
  and64,
  arsh32,
  arsh64,
  atomicAdd,
  atomicAnd,
  atomicCmpxchg,
  atomicFetchAdd,
  atomicFetchAnd,
  atomicFetchOr,
  atomicFetchXor,
  atomicOr,
  atomicXchg,
  atomicXor,
  type BranchConstructor,
  bswap,
  call,
  callKernel,
  div32,
  div64,
  exit,
  gotol,
  type Instruction,
  ja,
  jeq,
  jeq32,
  jge,
  jge32,
  jgt,
  jgt32,
  jle,
  jle32,
  jlt,
  jlt32,
  jne,
  jne32,
  jset,
  jset32,
  jsge,
  jsge32,
  jsgt,
  jsgt32,
  jsle,
  jsle32,
  jslt,
  jslt32,
  ldAbs,
  lddw,
  ldInd,
  ldx,
  loadAcquire,
  lsh32,
  lsh64,
  mapByFd,
  mapByIndex,
  mapValueByFd,
  mapValueByIndex,
  mayGoto,
  mod32,
  mod64,
  mov32,
  mov64,
  movsx32,
  movsx64,
  mul32,
  mul64,
  neg32,
  neg64,
  type Operand,
  or32,
  or64,
  type Register,
  rsh32,
  rsh64,
  sdiv32,
  sdiv64,
  smod32,
  smod64,
  st,
  storeRelease,
  stx,
  sub32,
  sub64,
  toBe,
  toLe,
  variable,
  xor32,
  xor64,
} from '../../src/asm/index.ts';

/** Every operation of the instruction set by name, for tests that go through all of them. */

export const ALU64: Readonly<Record<string, AluConstructor>> = {
  add64,
  sub64,
  mul64,
  div64,
  sdiv64,
  or64,
  and64,
  lsh64,
  rsh64,
  mod64,
  smod64,
  xor64,
  mov64,
  arsh64,
};

export const ALU32: Readonly<Record<string, AluConstructor>> = {
  add32,
  sub32,
  mul32,
  div32,
  sdiv32,
  or32,
  and32,
  lsh32,
  rsh32,
  mod32,
  smod32,
  xor32,
  mov32,
  arsh32,
};

export const BRANCHES64: Readonly<Record<string, BranchConstructor>> = {
  jeq,
  jne,
  jgt,
  jge,
  jlt,
  jle,
  jsgt,
  jsge,
  jslt,
  jsle,
  jset,
};

export const BRANCHES32: Readonly<Record<string, BranchConstructor>> = {
  jeq32,
  jne32,
  jgt32,
  jge32,
  jlt32,
  jle32,
  jsgt32,
  jsge32,
  jslt32,
  jsle32,
  jset32,
};

export const ATOMICS: Readonly<Record<string, AtomicConstructor>> = {
  atomicAdd,
  atomicAnd,
  atomicOr,
  atomicXor,
  atomicFetchAdd,
  atomicFetchAnd,
  atomicFetchOr,
  atomicFetchXor,
  atomicXchg,
  atomicCmpxchg,
};

export const WIDTHS = ['u8', 'u16', 'u32', 'u64'] as const;
export const SIGNED_WIDTHS = ['i8', 'i16', 'i32'] as const;

/** Fields to build every instruction with. */
export interface Fields {
  readonly dst: Register;
  readonly src: Register;
  /** 16 bits. */
  readonly offset: number;
  /** 32 bits. */
  readonly imm: number;
  /** 32 bits. */
  readonly immHigh: number;
}

/** Arithmetic, byte order and 64-bit constants: what works on registers alone. */
export function registerInstructions({ dst, src, imm, immHigh }: Fields): Instruction[] {
  const operands: readonly Operand[] = [src, imm];
  const wide = (BigInt(immHigh) << 32n) | BigInt(imm >>> 0);
  return [
    ...[...Object.values(ALU64), ...Object.values(ALU32)].flatMap((build) =>
      operands.map((operand) => build(dst, operand)),
    ),
    neg64(dst),
    neg32(dst),
    ...([8, 16, 32] as const).map((bits) => movsx64(dst, src, bits)),
    ...([8, 16] as const).map((bits) => movsx32(dst, src, bits)),
    ...([16, 32, 64] as const).flatMap((bits) => [toBe(dst, bits), toLe(dst, bits), bswap(dst, bits)]),
    lddw(dst, wide),
  ];
}

/** Loads, stores and atomic operations. */
export function memoryInstructions({ dst, src, offset, imm }: Fields): Instruction[] {
  return [
    ...[...WIDTHS, ...SIGNED_WIDTHS].map((width) => ldx(width, dst, src, offset)),
    ...WIDTHS.flatMap((width) => [
      stx(width, dst, src, offset),
      st(width, dst, offset, imm),
      loadAcquire(width, dst, src, offset),
      storeRelease(width, dst, src, offset),
    ]),
    ...Object.values(ATOMICS).flatMap((build) => [
      build('u32', dst, src, offset),
      build('u64', dst, src, offset),
    ]),
  ];
}

/** Jumps of every kind, the target as a number of slots. */
export function jumpInstructions({ dst, src, offset, imm }: Fields): Instruction[] {
  const operands: readonly Operand[] = [src, imm];
  const items = [
    ...[...Object.values(BRANCHES64), ...Object.values(BRANCHES32)].flatMap((build) =>
      operands.map((operand) => build(dst, operand, offset)),
    ),
    ja(offset),
    gotol(imm),
    mayGoto(offset),
  ];
  return items.filter((item) => 'opcode' in item);
}

/** What only the loader, the verifier or a socket filter gives a meaning. */
export function specialInstructions({ dst, src, offset, imm, immHigh }: Fields): Instruction[] {
  return [
    ...(['u8', 'u16', 'u32'] as const).flatMap((width) => [ldAbs(width, imm), ldInd(width, src, imm)]),
    mapByFd(dst, imm),
    mapValueByFd(dst, imm, immHigh),
    mapByIndex(dst, imm),
    mapValueByIndex(dst, imm, immHigh),
    variable(dst, imm, immHigh),
    // The address of a function and a call of one are made by the assembler only.
    { ...lddw(dst, 0), src: 4, imm },
    { ...call(0), src: 1, imm },
    call(imm),
    callKernel(imm, offset),
    exit(),
  ];
}

/** Every instruction of the set once, with these fields. */
export function everyInstruction(fields: Fields): Instruction[] {
  return [
    ...registerInstructions(fields),
    ...memoryInstructions(fields),
    ...jumpInstructions(fields),
    ...specialInstructions(fields),
  ];
}

/**
 * The kernel that brought an instruction to x64: 6.6 the fourth version of the instruction set, 6.9 `may_goto`, 6.15
 * loads that acquire and stores that release; all others are older than XDP links.
 */
export function sinceKernel({ opcode, offset, imm }: Instruction): string {
  const kind = opcode & 7;
  const operation = opcode & 0xf0;
  if (opcode === 0xe5) return '6.9';
  if (opcode === 0x06 || opcode === 0xd7) return '6.6';
  if (kind === 1 && (opcode & 0xe0) === 0x80) return '6.6';
  if (kind === 3 && (opcode & 0xe0) === 0xc0 && (imm === 0x100 || imm === 0x110)) return '6.15';
  const isDivision = operation === 0x30 || operation === 0x90;
  const isMove = operation === 0xb0;
  if ((kind === 4 || kind === 7) && (isDivision || isMove) && offset !== 0) return '6.6';
  return '5.12';
}
