import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { attachXdp, load } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { Lab, type LabHost } from '../lab/index.ts';
import { sinkSpec } from '../programs/sink.ts';
import type { Driver } from '../xsk/index.ts';
import { allowedCpus, type CpuShare, readCpus, shareOf } from './bench-cpu.ts';
import { SCENARIOS, type Scenario, VARIANTS, type Variant, YARDSTICK } from './bench-scenarios.ts';
import type { SubjectReport } from './bench-subject.ts';

export { SCENARIOS, type Scenario, VARIANTS, type Variant, YARDSTICK } from './bench-scenarios.ts';

export interface BenchOptions {
  /** One short run of each. Default is three of 0.7 s. */
  readonly quick?: boolean;
  /** Default is 3, or 1 when quick. */
  readonly runs?: number | undefined;
  /** Default is all. */
  readonly scenarios?: readonly Scenario[];
  readonly signal?: AbortSignal | undefined;
  /** Told before each run. */
  readonly onRun?: (scenario: Scenario, variant: Variant, run: number) => void;
}

/** What one way came to in one scenario. */
export interface BenchResult {
  readonly scenario: Scenario;
  readonly variant: Variant;
  /** Median of the runs, packets per second: received; for the other two, arrived at the far end. */
  readonly packetsPerSecond: number;
  readonly spread: readonly [least: number, greatest: number];
  readonly runs: number;
  /** Against AF_PACKET's rings; undefined when they were not measured. */
  readonly ratio: number | undefined;
  /** The mode that was granted. */
  readonly mode: string;
  /** Medians. The subject has a core, and so has the other end; without a second CPU they share one. */
  readonly cpu: {
    /** CPU time of the subject's process itself, as a share of one core. */
    readonly process: number;
    readonly subject: CpuShare;
    readonly other: CpuShare;
  };
}

/** What a subject is told. */
export interface SubjectOrder {
  readonly scenario: Scenario;
  readonly over: Variant['over'];
  readonly mode?: 'driver' | 'generic';
  readonly driver: Driver;
  readonly interface: string;
  readonly cpu: number;
}

interface Run {
  readonly rate: number;
  readonly mode: string;
  readonly process: number;
  readonly subject: CpuShare;
  readonly other: CpuShare;
}

/** From the first packet until the count begins, in ms: rings fill up, code becomes warm. */
const WARM_UP = 300;

/**
 * Measures AF_XDP and AF_PACKET on a private veth pair, with frames of 64 bytes, in batches of 64.
 *
 * The runs of a scenario take turns, so that a machine whose speed drifts is fair to all. The far end generates by
 * live frames, and counts what arrives there by an XDP program.
 */
export async function* runBench(options: BenchOptions = {}): AsyncGenerator<BenchResult[], void> {
  const { quick = false, scenarios = SCENARIOS, signal } = options;
  const runs = options.runs ?? (quick ? 1 : 3);
  const time = quick ? 400 : 700;
  using lab = Lab.create({ hosts: ['far', 'near'], wires: [{ between: ['far', 'near'] }] });
  for (const host of lab.hosts) host.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
  // Without a program a veth takes redirected frames only so, and AF_PACKET has no program.
  lab.host('near').net.ethtool.setFeatures('eth0', { 'rx-gro': true });
  for (const scenario of scenarios) {
    const results = new Map<Variant, Run[]>(VARIANTS.map((variant) => [variant, []]));
    for (let run = 1; run <= runs; run++) {
      for (const variant of VARIANTS) {
        if (signal?.aborted === true) return;
        options.onRun?.(scenario, variant, run);
        results.get(variant)!.push(await measure(lab, scenario, variant, time));
      }
    }
    yield summarize(scenario, results);
  }
}

async function measure(lab: Lab, scenario: Scenario, variant: Variant, time: number): Promise<Run> {
  const [far, near] = [lab.host('far'), lab.host('near')];
  const cpus = allowedCpus();
  const [mine, other] = [cpus[0] ?? 0, cpus.at(-1) ?? 0];
  using sink = load(sinkSpec());
  using _attached = attachXdp(sink.program, { interface: 'eth0', netns: far.netns });
  const arrived = (): number =>
    (sink.maps.frames.get(0) ?? []).reduce((sum, count) => sum + Number(count), 0);
  const { over, mode, driver } = variant;
  const order: SubjectOrder = {
    scenario,
    over,
    // Nobody wakes a sender: it has to look by itself.
    driver: scenario === 'txpush' && driver === 'event' ? 'immediate' : driver,
    interface: 'eth0',
    cpu: mine,
    ...(mode === undefined ? {} : { mode }),
  };
  const subject = await start(near, 'bench-subject', [JSON.stringify(order)]);
  const generator =
    scenario === 'txpush' ? undefined : await start(far, 'bench-generator', ['eth0', String(other)]);
  await sleep(WARM_UP);
  subject.stdin.write('b');
  const before = { at: performance.now(), count: arrived(), cpus: readCpus() };
  await sleep(time);
  const after = { at: performance.now(), count: arrived(), cpus: readCpus() };
  subject.stdin.end('e');
  const report = JSON.parse(lastLine(await subject.output)) as SubjectReport;
  if (generator !== undefined) {
    generator.stdin.end();
    await generator.output;
  }
  const there = ((after.count - before.count) * 1000) / (after.at - before.at);
  return {
    rate: scenario === 'rxdrop' ? report.packets / report.seconds : there,
    mode: report.mode,
    process: report.cpu / report.seconds,
    subject: shareOf(before.cpus.get(mine), after.cpus.get(mine)),
    other: shareOf(before.cpus.get(other), after.cpus.get(other)),
  };
}

interface Started {
  readonly stdin: Writable;
  /** All that it prints, once it has ended well. */
  readonly output: Promise<string>;
}

/** Starts a script of this folder inside a host, and waits until it is ready. */
async function start(host: LabHost, script: string, args: readonly string[]): Promise<Started> {
  const path = fileURLToPath(new URL(`${script}${import.meta.url.slice(-3)}`, import.meta.url));
  const child: ChildProcess = host.spawn(process.execPath, [path, ...args], { stdio: 'pipe' });
  const stdout = child.stdout as Readable;
  const complaint = text(child.stderr as Readable);
  const ready = Promise.race([once(stdout, 'readable'), once(child, 'exit')]);
  const exit = once(child, 'exit');
  await ready;
  const said = text(stdout);
  const output = (async () => {
    const [code] = (await exit) as [number | null];
    if (code !== 0) throw new BarewireError('BW_COMMAND', `${script} failed: ${(await complaint).trim()}`);
    return said;
  })();
  // What it throws is thrown where it is awaited.
  output.catch(() => {});
  return { stdin: child.stdin as Writable, output };
}

function lastLine(output: string): string {
  return output.trimEnd().split('\n').at(-1) ?? '';
}

function summarize(scenario: Scenario, results: ReadonlyMap<Variant, readonly Run[]>): BenchResult[] {
  const rates = new Map([...results].map(([{ id }, runs]) => [id, median(runs.map(({ rate }) => rate))]));
  const yardstick = rates.get(YARDSTICK);
  return [...results].map(([variant, runs]) => {
    const middle = (figure: (run: Run) => number): number => median(runs.map(figure));
    const rate = rates.get(variant.id) ?? Number.NaN;
    return {
      scenario,
      variant,
      packetsPerSecond: rate,
      spread: [Math.min(...runs.map((run) => run.rate)), Math.max(...runs.map((run) => run.rate))],
      runs: runs.length,
      ratio: yardstick === undefined ? undefined : rate / yardstick,
      mode: runs.at(-1)?.mode ?? '',
      cpu: {
        process: middle((run) => run.process),
        subject: {
          busy: middle((run) => run.subject.busy),
          interrupts: middle((run) => run.subject.interrupts),
        },
        other: { busy: middle((run) => run.other.busy), interrupts: middle((run) => run.other.interrupts) },
      },
    };
  });
}

/** The middle one; of an even number the mean of the middle two. */
function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2;
}
