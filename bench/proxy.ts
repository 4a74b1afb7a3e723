import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { Lab, type LabHost } from '../src/lab/index.ts';
import { type Bench, compare, type Measured, type Row, summarize } from './row.ts';

const RUNS = Number(env.BAREWIRE_BENCH_RUNS ?? 5);
const PEER = fileURLToPath(new URL('./proxy-peer.js', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const SERVER = '203.0.113.1';
const PROXY = '10.77.0.2';
const TUNNELS = 5000;

export const bench: Bench = {
  summary:
    'HTTP proxy between three hosts on veth, exits by the kernel: ours, and in the same run one in C (3proxy where it is installed, else tinyproxy)',
  async *run(): AsyncGenerator<Row> {
    const folder = mkdtempSync(join(tmpdir(), 'barewire-bench-'));
    const bed = await Bed.build(folder);
    try {
      yield* rows(bed);
    } finally {
      await bed.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function* rows(bed: Bed): AsyncGenerator<Row> {
  const { theirs } = bed;
  const against = theirs.name;
  for (const [name, word, amount, count] of [
    ['CONNECT, download, 1 connection', 'download', 4e8, 1],
    ['CONNECT, download, 8 connections', 'download', 5e7, 8],
    ['CONNECT, upload, 1 connection', 'upload', 4e8, 1],
  ] as const) {
    const [ours, others] = await bed.both(word, amount, count, 'rate');
    yield compare(name, 'MB/s', ours.figures, others.figures, against, {
      more: {
        'our CPU s/GB': (ours.cpu / (amount * count)) * 1e9,
        'their CPU s/GB': (others.cpu / (amount * count)) * 1e9,
      },
    });
  }
  for (const [name, word, amount, count, unit] of [
    ['plain HTTP, kept alive, 50 clients', 'requests', 10_000, 50, 'requests/s'],
    ['CONNECT, one byte, close, 50 clients', 'connects', 5_000, 50, 'tunnels/s'],
  ] as const) {
    const [ours, others] = await bed.both(word, amount, count, 'rate');
    yield compare(name, unit, ours.figures, others.figures, against, {
      more: {
        'our CPU us': (ours.cpu / amount) * 1e6,
        'their CPU us': (others.cpu / amount) * 1e6,
      },
    });
  }
  for (const point of ['p50', 'p99'] as const) {
    const direct = summarize(await bed.repeat(() => bed.ask('latency', undefined, 5000, 1, point)));
    const [ours, others] = await bed.both('latency', 5000, 1, point);
    const added = (figures: Measured): Measured => ({
      median: figures.median - direct.median,
      spread: [figures.spread[0] - direct.median, figures.spread[1] - direct.median],
      runs: figures.runs,
    });
    yield compare(
      `CONNECT, latency added, ${point}`,
      'us',
      added(ours.figures),
      added(others.figures),
      against,
      {
        more: { 'without a proxy': direct.median },
      },
    );
  }
  yield await standing(bed);
}

/** Many tunnels that stand at the same time. */
async function standing({ ours, theirs, client }: Bed): Promise<Row> {
  const look = async (proxy: Subject): Promise<{ answered: number; kib: number }> => {
    const before = proxy.memory();
    const child = client.spawn(
      execPath,
      [PEER, 'tunnels', PROXY, String(proxy.port), SERVER, String(TUNNELS)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.endsWith('standing\n')) {
        kib = (proxy.memory() - before) / 1024 / TUNNELS;
        child.stdin?.write('.');
      }
    });
    let kib = Number.NaN;
    await once(child, 'close');
    const { answered = 0 } = JSON.parse(said.split('\n')[1] || '{}') as { answered?: number };
    return { answered, kib };
  };
  const [us, them] = [await look(ours), await look(theirs)];
  return {
    name: `${TUNNELS} tunnels at a time, answered`,
    unit: 'tunnels',
    ours: us.answered,
    yardstick: them.answered,
    against: theirs.name,
    ratio: us.answered / them.answered,
    spread: [us.answered, us.answered],
    runs: 1,
    more: { 'our KiB/tunnel': us.kib, 'their KiB/tunnel': them.kib },
  };
}

/** A running proxy. */
class Subject {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;

  constructor(name: string, port: number, child: ChildProcess) {
    this.name = name;
    this.port = port;
    this.child = child;
  }

  /** Seconds of CPU so far, kernel and user: fields 14 and 15 of proc_pid_stat(5), in hundredths. */
  cpu(): number {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Resident, in bytes. */
  memory(): number {
    return (
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))?.[1]) * 1024
    );
  }
}

/** A client, a host with both proxies, a server. */
class Bed {
  readonly lab: Lab;
  readonly client: LabHost;
  readonly #server: ChildProcess;
  readonly ours: Subject;
  readonly theirs: Subject;

  private constructor(lab: Lab, server: ChildProcess, ours: Subject, theirs: Subject) {
    this.lab = lab;
    this.client = lab.host('client');
    this.#server = server;
    this.ours = ours;
    this.theirs = theirs;
  }

  static async build(folder: string): Promise<Bed> {
    const lab = Lab.create({
      hosts: [
        { name: 'client', gateway: PROXY },
        { name: 'proxy', forwarding: true },
        { name: 'server', gateway: '100.64.0.2' },
      ],
      wires: [
        { between: ['client', 'proxy'] },
        {
          between: [
            { host: 'proxy', interface: 'line0', addresses: ['100.64.0.2/24'] },
            { host: 'server', addresses: ['100.64.0.1/24'] },
          ],
        },
      ],
    });
    const [host, far] = [lab.host('proxy'), lab.host('server')];
    far.net.links.set('lo', { up: true });
    // Thousands of short connections leave as many ports behind that wait.
    for (const one of [lab.host('client'), host]) one.sysctl('net.ipv4.ip_local_port_range', '1024 65535');
    far.net.addresses.add('lo', `${SERVER}/32`);
    host.net.routes.add({ destination: 'default', via: '100.64.0.1', link: 'line0' });
    const server = far.spawn(execPath, [PEER, 'serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout!, 'data');
    const ours = await startOurs(host, folder);
    const theirs = await startTheirs(host, folder);
    return new Bed(lab, server, ours, theirs);
  }

  /** One run of a client; its figure. Without a proxy, it asks the server itself. */
  async ask(
    word: string,
    proxy: Subject | undefined,
    amount: number,
    count: number,
    figure: string,
  ): Promise<number> {
    const via = proxy === undefined ? [SERVER, '0'] : [PROXY, String(proxy.port)];
    const child = this.client.spawn(execPath, [PEER, word, ...via, SERVER, String(amount), String(count)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`the client of ${proxy?.name ?? 'nobody'} ended with ${code}`);
    return (JSON.parse(said) as Record<string, number>)[figure] ?? Number.NaN;
  }

  async repeat(run: () => Promise<number>): Promise<number[]> {
    const figures: number[] = [];
    for (let i = 0; i < RUNS; i++) figures.push(await run());
    return figures;
  }

  /** The same by both proxies in turn, after one run of each that does not count; with CPU seconds of one run. */
  async both(
    word: string,
    amount: number,
    count: number,
    figure: string,
  ): Promise<readonly [ours: Cost, theirs: Cost]> {
    const proxies = [this.ours, this.theirs] as const;
    const figures: [number[], number[]] = [[], []];
    const began = [0, 0];
    for (let run = -1; run < RUNS; run++) {
      for (const [i, proxy] of proxies.entries()) {
        if (run === 0) began[i] = proxy.cpu();
        const got = await this.ask(word, proxy, amount, count, figure);
        if (run >= 0) figures[i as 0 | 1].push(got);
      }
    }
    const cost = (i: 0 | 1): Cost => ({
      figures: summarize(figures[i]),
      cpu: (proxies[i].cpu() - (began[i] ?? 0)) / RUNS,
    });
    return [cost(0), cost(1)];
  }

  async close(): Promise<void> {
    for (const child of [this.#server, this.ours.child, this.theirs.child]) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    this.lab.destroy();
  }
}

interface Cost {
  readonly figures: Measured;
  /** In seconds, of one run. */
  readonly cpu: number;
}

async function startOurs(host: LabHost, folder: string): Promise<Subject> {
  const file = join(folder, 'proxy.json');
  const config = {
    listen: `${PROXY}:8080`,
    users: { anybody: { from: ['10.77.0.0/16'] } },
    exits: { line0: { device: 'line0', dns: ['100.64.0.1'] } },
    targets: { allow: [`${SERVER}/32`] },
  };
  writeFileSync(file, JSON.stringify(config));
  const flags = (env.BAREWIRE_BENCH_NODE ?? '').split(' ').filter((word) => word !== '');
  const child = host.spawn(execPath, [...flags, MAIN, 'proxy', 'run', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr!, 'data');
  return new Subject('barewire', 8080, child);
}

/** A proxy in C with the same exit, without a log and without authentication. */
async function startTheirs(host: LabHost, folder: string): Promise<Subject> {
  const file = join(folder, 'theirs.conf');
  const has = (program: string): boolean =>
    ['/usr/bin', '/usr/sbin', '/usr/local/bin'].some((at) => existsSync(join(at, program)));
  const [name, text, args] = has('3proxy')
    ? (['3proxy', `maxconn 6000\nproxy -p8081 -i${PROXY} -e100.64.0.2\n`, [file]] as const)
    : ([
        'tinyproxy',
        `Port 8081\nListen ${PROXY}\nTimeout 600\nMaxClients 6000\nAllow 10.77.0.0/16\nLogLevel Critical\nLogFile "${join(folder, 'log')}"\n`,
        ['-d', '-c', file],
      ] as const);
  if (name === 'tinyproxy' && !has(name)) throw new Error('there is no tinyproxy: run scripts/dev-tools.sh');
  writeFileSync(file, text);
  const child = host.spawn(name, [...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let tries = 0; ; tries++) {
    const listening = execFileSync('ip', ['netns', 'exec', host.namespace, 'cat', '/proc/net/tcp'], {
      encoding: 'utf8',
    });
    if (listening.includes(':1F91 ')) return new Subject(name, 8081, child);
    if (tries === 100) throw new Error(`${name} does not listen`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
