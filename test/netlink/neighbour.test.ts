import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError } from '../../src/error.ts';
import { NetlinkError } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

/** The parts of `ip -json neigh` that are compared. */
interface IpNeighbour {
  dst: string;
  dev: string;
  lladdr?: string;
  router?: null;
  state: string[];
}

describe('neighbours', () => {
  it('reads every attribute as ip does', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const { neighbours } = bed.net;
    neighbours.add('bw0', '192.0.2.2', '02:00:00:00:00:02');
    neighbours.add('bw0', '192.0.2.3', '02:00:00:00:00:03', { state: 'reachable' });
    neighbours.add('bw1', '192.0.2.4', '02:00:00:00:00:04', { state: 'stale' });
    neighbours.add('bw0', '2001:db8::2', '02:00:00:00:00:05', { state: 'permanent', router: true });
    const nameOf = new Map(bed.net.links.list().map((link) => [link.index, link.name]));
    // Entries of state noarp (multicast and the like) come and go by themselves; ip leaves them out.
    const ours = neighbours.list().filter((neighbour) => neighbour.state !== 'noarp');
    const shown = ours.map((neighbour) => ({
      dst: neighbour.address,
      dev: nameOf.get(neighbour.index)!,
      lladdr: neighbour.hardwareAddress,
      router: neighbour.flags.includes('router'),
      state: neighbour.state.toUpperCase(),
    }));
    const theirs = bed.ip<IpNeighbour>('neigh').map((ip) => ({
      dst: ip.dst,
      dev: ip.dev,
      lladdr: ip.lladdr,
      router: ip.router === null,
      state: ip.state[0],
    }));
    const byAddress = (a: { dst: string }, b: { dst: string }): number => (a.dst < b.dst ? -1 : 1);
    assert.deepEqual(shown.sort(byAddress), theirs.sort(byAddress));
    assert.equal(shown.length, 4);
    assert.deepEqual(
      neighbours.list({ link: 'bw1', version: 4 }).map((neighbour) => neighbour.address),
      ['192.0.2.4'],
    );
  });

  it('adds once, replaces, deletes', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const { neighbours } = bed.net;
    neighbours.add('bw0', '192.0.2.2', '02:00:00:00:00:02');
    assert.throws(
      () => neighbours.add('bw0', '192.0.2.2', '02:00:00:00:00:03'),
      (error) =>
        error instanceof NetlinkError && error.code === 'BW_EXISTS' && error.hint!.includes('replace'),
    );
    neighbours.replace('bw0', '192.0.2.2', '02:00:00:00:00:03', { state: 'stale' });
    const [entry] = neighbours.list({ link: 'bw0', version: 4 });
    assert.deepEqual([entry!.hardwareAddress, entry!.state], ['02:00:00:00:00:03', 'stale']);
    neighbours.delete('bw0', '192.0.2.2');
    assert.ok(neighbours.list({ version: 4 }).every((neighbour) => neighbour.state === 'failed'));
    assert.throws(() => neighbours.delete('bw0', '192.0.2.9'), { code: 'BW_NOT_FOUND' });
  });

  it('keeps a managed entry', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    bed.net.neighbours.add('bw0', '192.0.2.2', '02:00:00:00:00:02', { state: 'reachable', managed: true });
    assert.ok(bed.net.neighbours.list({ version: 4 })[0]!.flags.includes('managed'));
  });

  it('refuses what cannot be', () => {
    using bed = new Bed();
    const { neighbours } = bed.net;
    assert.throws(() => neighbours.add('lo', '192.0.2', '02:00:00:00:00:02'), ArgumentError);
    assert.throws(() => neighbours.add('lo', '192.0.2.1', '02:00'), ArgumentError);
    assert.throws(
      () => neighbours.add('lo', '192.0.2.1', '02:00:00:00:00:02', { state: 'x' as 'stale' }),
      ArgumentError,
    );
    assert.throws(() => neighbours.add('bw0', '192.0.2.1', '02:00:00:00:00:02'), { code: 'BW_NO_INTERFACE' });
  });
});
