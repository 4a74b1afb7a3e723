import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Column, layOut } from '../../src/cli/columns.ts';
import { complaint, inFull, UsageError } from '../../src/cli/errors.ts';
import { liveBlock } from '../../src/cli/live.ts';
import { makeOutput, type Output, type OutputStream, toJson } from '../../src/cli/output.ts';
import { printable, truncate, widthOf, wrap } from '../../src/cli/text.ts';
import { ArgumentError, BarewireError } from '../../src/error.ts';

/** A stream that keeps what is written, with the size of a terminal if one is given. */
function sink(size?: { columns: number; rows: number }): { stream: OutputStream; text(): string } {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  return {
    stream: Object.assign(stream, size === undefined ? {} : { isTTY: true, ...size }),
    text: () => chunks.join(''),
  };
}

const plain = makeOutput(sink().stream, sink().stream, {}).paint;

describe('text', () => {
  it('wraps at spaces without losing a word', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1 }),
        fc.integer({ min: 9, max: 40 }),
        (words, width) => {
          const lines = wrap(words.join(' '), width);
          assert.deepEqual(lines.join(' ').split(' '), words);
          for (const line of lines) assert.ok(line.length <= width);
        },
      ),
    );
  });

  it('cuts what is too wide and shows that it did', () => {
    assert.equal(truncate('interface', 9), 'interface');
    assert.equal(truncate('interface', 6), 'inter…');
    assert.equal(truncate('interface', 1), '…');
    assert.equal(truncate('interface', 0), '');
    assert.equal(widthOf('\u001b[1mbold\u001b[22m'), 4);
  });

  it('lets no name steer the terminal', () => {
    assert.equal(printable('eth0\u001b[2Jx\n\u009b'), 'eth0\\x1b[2Jx\\x0a\\x9b');
  });
});

describe('columns', () => {
  interface Row {
    name: string;
    count: number;
    note: string;
  }
  const columns: readonly Column<Row>[] = [
    { title: 'Name', value: (row) => row.name },
    { title: 'Count', align: 'right', value: (row) => String(row.count) },
    { title: 'Note', drop: 1, value: (row) => row.note },
  ];
  const rows: Row[] = [
    { name: 'IPv4', count: 12345, note: 'most of it' },
    { name: 'ARP', count: 7, note: '' },
  ];

  it('aligns, without spaces at the end of a line', () => {
    assert.deepEqual(layOut(columns, rows, Number.POSITIVE_INFINITY, plain), [
      'Name  Count  Note',
      'IPv4  12345  most of it',
      'ARP       7  ',
    ]);
  });

  it('drops columns, then cuts the widest text, and keeps numbers whole', () => {
    assert.deepEqual(layOut(columns, rows, 15, plain), ['Name  Count', 'IPv4  12345', 'ARP       7']);
    const long = [{ name: 'a name that is long', count: 42, note: '' }];
    assert.deepEqual(layOut(columns, long, 15, plain), ['Name      Count', 'a name …     42']);
  });

  it('never makes a line wider than it may be', () => {
    const row = fc.record({
      name: fc.string({ maxLength: 30 }),
      count: fc.nat(),
      note: fc.string({ maxLength: 30 }),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 5 }), fc.integer({ min: 1, max: 60 }), (some, width) => {
        const lines = layOut(columns, some, width, plain);
        assert.equal(lines.length, some.length + 1);
        for (const line of lines) assert.ok(widthOf(line) <= width, `${width}: ${line}`);
      }),
    );
  });

  it('measures colours as nothing', () => {
    const { paint } = makeOutput(sink({ columns: 80, rows: 24 }).stream, sink().stream, {});
    const painted = layOut(
      [{ title: 'N', value: () => 'x', paint: (text) => paint.red(text) }, columns[1]!],
      rows,
      80,
      paint,
    );
    assert.deepEqual(painted.map(widthOf), [8, 8, 8]);
    assert.ok(painted[1]!.includes('\u001b[31mx\u001b[39m'));
  });
});

describe('output', () => {
  it('colours a terminal only, and not against the wish of NO_COLOR', () => {
    const painted = (isTTY: boolean, environment: Record<string, string>): boolean => {
      const stream = sink(isTTY ? { columns: 80, rows: 24 } : undefined).stream;
      return makeOutput(stream, stream, environment).paint.red('x') !== 'x';
    };
    assert.equal(painted(true, {}), true);
    assert.equal(painted(true, { NO_COLOR: '' }), true);
    assert.equal(painted(true, { NO_COLOR: '1' }), false);
    assert.equal(painted(true, { TERM: 'dumb' }), false);
    assert.equal(painted(false, {}), false);
  });

  it('writes bigints as exact numbers, whatever else the data says', () => {
    assert.equal(
      toJson({ packets: 2n ** 64n - 1n, at: [-3n] }),
      '{"packets":18446744073709551615,"at":[-3]}',
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.equal(toJson(value), JSON.stringify(value));
      }),
    );
    const date = new Date(0);
    assert.equal(
      toJson([date, undefined, { a: undefined }]),
      JSON.stringify([date, undefined, { a: undefined }]),
    );
  });
});

/** What a terminal shows: enough of one to follow a live block. */
class Screen {
  readonly lines: string[] = [''];
  #row = 0;

  feed(text: string): void {
    for (const [part] of text.matchAll(/\p{Cc}\[\d*[A-Z]|\r|\n|\P{Cc}+/gu)) {
      const up = /^\p{Cc}\[(\d+)A$/u.exec(part);
      if (up !== null) this.#row = Math.max(0, this.#row - Number(up[1]));
      else if (part === '\u001b[J') this.lines.length = this.#row + 1;
      else if (part === '\n') this.lines[++this.#row] ??= '';
      else if (part !== '\r' && part !== '\u001b[K') this.lines[this.#row] = part;
    }
    this.lines[this.#row] = '';
  }
}

describe('a live block', () => {
  function makeLive(rows: number): { output: Output; screen(): string[] } {
    const { stream, text } = sink({ columns: 20, rows });
    const output = makeOutput(stream, stream, {});
    return {
      output,
      screen() {
        const screen = new Screen();
        screen.feed(text());
        return screen.lines;
      },
    };
  }

  it('draws over itself, longer and shorter', () => {
    const { output, screen } = makeLive(24);
    output.write('before\n');
    const block = liveBlock(output);
    block.draw(['a1', 'b1']);
    block.draw(['a2', 'b2', 'c2']);
    block.draw(['a3']);
    assert.deepEqual(screen(), ['before', 'a3', '']);
  });

  it('never draws more than fits, so that it can go back up', () => {
    const { output, screen } = makeLive(4);
    const block = liveBlock(output);
    block.draw(['1', '2', '3', '4', '5']);
    block.draw(['6', '7', '8', '9', '10']);
    assert.deepEqual(screen(), ['6', '7', '8', '']);
  });
});

describe('errors', () => {
  it('are one line: what; what to do', () => {
    const error = new BarewireError('BW_BUSY', "eth0 runs another's program.", { hint: 'Use --replace.' });
    assert.equal(complaint(error), "eth0 runs another's program; use --replace");
    assert.equal(
      complaint(new BarewireError('BW_X', 'no\n  way', { hint: 'CAP_BPF is needed.' })),
      'no way; CAP_BPF is needed',
    );
    assert.equal(complaint(new ArgumentError('no')), 'no');
    assert.equal(complaint(new UsageError('what', 'did you mean x?')), 'what; did you mean x?');
  });

  it('own up to faults of the program itself', () => {
    assert.match(
      complaint(new TypeError('x is not a function')),
      /fault of Barewire.*TypeError: x is not.*-v/,
    );
    assert.match(complaint('a string'), /a string/);
  });

  it('tell everything on demand: stack, logs, causes', () => {
    const cause = new Error('inner');
    const error = Object.assign(new BarewireError('BW_VERIFIER', 'refused', { cause }), {
      log: 'one\ntwo',
      id: 7n,
    });
    const full = inFull(error);
    for (const part of [
      /output\.test/,
      /code: BW_VERIFIER/,
      /log:\n {4}one\n {4}two/,
      /id: "?7"?/,
      /caused by\nError: inner/,
    ]) {
      assert.match(full, part);
    }
    const loop = new Error('loop');
    loop.cause = loop;
    assert.match(inFull(loop), /Error: loop/);
  });
});
