import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveEntry } from './archive.ts';

/** A file of this text. */
export function text(path: string, content: string, mode = 0o644): ArchiveEntry {
  return { path: relative(path), kind: 'file', mode, data: Buffer.from(content) };
}

/** A copy of a file of this machine, under `path` in the guest; by default where it is here. */
export function copy(from: string, path: string = from): ArchiveEntry {
  return { path: relative(path), kind: 'file', mode: statSync(from).mode & 0o777, data: readFileSync(from) };
}

/** A copy of a folder with all that is in it and that `keep` takes; its own path is asked without the folder's. */
export function* tree(
  from: string,
  path: string,
  keep: (path: string) => boolean = () => true,
): Generator<ArchiveEntry> {
  yield { path: relative(path), kind: 'folder', mode: 0o755, data: new Uint8Array() };
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const here = join(entry.parentPath, entry.name);
    const within = here.slice(join(from, '/').length);
    if (!keep(within)) continue;
    const there = join(path, within);
    if (entry.isFile()) yield copy(here, there);
    else if (entry.isSymbolicLink())
      yield { path: relative(there), kind: 'link', mode: 0o777, data: Buffer.from(readlinkSync(here)) };
    else if (entry.isDirectory())
      yield { path: relative(there), kind: 'folder', mode: 0o755, data: new Uint8Array() };
  }
}

/** Copies of programs of this machine, by path, and of the shared libraries that they need. */
export function programs(...paths: readonly string[]): ArchiveEntry[] {
  const needed = new Set(paths);
  for (const path of paths) {
    for (const [library] of librariesOf(path).matchAll(/\/\S+/g)) needed.add(library);
  }
  return [...needed].map((path) => copy(path));
}

/** As in `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f07b1120000)`; a static program has none. */
function librariesOf(path: string): string {
  try {
    return execFileSync('ldd', [path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

function relative(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}
