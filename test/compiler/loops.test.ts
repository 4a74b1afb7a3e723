import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compile, program } from '../../src/compiler/index.ts';
import { parseProgram, serializeProgram } from '../../src/spec/index.ts';
import { agree, noise, noises } from './agree.ts';

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
    assert.throws(
      () => compile(rows, { features: [] }),
      /may meet .* conditions and bounds checks.* more than a verifier keeps in mind/,
    );
    agree(rows, noises(4, 64, 90));
  });
});

describe('long loops', () => {
  const search = program('search', {}, (_, pkt) => {
    let n = pkt.be32(0) & 0x3ffff;
    for (let i = 0; i < 100_000; i++) {
      if (n === 77) return i > 50_000 ? 'drop' : 'tx';
      n = (n * 5 + 1) & 0x3ffff;
    }
    return 'pass';
  });

  it('search through 100,000 steps', () => {
    const frame = (n: number): Uint8Array => {
      const bytes = new Uint8Array(60);
      new DataView(bytes.buffer).setUint32(0, n);
      return bytes;
    };
    // Which start comes to 77 after how many steps.
    const starts: number[] = [];
    for (let i = 0, n = 77; i <= 100_000; i++) {
      if ([0, 1, 50_000, 50_001, 99_999, 100_000].includes(i)) starts.push(n);
      n = Number((BigInt(n - 1 + 0x40000) * INVERSE) & 0x3ffffn);
    }
    const verdicts = agree(search, starts.map(frame)).map(({ verdict }) => verdict);
    assert.deepEqual(verdicts, ['tx', 'tx', 'tx', 'drop', 'drop', 'pass']);
  });

  it('sum up 9,000 bytes in several buffers', () => {
    const sums = program(
      'sums',
      {},
      (_, pkt) => {
        const { length } = pkt;
        if (length > 9000) return 'aborted';
        let sum = 0;
        for (let i = 0; i + 1 < length; i += 2) sum += pkt.whole.be16(i);
        sum = (sum & 0xffff) + (sum >>> 16);
        sum = (sum & 0xffff) + (sum >>> 16);
        pkt.store.be16(0, ~sum & 0xffff);
        return sum === 0xffff ? 'drop' : 'pass';
      },
      { frags: true },
    );
    assert.throws(() => compile(sums, { features: [] }), /more than a verifier/);
    agree(
      sums,
      [60, 1500, 3520, 3521, 8999, 9000].map((length) => noise(length, length)),
    );
  });

  it('say what they need, and are refused where it is not to be had', () => {
    const spec = compile(search);
    assert.deepEqual(spec.needs, ['may-goto']);
    assert.equal(spec.fallback, undefined);
    assert.deepEqual(parseProgram(serializeProgram(spec)), spec);
    assert.throws(
      () => compile(search, { features: [] }),
      /may run 100000 times, more than a verifier follows/,
    );
    const endless = program('endless', {}, (_, pkt) => {
      let n = pkt.u8(0);
      for (let i = 0; i < 200_000; i++) n = (n * 5 + 1) & 0xff;
      return n === 3 ? 'drop' : 'pass';
    });
    assert.throws(
      () => compile(endless),
      /may run 200000 iterations in all, and the kernel ends them after 131000/,
    );
  });

  it('come in both forms where a verifier may lose its way', () => {
    const tangled = program('tangled', {}, (_, pkt) => {
      const limit = pkt.length & 0x3f;
      let hits = 0;
      for (let i = 0; i < 40; i++) {
        let n = 0;
        for (let j = 0; j < limit; j++) n += pkt.u8(j) & 1;
        if (pkt.u8(n + i) > 100) hits += 1;
        if (hits > 30) return 'drop';
      }
      pkt.store.u8(hits, 1);
      return 'pass';
    });
    const spec = compile(tangled);
    assert.deepEqual(spec.needs, ['may-goto']);
    assert.notEqual(spec.fallback, undefined);
    assert.deepEqual(parseProgram(serializeProgram(spec)), spec);
    agree(tangled, noises(12, 60, 200));
  });
});

/** 5 has an inverse among the odd numbers below 2^18. */
const INVERSE = 52429n;
