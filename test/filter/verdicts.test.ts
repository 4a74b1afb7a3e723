import assert from 'node:assert/strict';
import { hrtime } from 'node:process';
import { after, describe, it } from 'node:test';
import { formatIp, parsePrefix } from '../../src/address/index.ts';
import { run, runMaps } from '../../src/compiler/index.ts';
import { buildFilter } from '../../src/filter/build.ts';
import { Clock } from '../../src/filter/clock.ts';
import { keyAt } from '../../src/filter/edit.ts';
import { keyOf } from '../../src/policy/block.ts';
import type { Entry } from '../../src/policy/entry.ts';
import { checkRule, isAddressRule, type RuleParts } from '../../src/policy/make-rule.ts';
import { DEFAULT_SETTINGS, type Policy } from '../../src/policy/policy.ts';
import type { Rule } from '../../src/policy/rule.ts';
import { TABLES, type TableName, tableOf } from '../../src/policy/table.ts';
import { filterProgram } from '../../src/programs/filter.ts';
import { shapeOf } from '../../src/programs/filter-shape.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { beginnings, type FrameParts, frame, ports, tcp } from './frames.ts';
import { type PlainPolicy, type PlainRule, type PlainVerdict, verdictOf } from './model.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

const clock = new Clock();

/** A policy in the kernel and in Node, to be asked for verdicts. */
class Subject implements Disposable {
  readonly plain: PlainPolicy;
  readonly #built: ReturnType<typeof buildFilter>;
  readonly #program: ReturnType<typeof filterProgram>;
  readonly #maps: ReturnType<typeof runMaps>;
  readonly #tables: readonly TableName[];

  constructor(plain: Partial<PlainPolicy>, tables: readonly TableName[] = []) {
    this.plain = {
      default: 'allow',
      fragments: 'pass',
      malformed: 'drop',
      arp: 'pass',
      nd: 'pass',
      other: 'pass',
      rules: [],
      ...plain,
    };
    const { rules, ...settings } = this.plain;
    const made = rules.map(ruleOf);
    const entries = made.filter(isAddressRule);
    this.#tables = TABLES.map(({ name }) => name).filter(
      (name) => tables.includes(name) || entries.some((rule) => tableFor(rule).name === name),
    );
    const policy: Policy = {
      settings: { ...DEFAULT_SETTINGS, ...settings, capacity: 1024 },
      rules: made.filter((rule) => !isAddressRule(rule)),
      lists: [],
      tables: this.#tables,
    };
    this.#built = buildFilter(policy, { guarded: false, frags: false, clock, capacities: {}, maps: {} });
    this.#program = filterProgram(
      shapeOf(policy, {
        guarded: false,
        frags: false,
        capacities: {},
        monotonic: (time) => clock.deadline(time),
      }),
    );
    this.#maps = runMaps(this.#program) as never;
    for (const rule of entries) this.put(rule);
  }

  /** Puts an entry into both sides' tables. */
  put(rule: RuleParts): void {
    const { bytes, length } = (rule.source ?? rule.destination)!;
    const table = tableFor(rule);
    const key = keyAt(table, keyOf(table, bytes, length), 0);
    const deadline = rule.expires === undefined ? 0n : clock.deadline(rule.expires);
    const entry: Entry = { deadline, hits: 0n, lastSeen: 0, added: 0, reason: 0, lists: 1, length };
    for (const map of this.#sides(table.name)) map.set(key, entry);
  }

  clear(): void {
    for (const name of this.#tables) {
      for (const map of this.#sides(name)) for (const [key] of [...map.entries()]) map.delete(key);
    }
  }

  /** Holds the program's verdicts, in Node and in the kernel, against the model's. Returns the model's. */
  check(frames: readonly Uint8Array[], plain: PlainPolicy = this.plain): PlainVerdict[] {
    const inNode = run(this.#program, frames, {
      maps: this.#maps as never,
      // The kernel's clock, by which deadlines are.
      ktime: hrtime.bigint,
    }).packets;
    return frames.map((data, i) => {
      const expected = verdictOf(plain, data);
      const shown = `${Buffer.from(data).toString('hex')} under ${JSON.stringify(plain)}`;
      assert.equal(inNode[i]?.verdict, expected, `in Node: ${shown}`);
      const { action, data: after } = this.#built.program.testRun({ data });
      assert.equal(action, expected, `in the kernel: ${shown}`);
      assert.deepEqual(Buffer.from(after), Buffer.from(data), 'the frame is left as it was');
      return expected;
    });
  }

  #sides(name: TableName): readonly AnyTable[] {
    return [this.#built.maps[name], this.#maps[name as never]] as unknown as AnyTable[];
  }

  [Symbol.dispose](): void {
    this.#built[Symbol.dispose]();
  }
}

interface AnyTable {
  set(key: unknown, value: unknown): unknown;
  delete(key: unknown): unknown;
  entries(): Iterable<readonly [unknown, unknown]>;
}

function ruleOf(rule: PlainRule): Rule {
  const spans = (list: PlainRule['ports']) => list?.map(([from, to]) => ({ from, to }));
  const parts: RuleParts = {
    action: rule.action,
    source: rule.source === undefined ? undefined : parsePrefix(rule.source),
    destination: rule.destination === undefined ? undefined : parsePrefix(rule.destination),
    protocol: rule.protocol,
    ports: spans(rule.ports),
    sourcePorts: spans(rule.sourcePorts),
    segment: rule.segment,
    expires: rule.ended ? clock.now - 1000 : undefined,
  };
  return { ...checkRule(parts), added: clock.now, list: 0 };
}

function tableFor(rule: RuleParts) {
  const prefix = (rule.source ?? rule.destination)!;
  const action = rule.action === 'allow' ? 'allow' : 'deny';
  return tableOf(action, rule.source === undefined ? 'destination' : 'source', prefix.version, prefix.length);
}

/** The first and the last address of a prefix, and those beside it. */
function boundaries(text: string): string[] {
  const { bytes, length } = parsePrefix(text);
  const bits = bytes.length * 8;
  const first = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const last = first + (1n << BigInt(bits - length)) - 1n;
  const most = (1n << BigInt(bits)) - 1n;
  return [first, last, first - 1n, last + 1n]
    .filter((value) => value >= 0n && value <= most)
    .map((value) =>
      formatIp(Uint8Array.from(bytes, (_, i) => Number((value >> BigInt(bits - 8 * (i + 1))) & 255n))),
    );
}

function network(address: string, length: number): string {
  const { bytes } = parsePrefix(address);
  const clear = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))));
  return `${formatIp(clear)}/${length}`;
}

describe('verdicts, by a plain model, in Node and in the kernel', () => {
  for (const [version, address, other] of [
    [4, '172.29.171.85', '203.0.113.1'],
    [6, '2001:db8:5555:aaaa:1234:fedc:a5a5:5a5a', '2001:db8::77'],
  ] as const) {
    for (const side of ['source', 'destination'] as const) {
      for (const action of ['deny', 'allow'] as const) {
        it(`IPv${version}, ${action} by ${side}, on and beside the boundaries of every prefix length`, () => {
          const end = side === 'source' ? 'src' : 'dst';
          const name = `${action}_${end}${version}` as const;
          using subject = new Subject({ default: action === 'deny' ? 'allow' : 'deny' }, [
            name,
            `${name}_net`,
          ]);
          const seen = new Set<PlainVerdict>();
          for (let length = 0; length <= (version === 4 ? 32 : 128); length++) {
            const rule: PlainRule = { action, [side]: network(address, length) };
            subject.clear();
            subject.put(ruleOf(rule));
            const frames = boundaries(network(address, length)).map((at) =>
              frame({
                source: other,
                destination: version === 4 ? '198.51.100.9' : '2001:db8:ffff::9',
                [side]: at,
              }),
            );
            for (const verdict of subject.check(frames, { ...subject.plain, rules: [rule] }))
              seen.add(verdict);
          }
          assert.equal(seen.size, 2, 'both verdicts came up');
        });
      }
    }
  }

  it('nested prefixes: the longest that has not ended, for any that have', () => {
    const nest = (base: string, lengths: readonly number[], ended: readonly number[]): PlainRule[] =>
      lengths.map((length) => ({
        action: 'deny',
        source: network(base, length),
        ...(ended.includes(length) ? { ended: true as const } : {}),
      }));
    const all4 = Array.from({ length: 33 }, (_, i) => i);
    const all6 = Array.from({ length: 129 }, (_, i) => i);
    for (const [lengths4, ended4, lengths6, ended6] of [
      [[8, 16, 24, 32], [24, 32], [32, 48, 64, 128], [64]],
      [
        [0, 31, 32],
        [31, 32],
        [0, 127, 128],
        [127, 128],
      ],
      // Every length there is, all but the shortest ended.
      [all4, all4.slice(1), all6, all6.slice(1)],
      [all4.slice(1), all4.slice(1), all6.slice(1), all6.slice(1)],
    ] as const) {
      const rules = [...nest('10.1.2.3', lengths4, ended4), ...nest('2001:db8:1:2::3', lengths6, ended6)];
      using subject = new Subject({ rules });
      const sources = rules.flatMap(({ source }) => boundaries(source!)).slice(0, 200);
      subject.check(sources.map((source) => frame({ source })));
    }
  });

  const transport: PlainRule[] = [
    { action: 'allow', source: '192.0.2.7' },
    { action: 'allow', source: '2001:db8::7' },
    {
      action: 'allow',
      protocol: 17,
      ports: [
        [53, 53],
        [123, 125],
      ],
    },
    { action: 'allow', protocol: 6, segment: 'established', sourcePorts: [[443, 443]] },
    { action: 'deny', source: '192.0.2.0/28' },
    { action: 'deny', source: '2001:db8::/124' },
    { action: 'deny', destination: '198.51.100.66' },
    { action: 'deny', destination: '2001:db8:ffff::66' },
    { action: 'deny', protocol: 6, segment: 'syn', ports: [[0, 1023]] },
    {
      action: 'deny',
      protocol: 17,
      source: '203.0.113.0/24',
      destination: '198.51.100.0/25',
      ports: [[1024, 65535]],
    },
    { action: 'deny', protocol: 17, source: '2001:db8:5::/48', destination: '2001:db8:ffff::/64' },
    { action: 'deny', protocol: 132 },
    { action: 'deny', protocol: 47, ended: true },
  ];
  const policies: readonly Partial<PlainPolicy>[] = [
    { rules: transport },
    { rules: transport, default: 'deny' },
    { rules: transport, fragments: 'drop', malformed: 'pass' },
    {
      rules: transport.filter(({ action }) => action === 'deny'),
      malformed: 'pass',
      arp: 'drop',
      nd: 'filter',
      other: 'drop',
    },
    {
      rules: [
        { action: 'deny', source: '192.0.2.0/28' },
        { action: 'deny', source: '2001:db8::/124' },
      ],
    },
    {
      rules: [
        { action: 'deny', source: '0.0.0.0/0' },
        { action: 'deny', source: '::/0' },
      ],
      arp: 'drop',
      fragments: 'drop',
    },
    {
      default: 'deny',
      rules: [
        { action: 'allow', protocol: 58 },
        { action: 'allow', protocol: 1 },
      ],
    },
    {},
  ];
  const extensions = (count: number, type: number): FrameParts['extensions'] =>
    Array.from({ length: count }, () => [type, [0, 0, 0, 0, 0, 0, 0]] as const);
  const shapes: readonly FrameParts[] = [
    {},
    ...['192.0.2.7', '192.0.2.15', '192.0.2.16', '203.0.113.200'].map((source) => ({ source })),
    ...['2001:db8::7', '2001:db8::f', '2001:db8::10', '2001:db8:5::1'].map((source) => ({ source })),
    { source: '203.0.113.9', destination: '198.51.100.127', payload: ports(9, 1024) },
    { source: '203.0.113.9', destination: '198.51.100.128', payload: ports(9, 1024) },
    { source: '203.0.113.9', destination: '198.51.100.66' },
    { source: '2001:db8:9::1', destination: '2001:db8:ffff::66' },
    ...[52, 53, 54, 122, 123, 125, 126, 1023, 1024, 65535, 0].map((to) => ({
      source: '203.0.113.1',
      payload: ports(9, to),
    })),
    // Flags: none, FIN, SYN, RST, SYN+ACK, ACK, everything.
    ...[0, 1, 2, 4, 0x12, 0x10, 0xff].flatMap((flags) => [
      { source: '203.0.113.1', protocol: 6, payload: tcp(443, 22, flags) },
      { source: '2001:db8:9::1', protocol: 6, payload: tcp(443, 22, flags) },
      { source: '203.0.113.1', protocol: 6, payload: tcp(9, 2000, flags) },
    ]),
    ...[1, 5, 10].map((options) => ({ source: '203.0.113.1', options, protocol: 6, payload: tcp(9, 22, 2) })),
    // The first fragment, one in the middle, the last one; without fragments at all.
    ...[0x2000, 0x2001, 0x0010, 0x4000, 0x1fff].map((fragment) => ({
      source: '203.0.113.1',
      fragment,
      payload: ports(9, 5000),
    })),
    ...[132, 33, 136, 47, 1, 58, 255].map((protocol) => ({ source: '203.0.113.1', protocol })),
    ...[132, 47, 58, 59, 50].map((protocol) => ({ source: '2001:db8:9::1', protocol })),
    ...[1, 7, 8, 9].flatMap((count) =>
      [0, 43, 60, 135, 139, 140].map((type) => ({
        source: '2001:db8:9::1',
        extensions: extensions(count, type),
        protocol: 6,
        payload: tcp(9, 22, 2),
      })),
    ),
    // Longer extension headers, authentication, and mixtures.
    {
      source: '2001:db8:9::1',
      extensions: [[60, [1, ...new Array<number>(14).fill(0)]]],
      payload: ports(9, 53),
    },
    {
      source: '2001:db8:9::1',
      extensions: [[51, [4, ...new Array<number>(22).fill(0)]]],
      payload: ports(9, 53),
    },
    {
      source: '2001:db8:9::1',
      extensions: [
        [0, [0, 0, 0, 0, 0, 0, 0]],
        [51, [1, ...new Array<number>(10).fill(0)]],
        [60, [0, 0, 0, 0, 0, 0, 0]],
      ],
      protocol: 6,
      payload: tcp(9, 22, 2),
    },
    { source: '2001:db8:9::1', extensions: [[60, [255, 0, 0, 0, 0, 0, 0]]] },
    // Fragments of IPv6: the first (with more), an only one, a later one; with headers before and behind.
    ...[0x0001, 0x0000, 0x0008, 0xfff9, 0x0006].map((field) => ({
      source: '2001:db8:9::1',
      extensions: [[44, [0, field >> 8, field & 255, 0, 0, 0, 1]]] as const,
      protocol: 6,
      payload: tcp(9, 22, 2),
    })),
    {
      source: '2001:db8:9::1',
      extensions: [
        [0, [0, 0, 0, 0, 0, 0, 0]],
        [44, [0, 0, 1, 0, 0, 0, 1]],
        [60, [0, 0, 0, 0, 0, 0, 0]],
      ],
      protocol: 17,
      payload: ports(9, 53),
    },
    {
      source: '2001:db8:9::1',
      extensions: [[44, [0, 0, 9, 0, 0, 0, 1]]],
      protocol: 60,
      payload: ports(9, 53),
    },
    // Neighbour discovery, and what only looks like it.
    ...[132, 133, 135, 137, 138].flatMap((type) =>
      [255, 64].map((hopLimit) => ({
        source: '2001:db8::f',
        protocol: 58,
        hopLimit,
        payload: Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0),
      })),
    ),
  ];
  const tags: readonly (readonly number[])[] = [
    [],
    [0x8100],
    [0x88a8, 0x8100],
    [0x8100, 0x8100, 0x8100],
    [0x9100],
  ];
  const oddities: readonly Uint8Array[] = [
    ...[0x0806, 0x88cc, 0x8864, 0x0600, 0x05ff].map((type) =>
      Uint8Array.of(...frame().subarray(0, 12), type >> 8, type & 255, ...new Array<number>(46).fill(0)),
    ),
    // Versions and header lengths that contradict the EtherType.
    ...[0x44, 0x55, 0x65, 0x00, 0x4f, 0xf5].map((byte) => frame({ source: '203.0.113.1' }).with(14, byte)),
    ...[0x45, 0x50, 0x70, 0x6f].map((byte) => frame({ source: '2001:db8:9::1' }).with(14, byte)),
  ];

  for (const [number, policy] of policies.entries()) {
    it(`policy ${number}: protocols, ports, options, fragments, extension headers, tags, cut short at every byte`, () => {
      using subject = new Subject(policy);
      subject.check([...oddities, ...oddities.flatMap((whole) => beginnings(whole).slice(0, 30))]);
      for (const shape of shapes) {
        subject.check(beginnings(frame(shape)));
        subject.check(tags.map((some) => frame({ ...shape, tags: some })));
      }
      for (const some of tags.slice(1)) {
        subject.check(beginnings(frame({ source: '2001:db8:9::1', tags: some, payload: ports(9, 53) })));
        subject.check(
          beginnings(frame({ source: '203.0.113.1', tags: some, protocol: 6, payload: tcp(9, 22, 2) })),
        );
      }
    });
  }
});
