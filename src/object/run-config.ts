import type { Btf } from '../btf/index.ts';
import type { ObjectSpec } from './spec.ts';

/** How a program takes its place among others on one interface: libxdp's `.xdp_run_config`. */
export interface RunConfig {
  /** Lower runs first. */
  readonly priority: number;
  /** Results after which the next program runs: bit n for the action of number n. */
  readonly chain: number;
}

/** What libxdp takes where an object says nothing: after `XDP_PASS` the next one runs. */
export const DEFAULT_RUN_CONFIG: RunConfig = { priority: 50, chain: 1 << 2 };

/** Names of actions as objects spell them, in the order of their numbers (`enum xdp_action`). */
const ACTIONS = ['XDP_ABORTED', 'XDP_DROP', 'XDP_PASS', 'XDP_TX', 'XDP_REDIRECT'] as const;

/**
 * What an object says about the place of one of its programs: a struct in `.xdp_run_config`, named as the program with
 * an underscore in front, whose members are written as those of map definitions. What it leaves out is libxdp's default.
 */
export function runConfigOf(spec: ObjectSpec, program: string): RunConfig {
  const members = membersOf(spec.btf?.types, `_${program}`);
  const chain = ACTIONS.reduce((actions, name, number) => {
    const enabled = members.get(name);
    if (enabled === undefined) return actions;
    return enabled === 0 ? actions & ~(1 << number) : actions | (1 << number);
  }, DEFAULT_RUN_CONFIG.chain);
  return { priority: members.get('priority') ?? DEFAULT_RUN_CONFIG.priority, chain };
}

/** The numbers of a definition, each in the length of an array that a pointer points to. */
function membersOf(types: Btf | undefined, variable: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const id = types?.find('.xdp_run_config', 'datasec');
  const section = id === undefined ? undefined : types?.type(id);
  if (types === undefined || section?.kind !== 'datasec') return found;
  for (const place of section.variables) {
    const described = place.type === 0 ? undefined : types.type(place.type);
    if (described?.kind !== 'var' || described.name !== variable) continue;
    const definition =
      described.type === 0 ? undefined : types.type(types.resolve(described.type) || described.type);
    if (definition?.kind !== 'struct') continue;
    for (const { name, type } of definition.members) {
      const value = numberIn(types, type);
      if (value !== undefined) found.set(name, value);
    }
  }
  return found;
}

/** The number in `__uint(name, number)`. */
export function numberIn(types: Btf, id: number): number | undefined {
  const pointer = id === 0 ? undefined : types.type(id);
  if (pointer?.kind !== 'ptr' || pointer.type === 0) return undefined;
  const array = types.type(pointer.type);
  return array.kind === 'array' ? array.length : undefined;
}
