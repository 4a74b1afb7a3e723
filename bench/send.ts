import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { allowedCpus, readCpus, shareOf } from '../src/apps/bench-cpu.ts';
import { udpPlan } from '../src/apps/send-frames.ts';
import { findPath } from '../src/apps/send-path.ts';
import { attachXdp, load } from '../src/bpf/index.ts';
import { Lab, type LabHost } from '../src/lab/index.ts';
import { sinkSpec } from '../src/programs/sink.ts';
import { type Bench, compare, interleaveAsync, type Row } from './row.ts';

const RUNS = Number(env.BAREWIRE_BENCH_RUNS ?? 7);
const SECONDS = 1;

export const bench: Bench = {
  summary:
    'send on a veth whose far end counts and drops: packets/s that arrive, beside a C program with live frames',
  async *run(): AsyncGenerator<Row> {
    const folder = mkdtempSync(join(tmpdir(), 'barewire-bench-'));
    const lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'] }] });
    try {
      const yardstick = join(folder, 'live-send');
      const source = fileURLToPath(new URL('../../bench/c/live-send.c', import.meta.url));
      execFileSync('cc', ['-O2', '-o', yardstick, source]);
      yield* rows(lab, yardstick);
    } finally {
      lab.destroy();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function* rows(lab: Lab, yardstick: string): AsyncGenerator<Row> {
  const [near, far] = [lab.host('near'), lab.host('far')];
  for (const host of lab.hosts) host.sysctl('net.ipv6.conf.all.disable_ipv6', 1);
  using sink = load(sinkSpec());
  // The frame of the C program is ours as it was built.
  const path = await findPath({
    interface: 'eth0',
    netns: near.netns,
    destination: '10.77.0.2',
    destinationMac: far.net.links.get('eth0').address,
  });
  near.net.neighbours.replace('eth0', '10.77.0.2', far.net.links.get('eth0').address ?? '');
  const plan = udpPlan(path, 9, new Uint8Array(22));
  using _attached = attachXdp(sink.program, { interface: 'eth0', netns: far.netns });
  const arrived = (): number =>
    (sink.maps.frames.get(0) ?? []).reduce((sum, count) => sum + Number(count), 0);
  const ours = fileURLToPath(new URL('./send-ours.js', import.meta.url));
  const frame = Buffer.from(plan.bytes).toString('hex');
  const measure =
    (command: string, ...args: string[]): (() => Promise<number>) =>
    () =>
      rateOf(near, [command, ...args], arrived);
  const figures = await interleaveAsync(RUNS, {
    c: measure(yardstick, 'eth0', String(SECONDS), frame, String(plan.udp)),
    live: measure(execPath, ours, 'eth0', String(SECONDS), 'live', 'udp'),
    dns: measure(execPath, ours, 'eth0', String(SECONDS), 'live', 'dns'),
    xsk: measure(execPath, ours, 'eth0', String(SECONDS), 'xsk', 'udp'),
  });
  const unit = 'M packets/s';
  const against = 'C with live frames';
  yield compare('live engine, UDP, ports in order', unit, figures.live, figures.c, against);
  yield compare('live engine, DNS, random IDs, ports and labels', unit, figures.dns, figures.c, against);
  yield compare('AF_XDP engine, UDP, ports in order', unit, figures.xsk, figures.c, against);
}

/** Packets that arrive in a second, in millions, from when the sender says that it is ready. */
async function rateOf(near: LabHost, command: readonly string[], arrived: () => number): Promise<number> {
  const cpu = String(allowedCpus()[0] ?? 0);
  const child = near.spawn('taskset', ['-c', cpu, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = exitOf(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const before = { at: performance.now(), count: arrived(), cpus: readCpus() };
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000 - 50));
  const after = { at: performance.now(), count: arrived(), cpus: readCpus() };
  await end;
  const share = shareOf(before.cpus.get(Number(cpu)), after.cpus.get(Number(cpu)));
  if (share.busy < 0.5) throw new Error(`the sender had ${Math.round(100 * share.busy)} % of its CPU`);
  return ((after.count - before.count) * 1000) / (after.at - before.at) / 1e6;
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a sender ended with ${code}`));
    });
  });
}
