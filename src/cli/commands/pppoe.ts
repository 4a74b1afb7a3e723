import type { LineReport, PoolReport } from '../../apps/pppoe.ts';
import type { LineSettings, PoolConfig, PoolEvent } from '../../lines/index.ts';
import type { PppoeConcentratorInfo } from '../../pppoe/index.ts';
import { type Column, layOut } from '../columns.ts';
import { UsageError } from '../errors.ts';
import { duration, file, integer, interfaceName, oneOf, text } from '../kinds.ts';
import { liveBlock } from '../live.ts';
import type { Output } from '../output.ts';
import { bytes } from '../quantity.ts';
import { json, netns } from '../standard-options.ts';
import { type CommandGroup, command, group } from '../table.ts';

const vlan = {
  kind: integer({ min: 1, max: 4094, placeholder: 'ID' }),
  repeated: true,
  summary: 'The VLAN that the concentrator is on; twice for QinQ, the outer one first',
} as const;

const mode = {
  kind: oneOf('MODE', ['auto', 'driver', 'generic']),
  default: 'auto',
  summary: 'Where the XDP program runs: auto takes the best that the driver grants',
} as const;

const up = command({
  name: 'up',
  summary: 'Bring PPPoE lines up and keep them up, until it is stopped',
  description: [
    'Each session becomes a device of its own (bwline0, bwline1, …) with its address and a routing table of its own; the default route of the machine is not touched. A program that binds to the device, or to its address, leaves by that line and no other.',
    'Sessions that fail or end are dialled again, later each time. When the command ends, every session is ended properly. After a kill -9 the next start ends the sessions that it finds in the state file.',
    'Passwords are read from files that others may not read, never from the command line.',
  ],
  positionals: [
    {
      name: 'interface',
      kind: interfaceName(),
      optional: true,
      summary: 'The interface, unless a file says so',
    },
  ],
  options: {
    config: { kind: file(), short: 'c', summary: 'Interface and lines from this file, YAML or JSON' },
    user: { kind: text('NAME'), short: 'u', summary: 'The user name' },
    'password-file': { kind: file(), summary: 'The file whose first line is the password' },
    accounts: {
      kind: file(),
      summary: 'A session for each account of this file, written as chap-secrets of pppd',
    },
    sessions: {
      kind: integer({ min: 1, max: 65_535 }),
      short: 's',
      default: '1',
      summary: 'How many of each account',
    },
    service: { kind: text('NAME'), summary: 'The service to ask for' },
    concentrator: { kind: text('NAME'), summary: 'The only concentrator to take' },
    vlan,
    mac: {
      kind: oneOf('HOW', ['shared', 'per-session']),
      default: 'shared',
      summary: "All sessions with the interface's MAC address, or each with its own",
    },
    mru: {
      kind: integer({ min: 576, max: 1500, placeholder: 'BYTES' }),
      default: '1492',
      summary: 'Largest packet; above 1492 where the concentrator can (RFC 4638)',
    },
    ip: {
      kind: oneOf('VERSION', ['both', '4', '6']),
      default: 'both',
      summary: 'Which versions of IP to ask for',
    },
    device: { kind: text('NAME'), summary: 'Name of the devices; %d in it is a number' },
    'state-file': { kind: file(), summary: 'Where open sessions are noted. Default is below /run/barewire' },
    metrics: { kind: text('HOST:PORT'), summary: 'Serve metrics for Prometheus there, at /metrics' },
    interval: {
      kind: duration({ min: '100ms', max: '1d' }),
      short: 'i',
      default: '1s',
      summary: 'Time between reports',
    },
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many reports' },
    mode,
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'One line', line: 'barewire pppoe eth1 --user alice --password-file alice.password' },
    {
      does: 'Eight sessions of one account, each with a MAC address of its own',
      line: 'barewire pppoe eth1 --user alice --password-file alice.password --sessions 8 --mac per-session',
    },
    {
      does: 'As a service, with everything in a file',
      line: 'barewire pppoe up --config /etc/barewire/pppoe-eth1.yaml',
    },
  ],
  async run({ args, options }, { output, signal, verbose }) {
    const { linesOf, readPoolConfig } = await import('../../lines/index.ts');
    const { PppoeApp } = await import('../../apps/pppoe.ts');
    const fromFile = options.config === undefined ? undefined : await readPoolConfig(options.config);
    const name = args.interface ?? fromFile?.interface;
    if (name === undefined) throw new UsageError('no interface', 'name one, or a file with --config');
    const keep = <T>(key: string, value: T | undefined): Record<string, T> =>
      value === undefined ? {} : { [key]: value };
    const settings = {
      ...keep('user', options.user),
      ...keep('password-file', options.passwordFile),
      ...keep('accounts', options.accounts),
      ...keep('service', options.service),
      ...keep('concentrator', options.concentrator),
      ...keep('vlans', options.vlan.length === 0 ? undefined : options.vlan),
      ...keep('device', options.device),
      ...keep('ipv4', options.ip === '6' ? false : undefined),
      ...keep('ipv6', options.ip === '4' ? false : undefined),
      mru: options.mru,
      count: options.sessions,
    } as LineSettings;
    const stateFile =
      options.stateFile ??
      fromFile?.pool.stateFile ??
      `/run/barewire/pppoe/${options.netns ?? ''}.${name}.state`;
    const config: PoolConfig = {
      interface: name,
      metrics: options.metrics ?? fromFile?.metrics,
      lines: fromFile?.lines ?? linesOf(settings, '.'),
      pool: fromFile?.pool
        ? { ...fromFile.pool, stateFile }
        : {
            mac: options.mac,
            mode: options.mode,
            replace: options.replace,
            netns: options.netns,
            stateFile,
          },
    };
    await using app = await PppoeApp.start(config);
    const { interface: open } = app.pool.wire;
    output.note(
      `${config.lines.length} lines on ${open.name}, ${open.sockets.length} queues, in ${open.mode} mode`,
    );
    if (app.metrics !== undefined) {
      output.note(`Metrics at http://${app.metrics.address}:${app.metrics.port}/metrics`);
    }
    const reports = app.reports({ interval: options.interval, signal, count: options.count });
    if (!options.json && output.terminal) await printLive(reports, output);
    else {
      const over = new AbortController();
      const printing = printEvents(
        app.events(AbortSignal.any([signal, over.signal])),
        options.json,
        verbose,
        output,
      );
      for await (const report of reports) if (options.json) output.json({ type: 'report', ...report });
      over.abort();
      await printing;
    }
  },
});

const discover = command({
  name: 'discover',
  summary: 'List the PPPoE concentrators on a wire',
  description: ['Asks who is there, and opens no session.'],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: {
    service: { kind: text('NAME'), summary: 'Only those with this service' },
    vlan,
    wait: {
      kind: duration({ min: '10ms', max: '1m' }),
      short: 'w',
      default: '3s',
      summary: 'How long to wait for answers',
    },
    mode,
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'Who is there', line: 'barewire pppoe discover eth1' },
    { does: 'Behind a VLAN', line: 'barewire pppoe discover eth1 --vlan 7' },
  ],
  async run({ args, options }, { output, signal }) {
    const { discoverConcentrators } = await import('../../lines/index.ts');
    const { service, vlan, wait, mode, netns } = options;
    const found = await discoverConcentrators(args.interface, {
      netns,
      mode,
      signal,
      timeout: wait,
      ...(service === undefined ? {} : { serviceName: service }),
      vlans: vlan.map((id) => ({ id })),
      found: (concentrator) => {
        if (options.json) output.json(concentrator);
      },
    });
    if (!options.json) {
      if (found.length === 0) output.write('Nobody answers.\n');
      else
        for (const row of layOut(concentratorColumns, found, output.columns, output.paint))
          output.write(`${row}\n`);
    }
    return found.length === 0 ? 1 : 0;
  },
});

export const pppoe: CommandGroup = group({
  name: 'pppoe',
  summary: 'PPPoE lines in user space, each with an address and a device of its own',
  description: ['Without the name of a command below, `up` is meant: `barewire pppoe eth1 --user …`.'],
  usual: 'up',
  commands: [up, discover],
});

const concentratorColumns: readonly Column<PppoeConcentratorInfo>[] = [
  { title: 'Concentrator', value: (row) => row.name, paint: (cell, _, paint) => paint.bold(cell) },
  { title: 'MAC', value: (row) => row.mac },
  { title: 'Round trip', align: 'right', value: (row) => `${row.roundTrip.toFixed(2)} ms` },
  { title: 'Packets', align: 'right', drop: 1, value: (row) => `${row.maxPayload ?? 1492}` },
  { title: 'Services', value: (row) => row.services.map((name) => name || '(any)').join(', ') },
];

const lineColumns: readonly Column<LineReport>[] = [
  { title: 'Line', value: (row) => row.line, paint: (cell, _, paint) => paint.bold(cell) },
  {
    title: 'State',
    least: 14,
    value: (row) => (row.retryIn === undefined ? row.state : `again in ${Math.ceil(row.retryIn / 1000)} s`),
    paint: (cell, row, paint) =>
      row.state === 'open'
        ? paint.green(cell)
        : row.error === undefined
          ? paint.yellow(cell)
          : paint.red(cell),
  },
  { title: 'Address', least: 15, value: (row) => row.address ?? row.ipv6[0] ?? '-' },
  { title: 'Peer', drop: 3, value: (row) => row.concentrator ?? '-' },
  { title: 'Device', drop: 4, value: (row) => row.device ?? '-' },
  { title: 'Up', align: 'right', drop: 2, least: 8, value: (row) => span(row.uptime) },
  { title: 'Received', align: 'right', drop: 5, least: 8, value: (row) => bytes(row.receivedBytes) },
  { title: 'Sent', align: 'right', drop: 6, least: 8, value: (row) => bytes(row.sentBytes) },
  { title: 'Last error', drop: 1, value: (row) => row.error?.message ?? '' },
];

async function printLive(reports: AsyncIterable<PoolReport>, output: Output): Promise<void> {
  const block = liveBlock(output);
  for await (const report of reports) {
    const head = `${report.open} of ${report.lines.length} open${report.carrier ? '' : ', no carrier'}`;
    block.draw([head, ...layOut(lineColumns, report.lines, output.columns, output.paint)]);
  }
}

/** One line of text or JSON for each thing that happens. */
async function printEvents(
  events: AsyncIterable<PoolEvent>,
  asJson: boolean,
  verbose: boolean,
  output: Output,
): Promise<void> {
  for await (const one of events) {
    if ('carrier' in one) {
      if (asJson) output.json({ type: 'carrier', carrier: one.carrier });
      else output.write(`${one.carrier ? 'the carrier is back' : 'no carrier'}\n`);
      continue;
    }
    const { line, event } = one;
    if (event.type === 'opened') {
      const { type, ...given } = event;
      if (asJson) output.json({ type, line: line.name, device: line.device?.name, ...given });
      else {
        const address = given.local ?? given.ipv6?.local ?? 'no address';
        output.write(
          `${line.name} is open: ${address} on ${line.device?.name}, by ${given.acName || given.peerMac}\n`,
        );
      }
    } else if (event.type === 'closed') {
      const { code, message, hint } = event.error;
      if (asJson) output.json({ type: 'closed', line: line.name, code, message, hint });
      else output.write(`${line.name} is closed: ${message}\n`);
    } else if (verbose && event.type === 'state') {
      if (asJson) output.json({ type: 'state', line: line.name, state: event.state });
      else output.write(`${line.name}: ${event.state}\n`);
    }
  }
}

/** As in 1:02:03. */
function span(ms: number): string {
  if (ms === 0) return '-';
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
