import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError } from '../../src/error.ts';
import { NetlinkError } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

function withQueues(): Bed {
  const bed = new Bed();
  bed.net.links.create({
    kind: 'veth',
    name: 'bw0',
    txQueues: 4,
    rxQueues: 3,
    up: true,
    peer: { name: 'bw1', txQueues: 3, rxQueues: 4, up: true },
  });
  return bed;
}

/** The numbers that `ethtool` prints below a heading, by their label. */
function section(text: string, heading: string): Record<string, string> {
  const lines = text.slice(text.indexOf(heading)).split('\n').slice(1);
  const values: Record<string, string> = {};
  for (const line of lines) {
    const [, label, value] = /^([\w ]+):\s+(\S+)$/.exec(line) ?? [];
    if (label === undefined) break;
    values[label] = value!;
  }
  return values;
}

describe('ethtool', () => {
  it('reads and sets channels as ethtool does', () => {
    using bed = withQueues();
    const { ethtool } = bed.net;
    const compare = (): void => {
      const text = bed.run('ethtool', '-l', 'bw0');
      const { current, max } = ethtool.channels('bw0');
      const shown = (counts: typeof current): Record<string, string> => ({
        RX: `${counts.rx || 'n/a'}`,
        TX: `${counts.tx || 'n/a'}`,
        Other: `${counts.other || 'n/a'}`,
        Combined: `${counts.combined || 'n/a'}`,
      });
      const normal = (values: Record<string, string>): Record<string, string> =>
        Object.fromEntries(
          Object.entries(values).map(([key, value]) => [key, value === '0' ? 'n/a' : value]),
        );
      assert.deepEqual(shown(max), normal(section(text, 'Pre-set maximums')));
      assert.deepEqual(shown(current), normal(section(text, 'Current hardware settings')));
    };
    compare();
    assert.deepEqual(ethtool.channels('bw0').max, { rx: 3, tx: 4, other: 0, combined: 0 });
    ethtool.setChannels('bw0', { rx: 1, tx: 2 });
    assert.deepEqual(ethtool.channels('bw0').current, { rx: 1, tx: 2, other: 0, combined: 0 });
    compare();
    bed.run('ethtool', '-L', 'bw0', 'rx', '2');
    assert.equal(ethtool.channels('bw0').current.rx, 2);
    assert.throws(
      () => ethtool.setChannels('bw0', { rx: 99 }),
      (error) =>
        error instanceof NetlinkError &&
        error.reason === 'requested channel count exceeds maximum' &&
        error.attribute === 'ETHTOOL_A_CHANNELS_RX_COUNT',
    );
  });

  it('reads every feature as ethtool does', () => {
    using bed = withQueues();
    const sample = (): void => {
      // The names that ethtool invents for groups stand before the kernel's own, and go unindented.
      const lines = bed.run('ethtool', '-k', 'bw0').split('\n').slice(1);
      const theirs = new Map<string, { on: boolean; fixed: boolean; requested: boolean | undefined }>();
      for (const line of lines) {
        const [, name, state, rest] = /^\s*([\w-]+): (on|off)(.*)$/.exec(line) ?? [];
        if (name === undefined) continue;
        const [, requested] = /requested (on|off)/.exec(rest!) ?? [];
        theirs.set(name, {
          on: state === 'on',
          fixed: rest!.includes('fixed'),
          requested: requested === undefined ? undefined : requested === 'on',
        });
      }
      const ours = bed.net.ethtool.features('bw0');
      let compared = 0;
      for (const feature of ours) {
        const shown = theirs.get(feature.name);
        if (shown === undefined) continue;
        compared++;
        assert.equal(feature.active, shown.on, feature.name);
        assert.equal(feature.changeable, !shown.fixed, feature.name);
        assert.equal(feature.requested, shown.requested ?? shown.on, feature.name);
      }
      assert.ok(compared > 35, `${compared} features compared`);
    };
    sample();
    bed.net.ethtool.setFeatures('bw0', { 'rx-gro': true, 'tx-scatter-gather': false });
    sample();
  });

  it('switches features, and tells what else changed and what was refused', () => {
    using bed = withQueues();
    const { ethtool } = bed.net;
    const active = (name: string): boolean =>
      ethtool.features('bw0').find((one) => one.name === name)!.active;
    const off = ethtool.setFeatures('bw0', { 'tx-checksum-ip-generic': false });
    assert.equal(off.changed['tx-checksum-ip-generic'], false);
    assert.equal(off.changed['tx-tcp-segmentation'], false, 'segmentation needs checksums');
    assert.deepEqual(off.refused, []);
    assert.equal(active('tx-checksum-ip-generic'), false);
    // Segmentation cannot come back while there are no checksums.
    const refused = ethtool.setFeatures('bw0', { 'tx-tcp-segmentation': true });
    assert.deepEqual(refused.changed, {});
    const on = ethtool.setFeatures('bw0', { 'tx-checksum-ip-generic': true });
    assert.equal(on.changed['tx-checksum-ip-generic'], true);
    assert.ok(active('tx-checksum-ip-generic') && active('tx-tcp-segmentation'));
    assert.deepEqual(ethtool.setFeatures('bw0', { 'tx-checksum-ip-generic': true }), {
      changed: {},
      refused: [],
    });
    const fixed = ethtool.features('bw0').find((one) => !one.changeable && !one.active && one.name !== '')!;
    assert.deepEqual(ethtool.setFeatures('bw0', { [fixed.name]: true }), {
      changed: {},
      refused: [fixed.name],
    });
    assert.throws(
      () => ethtool.setFeatures('bw0', { 'rx-gor': true }),
      (error) => error instanceof ArgumentError && error.hint!.includes("'rx-gro'"),
    );
  });

  it('reads and sets what a tap has to set', () => {
    using bed = new Bed();
    const { ethtool } = bed.net;
    bed.run('ip', 'tuntap', 'add', 'dev', 'bwtap', 'mode', 'tap');
    assert.deepEqual(ethtool.coalesce('bwtap'), { rxMaxFrames: 0 });
    ethtool.setCoalesce('bwtap', { rxMaxFrames: 16 });
    assert.deepEqual(ethtool.coalesce('bwtap'), { rxMaxFrames: 16 });
    assert.match(bed.run('ethtool', '-c', 'bwtap'), /rx-frames:\s+16/);
    assert.throws(
      () => ethtool.setCoalesce('bwtap', { txUsecs: 5 }),
      (error) => error instanceof NetlinkError && error.attribute === 'ETHTOOL_A_COALESCE_TX_USECS',
    );
  });

  it('says when a driver has no such setting', () => {
    using bed = withQueues();
    const tasks = [
      () => bed.net.ethtool.rings('bw0'),
      () => bed.net.ethtool.setRings('bw0', { rx: 512 }),
      () => bed.net.ethtool.coalesce('bw0'),
      () => bed.net.ethtool.channels('lo'),
    ];
    for (const task of tasks) {
      assert.throws(
        task,
        (error) =>
          error instanceof NetlinkError &&
          error.code === 'BW_UNSUPPORTED' &&
          /no such setting/.test(error.hint!),
        String(task),
      );
    }
    assert.throws(() => bed.net.ethtool.rings('bw7'), { code: 'BW_NO_INTERFACE' });
  });

  it('reads speed, duplex and port as ethtool does', () => {
    using bed = withQueues();
    const settings = bed.net.ethtool.settings('bw0');
    const text = bed.run('ethtool', 'bw0');
    assert.equal(`${settings.speed}Mb/s`, /Speed: (\S+)/.exec(text)![1]);
    assert.equal(settings.duplex, /Duplex: (\S+)/.exec(text)![1]!.toLowerCase());
    assert.equal(settings.autonegotiation, /Auto-negotiation: on/.test(text));
    assert.equal(settings.detected, /Link detected: yes/.test(text));
    assert.equal(settings.port, 'twisted-pair');
    bed.net.links.set('bw1', { up: false });
    assert.equal(bed.net.ethtool.settings('bw0').detected, false);
  });

  it('names the driver and reads its counters as ethtool does', () => {
    using bed = withQueues();
    const driver = bed.net.ethtool.driver('bw0');
    const text = bed.run('ethtool', '-i', 'bw0');
    assert.equal(driver.driver, /driver: (.*)/.exec(text)![1]);
    assert.equal(driver.version, /version: (.*)/.exec(text)![1]);
    assert.equal(driver.bus, /bus-info: (.*)/.exec(text)![1]);
    const lines = bed.run('ethtool', '-S', 'bw0').split('\n');
    const theirs = lines.flatMap((line) => {
      const [, name, value] = /^\s+(\S+): (\d+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, BigInt(value!)] as const];
    });
    assert.deepEqual([...bed.net.ethtool.statistics('bw0')], theirs);
    assert.equal(bed.net.ethtool.statistics('bw0').get('peer_ifindex'), BigInt(bed.net.links.index('bw1')));
    assert.deepEqual(bed.net.ethtool.statistics('lo'), new Map());
  });
});

describe('network devices', () => {
  it('tells what the driver can do for XDP', () => {
    using bed = withQueues();
    const veth = bed.net.netdev.xdp('bw0');
    assert.equal(veth.index, bed.net.links.index('bw0'));
    assert.deepEqual(veth.features, ['basic', 'redirect', 'rx-sg']);
    assert.deepEqual(veth.rxMetadata, ['timestamp', 'hash', 'vlan-tag']);
    // Frames can be redirected to it once its peer takes them, as with GRO there.
    bed.net.ethtool.setFeatures('bw1', { 'rx-gro': true });
    assert.ok(bed.net.netdev.xdp('bw0').features.includes('ndo-xmit'));
    assert.deepEqual(bed.net.netdev.xdp('lo').features, []);
    assert.throws(() => bed.net.netdev.xdp('bw9'), { code: 'BW_NO_INTERFACE' });
  });

  it('lists the queues in use and the NAPI instances behind them', () => {
    using bed = withQueues();
    const { netdev, ethtool, links } = bed.net;
    const count = (type: string): number =>
      netdev.queues('bw0').filter((queue) => queue.type === type).length;
    assert.deepEqual([count('rx'), count('tx')], [3, 4]);
    ethtool.setChannels('bw0', { rx: 2, tx: 1 });
    assert.deepEqual([count('rx'), count('tx')], [2, 1]);
    ethtool.setFeatures('bw0', { 'rx-gro': true });
    const napis = netdev.napis('bw0');
    assert.equal(napis.length, 2);
    assert.equal(new Set(napis.map((napi) => napi.id)).size, 2);
    for (const napi of napis) assert.deepEqual([napi.deferHardIrqs, napi.groFlushTimeout], [0, 0n]);
    links.set('bw0', { up: false });
    assert.deepEqual(netdev.queues('bw0'), []);
    assert.deepEqual(netdev.napis('bw0'), []);
  });
});
