import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compile, program } from '../../src/compiler/index.ts';
import { agree } from './agree.ts';

describe('loops up to a limit that is no constant', () => {
  it('end where a limit that is worked out anew sinks below zero', () => {
    const sinking = program(
      'sinking',
      {},
      (_, pkt) => {
        let n = 0;
        for (let i = 0; i < pkt.u8(0) - 5; i++) {
          pkt.store.u8(0, 0);
          n += 1;
        }
        return n > 0 ? 'drop' : 'tx';
      },
      { onShort: 'pass' },
    );
    const packets = [0, 5, 6, 10, 255].map((first) =>
      Uint8Array.from([first, ...new Array<number>(59).fill(1)]),
    );
    const results = agree(sinking, packets);
    assert.deepEqual(
      results.map((result) => result.verdict),
      ['tx', 'tx', 'drop', 'drop', 'drop'],
    );
  });

  it('load inside another loop that leaves the limit alone', () => {
    const nested = program(
      'nested',
      {},
      (_, pkt) => {
        const length = pkt.u8(0) % 128;
        let sum = 0;
        for (let i = 0; i < (pkt.u8(i) & 0xf); i++) {
          const last = 14 + length - 1;
          for (let j = 14; j < last; j += 2) sum += pkt.le16(j);
          if (pkt.u8(i) === 7) continue;
          sum += 1;
        }
        return (sum & 1) === 0 ? 'drop' : 'tx';
      },
      { onShort: 'pass' },
    );
    agree(
      nested,
      [0, 1, 2, 33, 127, 255].map((first) =>
        Uint8Array.from([first, ...Array.from({ length: 159 }, (_, i) => (i * 37 + first) & 0xff)]),
      ),
    );
  });

  it('are refused where all of them together are more than a verifier keeps in mind', () => {
    const rows = program('rows', {}, (_, pkt) => {
      let sum = 0;
      for (let i = 0; i < 3000; i++) if (pkt.u8(i & 63) > 3) sum += 1;
      for (let i = 0; i < 3000; i++) if (pkt.u8(i & 63) > 5) sum += 1;
      return sum > 9 ? 'drop' : 'pass';
    });
    assert.throws(() => compile(rows), /the loops up to here may meet .* more than a verifier keeps in mind/);
  });
});
