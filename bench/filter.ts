import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Filter, type FilterConfig } from '../src/filter/index.ts';
import { Lab, type LabHost } from '../src/lab/index.ts';
import { type Bench, compare, interleaveAsync, median, type Row, summarize } from './row.ts';

const RUNS = 5;
/** How long one reading takes, in ms. */
const WINDOW = 700;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What rivals drop: as many addresses as xdp-filter's command, which takes one at a time, adds in a moment. */
const FEW = '10.200.0.0/26';
/** For tables of a million: as many sources as meet them in many places. */
const MANY = '10.200.0.0/22';
const TO = '10.77.0.2';

export const bench: Bench = {
  summary:
    'the filter on a veth under a flood of 64-byte frames, beside xdp-filter and nftables with the same rules',
  async *run(): AsyncGenerator<Row> {
    const bed = new FilterBed();
    try {
      await bed.startFlood(FEW);
      yield* bed.rivals();
      yield* bed.flatness('', ['hash-10k', 'hash-1m', 'lpm-10k', 'lpm-1m']);
      bed.stopFlood();
      await bed.startFlood(MANY);
      yield* bed.flatness(' from 1,024 sources', ['hash-1m']);
    } finally {
      bed.stop();
    }
    const loading = new FilterBed();
    try {
      yield* loading.loading();
    } finally {
      loading.stop();
    }
  },
};

class FilterBed {
  readonly #lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
  readonly #right: LabHost = this.#lab.host('right');
  readonly #folder = mkdtempSync(join(tmpdir(), 'bw-bench-'));
  readonly #roots = { pins: '/sys/fs/bpf/barewire-bench', state: this.#folder };
  readonly #filter = new Filter({ interface: 'eth0', netns: this.#right.namespace, roots: this.#roots });
  #flood: ChildProcess | undefined;

  async startFlood(sources: string): Promise<void> {
    // GRO gives the receiving end a NAPI of its own, without which a veth takes no redirected frames.
    this.#right.exec('ethtool', ['-K', 'eth0', 'gro', 'on']);
    this.#flood = this.#lab
      .host('left')
      .spawn(process.execPath, [join(ROOT, 'dist/bench/filter-generator.js'), 'eth0', sources, TO]);
    await once(this.#flood.stdout!, 'data');
  }

  stopFlood(): void {
    this.#flood?.kill('SIGKILL');
    this.#flood = undefined;
  }

  stop(): void {
    this.stopFlood();
    this.#lab.destroy();
    rmSync(this.#roots.pins, { recursive: true, force: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The same 64 addresses on the list of ours, of xdp-filter and of nftables, which drop the same flood. */
  async *rivals(): AsyncGenerator<Row> {
    const list = addresses(64);
    const text = Buffer.from(`${list.join('\n')}\n`);
    const subjects = {
      ours: () =>
        this.#with(
          async () => {
            await this.#filter.attach();
            await this.#filter.import(text);
          },
          () => this.#filter.detach({ forget: true }).then(() => {}),
          () => this.#xdpDrops(),
        ),
      xdpFilter: () =>
        this.#with(
          async () => this.#loadXdpFilter(list),
          async () => void this.#right.exec('xdp-filter', ['unload', 'eth0']),
          () => this.#xdpDrops(),
        ),
      ingress: () =>
        this.#nftables(list, 'table netdev bench', 'type filter hook ingress device "eth0" priority 0;'),
      input: () => this.#nftables(list, 'table ip bench', 'type filter hook input priority 0;'),
    };
    const timed = await interleaveAsync(RUNS, subjects);
    const mode = 'driver';
    yield compare('xdp-filter', 'packets/s dropped', timed.ours, timed.xdpFilter, 'xdp-filter', { mode });
    yield compare('nftables', 'packets/s dropped', timed.ours, timed.ingress, 'nft set, netdev ingress', {
      mode,
    });
    yield compare('nftables input', 'packets/s dropped', timed.ours, timed.input, 'nft set, input hook', {
      mode,
    });
  }

  /** The same drop, by a rule for the port, behind tables of none, 10,000 and a million entries that are all missed. */
  async *flatness(from: string, cases: readonly string[]): AsyncGenerator<Row> {
    const figures: Record<string, number[]> = {};
    for (const [name, config, list] of [
      ['none', {}, undefined],
      ['hash-10k', {}, addresses(10_000, '11.0.0.0')],
      ['hash-1m', { capacity: 2_097_152 }, addresses(1_000_000, '11.0.0.0')],
      ['lpm-10k', {}, prefixes(10_000)],
      ['lpm-1m', {}, prefixes(1_000_000)],
    ] as const) {
      if (name !== 'none' && !cases.includes(name)) continue;
      await this.#filter.attach();
      const drop: FilterConfig = { ...config, deny: [{ protocol: 'udp', ports: 9 }] };
      await this.#filter.apply(drop);
      if (list !== undefined) await this.#filter.import(Buffer.from(`${list.join('\n')}\n`));
      await sleep(WINDOW);
      figures[name] = [];
      for (let run = 0; run < RUNS; run++)
        figures[name].push(1e9 / (await this.#rate(() => this.#xdpDrops())));
      await this.#filter.detach({ forget: true });
    }
    const none = summarize(figures.none ?? []);
    const row = (name: string, of: string): Row =>
      compare(name, 'ns/packet', summarize(figures[of] ?? []), none, 'no entries', { mode: 'driver' });
    for (const name of cases) yield row(`${name.replace('hash', 'flat')}${from}`, name);
  }

  /** A million IPv4 and 200,000 IPv6 prefixes from a file, and one more by the command. */
  async *loading(): AsyncGenerator<Row> {
    const list = [...addresses(500_000, '11.0.0.0'), ...prefixes(500_000), ...prefixes6(200_000)];
    const path = join(this.#folder, 'list.txt');
    writeFileSync(path, `${list.join('\n')}\n`);
    const rates: number[] = [];
    let memory = 0;
    const added: number[] = [];
    for (let run = 0; run < 3; run++) {
      this.#barewire('attach', 'eth0', '--netns', this.#right.namespace);
      const { wall, stdout, peak } = this.#barewire('import', path, '--json');
      rates.push(list.length / wall);
      memory = Math.max(memory, peak);
      if (!stdout.includes(`"added":${list.length}`)) throw new Error(stdout);
      for (let i = 0; i < 10; i++) {
        const before = this.#time(['-e', '0']);
        added.push((this.#barewire('add', `198.18.${run}.${i}`).wall - before) * 1000);
      }
      this.#barewire('detach', '--forget');
    }
    const import_ = summarize(rates);
    yield {
      name: 'import',
      unit: 'entries/s',
      ours: import_.median,
      spread: import_.spread,
      runs: import_.runs,
      more: {
        entries: list.length,
        seconds: Number((list.length / import_.median).toFixed(2)),
        'peak MB': memory,
      },
    };
    const add = summarize(added);
    yield {
      name: 'add',
      unit: 'ms beyond Node’s own start',
      ours: median(added),
      spread: add.spread,
      runs: add.runs,
      more: { entries: list.length },
    };
  }

  async #with(before: () => Promise<void>, after: () => Promise<void>, read: () => number): Promise<number> {
    await before();
    try {
      await sleep(WINDOW / 4);
      return await this.#rate(read);
    } finally {
      await after();
    }
  }

  async #rate(read: () => number): Promise<number> {
    const start = performance.now();
    const first = read();
    await sleep(WINDOW);
    const last = read();
    return ((last - first) * 1000) / (performance.now() - start);
  }

  #xdpDrops(): number {
    const text = this.#right.exec('ethtool', ['-S', 'eth0']);
    return [...text.matchAll(/rx_queue_\d+_xdp_drops: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  }

  #loadXdpFilter(list: readonly string[]): void {
    this.#right.exec('xdp-filter', [
      'load',
      '--mode',
      'native',
      '--policy',
      'allow',
      '--features',
      'ipv4',
      'eth0',
    ]);
    const script = list.map((address) => `xdp-filter ip -m src ${address}`);
    this.#right.exec('sh', ['-c', script.join('\n')], { timeout: 120_000 });
  }

  #nftables(list: readonly string[], table: string, hook: string): Promise<number> {
    const rules = join(this.#folder, 'rules.nft');
    writeFileSync(
      rules,
      `${table} {
  set denied {
    type ipv4_addr
    elements = { ${list.join(', ')} }
  }
  chain drops {
    ${hook}
    ip saddr @denied counter drop
  }
}
`,
    );
    return this.#with(
      async () => void this.#right.exec('nft', ['-f', rules]),
      async () => void this.#right.exec('nft', ['flush', 'ruleset']),
      () =>
        Number(
          /counter packets (\d+)/.exec(
            this.#right.exec('nft', ['list', 'chain', ...table.split(' ').slice(1), 'drops']),
          )?.[1],
        ),
    );
  }

  #barewire(...args: string[]): { wall: number; stdout: string; peak: number } {
    const start = performance.now();
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [
        join(ROOT, args[0] === 'import' ? 'dist/bench/filter-command.js' : 'dist/src/cli/launch.cjs'),
        'filter',
        ...args,
      ],
      {
        encoding: 'utf8',
        env: { ...process.env, BAREWIRE_PINS: this.#roots.pins, BAREWIRE_STATE: this.#roots.state },
      },
    );
    if (status !== 0) throw new Error(stderr);
    const peak = Math.round(Number(/peak (\d+)/.exec(stderr)?.[1] ?? 0) / 1000);
    return { wall: (performance.now() - start) / 1000, stdout, peak };
  }

  #time(args: readonly string[]): number {
    const start = performance.now();
    spawnSync(process.execPath, args);
    return (performance.now() - start) / 1000;
  }
}

/** Different addresses from `first` on, the flood's at the beginning where it is the default. */
function addresses(count: number, first = '10.200.0.0'): string[] {
  const start = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return Array.from({ length: count }, (_, i) => dotted(start + i));
}

/** Prefixes all around the flood's sources, whose neighbours they are, and none of them. */
function prefixes(count: number): string[] {
  const own = 0x0ac8_0000;
  return Array.from({ length: count }, (_, i) => {
    // In turn before and behind, so that the walk for a source goes as deep as the table has it.
    const step = (i >> 1) + 4;
    const at = i % 2 === 0 ? own + step * 256 : own - step * 256 + 768;
    return `${dotted(at >>> 0)}/${i % 4 === 0 ? 28 : 24}`;
  });
}

function prefixes6(count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::/64`,
  );
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}
