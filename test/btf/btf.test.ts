import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Btf,
  BtfBuilder,
  type BtfType,
  decodeBtf,
  encodeBtf,
  formatDeclaration,
  formatDefinition,
} from '../../src/btf/index.ts';
import { ArgumentError, CodecError } from '../../src/error.ts';
import { tool } from '../dev-tools.ts';
import { anyTypes } from './arbitrary.ts';
import { rawDump } from './raw-dump.ts';

const int: BtfType = { kind: 'int', name: 'int', size: 4, encoding: 'signed', bits: 32, bitOffset: 0 };

/** One of every kind and variant, well formed as the kernel and libbpf want it. */
const everyKind: readonly BtfType[] = [
  int,
  { kind: 'ptr', type: 4 },
  { kind: 'array', type: 1, indexType: 1, length: 7 },
  {
    kind: 'struct',
    name: 'node',
    size: 16,
    members: [
      { name: 'next', type: 2, bitOffset: 0, bitSize: 0 },
      { name: 'flags', type: 1, bitOffset: 64, bitSize: 3 },
      { name: 'rest', type: 1, bitOffset: 67, bitSize: 29 },
    ],
  },
  { kind: 'union', name: 'either', size: 4, members: [{ name: 'a', type: 1, bitOffset: 0, bitSize: 0 }] },
  {
    kind: 'enum',
    name: 'sign',
    size: 4,
    signed: true,
    values: [
      { name: 'MINUS', value: -1 },
      { name: 'PLUS', value: 1 },
    ],
  },
  { kind: 'enum', name: 'top', size: 4, signed: false, values: [{ name: 'TOP', value: 0xffff_ffff }] },
  { kind: 'fwd', name: 'elsewhere', of: 'struct' },
  { kind: 'fwd', name: 'either_way', of: 'union' },
  { kind: 'typedef', name: 'number', type: 1 },
  { kind: 'volatile', type: 10 },
  { kind: 'const', type: 11 },
  { kind: 'restrict', type: 2 },
  {
    kind: 'func_proto',
    type: 1,
    parameters: [
      { name: 'first', type: 2 },
      { name: '', type: 0 },
    ],
  },
  { kind: 'func', name: 'call_me', type: 14, linkage: 'global' },
  { kind: 'var', name: 'counter', type: 1, linkage: 'static' },
  { kind: 'datasec', name: '.data', size: 4, variables: [{ type: 16, offset: 0, size: 4 }] },
  { kind: 'float', name: 'double', size: 8 },
  { kind: 'decl_tag', name: 'note', type: 4, component: 1, attribute: false },
  { kind: 'type_tag', name: 'user', type: 4, attribute: false },
  { kind: 'enum64', name: 'wide', size: 8, signed: false, values: [{ name: 'W', value: (1n << 64n) - 1n }] },
  { kind: 'enum64', name: 'low', size: 8, signed: true, values: [{ name: 'L', value: -(1n << 63n) }] },
  { kind: 'int', name: 'char', size: 1, encoding: 'char', bits: 8, bitOffset: 0 },
  { kind: 'int', name: '_Bool', size: 1, encoding: 'bool', bits: 8, bitOffset: 0 },
];

/** The same blob as a machine of the other byte order has it. */
function swapped(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  const typesEnd = 24 + view.getUint32(12, true);
  view.setUint16(0, view.getUint16(0, true), false);
  for (let at = 4; at < typesEnd; at += 4) view.setUint32(at, view.getUint32(at, true), false);
  return out;
}

/** Asks everything of every type; whatever it is, the answer is a value or a CodecError. */
function exercise(btf: Btf): void {
  for (let id = 0; id < btf.nextId; id++) {
    for (const ask of [
      () => (id === 0 ? undefined : btf.type(id)),
      () => btf.resolve(id),
      () => btf.sizeOf(id),
      () => btf.find(btf.name(id)),
      () => formatDefinition(btf, id),
      () => formatDeclaration(btf, id, 'it'),
    ]) {
      onlyCodecErrors(ask);
    }
  }
}

function onlyCodecErrors(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return false;
  }
}

describe('a blob', () => {
  it('gives back the types it was made of', () => {
    fc.assert(
      fc.property(anyTypes(), (types) => {
        assert.deepEqual([...decodeBtf(encodeBtf(types)).types()], types);
      }),
      { numRuns: 500 },
    );
  });

  it('reads the same in the other byte order', () => {
    fc.assert(
      fc.property(anyTypes(), (types) => {
        assert.deepEqual([...decodeBtf(swapped(encodeBtf(types))).types()], types);
      }),
    );
  });

  it('may lie anywhere in memory', () => {
    const blob = encodeBtf(everyKind);
    const room = new Uint8Array(blob.length + 7);
    room.set(blob, 3);
    assert.deepEqual([...decodeBtf(room.subarray(3, 3 + blob.length)).types()], everyKind);
  });

  it('may have a longer header, and its sections in any order with room between', () => {
    const blob = encodeBtf(everyKind);
    const view = new DataView(blob.buffer);
    const typesSize = view.getUint32(12, true);
    const stringsSize = view.getUint32(20, true);
    const types = blob.subarray(24, 24 + typesSize);
    const strings = blob.subarray(24 + typesSize);
    const headerSize = 40;
    const typesOffset = Math.ceil((stringsSize + 16) / 4) * 4;
    const moved = new Uint8Array(headerSize + typesOffset + typesSize + 5);
    moved.set(blob.subarray(0, 24));
    const header = new DataView(moved.buffer);
    header.setUint32(4, headerSize, true);
    header.setUint32(8, typesOffset, true);
    header.setUint32(16, 9, true);
    moved.set(strings, headerSize + 9);
    moved.set(types, headerSize + typesOffset);
    assert.deepEqual([...decodeBtf(moved).types()], everyKind);
  });

  it('keeps names of any script, one copy of each', () => {
    const types: BtfType[] = [
      { kind: 'fwd', name: '\ufeffgrüße 网络', of: 'struct' },
      { kind: 'fwd', name: '\ufeffgrüße 网络', of: 'union' },
    ];
    const blob = encodeBtf(types);
    assert.deepEqual([...decodeBtf(blob).types()], types);
    assert.equal(blob.length, 24 + 24 + 1 + new TextEncoder().encode('\ufeffgrüße 网络').length + 1);
  });

  it('reads in bpftool as it reads here', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bw-btf-'));
    try {
      const basePath = join(folder, 'base.btf');
      const splitPath = join(folder, 'split.btf');
      const base = encodeBtf(everyKind);
      const decoded = decodeBtf(base);
      const more: BtfType[] = [
        { kind: 'ptr', type: decoded.nextId + 1 },
        {
          kind: 'struct',
          name: 'more',
          size: 16,
          members: [{ name: 'node', type: 4, bitOffset: 0, bitSize: 0 }],
        },
      ];
      const split = encodeBtf(more, undefined, decoded);
      writeFileSync(basePath, base);
      writeFileSync(splitPath, split);
      const dump = (...args: string[]): string[] =>
        execFileSync(tool('bpftool'), args, { encoding: 'utf8' }).trimEnd().split('\n');
      assert.deepEqual(dump('btf', 'dump', 'file', basePath, 'format', 'raw'), rawDump(decoded));
      assert.deepEqual(
        dump('-B', basePath, 'btf', 'dump', 'file', splitPath, 'format', 'raw'),
        rawDump(decodeBtf(split, decoded)),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a split blob', () => {
  const base = decodeBtf(encodeBtf(everyKind));

  it("goes on with its base's IDs and strings", () => {
    fc.assert(
      fc.property(anyTypes(base.nextId), (types) => {
        const split = decodeBtf(encodeBtf(types, undefined, base), base);
        assert.equal(split.firstId, base.nextId);
        assert.equal(split.nextId, base.nextId + types.length);
        assert.deepEqual([...split.types()], types);
        assert.deepEqual(split.type(4), everyKind[3]);
        exercise(split);
      }),
      { numRuns: 100 },
    );
  });

  it('finds names in both, also its own types with names out of the base', () => {
    const types: BtfType[] = [
      { kind: 'fwd', name: 'own', of: 'struct' },
      { kind: 'typedef', name: 'own', type: 4 },
      { kind: 'fwd', name: 'renamed', of: 'union' },
    ];
    const blob = encodeBtf(types, undefined, base);
    // The third type takes the base's name 'node' instead of its own.
    const view = new DataView(blob.buffer);
    let offset = 1;
    while (base.text(offset) !== 'node') offset++;
    view.setUint32(24 + 24, offset, true);
    const split = decodeBtf(blob, base);
    assert.equal(split.find('number'), 10);
    assert.equal(split.find('own'), base.nextId);
    assert.equal(split.find('own', 'typedef'), base.nextId + 1);
    assert.equal(split.find('node'), 4);
    assert.equal(split.find('node', 'fwd'), base.nextId + 2);
    assert.equal(base.find('own'), undefined);
    assert.equal(split.sizeOf(base.nextId + 1), 16);
  });

  it('is refused without its base', () => {
    const blob = encodeBtf([{ kind: 'ptr', type: 4 }], undefined, base);
    assert.throws(() => decodeBtf(blob), CodecError);
  });
});

describe('questions to types', () => {
  const btf = decodeBtf(encodeBtf(everyKind));

  it('resolve typedefs, qualifiers and tags', () => {
    assert.equal(btf.resolve(12), 1);
    assert.equal(btf.resolve(13), 2);
    assert.equal(btf.resolve(20), 4);
    assert.equal(btf.resolve(0), 0);
  });

  it('know sizes', () => {
    const sizes = [1, 2, 3, 4, 5, 6, 12, 16, 17, 18, 20, 21].map((id) => btf.sizeOf(id));
    assert.deepEqual(sizes, [4, 8, 28, 16, 4, 4, 4, 4, 4, 8, 16, 8]);
    assert.deepEqual(
      [0, 8, 14, 15, 19].map((id) => btf.sizeOf(id)),
      [undefined, undefined, undefined, undefined, undefined],
    );
  });

  it('print C', () => {
    const printed = everyKind.map((_, index) => formatDefinition(btf, index + 1));
    assert.deepEqual(printed, [
      'int',
      'struct node *',
      'int [7]',
      'struct node {\n\tstruct node *next;\n\tint flags: 3;\n\tint rest: 29;\n};',
      'union either {\n\tint a;\n};',
      'enum sign {\n\tMINUS = -1,\n\tPLUS = 1,\n};',
      'enum top {\n\tTOP = 4294967295,\n};',
      'struct elsewhere;',
      'union either_way;',
      'typedef int number;',
      'volatile number',
      'const volatile number',
      'struct node *restrict',
      'int (struct node *first, ...)',
      'int call_me(struct node *first, ...);',
      'static int counter;',
      '/* section .data, 4 bytes, 1 variables */',
      'double',
      '/* btf_decl_tag("note") on node */',
      'struct node',
      'enum wide {\n\tW = 18446744073709551615,\n};',
      'enum low {\n\tL = -9223372036854775808,\n};',
      'char',
      '_Bool',
    ]);
  });

  it('print pointers to arrays and functions, and anonymous structs in place', () => {
    const tricky = decodeBtf(
      encodeBtf([
        int,
        { kind: 'array', type: 1, indexType: 1, length: 3 },
        { kind: 'ptr', type: 2 },
        { kind: 'const', type: 3 },
        { kind: 'func_proto', type: 4, parameters: [{ name: 'n', type: 1 }] },
        { kind: 'ptr', type: 5 },
        { kind: 'array', type: 6, indexType: 1, length: 2 },
        {
          kind: 'struct',
          name: '',
          size: 8,
          members: [{ name: 'inner', type: 7, bitOffset: 0, bitSize: 0 }],
        },
        {
          kind: 'struct',
          name: 'outer',
          size: 8,
          members: [{ name: '', type: 8, bitOffset: 0, bitSize: 0 }],
        },
        { kind: 'func_proto', type: 0, parameters: [] },
        { kind: 'ptr', type: 10 },
      ]),
    );
    assert.equal(formatDeclaration(tricky, 4, 'p'), 'int (*const p)[3]');
    assert.equal(formatDeclaration(tricky, 7, 'table'), 'int (*const (*table[2])(int n))[3]');
    assert.equal(formatDeclaration(tricky, 11, 'done'), 'void (*done)(void)');
    assert.equal(
      formatDefinition(tricky, 9),
      'struct outer {\n\tstruct {\n\t\tint (*const (*inner[2])(int n))[3];\n\t};\n};',
    );
  });

  it('about IDs that are none are an ArgumentError', () => {
    for (const id of [0, -1, 1.5, btf.nextId, Number.NaN]) assert.throws(() => btf.type(id), ArgumentError);
  });
});

describe('hostile blobs', () => {
  it('throw nothing but CodecError, mutated anywhere', () => {
    let read = 0;
    const value = fc.oneof(fc.nat(12), fc.nat(255));
    const mutation = fc.record({ at: fc.nat(0xffff), value });
    fc.assert(
      fc.property(
        anyTypes(),
        fc.array(mutation, { minLength: 1, maxLength: 2 }),
        fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, 4, 30),
        (types, mutations, cut) => {
          let blob = encodeBtf(types);
          // Mostly the low bytes of words in the type section, where a change is the least likely to be noticed.
          for (const { at, value } of mutations) {
            const place = at % (blob.length - 24);
            blob[at % 16 === 0 ? at % blob.length : 24 + (at % 5 === 0 ? place : place & ~3)] = value;
          }
          blob = blob.subarray(0, blob.length - cut);
          let btf: Btf;
          try {
            btf = decodeBtf(blob);
          } catch (error) {
            assert.ok(error instanceof CodecError, String(error));
            return;
          }
          read++;
          exercise(btf);
        },
      ),
      { numRuns: 2000 },
    );
    assert.ok(read > 500, `${read} of the blobs were read`);
  });

  it('throw nothing but CodecError, random after the magic number', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, header) => {
        const blob = bytes.slice();
        if (header && blob.length >= 8) blob.set([0x9f, 0xeb, 1, 0, 24, 0, 0, 0]);
        onlyCodecErrors(() => exercise(decodeBtf(blob)));
      }),
      { numRuns: 2000 },
    );
  });

  it('are refused when truncated anywhere', () => {
    const blob = encodeBtf(everyKind);
    for (let length = 0; length < blob.length; length++) {
      assert.throws(() => decodeBtf(blob.subarray(0, length)), CodecError);
    }
  });

  it('may refer in circles', () => {
    const kinds = ['typedef', 'const', 'volatile', 'restrict', 'type_tag'] as const;
    for (const kind of kinds) {
      const step = (type: number): BtfType =>
        kind === 'typedef' || kind === 'type_tag'
          ? ({ kind, name: 'x', type, ...(kind === 'type_tag' ? { attribute: false } : {}) } as BtfType)
          : { kind, type };
      const btf = decodeBtf(encodeBtf([step(2), step(3), step(2)]));
      assert.throws(() => btf.resolve(1), CodecError);
      assert.throws(() => btf.sizeOf(1), CodecError);
      exercise(btf);
    }
    const array = decodeBtf(encodeBtf([{ kind: 'array', type: 1, indexType: 1, length: 2 }]));
    assert.throws(() => array.sizeOf(1), CodecError);
    const pointer = decodeBtf(encodeBtf([{ kind: 'ptr', type: 1 }]));
    assert.equal(pointer.sizeOf(1), 8);
    assert.throws(() => formatDeclaration(pointer, 1), CodecError);
    const variable = decodeBtf(encodeBtf([{ kind: 'var', name: 'x', type: 1, linkage: 'static' }]));
    assert.throws(() => variable.sizeOf(1), CodecError);
  });

  it('may nest without measure', () => {
    const anonymous = (...types: number[]): BtfType => ({
      kind: 'struct',
      name: '',
      size: 1,
      members: types.map((type, index) => ({ name: `m${index}`, type, bitOffset: 0, bitSize: 0 })),
    });
    const deep = decodeBtf(encodeBtf([anonymous(1, 1)]));
    assert.throws(() => formatDefinition(deep, 1), /nest too deeply/);
    const wide = decodeBtf(
      encodeBtf([int, ...Array.from({ length: 28 }, (_, i) => anonymous(i + 1, i + 1))]),
    );
    assert.throws(() => formatDefinition(wide, 29), /too long to print/);
    const calls = decodeBtf(
      encodeBtf([
        {
          kind: 'func_proto',
          type: 0,
          parameters: [
            { name: '', type: 1 },
            { name: 'y', type: 1 },
          ],
        },
      ]),
    );
    assert.throws(() => formatDefinition(calls, 1), /nest too deeply/);
    const huge = Array.from(
      { length: 8 },
      (_, i): BtfType => ({
        kind: 'array',
        type: i,
        indexType: 9,
        length: 0xffff_ffff,
      }),
    );
    huge[0] = int;
    const arrays = decodeBtf(encodeBtf([...huge, int]));
    assert.throws(() => arrays.sizeOf(8), /larger than memory/);
  });

  it('may name every type by overlapping texts without end', () => {
    const long = 'x'.repeat(1 << 20);
    const types = Array.from({ length: 20_000 }, (): BtfType => ({ kind: 'fwd', name: long, of: 'struct' }));
    const blob = encodeBtf(types);
    const view = new DataView(blob.buffer);
    // Each name begins one byte later than the one before.
    for (let i = 0; i < types.length; i++) view.setUint32(24 + i * 12, i + 1, true);
    const btf = decodeBtf(blob);
    assert.equal(btf.find('x'), undefined);
    assert.equal(btf.find(long), 1);
    assert.throws(() => btf.type(1), /a name of more than 4096 bytes/);
    assert.throws(() => btf.name(20_000), CodecError);
    assert.equal(btf.text(1), long);
  });

  it('may chain typedefs without measure', () => {
    const step = (type: number): BtfType => ({ kind: 'typedef', name: 'x', type });
    const chain = decodeBtf(encodeBtf([int, ...Array.from({ length: 40 }, (_, i) => step(i + 1))]));
    assert.equal(chain.resolve(33), 1);
    assert.equal(chain.sizeOf(33), 4);
    assert.throws(() => chain.resolve(34), /too many in a row/);
    const pointers = decodeBtf(encodeBtf(Array.from({ length: 80 }, (_, i) => ({ kind: 'ptr', type: i }))));
    assert.equal(formatDeclaration(pointers, 60).length, 65);
    assert.throws(() => formatDeclaration(pointers, 80), /too many in a row/);
  });

  it('may count what is not there', () => {
    for (const kind of [4, 5, 6, 13, 15, 19]) {
      const blob = encodeBtf([int]);
      const view = new DataView(blob.buffer);
      view.setUint32(28, kind * 0x100_0000 + 0xffff, true);
      assert.throws(() => decodeBtf(blob), /passes the end/);
    }
  });

  const one = (change: (view: DataView) => void): Uint8Array => {
    const blob = encodeBtf([int, { kind: 'ptr', type: 1 }]);
    change(new DataView(blob.buffer));
    return blob;
  };
  const refused: readonly [string, Uint8Array, number, RegExp][] = [
    ['no magic number', one((view) => view.setUint16(0, 0x1234)), 0, /magic/],
    ['version 2', one((view) => view.setUint8(2, 2)), 2, /version 2/],
    ['flags', one((view) => view.setUint8(3, 1)), 3, /flags/],
    ['a header of 4 GiB', one((view) => view.setUint32(4, 0xffff_fff0, true)), 4, /header of/],
    ['a short header', one((view) => view.setUint32(4, 20, true)), 4, /header of 20/],
    ['types beyond the end', one((view) => view.setUint32(12, 0xffff_fffc, true)), 8, /type section passes/],
    ['types at an odd place', one((view) => view.setUint32(8, 2, true)), 8, /not aligned/],
    ['strings beyond the end', one((view) => view.setUint32(16, 0x7fff_ffff, true)), 16, /string section/],
    ['strings that do not end', one((view) => view.setUint32(20, 4, true)), 20, /end with a zero/],
    ['strings that begin in a word', one((view) => view.setUint32(16, 29, true)), 16, /.*/],
    ['kind 0', one((view) => view.setUint32(28, 0, true)), 28, /kind 0/],
    ['kind 20', one((view) => view.setUint32(28, 0x1400_0000, true)), 28, /kind 20/],
    ['reserved bits', one((view) => view.setUint32(28, 0x0101_0000, true)), 28, /reserved/],
    ['a pointer with members', one((view) => view.setUint32(44, 0x0200_0001, true)), 44, /member count/],
    ['an int with the kind flag', one((view) => view.setUint32(28, 0x8100_0000, true)), 28, /kind flag/],
    ['an encoding of two bits', one((view) => view.setUint32(36, 0x0300_0020, true)), 36, /encoding 3/],
    ['a pointer to nowhere', one((view) => view.setUint32(48, 3, true)), 48, /ID 3/],
    ['a name outside', one((view) => view.setUint32(24, 5, true)), 24, /name at 5/],
  ];
  for (const [what, blob, offset, reason] of refused) {
    it(`are refused with ${what}`, () => {
      assert.throws(
        () => decodeBtf(blob),
        (error) => error instanceof CodecError && error.offset === offset && reason.test(error.message),
      );
    });
  }
});

describe('the encoder', () => {
  it('refuses what does not fit', () => {
    const wrong: readonly BtfType[] = [
      { kind: 'ptr', type: -1 },
      { kind: 'ptr', type: 2 ** 32 },
      { kind: 'array', type: 0, indexType: 0, length: 1.5 },
      { kind: 'int', name: 'x', size: 4, encoding: 'signed', bits: 256, bitOffset: 0 },
      { kind: 'fwd', name: 'a\0b', of: 'struct' },
      {
        kind: 'struct',
        name: 's',
        size: 1,
        members: [{ name: 'far', type: 0, bitOffset: 0x100_0000, bitSize: 1 }],
      },
      {
        kind: 'enum',
        name: 'e',
        size: 4,
        signed: false,
        values: Array.from({ length: 0x1_0000 }, (_, i) => ({ name: '', value: i })),
      },
    ];
    for (const type of wrong)
      assert.throws(() => encodeBtf([type]), ArgumentError, JSON.stringify(type).slice(0, 80));
  });
});

describe('the builder', () => {
  it('gives equal types one ID', () => {
    const builder = new BtfBuilder();
    const first = builder.add(int);
    const pointer = builder.add({ kind: 'ptr', type: first });
    assert.equal(builder.add({ ...int }), first);
    assert.equal(builder.add({ kind: 'ptr', type: first }), pointer);
    assert.notEqual(builder.add({ kind: 'const', type: first }), pointer);
    const wide = (value: bigint): BtfType => ({
      kind: 'enum64',
      name: 'w',
      size: 8,
      signed: false,
      values: [{ name: 'V', value }],
    });
    assert.equal(builder.add(wide(1n)), builder.add(wide(1n)));
    assert.notEqual(builder.add(wide(1n)), builder.add(wide(2n)));
    assert.deepEqual([...decodeBtf(builder.encode()).types()], builder.types);
  });
});
