/**
 * `npm run demo`: eight PPPoE sessions over one wire, each with an address of its own, and an HTTP request through each
 * that tells which address the server saw; then the proxy with such sessions as its ways out, asked a hundred times by
 * curl. `npm run demo -- --stay` keeps all of it until Ctrl-C. Private network namespaces only; touches no interface of the machine.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { argv, stdout } from 'node:process';
import { text } from 'node:stream/consumers';
import { layOut } from '../src/cli/columns.ts';
import { makeOutput } from '../src/cli/output.ts';
import { BarewireError } from '../src/error.ts';
import { Lab } from '../src/lab/index.ts';
import { AccessConcentrator, LinePool, type PppoeLine } from '../src/lines/index.ts';
import { DemoProxy } from './demo-proxy.ts';

const SESSIONS = 8;
const WEB = '198.51.100.2';
/** Nothing here takes a second; a machine that is busy with other things gets a minute. */
const PATIENCE = 60_000;
const output = makeOutput(stdout, process.stderr, process.env);
const { bold, dim, green, red } = output.paint;
let step = 0;

const columns = [
  { title: 'Line', value: ({ line }: Row) => line.name },
  { title: 'Device', value: ({ line }: Row) => line.device?.name ?? '' },
  { title: 'Its address', value: ({ line }: Row) => line.given?.local ?? '' },
  { title: 'MTU', align: 'right', value: ({ line }: Row) => String(line.given?.mtu ?? '') },
  {
    title: 'The server saw',
    value: ({ seen }: Row) => seen,
    paint: (cell: string) => green(cell),
  },
] as const;

interface Row {
  readonly line: PppoeLine;
  readonly seen: string;
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new BarewireError('BW_DEMO', 'interrupted')));

try {
  await demo(AbortSignal.any([AbortSignal.timeout(PATIENCE), interrupted.signal]));
} catch (error) {
  output.note(red(`The demo stopped: ${(error as Error).message}`));
  if (!(error instanceof BarewireError)) throw error;
  if (error.hint !== undefined) output.note(error.hint);
  process.exitCode = 1;
}

async function demo(signal: AbortSignal): Promise<void> {
  say(
    'A customer, a provider and a web server behind it, each a network namespace, with wires between them.',
  );
  using lab = Lab.create({
    hosts: ['customer', { name: 'provider', forwarding: true }, { name: 'web', gateway: '198.51.100.1' }],
    wires: [
      {
        between: [
          { host: 'customer', addresses: [] },
          { host: 'provider', addresses: [] },
        ],
        mtu: 1508,
        queues: 2,
      },
      {
        between: [
          { host: 'provider', addresses: ['198.51.100.1/24'] },
          { host: 'web', addresses: [`${WEB}/24`] },
        ],
      },
    ],
  });
  const [customer, provider, web] = [lab.host('customer'), lab.host('provider'), lab.host('web')];
  const server = web.run(() => whoami());
  using _ = { [Symbol.dispose]: () => void server.close() };
  await once(server, 'listening', { signal });

  say(
    "The provider's end: a PPPoE concentrator in TypeScript. It asks who is there by CHAP and has a pool of addresses.",
  );
  await using concentrator = await AccessConcentrator.open('eth0', {
    netns: provider.netns,
    name: 'demo',
    pool: '10.64.0.0/16',
    mru: 1500,
    account: (user) => ({ password: `secret of ${user}` }),
  });
  detail(`on ${concentrator.wire.name}, customers behind ${concentrator.device}`);

  say(
    `The customer's end: ${SESSIONS} sessions over AF_XDP on one wire. An XDP program takes PPPoE's frames; all else stays the kernel's.`,
  );
  await using pool = await LinePool.open('eth0', { netns: customer.netns, mac: 'per-session' });
  const { mode, sockets } = pool.wire.interface;
  detail(`granted: ${mode} mode, ${sockets.length} queues`);
  const start = performance.now();
  const lines = Array.from({ length: SESSIONS }, (_, i) => pool.add({ ...accountOf(i + 1), mru: 1500 }));
  await Promise.all(lines.map((line) => line.up({ signal })));
  detail(`${SESSIONS} sessions are open after ${Math.round(performance.now() - start)} ms`);

  say('An HTTP request through each, by an ordinary socket that is bound to its device before it connects:');
  const seen = await Promise.all(lines.map((line) => ask(line, signal)));
  const rows = lines.map((line, i) => ({ line, seen: seen[i]! }));
  output.write('\n');
  for (const row of layOut(columns, rows, output.columns, output.paint)) output.write(`   ${row}\n`);
  output.write('\n');
  if (new Set(seen).size !== SESSIONS || rows.some((row) => row.seen !== row.line.given?.local)) {
    throw new BarewireError('BW_DEMO', 'the server saw other addresses than the sessions have');
  }
  output.write(`${green('✓')} Each request left by its own line, and by no other.\n`);

  say('One of them dials again and has another address:');
  const { before, after } = await lines[0]!.redial({ signal });
  detail(`${before} before, ${after} now; the server sees ${await ask(lines[0]!, signal)}`);

  say('Every session is ended properly; devices, rules and the program go.');
  await pool.close();
  if (concentrator.sessions.size !== 0) throw new BarewireError('BW_DEMO', 'a session was left open');

  say(
    `The proxy: HTTP and SOCKS5 at one port, ${SESSIONS} sessions as its ways out, their packets by the TCP/IP stack in TypeScript:`,
  );
  const accounts = Array.from({ length: SESSIONS }, (_, i) => accountOf(i + 1));
  {
    await using proxy = await DemoProxy.start({ customer, web: WEB, accounts, output, say, detail, signal });
    await proxy.show();
    if (argv.includes('--stay')) await stay();
  }
  if (concentrator.sessions.size !== 0) throw new BarewireError('BW_DEMO', 'a session was left open');
  output.write(`\n${green('✓')} All sessions are ended. Nothing stays behind.\n`);
  output.write(
    `\nOn an interface of yours: ${bold('npx barewire pppoe discover IFACE')} lists who is there, and ${bold('npx barewire pppoe IFACE')}\n` +
      `${bold('--user NAME --password-file FILE --sessions 8')} dials. docs/pppoe.md tells the rest.\n`,
  );
}

function accountOf(number: number): { readonly user: string; readonly password: string } {
  return { user: `customer-${number}`, password: `secret of customer-${number}` };
}

/** Keeps everything as it is, for commands of one's own. */
async function stay(): Promise<void> {
  output.note('All this stays until Ctrl-C: repeat the commands above in another terminal.');
  // A signal alone does not keep the process alive.
  const alive = setInterval(() => undefined, 60_000);
  if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort');
  clearInterval(alive);
}

/** Tells each who asks its address. Listens in the namespace that the thread is in. */
function whoami(): Server {
  const server = createServer((request, response) => {
    response.end(request.socket.remoteAddress?.replace('::ffff:', ''));
  });
  return server.listen(80);
}

async function ask(line: PppoeLine, signal: AbortSignal): Promise<string> {
  const socket = await line.connect({ host: WEB, port: 80, signal });
  socket.write('GET / HTTP/1.0\r\n\r\n');
  return (await text(socket)).split('\r\n\r\n')[1] ?? '';
}

function say(words: string): void {
  output.write(`\n${bold(`${++step}.`)} ${words}\n`);
}

function detail(words: string): void {
  output.write(`   ${dim(words)}\n`);
}
