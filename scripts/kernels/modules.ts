import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A kernel module, ready for `insmod`. */
export interface Module {
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * The named modules of a kernel and what they need, each after those that it needs.
 *
 * A name that is no module is taken to be built into the kernel: the kernels differ in that.
 *
 * @param folder The modules of one kernel release.
 */
export function modulesFor(folder: string, names: readonly string[]): Module[] {
  const paths = new Map<string, string>();
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const [, name] = /^([\w-]+)\.ko(\.\w+)?$/.exec(basename(path)) ?? [];
    if (name !== undefined) paths.set(plain(name), join(folder, path));
  }
  const found = new Map<string, Module>();
  const visit = (name: string): void => {
    const path = paths.get(plain(name));
    if (path === undefined || found.has(plain(name))) return;
    const data = contentOf(path);
    for (const needed of dependenciesOf(data)) visit(needed);
    found.set(plain(name), { name: plain(name), data });
  };
  for (const name of names) visit(name);
  return [...found.values()];
}

/** The kernel takes dashes and underscores in module names for the same. */
function plain(name: string): string {
  return name.replaceAll('-', '_');
}

/** Newer packages have their modules compressed. */
function contentOf(path: string): Uint8Array {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return execFileSync('xz', ['-dc', path], { maxBuffer: 64 * 1024 * 1024 });
}

/** The `.modinfo` section holds `depends=a,b` among its strings. */
function dependenciesOf(module: Uint8Array): string[] {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  const at = bytes.indexOf('\0depends=');
  if (at < 0) return [];
  const start = at + '\0depends='.length;
  return bytes
    .toString('latin1', start, bytes.indexOf(0, start))
    .split(',')
    .filter((name) => name !== '');
}
