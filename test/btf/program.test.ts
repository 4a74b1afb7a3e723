import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  assemble,
  at,
  call,
  callFunction,
  exit,
  func,
  type Item,
  lddw,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r10,
  type SourceLine,
  st,
} from '../../src/asm/index.ts';
import { BpfMap, load } from '../../src/bpf/index.ts';
import { BtfBuilder, btfOf, decodeBtf, formatDefinition, mapBtf, programBtf } from '../../src/btf/index.ts';
import { ArgumentError } from '../../src/error.ts';
import {
  array as arrayOf,
  be16,
  be32,
  be64,
  bytes,
  i8,
  i16,
  i32,
  i64,
  type Layout,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../../src/layout/index.ts';
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
  type MapSpec,
  type ProgramSpec,
  perCpuArray,
  programArray,
  ringBuffer,
  xskMap,
} from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { tool } from '../dev-tools.ts';

const before = takeStock();
after(() => requireNoLeaks(before));

function spec(items: readonly Item[], maps: Record<string, MapSpec> = {}): ProgramSpec {
  const { instructions, functions } = assemble(items, { entry: 'subject' });
  const common = { type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL' } as const;
  return { name: 'subject', ...common, instructions, functions, maps };
}

function line(number: number, column = 1): SourceLine {
  return { file: 'subject.ts', line: number, column, text: `line ${number}` };
}

/** The records of `lineInfo` as text. */
function lines(program: ProgramSpec): string[] {
  const described = programBtf(program);
  assert.ok(described !== undefined);
  const btf = decodeBtf(described.btf);
  const view = new DataView(described.lineInfo.buffer);
  return Array.from({ length: described.lineInfo.length / 16 }, (_, i) => {
    const word = (index: number): number => view.getUint32(i * 16 + index * 4, true);
    const place = `${word(3) >>> 10}:${word(3) & 0x3ff}`;
    return `${word(0)} ${btf.text(word(1))}:${place} ${btf.text(word(2))}`;
  });
}

describe('layouts', () => {
  const everything = struct('Everything', {
    a: u8,
    b: u16,
    c: u32,
    d: u64,
    e: i8,
    f: i16,
    g: i32,
    h: i64,
    i: be16,
    j: be32,
    k: be64,
    mac: bytes(6),
    table: arrayOf(arrayOf(u16, 3), 2),
    inner: struct('Inner', { x: u8, y: u64 }),
  });

  it('become the C types of the same shape', () => {
    const builder = new BtfBuilder();
    const id = btfOf(everything, builder);
    const btf = decodeBtf(builder.encode());
    assert.equal(
      formatDefinition(btf, id),
      `struct Everything {
\t__u8 a;
\t__u16 b;
\t__u32 c;
\t__u64 d;
\t__s8 e;
\t__s16 f;
\t__s32 g;
\t__s64 h;
\t__be16 i;
\t__be32 j;
\t__be64 k;
\t__u8 mac[6];
\t__u16 table[2][3];
\tstruct Inner inner;
};`,
    );
    const type = btf.type(id);
    assert.ok(type.kind === 'struct' && everything.kind === 'struct');
    assert.deepEqual(
      type.members.map((member) => ({ name: member.name, offset: member.bitOffset / 8 })),
      everything.fields.map(({ name, offset }) => ({ name, offset })),
    );
    for (const [index, field] of everything.fields.entries()) {
      assert.equal(btf.sizeOf(type.members[index]!.type), field.layout.size, field.name);
    }
    assert.equal(btf.sizeOf(id), everything.size);
  });

  it('name the integers of the kernel', () => {
    const names = new Map<Layout, string>([
      [i8, 'typedef signed char __s8;'],
      [u64, 'typedef unsigned long long __u64;'],
      [be32, 'typedef __u32 __be32;'],
    ]);
    for (const [layout, expected] of names) {
      const builder = new BtfBuilder();
      const id = btfOf(layout, builder);
      assert.equal(formatDefinition(decodeBtf(builder.encode()), id), expected);
    }
  });
});

describe('maps', () => {
  const inner = hash('inner', u32, u64, 4);
  const described: readonly MapSpec[] = [
    array('counts', u64, 2),
    hash('table', struct('Key', { port: be16, proto: u8 }), struct('Hits', { hits: u64, mac: bytes(6) }), 4),
    perCpuArray('each', u64, 2),
    lruHash('recent', be32, u64, 4),
    lpmTrie('routes', 4, u32, 4),
    programArray('jumps', 4),
    array('bytes', bytes(5), 2),
  ];
  const plain: readonly MapSpec[] = [
    xskMap('sockets', 4),
    devMap('ports', 4),
    devMapHash('ports_hash', 4),
    cpuMap('cpus', 1),
    ringBuffer('events', u64, 4096),
    arrayOfMaps('outer', inner, 2),
    hashOfMaps('outer_hash', u32, inner, 2),
  ];

  for (const map of described) {
    it(`of type ${map.type} (${map.name}) are made by the kernel with their types`, () => {
      const types = mapBtf(map);
      assert.ok(types !== undefined);
      const btf = decodeBtf(types.btf);
      assert.equal(btf.sizeOf(types.keyTypeId), map.key.size);
      assert.equal(btf.sizeOf(types.valueTypeId), map.value.size);
      using live = BpfMap.create(map);
      const { btf_id: id } = JSON.parse(bpftool('map', 'show', 'id', String(live.info().id)));
      assert.ok(id > 0, 'the kernel holds BTF for it');
    });
  }

  for (const map of plain) {
    it(`of type ${map.type} have none`, () => assert.equal(mapBtf(map), undefined));
  }

  it('show their field names in bpftool', () => {
    using live = BpfMap.create(described[1]!);
    const mac = Uint8Array.of(1, 2, 3, 4, 5, 6);
    live.set({ port: 443, proto: 6 }, { hits: 7n, mac });
    const [entry] = JSON.parse(bpftool('map', 'dump', 'id', String(live.info().id)));
    assert.deepEqual(entry.formatted ?? entry, {
      key: { port: 0xbb01, proto: 6 },
      value: { hits: 7, mac: [1, 2, 3, 4, 5, 6] },
    });
  });
});

describe('programs', () => {
  it('get a line record at every function and wherever the line changes', () => {
    const program = spec([
      at(line(3), mov64(r1, 1), mov64(r2, 2), lddw(r2, 3n)),
      at(line(3, 9), mov64(r2, 4)),
      mov64(r2, 5),
      at(line(3, 9), mov64(r2, 6)),
      at(line(4), callFunction('second')),
      callFunction('third'),
      at(line(5), exit()),
      func('second', 0),
      mov64(r0, 0),
      at(line(9), exit()),
      func('third', 0),
      mov64(r0, 0),
      exit(),
    ]);
    assert.deepEqual(lines(program), [
      '0 subject.ts:3:1 line 3',
      '4 subject.ts:3:9 line 3',
      '7 subject.ts:4:1 line 4',
      '9 subject.ts:5:1 line 5',
      '10 subject.ts:9:1 line 9',
      '12 :0:0 ',
    ]);
    using loaded = load(program);
    assert.ok(loaded.program.info().id > 0);
  });

  it('name their functions to the kernel', () => {
    const program = spec([
      callFunction('second'),
      mov64(r0, 2),
      exit(),
      func('second', 3),
      mov64(r0, 0),
      exit(),
    ]);
    using loaded = load(program);
    const text = bpftool('prog', 'dump', 'xlated', 'id', String(loaded.program.info().id), 'linum', 'PLAIN');
    assert.match(text, /^int subject\(struct xdp_md \* ctx\):$/m);
    assert.match(text, /^__u64 second\(__u64 arg1, __u64 arg2, __u64 arg3\):$/m);
    assert.equal(programBtf(program)!.lineInfo.length, 0);
  });

  it('without named functions have none', () => {
    assert.equal(programBtf({ ...spec([exit()]), functions: [] }), undefined);
  });

  it('cut columns and lines that line info cannot hold', () => {
    const far = { file: 'a.ts', line: 0x1_0000_0000, column: 5000, text: 'x' };
    assert.deepEqual(lines(spec([at(far, mov64(r0, 0)), exit()])), [`0 a.ts:${0x3f_ffff}:1023 x`]);
  });

  it('are refused when their functions lie wrong', () => {
    const good = spec([lddw(r0, 0n), callFunction('f'), exit(), func('f', 0), exit()]);
    const entry = good.functions[0]!;
    const wrong = [
      [{ ...entry, slot: 1 }],
      [{ ...entry, name: 'not a name' }],
      [entry, { name: 'f', slot: 1, parameters: 0 }],
      [entry, { name: 'f', slot: 99, parameters: 0 }],
      [entry, { name: 'f', slot: 4, parameters: 0 }, { name: 'g', slot: 4, parameters: 0 }],
      [entry, { name: 'f', slot: 4, parameters: 0 }, { name: 'g', slot: 3, parameters: 0 }],
    ];
    for (const functions of wrong) {
      assert.throws(() => programBtf({ ...good, functions }), ArgumentError, JSON.stringify(functions));
    }
  });

  it('are taken by the kernel wherever lines begin and functions lie', () => {
    const source = fc.option(fc.record({ line: fc.integer({ min: 1, max: 9 }), column: fc.nat(9) }));
    const body = fc.array(fc.record({ wide: fc.boolean(), source }), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(body, { minLength: 1, maxLength: 5 }), (bodies) => {
        const items = bodies.map((steps, index): Item => {
          const rest = steps.map(({ wide, source: where }) => {
            const step = wide ? lddw(r2, 1n) : mov64(r2, 1);
            return where === null ? step : at(line(where.line, where.column), step);
          });
          const start = index === 0 ? [] : [func(`f${index}`, 0)];
          const next = index + 1 < bodies.length ? [callFunction(`f${index + 1}`)] : [];
          return [start, rest, next, mov64(r0, 0), exit()].flat();
        });
        using loaded = load(spec(items));
        assert.ok(loaded.program.info().id > 0);
      }),
      { numRuns: 40 },
    );
  });

  it('show the verifier where it gave up', () => {
    const items = [
      at(line(7), st('u32', r10, -4, 0), mapByName(r1, 'counts'), mov64(r2, r10)),
      at(line(8), { opcode: 0x07, dst: 2, src: 0, offset: 0, imm: -4 }, call('map_lookup_elem')),
      at(line(9), { opcode: 0x79, dst: 0, src: 0, offset: 0, imm: 0 }),
      exit(),
    ];
    assert.throws(
      () => load(spec(items, { counts: hash('counts', u32, u64, 1) })),
      /line 9.*invalid mem access 'map_value_or_null'/s,
    );
  });
});

function bpftool(...args: string[]): string {
  const plain = args.at(-1) === 'PLAIN';
  const given = plain ? args.slice(0, -1) : ['-j', ...args];
  return execFileSync(tool('bpftool'), given, { encoding: 'utf8' });
}
