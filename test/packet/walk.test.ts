import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  buildPacket,
  describePacket,
  flowHash,
  flowOf,
  Ipv4View,
  Ipv6View,
  LayerKind,
  type PacketLayer,
  PacketLayers,
  PppControlView,
  PppoeView,
  UdpView,
} from '../../src/packet/index.ts';
import { generatePacket, KINDS } from './corpus.ts';
import { Random } from './random.ts';

const eth = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
const v4 = { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' } as const;
const v6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' } as const;
const udp = { layer: 'udp', sourcePort: 4000, destinationPort: 5000 } as const;
const tcp = { layer: 'tcp', sourcePort: 4000, destinationPort: 80, sequence: 7 } as const;

function walk(bytes: Uint8Array): PacketLayers {
  return new PacketLayers().decode(bytes);
}

describe('PacketLayers', () => {
  it('gives each layer from where to where it reaches, without padding', () => {
    const packet = new Uint8Array(60);
    packet.set(buildPacket([eth, { layer: 'vlan', id: 5 }, v4, udp, Uint8Array.of(1, 2, 3)]));
    const layers = walk(packet);
    assert.deepEqual(layers.names(), ['eth', 'vlan', 'ipv4', 'udp', 'payload']);
    assert.deepEqual([...layers.offsets.subarray(0, layers.count)], [0, 14, 18, 38, 46]);
    assert.deepEqual([...layers.ends.subarray(0, layers.count)], [60, 60, 49, 49, 49]);
    assert.equal(layers.find(LayerKind.udp), 3);
    assert.equal(layers.find(LayerKind.tcp), -1);
    assert.equal(layers.problem, undefined);
  });

  it('finds the outermost and the innermost of a kind', () => {
    const layers = walk(buildPacket([eth, v4, { ...v4, source: '10.0.0.1' }, udp]));
    assert.equal(layers.find(LayerKind.ipv4), 1);
    assert.equal(layers.findLast(LayerKind.ipv4), 2);
  });

  it('begins with what the device gives', () => {
    const tun = buildPacket([v6, tcp]);
    assert.deepEqual(new PacketLayers().decode(tun, 0, tun.length, LayerKind.ipv6).names(), ['ipv6', 'tcp']);
    const ppp = buildPacket([{ layer: 'ppp' }, { layer: 'lcp', code: 9, identifier: 1 }]);
    assert.deepEqual(new PacketLayers().decode(ppp, 0, ppp.length, LayerKind.ppp).names(), ['ppp', 'lcp']);
  });

  it('says why it stopped and keeps the rest as payload', () => {
    const packet = buildPacket([eth, v4, tcp]);
    const cut = walk(packet.subarray(0, 40));
    assert.deepEqual(cut.names(), ['eth', 'ipv4', 'payload']);
    assert.equal(cut.problem, 'truncated');
    const broken = packet.slice();
    broken[14] = 0x65;
    assert.deepEqual(walk(broken).names(), ['eth', 'payload']);
    assert.equal(walk(broken).problem, 'malformed');
    assert.equal(walk(new Uint8Array(0)).count, 0);
    assert.equal(walk(new Uint8Array(0)).problem, 'truncated');
  });

  it('gives up on a stack of more than 31 layers', () => {
    const tags = Array.from({ length: 40 }, (): PacketLayer => ({ layer: 'vlan', id: 1, etherType: 0x8100 }));
    const layers = walk(buildPacket([{ ...eth, etherType: 0x8100 }, ...tags, new Uint8Array(8)]));
    assert.equal(layers.problem, 'too deep');
    assert.equal(layers.count, 32);
    assert.equal(layers.name(31), 'payload');
  });

  it('takes the rest of later fragments for payload', () => {
    const fragment = { ...v4, protocol: 17, fragmentOffset: 8, moreFragments: true };
    assert.deepEqual(walk(buildPacket([eth, fragment, new Uint8Array(16)])).names(), [
      'eth',
      'ipv4',
      'payload',
    ]);
    const layer = { layer: 'fragment', moreFragments: true, identification: 1 } as const;
    const later = [{ ...layer, nextHeader: 17, fragmentOffset: 8 }, new Uint8Array(16)];
    assert.deepEqual(walk(buildPacket([eth, v6, ...later])).names(), ['eth', 'ipv6', 'fragment', 'payload']);
    const first = [{ ...layer, fragmentOffset: 0 }, udp, new Uint8Array(8)];
    assert.deepEqual(
      walk(buildPacket([eth, v6, ...first]))
        .names()
        .slice(2),
      ['fragment', 'udp', 'payload'],
    );
  });

  it('serves one packet after the other as a fresh one would', () => {
    const random = new Random(7);
    const reused = new PacketLayers();
    for (let i = 0; i < 10 * KINDS.length; i++) {
      const packet = generatePacket(random, KINDS[i % KINDS.length]!);
      packet[random.below(packet.length)] = random.u8();
      const fresh = walk(packet);
      reused.decode(packet);
      assert.deepEqual(reused.names(), fresh.names());
      assert.equal(reused.problem, fresh.problem);
      assert.deepEqual(reused.ends.subarray(0, reused.count), fresh.ends.subarray(0, fresh.count));
    }
  });
});

describe('views', () => {
  it('end their payload where the walk ends the layer, and say what is cut off', () => {
    const views = {
      ipv4: new Ipv4View(),
      ipv6: new Ipv6View(),
      udp: new UdpView(),
      pppoe: new PppoeView(),
      lcp: new PppControlView(),
      ipcp: new PppControlView(),
    } as const;
    const random = new Random(11);
    const seen = new Map<string, number>();
    for (let i = 0; i < 30 * KINDS.length; i++) {
      const packet = generatePacket(random, KINDS[i % KINDS.length]!);
      const cut = packet.subarray(0, random.between(packet.length >> 1, packet.length));
      const layers = walk(cut);
      for (let layer = 0; layer < layers.count; layer++) {
        const name = layers.name(layer);
        if (!(name in views)) continue;
        const view = views[name as keyof typeof views];
        // From the whole of what is left, as a caller would who has not walked before.
        view.at(cut, layers.offsets[layer]!, layer === 0 ? cut.length : layers.ends[layer - 1]!);
        assert.equal(view.payloadEnd, layers.ends[layer], name);
        const next = layer + 1 < layers.count ? layers.offsets[layer + 1] : view.payloadEnd;
        assert.equal(view.payloadOffset, next, name);
        const whole = walk(packet);
        assert.equal(view.truncated, whole.ends[layer]! > cut.length, name);
        seen.set(name, (seen.get(name) ?? 0) + 1);
      }
    }
    assert.deepEqual([...seen.keys()].sort(), Object.keys(views).sort());
  });
});

describe('describePacket', () => {
  const cases: [string, PacketLayer[]][] = [
    ['192.0.2.1:4000 > 192.0.2.2:5000 UDP length 3', [eth, v4, udp, new Uint8Array(3)]],
    [
      'vlan 5 [2001:db8::1]:4000 > [2001:db8::2]:80 TCP SYN,ACK seq 7 ack 9 win 1024 length 2',
      [
        eth,
        { layer: 'vlan', id: 5 },
        v6,
        { ...tcp, syn: true, ack: true, acknowledgment: 9, window: 1024 },
        new Uint8Array(2),
      ],
    ],
    [
      'ARP who has 192.0.2.2? tell 192.0.2.1',
      [
        eth,
        {
          layer: 'arp',
          operation: 1,
          senderHardwareAddress: 1,
          senderProtocolAddress: '192.0.2.1',
          targetProtocolAddress: '192.0.2.2',
        },
      ],
    ],
    [
      'ARP 192.0.2.1 is at 02:00:00:00:00:09',
      [
        eth,
        {
          layer: 'arp',
          operation: 2,
          senderHardwareAddress: '02:00:00:00:00:09',
          senderProtocolAddress: '192.0.2.1',
          targetProtocolAddress: '192.0.2.2',
        },
      ],
    ],
    [
      '192.0.2.1 > 192.0.2.2 ICMP echo request id 1 seq 2',
      [eth, v4, { layer: 'icmp', type: 8, identifier: 1, sequence: 2 }],
    ],
    [
      '2001:db8::1 > 2001:db8::2 ICMPv6 neighbor solicitation fe80::1',
      [eth, v6, { layer: 'ndp', message: { kind: 'neighborSolicitation', target: 'fe80::1', options: [] } }],
    ],
    [
      '192.0.2.1:4000 > 192.0.2.2:53 DNS query 4660 AAAA example.com',
      [
        eth,
        v4,
        { ...udp, destinationPort: 53 },
        { layer: 'dns', message: { id: 0x1234, questions: [{ name: 'example.com', type: 'AAAA' }] } },
      ],
    ],
    [
      '192.0.2.1:53 > 192.0.2.2:5000 DNS response 1 code 3 answers 0 A example.com',
      [
        eth,
        v4,
        { ...udp, sourcePort: 53 },
        {
          layer: 'dns',
          message: {
            id: 1,
            response: true,
            responseCode: 3,
            questions: [{ name: 'example.com', type: 'A' }],
          },
        },
      ],
    ],
    [
      '02:00:00:00:00:01 > 02:00:00:00:00:02 PPPoE PADI session 0',
      [eth, { layer: 'pppoe', code: 9, sessionId: 0, tags: [{ type: 0x101, data: '' }] }],
    ],
    [
      'PPPoE session 17 LCP configure request id 3',
      [
        eth,
        { layer: 'pppoe', code: 0, sessionId: 17 },
        { layer: 'ppp' },
        { layer: 'lcp', code: 1, identifier: 3 },
      ],
    ],
    [
      '02:00:00:00:00:01 > 02:00:00:00:00:02 EtherType 0x88b5',
      [{ ...eth, etherType: 0x88b5 }, new Uint8Array(46)],
    ],
    ['192.0.2.1 > 192.0.2.2 IPv4 protocol 89', [eth, { ...v4, protocol: 89 }, new Uint8Array(8)]],
  ];
  for (const [text, layers] of cases) {
    it(`writes: ${text}`, () => {
      assert.equal(describePacket(buildPacket(layers)), text);
    });
  }

  it('names what could not be read, and never lets control characters through', () => {
    const packet = buildPacket([eth, v4, tcp]);
    assert.match(describePacket(packet.subarray(0, 40)), /IPv4 protocol 6 \[truncated\]$/);
    assert.equal(describePacket(new Uint8Array(0)), '[truncated]');
    const evil = { id: 1, questions: [{ name: 'a\\027[2Jb\\010', type: 'A' }] } as const;
    const query = buildPacket([eth, v4, { ...udp, destinationPort: 53 }, { layer: 'dns', message: evil }]);
    assert.match(describePacket(query), /a\\027\[2Jb\\010$/);
    const random = new Random(8);
    for (let i = 0; i < 2000; i++) assert.match(describePacket(random.someBytes(120)), /^[\x20-\x7e]+$/);
  });
});

describe('flows', () => {
  it('are protocol, addresses and ports of the innermost IP header', () => {
    const expected = {
      protocol: 17,
      source: '192.0.2.1',
      destination: '192.0.2.2',
      sourcePort: 4000,
      destinationPort: 5000,
    };
    assert.deepEqual(flowOf(walk(buildPacket([eth, v4, udp]))), expected);
    assert.deepEqual(flowOf(walk(buildPacket([eth, v6, v4, udp]))), expected);
    assert.equal(flowOf(walk(buildPacket([{ ...eth, etherType: 0x88b5 }, new Uint8Array(50)]))), undefined);
    const options = { layer: 'hopByHop', options: [] } as const;
    assert.deepEqual(flowOf(walk(buildPacket([eth, v6, options, { ...tcp, syn: true }]))), {
      protocol: 6,
      source: '2001:db8::1',
      destination: '2001:db8::2',
      sourcePort: 4000,
      destinationPort: 80,
    });
  });

  it('have no ports in any fragment, so that all of a packet land together', () => {
    const rest = { identification: 1, protocol: 17 };
    const first = buildPacket([eth, { ...v4, ...rest, moreFragments: true }, udp, new Uint8Array(8)]);
    const later = buildPacket([eth, { ...v4, ...rest, fragmentOffset: 16 }, new Uint8Array(8)]);
    assert.deepEqual(flowOf(walk(first)), flowOf(walk(later)));
    assert.equal(flowOf(walk(first))!.sourcePort, 0);
    assert.equal(flowHash(walk(first)), flowHash(walk(later)));
    const layer = { layer: 'fragment', identification: 1 } as const;
    const first6 = [{ ...layer, moreFragments: true, fragmentOffset: 0 }, udp, new Uint8Array(8)];
    const later6 = [
      { ...layer, moreFragments: false, fragmentOffset: 16, nextHeader: 17 },
      new Uint8Array(8),
    ];
    const [a, b] = [first6, later6].map((layers) => walk(buildPacket([eth, v6, ...layers])));
    assert.deepEqual(flowOf(a!), flowOf(b!));
    assert.equal(flowHash(a!), flowHash(b!));
  });

  it('hash alike in both directions if wished, and apart from each other', () => {
    const back = { ...v4, source: v4.destination, destination: v4.source };
    const there = walk(buildPacket([eth, v4, udp]));
    const answer = walk(buildPacket([eth, back, { ...udp, sourcePort: 5000, destinationPort: 4000 }]));
    assert.equal(flowHash(there), flowHash(answer));
    assert.notEqual(flowHash(there, false), flowHash(answer, false));
    // 4096 flows over 16 buckets: with a good hash, 256 each give or take a few times 16.
    const buckets = Array<number>(16).fill(0);
    for (let i = 0; i < 4096; i++) {
      const packet = buildPacket([
        eth,
        { ...v4, source: 0x0a000000 + i },
        { ...udp, sourcePort: 1024 + (i % 7) },
      ]);
      buckets[flowHash(walk(packet)) & 15]!++;
    }
    for (const count of buckets)
      assert.ok(count > 180 && count < 340, `${count} of 4096 in one of 16 buckets`);
    assert.equal(flowHash(walk(new Uint8Array(3))), 0);
  });
});
