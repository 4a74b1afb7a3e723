/**
 * One eBPF instruction as plain data, its fields named as in RFC 9669, section 3.
 *
 * A 64-bit immediate load (`lddw`) is one `Instruction` that takes two 8-byte slots. Offsets of jumps count slots,
 * as in the encoding; labels exist only in the assembler.
 */
export interface Instruction {
  /** Class, source bit and operation, as encoded (8 bits). */
  readonly opcode: number;
  /** Destination register, 0 to 10. */
  readonly dst: number;
  /** Source register, 0 to 10; for calls and `lddw` the pseudo value that says what `imm` means. */
  readonly src: number;
  /** Signed 16 bits. */
  readonly offset: number;
  /** Signed 32 bits; for `lddw` the low half. */
  readonly imm: number;
  /** The high half of an `lddw`'s immediate, signed 32 bits; present on `lddw` only. */
  readonly immHigh?: number;
  /** The map, by its name in the spec, whose descriptor the loader puts in `imm`; on `lddw` only. */
  readonly map?: string;
  /** The line of source this instruction comes from; becomes BTF line info. */
  readonly source?: SourceLine;
}

/** A line of source text, as the verifier's log and `bpftool prog dump xlated linum` show it. */
export interface SourceLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** The line itself, trimmed. */
  readonly text: string;
}
