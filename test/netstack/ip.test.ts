import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ip, type NetError, NetStack, Network, type UdpHandler } from '../../src/netstack/index.ts';
import {
  buildPacket,
  IcmpView,
  Ipv4View,
  Ipv6View,
  type PacketLayer,
  UdpView,
} from '../../src/packet/index.ts';
import { OURS, PEER, Script } from './script.ts';

const OURS6 = '2001:db8::1';
const PEER6 = '2001:db8::2';

/** A stack with both versions, and what it sends. */
function bed(mtu = 1500) {
  const packets: Uint8Array[] = [];
  const messages: string[] = [];
  const errors: NetError[] = [];
  const stack = new NetStack({ secret: new Uint8Array(16) });
  const via = stack.addInterface({
    mtu,
    addresses: [`${OURS}/24`, `${OURS6}/64`],
    output: (bytes, offset, length) => packets.push(bytes.slice(offset, offset + length)) > 0,
  });
  const handler: UdpHandler = {
    onMessage: (bytes, from, port) => messages.push(`${bytes.length} from ${from} ${port}`),
    onError: (error) => errors.push(error),
  };
  const socket = stack.openUdp({ port: 53 }, handler);
  const take = (layers: PacketLayer[], now = 0): void => {
    const bytes = buildPacket(layers);
    stack.input(via, bytes, 0, bytes.length, now);
    stack.flush(now);
  };
  return { stack, via, packets, messages, errors, socket, take };
}

const udp = { layer: 'udp', sourcePort: 1234, destinationPort: 53 } as const;
const ipv4 = { layer: 'ipv4', source: PEER, destination: OURS } as const;
const ipv6 = { layer: 'ipv6', source: PEER6, destination: OURS6 } as const;

/** The pieces of one IPv4 datagram: where each begins, how long it is. */
function pieces(
  total: number,
  ...parts: readonly (readonly [start: number, length: number])[]
): PacketLayer[][] {
  const whole = buildPacket([ipv4, udp, new Uint8Array(total - 8)]).slice(20);
  return parts.map(([start, length]) => [
    {
      ...ipv4,
      protocol: 17,
      identification: 77,
      fragmentOffset: start,
      moreFragments: start + length < total,
    },
    whole.slice(start, start + length),
  ]);
}

describe('fragments', () => {
  it('RFC 791, 3.2: in any order, and twice', () => {
    const { take, messages } = bed();
    const all = pieces(3000, [0, 1400], [1400, 1400], [2800, 200]);
    for (const index of [2, 0, 0, 1]) take(all[index]!);
    assert.deepEqual(messages, [`2992 from ${PEER} 1234`]);
  });

  it('RFC 5722: overlapping ones end the packet, and those behind them are dropped', () => {
    const { take, messages, stack } = bed();
    for (const piece of pieces(3000, [0, 1400], [1392, 1400], [1400, 1400], [2800, 200])) take(piece);
    assert.deepEqual(messages, []);
    assert.equal(stack.reassembly.dropped, 1);
  });

  it('RFC 8200, 4.5: IPv6 fragments are put together, atomic ones taken (RFC 6946)', () => {
    const { take, messages } = bed();
    const whole = buildPacket([ipv6, udp, new Uint8Array(1992)]).slice(40);
    const piece = (start: number, end: number): PacketLayer[] => [
      ipv6,
      {
        layer: 'fragment',
        nextHeader: 17,
        fragmentOffset: start,
        moreFragments: end < 2000,
        identification: 5,
      },
      whole.slice(start, end),
    ];
    take(piece(1200, 2000));
    take(piece(0, 1200));
    take(piece(0, 2000));
    assert.deepEqual(messages, [`1992 from ${PEER6} 1234`, `1992 from ${PEER6} 1234`]);
  });

  it('RFC 1122, 3.3.2: what stays incomplete is forgotten after a minute; memory is bounded', () => {
    const { take, stack, messages } = bed();
    const [first, second] = pieces(2000, [0, 1400], [1400, 600]);
    take(first!);
    stack.advance(60_001);
    take(second!, 60_001);
    assert.deepEqual(messages, []);
    for (let id = 0; id < 1000; id++) {
      take(
        [{ ...ipv4, protocol: 17, identification: id, moreFragments: true }, new Uint8Array(1400)],
        60_001,
      );
    }
    assert.ok(stack.reassembly.count <= 256);
  });

  it('what is longer than the path takes goes out in pieces that fit together', () => {
    for (const version of [4, 6] as const) {
      const sender = bed(1280);
      const receiver = bed();
      sender.socket.send(new Uint8Array(5000), Ip.parse(version === 4 ? PEER : PEER6), 99);
      assert.ok(sender.packets.length >= 4);
      for (const bytes of sender.packets) {
        assert.ok(bytes.length <= 1280);
        const peer = receiver.stack.interfaces[0]!;
        peer.setAddresses([`${PEER}/24`, `${PEER6}/64`]);
      }
      const got: number[] = [];
      receiver.stack.openUdp({ port: 99 }, { onMessage: (bytes) => got.push(bytes.length) });
      for (const bytes of sender.packets) receiver.stack.input(receiver.via, bytes, 0, bytes.length, 0);
      assert.deepEqual(got, [5000]);
    }
  });
});

describe('ICMP', () => {
  it('RFC 792 and RFC 4443, 4.2: an echo request is answered with its own data', () => {
    const { take, packets } = bed();
    take([ipv4, { layer: 'icmp', type: 8, identifier: 7, sequence: 3 }, Uint8Array.of(1, 2, 3)]);
    const ip = new Ipv4View().at(packets[0]!);
    const icmp = new IcmpView().at(packets[0]!, ip.payloadOffset);
    assert.deepEqual([icmp.type, icmp.identifier, icmp.sequence], [0, 7, 3]);
    assert.deepEqual([...packets[0]!.slice(-3)], [1, 2, 3]);
    take([ipv6, { layer: 'icmpv6', type: 128, identifier: 7, sequence: 3 }, Uint8Array.of(1, 2, 3)]);
    assert.equal(packets[1]![40], 129);
    assert.equal(new Ipv6View().at(packets[1]!).hopLimit, 64);
  });

  it('RFC 1122, 4.1.3.1: nobody listens on the port: port unreachable, with the packet in it', () => {
    const { take, packets } = bed();
    take([ipv4, { ...udp, destinationPort: 9 }, new Uint8Array(30)]);
    const icmp = new IcmpView().at(packets[0]!, 20);
    assert.deepEqual([icmp.type, icmp.code], [3, 3]);
    assert.equal(new UdpView().at(packets[0]!, 48).destinationPort, 9);
    take([ipv6, { ...udp, destinationPort: 9 }, new Uint8Array(30)]);
    assert.deepEqual([...packets[1]!.slice(40, 42)], [1, 4]);
  });

  it('RFC 1122, 3.2.2: no error about an error, a broadcast, or too often', () => {
    const { take, packets } = bed();
    take([{ ...ipv4, destination: '192.0.2.255' }, { ...udp, destinationPort: 9 }, new Uint8Array(1)]);
    take([ipv4, { layer: 'icmp', type: 3, code: 3 }, new Uint8Array(28)]);
    assert.equal(packets.length, 0);
    for (let i = 0; i < 500; i++) take([ipv4, { ...udp, destinationPort: 9 }, new Uint8Array(1)]);
    assert.equal(packets.length, 100);
  });

  it('RFC 1122, 3.2.2.1: an unknown protocol', () => {
    const { take, packets } = bed();
    take([{ ...ipv4, protocol: 200 }, new Uint8Array(8)]);
    assert.deepEqual([...packets[0]!.slice(20, 22)], [3, 2]);
    take([{ ...ipv6, nextHeader: 200 }, new Uint8Array(8)]);
    assert.deepEqual([...packets[1]!.slice(40, 42)], [4, 1]);
  });

  it('an error about a datagram of ours reaches its socket', () => {
    const { socket, packets, take, errors } = bed();
    socket.send(new Uint8Array(4), Ip.parse(PEER), 99);
    take([ipv4, { layer: 'icmp', type: 3, code: 3 }, packets[0]!]);
    assert.equal(errors[0]?.code, 'ECONNREFUSED');
  });

  it('hostile packets: cut short, of wrong lengths, with wrong checksums: nothing happens', () => {
    const { stack, via, packets } = bed();
    const good = buildPacket([ipv4, { layer: 'icmp', type: 8 }, new Uint8Array(20)]);
    for (let length = 0; length < good.length; length++) stack.input(via, good, 0, length, 0);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = good.slice();
      bad[bit >> 3]! ^= 1 << (bit & 7);
      stack.input(via, bad, 0, bad.length, 0);
    }
    stack.flush(0);
    assert.equal(packets.length, 0);
  });
});

describe('path MTU', () => {
  /** An established connection with full segments in flight, and the first packet of it. */
  function flying(): { s: Script; quoted: Uint8Array } {
    const s = Script.active({ offer: [{ kind: 'mss', value: 1460 }, { kind: 'sackPermitted' }] });
    s.write(6000);
    const quoted = s.packets[0]!;
    assert.equal(s.out()[0], 'A 1+1460 ack 1');
    return { s, quoted };
  }
  const tooBig = (mtu: number, quoted: Uint8Array): Uint8Array =>
    buildPacket([
      { layer: 'ipv4', source: '198.51.100.1', destination: OURS },
      { layer: 'icmp', type: 3, code: 4, mtu },
      quoted.slice(0, 28),
    ]);

  it('RFC 1191, 6.5: shorter segments from now on, and what was lost again, without a time-out', () => {
    const { s, quoted } = flying();
    const { window } = s.connection!.congestion;
    s.packet(tooBig(1000, quoted));
    assert.deepEqual(s.out().slice(0, 2), ['A 1+960 ack 1', 'A 961+500 ack 1']);
    assert.equal(s.connection!.congestion.window, window);
    assert.equal(s.stack.pathMtu(s.via, PEER), 1000);
    s.wait(600_001);
    assert.equal(s.stack.pathMtu(s.via, PEER), 1500);
  });

  it('RFC 5927, 7.2: no segment of ours is quoted: nothing is believed', () => {
    const { s, quoted } = flying();
    const forged = quoted.slice();
    forged[24]! ^= 0x40;
    s.packet(tooBig(1000, forged));
    assert.equal(s.stack.pathMtu(s.via, PEER), 1500);
  });

  it('RFC 5927, 7: nobody makes segments tiny', () => {
    const { s, quoted } = flying();
    s.packet(tooBig(68, quoted));
    assert.equal(s.stack.pathMtu(s.via, PEER), 552);
  });

  it('RFC 1191, 5: a router that does not say what it takes: the next plateau', () => {
    const { s, quoted } = flying();
    s.packet(tooBig(0, quoted));
    assert.equal(s.stack.pathMtu(s.via, PEER), 1492);
  });

  it('RFC 5927, 5.2: unreachable is final while a connection opens, and a hint later', () => {
    const { s, quoted } = flying();
    const unreachable = (bytes: Uint8Array): Uint8Array =>
      buildPacket([
        { layer: 'ipv4', source: '198.51.100.1', destination: OURS },
        { layer: 'icmp', type: 3, code: 1 },
        bytes.slice(0, 28),
      ]);
    s.packet(unreachable(quoted));
    assert.equal(s.over, false);
    const opening = new Script();
    opening.connect();
    opening.packet(unreachable(opening.packets[0]!));
    assert.equal(opening.error?.code, 'EHOSTUNREACH');
  });
});

describe('addresses and routes', () => {
  it('the interface whose network the destination is in, else the first of its version', () => {
    const stack = new NetStack({ secret: new Uint8Array(16) });
    const seen: string[] = [];
    for (const [name, address] of [
      ['a', '10.0.0.1/24'],
      ['b', '10.0.1.1/24'],
      ['c', '2001:db8::1/64'],
    ] as const) {
      stack.addInterface({ name, mtu: 1500, addresses: [address], output: () => seen.push(name) > 0 });
    }
    const socket = stack.openUdp({}, { onMessage: () => {} });
    for (const to of ['10.0.1.9', '192.0.2.1', '2001:db8::9'])
      socket.send(new Uint8Array(1), Ip.parse(to), 9);
    assert.deepEqual(seen, ['b', 'a', 'c']);
    assert.throws(() => stack.connect({ address: '10.0.0.9', port: 80, localAddress: '10.9.9.9' }, {}), {
      code: 'EADDRNOTAVAIL',
    });
    stack.removeInterface(stack.interfaces[2]!);
    assert.throws(() => stack.connect({ address: '2001:db8::9', port: 80 }, {}), { code: 'ENETUNREACH' });
  });

  it('the same addresses on two interfaces do not meet', () => {
    const stack = new NetStack({ secret: new Uint8Array(16) });
    const out = [0, 0];
    const [one, two] = [0, 1].map((i) =>
      stack.addInterface({ mtu: 1500, addresses: ['10.0.0.1/32'], output: () => ++out[i]! > 0 }),
    );
    stack.connect({ address: '192.0.2.1', port: 80, interface: two! }, {});
    stack.flush(0);
    assert.deepEqual(out, [0, 1]);
    assert.ok(one !== two);
  });

  it('networks', () => {
    const network = new Network(Ip.parse('10.1.2.3'), 23);
    assert.ok(network.contains(Ip.parse('10.1.3.255')) && !network.contains(Ip.parse('10.1.4.0')));
    assert.equal(String(network.broadcast), '10.1.3.255');
    const ipv6 = new Network(Ip.parse('2001:db8:1::'), 47);
    assert.ok(ipv6.contains(Ip.parse('2001:db8:0:ffff::')) && !ipv6.contains(Ip.parse('2001:db8:2::')));
    assert.ok(new Network(Ip.parse('::'), 0).contains(Ip.parse('ffff::')));
  });

  it('an MTU or an address that cannot be', () => {
    const stack = new NetStack({ secret: new Uint8Array(16) });
    const output = () => true;
    assert.throws(() => stack.addInterface({ mtu: 20, addresses: [], output }), { code: 'BW_ARGUMENT' });
    assert.throws(() => stack.addInterface({ mtu: 1000, addresses: ['::1/64'], output }), {
      code: 'BW_ARGUMENT',
    });
    assert.throws(() => stack.addInterface({ mtu: 1500, addresses: ['nonsense'], output }), {
      code: 'BW_ARGUMENT',
    });
    assert.throws(() => new NetStack({ secret: new Uint8Array(8) }), { code: 'BW_ARGUMENT' });
  });
});
