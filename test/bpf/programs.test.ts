import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import {
  add64,
  assemble,
  at,
  atomicAdd,
  call,
  exit,
  func,
  type Item,
  jeq,
  jgt,
  label,
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r9,
  r10,
  st,
  stx,
} from '../../src/asm/index.ts';
import {
  array,
  BPFFS,
  ensureBpffs,
  FEATURE_SINCE,
  FEATURES,
  load,
  type MapSpecs,
  objectIds,
  openById,
  Program,
  type ProgramSpec,
  perCpuArray,
  probe,
  probeHelper,
  probeMapType,
  ringBuffer,
  unpin,
  VerifierError,
} from '../../src/bpf/index.ts';
import { struct, u32, u64 } from '../../src/layout/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { kernelSince } from '../kernel-since.ts';

const before = takeStock();
after(() => requireNoLeaks(before));

const frame = new Uint8Array(64);

function spec<M extends MapSpecs>(name: string, maps: M, ...items: Item[]): ProgramSpec<M> {
  const assembly = assemble([func(name, 1), ...items]);
  return { name, type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL', maps, ...assembly };
}

const count = spec(
  'count',
  { hits: perCpuArray('hits', u64, 1) },
  st('u32', r10, -4, 0),
  mov64(r2, r10),
  add64(r2, -4),
  mapByName(r1, 'hits'),
  call('map_lookup_elem'),
  jeq(r0, 0, 'out'),
  mov64(r1, 1),
  stx('u64', r10, r1, -16),
  atomicAdd('u64', r0, r1, 0),
  label('out'),
  mov64(r0, 2),
  exit(),
);

describe('a program', () => {
  it('is loaded with its maps, runs on given bytes, and tells about itself', () => {
    using loaded = load(count);
    const run = loaded.program.testRun({ data: frame, repeat: 1000 });
    assert.equal(run.action, 'pass');
    assert.equal(run.data.length, 64);
    const sum = loaded.maps.hits.get(0)?.reduce((a, b) => a + b);
    assert.equal(sum, 1000n);
    const info = loaded.program.info();
    assert.equal(info.name, 'count');
    assert.equal(info.type, 'xdp');
    assert.deepEqual(info.mapIds, [loaded.maps.hits.info().id]);
    assert.ok(info.verifiedInstructions > 0);
    const [theirs] = [
      JSON.parse(
        execFileSync('bpftool', ['-j', 'prog', 'show', 'id', String(info.id)], { encoding: 'utf8' }),
      ),
    ] as [{ tag: string; bytes_xlated: number; map_ids: number[] }];
    assert.equal(theirs.tag, info.tag);
    assert.equal(theirs.bytes_xlated, info.translatedSize);
    assert.deepEqual(theirs.map_ids, info.mapIds);
  });

  it('shares maps with another when it is given them, and leaves them to their owner', () => {
    using first = load(count);
    const second = load(count, { maps: { hits: first.maps.hits } });
    second.program.testRun({ data: frame });
    second.close();
    second.close();
    assert.equal(
      first.maps.hits.get(0)?.reduce((a, b) => a + b),
      1n,
    );
    using wrong = load(spec('other', { hits: array('hits', u32, 1) }, mov64(r0, 2), exit()));
    assert.throws(() => load(count, { maps: { hits: wrong.maps.hits as never } }), {
      code: 'BW_PIN_MISMATCH',
    });
    assert.throws(() => load(count, { maps: { nonsense: first.maps.hits } as never }), {
      code: 'BW_ARGUMENT',
    });
  });

  it('that the verifier refuses is explained with the line of source', () => {
    const source = { file: 'filter.ts', line: 12, column: 3, text: 'return pkt.u8(0);' };
    const bad = spec('reader', {}, ldx('u32', r2, r1, 0), at(source, ldx('u8', r0, r2, 0)), exit());
    assert.throws(
      () => load(bad),
      (error: unknown) => {
        assert.ok(error instanceof VerifierError);
        assert.equal(error.code, 'BW_VERIFIER');
        assert.match(error.message, /'reader' at `return pkt\.u8\(0\);.*`: .*(invalid access to packet|R2)/);
        assert.match(error.log, /processed \d+ insns/);
        assert.match(error.source ?? '', /filter\.ts:12/);
        return true;
      },
    );
  });

  it('whose log is long is explained all the same', () => {
    const branches = Array.from({ length: 3000 }, (_, i) => [
      ldx('u32', r3, r1, 16),
      jeq(r3, i, `next${i}`),
      mov64(r4, i),
      label(`next${i}`),
    ]);
    const bad = spec('long', {}, ...branches.flat(), mov64(r0, r9), exit());
    assert.throws(
      () => load(bad),
      (error: unknown) =>
        error instanceof VerifierError && error.log.length > 100_000 && /R9/.test(error.message),
    );
  });

  it('keeps the log on success when asked', () => {
    using loaded = load(count, { logLevel: 2 });
    assert.match(loaded.program.log ?? '', /processed \d+ insns/);
  });

  it('whose map is missing is not loaded', () => {
    assert.throws(() => Program.load(count, {}), { code: 'BW_ARGUMENT', message: /'hits'/ });
  });

  it('can be pinned and opened again', () => {
    ensureBpffs();
    const path = `${BPFFS}/barewire-prog-${process.pid}`;
    const loaded = load(count);
    const { id } = loaded.program.info();
    loaded.program.pin(path);
    loaded.close();
    using again = Program.openPinned(path);
    assert.equal(again.info().id, id);
    assert.ok(unpin(path));
  });

  it('is found among all objects of the kernel', () => {
    using loaded = load(count);
    const { id } = loaded.program.info();
    assert.ok([...objectIds('program')].includes(id));
    using opened = openById('program', id);
    assert.ok(opened !== undefined);
    assert.equal(openById('program', 2 ** 31 - 2), undefined);
  });

  it('refuses frames that are none', () => {
    using loaded = load(count);
    assert.throws(() => loaded.program.testRun({ data: new Uint8Array(13) }), { code: 'BW_ARGUMENT' });
    assert.throws(() => loaded.program.testRun({ data: frame, context: { ingressIfindex: 987_654 } }), {
      code: 'BW_NOT_FOUND',
    });
  });
});

const Event = struct('Event', { length: u32, sequence: u32 });

/** Writes the frame's first 4 bytes as an event's sequence; drops the frame when the ring is full. */
const emit = spec(
  'emit',
  { events: ringBuffer('events', Event, 4096) },
  ldx('u32', r2, r1, 0),
  ldx('u32', r3, r1, 4),
  mov64(r4, r2),
  add64(r4, 14),
  mov64(r0, 1),
  jgt(r4, r3, 'out'),
  ldx('u32', r4, r2, 0),
  st('u32', r10, -8, 64),
  stx('u32', r10, r4, -4),
  mapByName(r1, 'events'),
  mov64(r2, r10),
  add64(r2, -8),
  mov64(r3, 8),
  mov64(r4, 0),
  call('ringbuf_output'),
  label('out'),
  exit(),
);

describe('a ring buffer', () => {
  const send = (program: Program, sequence: number) => {
    const data = new Uint8Array(64);
    new DataView(data.buffer).setUint32(0, sequence, true);
    return program.testRun({ data }).returned;
  };

  it('hands over events in order, across its wrap, and each one once', () => {
    using loaded = load(emit);
    let next = 0;
    // 16 bytes a record, 4096 bytes of ring: 256 records; 5000 wrap it twenty times.
    for (let sent = 0; sent < 5000; sent++) {
      assert.equal(send(loaded.program, sent), 0);
      if (sent % 100 === 99) {
        const drained = loaded.maps.events.drain((view, offset, length) => {
          assert.equal(length, 8);
          assert.equal(view.getUint32(offset + 4, true), next++);
        });
        assert.equal(drained, 100);
      }
    }
    assert.equal(next, 5000);
  });

  it('tells the program when it is full, and goes on after', () => {
    using loaded = load(emit);
    let sent = 0;
    while (send(loaded.program, sent) === 0) sent++;
    assert.equal(sent, 255, 'one record less than fits, so that a full ring is not an empty one');
    assert.equal(
      loaded.maps.events.drain(() => {}, 10),
      10,
    );
    assert.equal(send(loaded.program, 0), 0);
  });

  it('counts a record as handed over also when the callback throws', () => {
    using loaded = load(emit);
    for (let i = 0; i < 3; i++) send(loaded.program, i);
    assert.throws(() =>
      loaded.maps.events.drain(() => {
        throw new Error('mine');
      }),
    );
    const seen: number[] = [];
    loaded.maps.events.drain((view, offset) => seen.push(view.getUint32(offset + 4, true)));
    assert.deepEqual(seen, [1, 2]);
  });

  it('is an async iterator that wakes for events and ends with its signal', async () => {
    using loaded = load(emit);
    const stop = new AbortController();
    const seen: number[] = [];
    const timer = setInterval(() => {
      for (let i = 0; i < 5; i++) send(loaded.program, seen.length + i);
    }, 1);
    for await (const event of loaded.maps.events.events({ signal: stop.signal })) {
      assert.equal(event.length, 64);
      seen.push(event.sequence);
      if (seen.length === 50) {
        clearInterval(timer);
        stop.abort();
        break;
      }
    }
    assert.equal(seen.length, 50);
    const waiting = new AbortController();
    setTimeout(() => waiting.abort(), 5);
    loaded.maps.events.drain(() => {});
    for await (const event of loaded.maps.events.events({ signal: waiting.signal }))
      assert.fail(`no event: ${event.sequence}`);
  });
});

it('probes tell what this kernel has: what its version brings, and no more', () => {
  for (const feature of FEATURES) {
    // A vendor's kernel may have more than its version; Debian's and the upstream ones have not.
    assert.equal(probe(feature), kernelSince(FEATURE_SINCE[feature]), feature);
  }
  for (const type of ['hash', 'lpm_trie', 'ringbuf', 'xskmap', 'cpumap', 'hash_of_maps'] as const)
    assert.ok(probeMapType(type), type);
  assert.equal(probeHelper('redirect_map'), true);
  assert.equal(probeHelper('xdp_adjust_tail'), true);
  assert.equal(probeHelper('skb_store_bytes'), false, 'no helper of XDP programs');
});
