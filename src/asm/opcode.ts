/**
 * The numbers of the instruction set, named as in RFC 9669 and `linux/bpf.h`.
 *
 * An opcode is class | (size | mode) for loads and stores, class | source bit | operation for the rest.
 */

/** Instruction classes (RFC 9669, section 3.1): the low three bits of an opcode. */
export const Class = {
  LD: 0x00,
  LDX: 0x01,
  ST: 0x02,
  STX: 0x03,
  ALU: 0x04,
  JMP: 0x05,
  JMP32: 0x06,
  ALU64: 0x07,
} as const;

/** Access sizes of loads and stores (RFC 9669, section 5): 32, 16, 8 and 64 bits. */
export const Size = { W: 0x00, H: 0x08, B: 0x10, DW: 0x18 } as const;

/** Modes of loads and stores (RFC 9669, section 5). */
export const Mode = {
  IMM: 0x00,
  ABS: 0x20,
  IND: 0x40,
  MEM: 0x60,
  MEMSX: 0x80,
  ATOMIC: 0xc0,
} as const;

/** Where an operand comes from: the immediate (K) or the source register (X). */
export const Source = { K: 0x00, X: 0x08 } as const;

/** Arithmetic operations (RFC 9669, section 4.1). SDIV, SMOD and MOVSX are DIV, MOD and MOV with an offset. */
export const Alu = {
  ADD: 0x00,
  SUB: 0x10,
  MUL: 0x20,
  DIV: 0x30,
  OR: 0x40,
  AND: 0x50,
  LSH: 0x60,
  RSH: 0x70,
  NEG: 0x80,
  MOD: 0x90,
  XOR: 0xa0,
  MOV: 0xb0,
  ARSH: 0xc0,
  END: 0xd0,
} as const;

/** Jump operations (RFC 9669, section 4.3); JCOND is Linux's `may_goto` (since 6.9). */
export const Jump = {
  JA: 0x00,
  JEQ: 0x10,
  JGT: 0x20,
  JGE: 0x30,
  JSET: 0x40,
  JNE: 0x50,
  JSGT: 0x60,
  JSGE: 0x70,
  CALL: 0x80,
  EXIT: 0x90,
  JLT: 0xa0,
  JLE: 0xb0,
  JSLT: 0xc0,
  JSLE: 0xd0,
  JCOND: 0xe0,
} as const;

/**
 * Operations of an atomic instruction, in its immediate (RFC 9669, section 5.3).
 *
 * LOAD_ACQ and STORE_REL are Linux's (since 6.15) and take every size; the rest take 32 and 64 bits.
 */
export const Atomic = {
  ADD: 0x00,
  OR: 0x40,
  AND: 0x50,
  XOR: 0xa0,
  FETCH: 0x01,
  XCHG: 0xe1,
  CMPXCHG: 0xf1,
  LOAD_ACQ: 0x100,
  STORE_REL: 0x110,
} as const;

/** What the immediate of an `lddw` means, in its `src` (RFC 9669, section 5.4; `linux/bpf.h`). */
export const Pseudo = {
  IMM64: 0,
  MAP_FD: 1,
  MAP_VALUE: 2,
  BTF_ID: 3,
  FUNC: 4,
  MAP_IDX: 5,
  MAP_IDX_VALUE: 6,
} as const;

/** What a call calls, in its `src` (RFC 9669, section 4.3.1). */
export const Call = {
  /** A helper by its static number. */
  HELPER: 0,
  /** A function of the same program, `imm` slots after the next instruction. */
  LOCAL: 1,
  /** A kernel function by the BTF ID of its FUNC. */
  KFUNC: 2,
} as const;

/** The opcode of a 64-bit immediate load, the only instruction of two slots. */
export const LDDW: number = Class.LD | Size.DW | Mode.IMM;
