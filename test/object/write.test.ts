import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  add64,
  assemble,
  at,
  call,
  callFunction,
  exit,
  func,
  type Item,
  jeq,
  label,
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r10,
  st,
  stx,
} from '../../src/asm/index.ts';
import { BPFFS, ensureBpffs, load, Program, unpin } from '../../src/bpf/index.ts';
import { be32, struct, u32, u64 } from '../../src/layout/index.ts';
import { writeObject } from '../../src/object/index.ts';
import { counterSpec } from '../../src/programs/counter.ts';
import {
  array,
  arrayOfMaps,
  cpuMap,
  devMap,
  devMapHash,
  hash,
  hashOfMaps,
  lpmTrie,
  lruHash,
  lruPerCpuHash,
  type MapSpec,
  type MapSpecs,
  type ProgramSpec,
  parseProgram,
  perCpuArray,
  perCpuHash,
  programArray,
  ringBuffer,
  serializeProgram,
  xskMap,
} from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { tool } from '../dev-tools.ts';

const before = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-object-'));
after(() => {
  rmSync(folder, { recursive: true, force: true });
  requireNoLeaks(before);
});
const bpftool = tool('bpftool');

function spec<M extends MapSpecs>(name: string, maps: M, ...items: Item[]): ProgramSpec<M> {
  const assembly = assemble([func(name, 1), ...items]);
  return { name, type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL', maps, ...assembly };
}

/** Looks an entry up in each map and passes. */
function touching(maps: Readonly<Record<string, MapSpec>>): ProgramSpec {
  const items = Object.keys(maps).flatMap((name, i) => [
    st('u32', r10, -4, 0),
    mov64(r2, r10),
    add64(r2, -4),
    mapByName(r1, name),
    call('map_lookup_elem'),
    jeq(r0, 0, `next${i}`),
    label(`next${i}`),
  ]);
  return spec('touching', maps, ...items, mov64(r0, 2), exit());
}

/** Loads an object with libbpf, as bpftool has it, and opens the program. */
function loadByOthers(object: Uint8Array): Program {
  ensureBpffs();
  const file = join(folder, 'program.o');
  const pin = `${BPFFS}/barewire-object-${process.pid}`;
  writeFileSync(file, object);
  try {
    const { status, stderr } = spawnSync(bpftool, ['prog', 'load', file, pin], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '', 'libbpf has nothing to remark');
    return Program.openPinned(pin);
  } finally {
    unpin(pin);
  }
}

const source = (line: number) => ({ file: 'origin.ts', line, column: 3, text: `line ${line}` });

describe('an object file of ours', () => {
  it('is loaded by libbpf and gives the verdicts of the program it came from', () => {
    const counter = counterSpec({ frags: false });
    using ours = load(counter);
    using theirs = loadByOthers(writeObject(counter));
    for (let length = 14; length < 80; length++) {
      const data = Uint8Array.from({ length }, (_, i) => (i === 12 ? 8 : i * 7));
      assert.equal(theirs.testRun({ data }).action, ours.program.testRun({ data }).action);
    }
    assert.equal(theirs.info().name, 'count_frames');
    assert.equal(theirs.info().translatedSize, ours.program.info().translatedSize);
  });

  it('keeps the lines of source', () => {
    const program = spec('lines', {}, mov64(r0, 1), at(source(7), mov64(r0, 2)), at(source(8), exit()));
    using theirs = loadByOthers(writeObject(program));
    const dump = execFileSync(bpftool, ['prog', 'dump', 'xlated', 'id', String(theirs.info().id), 'linum'], {
      encoding: 'utf8',
    });
    assert.match(dump, /; line 7 \[file:origin\.ts line_num:7 linum_col:3\]|; line 7 \[file:origin\.ts/);
    assert.match(dump, /line 8/);
  });

  it('calls functions across sections', () => {
    const program = spec(
      'caller',
      {},
      mov64(r1, 20),
      callFunction('double'),
      mov64(r1, r0),
      callFunction('increment'),
      exit(),
      func('double', 1),
      mov64(r0, r1),
      add64(r0, r1),
      stx('u64', r10, r0, -8),
      mov64(r1, r0),
      callFunction('increment'),
      ldx('u64', r0, r10, -8),
      exit(),
      func('increment', 1),
      mov64(r0, r1),
      add64(r0, 1),
      exit(),
    );
    using theirs = loadByOthers(writeObject(program));
    using ours = load(program);
    const data = new Uint8Array(64);
    assert.equal(ours.program.testRun({ data }).returned, 41);
    assert.equal(theirs.testRun({ data }).returned, 41);
  });

  it('defines every type of map', () => {
    const Rule = struct('Rule', { hits: u64, source: be32 });
    const inner = hash('inner', u32, Rule, 8);
    const plain = {
      a_hash: hash('a_hash', u32, Rule, 10),
      an_array: array('an_array', Rule, 3),
      a_pc_hash: perCpuHash('a_pc_hash', u32, Rule, 10),
      a_pc_array: perCpuArray('a_pc_array', Rule, 3),
      an_lru: lruHash('an_lru', u32, Rule, 10),
      a_pc_lru: lruPerCpuHash('a_pc_lru', u32, Rule, 10),
      outer_a: arrayOfMaps('outer_a', inner, 4),
      outer_h: hashOfMaps('outer_h', u32, inner, 4),
      devices: devMap('devices', 4),
      by_key: devMapHash('by_key', 4),
    };
    using program = loadByOthers(writeObject(touching(plain)));
    const seen = program.info().mapIds.map((id) => {
      const [map] = [
        JSON.parse(execFileSync(bpftool, ['-j', 'map', 'show', 'id', String(id)], { encoding: 'utf8' })),
      ] as [{ name: string; type: string; bytes_key: number; bytes_value: number; max_entries: number }];
      return [map.name, map.type, map.bytes_key, map.bytes_value, map.max_entries];
    });
    const wanted = Object.values(plain).map((map) => [
      map.name,
      map.type,
      map.key.size,
      map.value.size,
      map.maxEntries,
    ]);
    assert.deepEqual(seen.sort(), wanted.sort());
    // Programs cannot look into these, but can name them.
    const others: MapSpecs = {
      sockets: xskMap('sockets', 4),
      cpus: cpuMap('cpus', 2),
      programs: programArray('programs', 4),
      events: ringBuffer('events', u32, 4096),
      prefixes: lpmTrie('prefixes', 4, Rule, 10),
    };
    const names = Object.keys(others).map((name) => mapByName(r1, name));
    using naming = loadByOthers(writeObject(spec('naming', others, ...names, mov64(r0, 2), exit())));
    assert.equal(naming.info().mapIds.length, 5);
  });

  it('cannot hold two maps of one name', () => {
    const maps = { one: array('same', u32, 1), two: array('same', u64, 1) };
    assert.throws(() => writeObject(touching(maps)), { code: 'BW_ARGUMENT', message: /'same'/ });
  });
});

describe('an artifact', () => {
  it('holds all of a program', () => {
    const inner = hash('inner', u32, u64, 8, { noPrealloc: true });
    const maps = {
      tallies: perCpuArray('tallies', struct('T', { a: u64, b: be32 }), 3),
      outer: arrayOfMaps('outer', inner, 2),
      trie: lpmTrie('trie', 16, u32, 9),
    };
    const program: ProgramSpec = {
      ...spec(
        'whole',
        maps,
        at(source(1), mapByName(r1, 'tallies')),
        mov64(r0, 0),
        at(source(2), mapByName(r2, 'outer'), mapByName(r1, 'trie')),
        mov64(r0, 2),
        exit(),
      ),
      frags: true,
      license: 'MIT',
    };
    const again = parseProgram(serializeProgram(program));
    assert.deepEqual(again, program);
    using loaded = load(again);
    assert.equal(loaded.program.testRun({ data: new Uint8Array(64) }).action, 'pass');
  });

  it('that is none is told as such, whatever it is', () => {
    const good = serializeProgram(counterSpec({ frags: false }));
    const value = JSON.parse(good) as Record<string, unknown>;
    const bad: [string, RegExp][] = [
      ['', /no JSON/],
      ['null', /no object/],
      ['{}', /version undefined/],
      [JSON.stringify({ ...value, barewire: 99 }), /version 99/],
      [JSON.stringify({ ...value, code: '!!' }), /base64/],
      [JSON.stringify({ ...value, code: btoa('123') }), /./],
      [JSON.stringify({ ...value, maps: {} }), /'tallies', which is missing/],
      [JSON.stringify({ ...value, name: 'a b' }), /identifier/],
      [JSON.stringify({ ...value, attachType: 'tc' }), /attachType/],
      [JSON.stringify({ ...value, references: [[0, 'tallies']] }), /cannot name a map/],
      [
        JSON.stringify({
          ...value,
          maps: { tallies: { ...(value.maps as { tallies: object }).tallies, value: { bytes: -1 } } },
        }),
        /whole number/,
      ],
      [
        JSON.stringify({
          ...value,
          maps: {
            tallies: {
              ...(value.maps as { tallies: object }).tallies,
              value: { array: 'u64', length: 2 ** 40 },
            },
          },
        }),
        /bytes/,
      ],
      [
        JSON.stringify({
          ...value,
          maps: { tallies: { ...(value.maps as { tallies: object }).tallies, type: 'queue' } },
        }),
        /type is none of/,
      ],
    ];
    for (const [text, words] of bad)
      assert.throws(() => parseProgram(text), { code: 'BW_CODEC', message: words }, text.slice(0, 80));
    // Cut anywhere, it is no JSON any more.
    for (let end = 0; end < good.length - 1; end += 7)
      assert.throws(() => parseProgram(good.slice(0, end)), { code: 'BW_CODEC' });
  });
});
