import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CodecError } from '../../src/error.ts';
import { arePppOptions, arePppoeTags, decodePppOptions, decodePppoeTags } from '../../src/packet/index.ts';

/** Whether a decoder takes the bytes; any other error than its own fails the test. */
function takes(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    assert.ok(error instanceof CodecError);
    return false;
  }
}

describe('what tells well-formed options and tags without throwing', () => {
  const bytes = fc.array(fc.nat(12), { maxLength: 40 }).map((list) => Uint8Array.from(list));
  const range = fc.tuple(bytes, fc.nat(40), fc.nat(40)).map(([data, a, b]) => {
    const [from, to] = [Math.min(a, b, data.length), Math.min(Math.max(a, b), data.length)];
    return [data, from, to] as const;
  });

  it('agrees with the decoders on every range of random bytes', () => {
    fc.assert(
      fc.property(range, ([data, from, to]) => {
        assert.equal(
          arePppOptions(data, from, to),
          takes(() => decodePppOptions(data, from, to)),
        );
        assert.equal(
          arePppoeTags(data, from, to),
          takes(() => decodePppoeTags(data, from, to)),
        );
      }),
      { numRuns: 2000 },
    );
  });
});
