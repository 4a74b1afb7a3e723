import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { load } from '../../src/bpf/index.ts';
import { array, compile, hash, i64, program, run, struct, u32, u64 } from '../../src/compiler/index.ts';
import { agree, noise, noises } from './agree.ts';

/** Bytes that begin with these 32-bit words. */
function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(64);
  for (const [i, value] of values.entries()) new DataView(bytes.buffer).setUint32(i * 4, value);
  return bytes;
}

const EDGES = [
  0, 1, 2, 7, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fff9, 0xffff_ffff,
];
const PAIRS = EDGES.flatMap((a) => EDGES.map((b) => words(a, b)));

describe('division with signs', () => {
  const out = array('out', i64, 8);

  it('rounds as each of the ways says, by variables', () => {
    const quotients = program('quotients', { out }, ({ out }, pkt) => {
      const a = pkt.be32(0) | 0;
      const b = pkt.be32(4) | 0;
      if (b === 0) return 'tx';
      out.set(0, BigInt(Math.floor(a / b)));
      out.set(1, BigInt(Math.trunc(a / b)));
      out.set(2, BigInt(Math.ceil(a / b)));
      out.set(3, BigInt((a / b) | 0));
      out.set(4, BigInt(a % b));
      pkt.store.be32(8, Math.floor(a / b));
      pkt.store.be32(12, Math.trunc(a / b));
      pkt.store.be32(16, Math.ceil(a / b));
      pkt.store.be32(20, (a / b) | 0);
      pkt.store.be32(24, a % b);
      return a % b < 0 ? 'drop' : 'pass';
    });
    agree(quotients, PAIRS);
  });

  it('rounds as each of the ways says, by constants', () => {
    const quotients = program('quotients', { by: [7, -7, 8, -8, 1, -1, 1000] }, ({ by }, pkt) => {
      const a = (pkt.be32(0) | 0) * 3;
      let at = 0;
      for (const b of by) {
        pkt.store.be16(at, Math.floor(a / b));
        pkt.store.be16(at + 2, Math.trunc(a / b));
        pkt.store.be16(at + 4, Math.ceil(a / b));
        pkt.store.be16(at + 6, a % b);
        at += 8;
      }
      return 'pass';
    });
    agree(
      quotients,
      EDGES.map((a) => words(a)),
    );
  });

  it('does so for bigints', () => {
    const quotients = program('bigs', { out }, ({ out }, pkt) => {
      const slot = out.get(7);
      if (!slot) return 'aborted';
      slot.value = pkt.be64(0);
      const a = slot.value;
      const b = BigInt(pkt.be32(4) | 0);
      if (b === 0n) return 'tx';
      out.set(0, a / b);
      out.set(1, a % b);
      return 'pass';
    });
    agree(quotients, PAIRS);
  });
});

describe('arrays of env under an index', () => {
  const squares = Array.from({ length: 100 }, (_, i) => (i * i) & 0xff);
  const flags = Array.from({ length: 70 }, (_, i) => i % 3 === 0);
  const packets = Array.from({ length: 256 }, (_, first) => {
    const bytes = noise(60, first + 1);
    bytes[0] = first;
    return bytes;
  });

  it('give numbers, booleans, and numbers of any size', () => {
    const env = { squares, flags, wide: [5, -1, 70_000_000_000, 3], one: [9] };
    const lookUp = program('look_up', env, ({ squares, flags, wide, one }, pkt) => {
      const first = pkt.u8(0);
      pkt.store.u8(20, squares[first % 100]!);
      pkt.store.u8(21, flags[first % 70] ? 1 : 0);
      pkt.store.be64(22, BigInt(wide[first & 3]!));
      pkt.store.u8(30, one[first % 1]!);
      return first < 70 && flags[first] ? 'drop' : 'pass';
    });
    agree(lookUp, packets);
  });

  it('give objects, verdicts and bytes', () => {
    const rows = [
      { port: 53, verdict: 'drop' },
      { port: 80, verdict: 'pass' },
      { port: 7998, verdict: 'tx' },
    ] as const;
    const lookUp = program('rows', { rows, key: Uint8Array.of(9, 8, 7, 6) }, ({ rows, key }, pkt) => {
      const row = rows[pkt.u8(0) % 3]!;
      const own = pkt.bytes(1, 13);
      pkt.store.be16(20, row.port);
      pkt.store.u8(22, key[pkt.u8(0) & 3]!);
      pkt.store.u8(23, own[pkt.u8(0) % 13]!);
      return row.verdict;
    });
    agree(lookUp, packets);
  });
});

describe('entries of maps that are written', () => {
  const flows = hash('flows', u32, struct('Flow', { packets: u64 }), 64);

  it('are taken anew after an insertion', () => {
    const count = program('count', { flows }, ({ flows }, pkt) => {
      const key = pkt.u8(0) & 7;
      let flow = flows.get(key);
      if (!flow) {
        flows.insert(key, { packets: 0n });
        flow = flows.get(key);
        if (!flow) return 'aborted';
      }
      flow.packets += 1n;
      return flow.packets > 3n ? 'drop' : 'pass';
    });
    agree(count, noises(40));
  });

  it('throw in Node where the kernel would read another one', () => {
    const late = program('late', { flows }, ({ flows }, pkt) => {
      flows.set(1, { packets: 5n });
      const flow = flows.get(1);
      if (!flow) return 'aborted';
      flows.delete(pkt.u8(0));
      return flow.packets > 3n ? 'drop' : 'pass';
    });
    assert.throws(() => run(late, [new Uint8Array(14)]), /from before the map was written/);
    assert.throws(() => compile(late), /from before the map was written/);
  });
});

describe('packets in several buffers', () => {
  const out = array('out', u32, 4);
  const reach = program(
    'reach',
    { out },
    ({ out }, pkt) => {
      const off = pkt.whole.be16(0) & 0x3fff;
      out.set(0, pkt.length);
      out.set(1, pkt.has(3516, 4) ? 1 : 0);
      out.set(2, pkt.whole.u8(off));
      out.set(3, pkt.u8(off));
      pkt.store.u8(off, 7);
      return 'pass';
    },
    { frags: true, onShort: 'drop' },
  );
  const at = (offset: number, length: number): Uint8Array => {
    const bytes = noise(length, offset + 3);
    new DataView(bytes.buffer).setUint16(0, offset);
    return bytes;
  };

  it('are reached directly as far as the first one goes', () => {
    const cases = [
      [10, 60],
      [3518, 3520],
      [3519, 3520],
      [3519, 3521],
      [3520, 3521],
      [8000, 8001],
      [8001, 8001],
    ] as const;
    const verdicts = agree(
      reach,
      cases.map(([off, length]) => at(off, length)),
    ).map(({ verdict }) => verdict);
    assert.deepEqual(verdicts, ['pass', 'pass', 'pass', 'pass', 'drop', 'drop', 'drop']);
  });

  it('may begin with another one than a page', () => {
    const [near, far] = run(reach, [at(199, 300), at(200, 300)], { linear: 200 }).packets;
    assert.deepEqual([near?.verdict, far?.verdict], ['pass', 'drop']);
  });
});

describe('checksums after a change (RFC 1624)', () => {
  const replace = program('replace', {}, (_, pkt, kernel) => {
    pkt.store.be16(20, kernel.csumReplace16(pkt.be16(0), pkt.be16(2), pkt.be16(4)));
    pkt.store.be16(22, kernel.csumReplace32(pkt.be16(0), pkt.be32(8), pkt.be32(12)));
    return 'pass';
  });
  /** The checksum of words, in full. */
  const sum = (values: readonly number[]): number => {
    let total = 0;
    for (const value of values) total += value;
    while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
    return ~total & 0xffff;
  };
  const word = fc.oneof(fc.constantFrom(0, 1, 0x8000, 0xfffe, 0xffff), fc.integer({ min: 0, max: 0xffff }));

  it('are those of a full computation, in Node and in the kernel', () => {
    using loaded = load(compile(replace));
    const property = fc.property(word, word, word, word, word, word, (a, b, from, to, from2, to2) => {
      // A header never sums up to nothing but zeros: RFC 1624, section 3, is about what equation 3 makes of the rest.
      fc.pre(a !== 0 || b !== 0);
      const bytes = new Uint8Array(64);
      const view = new DataView(bytes.buffer);
      const before = sum([a, b, from, from2]);
      view.setUint16(0, sum([a, b, from]));
      view.setUint16(2, from);
      view.setUint16(4, to);
      const inNode = run(replace, [bytes]).packets[0]!.data;
      const inKernel = loaded.program.testRun({ data: bytes }).data;
      for (const data of [inNode, inKernel]) {
        assert.equal(new DataView(data.buffer, data.byteOffset).getUint16(20), sum([a, b, to]));
      }
      view.setUint16(0, before);
      view.setUint32(8, from * 65536 + from2);
      view.setUint32(12, to * 65536 + to2);
      const wideInNode = run(replace, [bytes]).packets[0]!.data;
      const wideInKernel = loaded.program.testRun({ data: bytes }).data;
      for (const data of [wideInNode, wideInKernel]) {
        assert.equal(new DataView(data.buffer, data.byteOffset).getUint16(22), sum([a, b, to, to2]));
      }
    });
    fc.assert(property, { numRuns: 400, seed: 1624 });
  });

  it('hold for the example of RFC 1624, section 4', () => {
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, 0xdd2f);
    view.setUint16(2, 0x5555);
    view.setUint16(4, 0x3285);
    const [result] = agree(replace, [bytes]);
    assert.equal(new DataView(result!.data.buffer).getUint16(20), 0, 'and not 0xffff');
  });
});
