import { duration, integer, interfaceName, oneOf } from '../kinds.ts';
import { json, mode } from '../standard-options.ts';
import { type CommandGroup, command, group } from '../table.ts';
import { apply, confirm } from './filter-apply.ts';
import { add, list, remove } from './filter-edit.ts';
import { exportCommand, importCommand } from './filter-list.ts';
import { explain, metrics, restore, status, test, watch } from './filter-look.ts';
import { filterOf, target } from './filter-target.ts';

const optionalInterface = {
  name: 'interface',
  kind: interfaceName(),
  summary: 'The interface',
  optional: true,
} as const;

const attach = command({
  name: 'attach',
  summary: 'Put the filter on an interface, with the list that is saved',
  description: [
    'It stays when the command ends, whatever becomes of the process: its program, its link and its tables are pinned on the BPF file system, and the list is saved to disk.',
    'With --confirm it goes by itself unless barewire filter confirm follows in time; the kernel holds to that, not a process.',
  ],
  positionals: [optionalInterface],
  options: {
    ...target,
    mode,
    default: {
      kind: oneOf('ACTION', ['allow', 'deny']),
      summary: 'What no rule decides; allow unless saved otherwise',
    },
    capacity: { kind: integer({ min: 16, max: 2 ** 28 }), summary: 'Entries that each table takes' },
    confirm: {
      kind: duration({ min: '1s', max: '1d' }),
      summary: 'Take it off again after so long unless confirmed',
    },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    json,
  },
  examples: [
    { does: 'To stay', line: 'barewire filter attach eth0' },
    { does: 'On trial', line: 'barewire filter attach eth0 --confirm 2m' },
  ],
  async run({ args, options }, { output }) {
    const filter = await filterOf(options, args.interface);
    const { mode, replace, confirm } = options;
    const settings = {
      ...(options.default === undefined ? {} : { default: options.default }),
      ...(options.capacity === undefined ? {} : { capacity: options.capacity }),
    };
    const { adminPeer } = await import('../../filter/peer.ts');
    const done = await filter.attach({ mode, replace, settings, confirm, peer: adminPeer() });
    if (options.json) return output.json({ interface: filter.place.key, ...done });
    const refused = done.refusals
      .map((refusal) => `; ${refusal.mode} mode was refused: ${refusal.reason}`)
      .join('');
    const entries = done.restored === 0 ? '' : `, with ${done.restored} saved entries`;
    output.write(`The filter is on ${filter.place.key} in ${done.mode} mode${entries}${refused}\n`);
    if (confirm !== undefined) {
      output.write(
        `It goes in ${confirm / 1000} s unless you confirm: barewire filter confirm ${filter.place.interface}\n`,
      );
    }
  },
});

const detach = command({
  name: 'detach',
  summary: 'Take the filter off an interface; its list stays saved',
  positionals: [optionalInterface],
  options: { ...target, forget: { kind: 'flag', summary: 'Remove the saved list too' }, json },
  examples: [{ does: 'For now', line: 'barewire filter detach eth0' }],
  async run({ args, options }, { output }) {
    const filter = await filterOf(options, args.interface);
    const there = await filter.detach({ forget: options.forget });
    if (options.json) output.json({ interface: filter.place.key, detached: there });
    else output.write(there ? `${filter.place.key} is open\n` : `${filter.place.key} had no filter\n`);
    return there ? 0 : 1;
  },
});

export const filter: CommandGroup = group({
  name: 'filter',
  summary: 'Allow, deny and limit packets by address, port and rate, to stay',
  description: [
    'An XDP program drops what is denied before the kernel does anything with it. Lists may have millions of addresses and prefixes; the filter outlives its process and the machine.',
  ],
  commands: [
    attach,
    detach,
    add,
    remove,
    list,
    importCommand,
    exportCommand,
    apply,
    confirm,
    status,
    watch,
    explain,
    test,
    metrics,
    restore,
  ],
});
