import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIPv4, formatIPv6, parseIp } from '../../src/address/index.ts';
import { CodecError } from '../../src/error.ts';
import {
  datagramHeader,
  parseCredentials,
  parseDatagram,
  parseGreeting,
  parseRequest,
  replyMessage,
} from '../../src/proxy/socks.ts';
import { specialPurpose } from '../../src/proxy/special.ts';

const parsers = { parseGreeting, parseCredentials, parseRequest, parseDatagram };
const host = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => formatIPv4(bytes)),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => formatIPv6(bytes)),
  fc.domain(),
);
const destination = fc.record({ host, port: fc.integer({ min: 0, max: 65_535 }) });

describe('SOCKS5 messages', () => {
  for (const [name, parse] of Object.entries(parsers)) {
    it(`${name} takes any bytes, and throws CodecError or nothing`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, plausible) => {
          if (plausible && bytes.length > 0)
            bytes[0] = name === 'parseCredentials' ? 1 : name === 'parseDatagram' ? 0 : 5;
          try {
            const parsed = parse(bytes);
            if (parsed !== undefined && 'length' in parsed) assert.ok(parsed.length <= bytes.length);
          } catch (error) {
            assert.ok(error instanceof CodecError, String(error));
          }
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('a request is read whole or asked for more, at every length', () => {
    fc.assert(
      fc.property(destination, (wanted) => {
        // RFC 1928 section 6: a reply has the form of a request.
        const message = replyMessage(1, wanted);
        for (let length = 0; length < message.length; length++) {
          assert.equal(parseRequest(message.subarray(0, length)), undefined);
        }
        assert.deepEqual(parseRequest(message), {
          value: { command: 'connect', destination: { ...wanted } },
          length: message.length,
        });
      }),
      { numRuns: 200 },
    );
  });

  it('a datagram header goes there and back, and fragments are refused', () => {
    fc.assert(
      fc.property(destination, (wanted) => {
        const header = datagramHeader(wanted);
        assert.deepEqual(parseDatagram(header), { destination: { ...wanted }, offset: header.length });
        header[2] = 1;
        assert.throws(() => parseDatagram(header), CodecError);
      }),
      { numRuns: 200 },
    );
  });
});

describe('addresses that are no public destination', () => {
  const special: Readonly<Record<string, string>> = {
    '0.1.2.3': 'this network',
    '10.255.255.255': 'private',
    '100.127.255.255': 'shared by carrier NAT',
    '127.255.0.1': 'loopback',
    '169.254.169.254': 'link-local',
    '172.31.255.255': 'private',
    '192.168.0.1': 'private',
    '198.19.255.255': 'benchmarking',
    '224.0.0.1': 'multicast',
    '255.255.255.255': 'reserved',
    '::': 'unspecified',
    '::1': 'loopback',
    '::127.0.0.1': 'IPv4-compatible',
    '::ffff:10.0.0.1': 'private',
    '64:ff9b::7f00:1': 'loopback',
    '64:ff9b:1::1': 'local NAT64',
    '2002:a00:1::': 'private',
    '2001:0:1::1': 'protocol assignments',
    'fd00::1': 'private',
    'fe80::1': 'link-local',
    'ff02::1': 'multicast',
  };
  for (const [address, name] of Object.entries(special)) {
    it(`${address}: ${name}`, () => assert.equal(specialPurpose(parseIp(address)), name));
  }

  it('and those beside them are', () => {
    for (const address of [
      '1.1.1.1',
      '9.255.255.255',
      '11.0.0.0',
      '100.63.255.255',
      '100.128.0.0',
      '126.255.255.255',
      '128.0.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '192.167.255.255',
      '192.169.0.0',
      '198.17.255.255',
      '198.20.0.0',
      '223.255.255.255',
      '2606:4700::1111',
      '2a00::1',
      '::ffff:1.1.1.1',
      '64:ff9b::101:101',
      '2002:101:101::',
    ]) {
      assert.equal(specialPurpose(parseIp(address)), undefined, address);
    }
  });
});
