import type { Layout, MapSpec } from '../../../src/compiler/index.ts';
import * as xdp from '../../../src/compiler/index.ts';
import * as layout from '../../../src/layout/index.ts';
import type { Random } from './random.ts';
import { type Tree, tree } from './tree.ts';

/** One thing in a program's env: how it is written, and what it is. */
export interface EnvItem {
  readonly name: string;
  readonly source: Tree;
}

/** What one map holds before the first packet: plain keys and values. */
export interface Fill {
  readonly map: string;
  readonly entries: readonly (readonly [unknown, unknown])[];
}

/** Evaluates text that names what `barewire/xdp` exports, and `layout` for `barewire/layout`. */
export function evaluate(text: string): unknown {
  const names = { ...xdp, layout };
  return new Function(...Object.keys(names), `'use strict'; return (${text}\n);`)(...Object.values(names));
}

/** The fields of a struct, or the one value of a map that holds no struct, as text. */
function layoutText(random: Random, names: () => string, depth: number): string {
  return random.weighted<string>([
    [4, () => random.pick(['u64', 'u64', 'u64', 'u32', 'u32', 'i64'])],
    [3, () => random.pick(['u8', 'u16', 'i8', 'i16', 'i32', 'be16', 'be32', 'be64'])],
    [1, () => `bytes(${random.pick([1, 2, 3, 4, 6, 8, 16, 20])})`],
    [
      depth > 0 ? 1 : 0,
      () => `layout.array(${random.pick(['u8', 'u16', 'u32', 'u64', 'be32'])}, ${random.pick([2, 4, 5])})`,
    ],
    [depth > 0 ? 1 : 0, () => structText(random, names, depth - 1)],
  ]);
}

function structText(random: Random, names: () => string, depth: number): string {
  const count = random.int(1, depth > 0 ? 5 : 3);
  const fields = Array.from({ length: count }, (_, i) => `f${i}: ${layoutText(random, names, depth)}`);
  return `struct('${names()}', { ${fields.join(', ')} })`;
}

function keyText(random: Random, names: () => string): string {
  return random.weighted<string>([
    [5, () => random.pick(['u32', 'be32', 'u16', 'be16', 'u8', 'u64', 'be64', 'i32'])],
    [1, () => `bytes(${random.pick([4, 6, 16])})`],
    [
      2,
      () => {
        const fields = Array.from({ length: random.int(1, 3) }, (_, i) => {
          return `k${i}: ${random.pick(['u8', 'u16', 'be16', 'be32', 'u32', 'u64', 'bytes(6)', 'bytes(3)'])}`;
        });
        return `struct('${names()}', { ${fields.join(', ')} })`;
      },
    ],
  ]);
}

/** A map, under a name of its own. */
export function randomMap(random: Random, name: string): EnvItem {
  let structs = 0;
  const names = (): string => `${name}_s${structs++}`;
  const value = (): string => layoutText(random, names, 2);
  const text = random.weighted<string>([
    [4, () => `hash('${name}', ${keyText(random, names)}, ${value()}, ${random.pick([2, 4, 64])})`],
    [3, () => `array('${name}', ${value()}, ${random.pick([1, 3, 4, 16])})`],
    [2, () => `perCpuArray('${name}', ${value()}, ${random.pick([1, 4])})`],
    [2, () => `perCpuHash('${name}', ${keyText(random, names)}, ${value()}, ${random.pick([4, 64])})`],
    [1, () => `lruHash('${name}', ${keyText(random, names)}, ${value()}, 512)`],
    [2, () => `lpmTrie('${name}', ${random.pick([4, 4, 16])}, ${value()}, ${random.pick([4, 64])})`],
    [1, () => `ringBuffer('${name}', ${value()}, 4096)`],
    [1, () => `devMap('${name}', 4)`],
    [0.5, () => `programArray('${name}', 4)`],
  ]);
  return { name, source: tree('other', text) };
}

const HAVE_ENTRIES = new Set(['hash', 'array', 'percpu_array', 'percpu_hash', 'lru_hash', 'lpm_trie']);

/** Entries that a map may hold from the start; few of them, with keys that programs hit. */
export function randomFill(random: Random, spec: MapSpec): Fill {
  const entries: [unknown, unknown][] = [];
  if (HAVE_ENTRIES.has(spec.type)) {
    const seen = new Set<string>();
    const count = random.int(0, Math.min(3, spec.maxEntries));
    for (let i = 0; i < count; i++) {
      const key = spec.type.endsWith('array') ? random.int(0, spec.maxEntries - 1) : randomKey(random, spec);
      const name = literal(key);
      if (seen.has(name)) continue;
      seen.add(name);
      entries.push([key, randomValue(random, spec.value)]);
    }
  }
  return { map: spec.name, entries };
}

function randomKey(random: Random, spec: MapSpec): unknown {
  if (spec.type !== 'lpm_trie') return smallValue(random, spec.key);
  const size = spec.key.size - 4;
  const prefixlen = random.pick([0, 1, 8, 15, 16, 24, 31, 32, size * 8]);
  const address = Uint8Array.from({ length: size }, () => random.pick([0, 1, 10, 192]));
  // What lies beyond the prefix is zero, so that two of them are never the same prefix.
  for (let bit = prefixlen; bit < size * 8; bit++) address[bit >> 3]! &= ~(0x80 >> (bit & 7));
  return { prefixlen, address };
}

/** A key of the kind that programs build: every number in it is small. */
function smallValue(random: Random, layout: Layout): unknown {
  switch (layout.kind) {
    case 'int':
      return layout.size === 8 ? BigInt(random.int(0, 3)) : random.int(0, 3);
    case 'bytes':
      return Uint8Array.from({ length: layout.size }, () => random.int(0, 1));
    case 'array':
      return Array.from({ length: layout.length }, () => smallValue(random, layout.element));
    case 'struct':
      return Object.fromEntries(layout.fields.map((f) => [f.name, smallValue(random, f.layout)]));
  }
}

export function randomValue(random: Random, layout: Layout): unknown {
  switch (layout.kind) {
    case 'int': {
      const bits = BigInt(layout.size * 8);
      const raw = random.weighted<bigint>([
        [2, () => (BigInt(random.bits()) << 32n) | BigInt(random.bits())],
        [2, () => BigInt(random.int(0, 300))],
        [1, () => -1n],
        [1, () => 1n << (bits - 1n)],
      ]);
      const value = layout.signed ? BigInt.asIntN(Number(bits), raw) : BigInt.asUintN(Number(bits), raw);
      return layout.size === 8 ? value : Number(value);
    }
    case 'bytes':
      return random.bytes(layout.size);
    case 'array':
      return Array.from({ length: layout.length }, () => randomValue(random, layout.element));
    case 'struct':
      return Object.fromEntries(layout.fields.map((f) => [f.name, randomValue(random, f.layout)]));
  }
}

/** A plain value as source text. */
export function literal(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Uint8Array) return `Uint8Array.of(${value.join(', ')})`;
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([k, v]) => `${k}: ${literal(v)}`);
    return `{ ${fields.join(', ')} }`;
  }
  return String(value);
}

const BIG_CONSTANTS = [
  '0n',
  '1n',
  '2n',
  '255n',
  '0xffffn',
  '0x100000000n',
  '0x8000000000000000n',
  '0xffffffffffffffffn',
];

export const NUMBERS: readonly number[] = [
  ...[0, 1, 2, 3, 4, 5, 7, 8, 12, 14, 15, 16, 17, 18, 20, 34, 64, 100, 127, 128, 255, 256, 511, 1000, 1500],
  ...[0x0800, 0x0806, 0x8100, 0x86dd, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff],
  ...[0x100000000, 2 ** 40, 2 ** 53 - 1, -1, -2, -128, -0x80000000, -(2 ** 53 - 1)],
];

export function bigConstant(random: Random): string {
  return random.chance(0.6)
    ? random.pick(BIG_CONSTANTS)
    : `${(BigInt(random.bits()) << 32n) | BigInt(random.bits())}n`;
}

export function numberConstant(random: Random): number {
  return random.chance(0.7) ? random.pick(NUMBERS) : random.int(0, 0xffff);
}
