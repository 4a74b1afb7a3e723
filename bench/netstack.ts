import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { env } from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Lab } from '../src/lab/index.ts';
import type { Weather } from '../src/netstack/index.ts';
import type { Order, Outcome } from './netstack-client.ts';
import { measureMemory } from './netstack-memory.ts';
import { type Bench, compare, median, type Row, summarize } from './row.ts';

const UNIT = 65536;
/** 256 MB in 64 KiB units, for what is not slowed down. */
const BULK = 3906;
const RUNS = Number(env.BAREWIRE_BENCH_RUNS ?? 5);
const AGAINST = 'kernel sockets over TUN (CUBIC)';

const RUN_CLIENT = fileURLToPath(new URL(`netstack-client${import.meta.url.slice(-3)}`, import.meta.url));
const RUN_SERVER = fileURLToPath(new URL(`netstack-server${import.meta.url.slice(-3)}`, import.meta.url));

/** Namespaces of the kernel's server and of the kernel's client. */
interface Bed {
  readonly server: string;
  readonly client: string;
}

export const bench: Bench = {
  summary: 'the TCP/IP stack beside kernel sockets over the same TUN device',
  async *run() {
    using lab = Lab.create({ hosts: ['server', 'client'], wires: [] });
    for (const host of lab.hosts) {
      // Ten thousand connections at once are more than the kernel keeps in its queues by default.
      for (const name of ['net.core.somaxconn', 'net.ipv4.tcp_max_syn_backlog']) host.sysctl(name, 16384);
    }
    const server = lab
      .host('server')
      .spawn(process.execPath, [RUN_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout!, 'data');
    yield* rows({ server: lab.host('server').namespace, client: lab.host('client').namespace });
  },
};

async function* rows(bed: Bed): AsyncGenerator<Row> {
  for (const what of ['download', 'upload'] as const) yield await transfer(bed, what, what, BULK);
  for (const what of ['download', 'upload'] as const) {
    for (const [loss, units] of [
      [0, 2000],
      [0.001, 200],
      [0.01, 60],
    ] as const) {
      const weather = { delay: 10, loss };
      yield await transfer(bed, `${what}, 20 ms, ${loss * 100} % loss`, what, units, weather);
    }
  }
  yield await rate(bed, 'connections', 'connections/s', 'connections', 5000);
  yield await rate(bed, 'keep-alive requests', 'requests/s', 'requests', 10_000);
  yield await concurrent(bed);
  const { connection, session } = await measureMemory();
  yield {
    name: 'idle connection',
    unit: 'bytes',
    ours: connection,
    spread: [connection, connection],
    runs: 1,
  };
  const all = (session * 1000) / 1e6;
  yield { name: '1,000 sessions', unit: 'MB', ours: all, spread: [all, all], runs: 1 };
}

/** MB/s, and CPU seconds of 256 MB. */
async function transfer(
  bed: Bed,
  name: string,
  what: 'download' | 'upload',
  count: number,
  weather?: Weather,
): Promise<Row> {
  const [ours, theirs] = await both(bed, { what, count, ...(weather === undefined ? {} : { weather }) });
  const bytes = count * UNIT;
  const speed = ({ seconds }: Outcome): number => bytes / 1e6 / seconds;
  const cost = ({ cpu }: Outcome): number => (cpu * 256e6) / bytes;
  const ourCost = median(ours.map(cost));
  const theirCost = median(theirs.map(cost));
  return compare(name, 'MB/s', summarize(ours.map(speed)), summarize(theirs.map(speed)), AGAINST, {
    more: {
      'CPU s per 256 MB': ourCost,
      'of the kernel': theirCost,
      'CPU ratio': ourCost / theirCost,
    },
  });
}

async function rate(
  bed: Bed,
  name: string,
  unit: string,
  what: 'connections' | 'requests',
  count: number,
): Promise<Row> {
  const [ours, theirs] = await both(bed, { what, count });
  const speed = ({ seconds }: Outcome): number => count / seconds;
  const cost = (all: readonly Outcome[]): number => median(all.map(({ cpu }) => (cpu / count) * 1e6));
  return compare(name, unit, summarize(ours.map(speed)), summarize(theirs.map(speed)), AGAINST, {
    more: { 'CPU us each': cost(ours), 'of the kernel': cost(theirs) },
  });
}

async function concurrent(bed: Bed): Promise<Row> {
  const { answered = 0, seconds } = await measureOne(bed, {
    through: 'stack',
    what: 'concurrent',
    count: 10_000,
  });
  return {
    name: '10,000 requests at once',
    unit: 'answered',
    ours: answered,
    spread: [answered, answered],
    runs: 1,
    more: { seconds },
  };
}

/** Both sides in turn, so that a machine whose speed drifts is fair to both. */
async function both(
  bed: Bed,
  order: Omit<Order, 'through' | 'server' | 'client'>,
): Promise<[Outcome[], Outcome[]]> {
  const ours: Outcome[] = [];
  const theirs: Outcome[] = [];
  for (let run = 0; run < RUNS; run++) {
    ours.push(await measureOne(bed, { ...order, through: 'stack' }));
    theirs.push(await measureOne(bed, { ...order, through: 'kernel' }));
  }
  return [ours, theirs];
}

async function measureOne(bed: Bed, order: Omit<Order, 'server' | 'client'>): Promise<Outcome> {
  const child = spawn(process.execPath, [RUN_CLIENT, JSON.stringify({ ...order, ...bed })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`the client ended with ${code}`);
  return JSON.parse(said) as Outcome;
}
