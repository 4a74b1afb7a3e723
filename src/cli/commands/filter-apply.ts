import type { Changes } from '../../filter/apply.ts';
import { duration, file } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';
import { filterOf, target } from './filter-target.ts';

export const apply: Command = command({
  name: 'apply',
  summary: 'Make the filter what a configuration file says, without a gap',
  description: [
    'The file (YAML, JSON, or a module in TypeScript or JavaScript) is checked and held against what is there; new tables are filled, and a program over them takes the place of the one before in one step: no packet passes unfiltered, and none is dropped that both would pass. What was added by hand and by feeds stays, unless --prune is given.',
    'With --confirm the filter before is back after that time, unless barewire filter confirm follows; the kernel holds to that even when every process of this machine has died. The address that an SSH session comes from is allowed for a day.',
  ],
  positionals: [{ name: 'config', kind: file(), summary: 'The configuration file' }],
  options: {
    ...target,
    'dry-run': { kind: 'flag', summary: 'Show what would change, and change nothing' },
    confirm: { kind: duration({ min: '1s', max: '1d' }), summary: 'Go back after so long unless confirmed' },
    prune: { kind: 'flag', summary: 'Take off what was added by hand and by feeds, too' },
    json,
  },
  examples: [
    { does: 'See first', line: 'barewire filter apply filter.yaml --dry-run' },
    { does: 'On trial', line: 'barewire filter apply filter.yaml --confirm 2m' },
  ],
  async run({ args, options }, { output }) {
    const { readConfigFile } = await import('../../filter/config-file.ts');
    const { adminPeer } = await import('../../filter/peer.ts');
    const { checkConfig } = await import('../../policy/config.ts');
    const { config, folder } = await readConfigFile(args.config);
    checkConfig(config, Date.now());
    const filter = await filterOf(options, options.dev ?? config.interface);
    const { confirm, dryRun, prune } = options;
    const changes = await filter.apply(config, { confirm, dryRun, prune, folder, peer: adminPeer() });
    if (options.json) {
      output.json({ interface: filter.place.key, dryRun, ...changes });
      return;
    }
    show(changes, output);
    if (dryRun) output.note('Nothing was changed.');
    else if (confirm !== undefined) {
      output.note(
        `The filter before is back in ${confirm / 1000} s unless you confirm: barewire filter confirm`,
      );
    }
  },
});

function show({ settings, rules, entries, any }: Changes, output: Output): void {
  const { green, red, yellow } = output.paint;
  if (!any) {
    output.write('Everything is so already\n');
    return;
  }
  for (const { name, from, to } of settings)
    output.write(`${yellow('~')} ${name}: ${String(from)} -> ${String(to)}\n`);
  for (const rule of rules.added) output.write(`${green('+')} ${rule}\n`);
  for (const rule of rules.changed) output.write(`${yellow('~')} ${rule}\n`);
  for (const rule of rules.removed) output.write(`${red('-')} ${rule}\n`);
  for (const line of entries.shown) {
    const paint = line.startsWith('+') ? green : line.startsWith('-') ? red : yellow;
    output.write(`${paint(line)}\n`);
  }
  const more = entries.added + entries.removed + entries.changed - entries.shown.length;
  if (more > 0) output.write(`  and ${more} more entries\n`);
  output.write(
    `${entries.added} entries added, ${entries.removed} removed, ${entries.changed} changed, ${entries.kept} kept\n`,
  );
}

export const confirm: Command = command({
  name: 'confirm',
  summary: 'Keep what was attached or applied on trial',
  options: { ...target, json },
  examples: [{ does: 'In time', line: 'barewire filter confirm' }],
  async run({ options }, { output }) {
    const filter = await filterOf(options);
    await filter.confirm();
    if (options.json) output.json({ interface: filter.place.key, confirmed: true });
    else output.write(`The filter on ${filter.place.key} stays\n`);
  },
});
