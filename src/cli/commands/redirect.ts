import type { Redirector, RedirectorOptions } from '../../apps/redirect.ts';
import type { PortRedirect } from '../../apps/redirect-events.ts';
import type { RuleStatus } from '../../apps/redirect-table.ts';
import { BarewireError } from '../../error.ts';
import { type Column, layOut } from '../columns.ts';
import type { Context } from '../context.ts';
import { duration, integer, interfaceName, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { bytes, grouped } from '../quantity.ts';
import { json, mode, netns } from '../standard-options.ts';
import { type Command, type CommandGroup, command, group } from '../table.ts';

const where = { name: 'interface', kind: interfaceName(), summary: 'The interface' } as const;
const here = { ...netns, summary: 'The network namespace of the interface' } as const;
const rules = {
  name: 'rule',
  kind: {
    ...text('RULE'),
    accepts: 'PROTOCOL FROM TO, as in udp 7999 7998',
    completion: words('tcp', 'udp'),
  },
  summary: 'tcp or udp, the port that clients ask for, the port where somebody listens',
  rest: true,
} as const;
const replies = {
  kind: 'flag',
  short: 'r',
  summary: 'Send replies from the port that the client asked for (Linux 6.6)',
} as const;
const flows = {
  kind: integer({ min: 16, max: 16_777_216 }),
  default: '65536',
  summary: 'Clients whose replies are remembered; the least recently seen go first',
} as const;
const replace = { kind: 'flag', summary: "Evict another owner's program from the interface" } as const;
const limits = {
  count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many packets' },
  duration: { kind: duration({ min: '10ms' }), short: 'd', summary: 'End after so long' },
} as const;
const trace = {
  kind: 'flag',
  summary: "Show the kernel's trace pipe as well, for programs that write to it",
} as const;

const run: Command = command({
  name: 'run',
  summary: 'Redirect ports for as long as the command runs, and show each packet',
  description: [
    'The word run may be left out. Nothing stays when the command ends, however it ends.',
    'Fragments are left alone: only the first one has ports.',
  ],
  positionals: [where, rules],
  options: { replies, flows, mode, netns: here, replace, ...limits, trace, json },
  examples: [
    { does: 'What comes for UDP port 7999 goes to 7998', line: 'barewire redirect eth0 udp 7999 7998' },
    {
      does: 'Two services, answered from the ports that were asked',
      line: 'barewire redirect eth0 udp 53 5353 tcp 53 5353 --replies',
    },
  ],
  async run({ args, options }, context) {
    const { output } = context;
    const [{ Redirector }, { parseRules }] = await Promise.all([
      import('../../apps/redirect.ts'),
      import('../../apps/redirect-rule.ts'),
    ]);
    const { mode, netns, replace, replies, flows } = options;
    const asked: RedirectorOptions = { interface: args.interface, mode, netns, replace, replies, flows };
    using redirector = Redirector.open({ ...asked, rules: parseRules(args.rule) });
    output.note(greeting(redirector));
    await printEvents(redirector, options, context);
    if (!options.json) output.write(`${ruleTable(redirector.list(), output).join('\n')}\n`);
  },
});

const add: Command = command({
  name: 'add',
  summary: 'Redirect ports for good: the rules stay when the command ends',
  description: [
    'Program, rules and counters are pinned on the BPF file system, and the rules saved for restore after a reboot; add joins rules that are there, remove and detach take them away. All rules of one call are added, or none.',
  ],
  positionals: [where, rules],
  options: { replies, flows, mode, netns: here, replace, json },
  examples: [
    { does: 'From now on', line: 'barewire redirect add eth0 udp 7999 7998' },
    { does: 'A second rule, with replies for all', line: 'barewire redirect add eth0 tcp 80 8080 --replies' },
  ],
  async run({ args, options }, { output }) {
    const [{ Redirector }, { parseRules }] = await Promise.all([
      import('../../apps/redirect.ts'),
      import('../../apps/redirect-rule.ts'),
    ]);
    const { mode, netns, replace, replies, flows } = options;
    const asked: RedirectorOptions = { interface: args.interface, mode, netns, replace, replies, flows };
    using redirector = Redirector.keep({ ...asked, rules: parseRules(args.rule) });
    if (options.json) output.json({ ...described(redirector), rules: redirector.list() });
    else output.note(greeting(redirector));
  },
});

const remove: Command = command({
  name: 'remove',
  summary: 'Remove rules that were added; the program stays',
  positionals: [
    where,
    {
      name: 'rule',
      kind: { ...text('RULE'), accepts: 'PROTOCOL FROM, as in udp 7999', completion: words('tcp', 'udp') },
      summary: 'tcp or udp, and the port that clients ask for',
      rest: true,
    },
  ],
  options: { netns: here, json },
  examples: [{ does: 'Take one away', line: 'barewire redirect remove eth0 udp 7999' }],
  async run({ args, options }, { output }) {
    const [{ Redirector }, { describeRule, parseAsked }] = await Promise.all([
      import('../../apps/redirect.ts'),
      import('../../apps/redirect-rule.ts'),
    ]);
    const asked = parseAsked(args.rule);
    using redirector = Redirector.openKept({ interface: args.interface, netns: options.netns });
    const present = redirector.list();
    for (const { protocol, from } of asked) {
      if (present.some((rule) => rule.protocol === protocol && rule.from === from)) continue;
      throw new BarewireError('BW_NOT_FOUND', `${args.interface} has no rule for ${protocol} ${from}`, {
        hint:
          present.length === 0
            ? 'It has none at all.'
            : `There are: ${present.map(describeRule).join(', ')}.`,
      });
    }
    for (const rule of asked) redirector.delete(rule);
    if (options.json) output.json({ ...described(redirector), rules: redirector.list() });
    else output.note(`${plural(redirector.list().length, 'rule')} left on ${args.interface}`);
  },
});

const list: Command = command({
  name: 'list',
  summary: 'Show the rules that were added, with their counters',
  positionals: [{ ...where, summary: 'The interface (default: all that have rules)', optional: true }],
  options: { netns: here, json },
  examples: [{ does: 'All of them', line: 'barewire redirect list' }],
  async run({ args, options }, { output }) {
    const { Redirector } = await import('../../apps/redirect.ts');
    const { netns } = options;
    const all = args.interface === undefined && netns === undefined;
    const kept = Redirector.kept().filter((place) => all || place.netns === netns);
    const places = args.interface === undefined ? kept : [{ interface: args.interface, netns, pinned: true }];
    if (places.length === 0 && !options.json) output.note('No ports are redirected for good');
    for (const place of places) {
      if (!place.pinned) {
        output.note(`${whereIs(place)}: rules are saved from before, and wait for redirect restore`);
        continue;
      }
      using redirector = Redirector.openKept(place);
      const rules = redirector.list();
      if (options.json) output.json({ ...described(redirector), netns: place.netns, rules });
      else output.write(`${greeting(redirector)}\n${ruleTable(rules, output).join('\n')}\n`);
    }
  },
});

const restore: Command = command({
  name: 'restore',
  summary: 'Attach the saved rules again, as after a reboot',
  description: [
    'What add made is saved under /var/lib/barewire. Without an interface, all that was saved is attached; an interface that is not there yet is an error, and the others are attached all the same.',
  ],
  positionals: [{ ...where, summary: 'The interface (default: all that have saved rules)', optional: true }],
  options: { netns: here },
  examples: [{ does: 'At boot', line: 'barewire redirect restore' }],
  async run({ args, options }, { output }) {
    const { Redirector } = await import('../../apps/redirect.ts');
    const { netns } = options;
    const places = args.interface === undefined ? Redirector.kept() : [{ interface: args.interface, netns }];
    let failed: unknown;
    for (const place of places) {
      try {
        using redirector = Redirector.restore(place);
        output.note(greeting(redirector));
      } catch (error) {
        if (!(error instanceof BarewireError)) throw error;
        if (failed !== undefined) output.note(`${whereIs(place)}: ${error.message}`);
        failed ??= error;
      }
    }
    if (failed !== undefined) throw failed;
  },
});

const watch: Command = command({
  name: 'watch',
  summary: 'Show each packet that the added rules redirect',
  description: ['One at a time can watch; the rules go on when it ends.'],
  positionals: [where],
  options: { netns: here, ...limits, trace, json },
  examples: [{ does: 'For a minute', line: 'barewire redirect watch eth0 -d 1m' }],
  async run({ args, options }, context) {
    const { Redirector } = await import('../../apps/redirect.ts');
    using redirector = Redirector.openKept({ interface: args.interface, netns: options.netns });
    context.output.note(greeting(redirector));
    await printEvents(redirector, options, context);
  },
});

const detach: Command = command({
  name: 'detach',
  summary: 'Take program, rules and counters off an interface',
  positionals: [where],
  options: { netns: here },
  examples: [{ does: 'As if nothing had been', line: 'barewire redirect detach eth0' }],
  async run({ args, options }, { output }) {
    const { Redirector } = await import('../../apps/redirect.ts');
    const place = { interface: args.interface, netns: options.netns };
    // Says what is wrong with the name, where nothing was there.
    if (!Redirector.remove(place)) Redirector.openKept(place).close();
    output.note(`Ports of ${args.interface} are no longer redirected`);
  },
});

export const redirect: CommandGroup = group({
  name: 'redirect',
  summary: 'Send TCP and UDP for one port to another',
  description: [
    'An XDP program changes the port before the host looks at the packet: IPv4 with options, IPv6 with extension headers, behind up to two VLAN tags; checksums are kept right, also those that hardware has still to finish. Fragments are left alone.',
    'barewire redirect INTERFACE RULE… is short for redirect run, which lasts as long as the command; add makes rules that stay.',
  ],
  usual: 'run',
  commands: [run, add, remove, list, watch, restore, detach],
});

function words(...list: readonly string[]): { readonly from: 'words'; readonly words: readonly string[] } {
  return { from: 'words', words: list };
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function whereIs({
  interface: name,
  netns,
}: {
  readonly interface: string;
  readonly netns?: string | undefined;
}): string {
  return netns === undefined ? name : `${name} in ${netns}`;
}

function described({ interface: { name }, mode, replies }: Redirector): object {
  return { interface: name, mode, replies };
}

/** Where, in which mode, and why in no better one. */
function greeting(redirector: Redirector): string {
  const { interface: place, mode, refusals, replies } = redirector;
  const refused = refusals.map(({ mode, reason, remedy }) => {
    return `; ${mode} mode was refused: ${reason}${remedy === undefined ? '' : ` (${remedy})`}`;
  });
  const back = replies ? ', replies included' : '';
  const count = plural(redirector.list().length, 'rule');
  return `Redirecting on ${place.name} by ${count} in ${mode} mode${back}${refused.join('')}`;
}

interface EventOptions {
  readonly count: number | undefined;
  readonly duration: number | undefined;
  readonly trace: boolean;
  readonly json: boolean;
}

async function printEvents(
  redirector: Redirector,
  { count = Number.POSITIVE_INFINITY, duration, trace, json }: EventOptions,
  { output, signal }: Context,
): Promise<void> {
  const stop = new AbortController();
  const ended = AbortSignal.any([
    signal,
    stop.signal,
    ...(duration === undefined ? [] : [AbortSignal.timeout(duration)]),
  ]);
  const tracing = trace ? printTrace(ended, json, output) : Promise.resolve();
  try {
    let seen = 0;
    for await (const event of redirector.events({ signal: ended })) {
      if (json) output.json(event);
      else output.write(`${eventLine(event)}\n`);
      if (++seen >= count) break;
    }
  } finally {
    stop.abort();
    await tracing;
  }
}

async function printTrace(signal: AbortSignal, json: boolean, output: Output): Promise<void> {
  const { traceLines } = await import('../../apps/trace.ts');
  for await (const line of traceLines({ signal })) {
    if (json) output.json({ trace: line });
    else output.write(`trace: ${line.text}\n`);
  }
}

function eventLine({
  time,
  protocol,
  source,
  sourcePort,
  destination,
  from,
  to,
  length,
}: PortRedirect): string {
  const at = time.toISOString().slice(11, 23);
  const client = source.includes(':') ? `[${source}]:${sourcePort}` : `${source}:${sourcePort}`;
  const asked = destination.includes(':') ? `[${destination}]:${from}` : `${destination}:${from}`;
  return `${at} ${protocol} ${client} -> ${asked} to ${to}, ${length} bytes`;
}

const COLUMNS: readonly Column<RuleStatus>[] = [
  { title: 'Protocol', value: (rule) => rule.protocol },
  { title: 'Port', align: 'right', value: (rule) => String(rule.from) },
  { title: 'To', align: 'right', value: (rule) => String(rule.to) },
  { title: 'Packets', align: 'right', least: 10, value: (rule) => grouped(rule.packets) },
  { title: 'Bytes', align: 'right', drop: 2, least: 7, value: (rule) => bytes(rule.bytes) },
  { title: 'Replies', align: 'right', drop: 1, value: (rule) => grouped(rule.replies) },
  { title: 'Last', drop: 3, value: (rule) => rule.last?.toISOString().slice(0, 19) ?? 'never' },
];

function ruleTable(rules: readonly RuleStatus[], output: Output): string[] {
  return layOut(COLUMNS, rules, output.columns, output.paint);
}
