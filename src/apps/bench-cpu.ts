import { readFileSync } from 'node:fs';
import { call } from '../sys/index.ts';

/** Clock ticks of one CPU since boot. */
export interface CpuTicks {
  readonly all: number;
  /** Neither idle nor waiting for a disk. */
  readonly busy: number;
  /** Of these, in soft and hard interrupts: where packets are received. */
  readonly interrupts: number;
}

/** Shares of one core, 0 to 1. */
export interface CpuShare {
  readonly busy: number;
  /** Of the whole core, and part of `busy`. */
  readonly interrupts: number;
}

/** The CPUs that this process may run on. */
export function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Keeps this process on one CPU. */
export function pinTo(cpu: number): void {
  const mask = new Uint32Array(32);
  mask[cpu >> 5] = 1 << (cpu & 31);
  call('sched_setaffinity', 0, mask.byteLength, mask);
}

/** By CPU number, from /proc/stat. */
export function readCpus(): Map<number, CpuTicks> {
  const cpus = new Map<number, CpuTicks>();
  for (const [, cpu, rest = ''] of readFileSync('/proc/stat', 'utf8').matchAll(/^cpu(\d+) (.*)$/gm)) {
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    const ticks = rest.split(' ').map(Number);
    const all = ticks.slice(0, 8).reduce((sum, count) => sum + count, 0);
    cpus.set(Number(cpu), {
      all,
      busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0),
      interrupts: (ticks[5] ?? 0) + (ticks[6] ?? 0),
    });
  }
  return cpus;
}

/** What a CPU did between two readings. */
export function shareOf(before: CpuTicks | undefined, after: CpuTicks | undefined): CpuShare {
  const all = (after?.all ?? 0) - (before?.all ?? 0);
  if (before === undefined || after === undefined || all <= 0) return { busy: 0, interrupts: 0 };
  return {
    busy: (after.busy - before.busy) / all,
    interrupts: (after.interrupts - before.interrupts) / all,
  };
}
