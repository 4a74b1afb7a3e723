import { existsSync, readFileSync } from 'node:fs';
import { effectiveCapabilities, kernelVersion } from '../sys/index.ts';

/** Capabilities that loading and attaching XDP programs needs on kernels since 5.8; CAP_SYS_ADMIN stands for the first. */
export const NEEDED_CAPABILITIES = ['CAP_BPF', 'CAP_NET_ADMIN'] as const;

/**
 * Why bpf(2) may have said EPERM, and what mends it.
 *
 * One errno stands for three reasons: a capability is missing, the memory lock limit is too low (before 5.11), or a
 * security module forbids it.
 */
export function explainPermission(): string {
  const held = effectiveCapabilities();
  const missing = NEEDED_CAPABILITIES.filter(
    (name) => !held.has(name) && !(name === 'CAP_BPF' && held.has('CAP_SYS_ADMIN')),
  );
  if (missing.length > 0) {
    return `This process lacks ${missing.join(' and ')}: run it as root, or grant them (setcap, AmbientCapabilities=).`;
  }
  const { major, minor } = kernelVersion();
  if (major < 5 || (major === 5 && minor < 11)) {
    return 'Raise the limit of locked memory (ulimit -l unlimited): before Linux 5.11 maps and programs count against it.';
  }
  const lockdown = '/sys/kernel/security/lockdown';
  if (existsSync(lockdown) && /\[(integrity|confidentiality)\]/.test(readFileSync(lockdown, 'utf8'))) {
    return 'The kernel is locked down (secure boot), which restricts BPF.';
  }
  return 'A security module or a container policy (seccomp) forbids it, or this kernel refuses this kind of program.';
}
