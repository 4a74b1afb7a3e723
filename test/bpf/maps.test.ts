import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  array,
  arrayOfMaps,
  BPFFS,
  BpfMap,
  cpuMap,
  devMap,
  devMapHash,
  ensureBpffs,
  hash,
  hashOfMaps,
  lpmTrie,
  lruHash,
  lruPerCpuHash,
  type MapSpec,
  perCpuArray,
  perCpuHash,
  programArray,
  RingBuffer,
  ringBuffer,
  unpin,
  xskMap,
} from '../../src/bpf/index.ts';
import { BarewireError } from '../../src/error.ts';
import { be16, be32, bytes, i32, array as list, struct, u8, u16, u32, u64 } from '../../src/layout/index.ts';
import { possibleCpus, requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
after(() => requireNoLeaks(before));

const Rule = struct('Rule', { hits: u64, port: be16, label: bytes(5), weight: i32 });
const rule = (hits: bigint) => ({ hits, port: 53, label: Uint8Array.of(1, 2, 3, 4, 5), weight: -7 });

describe('a hash map', () => {
  it('reads what was written, tells absent from present, and knows the modes of writing', () => {
    using map = BpfMap.create(hash('rules', be32, Rule, 16));
    assert.equal(map.get(1), undefined);
    map.set(1, rule(2n ** 63n));
    assert.deepEqual(map.get(1), rule(2n ** 63n));
    assert.equal(map.has(1), true);
    assert.equal(map.has(2), false);
    assert.throws(() => map.set(1, rule(0n), 'create'), { code: 'BW_EXISTS' });
    assert.throws(() => map.set(2, rule(0n), 'replace'), { code: 'BW_NOT_FOUND' });
    map.set(2, rule(5n), 'create');
    assert.deepEqual(map.take(2), rule(5n));
    assert.equal(map.delete(2), false);
    assert.equal(map.delete(1), true);
    assert.equal([...map].length, 0);
  });

  it('takes and gives packed entries, and tells which were there', () => {
    for (const map of [
      BpfMap.create(hash('packed', be32, u32, 20_000, { noPrealloc: true })),
      BpfMap.create(lpmTrie('trie', 4, u32, 20_000)),
    ]) {
      using owned = map as unknown as BpfMap;
      const keySize = owned.spec.key.size;
      const count = 10_000;
      const keys = new Uint8Array(count * keySize);
      const values = new Uint8Array(count * 4);
      const view = new DataView(keys.buffer);
      for (let i = 0; i < count; i++) {
        if (keySize === 8) view.setUint32(i * 8, 32, true);
        view.setUint32((i + 1) * keySize - 4, i);
        new DataView(values.buffer).setUint32(i * 4, i, true);
      }
      assert.equal(owned.insertPacked(keys.subarray(0, 7 * keySize), values, 7), 7);
      const present: number[] = [];
      assert.equal(
        owned.insertPacked(keys, values, count, (index) => present.push(index)),
        count - 7,
      );
      assert.deepEqual(present, [0, 1, 2, 3, 4, 5, 6]);
      let sum = 0;
      let seen = 0;
      for (const part of owned.packedEntries()) {
        seen += part.count;
        for (let i = 0; i < part.count; i++) sum += part.valueView.getUint32(i * 4, true);
      }
      assert.deepEqual([seen, sum], [count, (count * (count - 1)) / 2]);
      const even = Buffer.concat(
        Array.from({ length: count / 2 }, (_, i) => keys.subarray(2 * i * keySize, (2 * i + 1) * keySize)),
      );
      assert.equal(owned.deletePacked(even, count / 2), count / 2);
      assert.equal(owned.deletePacked(keys, count), count / 2);
      assert.equal([...owned.packedEntries()].length, 0);
    }
  });

  it('says that it is full, and how full', () => {
    using map = BpfMap.create(hash('small', u32, u32, 2));
    map.set(1, 1);
    map.set(2, 2);
    assert.throws(
      () => map.set(3, 3),
      (error: unknown) =>
        error instanceof BarewireError &&
        error.code === 'BW_LIMIT' &&
        /'small'/.test(error.message) &&
        /2 entries/.test(error.hint ?? ''),
    );
  });

  it('refuses values that do not fit, by the name of the field', () => {
    using map = BpfMap.create(hash('rules', u16, Rule, 4));
    assert.throws(() => map.set(70_000, rule(0n)), {
      code: 'BW_ARGUMENT',
      message: /70000 does not fit u16/,
    });
    assert.throws(() => map.set(1, { ...rule(0n), port: -1 }), {
      message: /^Rule\.port: -1 does not fit be16/,
    });
    assert.throws(() => map.set(1, { ...rule(0n), hits: 1 as never }), { message: /Rule\.hits/ });
    assert.throws(() => map.set(1, { ...rule(0n), label: new Uint8Array(4) }), {
      message: /Rule\.label.*5 bytes/,
    });
  });

  it('says what was closed', () => {
    const map = BpfMap.create(hash('gone', u32, u32, 1));
    map.close();
    map.close();
    assert.throws(() => map.get(1), { code: 'BW_CLOSED', message: /map 'gone'/ });
  });

  it('shows other tools its types', () => {
    using map = BpfMap.create(hash('rules', be32, Rule, 4));
    map.set(0x0a000001, rule(7n));
    const dump = execFileSync('bpftool', ['-j', 'map', 'dump', 'id', String(map.info().id)], {
      encoding: 'utf8',
    });
    const [entry] = JSON.parse(dump) as [{ formatted: { value: Record<string, unknown> } }];
    assert.equal(entry.formatted.value.hits, 7);
    assert.equal(entry.formatted.value.weight, -7);
  });
});

describe('many entries at once', () => {
  it('equal a plain Map after any sequence of operations', () => {
    const operation = fc.oneof(
      fc.record({
        do: fc.constant('setMany' as const),
        entries: fc.array(fc.tuple(fc.nat(40), fc.nat()), { maxLength: 30 }),
      }),
      fc.record({ do: fc.constant('deleteMany' as const), keys: fc.array(fc.nat(40), { maxLength: 30 }) }),
      fc.record({ do: fc.constant('set' as const), key: fc.nat(40), value: fc.nat() }),
      fc.record({ do: fc.constant('delete' as const), key: fc.nat(40) }),
      fc.record({ do: fc.constant('clear' as const) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
        using map = BpfMap.create(hash('model', u32, u32, 64));
        const model = new Map<number, number>();
        for (const op of operations) {
          switch (op.do) {
            case 'setMany':
              map.setMany(op.entries);
              for (const [key, value] of op.entries) model.set(key, value);
              break;
            case 'deleteMany':
              assert.equal(map.deleteMany(op.keys), op.keys.filter((key) => model.delete(key)).length);
              break;
            case 'set':
              map.set(op.key, op.value);
              model.set(op.key, op.value);
              break;
            case 'delete':
              assert.equal(map.delete(op.key), model.delete(op.key));
              break;
            case 'clear':
              assert.equal(map.clear(), model.size);
              model.clear();
          }
        }
        const byKey = (a: [number, number], b: [number, number]) => a[0] - b[0];
        assert.deepEqual([...map].sort(byKey), [...model].sort(byKey));
        assert.deepEqual([...map.keys()].sort(), [...model.keys()].sort());
      }),
      { numRuns: 60 },
    );
  });

  it('cross the size of a batch', () => {
    using map = BpfMap.create(hash('large', u32, u64, 20_000));
    const count = 10_001;
    assert.equal(map.setMany(Array.from({ length: count }, (_, i) => [i, BigInt(i)] as const)), count);
    let sum = 0n;
    for (const [key, value] of map) {
      assert.equal(BigInt(key), value);
      sum += value;
    }
    assert.equal(sum, BigInt((count * (count - 1)) / 2));
    assert.equal(map.deleteMany(Array.from({ length: count }, (_, i) => 2 * i)), 5001);
    assert.equal([...map.keys()].length, 5000);
  });

  it('tell at which entry the map was full', () => {
    using map = BpfMap.create(hash('tight', u32, u32, 10));
    const entries = Array.from({ length: 12 }, (_, i) => [i, i] as const);
    assert.throws(() => map.setMany(entries), { code: 'BW_LIMIT', message: /entry 11 / });
  });

  it('go in packed as well', () => {
    using map = BpfMap.create(hash('packed', be32, u16, 10));
    const keys = Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2);
    map.setPacked(keys, Uint8Array.of(1, 0, 2, 0), 2);
    assert.deepEqual(
      new Map(map),
      new Map([
        [0x0a000001, 1],
        [0x0a000002, 2],
      ]),
    );
    assert.throws(() => map.setPacked(keys, new Uint8Array(4), 3), { code: 'BW_ARGUMENT' });
  });

  it('fall back to single calls where the type knows no batches', () => {
    using inner = BpfMap.create(array('inner', u32, 1));
    using map = BpfMap.create(hashOfMaps('outer', u32, array('inner', u32, 1), 4));
    assert.equal(
      map.setMany([
        [1, inner],
        [2, inner],
      ]),
      2,
    );
    const id = inner.info().id;
    assert.deepEqual(
      new Map(map),
      new Map([
        [1, id],
        [2, id],
      ]),
    );
    assert.equal(map.clear(), 2);
  });
});

describe('every map type', () => {
  it('arrays have all entries from the start, and refuse an index beyond their end', () => {
    using map = BpfMap.create(array('slots', struct('Slot', { a: u8, b: list(u16, 3) }), 3));
    assert.deepEqual(
      [...map],
      [0, 1, 2].map((i) => [i, { a: 0, b: [0, 0, 0] }]),
    );
    map.set(2, { a: 9, b: [1, 2, 3] });
    assert.deepEqual(map.get(2), { a: 9, b: [1, 2, 3] });
    assert.equal(map.get(3), undefined);
    assert.throws(() => map.set(3, { a: 0, b: [0, 0, 0] }), { code: 'BW_LIMIT', hint: /beyond/ });
  });

  it('per-CPU maps hold a value for each possible CPU, whatever its size', () => {
    const cpus = possibleCpus();
    for (const spec of [
      perCpuArray('c', u8, 4),
      perCpuHash('c', u32, u8, 4),
      lruPerCpuHash('c', u32, u8, 64),
    ]) {
      using map = BpfMap.create(spec as MapSpec<'percpu_hash', number, number>);
      const values = Array.from({ length: cpus }, (_, cpu) => cpu + 1);
      map.set(1, values);
      assert.deepEqual(map.get(1), values);
      map.setMany([[2, values]]);
      assert.deepEqual(new Map(map).get(2), values);
      assert.throws(() => map.set(1, [1, 2, 3, 4, 5, 6, 7, 8, 9].slice(0, cpus + 1)), {
        code: 'BW_ARGUMENT',
      });
    }
  });

  it('an LRU hash drops the oldest instead of being full', () => {
    using map = BpfMap.create(lruHash('recent', u32, u32, 64));
    for (let i = 0; i < 1000; i++) map.set(i, i);
    const left = [...map.keys()];
    assert.ok(left.length > 0 && left.length <= 64);
    assert.ok(left.includes(999));
  });

  it('an LPM trie answers with the longest prefix, IPv4 and IPv6', () => {
    using v4 = BpfMap.create(lpmTrie('v4', 4, u32, 10));
    v4.set({ prefixlen: 8, address: Uint8Array.of(10, 0, 0, 0) }, 8);
    v4.set({ prefixlen: 24, address: Uint8Array.of(10, 1, 2, 0) }, 24);
    v4.set({ prefixlen: 0, address: new Uint8Array(4) }, 1);
    const find = (...address: number[]) => v4.get({ prefixlen: 32, address: Uint8Array.from(address) });
    assert.deepEqual([find(10, 1, 2, 3), find(10, 9, 9, 9), find(11, 0, 0, 1)], [24, 8, 1]);
    assert.equal([...v4].length, 3);
    using v6 = BpfMap.create(lpmTrie('v6', 16, u64, 10));
    const address = new Uint8Array(16);
    address[0] = 0x20;
    v6.set({ prefixlen: 32, address }, 6n);
    address[15] = 1;
    assert.equal(v6.get({ prefixlen: 128, address }), 6n);
  });

  it('maps of maps take maps and answer with ids', () => {
    const innerSpec = hash('inner', u32, u32, 4);
    using inner = BpfMap.create(innerSpec);
    using outer = BpfMap.create(arrayOfMaps('outer', innerSpec, 2));
    outer.set(1, inner);
    assert.equal(outer.get(1), inner.info().id);
    assert.equal(outer.get(0), undefined);
    assert.throws(() => outer.set(0, 5 as never), { code: 'BW_ARGUMENT' });
  });

  it('redirect and tail-call maps are created, and say what user space may not do', () => {
    using sockets = BpfMap.create(xskMap('sockets', 4));
    assert.throws(() => sockets.get(0), { code: 'BW_UNSUPPORTED', hint: /xskmap/ });
    using programs = BpfMap.create(programArray('programs', 4));
    assert.equal(programs.get(0), undefined);
    using cpus = BpfMap.create(cpuMap('cpus', 2));
    cpus.set(0, { qsize: 192, prog: 0 });
    assert.equal(cpus.get(0)?.qsize, 192);
    using devices = BpfMap.create(devMap('devices', 2));
    assert.throws(() => devices.set(0, { ifindex: 987_654, prog: 0 }), { code: 'BW_INVALID' });
    using byKey = BpfMap.create(devMapHash('by_key', 2));
    assert.deepEqual([...byKey.keys()], []);
  });

  it('a map that cannot be made says why', () => {
    assert.throws(() => hash('bad name', u32, u32, 1), { code: 'BW_ARGUMENT' });
    assert.throws(() => hash('none', u32, u32, 0), { code: 'BW_ARGUMENT' });
    assert.throws(() => ringBuffer('ring', u32, 5000), { code: 'BW_ARGUMENT' });
    assert.throws(
      () => BpfMap.create(lpmTrie('wide', 255, bytes(2 ** 24), 2 ** 30)),
      (error: unknown) => error instanceof BarewireError,
    );
  });
});

it('a frozen map cannot be written', () => {
  using map = BpfMap.create(array('frozen', u32, 1));
  map.set(0, 42);
  map.freeze();
  assert.throws(() => map.set(0, 1), { code: 'BW_PERMISSION', hint: /frozen/ });
  assert.equal(map.get(0), 42);
});

it('a pinned map outlives its descriptor, and a pin of another shape is told by its field', () => {
  ensureBpffs();
  const path = `${BPFFS}/barewire-test-${process.pid}/pinned`;
  const spec = hash('pinned', be32, u64, 100);
  const map = BpfMap.create(spec);
  map.pin(path);
  map.set(1, 2n);
  assert.throws(() => map.pin(path), { code: 'BW_EXISTS' });
  map.close();
  using again = BpfMap.openPinned(spec, path);
  assert.equal(again.get(1), 2n);
  const mismatch = (other: MapSpec, words: RegExp) =>
    assert.throws(() => BpfMap.openPinned(other, path), { code: 'BW_PIN_MISMATCH', message: words });
  mismatch(hash('pinned', be32, u32, 100), /value size is 8 instead of 4/);
  mismatch(hash('pinned', u64, u64, 100), /key size is 4 instead of 8/);
  mismatch(hash('pinned', be32, u64, 101), /max entries is 100 instead of 101/);
  mismatch(lruHash('pinned', be32, u64, 100), /type is hash instead of lru_hash/);
  mismatch(hash('pinned', be32, u64, 100, { noPrealloc: true }), /flags is 0x0 instead of 0x1/);
  assert.equal(unpin(path), true);
  assert.equal(unpin(path), false);
  assert.throws(() => BpfMap.openPinned(spec, path), { code: 'BW_NOT_FOUND' });
  assert.throws(() => again.pin('/tmp/not-on-bpffs'), { code: 'BW_NO_BPFFS', hint: /mount -t bpf/ });
  execFileSync('rmdir', [`${BPFFS}/barewire-test-${process.pid}`]);
});

it('a ring buffer gives its memory back', () => {
  const stock = takeStock();
  const ring = RingBuffer.create(ringBuffer('ring', u32, 8192));
  assert.equal(ring.info().type, 'ringbuf');
  assert.equal(
    ring.drain(() => assert.fail('nothing was written')),
    0,
  );
  ring.close();
  ring.close();
  requireNoLeaks(stock);
});
