import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketCounter } from '../../src/apps/count.ts';
import { Monitor, type MonitorOptions, type MonitorReport } from '../../src/apps/monitor.ts';
import { DropWatch } from '../../src/apps/monitor-drops.ts';
import { parseMonitorFilter } from '../../src/apps/monitor-filter.ts';
import { Recorder } from '../../src/apps/monitor-recorder.ts';
import { talkers } from '../../src/apps/monitor-talkers.ts';
import { BPFFS, OccupiedError } from '../../src/bpf/index.ts';
import { createFilter } from '../../src/filter/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { CaptureReader } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { MAIN, Running } from '../cli/bin.ts';
import { refusalOf } from '../cli/in-process.ts';

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-monitor-'));
const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'], queues: 2 }] });
const left = lab.host('left');
const right = lab.host('right');
const place = { interface: 'eth0', netns: right.namespace };
after(() => {
  lab.destroy();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});
before(() => {
  // Neighbours known for good: no ARP and no neighbour discovery among what is counted.
  for (const [host, other, last] of [
    [left, right, 2],
    [right, left, 1],
  ] as const) {
    host.net.neighbours.replace('eth0', `10.77.0.${last}`, other.net.links.get('eth0').address!);
    host.net.neighbours.replace('eth0', `fd00:77::${last}`, other.net.links.get('eth0').address!);
  }
});

interface Sums {
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
}

/** Both counts at a moment when nothing is on the way: the same before and after. */
async function readBoth(monitor: Monitor): Promise<{ ours: Sums; kernels: Sums }> {
  const ours = (): Sums => {
    const { in: received, out } = monitor.read();
    return {
      rxPackets: received?.total.packets ?? 0n,
      rxBytes: received?.total.bytes ?? 0n,
      txPackets: out?.total.packets ?? 0n,
      txBytes: out?.total.bytes ?? 0n,
    };
  };
  for (;;) {
    const kernels = right.net.links.get('eth0').stats!;
    const first = ours();
    await sleep(50);
    const again = right.net.links.get('eth0').stats!;
    const settled = again.rxPackets === kernels.rxPackets && again.txPackets === kernels.txPackets;
    const { rxPackets, txPackets } = ours();
    if (settled && rxPackets === first.rxPackets && txPackets === first.txPackets) {
      return { ours: first, kernels };
    }
  }
}

const difference = (later: Sums, earlier: Sums): Sums => ({
  rxPackets: later.rxPackets - earlier.rxPackets,
  rxBytes: later.rxBytes - earlier.rxBytes,
  txPackets: later.txPackets - earlier.txPackets,
  txBytes: later.txBytes - earlier.txBytes,
});

async function oneReport(
  monitor: Monitor,
  traffic: () => Promise<unknown> | unknown,
): Promise<MonitorReport> {
  const stop = new AbortController();
  const reports = monitor.reports({ interval: 3_600_000, signal: stop.signal });
  const next = reports.next();
  await traffic();
  // The answer to the last packet may be on its way.
  await sleep(50);
  stop.abort();
  return (await next).value as MonitorReport;
}

describe('the monitor’s sums', () => {
  for (const mode of ['driver', 'generic'] as const) {
    it(`equal the kernel's statistics both ways, from two CPUs at once, in ${mode} mode`, async () => {
      using monitor = Monitor.open({ ...place, mode });
      assert.deepEqual(monitor.incoming, { hook: 'xdp', mode, refusals: [] });
      const start = await readBoth(monitor);
      const floods = [0, 1].flatMap((cpu) => [
        left.flood({ to: '10.77.0.2', packets: 100_000, cpu }),
        right.flood({ to: '10.77.0.1', packets: 100_000, cpu }),
      ]);
      await Promise.all(floods);
      const end = await readBoth(monitor);
      const ours = difference(end.ours, start.ours);
      const kernels = difference(end.kernels, start.kernels);
      assert.equal(ours.rxPackets, kernels.rxPackets);
      assert.equal(ours.txPackets, kernels.txPackets);
      assert.ok(ours.rxPackets > 50_000n && ours.txPackets > 50_000n);
      // In driver mode veth counts a frame's bytes after it has taken the Ethernet header off.
      const header = mode === 'driver' ? 14n : 0n;
      assert.equal(ours.rxBytes, kernels.rxBytes + header * ours.rxPackets);
      assert.equal(ours.txBytes, kernels.txBytes);
      const { cpus } = monitor.read().in!;
      assert.ok(cpus[0]!.packets > 0n && cpus[1]!.packets > 0n, 'both CPUs counted');
    });
  }

  it('are of whole frames, also where an offload makes them longer than the wire takes', async () => {
    left.exec('ethtool', ['-K', 'eth0', 'gro', 'on']);
    for (const hook of ['xdp', 'tcx'] as const) {
      using monitor = Monitor.open({ ...place, hook });
      const start = await readBoth(monitor);
      right.spawn('iperf3', ['-s', '-1', '-p', '5201']);
      for (let tries = 0; ; tries++) {
        if (/:5201/.test(right.exec('ss', ['-ltn']))) break;
        assert.ok(tries < 200, 'it listened');
        await sleep(10);
      }
      left.exec('iperf3', ['-c', '10.77.0.2', '-p', '5201', '-n', '20M', '-R']);
      const end = await readBoth(monitor);
      const ours = difference(end.ours, start.ours);
      const kernels = difference(end.kernels, start.kernels);
      assert.deepEqual([ours.txPackets, ours.txBytes], [kernels.txPackets, kernels.txBytes], hook);
      assert.ok(ours.txBytes > 20_000_000n, `${ours.txBytes} bytes by ${hook}`);
    }
  });

  it('equal those of the conversations, which name both ends, both ways', async () => {
    using monitor = Monitor.open(place);
    const report = await oneReport(monitor, () => {
      left.exec('ping', ['-c', '4', '-i', '0.01', '10.77.0.2']);
      left.exec('ping', ['-c', '3', '-i', '0.01', 'fd00:77::2']);
    });
    assert.equal(report.coverage, 1);
    const shown = talkers(report.flows, 'flows', 'packets')
      .filter(({ name }) => !name.includes('f'))
      .slice(0, 1);
    assert.deepEqual(shown, [
      {
        name: 'icmp 10.77.0.2 - 10.77.0.1',
        flows: 1,
        in: { packets: 4, bytes: 4 * 98 },
        out: { packets: 4, bytes: 4 * 98 },
        total: { packets: 8, bytes: 8 * 98 },
      },
    ]);
    const remote = talkers(report.flows, 'remote', 'total').map(({ name }) => name);
    assert.deepEqual(remote.slice(0, 2), ['10.77.0.1', 'fd00:77::1']);
    assert.ok(talkers(report.flows, 'protocols', 'bits').some(({ name }) => name === 'icmpv6'));
    const only = report.flows.filter((flow) =>
      parseMonitorFilter('ip6 not fe80::/10 not ff00::/8').matches(flow),
    );
    assert.deepEqual(
      only.map(({ remote }) => remote),
      ['fd00:77::1'],
    );
  });
});

describe('where the monitor reads', () => {
  it('is behind another owner’s program, which stays, and it says so', async () => {
    using counter = PacketCounter.open(place);
    assert.throws(() => Monitor.open({ ...place, hook: 'xdp' }), OccupiedError);
    using monitor = Monitor.open(place);
    assert.deepEqual([monitor.incoming, monitor.outgoing], [{ hook: 'tcx' }, { hook: 'tcx' }]);
    assert.match(
      monitor.notes[0]!,
      /^eth0 has another XDP program, 'count_frames' \(\d+\): frames that come in/,
    );
    const report = await oneReport(monitor, () => left.exec('ping', ['-c', '4', '-i', '0.01', '10.77.0.2']));
    assert.equal(report.in!.counts.kinds['ipv4-icmp'].packets, 4n);
    assert.equal(report.out!.counts.kinds['ipv4-icmp'].packets, 4n);
    assert.equal(counter.read().kinds['ipv4-icmp'].packets, 4n);
  });

  it('is what was asked for', () => {
    for (const [options, incoming, outgoing] of [
      [{ directions: 'in' }, 'xdp', undefined],
      [{ directions: 'out' }, undefined, 'tcx'],
      [{ hook: 'tcx', directions: 'in' }, 'tcx', undefined],
    ] as const satisfies readonly (readonly [Partial<MonitorOptions>, unknown, unknown])[]) {
      using monitor = Monitor.open({ ...place, ...options });
      assert.deepEqual([monitor.incoming?.hook, monitor.outgoing?.hook], [incoming, outgoing]);
    }
    assert.equal(right.net.links.get('eth0').xdp.length, 0);
  });

  it('is noticed when it is no more', async () => {
    right.net.links.create({ kind: 'veth', name: 'bw0', up: true, peer: { name: 'bw1', up: true } });
    using monitor = Monitor.open({ ...place, interface: 'bw0' });
    const reports = monitor.reports({ interval: 20 });
    await reports.next();
    right.net.links.delete('bw0');
    await assert.rejects(reports.next(), { code: 'BW_DETACHED', message: /^bw0 has gone/ });
  });
});

describe('a recording', () => {
  const read = async (file: string): Promise<{ bytes: Uint8Array; flags: number | undefined }[]> => {
    const packets: { bytes: Uint8Array; flags: number | undefined }[] = [];
    const reader = new CaptureReader();
    for (const packet of reader.push(readFileSync(file))) {
      packets.push({ bytes: packet.bytes, flags: packet.flags });
    }
    return packets;
  };

  it('holds both ways of what the filter lets through, whole, and what the filter is then', async () => {
    const file = join(folder, 'filtered.pcapng');
    const recorder = await Recorder.open({ ...place, file });
    recorder.filter = parseMonitorFilter('icmp');
    left.exec('ping', ['-c', '3', '-i', '0.01', '-s', '1000', '10.77.0.2']);
    left.exec('ping', ['-c', '2', '-i', '0.01', 'fd00:77::2']);
    while (recorder.recorded < 6) await sleep(10);
    recorder.filter = parseMonitorFilter('host fd00:77::1');
    left.exec('ping', ['-c', '2', '-i', '0.01', 'fd00:77::2']);
    while (recorder.recorded < 10) await sleep(10);
    await recorder.close();
    const packets = await read(file);
    assert.equal(packets.length, recorder.recorded);
    assert.deepEqual(
      packets.slice(0, 6).map(({ bytes }) => bytes.length),
      Array(6).fill(1042),
    );
    assert.deepEqual(
      packets.slice(0, 2).map(({ flags }) => flags! & 3),
      [1, 2],
    );
    assert.equal(recorder.failed, undefined);
  });

  it('does not overwrite, and says where it cannot write', async () => {
    const file = join(folder, 'filtered.pcapng');
    await assert.rejects(Recorder.open({ ...place, file }), {
      code: 'BW_FILE',
      message: /is there already$/,
    });
    const nowhere = join(folder, 'no', 'where.pcapng');
    await assert.rejects(Recorder.open({ ...place, file: nowhere }), { code: 'BW_FILE' });
    const unknown = join(folder, 'other.pcapng');
    await assert.rejects(Recorder.open({ interface: 'no0', netns: place.netns, file: unknown }), {
      code: 'BW_NO_INTERFACE',
    });
  });
});

describe('what the filter drops', () => {
  it('is shown beside what passes: by which rule, how many, and who', async () => {
    const roots = { pins: `${BPFFS}/bw-monitor-${process.pid}`, state: join(folder, 'state') };
    process.env.BAREWIRE_PINS = roots.pins;
    process.env.BAREWIRE_STATE = roots.state;
    const filter = await createFilter(place);
    try {
      await filter.deny('10.77.0.1', { reason: 'test' });
      let heard = (): void => {};
      const first = new Promise<void>((resolve) => {
        heard = resolve;
      });
      await using drops = DropWatch.open(place, () => heard());
      using monitor = Monitor.open(place);
      assert.match(monitor.notes[0]!, /^eth0 has another XDP program, '\w+' .* those that it drops/);
      await left.flood({ to: '10.77.0.2', packets: 5 });
      await first;
      assert.match(drops.lines[0]!, /^\d\d:\d\d:\d\d dropped by .*10\.77\.0\.1/);
      assert.ok(drops.drops >= 1);
      const running = new Running(
        right.spawn(process.execPath, [MAIN, 'monitor', 'eth0', '--json', '-i', '50ms']),
      );
      await running.until(({ stdout }) => stdout.includes('\n'), 'it read');
      while (!/"dropped":\{"packets":\d+,"last":\["[^"]*10\.77\.0\.1/.test(running.stdout)) {
        await left.flood({ to: '10.77.0.2', packets: 5 });
        assert.equal(running.child.exitCode, null, running.stderr);
      }
      running.child.kill('SIGTERM');
      await running.ended;
    } finally {
      await filter.detach({ forget: true });
      rmSync(roots.pins, { recursive: true, force: true });
      delete process.env.BAREWIRE_PINS;
      delete process.env.BAREWIRE_STATE;
    }
  });
});

describe('barewire monitor', () => {
  const start = (...args: string[]): Running =>
    new Running(right.spawn(process.execPath, [MAIN, 'monitor', ...args]));

  it('prints an object a reading', async () => {
    const running = start('eth0', '--json', '-i', '50ms', '--view', 'remote', '-f', 'icmp', '--top', '3');
    await running.until(({ stdout }) => stdout.includes('\n'), 'it read');
    left.exec('ping', ['-c', '4', '-i', '0.01', '10.77.0.2']);
    await running.until(({ stdout }) => stdout.includes('"totalPackets":8'), 'it saw');
    running.child.kill('SIGTERM');
    const { stdout, stderr } = await running.ended;
    const last = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as {
      readonly seen: object;
      readonly talkers: readonly Record<string, unknown>[];
    };
    assert.deepEqual(last.seen, {
      in: { hook: 'xdp', mode: 'driver', refusals: [] },
      out: { hook: 'tcx' },
      notes: ['Frames that the card will split on their way out (TSO) count as one'],
    });
    const { name, totalPackets, totalBytes } = last.talkers[0]!;
    assert.deepEqual([name, totalPackets, totalBytes], ['10.77.0.1', 8, 8 * 98]);
    assert.match(stderr, /^Watching eth0: in by XDP in driver mode, out by tcx$/m);
    assert.deepEqual(right.net.links.get('eth0').xdp, []);
  });

  it('prints lines and a table where nobody looks, records, and samples', async () => {
    const file = join(folder, 'run.pcapng');
    const running = start('eth0', '-i', '50ms', '-d', '2s', '-w', file, '--sample', '4');
    await running.until(({ stdout }) => stdout.includes('\n'), 'it read');
    left.exec('ping', ['-c', '4', '-i', '0.01', '10.77.0.2']);
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^\S+Z in \d+ packets, out \d+ packets, \d+ conversations$/m);
    assert.match(stdout, /1 packet in 4 looked up/);
    assert.match(stderr, new RegExp(`^\\d+ packets are in ${file}$`, 'm'));
  });

  it('says in one line what is wrong', async () => {
    const lines: readonly (readonly [string[], RegExp])[] = [
      [['ehh0'], /^there is no interface 'ehh0'; did you mean 'eth0'\?$/i],
      [['eth0', '-f', 'upd'], /^'upd' is no word of a filter; did you mean udp\?$/],
      [['eth0', '-f', 'port 99999'], /^'99999' is no port; ports go from 1 to 65535$/],
      [['eth0', '-f', 'net 10.0.0.1/8'], /^'10\.0\.0\.1\/8' has bits set beyond its prefix length/],
      [['eth0', '-f', 'udp not'], /^the filter ends after 'not'/],
      [['eth0', '-f', 'host'], /^the filter ends after 'host'/],
      [['eth0', '--view', 'flow'], /^--view: 'flow' is not known; did you mean flows\?$/i],
      [['eth0', '--sample', '0'], /^--sample: 0 is out of range/],
      [['eth0', '--flows', '3'], /^--flows: 3 is out of range/],
      [['eth0', '-w', '/proc/no/x.pcapng'], /^\/proc\/no\/x\.pcapng cannot be written/],
    ];
    for (const [args, expected] of lines) {
      const more = ['-n', '1', '-i', '10ms', '--netns', right.namespace];
      assert.match(await refusalOf('monitor', ...args, ...more), expected);
    }
    assert.deepEqual(right.net.links.get('eth0').xdp, []);
  });
});
