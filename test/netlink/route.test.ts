import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError } from '../../src/error.ts';
import { Netlink, NetlinkError, type Route } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

/** The parts of `ip -json -details route` that are compared. */
interface IpRoute {
  type: string;
  dst: string;
  gateway?: string;
  via?: { family: string; host: string };
  dev?: string;
  protocol: string;
  scope: string;
  prefsrc?: string;
  metric?: number;
  flags: string[];
  metrics?: Record<string, number>[];
  nexthops?: { gateway?: string; dev: string; weight: number; flags: string[] }[];
}

function prepared(): Bed {
  const bed = new Bed();
  // Addresses that the kernel makes by itself come with routes of their own, some time later.
  bed.sysctl('ipv6.conf.default.addr_gen_mode', '1');
  bed.veth('bw0', 'bw1');
  bed.veth('bw2', 'bw3');
  bed.net.addresses.add('bw0', '192.0.2.1/24');
  bed.net.addresses.add('bw2', '198.51.100.1/24');
  bed.net.addresses.add('bw0', '2001:db8::1/64', { noDad: true });
  return bed;
}

describe('routes', () => {
  it('reads every attribute as ip does', () => {
    using bed = prepared();
    const { routes } = bed.net;
    routes.add({ destination: 'default', via: '192.0.2.254', metric: 10, preferredSource: '192.0.2.1' });
    routes.add({ destination: '203.0.113.0/24', link: 'bw2', metrics: { mtu: 1300, mtuLocked: true } });
    routes.add({
      destination: '203.0.113.0/25',
      via: '192.0.2.9',
      metrics: {
        advertisedMss: 1200,
        initialCongestionWindow: 20,
        hopLimit: 9,
        quickAck: true,
        window: 9000,
      },
      protocol: 'bird',
    });
    routes.add({
      destination: '10.0.0.0/8',
      nextHops: [
        { via: '192.0.2.2', weight: 3 },
        { via: '198.51.100.2', link: 'bw2', weight: 5 },
      ],
    });
    routes.add({ destination: '10.1.0.0/16', type: 'blackhole' });
    routes.add({ destination: '10.2.0.0/16', type: 'unreachable' });
    routes.add({ destination: '10.3.0.0/16', type: 'prohibit' });
    routes.add({ destination: '10.4.0.0/16', type: 'throw' });
    routes.add({ destination: '10.5.5.5', via: '10.99.0.1', link: 'bw0', onLink: true });
    routes.add({ destination: '10.6.0.0/16', via: '2001:db8::9', link: 'bw0' });
    routes.add({ destination: '2001:db8:1::/48', via: '2001:db8::2', metric: 7, preference: 'high' });
    routes.add({ destination: 'default', version: 6, via: '2001:db8::3', metrics: { mtu: 1400 } });
    routes.add({
      destination: '2001:db8:2::/48',
      nextHops: [{ via: '2001:db8::4' }, { via: '2001:db8::5', weight: 2 }],
    });
    routes.add({ destination: '10.7.0.0/16', link: 'bw0', table: 4242 });

    const nameOf = new Map(bed.net.links.list().map((link) => [link.index, link.name]));
    compareAll(routes.list({ version: 4, table: 'main' }), bed.ip<IpRoute>('route'), nameOf);
    compareAll(routes.list({ version: 6, table: 'main' }), bed.ip<IpRoute>('-6', 'route'), nameOf);
    compareAll(routes.list({ table: 4242 }), bed.ip<IpRoute>('route', 'show', 'table', '4242'), nameOf);
    compareAll(
      routes.list({ version: 4, table: 'local' }),
      bed.ip<IpRoute>('route', 'show', 'table', 'local'),
      nameOf,
    );
    const all = routes.list();
    assert.equal(
      all.length,
      [
        ['main', 4],
        ['main', 6],
        ['local', 4],
        ['local', 6],
        [4242, 4],
      ]
        .map(([table, version]) => routes.list({ table: table as 'main', version: version as 4 }).length)
        .reduce((sum, count) => sum + count, 0),
    );
    assert.deepEqual(routes.list({ table: 77 }), []);
    const through = routes.list({ link: 'bw2', version: 4, table: 'main' }).map((route) => route.destination);
    assert.deepEqual(through.sort(), ['10.0.0.0/8', '198.51.100.0/24', '203.0.113.0/24']);
    const preferred = routes.list({ version: 6, table: 'main' }).find((route) => route.metric === 7);
    assert.equal(preferred!.preference, 'high');
  });

  it('adds once, replaces, appends, deletes the one that was meant', () => {
    using bed = prepared();
    const { routes } = bed.net;
    const to = (destination: string): Route[] =>
      routes.list({ version: 4, table: 'main' }).filter((route) => route.destination === destination);
    routes.add({ destination: '10.0.0.0/8', via: '192.0.2.2' });
    assert.throws(
      () => routes.add({ destination: '10.0.0.0/8', via: '192.0.2.3' }),
      (error) =>
        error instanceof NetlinkError && error.code === 'BW_EXISTS' && error.hint!.includes('replace'),
    );
    routes.replace({ destination: '10.0.0.0/8', via: '192.0.2.3' });
    assert.deepEqual(
      to('10.0.0.0/8').map((route) => route.nextHops[0]!.via),
      ['192.0.2.3'],
    );
    routes.append({ destination: '10.0.0.0/8', via: '192.0.2.4' });
    routes.add({ destination: '10.0.0.0/8', via: '192.0.2.5', metric: 9 });
    assert.equal(to('10.0.0.0/8').length, 3);
    routes.delete({ destination: '10.0.0.0/8', via: '192.0.2.4' });
    routes.delete({ destination: '10.0.0.0/8', metric: 9 });
    assert.deepEqual(
      to('10.0.0.0/8').map((route) => route.nextHops[0]!.via),
      ['192.0.2.3'],
    );
    routes.delete({ destination: '10.0.0.0/8' });
    assert.throws(
      () => routes.delete({ destination: '10.0.0.0/8' }),
      (error) =>
        error instanceof NetlinkError && error.errnoName === 'ESRCH' && error.hint!.includes('list()'),
    );
  });

  it('lists a route of more ways than a page holds, first of all', () => {
    using bed = prepared();
    const nextHops = ['192.0.2', '198.51.100'].flatMap((network) =>
      Array.from({ length: 200 }, (_, i) => ({ via: `${network}.${i + 2}`, weight: i + 1 })),
    );
    bed.net.routes.add({ destination: '10.0.0.0/8', nextHops });
    using fresh = new Netlink({ netns: bed.netns });
    const route = fresh.routes
      .list({ version: 4, table: 'main' })
      .find((one) => one.destination === '10.0.0.0/8');
    assert.deepEqual(
      route!.nextHops.map(({ via, weight }) => ({ via, weight })),
      nextHops,
    );
  });

  it('looks up the way as the kernel does', () => {
    using bed = prepared();
    const { routes, links } = bed.net;
    routes.add({ destination: 'default', via: '192.0.2.254' });
    routes.add({ destination: 'default', link: 'bw2', table: 100 });
    bed.net.rules.add({ fwmark: 5, table: 100, priority: 50 });
    const plain = routes.lookup('203.0.113.7');
    assert.deepEqual(
      [plain.nextHops[0]!.via, plain.nextHops[0]!.link, plain.preferredSource, plain.table],
      ['192.0.2.254', links.index('bw0'), '192.0.2.1', 254],
    );
    const marked = routes.lookup('203.0.113.7', { mark: 5 });
    assert.deepEqual([marked.nextHops[0]!.link, marked.table], [links.index('bw2'), 100]);
    assert.equal(routes.lookup('192.0.2.1').type, 'local');
    assert.equal(routes.lookup('2001:db8::77').nextHops[0]!.link, links.index('bw0'));
    assert.throws(() => routes.lookup('2001:db9::1'), { errnoName: 'ENETUNREACH' });
  });

  it('says what is wrong, the kernel or we', () => {
    using bed = prepared();
    const { routes } = bed.net;
    assert.throws(
      () => routes.add({ destination: '10.0.0.0/8', via: '172.16.0.1' }),
      (error) =>
        error instanceof NetlinkError &&
        error.reason === 'Nexthop has invalid gateway' &&
        error.hint!.includes('172.16.0.1'),
    );
    const wrong = [
      () => routes.add({ destination: '10.0.0.1/8', link: 'bw0' }),
      () => routes.add({ destination: '10.0.0.0/8', version: 6, link: 'bw0' }),
      () => routes.add({ destination: '10.0.0.0/8', from: '10.0.0.0/8', link: 'bw0' }),
      () => routes.add({ destination: '10.0.0.0/8', link: 'bw0', nextHops: [] }),
      () => routes.add({ destination: '10.0.0.0/8', link: 'bw0', table: 0 }),
      () => routes.add({ destination: '10.0.0.0/8', nextHops: [{ via: '192.0.2.2', weight: 257 }] }),
      () => routes.add({ destination: '10.0.0.0/8', link: 'bw0', preferredSource: '::1' }),
      () => routes.add({ destination: '10.0.0.0/8', link: 'bw0', type: 'nonsense' as 'local' }),
    ];
    for (const task of wrong) assert.throws(task, ArgumentError, String(task));
    assert.throws(() => routes.add({ destination: '10.0.0.0/8', link: 'bw9' }), { code: 'BW_NO_INTERFACE' });
  });
});

function compareAll(ours: Route[], theirs: IpRoute[], nameOf: ReadonlyMap<number, string>): void {
  const left = new Set(theirs);
  for (const route of ours) {
    const shown = show(route, nameOf);
    const match = [...left].find((ip) => {
      try {
        assert.deepEqual(shown, normalize(ip));
        return true;
      } catch {
        return false;
      }
    });
    assert.ok(match, `ip does not show ${JSON.stringify(shown)}, but ${JSON.stringify([...left])}`);
    left.delete(match);
  }
  assert.equal(left.size, 0, `missed: ${JSON.stringify([...left])}`);
}

/** As ip shows it: no length on single addresses, `default`, one gateway or a list of them. */
function show(route: Route, nameOf: ReadonlyMap<number, string>): Record<string, unknown> {
  const full = route.version === 4 ? '/32' : '/128';
  const { destination, metrics } = route;
  const network = destination.endsWith('/0') ? 'default' : destination;
  const ipMetrics = Object.entries({
    mtu: metrics.mtu,
    advmss: metrics.advertisedMss,
    window: metrics.window,
    hoplimit: metrics.hopLimit,
    initcwnd: metrics.initialCongestionWindow,
    quickack: metrics.quickAck === true ? 1 : undefined,
  }).filter(([, value]) => value !== undefined);
  const hops = route.nextHops.map((hop) => ({
    gateway: hop.via,
    dev: nameOf.get(hop.link!),
    weight: hop.weight,
    flags: [...hop.flags],
  }));
  return {
    type: route.type,
    dst: network.endsWith(full) ? network.slice(0, -full.length) : network,
    protocol: route.protocol,
    scope: route.scope,
    prefsrc: route.preferredSource,
    metric: route.metric,
    metrics: Object.fromEntries(ipMetrics),
    hops,
  };
}

function normalize(ip: IpRoute): Record<string, unknown> {
  const single =
    ip.dev === undefined && ip.gateway === undefined
      ? []
      : [{ gateway: ip.gateway ?? ip.via?.host, dev: ip.dev, weight: 1, flags: ip.flags }];
  const hops =
    ip.nexthops?.map((hop) => ({
      gateway: hop.gateway,
      dev: hop.dev,
      weight: hop.weight,
      flags: hop.flags,
    })) ?? single;
  const metrics: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(ip.metrics?.[0] ?? {})) metrics[name] = value;
  delete metrics.mtu_locked;
  return {
    type: ip.type,
    dst: ip.dst,
    protocol: ip.protocol,
    scope: ip.scope,
    prefsrc: ip.prefsrc,
    metric: ip.metric,
    metrics,
    hops,
  };
}
