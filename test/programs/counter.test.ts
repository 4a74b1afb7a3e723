import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { load } from '../../src/bpf/index.ts';
import {
  counterSpec,
  FRAME_KINDS,
  type FrameKind,
  MAX_EXTENSION_HEADERS,
  MAX_VLAN_TAGS,
} from '../../src/programs/counter.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
const programs = [true, false].map((frags) => load(counterSpec({ frags })));
after(() => {
  for (const program of programs) program.close();
  requireNoLeaks(before);
});

/** The kind of a frame, read without hurry from its definition. */
function classify(frame: Uint8Array): { kind: FrameKind; tagged: boolean } {
  const u16 = (at: number): number => (frame[at]! << 8) | frame[at + 1]!;
  let type = 12;
  let tags = 0;
  while (tags < MAX_VLAN_TAGS && [0x8100, 0x88a8, 0x9100].includes(u16(type))) {
    tags++;
    type += 4;
    if (type + 2 > frame.length) return { kind: 'other', tagged: true };
  }
  const tagged = tags > 0;
  const l3 = type + 2;
  const of = (family: 'ipv4' | 'ipv6', protocol: number): FrameKind | undefined => {
    if (protocol === 6) return `${family}-tcp`;
    if (protocol === 17) return `${family}-udp`;
    if (family === 'ipv4' && protocol === 1) return 'ipv4-icmp';
    if (family === 'ipv6' && protocol === 58) return 'ipv6-icmpv6';
    return undefined;
  };
  switch (u16(type)) {
    case 0x0806:
      return { kind: 'arp', tagged };
    case 0x0800: {
      const whole = frame.length >= l3 + 20;
      return { kind: (whole ? of('ipv4', frame[l3 + 9]!) : undefined) ?? 'ipv4-other', tagged };
    }
    case 0x86dd: {
      if (frame.length < l3 + 40) return { kind: 'ipv6-other', tagged };
      let next = frame[l3 + 6]!;
      let at = l3 + 40;
      for (let depth = 0; depth < MAX_EXTENSION_HEADERS && of('ipv6', next) === undefined; depth++) {
        const known = [0, 43, 44, 51, 60, 135, 139, 140].includes(next);
        if (!known || at + 2 > frame.length) return { kind: 'ipv6-other', tagged };
        const length = next === 44 ? 8 : next === 51 ? (frame[at + 1]! + 2) * 4 : (frame[at + 1]! + 1) * 8;
        next = frame[at]!;
        at += length;
      }
      return { kind: of('ipv6', next) ?? 'ipv6-other', tagged };
    }
    default:
      return { kind: 'other', tagged };
  }
}

/** Runs both forms of the program on a frame, and says what each counted, as `ipv4-tcp` or `ipv4-tcp tagged`. */
function counted(frame: Uint8Array, repeat = 1): string[] {
  return programs.map(({ program, maps }) => {
    const total = (): { packets: bigint; bytes: bigint }[] =>
      [...maps.tallies].map(([, cpus]) => ({
        packets: cpus.reduce((sum, cpu) => sum + cpu.packets, 0n),
        bytes: cpus.reduce((sum, cpu) => sum + cpu.bytes, 0n),
      }));
    const earlier = total();
    assert.equal(program.testRun({ data: frame, repeat }).action, 'pass');
    const changed = total().flatMap(({ packets, bytes }, index) => {
      const added = packets - earlier[index]!.packets;
      if (added === 0n) return [];
      assert.equal(added, BigInt(repeat));
      assert.equal(bytes - earlier[index]!.bytes, BigInt(repeat * frame.length));
      return [FRAME_KINDS[index % FRAME_KINDS.length]! + (index >= FRAME_KINDS.length ? ' tagged' : '')];
    });
    assert.equal(changed.length, 1, 'every frame is counted under one kind');
    return changed[0]!;
  });
}

const MACS = [...Array(12).keys()];

/** An Ethernet frame of the given parts after its addresses, each a 16-bit number or bytes. */
function frame(...parts: (number | readonly number[])[]): Uint8Array {
  return Uint8Array.from([
    ...MACS,
    ...parts.flatMap((part) => (typeof part === 'number' ? [part >> 8, part & 0xff] : [...part])),
  ]);
}

const ipv4 = (protocol: number): number[] => [
  0x45,
  0,
  0,
  20,
  0,
  0,
  0,
  0,
  64,
  protocol,
  0,
  0,
  ...Array<number>(8).fill(1),
];
const ipv6 = (next: number, ...rest: number[]): number[] => [
  0x60,
  0,
  0,
  0,
  0,
  0,
  next,
  64,
  ...Array<number>(32).fill(2),
  ...rest,
];
const zeros = (count: number): number[] => Array<number>(count).fill(0);

describe('the counter program', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['ipv4-tcp', frame(0x0800, ipv4(6))],
    ['ipv4-udp', frame(0x0800, ipv4(17))],
    ['ipv4-icmp', frame(0x0800, ipv4(1))],
    ['ipv4-other', frame(0x0800, ipv4(58))],
    ['ipv4-other', frame(0x0800, ipv4(6).slice(0, 19))],
    ['ipv6-tcp', frame(0x86dd, ipv6(6))],
    ['ipv6-udp', frame(0x86dd, ipv6(17))],
    ['ipv6-icmpv6', frame(0x86dd, ipv6(58))],
    ['ipv6-other', frame(0x86dd, ipv6(1))],
    ['ipv6-other', frame(0x86dd, ipv6(59))],
    ['arp', frame(0x0806, zeros(28))],
    ['other', frame(0x88cc, zeros(46))],
    // An 802.3 length in place of the EtherType, and a frame of nothing but its header.
    ['other', frame(0x0026, zeros(46))],
    ['other', frame(0x88cc)],
    ['ipv4-udp tagged', frame(0x8100, 0x0064, 0x0800, ipv4(17))],
    ['ipv6-tcp tagged', frame(0x88a8, 0x0064, 0x8100, 0x0065, 0x86dd, ipv6(6))],
    ['arp tagged', frame(0x9100, 0x0064, 0x0806, zeros(28))],
    ['other tagged', frame(0x8100, 1, 0x8100, 2, 0x8100, 3, 0x0800, ipv4(6))],
    ['other tagged', frame(0x8100, 1)],
    // Hop-by-hop options of 16 bytes, a fragment header, an authentication header of 24 bytes, then TCP.
    ['ipv6-tcp', frame(0x86dd, ipv6(0, 44, 1, ...zeros(14), 51, 0, ...zeros(6), 6, 4, ...zeros(22)))],
    ['ipv6-other', frame(0x86dd, ipv6(0, 6))],
    [
      'ipv6-udp',
      frame(0x86dd, ipv6(60, ...[60, 60, 60, 60, 60, 17].flatMap((next) => [next, 0, ...zeros(6)]))),
    ],
    [
      'ipv6-other',
      frame(0x86dd, ipv6(60, ...[60, 60, 60, 60, 60, 60, 17].flatMap((next) => [next, 0, ...zeros(6)]))),
    ],
  ];
  for (const [index, [kind, bytes]] of cases.entries()) {
    it(`counts ${kind} (case ${index})`, () => {
      assert.deepEqual(counted(bytes), [kind, kind]);
    });
  }

  it('agrees with the definition on any frame, whole or cut', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const next = fc.oneof(fc.constantFrom(0, 1, 6, 17, 43, 44, 51, 58, 60, 135), byte);
    const chain = fc
      .array(fc.tuple(next, fc.oneof(fc.constantFrom(0, 1), byte)), { maxLength: 8 })
      .map((headers) =>
        headers.flatMap(([following, length]) => [following, length, ...zeros(6 + 8 * (length % 4))]),
      );
    const payload = fc.oneof(
      next.map((protocol) => frame(0x0800, ipv4(protocol)).slice(12)),
      fc.tuple(next, chain).map(([first, headers]) => frame(0x86dd, ipv6(first, ...headers)).slice(12)),
      fc.uint8Array({ minLength: 2, maxLength: 60 }),
    );
    const tags = fc.array(
      fc.tuple(fc.constantFrom(0x8100, 0x88a8, 0x9100), fc.integer({ min: 0, max: 0xffff })),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(tags, payload, fc.integer({ min: 14, max: 300 }), (before, body, length) => {
        const whole = Uint8Array.from([...frame(...before.flat()), ...body]);
        const bytes = whole.subarray(0, Math.max(14, Math.min(length, whole.length)));
        const { kind, tagged } = classify(bytes);
        const expected = tagged ? `${kind} tagged` : kind;
        assert.deepEqual(counted(bytes.slice()), [expected, expected]);
      }),
      { numRuns: 1000 },
    );
  });

  it('counts the whole length of frames that come in several buffers', () => {
    const jumbo = Uint8Array.from([...frame(0x0800, ipv4(6)), ...zeros(9000)]);
    const [{ program, maps }] = programs as [(typeof programs)[0]];
    const bytes = (): bigint =>
      [...maps.tallies].flatMap(([, cpus]) => cpus).reduce((sum, cpu) => sum + cpu.bytes, 0n);
    const earlier = bytes();
    program.testRun({ data: jumbo });
    assert.equal(bytes() - earlier, BigInt(jumbo.length));
  });

  it('loses nothing over many runs', () => {
    assert.deepEqual(counted(frame(0x0800, ipv4(17), zeros(20)), 100_000), ['ipv4-udp', 'ipv4-udp']);
  });
});
