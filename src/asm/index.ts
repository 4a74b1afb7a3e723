/** The eBPF instruction set: encoding, assembler, disassembler. @module barewire/asm */
export * from './assembler.ts';
export * from './construct.ts';
export { type DisassembleOptions, disassemble, formatInstruction } from './disassemble.ts';
export { countSlots, decode, encode, SLOT_SIZE } from './encoding.ts';
export { type Fault, faultOf, slotsOf } from './form.ts';
export type { FunctionSpec } from './function.ts';
export { HELPER_NAMES, type HelperName, helperName, helperNumber } from './helper-functions.ts';
export type { Instruction, SourceLine } from './instruction.ts';
export * from './opcode.ts';
