import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CodecError } from '../../src/error.ts';
import { CaptureReader, decodeName, PacketLayers } from '../../src/packet/index.ts';
import { generatePacket, KINDS } from './corpus.ts';
import { DECODERS, type Decoder } from './decoders.ts';
import { Random } from './random.ts';

const LEAD = 16;
const TRAIL = 64;

/**
 * What a decoder makes of bytes that lie in the middle of others.
 *
 * It may refuse them, but only with a CodecError; and it must not depend on what is around them.
 */
function outcome(decoder: Decoder, data: Uint8Array): unknown {
  // The poisons differ in every bit, so that a single bit read from outside shows.
  const [one, other] = [0x00, 0xff].map((poison) => {
    const bytes = new Uint8Array(LEAD + data.length + TRAIL).fill(poison);
    bytes.set(data, LEAD);
    try {
      return { value: decoder(bytes, LEAD, LEAD + data.length) };
    } catch (error) {
      if (error instanceof CodecError) return { refused: error.message, offset: error.offset };
      throw error;
    }
  });
  assert.deepEqual(one, other);
  return one;
}

describe('decoders', () => {
  for (const [name, decoder] of DECODERS) {
    it(`${name}: random bytes give a result or a CodecError, and nothing outside them is read`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), (data) => {
          outcome(decoder, data);
        }),
        { numRuns: 300 },
      );
    });
  }

  it('read nothing outside damaged packets, at any layer, whole or cut', () => {
    const random = new Random(3);
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < 20 * KINDS.length; i++) {
      const packet = generatePacket(random, KINDS[i % KINDS.length]!);
      const layers = new PacketLayers().decode(packet);
      for (let layer = 0; layer < layers.count; layer++) {
        const data = packet.slice(layers.offsets[layer]!, layers.ends[layer]!);
        for (let damage = random.below(4); damage > 0; damage--) {
          data[random.below(Math.min(data.length, 64))] = random.u8();
        }
        const cut = random.bit() ? data : data.subarray(0, random.below(data.length + 1));
        for (const [name, decoder] of DECODERS) {
          const result = outcome(decoder, cut) as { refused?: string };
          if (result.refused === undefined) accepted++;
          else refused++;
          assert.ok(result.refused !== '', name);
        }
      }
    }
    // Both ways must have been taken often, or the damage was too small or too great to show anything.
    assert.ok(accepted > 10_000 && refused > 10_000, `${accepted} accepted, ${refused} refused`);
  });

  it('refuse ranges that are not within the bytes', () => {
    const bytes = new Uint8Array(64);
    for (const [name, decoder] of DECODERS) {
      for (const [offset, end] of [
        [-1, 64],
        [0.5, 64],
        [Number.NaN, 64],
        [0, 65],
        [60, 40],
        [2 ** 33, 2 ** 33 + 60],
      ] as const) {
        assert.throws(() => decoder(bytes, offset, end), CodecError, `${name} from ${offset} to ${end}`);
      }
    }
  });
});

describe('hostile names', () => {
  const read = (...bytes: number[]): string => decodeName(Uint8Array.from(bytes), 0, 12, bytes.length);
  const header = Array<number>(12).fill(0);

  it('may not point at themselves, forward, or in a circle', () => {
    for (const name of [
      [0xc0, 12],
      [0xc0, 14, 0],
      [1, 97, 0xc0, 12],
      [1, 97, 0xc0, 14],
      [0xff, 0xff],
    ]) {
      assert.throws(() => read(...header, ...name), { code: 'BW_CODEC', message: /forward/ });
    }
    // Two names that point at each other: the first of them points forward.
    const circle = Uint8Array.from([...header, 1, 97, 0xc0, 16, 1, 98, 0xc0, 12]);
    assert.throws(() => decodeName(circle, 0, 16, circle.length), { code: 'BW_CODEC', message: /forward/ });
  });

  it('may not grow beyond 255 bytes by pointing', () => {
    // Every label but the first is followed by a pointer to the one before: 40 labels of 8 bytes each.
    const bytes = [...header, 7, ...Array<number>(7).fill(97), 0];
    let previous = 12;
    for (let i = 0; i < 40; i++) {
      const start = bytes.length;
      bytes.push(7, ...Array<number>(7).fill(98), 0xc0 | (previous >> 8), previous & 0xff);
      previous = start;
    }
    const message = Uint8Array.from(bytes);
    assert.throws(() => decodeName(message, 0, previous, message.length), { message: /more than 255 bytes/ });
  });

  it('cost no more than the message is long', () => {
    // A chain of pointers, each to the one before, is followed to its end and no further.
    const pointers = 8000;
    const message = new Uint8Array(12 + 1 + 2 * pointers);
    for (let i = 0; i < pointers; i++) {
      const target = i === 0 ? 12 : 13 + 2 * (i - 1);
      message[13 + 2 * i] = 0xc0 | (target >> 8);
      message[14 + 2 * i] = target;
    }
    assert.equal(decodeName(message, 0, 13 + 2 * (pointers - 1), message.length), '.');
  });
});

describe('hostile capture files', () => {
  it('give packets or a CodecError, whatever the bytes', () => {
    const random = new Random(4);
    const magics = [
      [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
      [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
      [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
      [],
    ];
    let errors = 0;
    for (let i = 0; i < 4000; i++) {
      const reader = new CaptureReader();
      const bytes = Uint8Array.from([...random.pick(magics), ...random.someBytes(200)]);
      try {
        for (const packet of reader.push(bytes)) assert.ok(packet.bytes.length <= bytes.length);
        reader.end();
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
        errors++;
      }
    }
    assert.ok(errors > 1000);
  });
});
