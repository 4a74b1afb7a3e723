import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { BPFFS, ensureBpffs, Program, unpin } from '../../src/bpf/index.ts';
import { readObject } from '../../src/object/index.ts';
import { tool } from '../dev-tools.ts';
import { ROOT } from '../docs/documents.ts';

/** Debian's compilers, of three generations. */
export const COMPILERS = ['clang-14', 'clang-16', 'clang-19'] as const;
export type Compiler = (typeof COMPILERS)[number];

const folder = mkdtempSync(join(tmpdir(), 'barewire-clang-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const made = new Map<string, string>();

/** The path of a source of `test/object/sources`, compiled. */
export function compiled(source: string, compiler: Compiler, ...flags: string[]): string {
  const key = [source, compiler, ...flags].join(' ');
  let path = made.get(key);
  if (path === undefined) {
    path = join(folder, `${made.size}.o`);
    const target = flags.includes('-mbig-endian') ? 'bpfeb' : 'bpfel';
    const more = flags.filter((flag) => flag !== '-mbig-endian');
    execFileSync(tool(compiler), [
      ...['-O2', '-g', '-target', target, '-Wall', '-Werror', '-Wno-unused-function'],
      ...['-idirafter', `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`],
      ...more,
      ...['-c', `${ROOT}test/object/sources/${source}.c`, '-o', path],
    ]);
    made.set(key, path);
  }
  return path;
}

/** Its bytes. */
export function objectOf(source: string, compiler: Compiler, ...flags: string[]): Uint8Array {
  return Uint8Array.from(readFileSync(compiled(source, compiler, ...flags)));
}

/** Loads an object with libbpf, as bpftool has it, and opens its programs by their names. */
export function loadByOthers(path: string, names: readonly string[]): Record<string, Program> & Disposable {
  ensureBpffs();
  const named = Object.values(readObject(readFileSync(path)).maps).filter(({ pinned }) => pinned);
  const fresh = named.map(({ name }) => `${BPFFS}/${name}`).filter((pin) => !existsSync(pin));
  const pins = `${BPFFS}/bw-others-${process.pid}`;
  const { status, stderr } = spawnSync(tool('bpftool'), ['prog', 'loadall', path, pins, 'type', 'xdp'], {
    encoding: 'utf8',
  });
  // Maps that the object pins by name are shared by whoever loads it next, and outlive them.
  for (const pin of fresh) unpin(pin);
  if (status !== 0) throw new Error(`bpftool loads ${path} as little: ${stderr}`);
  const programs: Record<string, Program> = {};
  for (const name of names) {
    const pin = `${pins}/${name}`;
    programs[name] = Program.openPinned(pin);
  }
  rmSync(pins, { recursive: true, force: true });
  unpin(pins);
  const close = (): void => {
    for (const program of Object.values(programs)) program.close();
  };
  return Object.defineProperty(programs, Symbol.dispose, { value: close }) as Record<string, Program> &
    Disposable;
}
