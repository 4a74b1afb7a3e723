import { REWRITES } from '../../apps/reflect-rewrite.ts';
import type { TrafficReport } from '../../apps/traffic.ts';
import type { XskInterface } from '../../xsk/index.ts';
import type { Context } from '../context.ts';
import { interfaceName, oneOf } from '../kinds.ts';
import { matchOf } from '../match-options.ts';
import type { Output } from '../output.ts';
import { bitRate, bytes, grouped, perSecond } from '../quantity.ts';
import { type Command, command } from '../table.ts';
import { takeOptions } from '../take-options.ts';

export const reflect: Command = command({
  name: 'reflect',
  summary: 'Send the packets that an interface receives back, rewritten in place',
  description: [
    'Over AF_XDP, without a copy in user space: the frame that was received is the frame that is sent. broadcast sends it to everybody, swap-mac back to its sender on the link, swap-ip back on the network with ports swapped as well, echo answers ICMP and ICMPv6 echo requests.',
    'What it takes, the host does not get: without options that say which packets are meant, swap-mac, swap-ip and broadcast take all of them, SSH among them. echo takes echo requests only.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: {
    rewrite: {
      kind: oneOf('RULE', REWRITES),
      short: 'w',
      default: 'swap-mac',
      summary: 'What becomes of each frame',
    },
    ...takeOptions,
  },
  examples: [
    { does: 'Answer pings', line: 'barewire reflect eth0 --rewrite echo' },
    {
      does: 'A UDP echo service on port 7',
      line: 'barewire reflect eth0 --rewrite swap-ip --protocol udp --port 7',
    },
  ],
  async run({ args, options }, context) {
    const { output, signal } = context;
    const { Reflector } = await import('../../apps/reflect.ts');
    const { netns, mode, replace, rewrite, queue } = options;
    await using reflector = await Reflector.open({
      interface: args.interface,
      netns,
      mode,
      replace,
      checkFrames: options.checkFrames,
      rewrite,
      match: matchOf(options),
      queues: queue.length > 0 ? queue : undefined,
    });
    introduce(reflector.open, `Reflecting (${rewrite})`, context);
    const { count, duration, interval, driver } = options;
    const reports = reflector.reports({ count, duration, interval, driver, signal });
    await printTraffic(reports, reflector.open, options.json, 'both ways', output);
  },
});

/** What was opened and granted, and a word when the interface goes down or comes back. */
export function introduce(open: XskInterface, doing: string, { output, verbose }: Context): void {
  const { name, mode, copy, sockets, refusals } = open;
  const queues = sockets.length === 1 ? `queue ${sockets[0]?.queue}` : `${sockets.length} queues`;
  output.note(`${doing} on ${name}, ${queues}, in ${mode} mode, ${copy}`);
  for (const { what, reason } of refusals) {
    // Few drivers have it, and the line above says that packets are copied.
    if (verbose || what !== 'zero copy') output.note(`${what} was refused: ${reason}`);
  }
  if (!open.up) output.note(`${name} is down; packets come once it is up`);
  open.on('down', () => output.note(`${name} went down; going on when it is up again`));
  open.on('up', () => output.note(`${name} is up again`));
}

export async function printTraffic(
  reports: AsyncIterable<TrafficReport>,
  { name, mode }: XskInterface,
  asJson: boolean,
  directions: 'received' | 'both ways',
  output: Output,
): Promise<void> {
  let last: TrafficReport | undefined;
  for await (const report of reports) {
    last = report;
    const { elapsed, time, rxPackets, rxPerSecond, rxBitsPerSecond, txPackets, dropped, ...rest } = report;
    if (asJson) {
      output.json({ ...report, elapsed: undefined, elapsedMs: Math.round(elapsed), interface: name, mode });
    } else if (!rest.done) {
      const sent = directions === 'received' ? [] : [`${txPackets} sent`];
      const parts = [`${rxPackets} received`, ...sent, perSecond(rxPerSecond), bitRate(rxBitsPerSecond)];
      output.write(`${time.toISOString()} ${parts.join(', ')}, ${dropped} dropped\n`);
    }
  }
  if (last === undefined || asJson) return;
  const { rxPackets, rxBytes, txPackets, txBytes, txRefused, dropped, kernel } = last;
  const rows = [['Received', `${grouped(rxPackets)} packets, ${bytes(rxBytes)}`]];
  if (directions === 'both ways') rows.push(['Sent', `${grouped(txPackets)} packets, ${bytes(txBytes)}`]);
  if (txRefused > 0) rows.push(['Refused', `${grouped(txRefused)} packets, by the driver`]);
  const why: string[] = [];
  if (kernel.rxRingFull > 0n) why.push(`${kernel.rxRingFull} for the ring was full`);
  if (kernel.rxFillRingEmpty > 0n) why.push(`${kernel.rxFillRingEmpty} for no frame was free`);
  const others = kernel.rxDropped - kernel.rxFillRingEmpty;
  if (others > 0n) why.push(`${others} for other reasons, as being too long`);
  rows.push(['Dropped', `${grouped(dropped)}${why.length === 0 ? '' : `: ${why.join(', ')}`}`]);
  output.write(
    `\n${rows.map(([title, text]) => `${output.paint.bold(title!.padEnd(8))}  ${text}\n`).join('')}`,
  );
}
