import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import {
  array,
  be16,
  be32,
  be64,
  bytes,
  decode,
  encode,
  i8,
  i16,
  i32,
  i64,
  type Layout,
  sameLayout,
  struct,
  u8,
  u16,
  u32,
  u64,
  describe as words,
} from '../../src/layout/index.ts';

const INTS = [u8, u16, u32, u64, i8, i16, i32, i64, be16, be32, be64] as readonly Layout[];

/** Any layout, three levels deep at the most. */
const layouts: fc.Arbitrary<Layout> = fc.letrec<{ layout: Layout }>((tie) => ({
  layout: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    fc.constantFrom(...INTS),
    fc.integer({ min: 1, max: 17 }).map((size) => bytes(size) as Layout),
    fc
      .tuple(tie('layout'), fc.integer({ min: 1, max: 4 }))
      .map(([element, length]) => array(element, length) as Layout),
    fc
      .array(tie('layout'), { minLength: 1, maxLength: 5 })
      .map((fields) => struct('S', Object.fromEntries(fields.map((field, i) => [`f${i}`, field]))) as Layout),
  ),
})).layout;

/** Any value of a layout. */
function values(layout: Layout): fc.Arbitrary<unknown> {
  switch (layout.kind) {
    case 'int': {
      const bits = BigInt(layout.size * 8 - (layout.signed ? 1 : 0));
      const wide = fc.bigInt({ min: layout.signed ? -(1n << bits) : 0n, max: (1n << bits) - 1n });
      return layout.size === 8 ? wide : wide.map(Number);
    }
    case 'bytes':
      return fc.uint8Array({ minLength: layout.size, maxLength: layout.size });
    case 'array':
      return fc.array(values(layout.element), { minLength: layout.length, maxLength: layout.length });
    case 'struct':
      return fc.record(Object.fromEntries(layout.fields.map((field) => [field.name, values(field.layout)])));
  }
}

it('every value of every layout comes back as it went in, wherever it lies', () => {
  fc.assert(
    fc.property(
      layouts.chain((layout) => fc.tuple(fc.constant(layout), values(layout))),
      ([layout, value]) => {
        const encoded = encode(layout, value);
        assert.equal(encoded.length, layout.size);
        const larger = new Uint8Array(encoded.length + 9).fill(0xee);
        larger.set(encoded, 5);
        const read = decode(layout, larger.subarray(5, 5 + encoded.length));
        assert.deepEqual(JSON.stringify(read, printable), JSON.stringify(value, printable));
        assert.deepEqual(encode(layout, read), encoded);
      },
    ),
  );
});

it('structs lie as a C compiler lays them out', () => {
  const C: Readonly<Record<string, string>> = {
    u8: 'uint8_t',
    u16: 'uint16_t',
    u32: 'uint32_t',
    u64: 'uint64_t',
    i8: 'int8_t',
    i16: 'int16_t',
    i32: 'int32_t',
    i64: 'int64_t',
    be16: 'uint16_t',
    be32: 'uint32_t',
    be64: 'uint64_t',
  };
  const declare = (layout: Layout, name: string): string => {
    switch (layout.kind) {
      case 'int':
        return `${C[layout.name]} ${name};`;
      case 'bytes':
        return `uint8_t ${name}[${layout.size}];`;
      case 'array':
        return declare(layout.element, `${name}[${layout.length}]`).replace(/(\[\d+\])(\[\d+\])+/, (all) =>
          [...all.matchAll(/\[\d+\]/g)].join(''),
        );
      case 'struct':
        return `struct { ${layout.fields.map((field) => declare(field.layout, field.name)).join(' ')} } ${name};`;
    }
  };
  const samples = fc
    .sample(layouts, { numRuns: 60, seed: 7 })
    .filter(
      (layout) => layout.kind === 'struct' && !JSON.stringify(layout).includes('"element":{"kind":"array"'),
    );
  assert.ok(samples.length > 5);
  const lines = samples.flatMap((layout, i) => [`${declare(layout, `s${i}`)}`]);
  const checks = samples.flatMap((layout, i) => [
    `printf("%zu", sizeof s${i});`,
    ...(layout.kind === 'struct'
      ? layout.fields.map((field) => `printf(" %zu", (char *)&s${i}.${field.name} - (char *)&s${i});`)
      : []),
    'puts("");',
  ]);
  const folder = mkdtempSync(join(tmpdir(), 'barewire-layout-'));
  try {
    writeFileSync(
      join(folder, 'a.c'),
      `#include <stdint.h>\n#include <stdio.h>\n${lines.join('\n')}\nint main(void) { ${checks.join('\n')} }\n`,
    );
    execFileSync('cc', ['-o', join(folder, 'a'), join(folder, 'a.c')]);
    const theirs = execFileSync(join(folder, 'a'), { encoding: 'utf8' }).trim().split('\n');
    const ours = samples.map((layout) =>
      [layout.size, ...(layout.kind === 'struct' ? layout.fields.map((field) => field.offset) : [])].join(
        ' ',
      ),
    );
    assert.deepEqual(ours, theirs);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('network order is in the name, and the number is the number', () => {
  assert.deepEqual([...encode(be16, 53)], [0, 53]);
  assert.deepEqual([...encode(be32, 0x0a000001)], [10, 0, 0, 1]);
  assert.deepEqual([...encode(u32, 0x0a000001)], [1, 0, 0, 10]);
  assert.equal(decode(be32, Uint8Array.of(192, 0, 2, 1)), 0xc0000201);
  assert.equal(decode(be64, Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0)), 256n);
});

it('padding is zero, so that a struct can be a key', () => {
  const key = struct('Key', { protocol: u8, port: be16, address: be32, flag: u8 });
  assert.equal(key.size, 12);
  assert.deepEqual(
    [...encode(key, { protocol: 6, port: 1, address: 1, flag: 1 })],
    [6, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0],
  );
});

it('refuses what does not fit, and names the field', () => {
  const Outer = struct('Outer', { list: array(struct('Inner', { port: be16 }), 2) });
  assert.throws(() => encode(Outer, { list: [{ port: 1 }, { port: 65_536 }] }), {
    code: 'BW_ARGUMENT',
    message: /Outer\.list\[\]\.port: 65536 does not fit be16/,
  });
  for (const [layout, wrong] of [
    [u8, 256],
    [u8, -1],
    [u8, 1.5],
    [u8, '1'],
    [i8, 128],
    [u32, 2 ** 32],
    [u64, 5],
    [u64, -1n],
    [i64, 2n ** 63n],
    [bytes(2), new Uint8Array(3)],
    [array(u8, 2), [1]],
    [Outer, null],
  ] as [Layout, unknown][]) {
    assert.throws(() => encode(layout, wrong), { code: 'BW_ARGUMENT' }, words(layout));
  }
  assert.throws(() => decode(u64, new Uint8Array(7)), { code: 'BW_ARGUMENT' });
  assert.throws(() => struct('not a name', { a: u8 }), { code: 'BW_ARGUMENT' });
  assert.throws(() => struct('S', {}), { code: 'BW_ARGUMENT' });
  assert.throws(() => bytes(0), { code: 'BW_ARGUMENT' });
});

it('tells layouts apart by what lies where', () => {
  const a = struct('A', { x: u32, y: be16 });
  assert.ok(sameLayout(a, struct('B', { x: u32, y: be16 })));
  assert.ok(!sameLayout(a, struct('A', { y: be16, x: u32 })));
  assert.ok(!sameLayout(be16, u16));
  assert.ok(!sameLayout(bytes(4), array(u8, 4) as never));
  assert.equal(words(array(struct('Rule', { hits: u64 }), 3)), 'array(struct Rule, 3)');
});

function printable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Uint8Array) return [...value];
  return value;
}
