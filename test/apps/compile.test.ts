import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BPFFS, ensureBpffs, hash, load, Program, parseProgram, unpin } from '../../src/bpf/index.ts';
import { be32, struct, u64 } from '../../src/layout/index.ts';
import { tool } from '../dev-tools.ts';
import { ROOT } from '../docs/documents.ts';

const MODULE = `
import { be32, hash, program, struct, u64 } from 'barewire/xdp';
export const blocked = hash('blocked', be32, struct('Rule', { hits: u64 }), 100);
export const blocklist = program('blocklist', { blocked }, ({ blocked }, pkt) => {
  if (pkt.be16(12) !== 0x0800) return 'pass';
  const rule = blocked.get(pkt.ipv4(14).source);
  if (!rule) return 'pass';
  rule.hits += 1n;
  return 'drop';
});
export const dropAll = program('drop_all', {}, () => 'drop');
export const unrelated = 7;
`;

const blocked = hash('blocked', be32, struct('Rule', { hits: u64 }), 100);

describe('barewire compile', () => {
  // The folder lies in the package, so that 'barewire/xdp' means this very build.
  const folder = `${ROOT}dist/compile-${process.pid}/`;
  const outside = mkdtempSync(join(tmpdir(), 'barewire-compile-'));
  before(() => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}filter.js`, MODULE);
    writeFileSync(`${folder}none.js`, 'export const x = 1;');
    writeFileSync(`${folder}wrong.js`, MODULE.replace("return 'drop';", "return 'dorp';"));
    writeFileSync(`${folder}broken.js`, 'throw new Error("on import");');
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
    rmSync(outside, { recursive: true, force: true });
  });

  const barewire = (...args: string[]) =>
    spawnSync(process.execPath, [`${ROOT}dist/src/cli/main.js`, 'compile', ...args], {
      cwd: folder,
      encoding: 'utf8',
    });

  const frame = (source: readonly number[]) => {
    const data = new Uint8Array(64);
    data.set([0x08, 0x00, 0x45], 12);
    data.set(source, 26);
    return data;
  };

  it('makes an artifact that loads in a process without a compiler', () => {
    const path = join(outside, 'filter.json');
    const { status, stdout, stderr } = barewire('filter.js', '-p', 'blocklist', '-o', path);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /filter\.json: blocklist, \d+ instructions, 1 maps/);
    using loaded = load(parseProgram<{ blocked: typeof blocked }>(readFileSync(path, 'utf8')));
    loaded.maps.blocked.set(0x0a000001, { hits: 0n });
    assert.equal(loaded.program.testRun({ data: frame([10, 0, 0, 1]) }).action, 'drop');
    assert.equal(loaded.program.testRun({ data: frame([10, 0, 0, 2]) }).action, 'pass');
    assert.deepEqual(loaded.maps.blocked.get(0x0a000001), { hits: 1n });
    const code = `
      import { readFileSync } from 'node:fs';
      import { load, parseProgram } from 'barewire/bpf';
      load(parseProgram(readFileSync(process.argv[1], 'utf8'))).close();
      process.stdout.write(String(process.report.getReport().sharedObjects.length > 0));
    `;
    // acorn made unfindable: whoever needs it fails.
    const withoutCompiler = execFileSync(
      process.execPath,
      [
        '--input-type=module',
        '--import',
        'data:text/javascript,import { register } from "node:module"; register("data:text/javascript,export function resolve(s, c, n) { if (s === \'acorn\') throw new Error(\'no compiler here\'); return n(s, c); }")',
        '-e',
        code,
        path,
      ],
      { cwd: folder, encoding: 'utf8' },
    );
    assert.equal(withoutCompiler, 'true');
  });

  it('makes an object file that bpftool loads', () => {
    ensureBpffs();
    const path = join(outside, 'blocklist.o');
    assert.equal(barewire('filter.js', '-p', 'blocklist', '-o', path).status, 0);
    const pin = `${BPFFS}/barewire-compile-${process.pid}`;
    try {
      execFileSync(tool('bpftool'), ['prog', 'load', path, pin]);
      using program = Program.openPinned(pin);
      assert.equal(program.info().name, 'blocklist');
      assert.equal(program.testRun({ data: frame([10, 0, 0, 1]) }).action, 'pass');
    } finally {
      unpin(pin);
    }
  });

  it('makes all of them into a folder', () => {
    const { status, stdout } = barewire('filter.js', '-o', `${outside}/`, '--json');
    assert.equal(status, 0);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { program: string; exported: string; path: string });
    assert.deepEqual(rows.map(({ program, exported }) => [program, exported]).sort(), [
      ['blocklist', 'blocklist'],
      ['drop_all', 'dropAll'],
    ]);
    for (const { path, program } of rows)
      assert.equal(parseProgram(readFileSync(path, 'utf8')).name, program);
  });

  it('shows instructions under their lines', () => {
    const { status, stdout } = barewire('filter.js', '--program', 'blocklist');
    assert.equal(status, 0);
    assert.match(stdout, /; rule\.hits \+= 1n; @ .*filter\.js:8\n.*\n.*lock \*\(u64 \*\)/);
  });

  it('says what is wrong in one line or with the place', () => {
    const cases: [string[], number, RegExp][] = [
      [['filter.js', '-o', 'one.json'], 2, /2 programs: blocklist, dropAll; choose one with --program/],
      [['filter.js', '-p', 'blocklits'], 2, /did you mean 'blocklist'/],
      [['none.js'], 2, /exports no XDP program/],
      [['missing.js'], 1, /there is no such file/],
      [['broken.js'], 1, /on import/],
      [['wrong.js'], 1, /wrong\.js:9:\d+: .*\n.*'dorp'.*\n\s+\^/],
      [['filter.js', '--format', 'elf'], 2, /--format/],
      [[], 2, /needs FILE/],
    ];
    for (const [args, code, words] of cases) {
      const { status, stderr } = barewire(...args);
      assert.equal(status, code, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, words);
      assert.doesNotMatch(stderr, /^\s+at /m, 'no stack');
    }
  });
});
