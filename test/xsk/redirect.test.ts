import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import fc from 'fast-check';
import { parsePrefix, prefixContains } from '../../src/address/index.ts';
import { load } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { type MatchRule, redirectSpec, Umem, XskSocket } from '../../src/xsk/index.ts';

let lab: Lab;
let umem: Umem;
let socket: XskSocket;
before(async () => {
  lab = Lab.create({ hosts: ['a', 'b'], wires: [{ between: ['a', 'b'] }] });
  umem = Umem.create({ frames: 64 });
  socket = await XskSocket.open({
    umem,
    interface: 'eth0',
    netns: lab.host('a').netns,
    rings: { rx: 64, tx: 64, fill: 64 },
  });
});
after(() => {
  socket.close();
  umem.close();
  lab.destroy();
});

/** What the program does with each frame: whether it is redirected. */
function redirected(match: Parameters<typeof redirectSpec>[0], frames: readonly Uint8Array[]): boolean[] {
  using loaded = load(redirectSpec(match, { queues: 1 }));
  loaded.maps.sockets.set(0, socket);
  return frames.map((data) => {
    const { action } = loaded.program.testRun({ data });
    assert.ok(action === 'redirect' || action === 'pass', `the program said ${action}`);
    return action === 'redirect';
  });
}

it("takes every frame with 'all'", () => {
  assert.deepEqual(redirected('all', [new Uint8Array(14), new Uint8Array(1500)]), [true, true]);
});

it('passes what is meant but has no socket', () => {
  using loaded = load(redirectSpec('all', { queues: 4 }));
  loaded.maps.sockets.set(3, socket);
  assert.equal(loaded.program.testRun({ data: new Uint8Array(64) }).action, 'pass');
});

it('decides as a plain reading of the rules does, for frames of all kinds', () => {
  fc.assert(
    fc.property(
      fc.array(ruleArbitrary, { minLength: 1, maxLength: 3 }),
      fc.array(frameArbitrary, { minLength: 30, maxLength: 30 }),
      (rules, frames) => {
        const wanted = frames.map((frame) => rules.some((rule) => agrees(rule, frame)));
        assert.deepEqual(redirected(rules, frames), wanted);
      },
    ),
    { numRuns: 150 },
  );
});

it('takes large matches, and says what to do with larger ones', () => {
  const ports = Array.from({ length: 900 }, (_, i) => i * 7);
  const frames = [udp4(7 * 500), udp4(7 * 500 + 1)];
  assert.deepEqual(redirected({ ports }, frames), [true, false]);
  const many = Array.from({ length: 1001 }, (_, i) => i);
  assert.throws(() => redirectSpec({ ports: many }, { queues: 1 }), {
    code: 'BW_ARGUMENT',
    hint: /map/,
  });
});

it('names the value that cannot be', () => {
  const cases: [object, RegExp][] = [
    [{ etherTypes: [0x10000] }, /etherTypes: 65536/],
    [{ ports: [[20, 10]] }, /ports: 20 to 10 is an empty range/],
    [{ vlans: [4096] }, /vlans: 4096/],
    [{ protocols: [] }, /protocols: an empty list/],
    [{ destinations: ['192.0.2.300'] }, /192\.0\.2\.300/],
    [{ port: [53] }, /no field 'port'/],
    [{}, /without fields/],
    [[], /without rules/],
  ];
  for (const [match, message] of cases) {
    assert.throws(() => redirectSpec(match as MatchRule, { queues: 1 }), { code: 'BW_ARGUMENT', message });
  }
});

// ---- frames, from few enough values that rules often agree

const PORTS = [53, 80, 4000, 4001, 4002];
const ADDRESSES_4 = [
  [192, 0, 2, 1],
  [192, 0, 2, 129],
  [198, 51, 100, 7],
];
const ADDRESSES_6 = ['2001:db8::1', '2001:db8:0:1::1', 'fd00::5'].map((text) => [...parsePrefix(text).bytes]);
const PREFIXES = [
  '192.0.2.0/24',
  '192.0.2.128/25',
  '0.0.0.0/0',
  '2001:db8::/64',
  '2001:db8::/32',
  'fd00::5',
  '::/0',
];

const some = <T>(values: readonly T[]) =>
  fc.subarray([...values], { minLength: 1, maxLength: Math.min(3, values.length) });

const ruleArbitrary: fc.Arbitrary<MatchRule> = fc
  .record(
    {
      etherTypes: some([0x0800, 0x86dd, 0x0806, 0x88b5]),
      vlans: some([7, 100, 4095]),
      protocols: some([1, 6, 17, 58, 132, 0, 44]),
      ports: some([53, 80, [4000, 4001]] as const),
      sourcePorts: some([53, [80, 4000]] as const),
      destinations: some(PREFIXES),
      sources: some(PREFIXES),
    },
    { requiredKeys: [] },
  )
  .filter((rule) => Object.keys(rule).length > 0);

const be16 = (value: number): number[] => [value >> 8, value & 0xff];

const upperArbitrary = fc
  .tuple(fc.constantFrom(...PORTS), fc.constantFrom(...PORTS), fc.integer({ min: 0, max: 24 }))
  .map(([from, to, rest]) => [...be16(from), ...be16(to), ...new Array<number>(rest).fill(0)]);

const ipv4Arbitrary = fc
  .record({
    words: fc.constantFrom(5, 5, 6, 15, 4, 0),
    fragment: fc.constantFrom(0, 0, 0, 0x4000, 0x2000, 0x0001, 0x1fff, 0x8000),
    protocol: fc.constantFrom(1, 6, 17, 132, 47),
    source: fc.constantFrom(...ADDRESSES_4),
    destination: fc.constantFrom(...ADDRESSES_4),
    upper: upperArbitrary,
  })
  .map(({ words, fragment, protocol, source, destination, upper }) => [
    0x40 | words,
    ...new Array<number>(5).fill(0),
    ...be16(fragment),
    64,
    protocol,
    0,
    0,
    ...source,
    ...destination,
    ...new Array<number>(Math.max(0, words - 5) * 4).fill(1),
    ...upper,
  ]);

const extensionArbitrary = fc.oneof(
  fc.record({ kind: fc.constantFrom(0, 43, 60), length: fc.constantFrom(0, 0, 1, 3) }),
  fc.record({ kind: fc.constant(44), length: fc.constantFrom(0, 0, 0x0008, 0x0001, 0x0006) }),
);

const ipv6Arbitrary = fc
  .record({
    extensions: fc.array(extensionArbitrary, { maxLength: 7 }),
    protocol: fc.constantFrom(6, 17, 58, 132, 59),
    source: fc.constantFrom(...ADDRESSES_6),
    destination: fc.constantFrom(...ADDRESSES_6),
    upper: upperArbitrary,
  })
  .map(({ extensions, protocol, source, destination, upper }) => {
    const kinds = [...extensions.map(({ kind }) => kind), protocol];
    const headers = extensions.flatMap(({ kind, length }, i) =>
      kind === 44
        ? [kinds[i + 1]!, 0, ...be16(length), 0, 0, 0, 1]
        : [kinds[i + 1]!, length, ...new Array<number>(6 + 8 * length).fill(0)],
    );
    return [0x60, 0, 0, 0, 0, 0, kinds[0]!, 64, ...source, ...destination, ...headers, ...upper];
  });

const frameArbitrary: fc.Arbitrary<Uint8Array> = fc
  .record({
    tags: fc.array(fc.tuple(fc.constantFrom(0x8100, 0x88a8), fc.constantFrom(7, 100, 200, 0x2007)), {
      maxLength: 3,
    }),
    carried: fc.oneof(
      { weight: 3, arbitrary: ipv4Arbitrary.map((bytes) => [...be16(0x0800), ...bytes]) },
      { weight: 3, arbitrary: ipv6Arbitrary.map((bytes) => [...be16(0x86dd), ...bytes]) },
      fc.constantFrom(0x0806, 0x88b5).map((type) => [...be16(type), ...new Array<number>(46).fill(9)]),
    ),
    cut: fc.option(fc.integer({ min: 14, max: 90 })),
  })
  .map(({ tags, carried, cut }) => {
    const bytes = [
      ...new Array<number>(12).fill(2),
      ...tags.flatMap(([type, id]) => [...be16(type), ...be16(id)]),
      ...carried,
    ];
    return Uint8Array.from(bytes.slice(0, Math.max(14, cut ?? bytes.length)));
  });

function udp4(port: number): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.set([0x08, 0x00, 0x45], 12);
  bytes[23] = 17;
  bytes.set(be16(port), 36);
  return bytes;
}

// ---- the rules read plainly

interface Known {
  vlan?: number;
  etherType?: number;
  protocol?: number;
  source?: Uint8Array;
  destination?: Uint8Array;
  port?: number;
  sourcePort?: number;
}

/** What a frame says of itself; undefined for one too short to say what it carries. */
function dissect(frame: Uint8Array): Known | undefined {
  const known: Known = {};
  const at16 = (offset: number): number => (frame[offset]! << 8) | frame[offset + 1]!;
  let at = 12;
  for (let tags = 0; tags < 2 && [0x8100, 0x88a8].includes(at16(at)); tags++) {
    if (frame.length < at + 6) return undefined;
    known.vlan ??= at16(at + 2) & 0xfff;
    at += 4;
  }
  known.etherType = at16(at);
  at += 2;
  let upper: number;
  if (known.etherType === 0x0800 && frame.length >= at + 20) {
    known.source = frame.slice(at + 12, at + 16);
    known.destination = frame.slice(at + 16, at + 20);
    known.protocol = frame[at + 9]!;
    const words = frame[at]! & 15;
    if ((at16(at + 6) & 0x3fff) !== 0 || words < 5) return known;
    upper = at + 4 * words;
  } else if (known.etherType === 0x86dd && frame.length >= at + 40) {
    known.source = frame.slice(at + 8, at + 24);
    known.destination = frame.slice(at + 24, at + 40);
    let next = frame[at + 6]!;
    upper = at + 40;
    for (let headers = 0; [0, 43, 60, 44].includes(next); headers++) {
      if (headers === 6 || frame.length < upper + 8) return known;
      const following = frame[upper]!;
      if (next === 44 && (at16(upper + 2) & 0xfff9) !== 0) return { ...known, protocol: following };
      upper += next === 44 ? 8 : 8 * (frame[upper + 1]! + 1);
      next = following;
    }
    known.protocol = next;
  } else {
    return known;
  }
  if ([6, 17, 132].includes(known.protocol) && frame.length >= upper + 4) {
    known.sourcePort = at16(upper);
    known.port = at16(upper + 2);
  }
  return known;
}

function agrees(rule: MatchRule, frame: Uint8Array): boolean {
  const known = dissect(frame);
  if (known === undefined) return false;
  const among = (values: readonly number[] | undefined, value: number | undefined): boolean =>
    values === undefined || (value !== undefined && values.includes(value));
  const inRanges = (ranges: MatchRule['ports'], value: number | undefined): boolean =>
    ranges === undefined ||
    (value !== undefined &&
      ranges.some((range) => {
        const [first, last] = typeof range === 'number' ? [range, range] : range;
        return value >= first && value <= last;
      }));
  const inPrefixes = (prefixes: readonly string[] | undefined, address: Uint8Array | undefined): boolean =>
    prefixes === undefined ||
    (address !== undefined &&
      prefixes.some((text) =>
        prefixContains(parsePrefix(text), { version: address.length === 4 ? 4 : 6, bytes: address }),
      ));
  return (
    among(rule.etherTypes, known.etherType) &&
    among(rule.vlans, known.vlan) &&
    among(rule.protocols, known.protocol) &&
    inRanges(rule.ports, known.port) &&
    inRanges(rule.sourcePorts, known.sourcePort) &&
    inPrefixes(rule.destinations, known.destination) &&
    inPrefixes(rule.sources, known.source)
  );
}
