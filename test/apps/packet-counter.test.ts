import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type CountReport, PacketCounter } from '../../src/apps/count.ts';
import { rateOf, sumUp, together } from '../../src/apps/counts.ts';
import { OccupiedError } from '../../src/bpf/index.ts';
import { bitRate, bytes, grouped, perSecond } from '../../src/cli/quantity.ts';
import { ArgumentError } from '../../src/error.ts';
import { Lab } from '../../src/lab/index.ts';
import { NoInterfaceError } from '../../src/netlink/index.ts';
import { FRAME_KINDS } from '../../src/programs/counter.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
const right = lab.host('right');
const where = { interface: 'eth0', netns: right.namespace };
after(() => {
  lab.destroy();
  requireNoLeaks(before);
});

async function gather(reports: AsyncIterable<CountReport>): Promise<CountReport[]> {
  const all: CountReport[] = [];
  for await (const report of reports) all.push(report);
  return all;
}

describe('the packet counter', () => {
  it('reports so often, each report going on from the one before', async () => {
    using counter = PacketCounter.open(where);
    lab.host('left').exec('ping', ['-c', '2', '-i', '0.01', '10.77.0.2']);
    const reports = await gather(counter.reports({ interval: 20, count: 3 }));
    assert.equal(reports.length, 3);
    for (const [i, report] of reports.entries()) {
      assert.ok(report.span > 0 && report.elapsed >= report.span);
      assert.ok(report.counts.total.packets >= report.before.total.packets);
      if (i > 0) assert.deepEqual(report.before, reports[i - 1]!.counts);
    }
    assert.equal(counter.read().kinds['ipv4-icmp'].packets, 2n);
    assert.equal(counter.read().kinds['ipv4-icmp'].bytes, 2n * 98n);
  });

  it('ends after its time, or when it is told to, with a last report', async () => {
    using counter = PacketCounter.open(where);
    const timed = await gather(counter.reports({ interval: 3_600_000, duration: 30 }));
    assert.equal(timed.length, 1);
    assert.ok(timed[0]!.elapsed >= 30);
    const told = await gather(counter.reports({ interval: 3_600_000, signal: AbortSignal.timeout(30) }));
    assert.equal(told.length, 1);
    assert.equal((await gather(counter.reports({ signal: AbortSignal.abort() }))).length, 1);
    await assert.rejects(gather(counter.reports({ interval: 0 })), ArgumentError);
  });

  it('detaches when it is closed, once', () => {
    const counter = PacketCounter.open({ ...where, mode: 'generic' });
    assert.deepEqual([counter.mode, counter.refusals, counter.interface.name], ['generic', [], 'eth0']);
    assert.equal(right.net.links.get('eth0').xdp.length, 1);
    assert.throws(() => PacketCounter.open(where), OccupiedError);
    counter.close();
    counter.close();
    assert.deepEqual(right.net.links.get('eth0').xdp, []);
    assert.throws(() => counter.read(), { code: 'BW_CLOSED' });
  });

  it('holds nothing after it failed to open', () => {
    const stock = takeStock();
    assert.throws(() => PacketCounter.open({ ...where, interface: 'eth9' }), NoInterfaceError);
    assert.throws(() => PacketCounter.open({ ...where, mode: 'offload' }), { code: 'BW_MODE_REFUSED' });
    assert.throws(() => PacketCounter.open({ ...where, interface: 'lo', mode: 'driver' }), {
      code: 'BW_MODE_REFUSED',
    });
    assert.throws(() => PacketCounter.open({ ...where, netns: 'bw-there-is-no-such' }), {
      code: 'BW_NO_NETNS',
    });
    requireNoLeaks(stock);
  });
});

describe('readings', () => {
  it('are summed by kind, tag and CPU', () => {
    const at = FRAME_KINDS.indexOf('ipv4-udp');
    const tally = (packets: bigint) => ({ packets, bytes: 100n * packets });
    const counts = sumUp([
      [at, [tally(1n), tally(2n)]],
      [at + FRAME_KINDS.length, [tally(10n), tally(0n)]],
      [FRAME_KINDS.indexOf('arp'), [tally(0n), tally(5n)]],
    ]);
    assert.deepEqual(counts.total, tally(18n));
    assert.deepEqual(counts.kinds['ipv4-udp'], tally(13n));
    assert.deepEqual(counts.tagged, tally(10n));
    assert.deepEqual(counts.cpus, [tally(11n), tally(7n)]);
    assert.deepEqual(together(counts, ['ipv4-udp', 'arp', 'other']), tally(18n));
  });

  it('make rates per second', () => {
    const rate = rateOf({ packets: 10n, bytes: 1000n }, { packets: 60n, bytes: 6000n }, 500);
    assert.deepEqual(rate, { packetsPerSecond: 100, bitsPerSecond: 80_000 });
    assert.deepEqual(rateOf({ packets: 0n, bytes: 0n }, { packets: 1n, bytes: 1n }, 0).packetsPerSecond, 0);
  });

  it('are shown in few digits, or in groups of three', () => {
    assert.equal(grouped(1234567n), '1 234 567');
    assert.equal(grouped(999), '999');
    assert.equal(bytes(999), '999 B');
    assert.equal(bytes(1000n), '1.00 kB');
    assert.equal(bytes(999_499), '999 kB');
    assert.equal(bytes(999_500), '1.00 MB');
    assert.equal(bitRate(12_345_678), '12.3 Mbit/s');
    assert.equal(perSecond(0), '0 /s');
    assert.equal(perSecond(99_950), '100 k/s');
    assert.equal(bytes(2n ** 64n), '18.4 EB');
  });
});
