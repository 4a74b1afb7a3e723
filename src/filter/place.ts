import { readdirSync, statSync } from 'node:fs';
import { BPFFS } from '../bpf/pin.ts';
import { NETNS_DIRECTORY } from '../sys/netns.ts';

/** Where things that outlive their process are kept. */
export interface Roots {
  /** On a BPF file system. Default is `/sys/fs/bpf/barewire`, or `BAREWIRE_PINS`. */
  readonly pins?: string | undefined;
  /** On a disk. Default is `/var/lib/barewire`, or `BAREWIRE_STATE`. */
  readonly state?: string | undefined;
}

/** An interface, and where what belongs to it is kept. */
export interface Place {
  readonly interface: string;
  /** By name or path; undefined for the caller's. */
  readonly netns: string | undefined;
  /** What tells it from every other interface of this machine, over reboots: `eth0`, `eth0@blue`. */
  readonly key: string;
  /** The folder of its pins. */
  readonly pins: string;
  /** The folder of its files. */
  readonly state: string;
  /** The file that whoever changes something locks. */
  readonly lock: string;
}

/** @param subject What is kept, as a folder: `filter`, `redirect`. */
export function placeOf(
  subject: string,
  interfaceName: string,
  netns: string | undefined,
  roots: Roots = {},
): Place {
  const { pins, state } = rootsOf(subject, roots);
  const name = namespaceName(netns);
  const key = name === undefined ? interfaceName : `${interfaceName}@${name}`;
  const folder = folderName(key);
  return {
    interface: interfaceName,
    netns,
    key,
    pins: `${pins}/${folder}`,
    state: `${state}/${folder}`,
    lock: `/run/barewire/${subject}-${folder}${pins === rootsOf(subject, {}).pins ? '' : `-${hash(pins)}`}.lock`,
  };
}

/** The interfaces of which something is kept: on bpffs, on disk, or both. */
export function placesKept(subject: string, roots: Roots = {}): Place[] {
  const { pins, state } = rootsOf(subject, roots);
  const folders = new Set([...foldersIn(pins), ...foldersIn(state)]);
  return [...folders].sort().map((folder) => {
    const key = keyOf(folder);
    const at = key.indexOf('@');
    return placeOf(subject, at < 0 ? key : key.slice(0, at), at < 0 ? undefined : key.slice(at + 1), roots);
  });
}

function rootsOf(subject: string, roots: Roots): { pins: string; state: string } {
  return {
    pins: `${roots.pins ?? process.env.BAREWIRE_PINS ?? `${BPFFS}/barewire`}/${subject}`,
    state: `${roots.state ?? process.env.BAREWIRE_STATE ?? '/var/lib/barewire'}/${subject}`,
  };
}

/** The namespace's name; undefined for the first one of the machine; `net-INODE` for one without a name. */
function namespaceName(netns: string | undefined): string | undefined {
  if (netns !== undefined && !netns.includes('/')) return netns;
  const inode = inodeOf(netns ?? '/proc/thread-self/ns/net');
  if (inode === undefined || inode === inodeOf('/proc/1/ns/net')) return undefined;
  const name = foldersIn(NETNS_DIRECTORY).find((name) => inodeOf(`${NETNS_DIRECTORY}/${name}`) === inode);
  return name ?? `net-${inode}`;
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

function foldersIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The BPF file system has no names with dots (`eth0.100`); what else a path may not hold is written the same way. */
function folderName(key: string): string {
  return key.replace(/[^A-Za-z0-9@_-]/g, (character) => `~${character.codePointAt(0)!.toString(16)}~`);
}

function keyOf(folder: string): string {
  return folder.replace(/~([0-9a-f]+)~/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 16)),
  );
}

function hash(text: string): string {
  let sum = 5381;
  for (const character of text) sum = (Math.imul(sum, 33) ^ character.codePointAt(0)!) >>> 0;
  return sum.toString(16);
}
