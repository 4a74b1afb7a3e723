import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type BenchResult, SCENARIOS, VARIANTS } from '../../src/apps/bench.ts';
import { benchChart } from '../../src/apps/bench-chart.ts';
import { allowedCpus, readCpus, shareOf } from '../../src/apps/bench-cpu.ts';
import { Lab } from '../../src/lab/index.ts';
import { barewire, errorLine } from '../cli/bin.ts';

const folder = mkdtempSync(join(tmpdir(), 'barewire-bench-'));
after(() => rmSync(folder, { recursive: true }));

/** What `barewire bench --json` prints, a line each. */
interface Row {
  readonly name: string;
  readonly scenario: string;
  readonly variant: string;
  readonly unit: string;
  readonly ours: number;
  readonly yardstick: number;
  readonly ratio: number;
  readonly spread: readonly [number, number];
  readonly runs: number;
  readonly mode: string;
  readonly cpu: Readonly<Record<string, number>>;
}

describe('barewire bench', () => {
  it('measures every way, here of forwarding, and draws a chart of it', () => {
    const labs = Lab.list().map(({ name }) => name);
    const svg = join(folder, 'bench.svg');
    const { code, stdout, stderr } = barewire(
      'bench',
      '--quick',
      '--scenario',
      'l2fwd',
      '--json',
      '--svg',
      svg,
    );
    assert.equal(code, 0, stderr);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    assert.deepEqual(
      rows.map(({ scenario, variant }) => `${scenario} ${variant}`),
      VARIANTS.map(({ id }) => `l2fwd ${id}`),
    );
    for (const { name, ours, yardstick, ratio, spread, runs, unit, cpu, mode } of rows) {
      assert.deepEqual([unit, runs], ['packets/s', 1], name);
      assert.ok(ours >= 0 && spread[0] <= ours + 1 && ours <= spread[1] + 1, name);
      if (yardstick > 0) assert.ok(Math.abs(ours / yardstick - ratio) < 0.01 * ratio + 0.01, name);
      for (const share of Object.values(cpu)) assert.ok(share >= 0 && share < 1.5, `${name}: ${share}`);
      assert.notEqual(mode, '', name);
    }
    // On a machine with much else to do many a way gets no time at all: how fast they are is no matter for a test.
    assert.ok(rows.some(({ ours }) => ours > 0));
    const modes = new Map(rows.map(({ variant, mode }) => [variant, mode]));
    assert.match(modes.get('xdp-spin')!, /^driver, /);
    assert.match(modes.get('xdp-generic')!, /^generic, /);
    assert.match(readFileSync(svg, 'utf8'), /^<svg [\s\S]*AF_PACKET, plain[\s\S]*<\/svg>\n$/);
    const left = Lab.list().filter(({ name, hosts }) => !labs.includes(name) && hosts.join() === 'far,near');
    assert.deepEqual(left, []);
  });

  it('refuses a scenario that there is none of', () => {
    const unknown = barewire('bench', '--scenario', 'rxdorp');
    assert.deepEqual(
      [unknown.code, errorLine(unknown)],
      [2, "--scenario: 'rxdorp' is not known; did you mean rxdrop?"],
    );
  });
});

describe('the chart', () => {
  it('is a picture that another program reads, with every figure, and escapes what it is told', () => {
    const results: BenchResult[] = SCENARIOS.flatMap((scenario, s) =>
      VARIANTS.map((variant, v) => ({
        scenario,
        variant,
        packetsPerSecond: (s + 1) * (v + 1) * 123_456,
        spread: [(s + 1) * (v + 1) * 100_000, (s + 1) * (v + 1) * 140_000],
        runs: 3,
        ratio: v + 0.5,
        mode: 'driver, copy',
        cpu: { process: 0.5, subject: { busy: 1, interrupts: 0.5 }, other: { busy: 1, interrupts: 0.5 } },
      })),
    );
    const svg = benchChart(results, 'a <machine> & more');
    for (const { packetsPerSecond, ratio } of results) {
      assert.ok(svg.includes(`${(packetsPerSecond / 1e6).toFixed(2)} (${ratio!.toFixed(2)})`));
    }
    assert.ok(svg.includes('a &lt;machine&gt; &amp; more'));
    // Every bar and figure lies within the picture.
    const width = Number(/width="(\d+)"/.exec(svg)![1]);
    for (const [, x, w] of svg.matchAll(/<rect class="\w+" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)) {
      assert.ok(Number(x) + Number(w) < width - 100);
    }
    const named = svg.match(/<(\w+)/g)!.length;
    const closed = svg.match(/<\/\w+>|\/>/g)!.length;
    assert.equal(named, closed, 'every element is closed');
  });

  it('copes with nothing measured', () => {
    const [variant] = VARIANTS;
    assert.ok(variant !== undefined);
    const idle = { busy: 0, interrupts: 0 };
    const cpu = { process: 0, subject: idle, other: idle };
    const nothing: BenchResult = {
      scenario: 'rxdrop',
      variant,
      packetsPerSecond: 0,
      spread: [0, 0],
      runs: 1,
      ratio: undefined,
      mode: '',
      cpu,
    };
    assert.doesNotMatch(benchChart([nothing], ''), /NaN|Infinity|undefined/);
  });
});

describe('the readings of CPUs', () => {
  it('are of the CPUs there are, and tell shares', () => {
    const cpus = readCpus();
    for (const cpu of allowedCpus()) assert.ok((cpus.get(cpu)?.all ?? 0) > 0, `CPU ${cpu}`);
    const share = shareOf({ all: 100, busy: 50, interrupts: 10 }, { all: 200, busy: 125, interrupts: 30 });
    assert.deepEqual(share, { busy: 0.75, interrupts: 0.2 });
    assert.deepEqual(shareOf(undefined, undefined), { busy: 0, interrupts: 0 });
  });
});
