/** Debian's packages for the guest: downloaded and unpacked into the user's cache, never installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../docs/documents.ts';

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'barewire/interop');

/** The server, what it answers besides, and the libraries of both. */
const PACKAGES = [
  'ppp',
  'pppoe',
  'busybox-static',
  'radvd',
  'wide-dhcpv6-server',
  'libfl2',
  'libc6',
  'libssl3',
  'libcrypt1',
  'libpam0g',
  'libpcap0.8',
  'libsystemd0',
  'libaudit1',
  'libcap2',
  'libgcrypt20',
  'liblzma5',
  'libzstd1',
  'liblz4-1',
  'libcap-ng0',
  'libgpg-error0',
  'libdbus-1-3',
];

/** Modules of the guest's kernel, in the order in which they are loaded. */
export const MODULES: readonly string[] = [
  'crc-ccitt',
  'ipv6',
  'slhc',
  'ppp_generic',
  'pppox',
  'pppoe',
  'ppp_deflate',
  'bsd_comp',
  'llc',
  'stp',
  'mrp',
  'garp',
  '8021q',
];

/** What {@link guestFiles} has unpacked. */
export interface GuestFiles {
  /** The kernel as a program. */
  readonly kernel: string;
  /** Starts it; see launch.c. */
  readonly launcher: string;
  /** The root of a guest, without configuration: not to be changed. */
  readonly root: string;
}

/** The guest's kernel, programs and launcher; the first call downloads about 50 MB. */
export function guestFiles(): GuestFiles {
  const folder = once('guest', (making) => {
    const debs = join(making, 'debs');
    mkdirSync(debs);
    apt(['download', '-q', '-o', 'APT::Sandbox::User=root', 'user-mode-linux', ...PACKAGES], debs);
    unpackKernel(making, debs);
    unpackPrograms(making, debs);
    rmSync(debs, { recursive: true });
    const launcher = ['-O1', '-o', join(making, 'launch'), `${ROOT}test/interop/launch.c`];
    execFileSync('cc', launcher, { stdio: ['ignore', 'ignore', 'inherit'] });
  });
  return {
    kernel: join(folder, 'linux.uml'),
    launcher: join(folder, 'launch'),
    root: join(folder, 'root'),
  };
}

/** A folder that `fill` has filled, in this call or one before. */
function once(name: string, fill: (making: string) => void): string {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  // Under another name until it is whole: whoever is killed on the way leaves nothing that looks finished.
  const making = mkdtempSync(join(CACHE, '.making-'));
  try {
    fill(making);
    try {
      renameSync(making, folder);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(folder)) throw error;
    }
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return folder;
}

function unpackKernel(making: string, debs: string): void {
  const from = join(making, 'kernel');
  extract(debs, 'user-mode-linux', from);
  renameSync(join(from, 'usr/bin/linux.uml'), join(making, 'linux.uml'));
  const modules = join(making, 'root/lib/modules');
  mkdirSync(modules, { recursive: true });
  for (const file of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
    const name = file.split('/').at(-1)!.replace(/\.ko$/, '');
    if (file.endsWith('.ko') && MODULES.includes(name))
      renameSync(join(from, file), join(modules, `${name}.ko`));
  }
  rmSync(from, { recursive: true });
}

function unpackPrograms(making: string, debs: string): void {
  const from = join(making, 'programs');
  for (const name of PACKAGES) extract(debs, name, from);
  const root = join(making, 'root');
  const libraries = 'usr/lib/x86_64-linux-gnu';
  for (const folder of [
    'bin',
    'usr/sbin',
    libraries,
    'lib',
    'lib64',
    'dev',
    'proc',
    'sys',
    'tmp',
    'run',
    'var/lib/dhcpv6',
    'root',
  ]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  cpSync(join(from, 'bin/busybox'), join(root, 'bin/busybox'));
  const applets = execFileSync(join(root, 'bin/busybox'), ['--list'], { encoding: 'utf8' });
  for (const applet of applets.trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  }
  cpSync(join(from, 'usr/sbin'), join(root, 'usr/sbin'), { recursive: true, verbatimSymlinks: true });
  cpSync(join(from, 'usr/lib/pppd'), join(root, 'usr/lib/pppd'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  for (const folder of ['lib/x86_64-linux-gnu', libraries]) {
    for (const file of readdirSync(join(from, folder))) {
      if (!file.includes('.so')) continue;
      cpSync(join(from, folder, file), join(root, libraries, file), { verbatimSymlinks: true });
    }
  }
  symlinkSync(`../${libraries}`, join(root, 'lib/x86_64-linux-gnu'));
  symlinkSync('../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2', join(root, 'lib64/ld-linux-x86-64.so.2'));
  symlinkSync('../run', join(root, 'var/run'));
  rmSync(from, { recursive: true });
}

function extract(debs: string, name: string, into: string): void {
  mkdirSync(into, { recursive: true });
  const archive = readdirSync(debs).find((file) => file.startsWith(`${name}_`));
  if (archive === undefined) throw new Error(`apt has not downloaded ${name}`);
  execFileSync('dpkg-deb', ['-x', join(debs, archive), into]);
}

/** Runs apt-get, and once more with fresh lists when it fails: an old list names packages that are gone. */
function apt(args: readonly string[], cwd: string): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (given: readonly string[]) =>
    spawnSync('apt-get', given, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (run(args).status === 0) return;
  run(['update', '-q']);
  const { status, stderr } = run(args);
  if (status !== 0) throw new Error(`apt-get ${args.join(' ')} failed: ${stderr}`);
}
