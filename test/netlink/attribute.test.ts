import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ArgumentError, CodecError } from '../../src/error.ts';
import {
  type Attribute,
  Attributes,
  be16Attribute,
  be32Attribute,
  bitfield32Attribute,
  bytesAttribute,
  encodeAttributes,
  flagAttribute,
  i32Attribute,
  nestedAttribute,
  stringAttribute,
  u8Attribute,
  u16Attribute,
  u32Attribute,
  u64Attribute,
} from '../../src/netlink/index.ts';

const type = fc.integer({ min: 0, max: 0x3fff });
const flat: fc.Arbitrary<Attribute> = fc
  .record({
    type,
    kind: fc.constantFrom('plain', 'nested', 'netByteOrder'),
    payload: fc.uint8Array({ maxLength: 40 }),
  })
  .map(({ type, kind, payload }) => ({
    type,
    nested: kind === 'nested',
    netByteOrder: kind === 'netByteOrder',
    payload,
  }));

describe('attributes', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(fc.array(flat, { maxLength: 12 }), (attributes) => {
        const bytes = encodeAttributes(attributes);
        assert.equal(bytes.length % 4, 0);
        const decoded = Attributes.decode(bytes).list.map((attribute) => ({
          ...attribute,
          payload: Uint8Array.from(attribute.payload),
        }));
        assert.deepEqual(decoded, attributes);
      }),
    );
  });

  it('carry every type of value, in its byte order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xff }),
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
        (u8, u16, u32, i32, u64, text) => {
          const decoded = Attributes.decode(
            encodeAttributes([
              u8Attribute(1, u8),
              u16Attribute(2, u16),
              be16Attribute(3, u16),
              u32Attribute(4, u32),
              be32Attribute(5, u32),
              i32Attribute(6, i32),
              u64Attribute(7, u64),
              stringAttribute(8, text),
              bitfield32Attribute(9, { value: u32, selector: u8 }),
              flagAttribute(10),
              bytesAttribute(11, Uint8Array.of(u8)),
              nestedAttribute(12, [nestedAttribute(1, [u32Attribute(2, u32)]), u8Attribute(3, u8)]),
            ]),
          );
          assert.equal(decoded.u8(1), u8);
          assert.equal(decoded.u16(2), u16);
          assert.equal(decoded.be16(3), u16);
          assert.equal(decoded.u32(4), u32);
          assert.equal(decoded.be32(5), u32);
          assert.equal(decoded.i32(6), i32);
          assert.equal(decoded.u64(7), u64);
          assert.equal(decoded.uint(7), u64);
          assert.equal(decoded.uint(4), BigInt(u32));
          assert.equal(decoded.string(8), text);
          assert.deepEqual(decoded.bitfield32(9), { value: u32, selector: u8 });
          assert.ok(decoded.has(10));
          assert.deepEqual([...decoded.bytes(11)!], [u8]);
          assert.equal(decoded.nested(12)!.nested(1)!.u32(2), u32);
          assert.equal(decoded.nested(12)!.u8(3), u8);
          assert.equal(decoded.u32(99), undefined);
          assert.equal(decoded.nested(99), undefined);
        },
      ),
    );
  });

  it('lie as linux/netlink.h says', () => {
    const bytes = encodeAttributes([
      u16Attribute(0x11, 0x2233),
      nestedAttribute(0x44, [be32Attribute(0x55, 0x66778899)]),
    ]);
    assert.equal(
      Buffer.from(bytes).toString('hex'),
      // length 6, type 0x11, value, padding; length 12, type 0x44 with the nested bit, the inner one.
      '06001100332200000c0044800800550066778899',
    );
  });

  it('never throw anything but CodecError and never read past the end, whatever the bytes', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Nearly right: valid ones with some bytes changed and the end cut off.
      fc
        .tuple(
          fc.array(flat, { maxLength: 6 }),
          fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
          fc.nat(),
        )
        .map(([attributes, changes, cut]) => {
          const bytes = encodeAttributes(attributes);
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
          return bytes.subarray(0, bytes.length - (cut % (bytes.length + 1)));
        }),
    );
    fc.assert(
      fc.property(hostile, (given) => {
        // In the middle of a larger buffer, so that reading past the end would show.
        const around = new Uint8Array(given.length + 64).fill(0xee);
        around.set(given, 32);
        const bytes = around.subarray(32, 32 + given.length);
        onlyCodecError(() => {
          const decoded = Attributes.decode(bytes);
          for (const attribute of decoded.list) {
            const start = attribute.payload.byteOffset - bytes.byteOffset;
            assert.ok(start >= 4 && start + attribute.payload.length <= bytes.length);
            for (const read of [
              'u8',
              'u16',
              'be16',
              'u32',
              'be32',
              'i32',
              'u64',
              'uint',
              'bitfield32',
            ] as const) {
              onlyCodecError(() => decoded[read](attribute.type));
            }
            onlyCodecError(() => decoded.struct(attribute.type, 12));
            onlyCodecError(() => decoded.nested(attribute.type));
            onlyCodecError(() => decoded.children());
            decoded.string(attribute.type);
          }
        });
      }),
      { numRuns: 3000 },
    );
  });

  it('tell where a fault lies', () => {
    const fault = (bytes: number[], base: number): number => {
      try {
        Attributes.decode(Uint8Array.from(bytes), base);
      } catch (error) {
        assert.ok(error instanceof CodecError);
        return error.offset;
      }
      return -1;
    };
    assert.equal(fault([4, 0, 1, 0, 3, 0, 1, 0], 20), 24);
    assert.equal(fault([4, 0, 1, 0, 9, 0, 1, 0], 0), 4);
    assert.equal(fault([4, 0, 1, 0, 4, 0], 0), 4);
    // The padding of the last one may be missing.
    assert.equal(fault([5, 0, 1, 0, 7], 0), -1);
    assert.throws(
      () => Attributes.decode(encodeAttributes([u8Attribute(3, 1)])).u32(3),
      /attribute 3 has 1 bytes, expected 4/,
    );
  });

  it('count the last of a type, as the kernel does, and list them all', () => {
    const decoded = Attributes.decode(encodeAttributes([u8Attribute(1, 5), u8Attribute(1, 6)]));
    assert.equal(decoded.u8(1), 6);
    assert.deepEqual(
      decoded.list.map((attribute) => attribute.payload[0]),
      [5, 6],
    );
  });

  it('refuse values that do not fit', () => {
    const wrong = [
      () => u8Attribute(1, 256),
      () => u16Attribute(1, -1),
      () => u32Attribute(1, 2 ** 32),
      () => u32Attribute(1, 1.5),
      () => i32Attribute(1, 2 ** 31),
      () => u64Attribute(1, -1n),
      () => u64Attribute(1, 1n << 64n),
      () => stringAttribute(1, 'a\0b'),
      () => encodeAttributes([bytesAttribute(0x4000, new Uint8Array(0))]),
      () => encodeAttributes([bytesAttribute(1, new Uint8Array(65_532))]),
      () => encodeAttributes([{ type: 1, nested: true, netByteOrder: true, payload: new Uint8Array(0) }]),
    ];
    for (const task of wrong) assert.throws(task, ArgumentError, String(task));
    assert.equal(encodeAttributes([bytesAttribute(1, new Uint8Array(65_531))]).length, 65_536);
  });
});

function onlyCodecError(task: () => unknown): void {
  try {
    task();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
}
