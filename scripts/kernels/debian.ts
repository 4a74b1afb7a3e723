/** What Debian gives: the emulator, installed; kernels and a shell for the guest, unpacked into the user's cache. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** An unpacked kernel package. */
export interface Kernel {
  /** What `uname -r` says, as in `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  /** The path of the compressed kernel. */
  readonly image: string;
  /** The folder of its modules. */
  readonly modules: string;
}

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'barewire/kernels');

/** Installs packages, unless they are there. */
export function install(...packages: readonly string[]): void {
  const missing = packages.filter(
    (name) => !/^Status: install ok installed$/m.test(query('dpkg', ['--status', name])),
  );
  if (missing.length === 0) return;
  apt(['install', '-q', '-y', '--no-install-recommends', ...missing]);
}

/**
 * Debian's cloud kernel of a series such as `6.1`: the one unpacked before, or the newest that apt knows.
 *
 * It is not installed: nothing of it reaches this machine's boot folder or modules.
 */
export function fetchKernel(series: string): Kernel {
  const pattern = new RegExp(`^linux-image-(${series.replaceAll('.', '\\.')}\\.[\\w.+-]*-cloud-amd64)$`);
  const newest = (names: readonly string[]): string | undefined =>
    names
      .filter((name) => pattern.test(name))
      .sort(byNumbers)
      .at(-1);
  const known = (): string[] => query('apt-cache', ['pkgnames', `linux-image-${series}.`]).split('\n');
  let name = newest(existsSync(CACHE) ? readdirSync(CACHE) : []) ?? newest(known());
  if (name === undefined) {
    apt(['update', '-q']);
    name = newest(known());
  }
  if (name === undefined) {
    throw new Error(
      `apt knows no cloud kernel ${series}: this takes Debian on x64, and its security updates`,
    );
  }
  const folder = unpacked(name);
  const release = pattern.exec(name)?.[1] ?? '';
  const modules = ['lib', 'usr/lib'].map((lib) => join(folder, lib, 'modules', release)).find(existsSync);
  if (modules === undefined) throw new Error(`the package ${name} has no modules of ${release}`);
  return { release, image: join(folder, 'boot', `vmlinuz-${release}`), modules };
}

/** The path of a statically linked busybox: the guest's shell. */
export function fetchBusybox(): string {
  const folder = unpacked('busybox-static');
  const path = ['bin/busybox', 'usr/bin/busybox'].map((name) => join(folder, name)).find(existsSync);
  if (path === undefined) throw new Error('the package busybox-static has no busybox');
  return path;
}

/** The folder that a package was unpacked into, and first does so. */
function unpacked(name: string): string {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  // Under another name until it is whole: whoever is killed on the way leaves nothing that looks finished.
  const making = mkdtempSync(join(CACHE, '.making-'));
  try {
    apt(['download', '-q', '-o', 'APT::Sandbox::User=root', name], making);
    const [archive] = readdirSync(making);
    execFileSync('dpkg-deb', ['-x', join(making, archive!), join(making, 'root')]);
    renameSync(join(making, 'root'), folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return folder;
}

/** Runs apt-get, and once more with fresh lists when it fails: an old list names packages that are gone. */
function apt(args: readonly string[], cwd = '/'): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (...given: readonly string[]) =>
    spawnSync('apt-get', given, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  let result = run(...args);
  if (result.status !== 0 && args[0] !== 'update') {
    run('update', '-q');
    result = run(...args);
  }
  if (result.status !== 0) {
    throw new Error(`apt-get ${args.join(' ')} failed: ${(result.error?.message ?? result.stderr).trim()}`);
  }
}

function query(command: string, args: readonly string[]): string {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';
}

/** Orders names by the numbers in them: 6.1.0-9 before 6.1.0-56. */
function byNumbers(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
