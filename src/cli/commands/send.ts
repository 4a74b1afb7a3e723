import { formatIp, formatPrefix } from '../../address/index.ts';
import type { Payload, Sender, SendOptions, SendReport } from '../../apps/send.ts';
import type { AnswerReport } from '../../apps/send-answers.ts';
import { ArgumentError } from '../../error.ts';
import type { DnsType } from '../../packet/index.ts';
import type { Context } from '../context.ts';
import { address, duration, file, integer, interfaceName, oneOf, packetRate, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { addressOrNetwork, domain, mac, ports } from '../packet-kinds.ts';
import { bitRate, bytes, grouped, perSecond } from '../quantity.ts';
import { json, netns } from '../standard-options.ts';
import { type CommandGroup, command, group, type OptionTable, type OptionValues } from '../table.ts';

const limits = {
  rate: {
    kind: packetRate(),
    short: 'r',
    summary: 'Packets per second, evenly spread; as many as go without it',
  },
  count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many packets' },
  duration: { kind: duration({ min: '1ms' }), short: 'd', summary: 'End after so long' },
  interval: {
    kind: duration({ min: '10ms', max: '1d' }),
    short: 'i',
    default: '1s',
    summary: 'Time between reports',
  },
  queue: {
    kind: integer({ min: 0, max: 65_535 }),
    short: 'q',
    summary: 'The queue to send on; 0 without it',
  },
  engine: {
    kind: oneOf('ENGINE', ['auto', 'xsk', 'live']),
    default: 'auto',
    summary: 'xsk is AF_XDP; live has the kernel repeat one frame, and receives nothing',
  },
  netns: { ...netns, summary: 'The network namespace of the interface' },
  json,
} as const satisfies OptionTable;

const addresses = {
  'src-mac': { kind: mac(), aliases: ['srcmac'], summary: "Source MAC; the interface's without it" },
  'dst-mac': {
    kind: mac(),
    aliases: ['dstmac'],
    summary: "Destination MAC; that of the kernel's next hop without it",
  },
  'src-ip': {
    kind: addressOrNetwork(),
    aliases: ['srcip'],
    summary: 'Source address, or a network to send from all of whose addresses',
  },
  'dst-ip': { kind: address(), aliases: ['dstip'], required: true, summary: 'Destination address' },
  'src-port': {
    kind: ports(),
    default: '61440-65535',
    summary: 'Source ports; those of the default are given to no program by the kernel itself',
  },
  vlan: {
    kind: integer({ min: 0, max: 4094 }),
    repeated: true,
    summary: 'A VLAN tag; given twice, the outer one first',
  },
  order: {
    kind: oneOf('ORDER', ['random', 'sequential']),
    default: 'random',
    summary: 'How IDs, source ports and source addresses follow each other',
  },
  seed: {
    kind: integer({ min: 0, max: 0xffff_ffff }),
    summary: 'Makes a random order come out the same again',
  },
} as const satisfies OptionTable;

const interfacePosition = {
  name: 'interface',
  kind: interfaceName(),
  summary: 'The interface to send on',
} as const;

const dns = command({
  name: 'dns',
  summary: 'Ask a DNS server, as fast as it goes or at a rate, and match the answers',
  description: [
    'Queries are built once and patched on their way out: ID, source port, source address, a random label. An XDP program brings the answers, and nothing else, past the stack; each is matched by its port and ID. Reported are sent, answered and lost queries, response codes and latencies.',
    'The rate is kept by spacing packets evenly. One that cannot be held is reported as such.',
    'Without --count and --duration it sends until Ctrl-C.',
  ],
  positionals: [interfacePosition],
  options: {
    domain: { kind: domain(), repeated: true, summary: 'A name to ask for' },
    queries: { kind: file(), summary: 'Ask for the names of a file: a name and perhaps a type a line' },
    type: { kind: text('TYPE'), default: 'A', summary: 'The record type where the file says none' },
    'random-subdomain': {
      kind: 'flag',
      summary: 'Put a random label before each name, so that no cache has the answer',
    },
    dnssec: { kind: 'flag', summary: 'Ask for DNSSEC records, by EDNS' },
    'no-recursion': { kind: 'flag', summary: 'Do not ask the server to recurse' },
    port: { kind: integer({ min: 1, max: 65_535 }), default: '53', summary: "The server's port" },
    ...addresses,
    'no-answers': { kind: 'flag', summary: 'Send only; attaches no program' },
    timeout: {
      kind: duration({ min: '1ms', max: '1h' }),
      default: '2s',
      summary: 'How long an answer may take; a query without one is lost',
    },
    mode: {
      kind: oneOf('MODE', ['auto', 'driver', 'generic']),
      default: 'auto',
      summary: 'Where the program runs that fetches the answers',
    },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    driver: {
      kind: oneOf('DRIVER', ['spin', 'nap']),
      default: 'spin',
      summary: 'spin takes a core and tells latencies exactly, nap looks every 100 microseconds',
    },
    ...limits,
  },
  examples: [
    {
      does: 'As many queries as go, until Ctrl-C',
      line: 'barewire send dns eth0 --dst-ip 192.0.2.53 --domain example.org',
    },
    {
      does: 'A load test past all caches, from 254 addresses',
      line: 'barewire send dns eth0 --dst-ip 192.0.2.53 --domain example.org --random-subdomain --src-ip 198.51.100.0/24 -r 50k -d 1m',
    },
    {
      does: 'The names of a file, a hundred thousand queries, as JSON',
      line: 'barewire send dns eth0 --dst-ip 2001:db8::53 --queries names.txt -r 10k -n 100000 --json',
    },
  ],
  async run({ args, options }, context) {
    const { readQueryFile, requireQuestion } = await import('../../apps/send-files.ts');
    const type = options.type.toUpperCase() as DnsType;
    const questions = options.domain.map((name) => requireQuestion({ name, type }));
    if (options.queries !== undefined) questions.push(...readQueryFile(options.queries, type));
    if (questions.length === 0) {
      throw new ArgumentError('there is nothing to ask for', {
        hint: 'Give --domain NAME or --queries FILE.',
      });
    }
    const payload: Payload = {
      kind: 'dns',
      questions,
      randomLabel: options.randomSubdomain,
      recursionDesired: !options.noRecursion,
      dnssec: options.dnssec,
      port: options.port,
    };
    const { timeout, mode, replace, driver } = options;
    const answers = !options.noAnswers;
    const more = { answers, timeout, mode, replace, driver: answers ? driver : undefined };
    await transmit({ ...routed(args.interface, options), ...more, payload }, options, context);
  },
});

const udp = command({
  name: 'udp',
  summary: 'Send UDP datagrams',
  description: ['Without --count and --duration it sends until Ctrl-C.'],
  positionals: [interfacePosition],
  options: {
    'dst-port': { kind: integer({ min: 0, max: 65_535 }), default: '9', summary: 'Destination port' },
    size: {
      kind: integer({ min: 0, max: 65_507, placeholder: 'BYTES' }),
      summary: 'Bytes of payload, all zero; 22 without it, a frame of 64 bytes',
    },
    payload: { kind: text('TEXT'), summary: 'The payload itself' },
    ...addresses,
    ...limits,
  },
  examples: [
    { does: 'As many small frames as go', line: 'barewire send udp eth0 --dst-ip 192.0.2.1 -d 10s' },
    {
      does: 'A steady stream with a tag',
      line: 'barewire send udp eth0 --dst-ip 192.0.2.1 --vlan 7 --size 1000 -r 25k',
    },
  ],
  async run({ args, options }, context) {
    if (options.size !== undefined && options.payload !== undefined) {
      throw new ArgumentError('--size and --payload exclude each other', { hint: 'Give one of them.' });
    }
    const payload =
      options.payload === undefined
        ? new Uint8Array(options.size ?? 22)
        : new TextEncoder().encode(options.payload);
    const what: Payload = { kind: 'udp', port: options.dstPort, payload };
    await transmit({ ...routed(args.interface, options), payload: what }, options, context);
  },
});

const loops = {
  loops: {
    kind: integer({ min: 1 }),
    summary: 'Times through the file; once without --count and --duration, else as often as they allow',
  },
} as const satisfies OptionTable;

const raw = command({
  name: 'raw',
  summary: 'Send frames as a file spells them in hexadecimal',
  description: [
    'One frame a line, from the destination MAC on; spaces and colons between the digits are passed over, and so are lines that begin with #. Frames go out as they are: checksums are not mended.',
  ],
  positionals: [{ name: 'file', kind: file(), summary: 'The file' }, interfacePosition],
  options: { ...loops, ...limits },
  examples: [{ does: 'Once', line: 'barewire send raw frames.txt eth0' }],
  async run({ args, options }, context) {
    const { readHexFile } = await import('../../apps/send-files.ts');
    const { frames } = readHexFile(args.file);
    await sendFrames(args.interface, frames, options, context);
  },
});

const pcap = command({
  name: 'pcap',
  summary: 'Send the frames of a capture, pcap or pcapng',
  description: [
    'Frames go out as they were captured, one after the other, at --rate or as fast as they go: the times in the file do not count. Packets of which the file holds only a part are left out.',
  ],
  positionals: [{ name: 'file', kind: file(), summary: 'The capture' }, interfacePosition],
  options: { ...loops, ...limits },
  examples: [
    { does: 'Once, a thousand packets a second', line: 'barewire send pcap traffic.pcapng eth0 -r 1000' },
    { does: 'Again and again for a minute', line: 'barewire send pcap traffic.pcap eth0 -d 1m' },
  ],
  async run({ args, options }, context) {
    const { readCaptureFile } = await import('../../apps/send-files.ts');
    const { frames, cut } = await readCaptureFile(args.file);
    if (cut > 0)
      context.output.note(`${cut} packets of ${args.file} were cut when they were captured: left out`);
    await sendFrames(args.interface, frames, options, context);
  },
});

export const send: CommandGroup = group({
  name: 'send',
  summary: 'Send packets and match DNS answers',
  description: [
    'Two engines: xsk sends by AF_XDP and can do everything. live has the kernel repeat one frame, patched by an XDP program, and is several times as fast; it sends one kind of frame, receives nothing, and wants a driver that takes redirected frames. auto takes live where it can do what is asked, but AF_XDP for rates below 400 000 packets/s, which it keeps more evenly and with less of a core.',
  ],
  commands: [dns, udp, raw, pcap],
});

type Limits = OptionValues<typeof limits>;

function routed(
  name: string,
  options: OptionValues<typeof addresses> & Limits,
): Omit<SendOptions, 'payload'> {
  return {
    interface: name,
    destination: options.dstIp,
    source: options.srcIp,
    sourceMac: options.srcMac,
    destinationMac: options.dstMac,
    vlans: options.vlan,
    ports: options.srcPort,
    order: options.order,
    seed: options.seed,
  };
}

async function sendFrames(
  name: string,
  frames: readonly Uint8Array[],
  options: Limits & OptionValues<typeof loops>,
  context: Context,
): Promise<void> {
  const open = options.count !== undefined || options.duration !== undefined;
  const most = (options.loops ?? (open ? Infinity : 1)) * frames.length;
  const count = Math.min(options.count ?? Infinity, most);
  const limited = { ...options, count: count === Infinity ? undefined : count };
  await transmit({ interface: name, payload: { kind: 'frames', frames } }, limited, context);
}

async function transmit(
  options: SendOptions,
  limits: Limits,
  { output, signal, verbose }: Context,
): Promise<void> {
  const { Sender } = await import('../../apps/send.ts');
  const { rate, count, duration, queue, engine, netns, interval } = limits;
  await using sender = await Sender.open({ ...options, rate, count, duration, queue, engine, netns });
  output.note(greeting(sender, options));
  for (const remark of sender.engine.remarks) {
    // Few drivers have it, and the line above says that packets are copied.
    if (verbose || !remark.startsWith('zero copy')) output.note(remark);
  }
  let last: SendReport | undefined;
  for await (const report of sender.reports(interval, signal)) {
    if (limits.json) output.json(jsonOf(report, sender));
    else if (!report.done) output.write(`${line(report)}\n`);
    last = report;
  }
  if (last === undefined) return;
  if (!limits.json) output.write(`${summary(last, output).join('\n')}\n`);
  if (last.held === false) {
    output.note(
      `The rate of ${perSecond(last.rate ?? 0)} was not held: ${perSecond(last.averagePerSecond)} went out.`,
    );
  }
}

function greeting({ path, engine, interface: name, source }: Sender, { payload }: SendOptions): string {
  const frames = source.plans.length === 1 ? 'one frame' : `${source.plans.length} frames`;
  if (path === undefined) return `Sending ${frames} on ${name} by ${engine.description}`;
  const from = source.sources === undefined ? formatIp(path.source.bytes) : formatPrefix(source.sources);
  const to = formatIp(path.destination.bytes);
  const what = payload.kind === 'dns' ? 'DNS queries' : 'UDP';
  const via = path.via === undefined ? '' : ` via ${path.via}`;
  return `Sending ${what} from ${from} to ${to}${via} on ${name} by ${engine.description}`;
}

function line({ time, sent, packetsPerSecond, bitsPerSecond, answers }: SendReport): string {
  const parts = [`${sent} sent`, perSecond(packetsPerSecond), bitRate(bitsPerSecond)];
  if (answers !== undefined) parts.push(`${answers.answered} answered`, `${answers.lost} lost`);
  return `${time.toISOString()} ${parts.join(', ')}`;
}

function jsonOf(report: SendReport, sender: Sender): object {
  const { elapsed, answers, ...rest } = report;
  return {
    ...rest,
    elapsedMs: Math.round(elapsed),
    interface: sender.interface,
    engine: sender.engine.kind,
    answers,
  };
}

function summary(report: SendReport, output: Output): string[] {
  const { sent, refused, averagePerSecond, rate, held, answers } = report;
  const asked = rate === undefined ? '' : ` (${perSecond(rate)} asked for, ${held ? 'held' : 'not held'})`;
  const rows: [string, string][] = [
    ['Sent', `${grouped(sent)} packets, ${bytes(report.bytes)}, ${perSecond(averagePerSecond)}${asked}`],
  ];
  if (refused > 0) rows.push(['Refused', `${grouped(refused)} packets, by the driver`]);
  const below: string[] = [];
  if (answers !== undefined) {
    rows.push(...answerRows(sent, answers));
    below.push(...histogram(answers, output));
  }
  const width = Math.max(...rows.map(([title]) => title.length));
  return [
    '',
    ...rows.map(([title, value]) => `${output.paint.bold(title.padEnd(width))}  ${value}`),
    ...below,
  ];
}

function answerRows(sent: number, answers: AnswerReport): [string, string][] {
  const { answered, lost, waiting, late, unexpected, truncated, codes, latency } = answers;
  const share = (count: number): string => (sent === 0 ? '' : ` (${((100 * count) / sent).toFixed(2)} %)`);
  const rows: [string, string][] = [
    ['Answered', `${grouped(answered)}${share(answered)}`],
    [
      'Lost',
      `${grouped(lost)}${share(lost)}${late > 0 ? `, of which ${grouped(late)} were answered too late` : ''}`,
    ],
  ];
  if (waiting > 0) rows.push(['Waiting', grouped(waiting)]);
  for (const [code, count] of Object.entries(codes)) rows.push([code, grouped(count)]);
  if (truncated > 0) rows.push(['Truncated', grouped(truncated)]);
  if (unexpected > 0) rows.push(['Unexpected', `${grouped(unexpected)} answers to no query that waited`]);
  if (latency !== undefined) {
    const { min, mean, p50, p90, p99, p999, max } = latency;
    rows.push(
      ['Latency', `min ${ms(min)}, mean ${ms(mean)}, max ${ms(max)}`],
      ['', `p50 ${ms(p50)}, p90 ${ms(p90)}, p99 ${ms(p99)}, p99.9 ${ms(p999)}`],
    );
  }
  return rows;
}

const BAR = 40;

function histogram({ histogram: bars }: AnswerReport, output: Output): string[] {
  const most = Math.max(...bars.map(({ count }) => count));
  if (bars.length === 0) return [];
  const titles = bars.map(({ to }) => `< ${ms(to)}`);
  const width = Math.max(...titles.map((title) => title.length));
  const rows = bars.map(({ count }, i) => {
    const bar = '█'.repeat(Math.round((BAR * count) / most)) || (count > 0 ? '▏' : '');
    return `${titles[i]!.padStart(width)}  ${output.paint.green(bar)} ${grouped(count)}`;
  });
  return ['', ...rows];
}

function ms(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toPrecision(3)} s`;
  return milliseconds >= 1
    ? `${milliseconds.toPrecision(3)} ms`
    : `${(1000 * milliseconds).toPrecision(3)} µs`;
}
