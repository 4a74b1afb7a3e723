import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ArgumentError } from '../../src/error.ts';
import {
  addressSum4,
  addressSum6,
  buildPacket,
  type DnsMessage,
  decodeChap,
  decodeDns,
  decodeEap,
  decodeIpv4Options,
  decodeIpv6Options,
  decodeNdp,
  decodePap,
  decodePppOptions,
  decodePppoeTags,
  decodeTcpOptions,
  EthernetView,
  EtherType,
  emitAh,
  emitArp,
  emitChap,
  emitDns,
  emitEap,
  emitEthernet,
  emitIcmp,
  emitIcmpv6,
  emitIpv4,
  emitIpv4Options,
  emitIpv6,
  emitIpv6Fragment,
  emitIpv6OptionsHeader,
  emitIpv6Routing,
  emitNdp,
  emitPacket,
  emitPap,
  emitPpp,
  emitPppControl,
  emitPppoe,
  emitTcp,
  emitTcpOptions,
  emitUdp,
  emitVlan,
  IpProtocol,
  Ipv4View,
  Ipv6ExtensionView,
  Ipv6OptionCursor,
  Ipv6View,
  type PacketLayer,
  PacketLayers,
  PppProtocol,
  TcpView,
  UdpView,
} from '../../src/packet/index.ts';
import { dns, generate, ipv4Options, ipv6Options, KINDS, ndp, tcpOptions } from './corpus.ts';
import { Random } from './random.ts';

const POISON = 0xa5;

/** The bytes that an emitter writes; whatever is around them must stay as it was. */
function emitted(emit: (out: Uint8Array, offset: number) => number): Uint8Array {
  const out = new Uint8Array(4096).fill(POISON);
  const end = emit(out, 32);
  assert.ok(end >= 32 && end <= out.length);
  assert.ok(
    out.subarray(0, 32).every((byte) => byte === POISON),
    'wrote before its offset',
  );
  assert.ok(
    out.subarray(end).every((byte) => byte === POISON),
    'wrote past what it returned',
  );
  return out.slice(32, end);
}

const seeded = fc.integer().map((seed) => new Random(seed));

describe('emitters', () => {
  it('write options, messages and packets that read back as they were given', () => {
    fc.assert(
      fc.property(seeded, (random) => {
        const tcp = tcpOptions(random);
        const tcpBytes = emitted((out, at) => emitTcpOptions(out, at, tcp));
        const padding = decodeTcpOptions(tcpBytes, 0, tcpBytes.length).slice(tcp.length);
        assert.deepEqual(decodeTcpOptions(tcpBytes, 0, tcpBytes.length).slice(0, tcp.length), tcp);
        assert.ok(padding.length === 0 || (padding.length === 1 && padding[0]!.kind === 'end'));

        const v4 = ipv4Options(random);
        const v4Bytes = emitted((out, at) => emitIpv4Options(out, at, v4));
        assert.deepEqual(decodeIpv4Options(v4Bytes, 0, v4Bytes.length).slice(0, v4.length), v4);

        const v6 = ipv6Options(random);
        const v6Bytes = emitted((out, at) => emitIpv6OptionsHeader(out, at, { nextHeader: 17, options: v6 }));
        assert.equal(v6Bytes.length % 8, 0);
        const extension = new Ipv6ExtensionView().at(v6Bytes);
        assert.equal(extension.headerLength, v6Bytes.length);
        assert.deepEqual(decodeIpv6Options(v6Bytes, 2, v6Bytes.length), v6);

        const neighbor = ndp(random);
        assert.deepEqual(decodeNdp(emitted((out, at) => emitNdp(out, at, neighbor, 0))), neighbor);

        const data = random.someBytes(20);
        const identifier = random.u8();
        for (const packet of [
          { kind: 'request', identifier, peerId: data, password: random.someBytes(9) },
          { kind: 'nak', identifier, message: data },
        ] as const) {
          assert.deepEqual(decodePap(emitted((out, at) => emitPap(out, at, packet))), packet);
        }
        for (const packet of [
          { kind: 'challenge', identifier, value: data, name: random.someBytes(9) },
          { kind: 'failure', identifier, message: data },
        ] as const) {
          assert.deepEqual(decodeChap(emitted((out, at) => emitChap(out, at, packet))), packet);
        }
        for (const packet of [
          { kind: 'response', identifier, type: 4, data },
          { kind: 'success', identifier },
        ] as const) {
          assert.deepEqual(decodeEap(emitted((out, at) => emitEap(out, at, packet))), packet);
        }

        const options = random.list(0, 4, () => ({ type: random.u8(), data: random.someBytes(10) }));
        const control = emitted((out, at) => emitPppControl(out, at, { code: 1, identifier, options }));
        assert.deepEqual(decodePppOptions(control, 4, control.length), options);

        const tags = random.list(0, 4, () => ({ type: 1 + random.u8(), data: random.someBytes(10) }));
        const pppoe = emitted((out, at) => emitPppoe(out, at, { code: 9, sessionId: 0, tags }));
        assert.deepEqual(decodePppoeTags(pppoe, 6, pppoe.length), tags);
      }),
    );
  });

  it('write DNS messages that read back as they were given', () => {
    fc.assert(
      fc.property(seeded, (random) => {
        const message = dns(random);
        const read = decodeDns(emitted((out, at) => emitDns(out, at, message)));
        assert.deepEqual(read, { ...message });
      }),
      { numRuns: 500 },
    );
  });

  it('leave decoders nothing that changes with the bytes, not even those of a Buffer', () => {
    const random = new Random(9);
    for (let i = 0; i < 50; i++) {
      const tags = random.list(1, 4, () => ({ type: 1 + random.u8(), data: random.bytes(5) }));
      const pppoe = Buffer.from(emitted((out, at) => emitPppoe(out, at, { code: 9, sessionId: 0, tags })));
      const message = dns(random);
      const query = Buffer.from(emitted((out, at) => emitDns(out, at, message)));
      const decoded = [decodePppoeTags(pppoe, 6, pppoe.length), decodeDns(query)];
      pppoe.fill(0);
      query.fill(0);
      assert.deepEqual(decoded, [tags, message]);
    }
  });

  it('copy a payload or leave room for one, with the same header', () => {
    const payload = Uint8Array.from({ length: 33 }, (_, i) => i);
    const addressSum = addressSum4('192.0.2.1', '192.0.2.2');
    const ip = { source: '192.0.2.1', destination: '192.0.2.2', protocol: 17 };
    const ports = { sourcePort: 1, destinationPort: 2 };
    const emitters: ((out: Uint8Array, at: number, given: object) => number)[] = [
      (out, at, given) => emitIpv4(out, at, { ...ip, ...given }),
      (out, at, given) => emitIpv6(out, at, { source: '::1', destination: '::2', nextHeader: 17, ...given }),
      (out, at, given) => emitUdp(out, at, { ...ports, addressSum, ...given }),
      (out, at, given) => emitTcp(out, at, { ...ports, sequence: 1, addressSum, ...given }),
      (out, at, given) => emitIcmp(out, at, { type: 8, ...given }),
      (out, at, given) => emitIcmpv6(out, at, { type: 128, addressSum, ...given }),
      (out, at, given) => emitPppoe(out, at, { code: 0, sessionId: 1, ...given }),
      (out, at, given) => emitPppControl(out, at, { code: 9, identifier: 1, ...given }),
    ];
    for (const emit of emitters) {
      const copied = emitted((out, at) => emit(out, at, { payload }));
      const inPlace = new Uint8Array(copied.length);
      inPlace.set(payload, copied.length - payload.length);
      const end = emit(inPlace, 0, { payloadLength: payload.length });
      assert.equal(end, copied.length - payload.length);
      assert.deepEqual(inPlace, copied);
    }
  });

  it('fill in what is left out and keep what is given', () => {
    const out = new Uint8Array(64);
    const ip = { source: 0x0a000001, destination: '10.0.0.2', protocol: 17 } as const;
    emitIpv4(out, 0, { ...ip, payloadLength: 10 });
    const view = new Ipv4View().at(out);
    assert.equal(view.totalLength, 30);
    assert.equal(view.ttl, 64);
    assert.equal(view.sourceText, '10.0.0.1');
    assert.equal(view.destination, 0x0a000002);
    assert.ok(view.verifyChecksum());
    emitIpv4(out, 0, { ...ip, totalLength: 44, checksum: 0x1234 });
    assert.equal(view.totalLength, 44);
    assert.equal(view.checksum, 0x1234);
    assert.ok(!view.verifyChecksum());
    view.updateChecksum();
    assert.ok(view.verifyChecksum());
    emitUdp(out, 20, { sourcePort: 1, destinationPort: 2, checksum: 0 });
    assert.equal(new UdpView().at(out, 20).checksum, 0);
    assert.ok(new UdpView().at(out, 20).verifyChecksum(0));
  });

  it('align the options of IPv6 as their definitions ask', () => {
    // A router alert lies at an even offset, a jumbo payload two behind a multiple of four; the header begins at 0.
    const options = [
      { kind: 'other', type: 30, data: new Uint8Array(1) },
      { kind: 'routerAlert', value: 7 },
      { kind: 'other', type: 30, data: new Uint8Array(3) },
      { kind: 'jumbo', length: 0x12345 },
    ] as const;
    const bytes = emitted((out, at) => emitIpv6OptionsHeader(out, at, { nextHeader: 17, options }));
    const cursor = new Ipv6OptionCursor().start(bytes, 2, bytes.length);
    const offsets: number[] = [];
    while (cursor.next()) offsets.push(cursor.offset);
    assert.deepEqual(offsets, [2, 6, 10, 18]);
    assert.deepEqual(decodeIpv6Options(bytes, 2, bytes.length), options);
  });

  it('write a computed UDP checksum of 0 as 0xffff', () => {
    // The payload makes up for everything else, so that the sum is 0xffff.
    const out = new Uint8Array(10);
    const fields = { sourcePort: 1, destinationPort: 2, addressSum: 0 };
    emitUdp(out, 0, { ...fields, payload: Uint8Array.of(0, 0) });
    const rest = new UdpView().at(out).checksum;
    emitUdp(out, 0, { ...fields, payload: Uint8Array.of(rest >> 8, rest & 0xff) });
    assert.equal(new UdpView().at(out).checksum, 0xffff);
    assert.ok(new UdpView().at(out).verifyChecksum(0));
  });

  it('take the hop limit down and mend the checksum on the way', () => {
    const out = new Uint8Array(20);
    fc.assert(
      fc.property(fc.nat(255), fc.nat(255), fc.integer({ min: 0, max: 0xffff }), (ttl, protocol, id) => {
        emitIpv4(out, 0, { source: id, destination: 7, protocol, ttl, identification: id });
        const view = new Ipv4View().at(out);
        assert.equal(view.decrementTtl(), Math.max(0, ttl - 1));
        assert.equal(view.ttl, Math.max(0, ttl - 1));
        assert.ok(view.verifyChecksum());
      }),
    );
  });

  it('refuse fields out of range and buffers too small with an ArgumentError', () => {
    const out = new Uint8Array(2048);
    const mac = '02:00:00:00:00:01';
    const v4 = { source: '192.0.2.1', destination: '192.0.2.2', protocol: 6 };
    const v6 = { source: '2001:db8::1', destination: '2001:db8::2', nextHeader: 6 };
    const ports = { sourcePort: 1, destinationPort: 2, checksum: 0 };
    const wrong: [string, () => unknown][] = [
      ['etherType', () => emitEthernet(out, 0, { destination: mac, source: mac, etherType: 0x10000 })],
      ['MAC', () => emitEthernet(out, 0, { destination: mac, source: 'x', etherType: 0 })],
      ['MAC number', () => emitEthernet(out, 0, { destination: 2 ** 48, source: mac, etherType: 0 })],
      [
        'MAC bytes',
        () => emitEthernet(out, 0, { destination: new Uint8Array(5), source: mac, etherType: 0 }),
      ],
      ['vlan id', () => emitVlan(out, 0, { id: 4096, etherType: 0 })],
      ['vlan priority', () => emitVlan(out, 0, { id: 1, priority: 8, etherType: 0 })],
      ['IPv4 text', () => emitIpv4(out, 0, { ...v4, source: '192.0.2.256' })],
      ['IPv4 number', () => emitIpv4(out, 0, { ...v4, source: -1 })],
      ['ttl', () => emitIpv4(out, 0, { ...v4, ttl: 256 })],
      ['ttl fraction', () => emitIpv4(out, 0, { ...v4, ttl: 1.5 })],
      ['ttl NaN', () => emitIpv4(out, 0, { ...v4, ttl: Number.NaN })],
      ['fragmentOffset', () => emitIpv4(out, 0, { ...v4, fragmentOffset: 7 })],
      ['length', () => emitIpv4(out, 0, { ...v4, payloadLength: 0x10000 })],
      ['checksum', () => emitIpv4(out, 0, { ...v4, checksum: -1 })],
      ['IPv6', () => emitIpv6(out, 0, { ...v6, source: '2001:db8:::1' })],
      ['IPv6 bytes', () => emitIpv6(out, 0, { ...v6, source: new Uint8Array(4) })],
      ['flowLabel', () => emitIpv6(out, 0, { ...v6, flowLabel: 0x100000 })],
      ['port', () => emitUdp(out, 0, { ...ports, sourcePort: 65_536 })],
      ['sequence', () => emitTcp(out, 0, { ...ports, sequence: 2 ** 32 })],
      ['no address sum', () => emitUdp(out, 0, { sourcePort: 1, destinationPort: 2 })],
      ['address sum', () => emitUdp(out, 0, { sourcePort: 1, destinationPort: 2, addressSum: 0x10000 })],
      ['TCP options', () => emitTcpOptions(out, 0, Array(11).fill({ kind: 'mss', value: 1460 }))],
      ['TCP option', () => emitTcpOptions(out, 0, [{ kind: 'other', number: 1, data: new Uint8Array(1) }])],
      ['IPv4 option', () => emitIpv4Options(out, 0, [{ kind: 'other', type: 0, data: new Uint8Array(1) }])],
      [
        'IPv6 option',
        () =>
          emitIpv6OptionsHeader(out, 0, {
            nextHeader: 6,
            options: [{ kind: 'other', type: 1, data: new Uint8Array(1) }],
          }),
      ],
      [
        'routing',
        () => emitIpv6Routing(out, 0, { nextHeader: 6, routingType: 300, segmentsLeft: 0, addresses: [] }),
      ],
      [
        'fragment',
        () =>
          emitIpv6Fragment(out, 0, {
            nextHeader: 6,
            fragmentOffset: 4,
            moreFragments: false,
            identification: 1,
          }),
      ],
      ['ah', () => emitAh(out, 0, { nextHeader: 6, spi: 1, sequence: 1, icv: new Uint8Array(5) })],
      ['ppp', () => emitPpp(out, 0, { protocol: 0x10000 })],
      ['pap', () => emitPap(out, 0, { kind: 'ack', identifier: 0, message: new Uint8Array(256) })],
      ['dns id', () => emitDns(out, 0, { id: 65_536 })],
      ['dns code', () => emitDns(out, 0, { id: 1, responseCode: 16 })],
      ['dns type', () => emitDns(out, 0, { id: 1, questions: [{ name: 'a', type: 'TYPE65536' }] })],
      ['dns field', () => emitDns(out, 0, { id: 1, answers: [{ name: 'a', ttl: 1, type: 'A' } as never] })],
    ];
    for (const [name, emit] of wrong) assert.throws(emit, ArgumentError, name);
  });

  it('never write into a buffer that is too small for the whole', () => {
    const random = new Random(5);
    for (let i = 0; i < 10 * KINDS.length; i++) {
      const layers = generate(random, KINDS[i % KINDS.length]!);
      const { length } = buildPacket(layers);
      const out = new Uint8Array(length - 1).fill(POISON);
      assert.throws(() => emitPacket(out, 0, layers), ArgumentError);
      assert.ok(out.every((byte) => byte === POISON));
    }
    const message: DnsMessage = { ...dns(random), edns: { options: [{ code: 1, data: new Uint8Array(9) }] } };
    const length = emitted((out, at) => emitDns(out, at, message)).length;
    for (let size = 0; size < length; size++) {
      assert.throws(() => emitDns(new Uint8Array(size), 0, message), ArgumentError, `${size} bytes`);
    }
    const arp = {
      operation: 1,
      senderHardwareAddress: 1,
      senderProtocolAddress: 1,
      targetProtocolAddress: 2,
    };
    assert.throws(() => emitArp(new Uint8Array(64), 40, arp), ArgumentError);
    assert.throws(() => emitArp(new Uint8Array(64), -1, arp), ArgumentError);
  });
});

describe('buildPacket', () => {
  const eth = { layer: 'eth', source: '02:00:00:00:00:01', destination: 'ff:ff:ff:ff:ff:ff' } as const;
  const v4 = { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' } as const;
  const v6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' } as const;
  const udp = { layer: 'udp', sourcePort: 1000, destinationPort: 2000 } as const;

  it('gives what the emitters give one by one', () => {
    const payload = new TextEncoder().encode('hello');
    const built = buildPacket([eth, v4, udp, payload]);
    const out = new Uint8Array(14 + 20 + 8 + 5);
    emitUdp(out, 34, { ...udp, payload, addressSum: addressSum4(v4.source, v4.destination) });
    emitIpv4(out, 14, { ...v4, protocol: 17, payloadLength: 13 });
    emitEthernet(out, 0, { ...eth, etherType: 0x0800 });
    assert.deepEqual(built, out);
    const placed = new Uint8Array(100);
    assert.equal(emitPacket(placed, 10, [eth, v4, udp, payload]), 10 + built.length);
    assert.deepEqual(placed.slice(10, 10 + built.length), built);
  });

  it('names each next layer by itself', () => {
    const types = (layers: PacketLayer[]): number =>
      new EthernetView().at(buildPacket([eth, ...layers])).etherType;
    const arp = {
      layer: 'arp',
      operation: 1,
      senderHardwareAddress: 1,
      senderProtocolAddress: 1,
      targetProtocolAddress: 2,
    } as const;
    const vlan = { layer: 'vlan', id: 1 } as const;
    assert.equal(types([v4]), EtherType.ipv4);
    assert.equal(types([v6]), EtherType.ipv6);
    assert.equal(types([arp]), EtherType.arp);
    assert.equal(types([vlan, arp]), EtherType.vlan);
    assert.equal(types([vlan, vlan, arp]), EtherType.qinq);
    assert.equal(types([{ layer: 'pppoe', code: 9, sessionId: 0 }]), EtherType.pppoeDiscovery);
    const lcp = { layer: 'lcp', code: 9, identifier: 1 } as const;
    const session: PacketLayer[] = [{ layer: 'pppoe', code: 0, sessionId: 1 }, { layer: 'ppp' }, lcp];
    assert.equal(types(session), EtherType.pppoeSession);
    const packet = buildPacket([eth, ...session]);
    assert.equal((packet[20]! << 8) | packet[21]!, PppProtocol.lcp);
    assert.equal(new Ipv4View().at(buildPacket([v4])).protocol, IpProtocol.noNextHeader);
    assert.equal(new Ipv4View().at(buildPacket([v4, v6])).protocol, IpProtocol.ipv6);
  });

  it('takes the innermost IP header, and the final destination, for a checksum', () => {
    const outer = { ...v4, destination: '203.0.113.9' };
    const tunnelled = buildPacket([outer, v6, udp]);
    assert.ok(new UdpView().at(tunnelled, 60).verifyChecksum(addressSum6(v6.source, v6.destination)));
    const routed = buildPacket([
      v6,
      { layer: 'routing', routingType: 0, segmentsLeft: 1, addresses: ['2001:db8::5', '2001:db8::9'] },
      { layer: 'tcp', sourcePort: 1, destinationPort: 2, sequence: 3, syn: true },
    ]);
    const tcp = new TcpView().at(routed, 40 + 8 + 32);
    assert.ok(tcp.syn && !tcp.ack && tcp.flags === 2);
    assert.ok(tcp.verifyChecksum(addressSum6(v6.source, '2001:db8::9')));
    assert.ok(!tcp.verifyChecksum(new Ipv6View().at(routed).addressSum));
  });

  it('says which layer it cannot name, and that a checksum needs addresses', () => {
    assert.throws(() => buildPacket([eth, new Uint8Array(4)]), {
      message: /no etherType is known for bytes/,
    });
    assert.throws(() => buildPacket([eth, udp]), ArgumentError);
    assert.throws(() => buildPacket([udp]), { message: /IP layer/ });
    assert.throws(() => buildPacket([{ layer: 'ppp' }, { ...udp, checksum: 0 }]), { message: /'udp'/ });
    assert.throws(() => buildPacket([v4, new Uint8Array(4)]), ArgumentError);
  });

  it('leaves a stack that the walk finds again, for every kind of packet', () => {
    const random = new Random(6);
    for (let i = 0; i < 20 * KINDS.length; i++) {
      const layers = generate(random, KINDS[i % KINDS.length]!);
      const walked = new PacketLayers().decode(buildPacket(layers));
      assert.equal(walked.problem, undefined);
      const expected = layers.flatMap((layer) => {
        if (layer instanceof Uint8Array) return [];
        return [layer.layer === 'ndp' ? 'icmpv6' : layer.layer];
      });
      // What is behind an ICMPv6 header or in a control packet is payload to the walk.
      const names = walked.names().filter((name) => name !== 'payload');
      assert.deepEqual(names, expected);
    }
  });
});
