import assert from 'node:assert/strict';
import { load } from '../../src/bpf/index.ts';
import {
  compile,
  type Env,
  type MapSpec,
  type ProgramSpec,
  type RunResult,
  run,
  runMaps,
  type XdpProgram,
} from '../../src/compiler/index.ts';
import { record } from '../kernels/corpus.ts';

/** Entries that both sides' maps begin with, by the map's name in env. */
export type Fill = Readonly<Record<string, readonly (readonly [unknown, unknown])[]>>;

interface AnyMap {
  set(key: unknown, value: unknown): unknown;
  get(key: unknown): unknown;
  entries(): Iterable<readonly [unknown, unknown]>;
}

/**
 * Runs a program in Node and in the kernel and holds verdicts, bytes and map contents against each other.
 *
 * @returns What Node gave.
 */
export function agree<E extends Env>(
  program: XdpProgram<E>,
  packets: readonly Uint8Array[],
  fill: Fill = {},
): readonly RunResult[] {
  const spec = compile(program);
  // Without its loops' long form, a kernel of today would never see what older ones are given.
  const forms = spec.fallback === undefined ? [spec] : [spec, portable(spec)];
  if (forms.at(-1)!.needs === undefined) record(() => ({ spec, fill, packets }));
  let results: readonly RunResult[] = [];
  for (const form of forms) results = agreeOn(program, form, packets, fill);
  return results;
}

/** The form of a program that needs nothing of the kernel. */
export function portable<S extends ProgramSpec>(spec: S): S {
  const { needs: _, fallback, ...rest } = spec;
  return { ...rest, instructions: fallback ?? spec.instructions } as S;
}

function agreeOn<E extends Env>(
  program: XdpProgram<E>,
  spec: ProgramSpec,
  packets: readonly Uint8Array[],
  fill: Fill,
): readonly RunResult[] {
  const maps = runMaps(program) as unknown as Record<string, AnyMap>;
  const loaded = load(spec);
  try {
    const live = loaded.maps as unknown as Record<string, AnyMap>;
    for (const [name, entries] of Object.entries(fill)) {
      for (const [key, value] of entries) {
        maps[name]!.set(key, value);
        live[name]!.set(key, value);
      }
    }
    const { packets: results } = run(program, packets, { maps: maps as never, ingressIfindex: 1 });
    packets.forEach((packet, i) => {
      const result = results[i]!;
      const kernel = loaded.program.testRun({ data: packet });
      const shown = `packet ${i} (${packet.length} bytes): ${Buffer.from(packet).toString('hex')}`;
      assert.equal(kernel.action, result.verdict, `verdict of ${shown}`);
      assert.deepEqual(Buffer.from(kernel.data), Buffer.from(result.data), `bytes of ${shown}`);
    });
    for (const [name, map] of Object.entries(spec.maps as Readonly<Record<string, MapSpec>>)) {
      if (!['hash', 'array', 'lru_hash', 'lpm_trie'].includes(map.type)) continue;
      assert.deepEqual(contents(live[name]!), contents(maps[name]!), `map ${name}`);
    }
    return results;
  } finally {
    loaded.close();
  }
}

function contents(map: AnyMap): string[] {
  return [...map.entries()].map(([key, value]) => `${show(key)} -> ${show(value)}`).sort();
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (typeof v === 'bigint') return `${v}n`;
    return v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v;
  });
}

/** Deterministic bytes (xorshift32). */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = seed | 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x & 0xff;
  }
  return bytes;
}

/** Packets of noise of several lengths. */
export function noises(count: number, least = 14, most = 90): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    noise(least + ((i * 7) % (most - least + 1)), i * 2654435761 + 12345),
  );
}
