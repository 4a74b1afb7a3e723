import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Netlink } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

describe('namespace IDs', () => {
  it('assigns, finds and lists them as ip does', () => {
    using bed = new Bed();
    using one = new Bed();
    using two = new Bed();
    const { netnsIds } = bed.net;
    assert.deepEqual(netnsIds.list(), []);
    assert.equal(netnsIds.get(one.netns), undefined);
    assert.equal(netnsIds.assign(one.netns, 17), 17);
    const chosen = netnsIds.assign(two.netns);
    assert.equal(netnsIds.assign(two.netns), chosen);
    assert.equal(netnsIds.get(one.netns), 17);
    assert.equal(netnsIds.get(`/proc/self/fd/${two.netns.fd.number}`), chosen);
    assert.deepEqual(
      netnsIds.list(),
      [17, chosen].sort((a, b) => a - b),
    );
    assert.deepEqual(
      bed
        .ip<{ nsid: number }>('netns', 'list-id')
        .map((entry) => entry.nsid)
        .sort((a, b) => a - b),
      netnsIds.list(),
    );
    assert.throws(() => netnsIds.assign(one.netns, 18), { code: 'BW_EXISTS' });
  });

  it('stays in its namespace wherever the thread goes', () => {
    using bed = new Bed();
    using other = new Bed();
    other.veth('bw0', 'bw1');
    using inside = bed.netns.run(() => new Netlink());
    assert.deepEqual(
      inside.links.list().map((link) => link.name),
      ['lo'],
    );
    other.netns.run(() =>
      assert.deepEqual(
        inside.links.list().map((link) => link.name),
        ['lo'],
      ),
    );
    inside.links.create({ kind: 'bridge', name: 'bwbr' });
    assert.equal(bed.net.links.get('bwbr').kind, 'bridge');
  });
});
