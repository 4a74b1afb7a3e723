import { ArgumentError } from '../../error.ts';
import type { FilterStatus } from '../../filter/filter.ts';
import type { Explanation, OutcomeTally } from '../../filter/look.ts';
import { type Column, layOut } from '../columns.ts';
import { address, duration, file, integer, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { bytes, grouped } from '../quantity.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';
import { jsonOf, moment } from './filter-edit.ts';
import { filterOf, target } from './filter-target.ts';

/** A table as full as this is worth a word. */
const NEARLY_FULL = 0.8;

export const status: Command = command({
  name: 'status',
  summary: 'Show the filter: what it does with packets, how full its tables are, whether a guard waits',
  options: { ...target, json },
  examples: [{ does: 'All of it', line: 'barewire filter status' }],
  async run({ options }, { output }) {
    const filter = await filterOf(options);
    const status = filter.status();
    const outcomes = filter.outcomes();
    if (options.json) {
      output.json({ ...status, outcomes, rules: filter.rules().map(jsonOf), warnings: warnings(status) });
      return;
    }
    const { settings, guard, guardUntil, mode, since } = status;
    output.write(
      `The filter on ${filter.place.key}, in ${mode ?? 'no'} mode, as it is since ${moment(since)}\n`,
    );
    output.write(`What no rule decides: ${settings.default}\n`);
    if (guard === 'pending') output.write(`It goes back at ${moment(guardUntil)} unless confirmed\n`);
    if (guard === 'expired') output.write('It was not confirmed: the filter before decides\n');
    for (const line of layOut(tableColumns, status.tables, output.columns, output.paint))
      output.write(`${line}\n`);
    const met = outcomes.filter(({ packets }) => packets > 0n);
    for (const line of layOut(outcomeColumns, met, output.columns, output.paint)) output.write(`${line}\n`);
    for (const warning of warnings(status)) output.note(warning);
  },
});

function warnings({ tables }: FilterStatus): string[] {
  return tables.flatMap(({ table, entries, capacity }) =>
    entries < capacity * NEARLY_FULL
      ? []
      : [
          `the table ${table} is ${Math.floor((entries / capacity) * 100)} % full: raise the capacity with filter apply`,
        ],
  );
}

const tableColumns: readonly Column<FilterStatus['tables'][number]>[] = [
  { title: 'Table', value: ({ table }) => table },
  { title: 'Entries', align: 'right', value: ({ entries }) => grouped(entries) },
  { title: 'Of', align: 'right', value: ({ capacity }) => grouped(capacity) },
];

const outcomeColumns: readonly Column<OutcomeTally>[] = [
  { title: 'Packets by outcome', value: ({ outcome, drops }) => `${drops ? 'drop' : 'pass'}: ${outcome}` },
  { title: 'Packets', align: 'right', value: ({ packets }) => grouped(packets) },
  { title: 'Bytes', align: 'right', value: (tally) => bytes(tally.bytes) },
];

export const explain: Command = command({
  name: 'explain',
  summary: 'Say what happens to packets of an address: which rule, why, since when, how often',
  positionals: [{ name: 'address', kind: address(), summary: 'The address' }],
  options: { ...target, json },
  examples: [{ does: 'Why is somebody cut off', line: 'barewire filter explain 192.0.2.1' }],
  async run({ args, options }, { output }) {
    const filter = await filterOf(options);
    const [source, destination] = filter.explain(args.address) as [Explanation, Explanation];
    if (options.json) {
      output.json(source);
      output.json(destination);
      return;
    }
    tell(source, `Packets from ${source.address}`, output);
    if (destination.entries.length > 0) tell(destination, `Packets to ${destination.address}`, output);
  },
});

function tell({ decision, entries, rules, otherwise }: Explanation, whose: string, output: Output): void {
  const verdict = { allow: 'pass', deny: 'are dropped' };
  if (decision !== undefined) output.write(`${whose} ${verdict[decision]}\n`);
  else if (rules.length > 0)
    output.write(`${whose} meet rules; where none applies they ${verdict[otherwise]}\n`);
  else output.write(`${whose} ${verdict[otherwise]}: no rule is about them\n`);
  for (const entry of entries) {
    const { action, prefix, reason, added, hits, lastSeen, expires, lists } = entry;
    const why = reason === undefined ? '' : ` (${reason})`;
    const end = expires === undefined ? '' : `, until ${moment(expires)}`;
    output.write(
      `  ${action} ${prefix}${why}: since ${moment(added)}${end}, on ${lists.join(' and ')}; ${grouped(hits)} packets, the last ${moment(lastSeen)}\n`,
    );
  }
  for (const rule of rules) output.write(`  ${rule}\n`);
}

export const watch: Command = command({
  name: 'watch',
  summary: 'Show drops as they happen: who, by which rule, how much',
  description: [
    'Each CPU tells one drop a tick at most (some hundred a second), and with it how many it stands for: an attack does not become one on this process. Several who watch one filter share its events.',
  ],
  options: {
    ...target,
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many' },
    duration: { kind: duration({ min: '10ms' }), summary: 'End after so long' },
    json,
  },
  examples: [{ does: 'Until Ctrl-C', line: 'barewire filter watch' }],
  async run({ options }, { output, signal }) {
    const { describePacket } = await import('../../packet/index.ts');
    const filter = await filterOf(options);
    const { count, duration } = options;
    const stop = duration === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(duration)]);
    let seen = 0;
    for await (const drop of filter.drops({ signal: stop })) {
      if (options.json)
        output.json({
          ...drop,
          head: Buffer.from(drop.head).toString('hex'),
          packet: describePacket(drop.head),
        });
      else {
        const more = drop.stands > 1 ? ` x${grouped(drop.stands)}` : '';
        output.write(
          `${drop.time.toISOString()} ${drop.by}${more}: ${drop.length} bytes, ${describePacket(drop.head)}\n`,
        );
      }
      if (++seen === count) return;
    }
  },
});

export const test: Command = command({
  name: 'test',
  summary: 'Run the filter over captured or described packets, on no interface',
  description: [
    'The kernel runs the very program that is attached, over its very tables, or with --config the one that a configuration would make. Hits of entries count these packets too.',
  ],
  positionals: [
    { name: 'capture', kind: file(), optional: true, summary: 'A capture file (pcap or pcapng)' },
  ],
  options: {
    ...target,
    config: { kind: file(), summary: 'A configuration that is not applied' },
    source: { kind: address(), summary: 'Describe a packet: from whom' },
    destination: { kind: address(), summary: 'To whom' },
    protocol: { kind: text('PROTOCOL'), short: 'p', summary: 'Its protocol; udp unless given' },
    port: { kind: integer({ min: 0, max: 65_535 }), summary: 'To which port' },
    'source-port': { kind: integer({ min: 0, max: 65_535 }), summary: 'From which port' },
    syn: { kind: 'flag', summary: 'The first segment of a TCP connection' },
    vlan: { kind: integer({ min: 0, max: 4094 }), repeated: true, summary: 'Behind this tag' },
    json,
  },
  examples: [
    { does: 'Yesterday’s attack', line: 'barewire filter test attack.pcap' },
    { does: 'One packet', line: 'barewire filter test --source 192.0.2.1 -p tcp --port 22 --syn' },
  ],
  async run({ args, options }, { output, signal }) {
    const { parseProtocol } = await import('../../policy/parse.ts');
    const { describePacket, LinkType, readCapture } = await import('../../packet/index.ts');
    const { describedFrame } = await import('../../filter/described-frame.ts');
    const { readConfigFile } = await import('../../filter/config-file.ts');
    if ((args.capture === undefined) === (options.source === undefined)) {
      throw new ArgumentError('give a capture file, or describe a packet with --source and others');
    }
    const config = options.config === undefined ? undefined : (await readConfigFile(options.config)).config;
    const { Filter } = await import('../../filter/filter.ts');
    const filter = config === undefined ? await filterOf(options) : new Filter({ interface: 'none' });
    using trial = await filter.trial(config);
    const totals = { pass: 0, drop: 0 };
    const one = (number: number, frame: Uint8Array): void => {
      const { verdict, outcome, rule } = trial.run(frame);
      totals[verdict]++;
      if (options.json)
        output.json({
          packet: number,
          verdict,
          outcome,
          rule,
          length: frame.length,
          bytes: Buffer.from(frame).toString('hex'),
        });
      else output.write(`${number} ${verdict}: ${rule ?? outcome}; ${describePacket(frame)}\n`);
    };
    if (args.capture === undefined) {
      const { destination, port, sourcePort, syn, vlan } = options;
      const protocol = options.protocol === undefined ? (syn ? 6 : 17) : parseProtocol(options.protocol);
      one(
        1,
        describedFrame({
          source: options.source!,
          destination,
          protocol,
          port,
          sourcePort,
          syn,
          vlans: vlan,
        }),
      );
    } else {
      const { createReadStream } = await import('node:fs');
      let number = 0;
      for await (const packet of readCapture(createReadStream(args.capture))) {
        if (signal.aborted) break;
        number++;
        if (packet.interface.linkType !== LinkType.ethernet)
          throw new ArgumentError(`packet ${number} of ${args.capture} has no Ethernet header`);
        if (packet.bytes.length >= 14) one(number, packet.bytes);
      }
    }
    if (!options.json) output.note(`${totals.pass} passed, ${totals.drop} dropped`);
  },
});

export const metrics: Command = command({
  name: 'metrics',
  summary: 'Print metrics of all filters for Prometheus, or serve them over HTTP',
  options: {
    listen: {
      kind: text('ADDRESS:PORT'),
      summary: 'Serve them there until stopped, as in 127.0.0.1:9417 or :9417',
    },
  },
  examples: [{ does: 'For a scraper on this machine', line: 'barewire filter metrics --listen :9417' }],
  async run({ options }, { output, signal }) {
    const { filterMetrics } = await import('../../filter/metrics.ts');
    const { Filter } = await import('../../filter/filter.ts');
    const { placesKept } = await import('../../filter/place.ts');
    const registry = await filterMetrics(() =>
      placesKept('filter').map((place) => new Filter({ interface: place.interface, netns: place.netns })),
    );
    if (options.listen === undefined) {
      output.write(await registry.metrics());
      return;
    }
    const match = /^(?:(.*):)?(\d{1,5})$/.exec(options.listen);
    const port = Number(match?.[2] ?? -1);
    if (match === null || port > 65_535) {
      throw new ArgumentError(`'${options.listen}' is not an address and a port`, {
        hint: 'Write 127.0.0.1:9417 or :9417.',
      });
    }
    // Loopback unless another address is named: what is dropped is nobody else's business.
    const host =
      match[1] === undefined || match[1] === '' ? '127.0.0.1' : match[1].replace(/^\[(.*)\]$/, '$1');
    const { serveMetrics } = await import('../../filter/serve-metrics.ts');
    await serveMetrics(registry, {
      host,
      port,
      signal,
      onListening: (at) => output.note(`Metrics at ${at}`),
    });
  },
});

export const restore: Command = command({
  name: 'restore',
  summary: 'Attach every saved filter that is not attached, as at boot',
  options: { json },
  examples: [{ does: 'What the systemd unit runs', line: 'barewire filter restore' }],
  async run({ options }, { output }) {
    const { restoreAll } = await import('../../filter/restore.ts');
    let failed = 0;
    for await (const { interface: name, entries, error } of restoreAll()) {
      if (error !== undefined) failed++;
      if (options.json) output.json({ interface: name, entries, error: error?.message });
      else if (error === undefined) output.write(`${name}: ${entries} entries\n`);
      else output.note(`barewire: ${name}: ${error.message}`);
    }
    return failed === 0 ? 0 : 1;
  },
});
