import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { UsageError } from '../../src/cli/errors.ts';
import { duration, integer, interfaceName, oneOf, text } from '../../src/cli/kinds.ts';
import { findPath, parse } from '../../src/cli/parse.ts';
import { type Command, command, group, type Invocation } from '../../src/cli/table.ts';

const options = {
  interval: { kind: duration(), short: 'i', default: '1s', summary: 'Time between reports' },
  mode: { kind: oneOf('MODE', ['auto', 'driver']), default: 'auto', summary: 'Where to attach' },
  label: { kind: text(), short: 'l', aliases: ['tag'], repeated: true, summary: 'A label' },
  'max-entries': { kind: integer({ min: -5 }), summary: 'Entries' },
  json: { kind: 'flag', short: 'j', summary: 'JSON' },
} as const;
const positionals = [
  { name: 'interface', kind: interfaceName(), summary: 'The interface' },
  { name: 'more', kind: integer(), summary: 'Numbers', optional: true, rest: true },
] as const;

const watch: Command = command({ name: 'watch', summary: 'Watch', options, positionals, async run() {} });
const need: Command = command({
  name: 'need',
  summary: 'Needs an option',
  options: { to: { kind: text(), required: true, summary: 'Target' } },
  async run() {},
});
const root = group({
  name: 'tool',
  summary: 'a tool',
  commands: [watch, group({ name: 'lab', summary: 'Labs', commands: [need] })],
});

/** The options and arguments of a line for `watch`, with the types that the table gives its handler. */
function read(...argv: string[]): Invocation<typeof options, typeof positionals> {
  const request = parse(root, argv);
  assert.ok(request.action === 'run' && request.command === watch);
  return request as unknown as Invocation<typeof options, typeof positionals>;
}

function refuses(argv: string[], message: RegExp, hint: RegExp): void {
  assert.throws(
    () => parse(root, argv),
    (error: unknown) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
      return true;
    },
  );
}

describe('what is accepted', () => {
  it('gives typed values and defaults', () => {
    const { options, args } = read('watch', 'eth0');
    const interval: number = options.interval;
    const mode: 'auto' | 'driver' = options.mode;
    const label: readonly string[] = options.label;
    const maxEntries: number | undefined = options.maxEntries;
    const json: boolean = options.json;
    const name: string = args.interface;
    const more: readonly number[] = args.more;
    assert.deepEqual(
      { interval, mode, label, maxEntries, json, name, more },
      { interval: 1000, mode: 'auto', label: [], maxEntries: undefined, json: false, name: 'eth0', more: [] },
    );
  });

  it('takes every spelling of a value', () => {
    for (const spelling of [
      ['--interval', '2s'],
      ['--interval=2s'],
      ['-i', '2s'],
      ['-i2s'],
      ['-i=2s'],
      ['-ji2s'],
    ]) {
      assert.equal(read('watch', 'eth0', ...spelling).options.interval, 2000, spelling.join(' '));
    }
  });

  it('takes options before, between and behind arguments, and before the command', () => {
    for (const line of [
      'watch -j eth0 7',
      'watch eth0 -j 7',
      'watch eth0 7 -j',
      '-j watch eth0 7',
      '-i 1s -j watch eth0 7',
    ]) {
      const { options, args } = read(...line.split(' '));
      assert.deepEqual([options.json, args.interface, args.more], [true, 'eth0', [7]], line);
    }
  });

  it('collects repeated options, and lets the last of the others win', () => {
    assert.deepEqual(read('watch', 'e', '-l', 'a', '--label=b', '--tag', 'c').options.label, ['a', 'b', 'c']);
    assert.equal(read('watch', 'e', '--mode=driver', '--mode=auto').options.mode, 'auto');
  });

  it('takes negative numbers as values and arguments, and everything behind --', () => {
    const { options, args } = read('watch', 'e', '--max-entries', '-5', '-7');
    assert.deepEqual([options.maxEntries, args.more], [-5, [-7]]);
    assert.equal(read('watch', '--', '-j').args.interface, '-j');
    assert.deepEqual(read('watch', '--label=--json', 'e').options.label, ['--json']);
    assert.deepEqual(read('watch', 'e', '--label=a=b').options.label, ['a=b']);
  });

  it('answers help and version wherever they stand, but not behind --', () => {
    assert.deepEqual(parse(root, ['lab', 'need', '--help']), {
      action: 'help',
      path: ['lab', 'need'],
      asked: true,
    });
    assert.deepEqual(parse(root, ['watch', '--jsn', '-h']), { action: 'help', path: ['watch'], asked: true });
    assert.deepEqual(parse(root, ['--help']), { action: 'help', path: [], asked: true });
    assert.deepEqual(parse(root, ['--version']), { action: 'version' });
    assert.equal(read('watch', 'e', '-v').options.json, false);
    assert.equal(read('watch', '--', '-h').args.interface, '-h');
  });

  it('shows help where the line ends before a command', () => {
    assert.deepEqual(parse(root, []), { action: 'help', path: [], asked: false });
    assert.deepEqual(parse(root, ['lab']), { action: 'help', path: ['lab'], asked: false });
  });
});

describe('what is refused', () => {
  it('names the nearest command, option and choice', () => {
    refuses(['wacth'], /no command 'wacth'/, /did you mean watch\?/);
    refuses(['lab', 'nede'], /no command 'lab nede'/, /did you mean need\?/);
    refuses(['frobnicate'], /no command 'frobnicate'/, /the commands are watch, lab/);
    refuses(['watch', 'e', '--jsno'], /watch has no option --jsno/, /did you mean --json\?/);
    refuses(['watch', 'e', '--intervall=2s'], /no option --intervall$/, /did you mean --interval\?/);
    refuses(['--jsno', 'watch'], /no option --jsno/, /--json/);
    refuses(['watch', 'e', '--max_entries', '3'], /no option --max_entries/, /--max-entries/);
    refuses(['watch', 'e', '--mode', 'drvier'], /--mode: 'drvier'/, /did you mean driver\?/i);
    refuses(['watch', 'e', '-x'], /no option -x/, /tool watch --help/);
    refuses(['watch', 'e', '-jx'], /no option -x/, /tool watch --help/);
    refuses(['watch', 'e', '-json'], /no option -/, /--json|--help/);
  });

  it('says what is missing or too much', () => {
    refuses(['watch'], /watch needs INTERFACE/, /tool watch --help/);
    refuses(['watch', 'e', '--interval'], /--interval needs a value/, /duration such as/);
    refuses(['watch', 'e', '--interval', '--json'], /--interval needs a value/, /duration such as/);
    refuses(['watch', 'e', '--json=yes'], /--json takes no value/, /just --json/);
    refuses(['watch', 'e', '-i', '5'], /-i: '5' has no unit/, /5s/);
    refuses(['watch', 'e', 'x'], /MORE: 'x' is not a whole number/, /whole number/);
    refuses(['watch', ''], /INTERFACE: '' cannot be/, /1 to 15 bytes/);
    refuses(['lab', 'need'], /--to is needed/, /any text/);
    refuses(['lab', 'need', '--to', 'x', 'y'], /'y' is one argument too many for lab need/, /--help/);
  });

  it('never throws anything but a usage error, whatever the line', () => {
    const word = fc.oneof(
      fc.constantFrom(
        'watch',
        'lab',
        'need',
        '-',
        '--',
        '-j',
        '-i',
        '--interval',
        '--mode=auto',
        '--=',
        '-=',
        '--max-entries',
        '1s',
        '-5',
      ),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (argv) => {
        try {
          parse(root, argv);
        } catch (error) {
          assert.ok(error instanceof UsageError, String(error));
          assert.ok(error.hint);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it('finds a command by its path', () => {
  assert.equal(findPath(root, ['lab', 'need']), need);
  assert.equal(findPath(root, []), root);
  assert.throws(() => findPath(root, ['watch', 'x']), UsageError);
});
