import { tryParseIp } from '../../address/index.ts';
import type { Monitor, MonitorReport } from '../../apps/monitor.ts';
import type { DropWatch } from '../../apps/monitor-drops.ts';
import { type MonitorFilter, parseMonitorFilter } from '../../apps/monitor-filter.ts';
import type { Seen } from '../../apps/monitor-hooks.ts';
import type { Recorder } from '../../apps/monitor-recorder.ts';
import {
  MONITOR_DIRECTIONS,
  MONITOR_HOOKS,
  MONITOR_SORTS,
  MONITOR_VIEWS,
  type MonitorSort,
  type MonitorView,
} from '../../apps/monitor-words.ts';
import { ArgumentError } from '../../error.ts';
import type { Context } from '../context.ts';
import { duration, file, integer, interfaceName, oneOf, text } from '../kinds.ts';
import type { MonitorScreen } from '../monitor-screen.ts';
import { json, mode, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const monitor: Command = command({
  name: 'monitor',
  summary: 'Watch who talks to whom through an interface',
  description: [
    'Sums of all frames by protocol, and the busiest conversations, addresses and ports, on a terminal with keys (? shows them), in a browser (--web), or as lines. Counting is done in the kernel, in maps of fixed size, by programs that let every frame go on and that go when the command ends.',
    "Frames that come in are read by XDP; where another owner's XDP program is, behind it by tcx, and the output says so. Frames that go out are read by tcx (Linux 6.6).",
    'Where barewire filter is on the interface, what it drops is shown as well: by which rule, and which packets.',
    'Rates and totals of conversations are of the last 16384 active ones (--flows), with --sample N of one packet in N; how much of the traffic they account for is shown.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface to watch' }],
  options: {
    view: { kind: oneOf('VIEW', MONITOR_VIEWS), default: 'flows', summary: 'What the table is of' },
    sort: { kind: oneOf('SORT', MONITOR_SORTS), default: 'bits', summary: 'What comes first' },
    filter: {
      kind: { ...text('FILTER'), accepts: 'words that must all hold, as in "udp 53 not 192.0.2.0/24"' },
      short: 'f',
      summary: 'Conversations to show and to record',
    },
    top: {
      kind: integer({ min: 1, max: 1000 }),
      default: '10',
      summary: 'Rows of a table that is printed, and talkers in --json',
    },
    interval: {
      kind: duration({ min: '10ms', max: '1d' }),
      short: 'i',
      default: '1s',
      summary: 'Time between readings',
    },
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many readings' },
    duration: { kind: duration({ min: '10ms' }), short: 'd', summary: 'End after so long' },
    record: {
      kind: file(),
      short: 'w',
      summary: 'Record the packets that the filter lets through, as pcapng',
    },
    hook: {
      kind: oneOf('HOOK', MONITOR_HOOKS),
      default: 'auto',
      summary: 'Where frames that come in are read: auto is xdp unless another program is there',
    },
    direction: { kind: oneOf('WAY', MONITOR_DIRECTIONS), default: 'both', summary: 'Which frames are read' },
    flows: {
      kind: integer({ min: 16, max: 4_194_304 }),
      default: '16384',
      summary: 'Conversations to remember; the least recently active go first',
    },
    sample: {
      kind: integer({ min: 1, max: 1_000_000 }),
      default: '1',
      summary: 'Look one packet in so many up among the conversations; sums stay exact',
    },
    web: { kind: 'flag', summary: 'Show it in a browser: prints the address of a page, with a token' },
    listen: {
      kind: {
        ...text('ADDRESS'),
        accepts: 'an IP address, with a port behind a colon if wished, as in 127.0.0.1:8080',
      },
      summary: 'Where the page is for --web (default: 127.0.0.1 and a free port)',
    },
    mode,
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'A live screen, until q', line: 'barewire monitor eth0' },
    {
      does: 'DNS alone, by address, one object a line',
      line: 'barewire monitor eth0 -f 53 --view remote --json',
    },
    { does: 'In a browser on this machine', line: 'barewire monitor eth0 --web' },
    { does: 'For ten seconds, into a file', line: 'barewire monitor eth0 -d 10s -w dns.pcapng' },
  ],
  async run({ args, options }, context) {
    const { output, signal } = context;
    const { Monitor } = await import('../../apps/monitor.ts');
    const { netns, mode, hook, direction: directions, flows, sample } = options;
    const filter = parseMonitorFilter(options.filter ?? '');
    if (options.listen !== undefined && !options.web) throw new ArgumentError('--listen is for --web');
    const listen = listenAt(options.listen);
    const place = { interface: args.interface, netns };
    using monitor = Monitor.open({ ...place, mode, hook, directions, flows, sample });
    const { DropWatch } = await import('../../apps/monitor-drops.ts');
    await using drops = DropWatch.open(place);
    const recorder = options.record === undefined ? undefined : await record(place, options.record, filter);
    try {
      const { interval, count, duration } = options;
      const limits = { interval, count, duration };
      const settings: Settings = { view: options.view, sort: options.sort, filter, top: options.top };
      if (options.web) {
        if (options.json) throw new ArgumentError('--web and --json exclude each other');
        const reports = monitor.reports({ ...limits, signal });
        await showInBrowser(reports, monitor, drops, listen, context);
      } else if (!options.json && output.terminal && process.stdin.isTTY === true) {
        const start = (file: string, current: MonitorFilter): Promise<Recorder> =>
          record(place, file, current);
        const seen = seenBy(monitor);
        const { watchOnTerminal } = await import('../monitor-terminal.ts');
        await watchOnTerminal({ monitor, seen, limits, settings, drops, recorder, start }, context);
      } else {
        output.note(`Watching ${monitor.interface.name}: ${seenBy(monitor)}`);
        for (const note of monitor.notes) output.note(note);
        const reports = monitor.reports({ ...limits, signal });
        if (options.json) await printJson(reports, monitor, drops, settings, context);
        else await printLines(reports, monitor, drops, settings, context);
      }
    } finally {
      if (recorder !== undefined) await finish(recorder, context);
    }
  },
});

/** What is looked at, by the options. */
export interface Settings {
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly filter: MonitorFilter;
  readonly top: number;
}

async function record(
  place: { readonly interface: string; readonly netns: string | undefined },
  path: string,
  filter: MonitorFilter,
): Promise<Recorder> {
  const { Recorder } = await import('../../apps/monitor-recorder.ts');
  const recorder = await Recorder.open({ ...place, file: path });
  recorder.filter = filter;
  return recorder;
}

async function finish(recorder: Recorder, { output }: Context): Promise<void> {
  await recorder.close();
  if (recorder.failed !== undefined) throw recorder.failed;
  const lost = recorder.dropped === 0 ? '' : `, ${recorder.dropped} were lost`;
  output.note(`${recorder.recorded} packets are in ${recorder.file}${lost}`);
}

/** `in by XDP in driver mode, out by tcx`. */
function seenBy({ incoming, outgoing }: Monitor): string {
  const parts: string[] = [];
  if (incoming !== undefined) parts.push(`in by ${hookName(incoming)}`);
  if (outgoing !== undefined) parts.push(`out by ${hookName(outgoing)}`);
  return parts.join(', ');
}

function hookName(seen: Seen): string {
  if (seen.hook === 'tcx') return 'tcx';
  const refused = seen.refusals.map(({ mode, reason }) => `; ${mode} mode was refused: ${reason}`).join('');
  return `XDP in ${seen.mode} mode${refused}`;
}

/** Reads `127.0.0.1:8080`, `[::1]:8080`, or an address alone. @throws ArgumentError */
function listenAt(given: string | undefined): { readonly host?: string; readonly port?: number } {
  if (given === undefined) return {};
  if (tryParseIp(given) !== undefined) return { host: given };
  const [, host = '', port = '0'] = /^\[?([^\]]+?)\]?(?::(\d{1,5}))?$/.exec(given) ?? [];
  if (tryParseIp(host) === undefined || Number(port) > 65_535) {
    throw new ArgumentError(`--listen: '${given}' is not an IP address to listen on`, {
      hint: 'Write 127.0.0.1, 127.0.0.1:8080 or [::1]:8080.',
    });
  }
  return { host, port: Number(port) };
}

async function showInBrowser(
  reports: AsyncIterable<MonitorReport>,
  monitor: Monitor,
  drops: DropWatch,
  listen: { readonly host?: string; readonly port?: number },
  { output }: Context,
): Promise<void> {
  const { MonitorWeb } = await import('../../apps/monitor-web.ts');
  const { interface: place, notes } = monitor;
  await using web = await MonitorWeb.open({ ...listen, interface: place.name, seen: seenBy(monitor), notes });
  if (!/^http:\/\/(127\.|\[::1\])/.test(web.url)) {
    output.note('The page is not encrypted: whoever reads the network on the way reads the token');
  }
  output.write(`${web.url}\n`);
  for await (const report of reports) {
    web.publish(report);
    web.publishDrops(drops.lines);
  }
}

async function printJson(
  reports: AsyncIterable<MonitorReport>,
  monitor: Monitor,
  drops: DropWatch,
  settings: Settings,
  { output }: Context,
): Promise<void> {
  const { summarize } = await import('../../apps/monitor-summary.ts');
  const { incoming, outgoing, notes } = monitor;
  for await (const report of reports) {
    const seen = { in: incoming, out: outgoing, notes };
    const dropped =
      drops.drops === 0 ? undefined : { packets: drops.drops, last: drops.lines.slice(0, settings.top) };
    output.json({ interface: monitor.interface.name, seen, ...summarize(report, settings), dropped });
  }
}

/** A line a reading, and the screen's table at the end. */
async function printLines(
  reports: AsyncIterable<MonitorReport>,
  monitor: Monitor,
  drops: DropWatch,
  settings: Settings,
  { output }: Context,
): Promise<void> {
  let last: MonitorReport | undefined;
  for await (const report of reports) {
    last = report;
    const { time, in: received, out: sent } = report;
    const parts = [
      ...(received === undefined ? [] : [`in ${received.counts.total.packets} packets`]),
      ...(sent === undefined ? [] : [`out ${sent.counts.total.packets} packets`]),
    ];
    output.write(`${time.toISOString()} ${parts.join(', ')}, ${report.flows.length} conversations\n`);
  }
  if (last === undefined) return;
  const { drawMonitor } = await import('../monitor-screen.ts');
  const screen: MonitorScreen = {
    ...settings,
    interface: monitor.interface.name,
    seen: seenBy(monitor),
    notes: [],
    report: last,
    history: { in: [], out: [] },
    frozen: false,
    scrolled: 0,
    help: false,
    prompt: undefined,
    message: undefined,
    recording: undefined,
    drops: drops.lines,
  };
  // Two lines more than head, title and rows: the foot, which is for keys, goes.
  const lines = drawMonitor(screen, { columns: 120, rows: settings.top + 8 }, output.paint);
  output.write(`\n${lines.slice(0, -1).join('\n').trimEnd()}\n`);
}
