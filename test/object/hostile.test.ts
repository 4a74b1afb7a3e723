import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { CodecError } from '../../src/error.ts';
import { readElf, readObject, writeObject } from '../../src/object/index.ts';
import { counterSpec } from '../../src/programs/counter.ts';
import { COMPILERS, objectOf } from './compile.ts';
import { meaningful } from './fuzz.ts';
import { HOSTILE } from './hostile-objects.ts';
import { probeObject } from './probe.ts';

const SOURCES = ['globals', 'maps', 'calls', 'core', 'externs', 'legacy', 'sections', 'refused'] as const;

/** Whether the bytes are read, or refused as a decoder refuses: with a place, and nothing else. */
function read(bytes: Uint8Array): boolean {
  try {
    probeObject(bytes);
    return true;
  } catch (error) {
    assert.ok(error instanceof CodecError, `${(error as Error).stack}`);
    assert.ok(Number.isInteger(error.offset) && error.offset >= 0, error.message);
    return false;
  }
}

describe('bytes that are no object', () => {
  const objects = SOURCES.map((source, i) => objectOf(source, COMPILERS[i % 3] ?? 'clang-14'));

  it('are refused wherever they are cut', () => {
    for (const object of objects) {
      assert.ok(read(object));
      for (let end = 0; end < object.length; end += end < 64 ? 1 : 97) {
        // The section table stands at the end, so that nothing shorter can be whole.
        assert.equal(read(object.subarray(0, end)), false, `${end} of ${object.length}`);
      }
    }
  });

  it('are refused or read, but never more than that, when they are altered', () => {
    const change = fc.record({
      object: fc.nat(objects.length - 1),
      edits: fc.array(
        fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })),
        {
          minLength: 1,
          maxLength: 12,
        },
      ),
    });
    let refused = 0;
    fc.assert(
      fc.property(change, ({ object, edits }) => {
        const bytes = Uint8Array.from(objects[object] ?? []);
        for (const [place, byte] of edits) bytes[Math.floor(place * (bytes.length - 1))] = byte;
        if (!read(bytes)) refused++;
      }),
      { numRuns: 3000, seed: 5 },
    );
    assert.ok(refused > 100, `${refused} of 3000 were refused`);
  });

  it('are refused or read when words of headers, symbols and types are extreme', () => {
    const words = [0, 1, 7, 0xff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    fc.assert(
      fc.property(
        fc.nat(objects.length - 1),
        fc.array(fc.tuple(fc.nat(100_000), fc.constantFrom(...words)), { minLength: 1, maxLength: 4 }),
        (object, edits) => {
          const bytes = Uint8Array.from(objects[object] ?? []);
          const view = new DataView(bytes.buffer);
          const structures = meaningful(bytes);
          for (const [at, word] of edits) {
            const place = structures[at % structures.length] ?? 0;
            if (place + 4 <= bytes.length) view.setUint32(place, word, true);
          }
          read(bytes);
        },
      ),
      { numRuns: 3000, seed: 6 },
    );
  });

  it('are refused when they are random', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        assert.equal(read(bytes), false);
        const header = objects[0]?.slice(0, 64) ?? new Uint8Array(64);
        assert.equal(read(Uint8Array.from([...header, ...bytes])), false);
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it('are refused with the section and the place', () => {
    const [object = new Uint8Array(0)] = objects;
    const broken = (at: number, byte: number): Uint8Array => {
      const bytes = object.slice();
      bytes[at] = byte;
      return bytes;
    };
    for (const [bytes, words] of [
      [new Uint8Array(10), /elf: the file header is truncated \(at byte 10\)/],
      [broken(0, 0), /no ELF file \(at byte 0\)/],
      [broken(4, 1), /ELF class 1/],
      [broken(16, 2), /no relocatable object/],
      [broken(18, 62), /machine 62 \(x86-64\)/],
      [broken(46, 1), /the section table is beyond 2\^48|passes the end/],
      [broken(60, 255), /section headers pass the end/],
    ] as const) {
      assert.throws(() => readObject(bytes), { code: 'BW_CODEC', message: words });
    }
    const elf = readElf(object);
    const symbols = elf.sections.find(({ name }) => name === '.symtab');
    const relocations = elf.sections.find(({ name }) => name === '.relxdp');
    const btf = elf.sections.find(({ name }) => name === '.BTF');
    assert.ok(symbols && relocations && btf);
    for (const [bytes, words] of [
      [broken(symbols.offset + 24 + 7, 0x7f), /section '\.symtab': symbol 1 lies in section/],
      [
        broken(relocations.offset + 3, 0x7f),
        /section '\.relxdp': a relocation at .* lies beyond section 'xdp'/,
      ],
      [broken(relocations.offset + 15, 0x7f), /section '\.relxdp': a relocation refers to symbol/],
      [broken(btf.offset, 0), /section '\.BTF': no BTF magic number/],
    ] as const) {
      assert.throws(() => readObject(bytes), { code: 'BW_CODEC', message: words });
    }
  });

  it('take neither long nor much memory, however they nest and overlap', () => {
    const [object = new Uint8Array(0)] = objects;
    // Every section header a copy of the one of the largest section.
    const bytes = object.slice();
    const view = new DataView(bytes.buffer);
    const table = Number(view.getBigUint64(40, true));
    const count = view.getUint16(60, true);
    const largest = readElf(object).sections.reduce((a, b) => (a.bytes.length > b.bytes.length ? a : b));
    for (let i = 1; i < count; i++) {
      if (i !== view.getUint16(62, true))
        bytes.copyWithin(table + i * 64, table + largest.index * 64, table + largest.index * 64 + 64);
    }
    assert.throws(() => readObject(bytes), { code: 'BW_CODEC', message: /overlaps/ });
    // A .bss of 2^47 bytes is nothing until somebody loads it.
    const bss = objects[0]?.slice() ?? new Uint8Array(0);
    const place = readElf(bss).sections.find(({ name }) => name === '.bss');
    assert.ok(place);
    new DataView(bss.buffer).setBigUint64(table + place.index * 64 + 32, 1n << 47n, true);
    const huge = readObject(bss);
    assert.match(huge.maps['.bss']?.unsupported ?? '', /140737488355328 bytes/);
  });

  it('take no more than 64 MiB, whatever they claim', () => {
    const folder = mkdtempSync(join(tmpdir(), 'barewire-hostile-'));
    const program = fileURLToPath(new URL('./memory.js', import.meta.url));
    const grown = (...args: string[]): [string, number][] => {
      // The heap alone may not be larger either, or the process ends.
      const said = execFileSync(process.execPath, [
        '--max-old-space-size=96',
        '--expose-gc',
        program,
        ...args,
      ]);
      return Object.entries(JSON.parse(said.toString()) as Record<string, number>);
    };
    try {
      const files = Object.entries(HOSTILE).map(([name, make]) => {
        const path = join(folder, name);
        writeFileSync(path, make());
        return path;
      });
      const all = [...grown(...files), ...grown('seeds', '1000', '1500')];
      assert.equal(all.length, files.length + 1);
      for (const [name, bytes] of all) assert.ok(bytes <= 64 << 20, `${name}: ${bytes >> 20} MiB`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('that this library wrote are read as they were written', () => {
    const spec = readObject(writeObject(counterSpec({ frags: true })));
    assert.deepEqual(Object.keys(spec.programs), ['count_frames']);
    assert.equal(spec.programs.count_frames?.kind?.flags, 32);
    assert.equal(spec.maps.tallies?.type, 6);
    assert.equal(spec.license, counterSpec({ frags: true }).license);
  });
});
