import { BarewireError } from '../error.ts';
import { MOST_LISTS, type Policy } from '../policy/policy.ts';
import { identityOf, MOST_RULES, type Rule } from '../policy/rule.ts';
import { type Table, type TableName, tableNamed } from '../policy/table.ts';
import type { Clock } from './clock.ts';
import type { Generation } from './generation.ts';
import type { Live } from './live.ts';
import type { Place } from './place.ts';

/** @throws BarewireError `BW_GUARD` while a guard is pending: what would be guarded then? */
export function requireNoGuard({ guard, generation }: Live, place: Place): void {
  if (guard !== 'pending') return;
  const until = new Date(generation.record.guard?.until ?? 0).toLocaleTimeString();
  throw new BarewireError(
    'BW_GUARD',
    `the filter on ${place.key} waits for its confirmation until ${until}`,
    {
      hint: `\`barewire filter confirm ${place.interface}\` keeps it; after that time the one before is back.`,
    },
  );
}

/** Rules with others in their places where they are the same, and behind them where not. */
export function mergeRules(
  before: readonly Rule[],
  added: readonly Rule[],
): { rules: readonly Rule[]; fresh: number } {
  const rules = [...before];
  let fresh = 0;
  for (const rule of added) {
    const at = rules.findIndex((other) => identityOf(other) === identityOf(rule));
    if (at < 0) {
      rules.push(rule);
      fresh++;
    } else {
      rules[at] = { ...rule, added: rules[at]!.added };
    }
  }
  if (rules.length > MOST_RULES) {
    throw new BarewireError(
      'BW_LIMIT',
      `${rules.length} rules with ports, protocols or limits are more than ${MOST_RULES}`,
      {
        hint: 'Rules for ports alone can be joined: one rule takes 16 ranges. Addresses and prefixes without more are not counted.',
      },
    );
  }
  return { rules, fresh };
}

/** @throws BarewireError `BW_LIMIT` beyond sixteen lists. */
export function withList(lists: readonly string[], name: string): readonly string[] {
  if (lists.includes(name)) return lists;
  const free = lists.indexOf('');
  if (free >= 0) return lists.with(free, name);
  if (lists.length < MOST_LISTS) return [...lists, name];
  throw new BarewireError('BW_LIMIT', `there are ${lists.length} lists already, and no more have room`, {
    hint: `They are: ${lists.join(', ')}. Put what belongs together on one list.`,
  });
}

export function withoutEnded(rules: readonly Rule[], clock: Clock): readonly Rule[] {
  return rules.filter((rule) => rule.expires === undefined || rule.expires > clock.now);
}

/** @throws BarewireError `BW_LOCKED_OUT` for a policy that denies everything and allows nothing. */
export function requireWayIn(
  policy: Policy,
  generation: Generation | undefined,
  entries: ReadonlyMap<TableName, { readonly entries: number }> = new Map(),
): void {
  if (policy.settings.default === 'allow') return;
  if (policy.rules.some((rule) => rule.action === 'allow' || rule.limit?.within === 'allow')) return;
  const allows = policy.tables.some((name) => {
    const table = tableNamed(name);
    if (table.action !== 'allow') return false;
    const count = entries.get(name)?.entries ?? (generation?.has(name) ? generation.fill.of(table) : 0);
    return count > 0;
  });
  if (allows) return;
  throw new BarewireError('BW_LOCKED_OUT', 'the filter would deny everything and allow nothing', {
    hint: 'Allow something first, or let the default be allow.',
  });
}

/** As {@link requireWayIn}, for when one entry of a table is to go. */
export function requireAnotherWayIn(generation: Generation, table: Table): void {
  const entries = new Map([
    [table.name, { entries: generation.has(table.name) ? generation.fill.of(table) - 1 : 0 }],
  ]);
  requireWayIn(generation.record.policy, generation, entries);
}
