import type { CountReport, PacketCounter } from '../../apps/count.ts';
import { type Counts, rateOf, together } from '../../apps/counts.ts';
import { FRAME_KINDS, type FrameKind, type Tally } from '../../programs/frame-kinds.ts';
import { type Column, layOut } from '../columns.ts';
import { duration, integer, interfaceName } from '../kinds.ts';
import { liveBlock } from '../live.ts';
import type { Output } from '../output.ts';
import { bitRate, bytes, grouped, perSecond } from '../quantity.ts';
import { json, mode, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const count: Command = command({
  name: 'count',
  summary: 'Count the packets that an interface receives, by protocol',
  description: [
    'Attaches an XDP program that counts every frame, per CPU and by protocol, and lets it pass. It goes when the command ends, however it ends. Frames that leave the interface are not counted: XDP sees those that come in.',
    'Up to two VLAN tags are looked through. Where the interface takes tags off in hardware (ethtool -K INTERFACE rxvlan off stops that), the program sees frames without them.',
    'Needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; for --netns also CAP_SYS_ADMIN.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface to count on' }],
  options: {
    interval: {
      kind: duration({ min: '10ms', max: '1d' }),
      short: 'i',
      default: '1s',
      summary: 'Time between reports',
    },
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many reports' },
    duration: { kind: duration({ min: '10ms' }), short: 'd', summary: 'End after so long' },
    mode,
    netns: { ...netns, summary: 'The network namespace of the interface' },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    json,
  },
  examples: [
    { does: 'A live table, until Ctrl-C', line: 'barewire count eth0' },
    { does: 'Ten readings for a program, two seconds apart', line: 'barewire count eth0 --json -i 2s -n 10' },
    {
      does: 'For a minute, in a lab, in the stack instead of the driver',
      line: 'barewire count eth0 --netns bw-play-server --mode generic -d 1m',
    },
  ],
  async run({ args, options }, { output, signal }) {
    const { PacketCounter } = await import('../../apps/count.ts');
    const { interval, count, duration, mode, netns, replace } = options;
    using counter = PacketCounter.open({ interface: args.interface, netns, mode, replace });
    output.note(greeting(counter));
    const reports = counter.reports({ interval, count, duration, signal });
    if (options.json) await printJson(reports, counter, netns, output);
    else if (output.terminal) await printLive(reports, output);
    else await printLines(reports, output);
  },
});

/** Which mode was granted, and why no better one. */
function greeting({ interface: { name }, mode, refusals }: PacketCounter): string {
  const refused = refusals.map((refusal) => {
    const remedy = refusal.remedy === undefined ? '' : ` (${refusal.remedy})`;
    return `; ${refusal.mode} mode was refused: ${refusal.reason}${remedy}`;
  });
  return `Counting on ${name} in ${mode} mode${refused.join('')}`;
}

async function printJson(
  reports: AsyncIterable<CountReport>,
  counter: PacketCounter,
  netns: string | undefined,
  output: Output,
): Promise<void> {
  for await (const { time, elapsed, span, counts, before } of reports) {
    const withRate = (now: Tally, then: Tally): object => ({ ...now, ...rateOf(then, now, span) });
    output.json({
      time,
      elapsedMs: Math.round(elapsed),
      spanMs: Math.round(span),
      interface: counter.interface.name,
      netns,
      mode: counter.mode,
      refusals: counter.refusals.length === 0 ? undefined : counter.refusals,
      ...withRate(counts.total, before.total),
      kinds: Object.fromEntries(
        FRAME_KINDS.map((kind) => [kind, withRate(counts.kinds[kind], before.kinds[kind])]),
      ),
      tagged: withRate(counts.tagged, before.tagged),
      cpus: counts.cpus.map((cpu, number) => withRate(cpu, before.cpus[number] ?? cpu)),
    });
  }
}

async function printLive(reports: AsyncIterable<CountReport>, output: Output): Promise<void> {
  const block = liveBlock(output);
  for await (const report of reports) block.draw(countTable(report, output));
}

/** One line a report, as for a log, and the whole table at the end. */
async function printLines(reports: AsyncIterable<CountReport>, output: Output): Promise<void> {
  let last: CountReport | undefined;
  for await (const report of reports) {
    const { time, counts, before, span } = report;
    const { packetsPerSecond, bitsPerSecond } = rateOf(before.total, counts.total, span);
    const rates = `${perSecond(packetsPerSecond)}, ${bitRate(bitsPerSecond)}`;
    output.write(
      `${time.toISOString()} ${counts.total.packets} packets, ${counts.total.bytes} bytes, ${rates}\n`,
    );
    last = report;
  }
  if (last !== undefined) output.write(`\n${countTable(last, output).join('\n')}\n`);
}

/** One line of the table. */
interface Row {
  readonly name: string;
  readonly now: Tally;
  readonly before: Tally;
}

const ROWS: readonly {
  readonly name: string;
  readonly kinds: readonly FrameKind[];
  readonly always: boolean;
}[] = [
  { name: 'IPv4', kinds: ['ipv4-tcp', 'ipv4-udp', 'ipv4-icmp', 'ipv4-other'], always: true },
  { name: '  TCP', kinds: ['ipv4-tcp'], always: false },
  { name: '  UDP', kinds: ['ipv4-udp'], always: false },
  { name: '  ICMP', kinds: ['ipv4-icmp'], always: false },
  { name: '  other', kinds: ['ipv4-other'], always: false },
  { name: 'IPv6', kinds: ['ipv6-tcp', 'ipv6-udp', 'ipv6-icmpv6', 'ipv6-other'], always: true },
  { name: '  TCP', kinds: ['ipv6-tcp'], always: false },
  { name: '  UDP', kinds: ['ipv6-udp'], always: false },
  { name: '  ICMPv6', kinds: ['ipv6-icmpv6'], always: false },
  { name: '  other', kinds: ['ipv6-other'], always: false },
  { name: 'ARP', kinds: ['arp'], always: true },
  { name: 'other', kinds: ['other'], always: true },
];

/** The total first, so that a short terminal cuts what matters least. */
function rowsOf(counts: Counts, before: Counts): Row[] {
  const rows: Row[] = [{ name: 'All', now: counts.total, before: before.total }];
  for (const { name, kinds, always } of ROWS) {
    const now = together(counts, kinds);
    if (always || now.packets > 0n) rows.push({ name, now, before: together(before, kinds) });
  }
  if (counts.tagged.packets > 0n)
    rows.push({ name: 'VLAN-tagged', now: counts.tagged, before: before.tagged });
  for (const [cpu, now] of counts.cpus.entries()) {
    if (now.packets > 0n) rows.push({ name: `CPU ${cpu}`, now, before: before.cpus[cpu] ?? now });
  }
  return rows;
}

export function countTable({ counts, before, span, elapsed }: CountReport, output: Output): string[] {
  const rate = (row: Row): ReturnType<typeof rateOf> => rateOf(row.before, row.now, span);
  const columns: readonly Column<Row>[] = [
    {
      title: `After ${Math.round(elapsed / 1000)} s`,
      value: (row) => row.name,
      least: 12,
      paint: (cell, row, paint) => (row.name === 'All' ? paint.bold(cell) : cell),
    },
    { title: 'Packets', align: 'right', least: 13, value: (row) => grouped(row.now.packets) },
    {
      title: 'Rate',
      align: 'right',
      drop: 1,
      least: 8,
      value: (row) => perSecond(rate(row).packetsPerSecond),
    },
    { title: 'Bytes', align: 'right', drop: 3, least: 7, value: (row) => bytes(row.now.bytes) },
    { title: 'Rate', align: 'right', drop: 2, least: 11, value: (row) => bitRate(rate(row).bitsPerSecond) },
  ];
  return layOut(columns, rowsOf(counts, before), output.columns, output.paint);
}
