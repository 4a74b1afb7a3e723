import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { PacketCounter } from '../../src/apps/count.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
after(() => {
  lab.destroy();
  requireNoLeaks(before);
});
const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'], queues: 2 }] });
const right = lab.host('right');

interface Reading {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Both counts at a moment when nothing is on the way: the same before and after. */
async function readBoth(counter: PacketCounter): Promise<{ ours: Reading; kernels: Reading }> {
  for (;;) {
    const stats = right.net.links.get('eth0').stats;
    const ours = counter.read().total;
    await setTimeout(50);
    const again = right.net.links.get('eth0').stats;
    assert.ok(stats !== undefined && again !== undefined);
    if (stats.rxPackets === again.rxPackets && counter.read().total.packets === ours.packets) {
      return { ours, kernels: { packets: stats.rxPackets, bytes: stats.rxBytes } };
    }
  }
}

describe('the packet counter over a million frames from two CPUs at once', () => {
  for (const mode of ['driver', 'generic'] as const) {
    it(`equals the kernel's statistics in ${mode} mode, and loses no update`, async () => {
      using counter = PacketCounter.open({ interface: 'eth0', netns: right.namespace, mode });
      assert.equal(counter.mode, mode);
      const start = await readBoth(counter);
      const left = lab.host('left');
      let end = start;
      // A full ring of the veth drops frames before either counts them, so it takes as many rounds as it takes.
      for (let round = 0; round < 10 && end.ours.packets - start.ours.packets < 1_000_000n; round++) {
        await Promise.all([0, 1].map((cpu) => left.flood({ to: '10.77.0.2', packets: 300_000, cpu })));
        end = await readBoth(counter);
      }
      const counted = end.ours.packets - start.ours.packets;
      assert.equal(counted, end.kernels.packets - start.kernels.packets, 'packets');
      assert.ok(counted >= 1_000_000n, `${counted} frames arrived`);
      // In driver mode veth counts a frame's bytes after it has taken the Ethernet header off.
      const header = mode === 'driver' ? 14n : 0n;
      const theirs = end.kernels.bytes - start.kernels.bytes + header * counted;
      assert.equal(end.ours.bytes - start.ours.bytes, theirs, 'bytes');
      const { cpus, kinds } = counter.read();
      assert.ok(cpus[0] !== undefined && cpus[1] !== undefined);
      assert.ok(cpus[0].packets > 0n && cpus[1].packets > 0n, 'both CPUs counted');
      assert.ok(kinds['ipv4-udp'].packets >= 1_000_000n);
    });
  }
});
