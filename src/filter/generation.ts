import { BpfMap } from '../bpf/map.ts';
import { type Table, type TableName, tableNamed } from '../policy/table.ts';
import {
  type CpuState,
  guardMap,
  type RuleCount,
  ruleCounts,
  stateMap,
  tableMap,
} from '../programs/filter-maps.ts';
import { Fill } from './fill.ts';
import type { Pins } from './pins.ts';
import { Reasons } from './reasons.ts';
import { type FilterRecord, readRecord } from './record.ts';

/** A generation of a filter as it is pinned: its record, and its maps, opened as they are asked for. */
export class Generation implements Disposable {
  readonly pins: Pins;
  readonly number: number;
  readonly record: FilterRecord;
  readonly fill: Fill;
  readonly #tables = new Map<TableName, BpfMap<unknown, unknown>>();
  #reasons: Reasons | undefined;

  private constructor(pins: Pins, number: number, record: FilterRecord, fill: Fill) {
    this.pins = pins;
    this.number = number;
    this.record = record;
    this.fill = fill;
  }

  /** @throws BarewireError `BW_PIN_VERSION`, `BW_PIN_MISMATCH` where another version made them. */
  static open(pins: Pins, number: number): Generation {
    const record = readRecord(pins.path(number, 'record'));
    return new Generation(pins, number, record, Fill.open(pins.path(number, 'fill')));
  }

  /** Whether the generation's program looks at this table. */
  has(name: TableName): boolean {
    return this.record.policy.tables.includes(name);
  }

  /** Tables that are looked at. */
  get tables(): Table[] {
    return this.record.policy.tables.map(tableNamed);
  }

  capacity(name: TableName): number {
    return this.record.capacities[name] ?? this.record.policy.settings.capacity;
  }

  /** The map of a table that {@link has} names. */
  table(name: TableName): BpfMap<unknown, unknown> {
    let map = this.#tables.get(name);
    if (map === undefined) {
      const spec = tableMap(tableNamed(name), this.capacity(name));
      map = BpfMap.openPinned(spec, this.pins.path(this.number, name)) as BpfMap<unknown, unknown>;
      this.#tables.set(name, map);
    }
    return map;
  }

  get reasons(): Reasons {
    this.#reasons ??= Reasons.open(
      this.pins.path(this.number, 'reason_ids'),
      this.pins.path(this.number, 'reason_texts'),
    );
    return this.#reasons;
  }

  /** Counts of the rules that have become code; undefined when there are none. */
  ruleCounts(): BpfMap<number, RuleCount[]> | undefined {
    if (!this.pins.names(this.number).includes('rule_counts')) return undefined;
    const spec = ruleCounts(this.record.policy.rules.length);
    return BpfMap.openPinned(spec, this.pins.path(this.number, 'rule_counts'));
  }

  /** What has become of packets, per CPU. */
  state(): BpfMap<number, CpuState[]> {
    return BpfMap.openPinned(stateMap, this.pins.path(this.number, 'state'));
  }

  /** When a guarded generation gives way, in ns of CLOCK_MONOTONIC; 0 once it has been confirmed. */
  guardDeadline(): bigint {
    using guard = BpfMap.openPinned(guardMap, this.pins.path(this.number, 'guard'));
    return guard.get(0)?.deadline ?? 0n;
  }

  /** Confirms a guarded generation: from here on it stays. */
  disarm(): void {
    using guard = BpfMap.openPinned(guardMap, this.pins.path(this.number, 'guard'));
    guard.set(0, { deadline: 0n });
  }

  close(): void {
    this.fill.close();
    this.#reasons?.close();
    for (const map of this.#tables.values()) map.close();
    this.#tables.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
