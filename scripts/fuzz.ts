/**
 * `npm run fuzz -- [TARGET …] [--seconds N] [--seed N] [--jobs N] [--one SEED]`: holds Barewire against random input
 * until it is stopped.
 *
 * Every try has a seed of its own. A failure is shrunk and printed with its seed; `--one SEED` sees it again.
 */
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { argv, exit, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { FuzzTarget } from '../test/fuzz-target.ts';

/** What can be fuzzed; each is loaded when it is asked for. */
const TARGETS: Readonly<Record<string, () => Promise<{ readonly target: FuzzTarget }>>> = {
  compiler: () => import('../test/compiler/fuzz/target.ts'),
  netstack: () => import('../test/netstack/fuzz-two-stacks.ts'),
  object: () => import('../test/object/fuzz.ts'),
  packet: () => import('../test/packet/fuzz.ts'),
  ppp: () => import('../test/pppoe/fuzz.ts'),
};

/** What a job tells its parent. */
interface Report {
  readonly counts: Readonly<Record<string, number>>;
  readonly failure?: {
    readonly target: string;
    readonly seed: number;
    readonly what: string;
    readonly text: string;
  };
}

const { values, positionals } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: {
    /** Default is until Ctrl-C. */
    seconds: { type: 'string' },
    /** The first seed. Default is another one every time. */
    seed: { type: 'string' },
    /** Processes. Default is one a CPU. */
    jobs: { type: 'string' },
    /** Tries this seed alone. */
    one: { type: 'string' },
    /** Which of the jobs this process is. */
    job: { type: 'string' },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(TARGETS);
const unknown = names.filter((name) => !(name in TARGETS));
if (unknown.length > 0) {
  console.error(`There is no target ${unknown.join(', ')}. There are: ${Object.keys(TARGETS).join(', ')}.`);
  exit(2);
}
const jobs = whole(values.jobs, cpus().length);
const seed = whole(values.seed, Date.now() % 2 ** 31);
const seconds = whole(values.seconds, 0);

if (values.one !== undefined) await tryOne(whole(values.one, 0));
else if (values.job !== undefined) await work(whole(values.job, 0));
else await supervise();

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`${text} is not a whole number.`);
  exit(2);
}

async function load(name: string): Promise<FuzzTarget> {
  const target = await TARGETS[name]?.();
  if (target === undefined) throw new Error(`no target ${name}`);
  return target.target;
}

async function tryOne(one: number): Promise<void> {
  let failed = false;
  for (const name of names) {
    const target = await load(name);
    target.prepare?.(0);
    const { kind, failure } = target.try(one);
    stdout.write(`${name} ${one}: ${kind}\n`);
    if (failure !== undefined) stdout.write(`${failure.explain()}\n`);
    failed ||= failure !== undefined;
  }
  exit(failed ? 1 : 0);
}

/** One job: every target in turn, on the seeds that are this job's. */
async function work(job: number): Promise<void> {
  const targets = await Promise.all(names.map(async (name) => [name, await load(name)] as const));
  for (const [, target] of targets) target.prepare?.(job);
  const seen = new Set<string>();
  const until = seconds > 0 ? performance.now() + seconds * 1000 : Number.POSITIVE_INFINITY;
  let counts: Record<string, number> = {};
  let told = performance.now();
  for (let at = seed + job; performance.now() < until; at += jobs) {
    for (const [name, target] of targets) {
      const { kind, failure } = target.try(at);
      const key = `${name} ${kind}`;
      counts[key] = (counts[key] ?? 0) + 1;
      if (failure === undefined || seen.has(failure.what)) continue;
      seen.add(failure.what);
      process.send?.({
        counts: {},
        failure: { target: name, seed: at, what: failure.what, text: failure.explain() },
      });
    }
    if (performance.now() - told < 1000) continue;
    told = performance.now();
    process.send?.({ counts });
    counts = {};
    // The parent may be gone; then its channel is closed, and that is an event.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => process.send?.({ counts }, resolve));
  exit(0);
}

/** Starts the jobs, adds up what they tell, and prints each kind of failure once. */
async function supervise(): Promise<void> {
  const counts: Record<string, number> = {};
  const seen = new Set<string>();
  const started = performance.now();
  const line = (): string => {
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    const each = Object.entries(counts).map(
      ([kind, n]) => `${kind} ${n} (${((100 * n) / total).toFixed(2)} %)`,
    );
    return `${Math.round((performance.now() - started) / 1000)} s, ${total} tries: ${each.join(', ')}`;
  };
  stdout.write(`seeds from ${seed}, ${jobs} jobs: ${names.join(', ')}\n`);
  const children = Array.from({ length: jobs }, (_, job) => {
    const child = fork(fileURLToPath(import.meta.url), [
      ...argv.slice(2),
      '--seed',
      `${seed}`,
      '--job',
      `${job}`,
    ]);
    child.on('message', (report: Report) => {
      for (const [kind, n] of Object.entries(report.counts)) counts[kind] = (counts[kind] ?? 0) + n;
      const { failure } = report;
      if (failure === undefined || seen.has(failure.what)) return;
      seen.add(failure.what);
      const again = `npm run fuzz -- ${failure.target} --one ${failure.seed}`;
      stdout.write(
        `\n${failure.target}, seed ${failure.seed}: ${failure.what}\n${failure.text}\nAgain: ${again}\n\n`,
      );
    });
    return child;
  });
  const stop = (): void => {
    for (const child of children) child.kill();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const timer = setInterval(() => stdout.write(`${line()}\n`), 10_000);
  const codes = await Promise.all(
    children.map((child) => new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 0)))),
  );
  clearInterval(timer);
  stdout.write(`${line()}\n`);
  exit(seen.size > 0 || codes.some((code) => code !== 0) ? 1 : 0);
}
