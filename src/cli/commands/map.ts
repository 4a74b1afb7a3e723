import type { ObjectMap } from '../../bpf/index.ts';
import { duration, text } from '../kinds.ts';
import { type Output, toJson } from '../output.ts';
import { json } from '../standard-options.ts';
import { type CommandGroup, command, group } from '../table.ts';

const which = { name: 'map', kind: text('MAP'), summary: 'Its id, its path on bpffs, or its name' } as const;
const key = { name: 'key', kind: text('KEY'), summary: 'A number, JSON, or bytes as hex:0a00' } as const;

const dump = command({
  name: 'dump',
  summary: 'Show all entries of a map',
  description: [
    'Keys and values are shown by the names that the map has in its types (BTF); without those as bytes.',
  ],
  positionals: [which],
  options: { json },
  examples: [
    { does: 'By its path', line: 'barewire map dump /sys/fs/bpf/xdp_stats' },
    { does: 'For a program, by its id', line: 'barewire map dump 17 --json' },
  ],
  async run({ args, options }, { output, signal }) {
    const { openMap } = await import('../../apps/map.ts');
    const { printableValue: show } = await import('../../apps/map-values.ts');
    using map = openMap(args.map);
    for (const [entry, value] of map) {
      if (signal.aborted) return;
      printEntry(output, options.json, show(entry), show(value));
    }
  },
});

const get = command({
  name: 'get',
  summary: 'Show one entry of a map',
  positionals: [which, key],
  options: { json },
  examples: [{ does: 'By the members of its key', line: 'barewire map get flows \'{"port":53}\'' }],
  async run({ args, options }, { output }) {
    const { openMap } = await import('../../apps/map.ts');
    const { parseValue, printableValue: show } = await import('../../apps/map-values.ts');
    using map = openMap(args.map);
    const entry = parseValue(args.key) as never;
    const value = map.get(entry);
    if (value === undefined) {
      output.note(`barewire: map '${map.name}' has no such key`);
      return 1;
    }
    printEntry(output, options.json, show(map.decodeKey(map.encodeKey(entry))), show(value));
    return 0;
  },
});

const set = command({
  name: 'set',
  summary: 'Write one entry of a map',
  description: ['Members that are left out become zero. Of a per-CPU map every CPU gets the value.'],
  positionals: [which, key, { name: 'value', kind: text('VALUE'), summary: 'As the key' }],
  options: { create: { kind: 'flag', summary: 'Only if the key is not there yet' } },
  examples: [{ does: 'Block an address', line: 'barewire map set blocked hex:0a000001 1' }],
  async run({ args, options }) {
    const { openMap } = await import('../../apps/map.ts');
    const { parseValue } = await import('../../apps/map-values.ts');
    using map = openMap(args.map);
    map.set(
      parseValue(args.key) as never,
      parseValue(args.value) as never,
      options.create ? 'create' : 'any',
    );
  },
});

const remove = command({
  name: 'delete',
  summary: 'Delete one entry of a map',
  positionals: [which, key],
  async run({ args }, { output }) {
    const { openMap } = await import('../../apps/map.ts');
    const { parseValue } = await import('../../apps/map-values.ts');
    using map: ObjectMap = openMap(args.map);
    if (map.delete(parseValue(args.key) as never)) return 0;
    output.note(`barewire: map '${map.name}' has no such key`);
    return 1;
  },
});

const watch = command({
  name: 'watch',
  summary: 'Show what changes in a map',
  positionals: [which],
  options: {
    interval: {
      kind: duration({ min: '10ms', max: '1d' }),
      short: 'i',
      default: '1s',
      summary: 'Time between looks',
    },
    json,
  },
  examples: [{ does: 'Until Ctrl-C', line: 'barewire map watch flows -i 200ms' }],
  async run({ args, options }, { output, signal }) {
    const { openMap, watchMap } = await import('../../apps/map.ts');
    const { printableValue: show } = await import('../../apps/map-values.ts');
    using map = openMap(args.map);
    for await (const { time, change, key: entry, value } of watchMap(map, {
      interval: options.interval,
      signal,
    })) {
      if (options.json) output.json({ time, change, key: show(entry), value: show(value) });
      else output.write(`${time.toISOString()} ${change} ${toJson(show(entry))}: ${toJson(show(value))}\n`);
    }
  },
});

function printEntry(output: Output, asJson: boolean, entry: unknown, value: unknown): void {
  if (asJson) output.json({ key: entry, value });
  else output.write(`${toJson(entry)}: ${toJson(value)}\n`);
}

export const map: CommandGroup = group({
  name: 'map',
  summary: "Read and change the maps of anybody's programs",
  commands: [dump, get, set, remove, watch],
});
