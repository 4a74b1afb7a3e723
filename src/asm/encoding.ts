import { ArgumentError, CodecError } from '../error.ts';
import { faultOf, isOpcode, slotsOf } from './form.ts';
import type { Instruction } from './instruction.ts';
import { LDDW } from './opcode.ts';

/** Bytes of one slot; an `lddw` takes two. */
export const SLOT_SIZE = 8;

/** How many slots a program takes: what jumps, function info and line info count in. */
export function countSlots(instructions: readonly Instruction[]): number {
  let slots = 0;
  for (const instruction of instructions) slots += slotsOf(instruction);
  return slots;
}

/**
 * A program as the kernel takes it: 8 bytes a slot, little-endian (RFC 9669, section 3.2).
 *
 * `map` and `source` are not part of the encoding: a loader sets the `imm` of map loads first.
 *
 * @throws ArgumentError when a field does not fit its instruction; the message tells which instruction.
 */
export function encode(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(countSlots(instructions) * SLOT_SIZE);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [index, instruction] of instructions.entries()) {
    const fault = faultOf(instruction);
    if (fault !== undefined) {
      throw new ArgumentError(
        `instruction ${index} (slot ${at / SLOT_SIZE}): ${fault.field}: ${fault.problem}`,
      );
    }
    view.setUint8(at, instruction.opcode);
    view.setUint8(at + 1, (instruction.src << 4) | instruction.dst);
    view.setInt16(at + 2, instruction.offset, true);
    view.setInt32(at + 4, instruction.imm, true);
    at += SLOT_SIZE;
    if (instruction.opcode === LDDW) {
      view.setInt32(at + 4, instruction.immHigh ?? 0, true);
      at += SLOT_SIZE;
    }
  }
  return bytes;
}

/**
 * The instructions in `bytes`, every one checked against RFC 9669: known opcode, registers 0 to 10, unused fields
 * zero. Whether jumps land on an instruction is the verifier's business.
 *
 * @throws CodecError when the bytes are truncated or hold something else.
 */
export function decode(bytes: Uint8Array): Instruction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length % SLOT_SIZE !== 0) {
    throw fail(bytes.length - (bytes.length % SLOT_SIZE), 'the last instruction is truncated');
  }
  const instructions: Instruction[] = [];
  for (let at = 0; at < bytes.length; at += SLOT_SIZE) {
    const opcode = view.getUint8(at);
    if (!isOpcode(opcode))
      throw fail(at, `no instruction has opcode 0x${opcode.toString(16).padStart(2, '0')}`);
    const registers = view.getUint8(at + 1);
    const fields = {
      opcode,
      dst: registers & 15,
      src: registers >> 4,
      offset: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
    };
    const start = at;
    let instruction: Instruction = fields;
    if (opcode === LDDW) {
      at += SLOT_SIZE;
      if (at >= bytes.length) throw fail(start, 'lddw without its second slot');
      if (view.getUint32(at, true) !== 0) throw fail(at, 'the second slot of lddw has reserved bits set');
      instruction = { ...fields, immHigh: view.getInt32(at + 4, true) };
    }
    const fault = faultOf(instruction);
    if (fault !== undefined) throw fail(start, `${fault.field}: ${fault.problem}`);
    instructions.push(instruction);
  }
  return instructions;
}

function fail(offset: number, problem: string): CodecError {
  return new CodecError('ebpf', offset, problem);
}
