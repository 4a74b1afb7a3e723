import type { LabDescription } from '../../apps/playground.ts';
import { type Column, layOut } from '../columns.ts';
import { integer, labName, oneOf, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json } from '../standard-options.ts';
import { type CommandGroup, command, group } from '../table.ts';

const up = command({
  name: 'up',
  summary: 'Make a private network to play in',
  description: [
    'Hosts are network namespaces, wires are veth pairs; no interface of the machine is touched. The lab stands until it is taken down, or until the machine restarts. Labs whose maker was killed are cleared away on the way.',
  ],
  positionals: [
    { name: 'name', kind: text('NAME'), summary: 'A name of letters, digits and dashes, at most 24' },
  ],
  options: {
    shape: {
      kind: oneOf('SHAPE', ['pair', 'chain']),
      default: 'pair',
      summary: 'Two hosts on a wire, or a router between them',
    },
    mtu: {
      kind: integer({ min: 68, max: 65_535, placeholder: 'BYTES' }),
      default: '1500',
      summary: 'MTU of every wire',
    },
    queues: {
      kind: integer({ min: 1, max: 64 }),
      default: '1',
      summary: 'Queues of every interface, each way',
    },
    json,
  },
  examples: [
    { does: 'Two hosts on a wire', line: 'barewire lab up play' },
    {
      does: 'With a router between them, and jumbo frames',
      line: 'barewire lab up big --shape chain --mtu 9000',
    },
  ],
  async run({ args, options }, { output }) {
    const { labUp } = await import('../../apps/playground.ts');
    const { shape, mtu, queues } = options;
    const made = labUp({ name: args.name, shape, mtu, queues });
    if (options.json) output.json(made);
    else explain(made, output);
  },
});

const list = command({
  name: 'list',
  summary: 'Show the labs that stand',
  options: { json },
  async run({ options }, { output }) {
    const { labList } = await import('../../apps/playground.ts');
    const labs = labList();
    if (options.json) for (const one of labs) output.json(one);
    else if (labs.length === 0) output.write('No lab stands. Make one: barewire lab up NAME\n');
    else printRows(labs.flatMap(rowsOf), labColumns, output);
  },
});

const down = command({
  name: 'down',
  summary: 'Take a lab down, with all that runs in it',
  positionals: [{ name: 'name', kind: labName(), summary: 'The lab' }],
  options: {
    force: { kind: 'flag', summary: 'Also when it belongs to a process that still runs' },
    json,
  },
  examples: [{ does: 'Take it down', line: 'barewire lab down play' }],
  async run({ args, options }, { output }) {
    const { labDown } = await import('../../apps/playground.ts');
    labDown(args.name, options.force);
    if (options.json) output.json({ name: args.name, down: true });
    else output.write(`Lab '${args.name}' is down.\n`);
  },
});

export const lab: CommandGroup = group({
  name: 'lab',
  summary: 'Private networks to play in',
  commands: [up, list, down],
});

/** One interface of one host of one lab. */
interface Row {
  readonly lab: string;
  readonly host: string;
  readonly namespace: string;
  readonly interface: string;
  readonly addresses: string;
  readonly keeper: string;
}

const hostColumns: readonly Column<Row>[] = [
  { title: 'Host', value: (row) => row.host, paint: (cell, _, paint) => paint.bold(cell) },
  { title: 'Namespace', value: (row) => row.namespace },
  { title: 'Interface', value: (row) => row.interface },
  { title: 'Addresses', value: (row) => row.addresses },
];

const labColumns: readonly Column<Row>[] = [
  { title: 'Lab', value: (row) => row.lab },
  ...hostColumns,
  { title: 'Kept by', drop: 1, value: (row) => row.keeper },
];

function rowsOf({ name, hosts, owner }: LabDescription): Row[] {
  const keeper = owner === undefined ? 'itself' : `${owner.pid} ${owner.command}`;
  if (hosts.length === 0) {
    return [{ lab: name, host: '?', namespace: '?', interface: '?', addresses: 'damaged', keeper }];
  }
  return hosts.flatMap((host) => {
    const row = { lab: name, host: host.name, namespace: host.namespace, keeper };
    if (host.interfaces.length === 0) return [{ ...row, interface: '-', addresses: '-' }];
    return host.interfaces.map((one) => ({
      ...row,
      interface: one.name,
      addresses: one.addresses.join(', '),
    }));
  });
}

function printRows(rows: readonly Row[], columns: readonly Column<Row>[], output: Output): void {
  for (const line of layOut(columns, rows, output.columns, output.paint)) output.write(`${line}\n`);
}

/** What one can do with a new lab, as lines to copy. */
function explain(made: LabDescription, output: Output): void {
  const first = made.hosts[0];
  const last = made.hosts.at(-1);
  output.write(`Lab '${made.name}' is up.\n\n`);
  printRows(rowsOf(made), hostColumns, output);
  if (first === undefined || last === undefined) return;
  const target = last.interfaces[0]?.addresses[0]?.split('/')[0] ?? '';
  const interfaceName = last.interfaces[0]?.name ?? '';
  const hints: readonly [string, string][] = [
    ['Enter a host', `ip netns exec ${first.namespace} bash`],
    ['or', `nsenter --net=${first.path} bash`],
    ['Send something', `ip netns exec ${first.namespace} ping ${target}`],
    ['Count it', `barewire count ${interfaceName} --netns ${last.namespace}`],
    ['Take it down', `barewire lab down ${made.name}`],
  ];
  const width = Math.max(...hints.map(([what]) => what.length));
  output.write(`\n${hints.map(([what, line]) => `${what.padEnd(width)}  ${line}\n`).join('')}`);
}
