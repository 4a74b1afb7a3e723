import { load } from '../bpf/load.ts';
import type { BpfMap } from '../bpf/map.ts';
import type { Program } from '../bpf/program.ts';
import type { RingBuffer } from '../bpf/ring-buffer.ts';
import type { Policy } from '../policy/policy.ts';
import { filterProgram } from '../programs/filter.ts';
import { shapeOf } from '../programs/filter-shape.ts';
import { compile } from '../source/compile.ts';
import type { ProgramSpec } from '../spec/index.ts';
import type { Clock } from './clock.ts';
import type { FilterRecord } from './record.ts';

export type AnyMap = BpfMap<unknown, unknown> | RingBuffer<unknown>;

/** A program in the kernel with all of its maps; closing gives this process's hold of them back. */
export interface Built extends Disposable {
  readonly program: Program;
  readonly maps: Readonly<Record<string, AnyMap>>;
}

export interface BuildOptions {
  readonly guarded: boolean;
  readonly frags: boolean;
  readonly clock: Clock;
  readonly capacities: FilterRecord['capacities'];
  /** Maps to use; what is missing is made. They stay their owner's. */
  readonly maps: Readonly<Record<string, AnyMap>>;
}

/** Compiles and loads the program that a policy needs. Only maps that it uses are made. */
export function buildFilter(policy: Policy, options: BuildOptions): Built {
  const spec = usedMapsOnly(
    compile(
      filterProgram(
        shapeOf(policy, {
          guarded: options.guarded,
          frags: options.frags,
          capacities: options.capacities,
          monotonic: (time) => options.clock.deadline(time),
        }),
      ),
    ) as unknown as ProgramSpec,
  );
  const given = Object.fromEntries(Object.entries(options.maps).filter(([name]) => name in spec.maps));
  const loaded = load(spec, { maps: given as never });
  return {
    program: loaded.program,
    maps: loaded.maps as unknown as Record<string, AnyMap>,
    [Symbol.dispose]: () => loaded.close(),
  };
}

/** The policy leaves most tables out, and so does the code; what nobody looks at need not exist. */
function usedMapsOnly(spec: ProgramSpec): ProgramSpec {
  const used = new Set(spec.instructions.map((instruction) => instruction.map));
  return {
    ...spec,
    maps: Object.fromEntries(Object.entries(spec.maps).filter(([name]) => used.has(name))),
  };
}
