import assert from 'node:assert/strict';
import { accessSync, constants, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { barewire, errorLine, MAIN, run } from './bin.ts';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

describe('the command', () => {
  it('can be run by its path, as npm links it', () => {
    accessSync(MAIN, constants.X_OK);
    assert.equal(run(MAIN, '--version').stdout, `barewire ${version}\n`);
  });

  it('shows help on request, and on its error output where a command is missing', () => {
    for (const line of [['--help'], ['help'], ['-h']]) {
      const { code, stdout, stderr } = barewire(...line);
      assert.deepEqual([code, stderr], [0, '']);
      for (const name of ['count', 'doctor', 'status', 'lab up', 'completion'])
        assert.ok(stdout.includes(`  ${name} `), name);
    }
    const missing = barewire();
    assert.deepEqual([missing.code, missing.stdout], [2, '']);
    assert.match(missing.stderr, /Usage:\n {2}barewire COMMAND/);
    assert.match(
      barewire('count', '--help').stdout,
      /--interval DURATION\s+Time between reports \(default 1s\)/,
    );
    assert.equal(barewire('help', 'lab', 'up').stdout, barewire('lab', 'up', '-h').stdout);
  });

  it('answers a slip with the nearest right word, in one line, with 2', () => {
    const cases: readonly (readonly [string[], RegExp])[] = [
      [['cuont', 'eth0'], /^there is no command 'cuont'; did you mean count\?$/],
      [
        ['count', 'eth0', '--intervall', '2s'],
        /^count has no option --intervall; did you mean --interval\?$/,
      ],
      [['count', 'eth0', '--mode', 'drvier'], /^--mode: 'drvier' is not known; did you mean driver\?$/],
      [['count', 'eth0', '--interval', '2'], /^--interval: '2' has no unit; write 2s, 2ms or 2m$/],
      [
        ['count', 'eth0', '--count', 'ten'],
        /^--count: 'ten' is not a whole number; give a whole number of at least 1$/,
      ],
      [['count'], /^count needs INTERFACE .*; see barewire count --help$/],
      [['count', 'a/b'], /^INTERFACE: 'a\/b' cannot be the name of an interface; /],
      [['lab', 'pu'], /^there is no command 'lab pu'; did you mean up\?$/],
      [['lab', 'up', 'a b'], /^'a b' cannot name a lab; use letters/],
      [['status', '--netns'], /^--netns needs a value; /],
      [['help', 'cont'], /did you mean count\?$/],
    ];
    for (const [line, expected] of cases) {
      const ended = barewire(...line);
      assert.equal(ended.code, 2, line.join(' '));
      assert.equal(ended.stdout, '');
      assert.match(errorLine(ended), expected);
    }
  });

  it('fails in one line with 1, and tells everything with -v', () => {
    const ended = barewire('status', '--netns', 'bw-there-is-no-such');
    assert.equal(ended.code, 1);
    assert.match(errorLine(ended), /^there is no network namespace 'bw-there-is-no-such'; /);
    const { code, stderr } = barewire('status', '--netns', 'bw-there-is-no-such', '-v');
    assert.equal(code, 1);
    assert.match(stderr, /^barewire: there is no network namespace/);
    assert.match(stderr, /\n {4}at .*\.js:\d+/);
    assert.match(stderr, /code: BW_NO_NETNS/);
    assert.match(stderr, /caused by\nSystemError/);
  });

  it('ends quietly when nobody reads any more', () => {
    const { code, stdout, stderr } = run(
      'bash',
      '-c',
      `set -o pipefail; ${process.execPath} ${MAIN} help count | head -1`,
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^barewire count: .*\n$/);
  });

  it('says so when its output cannot be written', () => {
    const { code, stderr } = run('bash', '-c', `${process.execPath} ${MAIN} help > /dev/full`);
    assert.equal(code, 1);
    assert.match(stderr, /^barewire: cannot write the output: .*ENOSPC/);
    assert.equal(stderr.trimEnd().split('\n').length, 1);
  });
});
