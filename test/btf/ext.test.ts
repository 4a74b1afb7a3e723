import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Btf,
  type BtfExt,
  type BtfExtSection,
  CORE_RELOCATION_KINDS,
  decodeBtf,
  decodeBtfExt,
  encodeBtf,
  encodeBtfExt,
  StringTable,
} from '../../src/btf/index.ts';
import { ArgumentError, CodecError } from '../../src/error.ts';
import { tool } from '../dev-tools.ts';

const SOURCE = `struct xdp_md { unsigned int data, data_end, data_meta; };
struct inner { int a; int b[4]; } __attribute__((preserve_access_index));
struct task { int pid; struct inner in; } __attribute__((preserve_access_index));
enum color { RED = 1, BLUE = 2 };
__attribute__((noinline)) static int helper(struct task *t, int i) {
  return t->in.b[2] + i;
}
__attribute__((section("xdp"), used)) int entry(struct xdp_md *ctx) {
  struct task *t = (void *)(long)ctx->data_meta;
  int n = helper(t, 3);
  n += __builtin_preserve_field_info(t->pid, 2);
  n += __builtin_preserve_type_info(*(struct inner *)0, 0);
  n += __builtin_preserve_enum_value(*(enum color *)BLUE, 1);
  return n;
}
`;

describe('.BTF.ext of an object file by clang', () => {
  let folder: string;
  let btf: Btf;
  let ext: BtfExt;
  let object: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'bw-ext-'));
    object = join(folder, 'a.o');
    writeFileSync(join(folder, 'a.c'), SOURCE);
    execFileSync(tool('clang-14'), ['-target', 'bpf', '-g', '-O2', '-c', join(folder, 'a.c'), '-o', object]);
    const dump = (section: string): string[] => ['--dump-section', `${section}=${join(folder, section)}`];
    execFileSync(tool('llvm-objcopy-14'), [...dump('.BTF'), ...dump('.BTF.ext'), object]);
    btf = decodeBtf(readFileSync(join(folder, '.BTF')));
    ext = decodeBtfExt(readFileSync(join(folder, '.BTF.ext')), btf);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('names the functions', () => {
    const named = ext.functions.flatMap(({ section, records }) =>
      records.map(({ offset, type }) => `${section}+${offset} ${btf.name(type)}`),
    );
    assert.deepEqual(named, ['xdp+0 entry', '.text+0 helper']);
  });

  it('gives the lines that stand in the source, where DWARF has them', () => {
    const lines = SOURCE.split('\n');
    const ours: string[] = [];
    for (const { section, records } of ext.lines) {
      let last = 0;
      for (const { offset, file, text, line } of records) {
        assert.equal(file, join(folder, 'a.c'));
        assert.equal(text, lines[line - 1]);
        if (line !== last) ours.push(`${section} ${offset / 8}: ${line}`);
        last = line;
      }
    }
    // objdump prints a line's number, from DWARF, before the instruction where it begins.
    const theirs: string[] = [];
    let section = '';
    let line = '';
    const options = ['-d', '-l', '--no-show-raw-insn', object];
    for (const text of execFileSync(tool('llvm-objdump-14'), options, { encoding: 'utf8' }).split('\n')) {
      section = /^Disassembly of section (.*):/.exec(text)?.[1] ?? section;
      line = /^; .*a\.c:(\d+)/.exec(text)?.[1] ?? line;
      const slot = /^ +(\d+):/.exec(text)?.[1];
      if (slot === undefined || line === '') continue;
      theirs.push(`${section} ${slot}: ${line}`);
      line = '';
    }
    assert.deepEqual(ours.sort(), theirs.sort());
  });

  it('lists the relocations that the source asks for', () => {
    const listed = ext.relocations.flatMap(({ section, records }) =>
      records.map(({ type, access, kind }) => `${section} ${kind} ${btf.name(type)} ${access}`),
    );
    assert.deepEqual(listed.sort(), [
      '.text field_byte_offset task 0:1:1:2',
      'xdp enumval_value color 1',
      'xdp field_exists task 0:0',
      'xdp type_exists inner 0',
    ]);
  });

  it('encodes to what decodes to the same again', () => {
    const strings = new StringTable();
    const bytes = encodeBtfExt(ext, strings);
    const again = decodeBtf(encodeBtf([...btf.types()], strings));
    assert.deepEqual(decodeBtfExt(bytes, again), ext);
  });
});

const word = fc.nat(0xffff_ffff);
const text = fc.constantFrom('', 'a', 'xdp', '0:1:2', 'return 1;');

function sectionsOf<T>(record: fc.Arbitrary<T>): fc.Arbitrary<BtfExtSection<T>[]> {
  const records = fc.array(record, { minLength: 1, maxLength: 4 });
  return fc.array(fc.record({ section: text, records }, { noNullPrototype: true }), { maxLength: 3 });
}

const plain = { noNullPrototype: true } as const;
const TYPES = 3;
const anyExt: fc.Arbitrary<BtfExt> = fc.record(
  {
    functions: sectionsOf(fc.record({ offset: word, type: fc.nat(TYPES) }, plain)),
    lines: sectionsOf(
      fc.record({ offset: word, file: text, text, line: fc.nat(0x3f_ffff), column: fc.nat(0x3ff) }, plain),
    ),
    relocations: sectionsOf(
      fc.record(
        { offset: word, type: fc.nat(TYPES), access: text, kind: fc.constantFrom(...CORE_RELOCATION_KINDS) },
        plain,
      ),
    ),
  },
  plain,
);

/** A `.BTF` of three types with the strings of an encoded `.BTF.ext`. */
function beside(strings: StringTable): Btf {
  const types = Array.from({ length: TYPES }, () => ({ kind: 'ptr', type: 0 }) as const);
  return decodeBtf(encodeBtf(types, strings));
}

describe('.BTF.ext', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(anyExt, (ext) => {
        const strings = new StringTable();
        const bytes = encodeBtfExt(ext, strings);
        assert.deepEqual(decodeBtfExt(bytes, beside(strings)), ext);
      }),
    );
  });

  it('may have a short header, and longer records', () => {
    const strings = new StringTable();
    const btf = beside(strings);
    const words = [0x0001_eb9f, 24, 0, 36, 0, 0, 12, 0, 2, 8, 1, 4711, 16, 2, 4712];
    const bytes = new Uint8Array(Uint32Array.from(words).buffer);
    assert.deepEqual(decodeBtfExt(bytes, btf), {
      functions: [
        {
          section: '',
          records: [
            { offset: 8, type: 1 },
            { offset: 16, type: 2 },
          ],
        },
      ],
      lines: [],
      relocations: [],
    });
  });

  it('throws nothing but CodecError when mutated', () => {
    let read = 0;
    const mutation = fc.record({ at: fc.nat(0xffff), value: fc.oneof(fc.nat(20), fc.nat(255)) });
    fc.assert(
      fc.property(
        anyExt,
        fc.array(mutation, { maxLength: 2 }),
        fc.constantFrom(0, 0, 1, 5),
        (ext, mutations, cut) => {
          const strings = new StringTable();
          const bytes = encodeBtfExt(ext, strings);
          for (const { at, value } of mutations) bytes[at % bytes.length] = value;
          try {
            decodeBtfExt(bytes.subarray(0, bytes.length - cut), beside(strings));
            read++;
          } catch (error) {
            assert.ok(error instanceof CodecError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
    assert.ok(read > 100, `${read} were read`);
  });

  it('refuses lines and columns that do not fit', () => {
    const info = { offset: 0, file: 'a', text: '', line: 1, column: 0x400 };
    const ext: BtfExt = { functions: [], lines: [{ section: 'xdp', records: [info] }], relocations: [] };
    assert.throws(() => encodeBtfExt(ext, new StringTable()), ArgumentError);
  });
});
