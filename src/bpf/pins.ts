import { type Dirent, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { linkInfo, mapInfo, type ObjectKind, programInfo } from './info.ts';
import { openPinned } from './pin.ts';

/** An object that a path on bpffs keeps alive. */
export interface Pin {
  readonly path: string;
  readonly kind: Exclude<ObjectKind, 'btf'>;
  readonly id: number;
}

/** Every pinned program, map and link below the mounted BPF file systems that this process may read. */
export function* pins(roots: readonly string[] = bpffsMounts()): Generator<Pin> {
  for (const root of roots) yield* pinsBelow(root);
}

/** Where BPF file systems are mounted. */
export function bpffsMounts(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.flatMap((line) => {
    const [, path, type] = line.split(' ');
    // Spaces and the like are written in octal (proc(5)).
    return type === 'bpf' && path !== undefined ? [unescapeOctal(path)] : [];
  });
}

function* pinsBelow(folder: string): Generator<Pin> {
  let entries: Dirent[];
  try {
    entries = readFolder(folder);
  } catch {
    // Not ours to read, or gone meanwhile.
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* pinsBelow(path);
    else if (entry.isFile()) {
      const pin = identify(path);
      if (pin !== undefined) yield pin;
    }
  }
}

function readFolder(folder: string): Dirent[] {
  return readdirSync(folder, { withFileTypes: true });
}

function identify(path: string): Pin | undefined {
  try {
    using fd = openPinned(path, `object at ${path}`);
    switch (readlinkSync(`/proc/self/fd/${fd.number}`)) {
      case 'anon_inode:bpf-prog':
        return { path, kind: 'program', id: programInfo(fd).id };
      case 'anon_inode:bpf-map':
        return { path, kind: 'map', id: mapInfo(fd).id };
      case 'anon_inode:bpf-link':
        return { path, kind: 'link', id: linkInfo(fd).id };
      default:
        return undefined;
    }
  } catch {
    // An iterator's file, one that may not be opened, one that has gone: nothing that holds an object for us to name.
    return undefined;
  }
}

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
