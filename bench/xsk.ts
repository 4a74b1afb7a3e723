import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import {
  add64,
  assemble,
  call,
  exit,
  func,
  jeq,
  label,
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r10,
  st,
  stx,
} from '../src/asm/index.ts';
import { attachXdp, load, perCpuArray } from '../src/bpf/index.ts';
import { Lab, type LabHost } from '../src/lab/index.ts';
import { u64 } from '../src/layout/index.ts';
import { type Bench, compare, interleaveAsync, type Measured, type Row, summarize } from './row.ts';
import { receiveRings } from './xsk-rings.ts';

const RUNS = Number(env.BAREWIRE_BENCH_RUNS ?? 7);
const SECONDS = 1;
/** Packets a second: more than any of them can forward here, and not so many as to drown them. */
const OFFERED = 1_800_000;
/** The subject has a core, what it works against the other. */
const SUBJECT_CPU = '0';
const OTHER_CPU = '1';

export const bench: Bench = {
  summary: `AF_XDP on a veth, 64-byte frames, batch 64: ours beside a C program on the same rings, runs interleaved`,
  async *run(): AsyncGenerator<Row> {
    const folder = mkdtempSync(join(tmpdir(), 'barewire-bench-'));
    const lab = Lab.create({ hosts: ['other', 'subject'], wires: [{ between: ['other', 'subject'] }] });
    try {
      const yardstick = join(folder, 'xsk-yardstick');
      execFileSync('cc', [
        '-O2',
        '-o',
        yardstick,
        fileURLToPath(new URL('../../bench/c/xsk-yardstick.c', import.meta.url)),
      ]);
      for (const host of lab.hosts) host.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
      const field = new Field(lab, yardstick);
      yield* scenarios(field);
      yield* waiting(field);
      yield* latencies(field);
    } finally {
      lab.destroy();
      rmSync(folder, { recursive: true, force: true });
    }
    yield ringRow();
  },
};

async function* scenarios(field: Field): AsyncGenerator<Row> {
  for (const scenario of ['rxdrop', 'txpush', 'l2fwd'] as const) {
    const runs = new Runs();
    // Forwarding has two speeds on a veth, and a run has the one or the other: so more of them.
    const figures = await interleaveAsync(scenario === 'l2fwd' ? 2 * RUNS : RUNS, {
      c: runs.of('c', () => field.measure(scenario, 'c', 'spin', 'driver')),
      ours: runs.of('ours', () => field.measure(scenario, 'ours', 'spin', 'driver')),
      packet: runs.of('packet', () => field.measure(scenario, 'ours', 'spin', 'packet')),
      plain: runs.of('plain', () => field.measure(scenario, 'ours', 'spin', 'plain')),
    });
    const { ours, c, packet, plain } = figures;
    yield runs.row(scenario, ours, c, 'C on the same rings', 'ours', 'c');
    yield runs.row(`${scenario}, against AF_PACKET`, ours, packet, 'AF_PACKET, mmap ring', 'ours', 'packet');
    yield runs.row(`${scenario}, against plain AF_PACKET`, ours, plain, 'AF_PACKET, plain', 'ours', 'plain');
  }
  yield* offered(field);
  // Without a program in its driver a veth takes live frames only with GRO.
  using _gro = field.withGro();
  const runs = new Runs();
  const figures = await interleaveAsync(Math.min(3, RUNS), {
    c: runs.of('c', () => field.measure('rxdrop', 'c', 'spin', 'generic')),
    ours: runs.of('ours', () => field.measure('rxdrop', 'ours', 'spin', 'generic')),
  });
  yield runs.row('rxdrop, generic mode', figures.ours, figures.c, 'C on the same rings', 'ours', 'c');
}

/**
 * Forwarding what there is, not what ten times as much leaves: at an offered rate that all can receive, each sends on
 * what it can. A flood has the generator's core drop most frames, which is soon done where a socket's ring is full, and
 * the lines of memory that it counts them in are those that the other core sends by.
 */
async function* offered(field: Field): AsyncGenerator<Row> {
  const runs = new Runs();
  const l2fwd = (who: 'c' | 'ours', mode: string): Promise<Outcome> =>
    field.measure('l2fwd', who, 'spin', mode, OFFERED, 'steady');
  const { ours, c, packet } = await interleaveAsync(Math.min(5, RUNS), {
    c: runs.of('c', () => l2fwd('c', 'driver')),
    ours: runs.of('ours', () => l2fwd('ours', 'driver')),
    packet: runs.of('packet', () => l2fwd('ours', 'packet')),
  });
  const name = `l2fwd of ${OFFERED / 1e6} M packets/s offered`;
  yield runs.row(name, ours, c, 'C on the same rings', 'ours', 'c');
  yield runs.row(`${name}, against AF_PACKET`, ours, packet, 'AF_PACKET, mmap ring', 'ours', 'packet');
}

/** Napping against spinning, in bursts of 64 and of 8; and what a program in C gets that waits in poll. */
async function* waiting(field: Field): AsyncGenerator<Row> {
  for (const burst of [64, 8]) {
    const runs = new Runs();
    const figures = await interleaveAsync(Math.min(5, RUNS), {
      spin: runs.of('spin', () => field.measure('rxdrop', 'ours', 'spin', 'driver', burst)),
      nap: runs.of('nap', () => field.measure('rxdrop', 'ours', 'nap', 'driver', burst)),
      deep: runs.of('deep', () => field.measure('rxdrop', 'ours', 'nap', 'driver', burst, 'flood', ['deep'])),
      event: runs.of('event', () => field.measure('rxdrop', 'ours', 'event', 'driver', burst)),
      poll: runs.of('poll', () => field.measure('rxdrop', 'c', 'poll', 'driver', burst)),
    });
    yield runs.row(
      `rxdrop napping, bursts of ${burst}`,
      figures.nap,
      figures.spin,
      'spinning',
      'nap',
      'spin',
    );
    yield runs.row(
      `rxdrop napping, RX ring of 4096, bursts of ${burst}`,
      figures.deep,
      figures.spin,
      'spinning',
      'deep',
      'spin',
    );
    yield runs.row(
      `rxdrop by events, bursts of ${burst}`,
      figures.event,
      figures.poll,
      'C in poll',
      'event',
      'poll',
    );
  }
}

async function* latencies(field: Field): AsyncGenerator<Row> {
  const c = await repeated(3, () => field.latency('c', 'poll'));
  for (const driver of ['event', 'immediate', 'spin', 'nap'] as const) {
    const ours = await repeated(3, () => field.latency('ours', driver));
    const p50 = summarize(ours.map((one) => one.p50));
    yield compare(
      `wake-up latency, ${driver}`,
      'microseconds, p50',
      p50,
      summarize(c.map((one) => one.p50)),
      'C in poll',
      {
        more: {
          p99: summarize(ours.map((one) => one.p99)).median,
          "C's p99": summarize(c.map((one) => one.p99)).median,
        },
      },
    );
  }
}

function ringRow(): Row {
  const costs = Array.from({ length: RUNS }, () => receiveRings(10_000_000));
  const rates = summarize(costs.map((cost) => cost.rate));
  return {
    name: 'rings alone',
    unit: 'M frames/s received',
    ours: rates.median,
    spread: rates.spread,
    runs: rates.runs,
    more: { 'heap bytes/packet': summarize(costs.map((cost) => cost.heap)).median, packets: 10_000_000 },
  };
}

type Scenario = 'rxdrop' | 'txpush' | 'l2fwd';
type Wait = 'spin' | 'nap' | 'poll' | 'event' | 'immediate';

/** What a subject says at its end. */
interface Report {
  readonly packets: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly mode: string;
  readonly p50: number;
  readonly p99: number;
  readonly heap?: number;
  readonly collections?: number;
}

interface Outcome extends Report {
  /** Packets a second: received, or arrived at the far end. */
  readonly rate: number;
  /** Share of each core that is busy, softirq included. */
  readonly subjectCpu: number;
  readonly otherCpu: number;
}

/** The wire, with a program on its other end that counts and drops. */
class Field {
  readonly #other: LabHost;
  readonly #subject: LabHost;
  readonly #yardstick: string;

  constructor(lab: Lab, yardstick: string) {
    this.#other = lab.host('other');
    this.#subject = lab.host('subject');
    this.#yardstick = yardstick;
  }

  async measure(
    scenario: Scenario,
    who: 'c' | 'ours',
    wait: Wait,
    mode: string,
    figure = 64,
    kind: 'flood' | 'steady' = 'flood',
    more: readonly string[] = [],
  ): Promise<Outcome> {
    using sink = load(sinkSpec());
    using _attached = attachXdp(sink.program, { interface: 'eth0', netns: this.#other.netns });
    const counted = (): number =>
      (sink.maps.frames.get(0) ?? []).reduce((sum, count) => sum + Number(count), 0);
    const subject = this.#start(who, [scenario, 'eth0', String(SECONDS), '64', wait, mode, ...more]);
    const output = outputOf(subject);
    await ready(subject);
    const generator = scenario === 'txpush' ? undefined : this.#generate(kind, SECONDS + 2, figure);
    // The subject's own warm-up is a second; the window lies within its measured second.
    await sleep(1100);
    const before = { at: performance.now(), count: counted(), cpus: cpuTimes() };
    await sleep(SECONDS * 1000 - 200);
    const after = { at: performance.now(), count: counted(), cpus: cpuTimes() };
    const report = JSON.parse((await output).split('\n').at(-2) ?? '') as Report;
    generator?.kill('SIGKILL');
    if (generator !== undefined) await outputOf(generator);
    const rate =
      scenario === 'rxdrop'
        ? report.packets / report.seconds
        : ((after.count - before.count) * 1000) / (after.at - before.at);
    const busy = (cpu: string): number => busyShare(before.cpus.get(cpu), after.cpus.get(cpu));
    return { ...report, rate, subjectCpu: busy(SUBJECT_CPU), otherCpu: busy(OTHER_CPU) };
  }

  /** The subject's interface with GRO, until it is disposed. */
  withGro(): Disposable {
    const { ethtool } = this.#subject.net;
    ethtool.setFeatures('eth0', { 'rx-gro': true });
    return { [Symbol.dispose]: () => void ethtool.setFeatures('eth0', { 'rx-gro': false }) };
  }

  async latency(who: 'c' | 'ours', wait: Wait): Promise<Report> {
    const subject = this.#start(who, ['latency', 'eth0', '1', '64', wait, 'driver']);
    const output = outputOf(subject);
    await ready(subject);
    const generator = this.#generate('clock', 2.3, 2000);
    const report = JSON.parse((await output).split('\n').at(-2) ?? '') as Report;
    await outputOf(generator);
    return report;
  }

  #start(who: 'c' | 'ours', args: readonly string[]): ChildProcess {
    const script = fileURLToPath(new URL('./xsk-ours.js', import.meta.url));
    const command = who === 'c' ? [this.#yardstick] : [execPath, script];
    return this.#subject.spawn('taskset', ['-c', SUBJECT_CPU, ...command, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  #generate(kind: 'flood' | 'steady' | 'clock', seconds: number, figure: number): ChildProcess {
    const script = fileURLToPath(new URL('./xsk-generator.js', import.meta.url));
    const args = ['-c', OTHER_CPU, execPath, script, kind, 'eth0', String(seconds), String(figure)];
    return this.#other.spawn('taskset', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  }
}

/** Remembers what each subject said, for the rows; the first run of each is the warm-up. */
class Runs {
  readonly #outcomes = new Map<string, Outcome[]>();

  of(name: string, measure: () => Promise<Outcome>): () => Promise<number> {
    const outcomes: Outcome[] = [];
    this.#outcomes.set(name, outcomes);
    return async () => {
      const outcome = await measure();
      outcomes.push(outcome);
      return outcome.rate / 1e6;
    };
  }

  row(name: string, ours: Measured, yardstick: Measured, against: string, mine: string, theirs: string): Row {
    const median = (who: string, figure: (outcome: Outcome) => number): number =>
      summarize((this.#outcomes.get(who) ?? []).slice(1).map(figure)).median;
    const heap = median(mine, (outcome) => Math.max(0, outcome.heap ?? 0) / outcome.packets);
    return compare(name, 'M packets/s', ours, yardstick, against, {
      mode: this.#outcomes.get(mine)?.at(-1)?.mode ?? '',
      cpu: {
        ours: median(mine, (outcome) => outcome.subjectCpu),
        'ours, process': median(mine, (outcome) => outcome.cpu / outcome.seconds),
        'ours, other core': median(mine, (outcome) => outcome.otherCpu),
        yardstick: median(theirs, (outcome) => outcome.subjectCpu),
        'yardstick, process': median(theirs, (outcome) => outcome.cpu / outcome.seconds),
      },
      more: {
        'yardstick from': yardstick.spread[0],
        to: yardstick.spread[1],
        'ns of CPU/packet': median(mine, (outcome) => (outcome.cpu * 1e9) / outcome.packets),
        "yardstick's": median(theirs, (outcome) => (outcome.cpu * 1e9) / outcome.packets),
        'heap bytes/packet': heap,
        'garbage collections': median(mine, (outcome) => outcome.collections ?? 0),
      },
    });
  }
}

/** Counts what arrives, per CPU, and drops it. */
function sinkSpec() {
  const frames = perCpuArray('frames', u64, 1);
  const assembly = assemble([
    func('sink', 1),
    st('u32', r10, -4, 0),
    mapByName(r1, 'frames'),
    mov64(r2, r10),
    add64(r2, -4),
    call('map_lookup_elem'),
    jeq(r0, 0, 'drop'),
    ldx('u64', r1, r0, 0),
    add64(r1, 1),
    stx('u64', r0, r1, 0),
    label('drop'),
    mov64(r0, 1),
    exit(),
  ]);
  const spec = { name: 'sink', type: 'xdp', attachType: 'xdp', frags: false, license: 'MIT' } as const;
  return { ...spec, maps: { frames }, ...assembly };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`a subject ended early with ${code}`)));
  });
}

function outputOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    if (child.exitCode !== null) resolve(said);
    child.once('close', () => resolve(said));
  });
}

async function repeated<T>(runs: number, task: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < runs; i++) results.push(await task());
  return results;
}

/** Of each CPU, the clock ticks it was busy and the ticks in all. */
function cpuTimes(): Map<string, { busy: number; all: number }> {
  const times = new Map<string, { busy: number; all: number }>();
  for (const [, cpu = '', rest = ''] of readFileSync('/proc/stat', 'utf8').matchAll(/^cpu(\d+) (.*)$/gm)) {
    // user nice system idle iowait irq softirq steal …
    const ticks = rest.split(' ').map(Number);
    const all = ticks.slice(0, 8).reduce((sum, count) => sum + count, 0);
    times.set(cpu, { busy: all - ticks[3]! - ticks[4]!, all });
  }
  return times;
}

function busyShare(
  before: { busy: number; all: number } | undefined,
  after: { busy: number; all: number } | undefined,
): number {
  if (before === undefined || after === undefined || after.all === before.all) return Number.NaN;
  return (after.busy - before.busy) / (after.all - before.all);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
