import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble, exit, func, mov64, r0 } from '../../src/asm/index.ts';
import { type Loaded, load } from '../../src/bpf/index.ts';
import { NetlinkError } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

/** A program that lets everything pass. */
function pass(name: string): Loaded {
  const assembly = assemble([func(name, 1), mov64(r0, 2), exit()]);
  return load({ name, type: 'xdp', attachType: 'xdp', frags: false, license: 'MIT', maps: {}, ...assembly });
}

/** The parts of `ip -json -details link` that tell of XDP. */
interface IpXdp {
  xdp?: { mode: number; prog: { id: number }; attached?: { mode: number; prog: { id: number } }[] };
}

describe('XDP over netlink', () => {
  it('attaches in either mode, as ip sees it, and detaches', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    using loaded = pass('one');
    const { fd } = loaded.program;
    const { id } = loaded.program.info();
    // Modes as in linux/if_link.h: XDP_ATTACHED_DRV is 1, _SKB is 2.
    for (const [mode, number] of [
      ['driver', 1],
      ['generic', 2],
    ] as const) {
      bed.net.xdp.attach('bw0', fd.number, { mode });
      assert.deepEqual(bed.net.xdp.list('bw0'), [{ mode, programId: id }]);
      assert.deepEqual(bed.net.links.get('bw0').xdp, [{ mode, programId: id }]);
      const [{ xdp }] = bed.ip<IpXdp>('link', 'show', 'bw0') as [IpXdp];
      assert.deepEqual([xdp!.mode, xdp!.prog.id], [number, id]);
      bed.net.xdp.detach('bw0', { mode });
      assert.deepEqual(bed.net.xdp.list('bw0'), []);
    }
  });

  it('evicts nobody unless told whom to expect', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    using one = pass('one');
    using two = pass('two');
    bed.net.xdp.attach('bw0', one.program.fd.number, { mode: 'driver' });
    assert.throws(
      () => bed.net.xdp.attach('bw0', two.program.fd.number, { mode: 'driver' }),
      (error) =>
        error instanceof NetlinkError && error.code === 'BW_BUSY' && /already attached/.test(error.reason!),
    );
    assert.throws(
      () => bed.net.xdp.detach('bw0', { mode: 'driver', expectedFd: two.program.fd.number }),
      (error) =>
        error instanceof NetlinkError && /Active program does not match expected/.test(error.reason!),
    );
    assert.equal(bed.net.xdp.list('bw0')[0]!.programId, one.program.info().id);
    bed.net.xdp.attach('bw0', two.program.fd.number, { mode: 'driver', expectedFd: one.program.fd.number });
    assert.equal(bed.net.xdp.list('bw0')[0]!.programId, two.program.info().id);
    bed.net.xdp.detach('bw0', { mode: 'driver', expectedFd: two.program.fd.number });
    assert.deepEqual(bed.net.xdp.list('bw0'), []);
  });

  it("passes on the driver's own reason", () => {
    using bed = new Bed();
    bed.net.links.create({ kind: 'veth', name: 'bw0', mtu: 9000, peer: { name: 'bw1', mtu: 9000 } });
    using loaded = pass('one');
    assert.throws(
      () => bed.net.xdp.attach('bw0', loaded.program.fd.number, { mode: 'driver' }),
      (error) => {
        assert.ok(error instanceof NetlinkError);
        assert.match(error.reason ?? '', /MTU/);
        assert.ok(error.message.includes(error.reason!));
        return true;
      },
    );
    assert.throws(
      () => bed.net.xdp.attach('bw0', loaded.program.fd.number, { mode: 'offload' }),
      (error) => error instanceof NetlinkError && error.message.includes('offload mode'),
    );
  });
});
