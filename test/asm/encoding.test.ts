import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { countSlots, decode, encode, faultOf, type Instruction, r0, registers } from '../../src/asm/index.ts';
import { ArgumentError, CodecError } from '../../src/error.ts';
import { everyInstruction, type Fields } from './catalogue.ts';

/** Appendix A of RFC 9669, without the second slot of lddw (0x00). */
const RFC_OPCODES = `
  04 05 06 07 0c 0f 14 15 16 17 18 1c 1d 1e 1f 20 24 25 26 27 28 2c 2d 2e 2f 30 34 35 36 37 3c 3d 3e 3f 40 44 45 46
  47 48 4c 4d 4e 4f 50 54 55 56 57 5c 5d 5e 5f 61 62 63 64 65 66 67 69 6a 6b 6c 6d 6e 6f 71 72 73 74 75 76 77 79 7a
  7b 7c 7d 7e 7f 81 84 85 87 89 91 94 95 97 9c 9f a4 a5 a6 a7 ac ad ae af b4 b5 b6 b7 bc bd be bf c3 c4 c5 c6 c7 cc
  cd ce cf d4 d5 d6 d7 db dc dd de`;
/** Linux beyond the RFC: ordered loads and stores of 8 and 16 bits, may_goto. */
const LINUX_OPCODES = 'cb d3 e5';

const fields: fc.Arbitrary<Fields> = fc.record({
  dst: fc.constantFrom(...registers),
  src: fc.constantFrom(...registers),
  offset: fc.integer({ min: -0x8000, max: 0x7fff }),
  imm: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  immHigh: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
});

/** One slot from its fields, by the layout of RFC 9669, section 3.2. */
function slot(opcode: number, registerByte: number, offset: number, imm: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, opcode);
  view.setUint8(1, registerByte);
  view.setInt16(2, offset, true);
  view.setInt32(4, imm, true);
  return bytes;
}

function hexBytes(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map((hex) => Number.parseInt(hex, 16));
}

describe('the instruction set', () => {
  it('has the opcodes of RFC 9669 and Linux, and constructors for all of them', () => {
    const all = everyInstruction({ dst: r0, src: r0, offset: 0, imm: 0, immHigh: 0 });
    const built = [...new Set(all.map((instruction) => instruction.opcode))].sort((a, b) => a - b);
    const expected = [...hexBytes(RFC_OPCODES), ...hexBytes(LINUX_OPCODES)].sort((a, b) => a - b);
    assert.deepEqual(built, expected);
    for (let opcode = 0; opcode < 256; opcode++) {
      const known = expected.includes(opcode);
      const imms = [0, 16, 0x100];
      const accepted = imms.some(
        (imm) => faultOf({ opcode, dst: 0, src: 0, offset: 0, imm })?.field === undefined,
      );
      assert.equal(accepted, known, `opcode ${opcode.toString(16)}`);
    }
  });

  it('round-trips every instruction with any fields', () => {
    fc.assert(
      fc.property(fields, (given) => {
        const instructions = everyInstruction(given);
        const bytes = encode(instructions);
        assert.equal(bytes.length, countSlots(instructions) * 8);
        assert.deepEqual(decode(bytes), instructions);
      }),
    );
  });

  it('lays the fields out as the RFC does', () => {
    fc.assert(
      fc.property(fields, (given) => {
        for (const instruction of everyInstruction(given)) {
          const { opcode, dst, src, offset, imm, immHigh } = instruction;
          const expected = [...slot(opcode, src * 16 + dst, offset, imm)];
          if (immHigh !== undefined) expected.push(...slot(0, 0, 0, immHigh));
          assert.deepEqual([...encode([instruction])], expected);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('decode', () => {
  it('gives back what encodes to the same bytes, or throws CodecError', () => {
    let accepted = 0;
    const register = fc.constantFrom(0, 0, 0, 9, 10, 11);
    const registerByte = fc.tuple(register, register).map(([dst, src]) => src * 16 + dst);
    const offset = fc.oneof(
      fc.constantFrom(0, 0, 0, 1, 8, 16, 32),
      fc.integer({ min: -0x8000, max: 0x7fff }),
    );
    const imm = fc.oneof(
      fc.constantFrom(0, 0, 0, 1, 16, 32, 64, 0x40, 0xe1, 0xf1, 0x100, 0x110),
      fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    );
    const anySlot = fc
      .tuple(fc.nat(255), registerByte, offset, imm)
      .map(([opcode, byte, off, value]) => slot(opcode, byte, off, value));
    fc.assert(
      fc.property(anySlot, fc.boolean(), (first, wide) => {
        const bytes = wide ? new Uint8Array([...first, ...slot(0, 0, 0, 5)]) : first;
        let decoded: Instruction[];
        try {
          decoded = decode(bytes);
        } catch (error) {
          assert.ok(error instanceof CodecError, String(error));
          return;
        }
        accepted++;
        assert.deepEqual(encode(decoded), bytes);
      }),
      { numRuns: 20_000 },
    );
    assert.ok(accepted > 100, `${accepted} of the programs were well formed`);
  });

  it('throws nothing but CodecError on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof CodecError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses truncation anywhere', () => {
    const instructions = everyInstruction({ dst: r0, src: r0, offset: -1, imm: 7, immHigh: 9 });
    for (const instruction of instructions) {
      const bytes = encode([instruction]);
      for (let length = 1; length < bytes.length; length++) {
        assert.throws(
          () => decode(bytes.subarray(0, length)),
          CodecError,
          `${instruction.opcode}, ${length}`,
        );
      }
    }
    assert.deepEqual(decode(new Uint8Array(0)), []);
  });

  const refused: readonly [string, Uint8Array, number, RegExp][] = [
    ['an unknown opcode', slot(0xff, 0, 0, 0), 0, /opcode 0xff/],
    ['8-bit atomic add', slot(0xd3, 0, 0, 0), 0, /imm/],
    ['an atomic operation that is none', slot(0xdb, 0, 0, 0x20), 0, /imm/],
    ['register 11', slot(0xbf, 0x0b, 0, 0), 0, /dst: 11 is no register/],
    ['source register 15', slot(0xbf, 0xf0, 0, 0), 0, /src: 15 is no register/],
    ['an immediate beside a source register', slot(0x0f, 0x10, 0, 1), 0, /imm/],
    ['a source register beside an immediate', slot(0x07, 0x10, 0, 1), 0, /src/],
    ['an offset on add', slot(0x07, 0, 1, 1), 0, /offset/],
    ['an offset of 2 on div', slot(0x37, 0, 2, 1), 0, /offset/],
    ['sign extension from 32 bits in 32 bits', slot(0xbc, 0x10, 32, 0), 0, /offset/],
    ['sign extension of an immediate', slot(0xb7, 0, 8, 0), 0, /offset/],
    ['a swap of 8 bits', slot(0xdc, 0, 0, 8), 0, /imm/],
    ['exit with a register', slot(0x95, 1, 0, 0), 0, /dst/],
    ['a local call with an offset', slot(0x85, 0x10, 1, 0), 0, /offset/],
    ['a call of kind 3', slot(0x85, 0x30, 0, 0), 0, /src/],
    ['an lddw of kind 7', new Uint8Array([...slot(0x18, 0x70, 0, 0), ...slot(0, 0, 0, 0)]), 0, /src/],
    ['an lddw alone', slot(0x18, 0, 0, 0), 0, /second slot/],
    [
      'an opcode in the second slot',
      new Uint8Array([...slot(0x18, 0, 0, 0), ...slot(5, 0, 0, 0)]),
      8,
      /reserved/,
    ],
    [
      'a map with a second immediate',
      new Uint8Array([...slot(0x18, 0x10, 0, 3), ...slot(0, 0, 0, 1)]),
      0,
      /immHigh/,
    ],
  ];
  for (const [what, bytes, offset, reason] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => decode(bytes),
        (error) => error instanceof CodecError && error.offset === offset && reason.test(error.message),
      );
    });
  }
});

describe('encode', () => {
  const fine: Instruction = { opcode: 0xb7, dst: 0, src: 0, offset: 0, imm: 0 };
  const refused: readonly [string, Instruction][] = [
    ['an immediate of 33 bits', { ...fine, imm: 0x8000_0000 }],
    ['a fractional immediate', { ...fine, imm: 0.5 }],
    ['register 11', { ...fine, dst: 11 }],
    ['a negative register', { ...fine, dst: -1 }],
    ['a jump of 16 bits', { ...fine, opcode: 0x05, offset: 0x8000 }],
    ['NaN', { ...fine, imm: Number.NaN }],
    ['a second immediate where there is none', { ...fine, immHigh: 0 }],
  ];
  for (const [what, instruction] of refused) {
    it(`refuses ${what} and says where`, () => {
      assert.throws(
        () => encode([fine, instruction]),
        (error) => error instanceof ArgumentError && error.message.startsWith('instruction 1 (slot 1): '),
      );
    });
  }
});
