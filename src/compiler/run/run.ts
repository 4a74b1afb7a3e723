import type { MapSpec, Prefix } from '../../spec/index.ts';
import { CSUM_REPLACE_16, CSUM_REPLACE_32 } from '../front/library.ts';
import type { Env, PlainVerdict, XdpProgram } from '../program.ts';
import type { FibQuery, FibResult, Kernel, Verdict } from '../view.ts';
import { RunMap } from './map.ts';
import { FIRST_BUFFER, RunPacket, ShortPacket } from './packet.ts';

/** The maps of an env, by their names there. */
export type RunMaps<E> = {
  readonly [K in keyof E as E[K] extends MapSpec ? K : never]: E[K] extends MapSpec<
    infer T,
    infer Key,
    infer V
  >
    ? RunMap<T extends 'lpm_trie' ? Prefix : Key, V>
    : never;
};

export interface RunOptions<E> {
  /** Maps of an earlier run, to go on with. Default is fresh ones. */
  readonly maps?: Partial<RunMaps<E>>;
  /** The receiving interface. Default is 1. */
  readonly ingressIfindex?: number;
  /**
   * Of programs that take packets in several buffers (`frags`): how many bytes lie in the first, as far as direct accesses
   * reach. Default is 3520, as in the kernel's test runs.
   */
  readonly linear?: number;
  /** The receive queue. Default is 0. */
  readonly rxQueue?: number;
  /** What `kernel.cpu()` gives. Default is 0. */
  readonly cpu?: number;
  /** Nanoseconds since boot. Default is the process's clock. */
  readonly ktime?: () => bigint;
  /** Routes. Default is that nothing is forwarded (code 4). */
  readonly fib?: (query: FibQuery) => FibResult;
  /** 32 random bits. Default is `Math.random`. */
  readonly random?: () => number;
}

/** What became of one packet. */
export interface RunResult {
  readonly verdict: PlainVerdict | 'redirect' | 'tail call';
  /** The packet as the program left it. */
  readonly data: Uint8Array;
  /** Where a redirect or a tail call leads. */
  readonly target?: { readonly map?: string; readonly key?: number; readonly ifindex?: number };
}

export interface Run<E> {
  readonly packets: readonly RunResult[];
  readonly maps: RunMaps<E>;
}

/** The maps of a program, fresh, to be filled before a run. */
export function runMaps<E extends Env>(program: XdpProgram<E>): RunMaps<E> {
  const maps: Record<string, RunMap> = {};
  for (const [name, value] of Object.entries(program.env)) if (isMap(value)) maps[name] = new RunMap(value);
  return maps as unknown as RunMaps<E>;
}

/**
 * Runs a program's function in Node on one packet after the other, with maps that live in Node: the same verdicts,
 * bytes and map contents as in the kernel, without it.
 */
export function run<E extends Env>(
  program: XdpProgram<E>,
  packets: readonly Uint8Array[],
  options: RunOptions<E> = {},
): Run<E> {
  const maps = { ...runMaps(program), ...options.maps } as Record<string, RunMap>;
  const { ingressIfindex = 1, rxQueue = 0, cpu = 0, linear = FIRST_BUFFER } = options;
  const clock = options.ktime ?? (() => BigInt(Math.floor(performance.now() * 1e6)));
  let target: RunResult['target'];
  let fate: 'redirect' | 'tail call' | undefined;
  const leave = (kind: 'redirect' | 'tail call', where: RunResult['target']): object => {
    target = where;
    fate = kind;
    return REDIRECT;
  };
  const env = kernelEnv(program.env, (name) =>
    maps[name]!.kernel((kind, key) => leave(kind, { map: name, key })),
  );
  const kernel = {
    ktime: clock,
    bootTime: clock,
    coarseTime: clock,
    // As with 250 ticks a second.
    ticks: () => clock() / 4_000_000n,
    random: options.random ?? (() => Math.floor(Math.random() * 2 ** 32)),
    cpu: () => cpu,
    redirect: (ifindex: number) => leave('redirect', { ifindex }),
    fibLookup: options.fib ?? (() => ({ code: 4, ifindex: ingressIfindex, source: 0, destination: 0 })),
    equal: (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((x, i) => x === b[i]),
    csumReplace16: CSUM_REPLACE_16,
    csumReplace32: CSUM_REPLACE_32,
  } as unknown as Kernel;
  const results = packets.map((bytes): RunResult => {
    // A reader that keeps up: rings are empty again when the next packet comes.
    for (const map of Object.values(maps)) map.catchUp();
    const packet = new RunPacket(bytes, program.options.frags ? linear : undefined);
    target = undefined;
    fate = undefined;
    let verdict: Verdict;
    try {
      verdict = program.fn(
        env as Parameters<typeof program.fn>[0],
        packet.api({ ingressIfindex, rxQueue }),
        kernel,
      );
    } catch (error) {
      if (!(error instanceof ShortPacket)) throw error;
      verdict = program.options.onShort;
    }
    if (typeof verdict === 'string') return { verdict, data: packet.bytes() };
    return { verdict: fate ?? 'redirect', data: packet.bytes(), ...(target === undefined ? {} : { target }) };
  });
  return { packets: results, maps: maps as unknown as RunMaps<E> };
}

const REDIRECT = Object.freeze({});

function kernelEnv(env: Env, kernelSide: (name: string) => unknown): Record<string, unknown> {
  const seen: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) seen[name] = isMap(value) ? kernelSide(name) : value;
  return seen;
}

function isMap(value: unknown): value is MapSpec {
  return typeof value === 'object' && value !== null && 'maxEntries' in value && 'key' in value;
}
