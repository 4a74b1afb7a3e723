import type { BpfMap } from '../bpf/map.ts';
import { ArgumentError } from '../error.ts';
import { Blocks } from '../policy/block.ts';
import type { CheckedConfig } from '../policy/config.ts';
import { DEFAULT_SETTINGS, type Policy } from '../policy/policy.ts';
import { describeRule } from '../policy/rule.ts';
import { TABLES, tableOf } from '../policy/table.ts';
import { type CpuState, FIRST_DROP, OUTCOMES, type Outcome } from '../programs/filter-maps.ts';
import { type AnyMap, buildFilter } from './build.ts';
import type { Clock } from './clock.ts';
import type { Generation } from './generation.ts';

/** What the filter's program decides on a frame. */
export interface TriedFrame {
  readonly verdict: 'pass' | 'drop';
  readonly outcome: Outcome;
  /** The rule that decided, if one did. */
  readonly rule?: string | undefined;
}

/** A filter's program that runs on given frames and on no interface. */
export class Trial implements Disposable {
  readonly #policy: Policy;
  readonly #built: ReturnType<typeof buildFilter>;

  private constructor(policy: Policy, frags: boolean, clock: Clock, maps: Readonly<Record<string, AnyMap>>) {
    this.#policy = policy;
    this.#built = buildFilter(policy, { guarded: false, frags, clock, capacities: capacitiesOf(maps), maps });
  }

  /** Of a filter that is attached: the same instructions over its very tables, whose hits count these frames too. */
  static ofGeneration(generation: Generation, clock: Clock): Trial {
    const { policy, frags } = generation.record;
    const maps = Object.fromEntries(policy.tables.map((name) => [name, generation.table(name) as AnyMap]));
    return new Trial(policy, frags, clock, maps);
  }

  /** Of a configuration that is not applied. */
  static ofConfig(config: CheckedConfig, clock: Clock): Trial {
    if (config.lists.length > 0) {
      throw new ArgumentError('a configuration with lists cannot be tried before it is applied', {
        hint: '`filter apply --confirm 2m`, and then `filter test` without a configuration.',
      });
    }
    const blocks = new Blocks();
    for (const { action, side, prefix, expires } of config.entries) {
      blocks.add(tableOf(action, side, prefix.version, prefix.length), prefix.bytes, 0, prefix.length, {
        deadline: expires === undefined ? 0n : clock.deadline(expires),
        added: 0,
        reason: 0,
        lists: 1,
      });
    }
    const filled = blocks.blocks();
    const policy: Policy = {
      settings: { ...DEFAULT_SETTINGS, ...config.settings, capacity: Math.max(16, blocks.count) },
      rules: config.rules.map((rule) => ({ ...rule, added: clock.now, list: 0 })),
      lists: [],
      tables: TABLES.flatMap((table) => (filled.some((block) => block.table === table) ? [table.name] : [])),
    };
    const trial = new Trial(policy, false, clock, {});
    for (const { table, keys, values, count } of filled) {
      (trial.#built.maps[table.name] as BpfMap).setPacked(keys, values, count);
    }
    return trial;
  }

  /** Runs one frame, of at least 14 bytes. */
  run(frame: Uint8Array): TriedFrame {
    const state = this.#built.maps.state as unknown as BpfMap<number, CpuState[]>;
    const before = packetsOf(state);
    this.#built.program.testRun({ data: frame });
    const after = packetsOf(state);
    const index = OUTCOMES.findIndex((_, i) => after[i] !== before[i]);
    const outcome = OUTCOMES[index]!;
    const rule = /^(allow|deny)-rule$|^limit/.test(outcome) ? this.#rule() : undefined;
    return { verdict: index < FIRST_DROP ? 'pass' : 'drop', outcome, rule };
  }

  /** The rule that has just decided: the one whose count has grown. */
  #counts: bigint[] = [];
  #rule(): string | undefined {
    const map = this.#built.maps.rule_counts as unknown as BpfMap<number, { packets: bigint }[]> | undefined;
    const now = this.#policy.rules.map((_, i) =>
      (map?.get(i) ?? []).reduce((sum, { packets }) => sum + packets, 0n),
    );
    const index = now.findIndex((packets, i) => packets !== (this.#counts[i] ?? 0n));
    this.#counts = now;
    const rule = this.#policy.rules[index];
    return rule === undefined ? undefined : describeRule(rule);
  }

  close(): void {
    this.#built[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function packetsOf(state: BpfMap<number, CpuState[]>): bigint[] {
  const cpus = state.get(0) ?? [];
  return OUTCOMES.map((_, i) => cpus.reduce((sum, cpu) => sum + cpu.outcomes[i]!.packets, 0n));
}

function capacitiesOf(maps: Readonly<Record<string, AnyMap>>): Record<string, number> {
  return Object.fromEntries(Object.entries(maps).map(([name, map]) => [name, map.spec.maxEntries]));
}
