import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Lab } from '../src/lab/index.ts';
import { type LineOptions, LinePool, type PppoeLine } from '../src/lines/index.ts';
import { RealConcentrator } from '../test/interop/real-concentrator.ts';
import { coreRows } from './pppoe-core.ts';
import { type Bench, compare, type Row, summarize } from './row.ts';

const SESSIONS = 1000;
const SERVER = fileURLToPath(new URL('pppoe-server.js', import.meta.url));
const WEB_ADDRESS = '198.51.100.2';
const DOWNLOAD = 64 * 1024 * 1024;

const WEB = `
  const chunk = Buffer.alloc(65536);
  require('node:net').createServer((socket) => {
    socket.write('HTTP/1.0 200 OK\\r\\n\\r\\n');
    let left = ${DOWNLOAD / 65_536};
    const write = () => {
      while (left-- > 0) if (!socket.write(chunk)) return void socket.once('drain', write);
      socket.end();
    };
    socket.on('error', () => {});
    write();
  }).listen(80, '0.0.0.0', () => console.log('up'));`;

export const bench: Bench = {
  summary: 'PPPoE sessions over AF_XDP on a veth, against a concentrator of ours in another process',
  async *run(): AsyncGenerator<Row> {
    yield* coreRows();
    const place = await Place.make();
    try {
      yield await sessionsUp(place, 'sessions-up', { device: false, ipv6: false });
      yield await sessionsUp(place, 'sessions-up with devices', { ipv6: false });
      yield* await idle(place);
      yield await throughput(place, 1);
      yield await throughput(place, 8);
    } finally {
      await place.close();
    }
    yield await besideKernel();
  },
};

/**
 * One session to Debian's server, ours beside the standard client with the kernel's PPPoE. Server and standard client each
 * run in a guest whose kernel is a process, as this machine's own has no PPP: that is slow, and most of either figure.
 */
async function besideKernel(): Promise<Row> {
  await using real = await RealConcentrator.start();
  const bytes = 16 * 1024 * 1024;
  const program = WEB.replaceAll(String(DOWNLOAD / 65_536), String(bytes / 65_536));
  const web = real.internet.spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(web.stdout!, 'data');
  const rate = (ms: number): number => (bytes * 8) / 1000 / ms;
  const ours: number[] = [];
  const kernel: number[] = [];
  const script = `read before _ < /proc/uptime; wget -qO /dev/null http://198.51.100.2/; read after _ < /proc/uptime
    echo "took $before $after"\n`;
  for (let run = 0; run < 3; run++) {
    const pool = await LinePool.open('cpe0', { netns: real.client.netns });
    const [line] = await dialAll(pool, 1, { password: 'pass1', ipv6: false });
    const start = performance.now();
    await download(line!, bytes);
    ours.push(rate(performance.now() - start));
    await pool.close();
    const said = await real.runClient(['user user1', 'password pass1'], script);
    const [, before, after] = /took (\S+) (\S+)/.exec(said) ?? [];
    kernel.push(rate((Number(after) - Number(before)) * 1000));
  }
  web.kill();
  await once(web, 'exit');
  const against = "the kernel's PPPoE, in a guest";
  return compare("download from Debian's server", 'Mbit/s', summarize(ours), summarize(kernel), against);
}

/** Customer, provider with its concentrator, and a server behind it. */
class Place {
  readonly lab: Lab;
  readonly #children: readonly ChildProcess[];

  private constructor(lab: Lab, children: readonly ChildProcess[]) {
    this.lab = lab;
    this.#children = children;
  }

  static async make(): Promise<Place> {
    const lab = Lab.create({
      hosts: ['customer', { name: 'isp', forwarding: true }, { name: 'web', gateway: '198.51.100.1' }],
      wires: [
        {
          between: [
            { host: 'customer', addresses: [] },
            { host: 'isp', addresses: [] },
          ],
          mtu: 1508,
        },
        {
          between: [
            { host: 'isp', addresses: ['198.51.100.1/24'] },
            { host: 'web', addresses: [`${WEB_ADDRESS}/24`] },
          ],
        },
      ],
    });
    const isp = lab.host('isp');
    const server = spawn(process.execPath, [SERVER, isp.namespace], { stdio: ['ignore', 'pipe', 'inherit'] });
    const web = lab
      .host('web')
      .spawn(process.execPath, ['-e', WEB], { stdio: ['ignore', 'pipe', 'inherit'] });
    await Promise.all([once(server.stdout!, 'data'), once(web.stdout!, 'data')]);
    return new Place(lab, [server, web]);
  }

  open(): Promise<LinePool> {
    const { netns } = this.lab.host('customer');
    return LinePool.open('eth0', { netns, mac: 'per-session', pacing: { maxInFlight: 256 } });
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill();
    await Promise.all(
      this.#children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined)),
    );
    this.lab.destroy();
  }
}

function dialAll(pool: LinePool, count: number, options: LineOptions): Promise<PppoeLine[]> {
  const lines = Array.from({ length: count }, (_, i) =>
    pool.add({ user: `user${i + 1}`, password: 'bench', ...options }),
  );
  return Promise.all(
    lines.map(async (line) => {
      line.dial();
      if (line.given === undefined) await once(line, 'open');
      return line;
    }),
  );
}

async function sessionsUp(place: Place, name: string, options: LineOptions): Promise<Row> {
  const rates: number[] = [];
  const seconds: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run < 3; run++) {
    await using pool = await place.open();
    const used = process.cpuUsage();
    const start = performance.now();
    await dialAll(pool, SESSIONS, options);
    const elapsed = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(used);
    rates.push(SESSIONS / elapsed);
    seconds.push(elapsed);
    cpu.push((user + system) / 1e6 / elapsed);
  }
  const { median, spread, runs } = summarize(rates);
  const more = { [`seconds for ${SESSIONS}`]: summarize(seconds).median };
  return {
    name,
    unit: 'sessions/s',
    ours: median,
    spread,
    runs,
    cpu: { client: summarize(cpu).median },
    more,
  };
}

/** What sessions cost that do nothing but answer and ask for echoes, every 30 seconds. */
async function* idle(place: Place): AsyncGenerator<Row> {
  await using pool = await place.open();
  await collect();
  const before = process.memoryUsage();
  await dialAll(pool, SESSIONS, { device: false, ipv6: false, echo: { interval: 30_000 } });
  await collect();
  const after = process.memoryUsage();
  const bytes = (after.heapUsed + after.external - before.heapUsed - before.external) / SESSIONS;
  const rss = (after.rss - before.rss) / SESSIONS;
  yield {
    name: 'memory',
    unit: 'bytes/session',
    ours: bytes,
    spread: [bytes, bytes],
    runs: 1,
    more: { 'resident bytes': rss },
  };
  const used = process.cpuUsage();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  const { user, system } = process.cpuUsage(used);
  const share = (user + system) / 10 / (performance.now() - start);
  yield {
    name: `idle, ${SESSIONS} sessions`,
    unit: '% of a core',
    ours: share,
    spread: [share, share],
    runs: 1,
  };
}

async function throughput(place: Place, count: number): Promise<Row> {
  await using pool = await place.open();
  const lines = await dialAll(pool, count, { ipv6: false });
  const rates: number[] = [];
  for (let run = 0; run < 3; run++) {
    const start = performance.now();
    const each = Math.floor(DOWNLOAD / count);
    await Promise.all(lines.map((line) => download(line, each)));
    rates.push((each * count * 8) / 1000 / (performance.now() - start));
  }
  const { median, spread, runs } = summarize(rates);
  const name = count === 1 ? 'download, 1 session' : `download, ${count} sessions`;
  return { name, unit: 'Mbit/s', ours: median, spread, runs };
}

async function download(line: PppoeLine, bytes: number): Promise<void> {
  const socket = await line.connect({ host: WEB_ADDRESS, port: 80 });
  let left = bytes;
  for await (const chunk of socket) {
    left -= (chunk as Buffer).length;
    if (left <= 0) break;
  }
  socket.destroy();
}

async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
