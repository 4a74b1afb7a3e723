import { arch } from 'node:process';

/** System call numbers of x86-64 (`asm/unistd_64.h`) and arm64 (`asm-generic/unistd.h`). */
const NUMBERS = {
  accept4: [288, 242],
  bind: [49, 200],
  bpf: [321, 280],
  capget: [125, 90],
  clock_gettime: [228, 113],
  clock_nanosleep: [230, 115],
  close: [3, 57],
  connect: [42, 203],
  dup3: [292, 24],
  eventfd2: [290, 19],
  fcntl: [72, 25],
  flock: [73, 32],
  getsockname: [51, 204],
  getsockopt: [55, 209],
  ioctl: [16, 29],
  listen: [50, 201],
  madvise: [28, 233],
  mmap: [9, 222],
  mount: [165, 40],
  munmap: [11, 215],
  openat: [257, 56],
  pipe2: [293, 59],
  ppoll: [271, 73],
  prctl: [157, 167],
  prlimit64: [302, 261],
  read: [0, 63],
  recvfrom: [45, 207],
  recvmsg: [47, 212],
  sched_getaffinity: [204, 123],
  sched_setaffinity: [203, 122],
  sendmmsg: [307, 269],
  sendmsg: [46, 211],
  sendto: [44, 206],
  setns: [308, 268],
  setsockopt: [54, 208],
  shutdown: [48, 210],
  socket: [41, 198],
  statfs: [137, 43],
  umount2: [166, 39],
  unshare: [272, 97],
  write: [1, 64],
} as const;

/** A system call that Barewire makes. */
export type SyscallName = keyof typeof NUMBERS;

const column = arch === 'arm64' ? 1 : 0;

/** The call's number on this machine. */
export const SYS: Readonly<Record<SyscallName, number>> = Object.fromEntries(
  Object.entries(NUMBERS).map(([name, numbers]) => [name, numbers[column]]),
) as Record<SyscallName, number>;
