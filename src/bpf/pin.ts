import { mkdirSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { BarewireError } from '../error.ts';
import { type MapSpec, mapFlagBits } from '../spec/index.ts';
import { cString, Errno, Fd, syscall } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import type { MapInfo } from './info.ts';
import { mapSizes } from './map-create.ts';
import { Command, OBJECT_NAME_SIZE } from './uapi.ts';

/** Where the BPF file system is mounted by custom, and by systemd. */
export const BPFFS = '/sys/fs/bpf';
const BPF_FS_MAGIC = 0xcafe4a11;

/** Whether a path lies on a BPF file system. */
export function isOnBpffs(path: string): boolean {
  const statfs = new Uint8Array(120);
  if (syscall('statfs', cString(path), statfs) < 0) return false;
  return new DataView(statfs.buffer).getUint32(0, true) === BPF_FS_MAGIC;
}

/** Mounts the BPF file system at {@link BPFFS} unless it is there. */
export function ensureBpffs(): void {
  if (isOnBpffs(BPFFS)) return;
  mkdirSync(BPFFS, { recursive: true });
  const result = syscall('mount', cString('bpf'), cString(BPFFS), cString('bpf'), 0, cString('mode=0700'));
  if (result < 0) throw bpfError(-result, `mount the BPF file system at ${BPFFS}`);
}

/** Gives an object a path on bpffs, whose folders are made; the object lives as long as the path. */
export function pinObject(fd: Fd, path: string): void {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw notOnBpffs(path, error);
  }
  if (!isOnBpffs(folder)) throw notOnBpffs(path, undefined);
  // struct { pathname @0, bpf_fd @8, file_flags @12 }
  new Attribute(16)
    .pointer(0, cString(path))
    .u32(8, fd.number)
    .run(Command.objectPin, `pin ${fd.what} at ${path}`);
}

/** Opens a pinned object. */
export function openPinned(path: string, what: string): Fd {
  const result = new Attribute(16).pointer(0, cString(path)).try(Command.objectGet);
  if (result >= 0) return new Fd(result, what);
  const hint =
    result === -Errno.ENOENT
      ? `Nothing is pinned there; \`bpftool -f map\` and \`ls ${BPFFS}\` show what is.`
      : undefined;
  throw bpfError(-result, `open ${what} pinned at ${path}`, hint === undefined ? {} : { hint });
}

/** Takes a path away; the object goes with its last user. Whether there was such a path. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** @throws BarewireError `BW_PIN_MISMATCH` that names every field in which the map differs from the spec. */
export function requireSame(spec: MapSpec, info: MapInfo, where: string): void {
  const { keySize, valueSize } = mapSizes(spec);
  const expected: readonly [string, string | number, string | number][] = [
    ['type', info.type, spec.type],
    ['key size', info.keySize, keySize],
    ['value size', info.valueSize, valueSize],
    ['max entries', info.maxEntries, spec.maxEntries],
    ['flags', hex(info.flags & ~KERNEL_OWN_FLAGS), hex(mapFlagBits(spec) & ~KERNEL_OWN_FLAGS)],
  ];
  const differences = expected
    .filter(([, found, wanted]) => found !== wanted)
    .map(([field, found, wanted]) => `${field} is ${found} instead of ${wanted}`);
  const name = spec.name.slice(0, OBJECT_NAME_SIZE - 1);
  if (differences.length === 0) return;
  throw new BarewireError(
    'BW_PIN_MISMATCH',
    `the map at ${where} is not the map '${name}': ${differences.join(', ')}`,
    {
      hint: 'Remove the pin if its content can go, or use the version that made it.',
    },
  );
}

/** Device and CPU maps get `BPF_F_RDONLY_PROG` from the kernel itself. */
const KERNEL_OWN_FLAGS = 1 << 7;

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function notOnBpffs(path: string, cause: unknown): BarewireError {
  return new BarewireError(
    'BW_NO_BPFFS',
    `${path} is not on a BPF file system, so nothing can be pinned there`,
    {
      hint: `Pin below ${BPFFS}; if it is not mounted: mount -t bpf bpf ${BPFFS}`,
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
