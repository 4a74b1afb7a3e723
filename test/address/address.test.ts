import assert from 'node:assert/strict';
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  formatHardwareAddress,
  formatIPv4,
  formatIPv6,
  formatIp,
  formatMac,
  formatPrefix,
  networkOf,
  normalizeIp,
  parseIPv4,
  parseIPv6,
  parseIp,
  parseMac,
  parsePrefix,
  prefixContains,
  tryParseIPv4,
  tryParseIPv6,
  tryParseIp,
  tryParseMac,
} from '../../src/address/index.ts';
import { ArgumentError } from '../../src/error.ts';

const ipv4Bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Sixteen bytes with many zero groups, so that `::` and its ties occur. */
const ipv6Bytes = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
/** Text made of what addresses are made of, so that a good part is valid and the rest nearly so. */
const nearlyAddress = fc
  .array(fc.constantFrom('0', '1', '9', '25', '255', '256', '01', 'a', 'F', '.', ':', '::', '%', '/', ''), {
    maxLength: 16,
  })
  .map((parts) => parts.join(''));

describe('IPv4', () => {
  it('formats what it parses', () => {
    fc.assert(fc.property(ipv4Bytes, (bytes) => assert.deepEqual(parseIPv4(formatIPv4(bytes)), bytes)));
  });

  it('accepts exactly what node:net accepts', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), nearlyAddress), (text) =>
        assert.equal(tryParseIPv4(text) !== undefined, isIPv4(text)),
      ),
      { numRuns: 2000 },
    );
  });

  it('refuses octal, short and padded forms with a hint', () => {
    for (const text of [
      '',
      '1.2.3',
      '1.2.3.04',
      '1.2.3.256',
      ' 1.2.3.4',
      '1.2.3.4 ',
      '0x1.2.3.4',
      '1.2.3.4.5',
      '١.2.3.4',
    ]) {
      assert.throws(
        () => parseIPv4(text),
        (error) =>
          error instanceof ArgumentError && error.message.includes(`'${text}'`) && error.hint !== undefined,
        text,
      );
    }
  });

  it('reads at an offset and never past the end', () => {
    assert.equal(formatIPv4(Uint8Array.of(9, 192, 0, 2, 1), 1), '192.0.2.1');
    assert.throws(() => formatIPv4(Uint8Array.of(1, 2, 3, 4), 1), ArgumentError);
    assert.throws(() => formatIPv4(Uint8Array.of(1, 2, 3, 4), -1), ArgumentError);
  });
});

describe('IPv6', () => {
  it('formats what it parses', () => {
    fc.assert(fc.property(ipv6Bytes, (bytes) => assert.deepEqual(parseIPv6(formatIPv6(bytes)), bytes)));
  });

  it('accepts exactly what node:net accepts, zones aside', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), nearlyAddress), (text) => {
        assert.equal(tryParseIPv6(text) !== undefined, isIPv6(text) && !text.includes('%'), text);
      }),
      { numRuns: 5000 },
    );
  });

  it('normalises as the URL standard does, but for the dotted tail of mapped addresses', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.ipV6(),
          ipv6Bytes.map((bytes) => formatIPv6(bytes)),
        ),
        (text) => {
          const ours = formatIPv6(parseIPv6(text));
          if (/^::ffff:\d+\.\d+\.\d+\.\d+$/.test(ours)) return;
          assert.equal(`[${ours}]`, new URL(`http://[${text}]/`).hostname);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('follows the examples of RFC 5952', () => {
    const pairs = [
      ['2001:0db8::0001', '2001:db8::1'],
      ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
      ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['2001:DB8::AbCd', '2001:db8::abcd'],
      ['0:0:0:0:0:0:0:0', '::'],
      ['0:0:0:0:0:0:0:1', '::1'],
      ['1:0:0:0:0:0:0:0', '1::'],
      ['::ffff:c000:201', '::ffff:192.0.2.1'],
      ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ];
    for (const [given, wanted] of pairs) assert.equal(normalizeIp(given!), wanted);
  });

  it('names the zone as what is wrong', () => {
    assert.throws(
      () => parseIPv6('fe80::1%eth0'),
      (error) => error instanceof ArgumentError && error.hint!.includes('zone'),
    );
  });

  it('never reads past the end', () => {
    assert.throws(() => formatIPv6(new Uint8Array(15)), ArgumentError);
    assert.throws(() => formatIPv6(new Uint8Array(16), 1), ArgumentError);
  });
});

describe('either family', () => {
  it('tells the families apart', () => {
    assert.equal(parseIp('192.0.2.1').version, 4);
    assert.equal(parseIp('::1').version, 6);
    assert.equal(tryParseIp('localhost'), undefined);
    assert.throws(
      () => parseIp('192.0.2.1/24'),
      (error) => error instanceof ArgumentError && error.hint!.includes('prefix'),
    );
    assert.throws(() => formatIp(new Uint8Array(5)), ArgumentError);
  });
});

describe('MAC', () => {
  it('formats what it parses, with either separator and any case', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        const text = formatMac(bytes);
        assert.deepEqual(parseMac(text), bytes);
        assert.deepEqual(parseMac(text.toUpperCase()), bytes);
        assert.deepEqual(parseMac(text.replaceAll(':', '-')), bytes);
      }),
    );
  });

  it('refuses all else', () => {
    for (const text of [
      '',
      '02:00:5e:00:53',
      '02:00:5e:00:53:01:02',
      '02:00-5e:00:53:01',
      '2:0:5e:0:53:1',
      '02005e005301',
      'g2:00:5e:00:53:01',
    ]) {
      assert.equal(tryParseMac(text), undefined, text);
      assert.throws(() => parseMac(text), ArgumentError);
    }
  });

  it('formats longer link-layer addresses too', () => {
    assert.equal(formatHardwareAddress(Uint8Array.of(0, 255, 16)), '00:ff:10');
  });
});

describe('prefixes', () => {
  const prefix = fc.oneof(
    fc.tuple(ipv4Bytes, fc.integer({ min: 0, max: 32 })),
    fc.tuple(ipv6Bytes, fc.integer({ min: 0, max: 128 })),
  );

  it('formats what it parses', () => {
    fc.assert(
      fc.property(prefix, ([bytes, length]) => {
        const text = `${formatIp(bytes)}/${length}`;
        assert.equal(formatPrefix(parsePrefix(text, 'keep')), text);
      }),
    );
  });

  it('contains what node:net says it contains', () => {
    fc.assert(
      fc.property(prefix, fc.oneof(ipv4Bytes, ipv6Bytes), fc.boolean(), ([bytes, length], other, near) => {
        const network = parsePrefix(`${formatIp(bytes)}/${length}`, 'clear');
        const bits = bytes.length * 8;
        // Half the time the network's own last address: random ones are rarely inside.
        const address = near ? Uint8Array.from(network.bytes) : other;
        if (near && length < bits) address[address.length - 1]! |= 1;
        const family = network.version === 4 ? 'ipv4' : 'ipv6';
        const list = new BlockList();
        list.addSubnet(formatIp(network.bytes), length, family);
        const wanted = address.length === network.bytes.length && list.check(formatIp(address), family);
        assert.equal(prefixContains(network, parseIp(formatIp(address))), wanted);
      }),
    );
  });

  it('rejects, clears or keeps host bits as told', () => {
    assert.throws(
      () => parsePrefix('192.0.2.7/24'),
      (error) =>
        error instanceof ArgumentError &&
        error.hint!.includes('192.0.2.0/24') &&
        error.hint!.includes('192.0.2.7/32'),
    );
    assert.equal(formatPrefix(parsePrefix('192.0.2.7/24', 'clear')), '192.0.2.0/24');
    assert.equal(formatPrefix(parsePrefix('192.0.2.7/24', 'keep')), '192.0.2.7/24');
    assert.equal(formatPrefix(parsePrefix('192.0.2.7')), '192.0.2.7/32');
    assert.equal(formatPrefix(parsePrefix('2001:db8::/32')), '2001:db8::/32');
    assert.equal(formatPrefix(parsePrefix('0.0.0.0/0')), '0.0.0.0/0');
    assert.equal(formatPrefix(networkOf(parsePrefix('ffff::1/3', 'keep'))), 'e000::/3');
  });

  it('refuses lengths that are none', () => {
    for (const text of [
      '192.0.2.0/33',
      '192.0.2.0/',
      '192.0.2.0/-1',
      '192.0.2.0/024',
      '::/129',
      '::/1/2',
      '192.0.2.0/255.255.255.0',
      '/24',
      'x/24',
    ]) {
      assert.throws(() => parsePrefix(text), ArgumentError, text);
    }
  });
});
