import { execFileSync } from 'node:child_process';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { countSlots } from '../src/asm/index.ts';
import { type BpfMap, load, type Program } from '../src/bpf/index.ts';
import { compile } from '../src/compiler/index.ts';
import type { ProgramSpec } from '../src/spec/index.ts';
import { clangMissing, clangPrograms, clangSpec } from './clang.ts';
import { type Subject, subjects } from './compiler-subjects.ts';
import { type Bench, compare, interleave, type Row, summarize } from './row.ts';
import { nanosecondsPerRun } from './run-program.ts';

const RUNS = 15;
const STARTS = 5;

/**
 * A test run's frame is not put back before the next one, so a rewritten port would be rewritten once only: the
 * port stays the same, at the same cost. The MSS is lowered in the first run; then the walk finds it low enough.
 */
const SETTINGS = { portTo: 7999, mss: 1400 };

export const bench: Bench = {
  summary:
    'programs in TypeScript beside the same in C by clang -O2 -mcpu=v3, ns a packet by BPF_PROG_TEST_RUN; compile times',
  *run(): Generator<Row> {
    const missing = clangMissing();
    const clang =
      missing === undefined ? clangPrograms({ PORT_TO: SETTINGS.portTo, MSS: SETTINGS.mss }) : undefined;
    for (const subject of subjects(SETTINGS)) yield* speed(subject, clang?.get(subject.name), missing);
    for (const subject of subjects(SETTINGS)) yield compileTime(subject);
  },
};

function* speed(
  subject: Subject,
  instructions: ProgramSpec['instructions'] | undefined,
  missing: string | undefined,
): Generator<Row> {
  const spec = compile(subject.program as never) as unknown as ProgramSpec;
  using ours = load(spec);
  const maps = ours.maps as Readonly<Record<string, BpfMap>>;
  for (const [name, entries] of Object.entries(subject.fill)) {
    for (const [key, value] of entries) maps[name]?.set(key, value);
  }
  const shared = Object.fromEntries(Object.entries(spec.maps).map(([name, map]) => [map.name, maps[name]]));
  using theirs =
    instructions === undefined
      ? undefined
      : load(clangSpec(subject.name, instructions, spec.maps), { maps: shared as never });
  const loop = subject.loop ? { loop: true } : {};
  for (const [name, data] of Object.entries(subject.frames)) {
    if (theirs === undefined || instructions === undefined) {
      const { median, ...rest } = interleave(RUNS, {
        ours: () => nanosecondsPerRun(ours.program, data),
      }).ours;
      const more = { ...size(spec, ours.program), 'no comparison': missing ?? 'no counterpart in C' };
      yield { name, unit: 'ns/packet', ours: median, ...rest, ...loop, more };
      continue;
    }
    const timed = interleave(RUNS, {
      ours: () => nanosecondsPerRun(ours.program, data),
      theirs: () => nanosecondsPerRun(theirs.program, data),
    });
    const [a, b] = [size(spec, ours.program), size({ instructions }, theirs.program)];
    const more = Object.fromEntries(Object.entries(a).map(([key, n]) => [key, `${n} against ${b[key]}`]));
    yield compare(name, 'ns/packet', timed.ours, timed.theirs, 'clang -O2 -mcpu=v3', { ...loop, more });
  }
}

function size(spec: Pick<ProgramSpec, 'instructions'>, program: Program): Record<string, number> {
  const { jitedSize, verifiedInstructions } = program.info();
  return {
    instructions: countSlots(spec.instructions),
    'JIT bytes': jitedSize,
    'verifier steps': verifiedInstructions,
  };
}

/** Warm in this process; for the first one of a process, with the loading of the compiler, in fresh processes. */
function compileTime({ name, program }: Subject): Row {
  const times = Array.from({ length: 40 }, () => {
    const before = performance.now();
    compile(program as never);
    return performance.now() - before;
  });
  const { median, spread, runs } = summarize(times.slice(10));
  const script = fileURLToPath(new URL('./compile-first.js', import.meta.url));
  const starts = Array.from({ length: STARTS }, () => {
    const [loading, first] = JSON.parse(execFileSync(execPath, [script, name], { encoding: 'utf8' })) as [
      number,
      number,
    ];
    return { loading, first };
  });
  return {
    name: `compile-${name}`,
    unit: 'ms',
    ours: median,
    spread,
    runs,
    more: {
      'first of a process': summarize(starts.map((s) => s.first)).median,
      'loading the compiler': summarize(starts.map((s) => s.loading)).median,
    },
  };
}
