/** The kernel's door: system calls, descriptors, readiness, namespaces. @module barewire/sys */
export { Arena, MAP_POPULATE, PAGE_SIZE, PROT_READ, PROT_WRITE } from './arena.ts';
export { addressOf, call, callTo, cString, rawSyscall, syscall } from './call.ts';
export { Errno, type ErrnoName, errnoMeaning, errnoName } from './errno.ts';
export { SystemError, type SystemErrorDetails } from './error.ts';
export { Fd, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, openPath } from './fd.ts';
export { type Holdings, leaksSince, requireNoLeaks, takeStock } from './leaks.ts';
export {
  CAPABILITIES,
  type Capability,
  effectiveCapabilities,
  kernelVersion,
  possibleCpus,
} from './machine.ts';
export type { SyscallArgument } from './native.ts';
export { NETNS_DIRECTORY, Netns, withNetns } from './netns.ts';
export { SYS, type SyscallName } from './numbers.ts';
export { Poller, Readiness } from './poller.ts';
