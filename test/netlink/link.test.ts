import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError, BarewireError } from '../../src/error.ts';
import {
  type Link,
  Netlink,
  NetlinkError,
  NoInterfaceError,
  type PlainSpec,
} from '../../src/netlink/index.ts';
import { Netns, requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { kernelSince } from '../kernel-since.ts';
import { Bed } from './bed.ts';

/** The parts of `ip -json -details -statistics link` that are compared. */
interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  min_mtu: number;
  max_mtu: number;
  qdisc: string;
  operstate: string;
  group: string;
  txqlen?: number;
  link_type: string;
  address: string;
  broadcast: string;
  promiscuity: number;
  num_tx_queues: number;
  num_rx_queues: number;
  gso_max_size: number;
  gso_max_segs: number;
  gro_max_size: number;
  tso_max_size: number;
  ifalias?: string;
  altnames?: string[];
  master?: string;
  link_netnsid?: number;
  linkinfo?: { info_kind?: string; info_slave_kind?: string; info_data?: Record<string, unknown> };
  stats64: { rx: Record<string, number>; tx: Record<string, number> };
}

describe('links as ip sees them', () => {
  it('reads every attribute as ip does', () => {
    using bed = new Bed();
    const { links } = bed.net;
    bed.veth('bw0', 'bw1');
    links.create({ kind: 'bridge', name: 'bwbr', stp: false, ageingTime: 120_000, up: true });
    links.create({ kind: 'macvlan', name: 'bwm', link: 'bw1', mode: 'private' });
    links.create({ kind: 'ifb', name: 'bwifb', txQueues: 3 });
    links.set('bw0', { master: 'bwbr', alias: 'front door', group: 7, mtu: 1400, txQueueLength: 77 });
    links.addAltName('bw0', 'an-alternative-name-beyond-sixteen-bytes');

    const ours = links.list();
    const theirs = bed.ip<IpLink>('-statistics', 'link');
    const later = links.list();
    assert.deepEqual(
      ours.map((link) => link.name),
      theirs.map((link) => link.ifname),
    );
    const nameOf = new Map(ours.map((link) => [link.index, link.name]));
    for (const [i, link] of ours.entries()) compare(link, theirs[i]!, later[i]!, nameOf);
    assert.deepEqual(links.get('an-alternative-name-beyond-sixteen-bytes').altNames, [
      'an-alternative-name-beyond-sixteen-bytes',
    ]);
  });

  it('counts what passes, in 64 bits', () => {
    using bed = new Bed();
    bed.sysctl('ipv6.conf.default.disable_ipv6', '1');
    bed.veth('bw0', 'bw1');
    bed.net.addresses.add('bw0', '192.0.2.1/24');
    bed.net.neighbours.add('bw0', '192.0.2.2', '02:00:00:00:00:02');
    const before = bed.net.links.get('bw0').stats!;
    // No one answers: the pings leave, and that is what is counted.
    assert.throws(() => bed.run('ping', '-c', '3', '-i', '0.01', '-W', '0.01', '-q', '192.0.2.2'));
    const after = bed.net.links.get('bw0').stats!;
    assert.ok(after.txPackets - before.txPackets >= 3n);
    assert.ok(after.txBytes - before.txBytes >= 3n * 98n);
    const peer = bed.net.links.get('bw1').stats!;
    assert.equal(peer.rxPackets, after.txPackets);
    assert.equal(peer.rxBytes, after.txBytes);
  });

  it('lists by kind and by master', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    bed.veth('bw2', 'bw3');
    bed.net.links.create({ kind: 'bridge', name: 'bwbr' });
    bed.net.links.set('bw0', { master: 'bwbr' });
    bed.net.links.set('bw2', { master: 'bwbr' });
    const names = (list: Link[]): string[] => list.map((link) => link.name).sort();
    assert.deepEqual(names(bed.net.links.list({ kind: 'bridge' })), ['bwbr']);
    assert.deepEqual(names(bed.net.links.list({ kind: 'veth' })), ['bw0', 'bw1', 'bw2', 'bw3']);
    assert.deepEqual(names(bed.net.links.list({ master: 'bwbr' })), ['bw0', 'bw2']);
    assert.deepEqual(names(bed.net.links.list({ kind: 'macvlan' })), []);
    assert.deepEqual(names(bed.net.links.list({ kind: 'no-such-kind' })), []);
  });
});

describe('making links', () => {
  it('makes a veth pair across namespaces, with queues, addresses and state', () => {
    using bed = new Bed();
    using other = new Bed();
    const made = bed.net.links.create({
      kind: 'veth',
      name: 'bw0',
      address: '02:00:00:00:00:01',
      txQueues: 3,
      rxQueues: 2,
      up: true,
      peer: {
        name: 'bw1',
        netns: other.netns,
        address: '02:00:00:00:00:02',
        mtu: 2000,
        txQueues: 4,
        rxQueues: 5,
        up: true,
        alias: 'far end',
      },
    });
    assert.deepEqual(made.info, { kind: 'veth' });
    assert.equal(made.address, '02:00:00:00:00:01');
    assert.deepEqual([made.txQueues, made.rxQueues, made.up], [3, 2, true]);
    const peer = other.net.links.get('bw1');
    assert.deepEqual([peer.txQueues, peer.rxQueues, peer.up, peer.mtu], [4, 5, true, 2000]);
    assert.deepEqual([peer.address, peer.alias, peer.operState], ['02:00:00:00:00:02', 'far end', 'up']);
    // Each knows the other by its index there, and the namespace by a number of its own.
    assert.equal(made.link, peer.index);
    assert.equal(made.linkNetnsId, bed.net.netnsIds.get(other.netns));
    assert.equal(peer.linkNetnsId, other.net.netnsIds.get(bed.netns));
  });

  it('makes a link straight in another namespace', () => {
    using bed = new Bed();
    using other = new Bed();
    bed.veth('bw0', 'bw1');
    const made = bed.net.links.create({ kind: 'macvlan', name: 'bwm', link: 'bw0', netns: other.netns });
    assert.equal(made.index, other.net.links.get('bwm').index);
    assert.deepEqual(made.info, { kind: 'macvlan', mode: 'bridge' });
    assert.equal(made.link, bed.net.links.get('bw0').index);
    assert.equal(bed.net.links.find('bwm'), undefined);
  });

  it('makes the first end of a pair elsewhere, and the peer here', () => {
    using bed = new Bed();
    using other = new Bed();
    const made = bed.net.links.create({
      kind: 'veth',
      name: 'bw0',
      netns: other.netns,
      up: true,
      peer: { name: 'bw1', up: true },
    });
    assert.equal(other.net.links.get('bw0').index, made.index);
    assert.equal(bed.net.links.get('bw1').operState, 'up');
  });

  it('gives a bridge all its options, in ms', () => {
    using bed = new Bed();
    const options = {
      stp: true,
      priority: 4096,
      forwardDelay: 4000,
      helloTime: 1500,
      maxAge: 8000,
      ageingTime: 10_000,
      groupForwardMask: 8,
      multicastSnooping: false,
    };
    const { info } = bed.net.links.create({ kind: 'bridge', name: 'bwbr', ...options });
    assert.equal(info?.kind, 'bridge');
    for (const [name, value] of Object.entries(options)) {
      assert.equal(info[name as keyof typeof options], value, name);
    }
    bed.net.links.set('bwbr', { bridge: { stp: false, ageingTime: 20_000 } });
    const changed = bed.net.links.get('bwbr').info;
    assert.ok(changed?.kind === 'bridge' && !changed.stp && changed.ageingTime === 20_000);
  });

  it('leaves nothing behind when the last step of the making fails', () => {
    using bed = new Bed();
    using other = new Bed();
    assert.throws(
      () =>
        bed.net.links.create({
          kind: 'veth',
          name: 'bw0',
          peer: { name: 'bw1', netns: other.netns, master: 'no-such-bridge' },
        }),
      NoInterfaceError,
    );
    assert.deepEqual(bed.net.links.list({ kind: 'veth' }), []);
    assert.deepEqual(other.net.links.list({ kind: 'veth' }), []);
  });

  it('names the kernel option behind a kind that is not there', (t) => {
    using bed = new Bed();
    const options = { vlan: 'CONFIG_VLAN_8021Q', dummy: 'CONFIG_DUMMY' } as const;
    bed.veth('bw0', 'bw1');
    for (const [kind, option] of Object.entries(options)) {
      try {
        const spec =
          kind === 'vlan' ? ({ kind: 'vlan', link: 'bw0', id: 5 } as const) : ({ kind: 'dummy' } as const);
        const made = bed.net.links.create({ ...spec, name: 'bwx' });
        t.diagnostic(`this kernel has ${kind} links`);
        assert.equal(made.kind, kind);
        if (kind === 'vlan') assert.deepEqual(made.info, { kind: 'vlan', id: 5, protocol: '802.1Q' });
        bed.net.links.delete('bwx');
      } catch (error) {
        assert.ok(error instanceof NetlinkError, String(error));
        assert.equal(error.code, 'BW_UNSUPPORTED');
        assert.match(error.message, /Unknown device type/);
        assert.ok(error.hint?.includes(option), error.hint);
      }
    }
  });
});

describe('changing links', () => {
  it('changes what is stated and nothing else', () => {
    using bed = new Bed();
    const { links } = bed.net;
    bed.veth('bw0', 'bw1', false);
    links.set('bw0', { up: true });
    links.set('bw0', {
      name: 'bwnew',
      address: '02:00:00:00:00:09',
      mtu: 1280,
      promiscuous: true,
      allMulticast: true,
      multicast: false,
      arp: false,
      group: 4,
      alias: 'x',
      txQueueLength: 5,
      gsoMaxSize: 30_000,
      gsoMaxSegments: 20,
      groMaxSize: 20_000,
      gsoIpv4MaxSize: 25_000,
      groIpv4MaxSize: 15_000,
    });
    const link = links.get('bwnew');
    assert.equal(link.up, true);
    assert.deepEqual(
      [
        link.address,
        link.mtu,
        link.promiscuity,
        link.allMulticast,
        link.group,
        link.alias,
        link.txQueueLength,
      ],
      ['02:00:00:00:00:09', 1280, 1, 1, 4, 'x', 5],
    );
    for (const flag of ['promisc', 'allmulti', 'noarp'] as const) assert.ok(link.flags.includes(flag), flag);
    assert.ok(!link.flags.includes('multicast'));
    const { offload } = link;
    assert.deepEqual(
      [
        offload.gsoMaxSize,
        offload.gsoMaxSegments,
        offload.groMaxSize,
        offload.gsoIpv4MaxSize,
        offload.groIpv4MaxSize,
      ],
      [30_000, 20, 20_000, 25_000, 15_000],
    );
    links.set('bwnew', { promiscuous: false, alias: null, up: false });
    const later = links.get('bwnew');
    assert.deepEqual([later.promiscuity, later.alias, later.up, later.mtu], [0, undefined, false, 1280]);
  });

  it('renames a link that is up, or says that it must be down', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const rename = (): void => bed.net.links.set('bw0', { name: 'bwnew' });
    if (!kernelSince('6.2')) {
      assert.throws(rename, { code: 'BW_BUSY', hint: /take it down/ });
      bed.net.links.set('bw0', { up: false });
    }
    rename();
    assert.equal(bed.net.links.find('bw0'), undefined);
    assert.equal(bed.net.links.get('bwnew').kind, 'veth');
  });

  it('puts a port into a bridge and takes it out', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const bridge = bed.net.links.create({ kind: 'bridge', name: 'bwbr' });
    bed.net.links.set('bw0', { master: bridge.index });
    assert.deepEqual(
      [bed.net.links.get('bw0').master, bed.net.links.get('bw0').portOf],
      [bridge.index, 'bridge'],
    );
    bed.net.links.set('bw0', { master: null });
    assert.equal(bed.net.links.get('bw0').master, undefined);
  });

  it('moves a link to another namespace, under another name if wished', () => {
    using bed = new Bed();
    using other = new Bed();
    bed.veth('bw0', 'bw1');
    bed.net.links.set('bw0', { netns: other.netns, name: 'bwmoved' });
    assert.equal(bed.net.links.find('bw0'), undefined);
    assert.equal(other.net.links.get('bwmoved').kind, 'veth');
    other.net.links.set('bwmoved', { netns: `/proc/self/fd/${bed.netns.fd.number}` });
    assert.equal(bed.net.links.get('bwmoved').kind, 'veth');
  });

  it('deletes a pair by either end', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    bed.net.links.delete(bed.net.links.index('bw1'));
    assert.deepEqual(
      bed.net.links.list().map((link) => link.name),
      ['lo'],
    );
  });

  it('gives and takes alternative names', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    bed.net.links.addAltName('bw0', 'bwalt');
    assert.equal(bed.net.links.get('bwalt').name, 'bw0');
    assert.throws(() => bed.net.links.addAltName('bw1', 'bwalt'), { code: 'BW_EXISTS' });
    bed.net.links.removeAltName('bw0', 'bwalt');
    assert.equal(bed.net.links.find('bwalt'), undefined);
  });
});

describe('what is refused', () => {
  it('says which interfaces come near an unknown one', () => {
    using bed = new Bed();
    bed.veth('bwfront', 'bwback');
    bed.net.links.addAltName('bwback', 'a-second-name-that-is-rather-long');
    const refused = (task: () => unknown, hint: RegExp): void =>
      assert.throws(task, (error) => {
        assert.ok(error instanceof NoInterfaceError, String(error));
        assert.equal(error.code, 'BW_NO_INTERFACE');
        assert.match(error.hint ?? '', hint);
        return true;
      });
    refused(() => bed.net.links.get('bwfrnt'), /'bwfront'/);
    refused(
      () => bed.net.links.index('a-second-name-that-is-rather-lang'),
      /'a-second-name-that-is-rather-long'/,
    );
    refused(() => bed.net.links.set('wlan0', { up: true }), /lo, .*bwfront/);
    refused(() => bed.net.links.delete(4711), /lo/);
    refused(() => bed.net.links.set(4711, { up: true }), /lo/);
    refused(() => bed.net.addresses.add('bwbak', '192.0.2.1/24'), /'bwback'/);
    refused(() => bed.net.addresses.list({ link: 'bwbak' }), /'bwback'/);
    refused(() => bed.net.links.get(''), /lo/);
    refused(() => bed.net.links.get('x'.repeat(500)), /lo/);
    refused(() => bed.net.links.create({ kind: 'macvlan', name: 'bwm', link: 'bwfrot' }), /'bwfront'/);
  });

  it("carries the kernel's own words", () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const said = (task: () => unknown, reason: RegExp, code: string): void =>
      assert.throws(task, (error) => {
        assert.ok(error instanceof NetlinkError, String(error));
        assert.equal(error.code, code);
        assert.match(error.reason ?? '', reason);
        assert.ok(error.message.includes(error.reason!), error.message);
        return true;
      });
    said(() => bed.net.links.set('bw0', { mtu: 70_000 }), /mtu greater than device maximum/, 'BW_INVALID');
    said(() => bed.net.links.set('bw0', { mtu: 10 }), /mtu less than device minimum/, 'BW_INVALID');
    bed.net.links.create({ kind: 'bridge', name: 'bwbr0' });
    bed.net.links.create({ kind: 'bridge', name: 'bwbr1' });
    said(() => bed.net.links.set('bwbr0', { master: 'bwbr1' }), /bridge to a bridge/, 'BW_SYSTEM');
  });

  it('checks names and numbers before the kernel does', () => {
    using bed = new Bed();
    const wrong = [
      () => bed.net.links.create({ kind: 'bridge', name: 'sixteen-bytes-xx' }),
      () => bed.net.links.create({ kind: 'bridge', name: 'a b' }),
      () => bed.net.links.create({ kind: 'bridge', name: 'bw%d' }),
      () => bed.net.links.create({ kind: 'nonsense', name: 'bw' } as unknown as PlainSpec),
      () => bed.net.links.create({ kind: 'macvlan', name: 'bw', link: 'lo', mode: 'nonsense' as 'vepa' }),
      () => bed.net.xdp.detach('lo', { mode: 'nonsense' as 'driver' }),
      () => bed.net.links.create({ kind: 'bridge', name: '' }),
      () => bed.net.links.create({ kind: 'bridge', name: 'bwbr', address: '02:00' }),
      () => bed.net.links.create({ kind: 'bridge', name: 'bwbr', mtu: -1 }),
      () => bed.net.links.create({ kind: 'bridge', name: 'bwbr', forwardDelay: Number.NaN }),
      () => bed.net.links.create({ kind: 'vlan', name: 'bwv', link: 1, id: 4096 }),
      () => bed.net.links.get(0),
      () => bed.net.links.get(1.5),
    ];
    for (const task of wrong) assert.throws(task, ArgumentError, String(task));
    assert.throws(() => bed.net.links.set('lo', { mtu: -1 }), /'mtu' is -1, it must be/);
    assert.deepEqual(
      bed.net.links.list().map((link) => link.name),
      ['lo'],
    );
  });

  it('says when there is no such namespace', () => {
    using bed = new Bed();
    assert.throws(() => new Netlink({ netns: 'bw-no-such' }), { code: 'BW_NO_NETNS' });
    assert.throws(
      () => bed.net.links.create({ kind: 'bridge', name: 'bwbr', netns: 'bw-no-such' }),
      (error) => error instanceof BarewireError && error.code === 'BW_NO_NETNS',
    );
  });
});

it('deletes the links of a group together, and no others', () => {
  using bed = new Bed();
  for (const name of ['bw0', 'bw1', 'bw2']) {
    bed.net.links.create({ kind: 'bridge', name });
    if (name !== 'bw2') bed.net.links.set(name, { group: 7 });
  }
  bed.net.links.deleteGroup(7);
  assert.deepEqual(
    bed.net.links.list({ kind: 'bridge' }).map(({ name }) => name),
    ['bw2'],
  );
  assert.throws(() => bed.net.links.deleteGroup(7), { code: 'BW_NOT_FOUND' });
  assert.throws(() => bed.net.links.deleteGroup(0), { code: 'BW_PERMISSION' });
});

it('gives everything back', () => {
  // Once before, so that what Node opens on first use does not count.
  new Bed()[Symbol.dispose]();
  const before = takeStock();
  {
    using bed = new Bed();
    using other = Netns.createAnonymous();
    bed.net.links.create({ kind: 'veth', name: 'bw0', peer: { name: 'bw1', netns: other, up: true } });
    assert.throws(() => bed.net.links.get('bw7'), NoInterfaceError);
    assert.throws(
      () => bed.net.links.create({ kind: 'bridge', name: 'bw0', netns: other, mtu: 1 }),
      NetlinkError,
    );
  }
  requireNoLeaks(before);
});

function compare(link: Link, ip: IpLink, later: Link, nameOf: ReadonlyMap<number, string>): void {
  try {
    compareAttributes(link, ip, nameOf);
  } catch {
    // The carrier may have come or gone in between.
    compareAttributes(later, ip, nameOf);
  }
  compareStats(link, ip, later);
}

function compareAttributes(link: Link, ip: IpLink, nameOf: ReadonlyMap<number, string>): void {
  // ip shows RUNNING by its absence, as NO-CARRIER, and MASTER-DOWN of its own making.
  const flags = link.flags
    .filter((flag) => flag !== 'running')
    .map((flag) => flag.toUpperCase().replace('-', '_'));
  const shown = ip.flags.filter((flag) => flag !== 'NO-CARRIER' && flag !== 'M-DOWN');
  assert.deepEqual(flags.sort(), shown.sort());
  assert.equal(link.up && !link.flags.includes('running'), ip.flags.includes('NO-CARRIER'));
  const comparable = {
    ifindex: link.index,
    mtu: link.mtu,
    min_mtu: link.minMtu ?? 0,
    max_mtu: link.maxMtu ?? 0,
    qdisc: link.qdisc,
    operstate: link.operState.toUpperCase().replaceAll('-', ''),
    link_type: link.type,
    address: link.address,
    broadcast: link.broadcast,
    promiscuity: link.promiscuity,
    num_tx_queues: link.txQueues,
    num_rx_queues: link.rxQueues,
    gso_max_size: link.offload.gsoMaxSize,
    gso_max_segs: link.offload.gsoMaxSegments,
    gro_max_size: link.offload.groMaxSize,
    tso_max_size: link.offload.tsoMaxSize,
    ifalias: link.alias,
    altnames: link.altNames.length === 0 ? undefined : [...link.altNames],
    master: link.master === undefined ? undefined : nameOf.get(link.master),
    link_netnsid: link.linkNetnsId,
  };
  for (const [key, value] of Object.entries(comparable)) {
    assert.deepEqual(value, ip[key as keyof IpLink], `${link.name}: ${key}`);
  }
  if (ip.txqlen !== undefined) assert.equal(link.txQueueLength, ip.txqlen);
  assert.equal(link.group === 0 ? 'default' : `${link.group}`, ip.group);
  assert.equal(link.kind, ip.linkinfo?.info_kind);
  assert.equal(link.portOf, ip.linkinfo?.info_slave_kind);
  const data = ip.linkinfo?.info_data;
  if (link.info?.kind === 'bridge') {
    assert.deepEqual(
      [link.info.forwardDelay, link.info.ageingTime, link.info.stp ? 1 : 0, link.info.priority],
      [10 * Number(data!.forward_delay), 10 * Number(data!.ageing_time), data!.stp_state, data!.priority],
    );
    assert.equal(link.info.multicastSnooping ? 1 : 0, data!.mcast_snooping);
  }
  if (link.info?.kind === 'macvlan') assert.equal(link.info.mode, data!.mode);
}

function compareStats(link: Link, ip: IpLink, later: Link): void {
  // Links that are up send by themselves, so what ip has read lies between two of our readings.
  const { rx, tx } = ip.stats64;
  const counters = {
    rxPackets: rx.packets,
    rxBytes: rx.bytes,
    txPackets: tx.packets,
    txBytes: tx.bytes,
    rxDropped: rx.dropped,
    txDropped: tx.dropped,
    multicast: rx.multicast,
  };
  for (const [name, value] of Object.entries(counters)) {
    const counter = name as keyof typeof counters;
    const between = link.stats![counter] <= BigInt(value!) && BigInt(value!) <= later.stats![counter];
    assert.ok(between, `${link.name}: ${name} is ${value}`);
  }
}
