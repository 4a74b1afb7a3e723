import type { Registry } from 'prom-client';
import type { Filter } from './filter.ts';

/**
 * Metrics of filters for Prometheus, read from the kernel whenever they are asked for.
 *
 * @param filters Asked anew each time, so that what is attached later is there too.
 */
export async function filterMetrics(filters: () => readonly Filter[]): Promise<Registry> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  const registers = [registry];
  const labels = ['interface'];
  const each = (task: (filter: Filter, name: { interface: string }) => void): void => {
    for (const filter of filters()) if (filter.attached) task(filter, { interface: filter.place.key });
  };
  for (const unit of ['packets', 'bytes'] as const) {
    new Counter({
      name: `barewire_filter_${unit}_total`,
      help: `What became of ${unit}, by outcome.`,
      labelNames: [...labels, 'outcome', 'verdict'],
      registers,
      collect() {
        this.reset();
        each((filter, name) => {
          for (const tally of filter.outcomes()) {
            const verdict = tally.drops ? 'drop' : 'pass';
            this.inc({ ...name, outcome: tally.outcome, verdict }, Number(tally[unit]));
          }
        });
      },
    });
    new Counter({
      name: `barewire_filter_rule_${unit}_total`,
      help: `What rules decided, in ${unit}; for a limit, what it dropped.`,
      labelNames: [...labels, 'rule'],
      registers,
      collect() {
        this.reset();
        each((filter, name) => {
          for (const rule of filter.rules()) this.inc({ ...name, rule: rule.text }, Number(rule[unit]));
        });
      },
    });
  }
  for (const figure of ['entries', 'capacity'] as const) {
    new Gauge({
      name: `barewire_filter_table_${figure}`,
      help: figure === 'entries' ? 'Entries in a table.' : 'Entries that a table takes.',
      labelNames: [...labels, 'table'],
      registers,
      collect() {
        this.reset();
        each((filter, name) => {
          for (const table of filter.status().tables)
            this.set({ ...name, table: table.table }, table[figure]);
        });
      },
    });
  }
  new Gauge({
    name: 'barewire_filter_guard_pending',
    help: '1 while a change waits for its confirmation.',
    labelNames: labels,
    registers,
    collect() {
      this.reset();
      each((filter, name) => this.set(name, filter.status().guard === 'pending' ? 1 : 0));
    },
  });
  new Gauge({
    name: 'barewire_filter_changed_timestamp_seconds',
    help: 'When the program was last replaced.',
    labelNames: labels,
    registers,
    collect() {
      this.reset();
      each((filter, name) => this.set(name, filter.status().since.getTime() / 1000));
    },
  });
  return registry;
}
