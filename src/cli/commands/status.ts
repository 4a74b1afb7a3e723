import type { AttachedProgram, Status } from '../../apps/status.ts';
import type { DispatchedProgram } from '../../bpf/index.ts';
import { type Column, layOut } from '../columns.ts';
import { interfaceName } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const status: Command = command({
  name: 'status',
  summary: 'Show every XDP program on every interface, and whose it is',
  description: [
    'Looks into the own network namespace, into those with a name, and into those of processes (containers, for one). A program that a link holds goes when its last holder ends; one put there by netlink stays until somebody takes it off; a path on bpffs keeps either. Under a dispatcher stand the programs that it runs, in their order, each with its priority and the verdicts after which the next one runs.',
    'Without CAP_SYS_ADMIN the kernel tells no names and no maps, and without root other processes hide what they hold.',
  ],
  positionals: [
    { name: 'interface', kind: interfaceName(), summary: 'Only interfaces of this name', optional: true },
  ],
  options: { json, netns: { ...netns, summary: 'Only this network namespace' } },
  examples: [
    { does: 'Everything', line: 'barewire status' },
    { does: 'Whose program is on eth0, for a script', line: 'barewire status eth0 --json' },
  ],
  async run({ args, options }, { output }) {
    const app = await import('../../apps/status.ts');
    const found = app.status({ netns: options.netns, interface: args.interface });
    if (options.json) for (const program of found.programs) output.json(program);
    else print(found, output);
    for (const { netns: where, error } of found.unseen) output.note(`not seen: ${where}: ${error.message}`);
    if (found.limited !== undefined) {
      output.note(`names and maps are not shown: ${found.limited.message}; ${found.limited.hint ?? ''}`);
    }
  },
});

/** A line of the table: a program on an interface, or one that a dispatcher runs there. */
interface Row extends AttachedProgram {
  readonly place?: DispatchedProgram;
}

function dispatchedRows(program: AttachedProgram): Row[] {
  return (program.dispatches ?? []).map((place) => ({
    ...program,
    program: { id: place.id, name: `  ${place.name}`, tag: place.tag },
    place,
  }));
}

/** In which order, and what happens next. */
function showPlace({ priority, chain }: DispatchedProgram): string {
  return `priority ${priority}, goes on after ${chain.length === 0 ? 'nothing' : chain.join(' ')}`;
}

const columns: readonly Column<Row>[] = [
  { title: 'Interface', value: ({ interface: { name } }) => name },
  { title: 'Mode', value: ({ mode }) => mode },
  { title: 'ID', align: 'right', value: ({ program }) => `${program.id}` },
  {
    title: 'Program',
    value: ({ program }) => program.name ?? '?',
    paint: (text, _, paint) => paint.bold(text),
  },
  { title: 'Tag', drop: 2, value: ({ program }) => program.tag ?? '?' },
  {
    title: 'Loaded',
    drop: 3,
    value: ({ program, place }) => (place ? '' : program.loadedAt ? localTime(program.loadedAt) : '?'),
  },
  { title: 'Maps', drop: 1, value: ({ program, place }) => (place ? '' : showMaps(program.maps)) },
  { title: 'Owner', value: ({ owner, place }) => (place ? showPlace(place) : showOwner(owner)) },
];

function print({ programs }: Status, output: Output): void {
  if (programs.length === 0) {
    output.write('No XDP program is attached.\n');
    return;
  }
  const elsewhere = programs.some(({ netns: where }) => where !== undefined);
  const namespace: Column<Row> = {
    title: 'Namespace',
    value: ({ netns: where }) => where ?? '-',
  };
  const shown = elsewhere ? [namespace, ...columns] : columns;
  const rows = programs.flatMap((program) => [program, ...dispatchedRows(program)]);
  for (const line of layOut(shown, rows, output.columns, output.paint)) output.write(`${line}\n`);
}

function showMaps(maps: AttachedProgram['program']['maps']): string {
  if (maps === undefined) return '?';
  return maps.length === 0 ? '-' : maps.map(({ id, type, name }) => `${id} ${name} (${type})`).join(', ');
}

/** Who keeps it: a process by its number and command, a path, or netlink. */
export function showOwner({ kind, linkId, processes, pins }: AttachedProgram['owner']): string {
  const keepers = [...processes.map(({ pid, command: line }) => `${pid} ${line}`), ...pins];
  const means = kind === 'link' ? `link ${linkId}` : 'netlink';
  return keepers.length === 0 ? means : `${means}: ${keepers.join(', ')}`;
}

/** As in `2026-11-20 15:04:05`, in the zone of the machine. */
function localTime(date: Date): string {
  const pad = (n: number): string => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}
