import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode, type Instruction, slotsOf } from '../src/asm/index.ts';
import type { MapSpec, ProgramSpec } from '../src/spec/index.ts';

export const CLANG = '/usr/bin/clang-14';

/** Why there is no clang to compare with, if there is none. */
export function clangMissing(): string | undefined {
  try {
    accessSync(CLANG, constants.X_OK);
    return undefined;
  } catch {
    return 'clang-14 is not installed; run scripts/dev-tools.sh as root';
  }
}

/** The programs of `bench/c/programs.bpf.c` by their names, with the names of maps where they use them. */
export function clangPrograms(
  defines: Readonly<Record<string, number>> = {},
): ReadonlyMap<string, readonly Instruction[]> {
  const folder = mkdtempSync(join(tmpdir(), 'barewire-clang-'));
  try {
    const source = fileURLToPath(new URL('../../bench/c/programs.bpf.c', import.meta.url));
    const object = join(folder, 'programs.o');
    const flags = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
    const args = [
      '-O2',
      '-mcpu=v3',
      '-target',
      'bpf',
      '-Wall',
      '-Werror',
      ...flags,
      '-c',
      source,
      '-o',
      object,
    ];
    const { status, stderr, error } = spawnSync(CLANG, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${CLANG} ${args.join(' ')}: ${error?.message ?? stderr}`);
    return readPrograms(readFileSync(object));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A program of clang's on the maps of its counterpart, which name the same things. */
export function clangSpec(
  name: string,
  instructions: readonly Instruction[],
  maps: Readonly<Record<string, MapSpec>>,
): ProgramSpec {
  return {
    name,
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'GPL',
    instructions,
    maps: Object.fromEntries(Object.values(maps).map((map) => [map.name, map])),
    functions: [{ name, slot: 0, parameters: 1 }],
  };
}

/** As much of ELF (System V ABI, chapter 4) as clang's relocatable objects for BPF need. */
function readPrograms(file: Uint8Array): Map<string, Instruction[]> {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  // Elf64_Ehdr: e_shoff @40, e_shnum @60, e_shstrndx @62. Elf64_Shdr, 64 bytes: sh_name @0, sh_type @4, sh_offset @24,
  // sh_size @32, sh_link @40, sh_info @44.
  const sections = Array.from({ length: view.getUint16(60, true) }, (_, i) => {
    const at = u64(40) + 64 * i;
    return {
      nameAt: view.getUint32(at, true),
      type: view.getUint32(at + 4, true),
      offset: u64(at + 24),
      size: u64(at + 32),
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
    };
  });
  const text = (section: number, at: number): string => {
    const from = sections[section]!.offset + at;
    return Buffer.from(file.subarray(from, file.indexOf(0, from))).toString();
  };
  const names = sections.map(({ nameAt }) => text(view.getUint16(62, true), nameAt));
  const programs = new Map<string, Instruction[]>();
  sections.forEach(({ offset, size }, i) => {
    const name = /^xdp\/(\w+)$/.exec(names[i]!)?.[1];
    if (name === undefined) return;
    const instructions = decode(file.slice(offset, offset + size));
    const SHT_REL = 9;
    const relocations = sections.find(({ type, info }) => type === SHT_REL && info === i);
    for (let at = 0; at < (relocations?.size ?? 0); at += 16) {
      // Elf64_Rel: r_offset @0, r_info @8 with the symbol in its upper half. Elf64_Sym, 24 bytes: st_name @0.
      const rel = relocations!.offset + at;
      const symbols = sections[relocations!.link]!;
      const symbol = symbols.offset + 24 * view.getUint32(rel + 12, true);
      const index = indexAt(instructions, u64(rel) / 8);
      const MAP_FD = 1;
      const map = text(symbols.link, view.getUint32(symbol, true));
      instructions[index] = { ...instructions[index]!, src: MAP_FD, map };
    }
    programs.set(name, instructions);
  });
  return programs;
}

function indexAt(instructions: readonly Instruction[], slot: number): number {
  let at = 0;
  return instructions.findIndex((instruction) => {
    const here = at === slot;
    at += slotsOf(instruction);
    return here;
  });
}
