import { kernelVersion } from '../src/sys/index.ts';

/** Whether this kernel is of a version, as in `6.9`, or newer. For tests of what older kernels lack, or do otherwise. */
export function kernelSince(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const ours = kernelVersion();
  return ours.major > major || (ours.major === major && ours.minor >= minor);
}
