import type { Program } from '../src/bpf/index.ts';

const REPEAT = 500_000;

/**
 * How long one run of a program takes, in ns of CPU time, with fractions.
 *
 * The kernel's own figure is in whole nanoseconds and wall-clock time counts the turns of other processes, so the CPU
 * time of this process is taken, which the scheduler knows exactly. The system call is lost among half a million runs.
 */
export function nanosecondsPerRun(program: Program, data: Uint8Array): number {
  const before = process.cpuUsage();
  program.testRun({ data, repeat: REPEAT });
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / REPEAT;
}
