import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { parseIp } from '../../src/address/index.ts';
import { load } from '../../src/bpf/index.ts';
import { buildPacket, type PacketLayer } from '../../src/packet/index.ts';
import {
  findReplies,
  redirectMaps,
  redirectPorts,
  redirectSpec,
  replyMap,
  replySpec,
} from '../../src/programs/redirect-ports.ts';
import { agree, noise, noises } from '../compiler/agree.ts';

const FROM = 7999;
const TO = 7998;
const ELSEWHERE = 53;

const maps = redirectMaps({ flows: 64 });
const fill = {
  rules: [
    [
      { protocol: 17, port: FROM },
      { to: TO, slot: 0 },
    ],
    [
      { protocol: 6, port: FROM },
      { to: TO, slot: 1 },
    ],
  ],
  targets: [
    [{ protocol: 17, port: TO }, 1],
    [{ protocol: 6, port: TO }, 1],
  ],
  settings: [[0, { until: 0n, replies: 1 }]],
} as const;

const eth = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
const vlan = (id: number, etherType?: number): PacketLayer => ({
  layer: 'vlan',
  id,
  ...(etherType === undefined ? {} : { etherType }),
});
const v4 = { layer: 'ipv4', source: '192.0.2.1', destination: '198.51.100.2' } as const;
const v6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8:1::2' } as const;
const udp = (port: number): PacketLayer => ({ layer: 'udp', sourcePort: 40_000, destinationPort: port });
const tcp = (port: number): PacketLayer => ({
  layer: 'tcp',
  sourcePort: 40_000,
  destinationPort: port,
  sequence: 1,
});
const options = (words: number): PacketLayer => ({
  ...v4,
  options: Array.from({ length: words * 4 }, () => ({ kind: 'nop' as const })),
});
const padding = { layer: 'destinationOptions', options: [] } as const;
const fragment = (fragmentOffset: number, moreFragments: boolean): PacketLayer => ({
  layer: 'fragment',
  fragmentOffset,
  moreFragments,
  identification: 7,
});
const routing = (segmentsLeft: number): PacketLayer => ({
  layer: 'routing',
  routingType: 4,
  segmentsLeft,
  addresses: ['2001:db8::9'],
});

/** What stands before the transport header, and whether a packet like that goes to the other port. */
const HEADS: readonly (readonly [string, readonly PacketLayer[], 'goes' | 'stays'])[] = [
  ['IPv4', [v4], 'goes'],
  ['one tag', [vlan(7), v4], 'goes'],
  ['two tags', [vlan(9), vlan(7), v4], 'goes'],
  ['three tags', [vlan(3), vlan(9), vlan(7), v4], 'stays'],
  ['IPv4 with one word of options', [options(1)], 'goes'],
  ['IPv4 with ten words of options', [options(10)], 'goes'],
  ['options in a tag', [vlan(7), options(3)], 'goes'],
  ['a first fragment', [{ ...v4, moreFragments: true }], 'stays'],
  ['a later fragment', [{ ...v4, fragmentOffset: 8 }], 'stays'],
  ['not to be fragmented', [{ ...v4, dontFragment: true }], 'goes'],
  ['IPv6', [v6], 'goes'],
  ['IPv6 in two tags', [vlan(9), vlan(7), v6], 'goes'],
  ['hop-by-hop options', [v6, { layer: 'hopByHop', options: [] }], 'goes'],
  ['a chain', [v6, { layer: 'hopByHop', options: [] }, padding, routing(0), padding], 'goes'],
  ['six extension headers', [v6, padding, padding, padding, padding, padding, padding], 'goes'],
  ['seven extension headers', [v6, padding, padding, padding, padding, padding, padding, padding], 'stays'],
  ['segments left', [v6, routing(1)], 'stays'],
  ['an atomic fragment', [v6, fragment(0, false)], 'goes'],
  ['a first fragment of IPv6', [v6, fragment(0, true)], 'stays'],
  ['a later fragment of IPv6', [v6, fragment(8, false)], 'stays'],
];

const packet = (head: readonly PacketLayer[], transport: PacketLayer, length = 20): Uint8Array =>
  buildPacket([eth, ...head, transport, noise(length, length)]);

/** Where the transport header's checksum stands, counted from the packet's end. */
const fromEnd = (transport: PacketLayer, length: number): number =>
  (transport as { layer: string }).layer === 'udp' ? length + 2 : length + 4;

function withChecksum(bytes: Uint8Array, place: number, change: (checksum: number) => number): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  view.setUint16(place, change(view.getUint16(place)));
  return copy;
}

const shown = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const program = redirectPorts(maps, { frags: true });

describe('the redirection of ports', () => {
  const asked = HEADS.flatMap(([, head]) => [udp, tcp].map((transport) => packet(head, transport(FROM))));
  const others = HEADS.flatMap(([, head]) =>
    [udp, tcp].flatMap((transport) => [packet(head, transport(ELSEWHERE)), packet(head, transport(TO))]),
  );
  let results: ReturnType<typeof agree> = [];
  before(() => {
    results = agree(program, [...asked, ...others], fill);
  });

  for (const [i, [name, head, fate]] of HEADS.entries()) {
    it(`${name}: ${fate}`, () => {
      for (const [t, transport] of [udp, tcp].entries()) {
        const { data, verdict } = results[2 * i + t]!;
        const expected = fate === 'goes' ? packet(head, transport(TO)) : packet(head, transport(FROM));
        assert.equal(shown(data), shown(expected));
        assert.equal(verdict, 'pass');
      }
    });
  }

  it('leaves all other ports alone', () => {
    for (const [i, other] of others.entries()) {
      const { data, verdict } = results[asked.length + i]!;
      assert.equal(shown(data), shown(other));
      assert.equal(verdict, 'pass');
    }
  });

  it('does to random packets what the plain rules say', () => {
    const cases = Array.from({ length: 400 }, (_, seed) => randomCase(seed + 1));
    const packets = cases.map(({ head, transport, port, length }) => packet(head, transport(port), length));
    let moved = 0;
    for (const [i, { data, verdict }] of agree(program, packets, fill).entries()) {
      const { head, transport, port, length, goes } = cases[i]!;
      const expected = goes && port === FROM ? packet(head, transport(TO), length) : packets[i]!;
      assert.equal(shown(data), shown(expected), JSON.stringify(head));
      assert.equal(verdict, 'pass');
      if (goes && port === FROM) moved++;
    }
    assert.ok(moved > 50 && moved < 350, `${moved} of 400 went to the other port`);
  });

  it('leaves a packet that ends early as it is, or changes all of it', () => {
    const cases = HEADS.filter(([name]) => ['two tags', 'a chain', 'IPv4'].includes(name)).flatMap(
      ([, head]) =>
        [udp, tcp].flatMap((transport) => {
          const asked = packet(head, transport(FROM), 4);
          const moved = packet(head, transport(TO), 4);
          return Array.from({ length: asked.length - 13 }, (_, i) => ({
            cut: asked.subarray(0, asked.length - i),
            moved: moved.subarray(0, asked.length - i),
            whole: i === 0,
          }));
        }),
    );
    const packets = cases.map(({ cut }) => cut);
    for (const [i, { data }] of agree(program, [...packets, ...noises(60)], fill).entries()) {
      const expected = cases[i];
      if (expected === undefined) continue;
      const { cut, moved, whole } = expected;
      assert.ok(
        (whole ? [shown(moved)] : [shown(cut), shown(moved)]).includes(shown(data)),
        `${cut.length} bytes`,
      );
    }
  });

  it('keeps a UDP checksum of zero, and never makes one', () => {
    const none = withChecksum(packet([v4], udp(FROM)), 40, () => 0);
    const expected = withChecksum(packet([v4], udp(TO)), 40, () => 0);
    const [kept] = agree(program, [none], fill);
    assert.equal(shown(kept!.data), shown(expected));

    // A payload whose checksum for the new port comes out as zero, which is sent as 0xffff.
    const probe = buildPacket([eth, v4, udp(TO), Uint8Array.of(0, 0)]);
    const rest = new DataView(probe.buffer).getUint16(40);
    const payload = Uint8Array.of(rest >> 8, rest & 0xff);
    const ours = buildPacket([eth, v4, udp(FROM), payload]);
    const theirs = buildPacket([eth, v4, udp(TO), payload]);
    assert.equal(new DataView(theirs.buffer).getUint16(40), 0xffff);
    const [moved] = agree(program, [ours], fill);
    assert.equal(shown(moved!.data), shown(theirs));
  });

  it('leaves a checksum alone that an offload is still to finish', () => {
    const cases = HEADS.filter(([, , fate]) => fate === 'goes').flatMap(([name, head]) =>
      [udp, tcp].map((transport) => {
        const asked = packet(head, transport(FROM), 33);
        const place = asked.length - fromEnd(transport(FROM), 33);
        const sum = pseudoSum(asked, head, transport(FROM), 33);
        const expected = withChecksum(packet(head, transport(TO), 33), place, () => sum);
        return { name, asked: withChecksum(asked, place, () => sum), expected };
      }),
    );
    const packets = cases.map(({ asked }) => asked);
    for (const [i, { data }] of agree(program, packets, fill).entries()) {
      assert.equal(shown(data), shown(cases[i]!.expected), cases[i]!.name);
    }
  });

  it('tells a finished checksum that looks unfinished by summing up', () => {
    const heads = [[v4], [vlan(9), vlan(7), v6, padding]] satisfies PacketLayer[][];
    const cases = heads.flatMap((head) =>
      [2, 3, 4, 5, 21, 1400, 1401].map((length) => {
        // The payload's first two bytes are chosen so that the checksum equals the sum of the pseudo-header.
        const build = (port: number, chosen: number): Uint8Array => {
          const payload = noise(length, 5);
          new DataView(payload.buffer).setUint16(0, chosen);
          return buildPacket([eth, ...head, udp(port), payload]);
        };
        const plain = build(FROM, 0);
        const place = plain.length - fromEnd(udp(FROM), length);
        const sum = pseudoSum(plain, head, udp(FROM), length);
        const difference = new DataView(plain.buffer).getUint16(place) - sum;
        const chosen = difference < 0 ? difference + 0xffff : difference;
        const asked = build(FROM, chosen);
        assert.equal(new DataView(asked.buffer).getUint16(place), sum, `length ${length}`);
        return { length, asked, expected: build(TO, chosen) };
      }),
    );
    const packets = cases.map(({ asked }) => asked);
    for (const frags of [true, false]) {
      for (const [i, { data }] of agree(redirectPorts(maps, { frags }), packets, fill).entries()) {
        assert.equal(shown(data), shown(cases[i]!.expected), `length ${cases[i]!.length}`);
      }
    }
  });

  it('loads without frags, and its counterpart for replies loads', () => {
    load(redirectSpec(maps, { frags: false })).close();
    const { targets, hits, flows } = maps;
    load(replySpec({ targets, hits, flows, reply: replyMap() })).close();
  });
});

describe('replies', () => {
  it('leave from the port that was asked for, whatever they are wrapped in, and nothing else changes', () => {
    const { targets, hits, flows } = maps;
    using loaded = load(replySpec({ targets, hits, flows, reply: replyMap() }));
    for (const [key, value] of fill.targets) loaded.maps.targets.set(key, value);
    const halves = (address: string): readonly [bigint, bigint] => {
      const bytes = parseIp(address).bytes;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      if (bytes.length === 4) return [0n, 0xffff_0000_0000n + BigInt(view.getUint32(0))];
      return [view.getBigUint64(0), view.getBigUint64(8)];
    };
    for (const ip of [v4, v6]) {
      const [local, localLow] = halves(ip.source);
      const [remote, remoteLow] = halves(ip.destination);
      for (const protocol of [6, 17]) {
        const flow = { remote, remoteLow, local, localLow, remotePort: 40_000, localPort: TO, protocol };
        loaded.maps.flows.set(flow, { port: FROM, slot: protocol });
      }
    }
    const udpFrom = (sourcePort: number): PacketLayer => ({
      layer: 'udp',
      sourcePort,
      destinationPort: 40_000,
    });
    const tcpFrom = (sourcePort: number): PacketLayer => ({
      layer: 'tcp',
      sourcePort,
      destinationPort: 40_000,
      sequence: 1,
    });
    let changed = 0n;
    for (const [name, head, fate] of HEADS) {
      // The first fragment of a reply has its ports, and the checksum of the whole: it goes as well.
      const goes = fate === 'goes' || /^a first fragment/.test(name);
      for (const from of [udpFrom, tcpFrom]) {
        const frame = packet(head, from(TO));
        const { data, returned } = loaded.program.testRun({ data: frame });
        assert.equal(returned, 0xffff_ffff, 'the next program goes on');
        assert.equal(shown(data), shown(goes ? packet(head, from(FROM)) : frame), name);
        if (goes) changed++;
        const other = packet(head, from(ELSEWHERE));
        assert.equal(shown(loaded.program.testRun({ data: other }).data), shown(other), name);
      }
    }
    const none = withChecksum(packet([v4], udpFrom(TO)), 40, () => 0);
    const kept = withChecksum(packet([v4], udpFrom(FROM)), 40, () => 0);
    assert.equal(shown(loaded.program.testRun({ data: none }).data), shown(kept));
    const counted = [6, 17].flatMap((slot) => loaded.maps.hits.get(slot)!.map(({ replies }) => replies));
    assert.equal(
      counted.reduce((sum, count) => sum + count, 0n),
      changed + 1n,
    );
  });
});

describe('the search for replies', () => {
  it('finds the flow and nothing else', () => {
    const { targets, hits, flows } = maps;
    const back = { ...v4, source: v4.destination, destination: v4.source };
    const reply = { layer: 'udp', sourcePort: TO, destinationPort: 40_000 } as const;
    const frames = [
      buildPacket([eth, back, reply, noise(9, 1)]),
      // The first fragment of a reply has its ports, the others do not.
      buildPacket([eth, { ...back, moreFragments: true }, reply, noise(16, 1)]),
      buildPacket([eth, { ...back, fragmentOffset: 8 }, reply, noise(16, 1)]),
      buildPacket([eth, back, { ...reply, destinationPort: 40_001 }, noise(9, 1)]),
      buildPacket([eth, back, { ...reply, sourcePort: FROM }, noise(9, 1)]),
      buildPacket([eth, v4, reply, noise(9, 1)]),
    ];
    const mapped = (a: number, b: number, c: number, d: number): bigint =>
      0xffff_0000_0000n + BigInt(a * 2 ** 24 + b * 2 ** 16 + c * 256 + d);
    const flow = {
      remote: 0n,
      remoteLow: mapped(192, 0, 2, 1),
      local: 0n,
      localLow: mapped(198, 51, 100, 2),
      remotePort: 40_000,
      localPort: TO,
      protocol: 17,
    };
    const results = agree(findReplies({ targets, hits, flows, reply: replyMap() }), frames, {
      targets: fill.targets,
      flows: [[flow, { port: FROM, slot: 0 }]],
    });
    assert.deepEqual(
      results.map(({ verdict }) => verdict),
      ['tx', 'tx', 'pass', 'pass', 'pass', 'pass'],
    );
  });
});

/** A stack of headers, and whether what is in it goes to another port, by the rules as the guide says them. */
function randomCase(seed: number): {
  readonly head: readonly PacketLayer[];
  readonly transport: typeof udp | typeof tcp;
  readonly port: number;
  readonly length: number;
  readonly goes: boolean;
} {
  const bytes = noise(64, seed * 2654435761);
  let next = 8;
  const below = (limit: number): number => bytes[next++]! % limit;
  const tags = [0, 0, 1, 2, 3][below(5)]!;
  const head: PacketLayer[] = Array.from({ length: tags }, (_, i) => vlan(i + 1));
  let goes = tags <= 2;
  if (below(2) === 0) {
    const fragment = below(6);
    const words = [0, 0, 1, 5, 10][below(5)]!;
    head.push({
      ...v4,
      options: Array.from({ length: words * 4 }, () => ({ kind: 'nop' as const })),
      ...(fragment === 0 ? { moreFragments: true } : {}),
      ...(fragment === 1 ? { fragmentOffset: 8 * (1 + below(100)) } : {}),
    });
    goes &&= fragment > 1;
  } else {
    head.push(v6);
    const headers = [0, 0, 1, 2, 4, 6, 7][below(7)]!;
    goes &&= headers <= 6;
    for (let i = 0; i < headers; i++) {
      const kind = below(6);
      if (kind === 0 && i === 0) head.push({ layer: 'hopByHop', options: [] });
      else if (kind === 1) {
        const left = below(3) === 0 ? 1 : 0;
        head.push(routing(left));
        goes &&= left === 0;
      } else if (kind === 2) {
        const [offset, more] = [below(3) === 0 ? 8 : 0, below(3) === 0];
        head.push(fragment(offset, more));
        goes &&= offset === 0 && !more;
      } else head.push(padding);
    }
  }
  const transport = below(2) === 0 ? udp : tcp;
  return { head, transport, port: [FROM, FROM, FROM, TO, ELSEWHERE][below(5)]!, length: below(200), goes };
}

/** The sum that stands in an unfinished checksum's place, from the bytes of the addresses. */
function pseudoSum(
  bytes: Uint8Array,
  head: readonly PacketLayer[],
  transport: PacketLayer,
  length: number,
): number {
  const at = 14 + 4 * head.filter((layer) => (layer as { layer: string }).layer === 'vlan').length;
  const v6 = bytes[at]! >> 4 === 6;
  const addresses = v6 ? bytes.subarray(at + 8, at + 40) : bytes.subarray(at + 12, at + 20);
  const isUdp = (transport as { layer: string }).layer === 'udp';
  let sum = (isUdp ? 17 : 6) + length + (isUdp ? 8 : 20);
  for (let i = 0; i < addresses.length; i += 2) sum += addresses[i]! * 256 + addresses[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
