import type { FilterEntry, FilterRule } from '../../filter/entries.ts';
import { type Column, layOut } from '../columns.ts';
import { text } from '../kinds.ts';
import { grouped } from '../quantity.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';
import { entryOptions, readRules, ruleOptions } from './filter-rule.ts';
import { filterOf, target } from './filter-target.ts';

const addresses = {
  name: 'address',
  kind: text('ADDRESS'),
  summary: 'Addresses and prefixes: 192.0.2.1, 198.51.100.0/24, 2001:db8::/32',
  optional: true,
  rest: true,
} as const;

export const add: Command = command({
  name: 'add',
  summary: 'Deny or allow addresses, ports, protocols, or set limits',
  description: [
    'Addresses and prefixes without more go into tables of the kernel: one costs as much as a million, and the list is in force the moment the command ends. Whatever says more becomes code of the program, which takes the place of the one before in one step.',
    'What is allowed passes whatever denies it; what is denied is dropped; limits drop what is beyond them; the rest meets the default.',
  ],
  positionals: [addresses],
  options: { ...ruleOptions, ...entryOptions, ...target, json },
  examples: [
    {
      does: 'Two sources for ten minutes',
      line: 'barewire filter add 192.0.2.1 2001:db8::/32 --expire 10m --reason scan',
    },
    { does: 'A port, for everybody but an office', line: 'barewire filter add --protocol tcp --port 22' },
    {
      does: 'At most 200 packets a second from each source',
      line: 'barewire filter add -p udp --port 27015 --limit 200/s',
    },
  ],
  async run({ args, options }, { output }) {
    const said = await readRules(args.address ?? [], options, options);
    const filter = await filterOf(options);
    const sum = { added: 0, changed: 0 };
    for (const put of [
      said.entries.length > 0 ? await filter.add(said.entries) : undefined,
      said.rules.length > 0 ? await filter.addRules(said.rules) : undefined,
    ]) {
      sum.added += put?.added ?? 0;
      sum.changed += put?.changed ?? 0;
    }
    if (options.json) output.json({ interface: filter.place.key, ...sum });
    else output.write(`${sum.added} added, ${sum.changed} changed on ${filter.place.key}\n`);
  },
});

export const remove: Command = command({
  name: 'remove',
  summary: 'Take addresses or rules off the list',
  description: [
    'What is removed is named as it was added. A feed that lists an address puts it back when it is read again.',
  ],
  positionals: [addresses],
  options: { ...ruleOptions, ...target, json },
  examples: [{ does: 'One address', line: 'barewire filter remove 192.0.2.1' }],
  async run({ args, options }, { output }) {
    const said = await readRules(args.address ?? [], options);
    const filter = await filterOf(options);
    const { formatPrefix } = await import('../../address/index.ts');
    const { describeRule } = await import('../../policy/rule.ts');
    const absent: string[] = [];
    let removed = 0;
    for (const { action, side, prefix } of said.entries) {
      if (await filter.remove(action, prefix, { side })) removed++;
      else absent.push(`${action} ${typeof prefix === 'string' ? prefix : formatPrefix(prefix)}`);
    }
    for (const rule of said.rules) {
      if (await filter.removeRule(rule)) removed++;
      else absent.push(describeRule(rule));
    }
    if (options.json) output.json({ interface: filter.place.key, removed, absent });
    else output.write(`${removed} removed from ${filter.place.key}\n`);
    if (absent.length === 0) return 0;
    if (!options.json) output.note(`not on the list: ${absent.join(', ')}`);
    return 1;
  },
});

/** A line of the list. */
type Line = { readonly entry: FilterEntry } | { readonly rule: FilterRule };

export const list: Command = command({
  name: 'list',
  summary: 'Show what is allowed, denied and limited, with hits',
  options: { ...target, json },
  examples: [{ does: 'Who was dropped most', line: 'barewire filter list' }],
  async run({ options }, { output, signal }) {
    const filter = await filterOf(options);
    const lines = function* (): Generator<Line> {
      for (const rule of filter.rules()) yield { rule };
      for (const entry of filter.entries()) yield { entry };
    };
    if (options.json) {
      for (const line of lines()) {
        if (signal.aborted) return;
        output.json('entry' in line ? line.entry : jsonOf(line.rule));
      }
      return;
    }
    const all = [...lines()];
    if (all.length === 0) output.write(`${filter.place.key} denies and allows nothing by name\n`);
    else for (const line of layOut(columns, all, output.columns, output.paint)) output.write(`${line}\n`);
  },
});

export function jsonOf({ rule, text, packets, bytes, lastSeen, ended }: FilterRule): object {
  return {
    action: rule.action,
    rule: text,
    limit: rule.limit,
    packets,
    bytes,
    lastSeen,
    added: new Date(rule.added),
    expires: rule.expires === undefined ? undefined : new Date(rule.expires),
    reason: rule.reason,
    ended,
  };
}

const columns: readonly Column<Line>[] = [
  {
    title: 'Rule',
    value: (line) =>
      'rule' in line ? line.rule.text : `${line.entry.action} ${side(line.entry)}${line.entry.prefix}`,
  },
  {
    title: 'Packets',
    align: 'right',
    value: (line) => grouped('rule' in line ? line.rule.packets : line.entry.hits),
  },
  {
    title: 'Last seen',
    drop: 2,
    value: (line) => moment('rule' in line ? line.rule.lastSeen : line.entry.lastSeen),
  },
  {
    title: 'Ends',
    drop: 1,
    value: (line) => {
      if ('entry' in line) return moment(line.entry.expires);
      return moment(line.rule.rule.expires === undefined ? undefined : new Date(line.rule.rule.expires));
    },
  },
  { title: 'Lists', drop: 3, value: (line) => ('rule' in line ? '' : line.entry.lists.join(', ')) },
  { title: 'Reason', value: (line) => ('rule' in line ? line.rule.rule.reason : line.entry.reason) ?? '' },
];

function side(entry: FilterEntry): string {
  return entry.side === 'source' ? '' : 'to ';
}

/** Seconds suffice, in the reader's own time. */
export function moment(date: Date | undefined): string {
  if (date === undefined) return '-';
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace('T', ' ');
}
