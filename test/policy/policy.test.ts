import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIPv6, formatIp, networkOf, parsePrefix, tryParseIp } from '../../src/address/index.ts';
import { ArgumentError, BarewireError } from '../../src/error.ts';
import { clearHostBits, hasHostBits, readAddress } from '../../src/policy/address-bytes.ts';
import { Blocks, keyOf } from '../../src/policy/block.ts';
import { checkConfig } from '../../src/policy/config.ts';
import { ENTRY } from '../../src/policy/entry.ts';
import { LIST_FORMATS, readList } from '../../src/policy/list.ts';
import { checkRule, isAddressRule } from '../../src/policy/make-rule.ts';
import {
  makeRate,
  parseByteRate,
  parsePacketRate,
  parsePer,
  parsePorts,
  parseProtocol,
} from '../../src/policy/parse.ts';
import { EMPTY_POLICY } from '../../src/policy/policy.ts';
import { policyFromJson, policyToJson } from '../../src/policy/policy-json.ts';
import { describeRule } from '../../src/policy/rule.ts';
import { TABLES, tableNamed, tableOf } from '../../src/policy/table.ts';
import { entryLayout } from '../../src/programs/filter-maps.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const addressText = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => formatIPv6(bytes)),
  // Zeros in many places, and what only looks like an address.
  fc
    .array(fc.constantFrom('0', '00', '1', 'ffff', 'abcde', '::', ':', '.', '255', '256', '01', '1.2.3.4'), {
      maxLength: 10,
    })
    .map((parts) => parts.join(':').replaceAll(':::', '::')),
  fc.string({ unit: fc.constantFrom('0', '1', '9', 'a', 'F', 'g', ':', '.', '/'), maxLength: 24 }),
);

describe('addresses read from bytes', () => {
  it('are those that barewire/address reads, and no others', () => {
    fc.assert(
      fc.property(addressText, fc.nat(3), (text, before) => {
        const out = new Uint8Array(16).fill(0xaa);
        const bytes = bytesOf(`${'x'.repeat(before)}${text}x`);
        const version = readAddress(bytes, before, before + bytesOf(text).length, out);
        const expected = tryParseIp(text);
        assert.equal(version, expected?.version ?? 0, text);
        if (expected !== undefined)
          assert.deepEqual(out.subarray(0, expected.bytes.length), expected.bytes, text);
      }),
      { numRuns: 5000 },
    );
  });

  it('know bits beyond a length', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.boolean(),
        fc.nat(128),
        (bytes, v4, most) => {
          const size = v4 ? 4 : 16;
          const length = Math.min(most, size * 8);
          const address = bytes.slice(0, size);
          const network = networkOf({ version: v4 ? 4 : 6, bytes: address, length }).bytes;
          assert.equal(
            hasHostBits(address, size, length),
            !Buffer.from(network).equals(Buffer.from(address)),
          );
          clearHostBits(address, size, length);
          assert.deepEqual(Buffer.from(address), Buffer.from(network));
        },
      ),
    );
  });
});

describe('lists', () => {
  it('of any bytes in any format are read to their end', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...LIST_FORMATS, undefined),
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc
            .array(
              fc.constantFrom(
                '10.0.0.1',
                '/24',
                '-',
                ',',
                '\n',
                ' ',
                '{',
                '}',
                'elements = ',
                'add x ',
                '"',
                '#',
                '2001:db8::',
                '::',
                'timeout 1h',
                '[',
                ']',
                '"value":',
                'null',
              ),
              { maxLength: 40 },
            )
            .map((parts) => bytesOf(parts.join(''))),
        ),
        (format, bytes) => {
          let taken = 0;
          const read = readList(
            bytes,
            (address, version, length) => {
              taken++;
              assert.ok(length >= 0 && length <= (version === 4 ? 32 : 128));
              assert.equal(hasHostBits(address, version === 4 ? 4 : 16, length), false);
            },
            { format, now: 0 },
          );
          assert.equal(read.entries, taken);
          assert.ok(read.bad.length <= 100);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('give ranges as prefixes that are exactly the range', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 20), fc.nat(2000), (from, count) => {
        const dotted = (value: number): string =>
          formatIp(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
        const start = 0x0a00_0000 + from;
        const covered: [number, number][] = [];
        readList(
          bytesOf(`${dotted(start)}-${dotted(start + count)}\n`),
          (address, _, length) => {
            const first = new DataView(address.buffer).getUint32(0);
            covered.push([first, first + 2 ** (32 - length) - 1]);
          },
          { now: 0 },
        );
        assert.equal(covered[0]?.[0], start);
        assert.equal(covered.at(-1)?.[1], start + count);
        for (let i = 1; i < covered.length; i++) assert.equal(covered[i]![0], covered[i - 1]![1] + 1);
        // No fewer would do: neighbours of one size that could be joined are joined.
        assert.ok(covered.length <= 40);
      }),
    );
  });
});

describe('tables', () => {
  it('have ids, names and keys of their own', () => {
    assert.equal(TABLES.length, 16);
    for (const [id, table] of TABLES.entries()) {
      assert.equal(table.id, id);
      assert.equal(tableNamed(table.name), table);
      assert.ok(table.name.length <= 15);
    }
    assert.equal(tableOf('deny', 'source', 4, 32).name, 'deny_src4');
    assert.equal(tableOf('allow', 'destination', 6, 127).name, 'allow_dst6_net');
    assert.deepEqual(
      [...keyOf(tableNamed('deny_src4_net'), Uint8Array.of(10, 0, 0, 0), 8)],
      [8, 0, 0, 0, 10, 0, 0, 0],
    );
  });

  it('lay entries out as the kernel’s side has them', () => {
    assert.equal(entryLayout.kind, 'struct');
    if (entryLayout.kind !== 'struct') return;
    const { size, ...offsets } = ENTRY;
    assert.equal(entryLayout.size, size);
    assert.deepEqual(
      Object.fromEntries(entryLayout.fields.map(({ name, offset }) => [name, offset])),
      offsets,
    );
    const blocks = new Blocks();
    for (let i = 0; i < 200; i++) {
      blocks.add(tableNamed('deny_src4'), Uint8Array.of(10, 0, 0, i), 0, 32, {
        deadline: 5n,
        added: 6,
        reason: 7,
        lists: 8,
      });
    }
    const [block] = blocks.blocks();
    assert.equal(block?.count, 200);
    assert.deepEqual([...block.keys.subarray(796)], [10, 0, 0, 199]);
    const view = new DataView(block.values.buffer, block.values.byteOffset + 199 * 32, 32);
    assert.deepEqual(
      [
        view.getBigUint64(0, true),
        view.getUint32(20, true),
        view.getUint16(24, true),
        view.getUint16(26, true),
        view.getUint8(28),
      ],
      [5n, 6, 7, 8, 32],
    );
  });
});

describe('what is typed', () => {
  it('is understood', () => {
    assert.deepEqual(parsePorts('53, 80,27015-27030'), [
      { from: 53, to: 53 },
      { from: 80, to: 80 },
      { from: 27015, to: 27030 },
    ]);
    assert.equal(parseProtocol('UDP'), 17);
    assert.equal(parseProtocol('200'), 200);
    assert.deepEqual(
      ['100/s', '10k', '2.5Mpps', '30/min', '36/h'].map(parsePacketRate),
      [100, 10_000, 2_500_000, 0.5, 0.01],
    );
    assert.deepEqual(['500kB/s', '10Mbit/s', '3B/s'].map(parseByteRate), [500_000, 1_250_000, 3]);
    assert.deepEqual(makeRate(0.5, undefined, 1), { perSecond: 0.5, burst: 1 });
    assert.deepEqual(['source', 'all', '/24', '/64', '/24,/48'].map(parsePer), [
      { ipv4: 32, ipv6: 128 },
      { ipv4: 0, ipv6: 0 },
      { ipv4: 24, ipv6: 64 },
      { ipv4: 32, ipv6: 64 },
      { ipv4: 24, ipv6: 48 },
    ]);
  });

  it('is refused where it cannot be meant', () => {
    for (const wrong of [
      () => parsePorts(''),
      () => parsePorts('1-'),
      () => parsePorts('99999'),
      () => parseProtocol('256'),
      () => parsePacketRate('0/s'),
      () => parsePacketRate('1/y'),
      () => parseByteRate('10MB'),
      () => parsePer('/33,/48'),
      () => makeRate(1, 10_000, 1),
      () => makeRate(1, 0, 1),
      () => checkRule({ action: 'deny', source: parsePrefix('10.0.0.1'), destination: parsePrefix('::1') }),
      () => checkRule({ action: 'deny', protocol: 17, segment: 'syn' }),
      () => checkRule({ action: 'limit', protocol: 17 }),
      () => checkRule({ action: 'deny', protocol: 58, source: parsePrefix('10.0.0.0/8') }),
      () =>
        checkRule({
          action: 'deny',
          protocol: 17,
          ports: Array.from({ length: 17 }, (_, i) => ({ from: i * 2, to: i * 2 })),
        }),
    ]) {
      assert.throws(wrong, ArgumentError, String(wrong));
    }
  });
});

describe('configurations', () => {
  const now = Date.UTC(2026, 0, 1);

  it('become entries where an address suffices, and rules where not', () => {
    const checked = checkConfig(
      {
        default: 'deny',
        allow: ['10.0.0.1', { destination: '2001:db8::/32', reason: 'ours' }],
        deny: [{ source: ['192.0.2.1', '192.0.2.2'], protocol: 'tcp', ports: [22, '80-90'] }],
        limits: [{ packets: 10, per: 'all' }],
        protect: { 'syn-flood': '100/s', 'udp-flood': false },
      },
      now,
    );
    assert.deepEqual(
      checked.entries.map(({ action, side, reason }) => [action, side, reason]),
      [
        ['allow', 'source', undefined],
        ['allow', 'destination', 'ours'],
      ],
    );
    assert.deepEqual(checked.rules.map(describeRule), [
      'deny tcp port 22,80-90 from 192.0.2.1/32',
      'deny tcp port 22,80-90 from 192.0.2.2/32',
      'limit in all',
      'limit tcp syn per source',
    ]);
    assert.deepEqual(checked.rules.at(-1)?.limit?.packets, { perSecond: 100, burst: 200 });
    assert.equal(checked.rules.some(isAddressRule), false);
  });

  it('of any shape are taken or refused with their place', () => {
    fc.assert(
      fc.property(
        fc.anything(),
        fc.constantFrom('allow', 'limits', 'lists', 'protect', 'capacity', 'default', ''),
        (value, key) => {
          try {
            checkConfig(key === '' ? value : { [key]: value }, now);
          } catch (error) {
            assert.ok(error instanceof BarewireError, String(error));
            assert.equal(error.code, 'BW_CONFIG');
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('survive being written down', () => {
    const { rules } = checkConfig(
      {
        deny: [{ source: '10.0.0.0/8', protocol: 6, segment: 'syn', expires: '10m' }],
        limits: [{ bytes: '1MB/s' }],
      },
      now,
    );
    const policy = { ...EMPTY_POLICY, rules: rules.map((rule) => ({ ...rule, added: now, list: 1 })) };
    const back = policyFromJson(JSON.parse(JSON.stringify(policyToJson(policy))));
    assert.deepEqual(back.rules.map(describeRule), policy.rules.map(describeRule));
    for (const [i, rule] of back.rules.entries()) {
      const { limit, expires, added, list } = policy.rules[i]!;
      assert.deepEqual(
        [rule.limit?.bytes, rule.limit?.per, rule.expires],
        [limit?.bytes, limit?.per, expires],
      );
      assert.deepEqual([rule.added, rule.list], [added, list]);
    }
  });
});
