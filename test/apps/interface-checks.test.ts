import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Check } from '../../src/apps/check.ts';
import { type InterfaceFacts, interfaceChecks } from '../../src/apps/interface-checks.ts';
import type { ChannelCounts } from '../../src/netlink/index.ts';

// Cards and hosts that this machine does not have, by what their drivers tell.

const usual: InterfaceFacts = {
  link: { name: 'eth0', kind: undefined, mtu: 1500, up: true, carrier: true, xdp: [] },
  driver: 'ixgbe',
  channels: undefined,
  xdp: { features: ['basic', 'redirect', 'ndo-xmit', 'xsk-zerocopy'], rxMetadata: [] },
  active: new Map(),
  tcpDataSplit: false,
  queues: { rx: 4, tx: 4 },
  peer: undefined,
  inside: '',
  cpus: 4,
};

const channels = (
  current: Partial<ChannelCounts>,
  max: Partial<ChannelCounts>,
): InterfaceFacts['channels'] => {
  const none = { rx: 0, tx: 0, other: 0, combined: 0 };
  return { current: { ...none, ...current }, max: { ...none, ...max } };
};

const find = (facts: Partial<InterfaceFacts>, id: string): Check | undefined =>
  interfaceChecks({ ...usual, ...facts }).find((check) => check.id === id);

const blocks = (facts: Partial<InterfaceFacts>): [string, string | undefined][] =>
  interfaceChecks({ ...usual, ...facts })
    .filter(({ state }) => state === 'blocks')
    .map(({ id, remedy }) => [id, remedy]);

describe('what stands between an interface and XDP in its driver', () => {
  it('is nothing on an ordinary card', () => {
    assert.deepEqual(
      interfaceChecks(usual).map(({ id, state }) => [id, state]),
      [
        ['interface', 'fact'],
        ['xdp-driver', 'ok'],
        ['zero-copy', 'ok'],
      ],
    );
  });

  it('is an MTU beyond one buffer, unless the driver takes several', () => {
    const link = { ...usual.link, mtu: 9000 };
    assert.deepEqual(blocks({ link }), [['mtu', 'ip link set dev eth0 mtu 1500']]);
    assert.deepEqual(blocks({ link, xdp: { features: ['basic', 'rx-sg'], rxMetadata: [] } }), []);
    assert.deepEqual(blocks({ link: { ...usual.link, mtu: 3498 } }), []);
  });

  it('is a card that merges packets', () => {
    assert.deepEqual(blocks({ active: new Map([['rx-lro', { changeable: true }]]) }), [
      ['lro', 'ethtool -K eth0 lro off'],
    ]);
    const merging = new Map([['rx-gro-hw', { changeable: true }]]);
    assert.deepEqual(blocks({ active: merging }), [['gro-hw', 'ethtool -K eth0 rx-gro-hw off']]);
    // virtio_net switches it off by itself, where its host lets it.
    assert.deepEqual(blocks({ driver: 'virtio_net', active: merging }), []);
    const [fixed] = blocks({ driver: 'virtio_net', active: new Map([['rx-gro-hw', { changeable: false }]]) });
    assert.match(fixed?.[1] ?? '', /on the host/);
  });

  it('is the split of headers from data', () => {
    assert.deepEqual(blocks({ tcpDataSplit: true }), [
      ['tcp-data-split', 'ethtool -G eth0 tcp-data-split off'],
    ]);
  });

  it('is too many queues in use, or of the wrong sort', () => {
    const full = { driver: 'ena', channels: channels({ combined: 8 }, { combined: 8 }) };
    assert.deepEqual(blocks(full), [['queues', 'ethtool -L eth0 combined 4']]);
    assert.deepEqual(blocks({ ...full, channels: channels({ combined: 4 }, { combined: 8 }) }), []);
    const separate = { driver: 'bnxt_en', channels: channels({ rx: 6, tx: 6 }, { combined: 4 }) };
    assert.deepEqual(blocks(separate), [['queues', 'ethtool -L eth0 rx 0 tx 0 combined 4']]);
  });

  it('is only slower where virtio has no queues left for XDP', () => {
    const few = { driver: 'virtio_net', channels: channels({ combined: 8 }, { combined: 8 }) };
    assert.deepEqual(
      [find(few, 'queues')?.state, find(few, 'queues')?.remedy],
      ['warning', 'ethtool -L eth0 combined 4'],
    );
    const one = { driver: 'virtio_net', channels: channels({ combined: 1 }, { combined: 1 }) };
    assert.match(find(one, 'queues')?.remedy ?? '', /5 queues on its host/);
  });

  it('is a veth whose peer sends on more queues than it receives on, mended where it can be', () => {
    const wire = {
      link: { ...usual.link, kind: 'veth' },
      driver: 'veth',
      queues: { rx: 1, tx: 1 },
      peer: { name: 'eth7', inside: 'ip netns exec far ', queues: { rx: 2, tx: 2 } },
      inside: 'ip netns exec near ',
    };
    assert.deepEqual(blocks({ ...wire, channels: channels({ rx: 1, tx: 1 }, { rx: 1, tx: 1 }) }), [
      ['peer-queues', 'ip netns exec far ethtool -L eth7 tx 1'],
    ]);
    assert.deepEqual(blocks({ ...wire, channels: channels({ rx: 1, tx: 1 }, { rx: 2, tx: 2 }) }), [
      ['peer-queues', 'ip netns exec near ethtool -L eth0 rx 2'],
    ]);
  });

  it('is not told where the kernel does not know', () => {
    assert.equal(find({ xdp: undefined }, 'xdp-driver')?.state, 'fact');
  });
});
