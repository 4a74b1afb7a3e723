/**
 * `npm run demo`: real packets between two hosts of a private network, counted in the driver, held against the kernel's
 * own figures. Touches no interface of the machine.
 */
import { stdout } from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { PacketCounter } from '../src/apps/count.ts';
import { countTable } from '../src/cli/commands/count.ts';
import { liveBlock } from '../src/cli/live.ts';
import { makeOutput } from '../src/cli/output.ts';
import { grouped } from '../src/cli/quantity.ts';
import { BarewireError } from '../src/error.ts';
import { Lab, type LabHost } from '../src/lab/index.ts';

const SECONDS = 6;
const output = makeOutput(stdout, process.stderr, process.env);
const { bold, dim, green, red } = output.paint;
let step = 0;

const SERVER = `
require('node:http').createServer((request, response) => response.end('hello from bob, ' + request.socket.remoteAddress))
  .listen(80, '10.77.0.2', () => console.log('up'));`;

const CLIENT = `
const end = Date.now() + ${(SECONDS - 1) * 1000};
(async () => {
  let answered = 0;
  while (Date.now() < end) {
    const response = await fetch('http://10.77.0.2/');
    if ((await response.text()).startsWith('hello from bob')) answered++;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  console.log(answered);
  process.exit(0);
})();`;

try {
  await demo();
} catch (error) {
  if (!(error instanceof BarewireError)) throw error;
  output.note(red(`The demo stopped: ${error.message}`));
  if (error.hint !== undefined) output.note(error.hint);
  process.exitCode = 1;
}

async function demo(): Promise<void> {
  say(
    'Two hosts, alice and bob, each a network namespace of its own, with a wire between them (a veth pair).',
  );
  using lab = Lab.create({
    hosts: ['alice', 'bob'],
    wires: [{ between: ['alice', 'bob'], queues: 2 }],
  });
  const [alice, bob] = [lab.host('alice'), lab.host('bob')];
  detail(`ip netns exec ${bob.namespace} ip address      shows bob's side while this runs`);

  say(
    "An XDP program on bob's eth0 counts every frame before the kernel's network stack sees it, and lets it pass.",
  );
  using counter = PacketCounter.open({ interface: 'eth0', netns: bob.namespace, mode: 'driver' });
  detail(`granted: ${counter.mode} mode`);

  say(`Alice sends for ${SECONDS} s, by ordinary sockets: UDP from both CPUs, HTTP requests, pings.`);
  const start = await settle(counter, bob);
  const traffic = startTraffic(alice, bob);
  const block = liveBlock(output);
  for await (const report of counter.reports({ interval: 1000, count: SECONDS })) {
    const rows = countTable(report, output);
    if (output.terminal) block.draw(['', ...rows]);
    else if (report.elapsed > (SECONDS - 0.5) * 1000) output.write(`\n${rows.join('\n')}\n`);
  }
  const requests = await traffic;
  output.write('\n');
  detail(`${requests} HTTP requests were answered meanwhile`);

  say("Now the counter against the kernel's own statistics of the interface, over everything that was sent:");
  const end = await settle(counter, bob);
  const counted = end.counted - start.counted;
  const received = end.received - start.received;
  detail(`XDP counter     ${grouped(counted).padStart(12)} frames`);
  detail(`kernel          ${grouped(received).padStart(12)} frames`);
  if (counted !== received)
    throw new BarewireError('BW_DEMO', `the counts differ by ${counted - received} frames`);
  if (counted < 1000n) throw new BarewireError('BW_DEMO', `only ${counted} frames arrived`);
  output.write(`${green('✓')} Equal: no frame was missed, none counted twice.\n`);

  say('The program goes with its owner, the network with the lab. Nothing stays behind.');
  output.write(
    `\nTry it on an interface of yours: ${bold('npx barewire count IFACE')}, Ctrl-C ends it. Or play in a lab of\n`,
  );
  output.write(`your own: ${bold('npx barewire lab up play')}\n`);
}

function say(text: string): void {
  output.write(`\n${bold(`${++step}.`)} ${text}\n`);
}

function detail(text: string): void {
  output.write(`   ${dim(text)}\n`);
}

/** Both counts at a moment when nothing is on the way. */
async function settle(counter: PacketCounter, host: LabHost): Promise<{ counted: bigint; received: bigint }> {
  for (let tries = 0; tries < 100; tries++) {
    const counted = counter.read().total.packets;
    const received = host.net.links.get('eth0').stats?.rxPackets;
    await setTimeout(50);
    if (received === undefined) continue;
    if (
      received === host.net.links.get('eth0').stats?.rxPackets &&
      counted === counter.read().total.packets
    ) {
      return { counted, received };
    }
  }
  throw new BarewireError('BW_DEMO', 'the wire does not come to rest');
}

/** Ends by itself after the demo's seconds; how many HTTP requests were answered. */
async function startTraffic(alice: LabHost, bob: LabHost): Promise<number> {
  const rate = 40_000;
  const senders = [0, 1].map((cpu) =>
    alice.flood({ to: '10.77.0.2', packets: rate * (SECONDS - 1), rate, cpu }),
  );
  const server = bob.spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => server.stdout?.once('data', resolve));
  const client = alice.spawn(process.execPath, ['-e', CLIENT], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pinger = alice.spawn('ping', ['-q', '-i', '0.2', '-c', String((SECONDS - 1) * 5), '10.77.0.2'], {
    stdio: 'ignore',
  });
  pinger.on('error', () => detail('(there is no ping on this machine, so no ICMP)'));
  const answered = await new Promise<string>((resolve) => {
    client.stdout?.once('data', (said: Buffer) => resolve(said.toString()));
  });
  await Promise.all(senders);
  server.kill();
  return Number(answered);
}
