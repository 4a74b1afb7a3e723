import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BPFFS, ensureBpffs, loadObject, unpin } from '../src/bpf/index.ts';
import { type Bench, compare, interleave, median, type Row } from './row.ts';

const RUNS = 15;
/** Of the loop, each of which the verifier walks: a quarter of a million steps together. */
const ROUNDS = 150;
/** Functions of the program; with clang's debugging information they come to about 100 KB. */
const FUNCTIONS = 14;

/** What the object asks for: nothing else, the kernel's types, or much of the verifier. */
const KINDS = ['load', 'load with CO-RE', 'load with loops'] as const;
type Kind = (typeof KINDS)[number];

export const bench: Bench = {
  summary:
    'from an object file of 100 KB to a loaded program: all of `barewire inspect --verify` beside bpftool, without the start of Node.js',
  *run(): Generator<Row> {
    ensureBpffs();
    const folder = mkdtempSync(join(tmpdir(), 'barewire-bench-'));
    try {
      for (const kind of KINDS) yield measure(folder, kind);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

function measure(folder: string, kind: Kind): Row {
  const source = join(folder, 'large.c');
  const object = join(folder, 'large.o');
  writeFileSync(source, largeProgram(kind));
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  execFileSync('clang-14', [
    '-O2',
    '-g',
    '-target',
    'bpf',
    '-idirafter',
    include,
    '-c',
    source,
    '-o',
    object,
  ]);
  const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const command = script('../src/cli/launch.cjs');
  const pin = `${BPFFS}/bw-bench-${process.pid}`;
  const time = (program: string, ...args: string[]): number => {
    const start = performance.now();
    execFileSync(program, args);
    const took = performance.now() - start;
    unpin(pin);
    return took;
  };
  const inside: number[] = [];
  const { ours, nothing, library, bpftool } = interleave(RUNS, {
    ours: () => time(process.execPath, command, 'inspect', '--verify', object),
    nothing: () => time(process.execPath, script('nothing.cjs')),
    library: () => time(process.execPath, script('load-object.js'), object, pin),
    bpftool: () => time('bpftool', 'prog', 'load', object, pin),
  });
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    loadObject(readFileSync(object)).load().close();
    inside.push(performance.now() - start);
  }
  const own = {
    median: ours.median - nothing.median,
    spread: [ours.spread[0] - nothing.median, ours.spread[1] - nothing.median] as const,
    runs: ours.runs,
  };
  return compare(kind, 'ms', own, bpftool, 'bpftool prog load', {
    more: {
      'object in kB': Math.round(statSync(object).size / 1000),
      'with the start of Node.js': round(ours.median),
      'start of Node.js alone': round(nothing.median),
      'by importing the library instead': round(library.median - nothing.median),
      'in a process that runs already': round(median(inside)),
    },
  });
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** A program of many functions, each with arithmetic that no compiler removes, maps and a packet to look at. */
function largeProgram(kind: Kind): string {
  const core = kind === 'load with CO-RE';
  const functions = Array.from({ length: FUNCTIONS }, (_, i) => {
    const steps = Array.from(
      { length: 24 },
      (_, k) => `  x = (x ^ ${i * 31 + k + 1}) * ${2 * k + 3} + (x >> ${(k % 13) + 1});`,
    );
    const look = core ? `  x += bpf_core_field_offset(task->pid) + ${i};\n` : '';
    return `static __attribute__((noinline)) __u64 step${i}(__u64 x) {
${core ? '  struct task_struct *task = 0;\n' : ''}${look}${steps.join('\n')}
  return x;
}`;
  });
  return `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
${core ? '#include <bpf/bpf_core_read.h>\nstruct task_struct { int pid; } __attribute__((preserve_access_index));\n' : ''}
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); } sums SEC(".maps");
${functions.join('\n\n')}

SEC("xdp")
int large(struct xdp_md *ctx) {
  __u64 x = ctx->data_end - ctx->data;
  __u32 zero = 0;
${kind === 'load with loops' ? `#pragma clang loop unroll(disable)\n  for (int i = 0; i < ${ROUNDS}; i++) {` : ''}
${functions.map((_, i) => `  x = step${i}(x);`).join('\n')}
${kind === 'load with loops' ? '  }' : ''}
  __u64 *sum = bpf_map_lookup_elem(&sums, &zero);
  if (sum) *sum += x;
  return x & 1 ? XDP_PASS : XDP_DROP;
}
char _license[] SEC("license") = "GPL";
`;
}
