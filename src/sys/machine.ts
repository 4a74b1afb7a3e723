import { readFileSync } from 'node:fs';
import { release } from 'node:os';

/** Capabilities by their bit (`linux/capability.h`) that packet work may need. */
export const CAPABILITIES = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

export type Capability = keyof typeof CAPABILITIES;

/** The effective capabilities of this process, of those that packet work may need. */
export function effectiveCapabilities(): Set<Capability> {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const bits = BigInt(`0x${hex}`);
  const held = Object.entries(CAPABILITIES).filter(([, bit]) => (bits >> BigInt(bit)) & 1n);
  return new Set(held.map(([name]) => name as Capability));
}

/** How many CPUs the kernel may ever have: the number of values in a per-CPU map's entry. */
export function possibleCpus(): number {
  cpus ??= lastCpu(readFileSync('/sys/devices/system/cpu/possible', 'utf8')) + 1;
  return cpus;
}

let cpus: number | undefined;

/** The highest CPU of a list such as `0-3,8-11`. */
function lastCpu(list: string): number {
  return Math.max(...list.trim().split(/[,-]/).map(Number));
}

/** The running kernel's version, as in `{ major: 6, minor: 18, patch: 44 }`. */
export function kernelVersion(): { readonly major: number; readonly minor: number; readonly patch: number } {
  const [, major, minor, patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release()) ?? [];
  return { major: Number(major ?? 0), minor: Number(minor ?? 0), patch: Number(patch ?? 0) };
}
