import { BpfMap } from '../bpf/map.ts';
import { openPinned } from '../bpf/pin.ts';
import { Program } from '../bpf/program.ts';
import { RingBuffer } from '../bpf/ring-buffer.ts';
import type { Policy } from '../policy/policy.ts';
import { identityOf } from '../policy/rule.ts';
import { type TableName, tableNamed } from '../policy/table.ts';
import { bucketMaps, dropEvents, type RuleCount, ruleCounts, stateMap } from '../programs/filter-maps.ts';
import { EVENT_BYTES } from '../programs/filter-shape.ts';
import type { MapSpec } from '../spec/map.ts';
import { type AnyMap, type Built, buildFilter } from './build.ts';
import type { Clock } from './clock.ts';
import { Fill } from './fill.ts';
import { Generation } from './generation.ts';
import type { Pins } from './pins.ts';
import { Reasons } from './reasons.ts';
import { createRecord, type FilterRecord } from './record.ts';

/** Told before each step of a change, by name; whoever wants to know what a death in between leaves may die there. */
export type OnStep = (step: string) => void;

export interface NextOptions {
  readonly policy: Policy;
  readonly record: Pick<FilterRecord, 'interface' | 'frags' | 'capacities'>;
  /** The generation to take over what does not change from. */
  readonly from?: Generation | undefined;
  /** Maps of tables in place of those of `from`, and how many entries they have. */
  readonly tables?: ReadonlyMap<
    TableName,
    { readonly map: BpfMap<unknown, unknown>; readonly entries: number }
  >;
  /** Numbers of reasons, where there is no generation to take them from. */
  readonly reasons?: readonly (readonly [number, string])[];
  /** The moment at which the generation before takes over again unless confirmed. */
  readonly guardUntil?: number | undefined;
  readonly clock: Clock;
  readonly onStep?: OnStep | undefined;
}

/** A generation that is loaded and pinned, and runs nowhere yet. */
export interface Next extends Disposable {
  readonly number: number;
  readonly program: Program;
  readonly generation: Generation;
}

/**
 * Makes the next generation: its maps, those of `from` as far as they stay, its program, its record, and their pins.
 * Nothing that runs has changed when this returns or throws.
 */
export function makeNext(pins: Pins, options: NextOptions): Next {
  const { policy, from, clock, guardUntil } = options;
  const onStep = options.onStep ?? (() => {});
  const number = Math.max(0, ...pins.generations()) + 1;
  const own: Disposable[] = [];
  const keep = <T extends Disposable>(object: T): T => {
    own.push(object);
    return object;
  };
  try {
    onStep('collect maps');
    const maps: Record<string, AnyMap> = {};
    for (const name of policy.tables) {
      const given = options.tables?.get(name);
      if (given !== undefined) maps[name] = given.map;
      else if (from?.has(name)) maps[name] = from.table(name);
    }
    const rulesStay = from !== undefined && sameRules(from.record.policy, policy);
    if (from !== undefined) {
      for (const [name, spec] of sharedMaps(policy, rulesStay)) {
        if (!from.pins.names(from.number).includes(name)) continue;
        const path = from.pins.path(from.number, name);
        maps[name] = keep(
          spec.type === 'ringbuf'
            ? RingBuffer.fromFd(spec as MapSpec<'ringbuf', never, unknown>, openPinned(path, name))
            : (BpfMap.openPinned(spec, path) as BpfMap<unknown, unknown>),
        ) as AnyMap;
      }
    }
    onStep('load the program');
    const { frags, capacities } = options.record;
    const built = keep(
      buildFilter(policy, { guarded: guardUntil !== undefined, frags, capacities, clock, maps }),
    );
    const fill = Fill.create();
    keep({ [Symbol.dispose]: () => fill.close() });
    if (from !== undefined) fill.copyFrom(from.fill);
    for (const [name, { entries }] of options.tables ?? []) fill.set(tableNamed(name), entries);
    const reasons = from?.reasons ?? Reasons.create();
    if (from === undefined) keep({ [Symbol.dispose]: () => reasons.close() });
    for (const [id, text] of options.reasons ?? []) reasons.set(id, text);
    if (from !== undefined && !rulesStay) carryCounts(from, policy, built);
    if (guardUntil !== undefined) arm(built, guardUntil, from, clock);
    onStep('pin the generation');
    const record = keep(
      createRecord({
        interface: options.record.interface,
        frags,
        capacities,
        policy,
        made: clock.now,
        ...(guardUntil === undefined ? {} : { guard: { until: guardUntil, previous: from?.number } }),
      }),
    );
    pins.pinGeneration(number, built.program, {
      ...built.maps,
      record,
      fill,
      reason_ids: reasons.ids,
      reason_texts: reasons.texts,
    });
    const generation = Generation.open(pins, number);
    keep(generation);
    return {
      number,
      program: built.program,
      generation,
      [Symbol.dispose]: () => {
        for (const object of own.splice(0).reverse()) object[Symbol.dispose]();
      },
    };
  } catch (error) {
    for (const object of own.splice(0).reverse()) object[Symbol.dispose]();
    pins.removeGeneration(number);
    throw error;
  }
}

/** Maps that go from one generation to the next, so that counts, watchers and limits go on. */
function* sharedMaps(policy: Policy, rulesStay: boolean): Generator<[string, MapSpec]> {
  yield ['state', stateMap];
  yield ['drop_events', dropEvents(EVENT_BYTES)];
  if (!rulesStay) return;
  yield ['rule_counts', ruleCounts(policy.rules.length)];
  yield* Object.entries(bucketMaps(policy.settings.sources));
}

/** Whether rules have the same places and limits, and so the same counts and buckets. */
function sameRules(a: Policy, b: Policy): boolean {
  const text = ({ rules, settings }: Policy): string =>
    JSON.stringify([rules.map((rule) => [identityOf(rule), rule.limit]), settings.sources]);
  return text(a) === text(b);
}

/** Counts go with their rules, whatever their places. */
function carryCounts(from: Generation, policy: Policy, built: Built): void {
  const to = built.maps.rule_counts as BpfMap<number, RuleCount[]> | undefined;
  if (to === undefined || !from.pins.names(from.number).includes('rule_counts')) return;
  const before = from.record.policy.rules;
  using counts = BpfMap.openPinned(ruleCounts(before.length), from.pins.path(from.number, 'rule_counts'));
  for (const [index, rule] of policy.rules.entries()) {
    const place = before.findIndex((other) => identityOf(other) === identityOf(rule));
    const count = place < 0 ? undefined : counts.get(place);
    if (count !== undefined) to.set(index, count);
  }
}

/** Sets the guard's deadline, and the program that then decides. */
function arm(built: Built, until: number, from: Generation | undefined, clock: Clock): void {
  if (from !== undefined) {
    const fd = openPinned(from.pins.path(from.number, 'program'), 'the program before');
    using program = Program.fromFd(fd);
    (built.maps.previous as unknown as { set(key: number, value: Program): void }).set(0, program);
  }
  (built.maps.guard as BpfMap<number, { deadline: bigint }>).set(0, { deadline: clock.deadline(until) });
}
