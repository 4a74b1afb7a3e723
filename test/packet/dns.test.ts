import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ArgumentError } from '../../src/error.ts';
import {
  type DnsMessage,
  type DnsRecord,
  DnsView,
  decodeDns,
  decodeName,
  dnsTypeCode,
  dnsTypeName,
  emitDns,
  emitName,
  NameTable,
  skipName,
} from '../../src/packet/index.ts';

function encode(message: DnsMessage): Uint8Array {
  const out = new Uint8Array(65_535);
  return out.slice(0, emitDns(out, 0, message));
}

function wireName(name: string): number[] {
  const out = new Uint8Array(300);
  return [...out.subarray(0, emitName(out, 0, name))];
}

describe('names', () => {
  it('go on the wire as RFC 1035 says', () => {
    assert.deepEqual(wireName('.'), [0]);
    assert.deepEqual(wireName('a.bc'), [1, 97, 2, 98, 99, 0]);
    assert.deepEqual(wireName('a.bc.'), [1, 97, 2, 98, 99, 0]);
    assert.deepEqual(wireName('a\\.b'), [3, 97, 46, 98, 0]);
    assert.deepEqual(wireName('\\000\\255\\\\'), [3, 0, 255, 92, 0]);
  });

  it('of any bytes read back as they were written, in one text form', () => {
    const label = fc.uint8Array({ minLength: 1, maxLength: 63, size: 'max' });
    fc.assert(
      fc.property(fc.array(label, { maxLength: 3 }), (labels) => {
        const wire = Uint8Array.from([...labels.flatMap((bytes) => [bytes.length, ...bytes]), 0]);
        const text = decodeName(wire, 0, 0, wire.length);
        assert.match(text, /^[\x21-\x7e]+$/);
        assert.deepEqual(wireName(text), [...wire]);
        assert.equal(skipName(wire, 0, wire.length), wire.length);
      }),
    );
  });

  it('are refused where they cannot go on the wire', () => {
    const label = 'a'.repeat(63);
    const wrong = [
      '',
      '..',
      'a..b',
      '.a',
      'a'.repeat(64),
      'ü.example',
      '\\256',
      'a\\',
      `${label}.`.repeat(4),
    ];
    for (const name of wrong) assert.throws(() => wireName(name), ArgumentError, JSON.stringify(name));
    // The longest name: 255 bytes with the closing zero.
    assert.equal(wireName(`${label}.${label}.${label}.${'a'.repeat(61)}`).length, 255);
    assert.throws(() => wireName(`${label}.${label}.${label}.${'a'.repeat(62)}`), ArgumentError);
  });

  it('are refused on the wire with the label types that never came into use', () => {
    for (const type of [0x40, 0x80]) {
      const wire = Uint8Array.of(type | 1, 97, 0);
      assert.throws(() => decodeName(wire, 0, 0, 3), { code: 'BW_CODEC', message: /label type/ });
      assert.throws(() => skipName(wire, 0, 3), { code: 'BW_CODEC', message: /label type/ });
    }
  });

  it('point at earlier ones, only at whole labels and only as far as a pointer reaches', () => {
    const out = new Uint8Array(70_000);
    const table = new NameTable(0);
    let at = emitName(out, 0, 'www.example.com', table);
    assert.equal(at, 17);
    at = emitName(out, at, 'mail.example.com', table);
    assert.deepEqual([...out.subarray(17, at)], [4, 109, 97, 105, 108, 0xc0, 4]);
    at = emitName(out, at, 'com', table);
    assert.deepEqual([...out.subarray(24, at)], [0xc0, 12]);
    // 'a\000b' is one label and must not be taken for two.
    const first = emitName(out, at, 'x\\000y.z', table);
    assert.equal(emitName(out, first, 'y.z', table) - first, 4 - 1 + 1);
    // Case is kept: another spelling is written anew.
    const upper = emitName(out, first, 'COM', table);
    assert.equal(upper - first, 5);
    // Beyond 16 KiB nothing can be pointed at.
    const far = emitName(out, 0x4000, 'far.away', table);
    assert.equal(emitName(out, far, 'far.away', table) - far, 10);
  });
});

describe('messages', () => {
  it('compress the names of RFC 1035 and no others', () => {
    const answers: DnsRecord[] = [
      { name: 'example.com', type: 'MX', ttl: 1, preference: 1, exchange: 'mail.example.com' },
      {
        name: 'example.com',
        type: 'SRV',
        ttl: 1,
        priority: 0,
        weight: 0,
        port: 1,
        target: 'mail.example.com',
      },
    ];
    const wire = encode({ id: 1, questions: [{ name: 'example.com', type: 'MX' }], answers });
    // header, question 13 + 4; MX: pointer, 10, preference, 'mail' + pointer; SRV: pointer, 10, 6, whole name 18.
    assert.equal(wire.length, 12 + 17 + (2 + 10 + 2 + 7) + (2 + 10 + 6 + 18));
    assert.deepEqual(
      decodeDns(wire).answers.map((record) => ({ ...record, class: undefined })),
      answers.map((record) => ({ ...record, class: undefined })),
    );
  });

  it('hold response codes of 12 bits with EDNS', () => {
    const message: DnsMessage = { id: 7, response: true, responseCode: 0xabc, edns: {} };
    const wire = encode(message);
    assert.equal(new DnsView().at(wire).responseCode, 0xc);
    const read = decodeDns(wire);
    assert.equal(read.responseCode, 0xabc);
    assert.deepEqual(read.edns, { udpPayloadSize: 1232, version: 0, dnssecOk: false, options: [] });
    assert.deepEqual(read.additionals, []);
  });

  it('keep the data of unknown types, and empty data of known ones, as bytes', () => {
    const unknown = { name: 'a', class: 3, ttl: 5, type: 'TYPE65280', data: Uint8Array.of(1, 2, 3) } as const;
    const deletion = { name: 'a', class: 255, ttl: 0, type: 'TYPE1', data: new Uint8Array(0) } as const;
    assert.deepEqual(decodeDns(encode({ id: 1, answers: [unknown, deletion] })).answers, [unknown, deletion]);
  });

  it('are refused when a record contradicts itself', () => {
    const address: DnsRecord = { name: '.', type: 'A', ttl: 0, address: '192.0.2.1' };
    const wire = encode({ id: 1, answers: [address] });
    const dataLength = wire.length - 5;
    for (const [length, message] of [
      [3, /cut short/],
      [5, /cut short/],
      [0, undefined],
    ] as const) {
      const damaged = wire.slice();
      damaged[dataLength] = length;
      if (message === undefined) assert.equal(decodeDns(damaged).answers[0]!.type, 'TYPE1');
      else assert.throws(() => decodeDns(damaged), { code: 'BW_CODEC', message });
    }
    const long = Uint8Array.of(...wire, 0);
    long[dataLength] = 5;
    assert.throws(() => decodeDns(long), { code: 'BW_CODEC', message: /too many/ });
    // Bytes behind the last record are not the message's.
    assert.equal(decodeDns(Uint8Array.of(...wire, 0)).answers.length, 1);
    const twice = encode({ id: 1, edns: {} });
    const doubled = Uint8Array.of(...twice, ...twice.subarray(12));
    doubled[11] = 2;
    assert.throws(() => decodeDns(doubled), { code: 'BW_CODEC', message: /second OPT/ });
    const counted = encode({ id: 1 });
    counted[4] = 0xff;
    assert.throws(() => decodeDns(counted), { code: 'BW_CODEC' });
  });

  it('are refused when a bitmap or a service binding is malformed', () => {
    const head = [0, 0, 47, 0, 1, 0, 0, 0, 0];
    const bitmaps = [
      [0, 0],
      [0, 33, ...Array<number>(33).fill(1)],
      [1, 1, 0x80, 0, 1, 0x80],
      [0, 5, 1],
    ];
    for (const bitmap of bitmaps) {
      const wire = Uint8Array.of(...encode({ id: 1 }), ...head, 0, 1 + bitmap.length, 0, ...bitmap);
      wire[7] = 1;
      assert.throws(() => decodeDns(wire), { code: 'BW_CODEC', message: /bitmap/ }, String(bitmap));
    }
    const record: DnsRecord = {
      name: '.',
      type: 'HTTPS',
      ttl: 0,
      priority: 1,
      target: '.',
      parameters: [
        { key: 4, value: Uint8Array.of(192, 0, 2, 1) },
        { key: 1, value: Uint8Array.of(2, 104, 50) },
      ],
    };
    const wire = encode({ id: 1, answers: [record] });
    // Keys ascend on the wire, whatever the order they are given in.
    const read = decodeDns(wire).answers[0]!;
    assert.ok(read.type === 'HTTPS');
    assert.deepEqual(
      read.parameters.map(({ key }) => key),
      [1, 4],
    );
    const descending = wire.slice();
    descending[descending.length - 8 + 1] = 1;
    assert.throws(() => decodeDns(descending), { code: 'BW_CODEC', message: /service parameters/ });
  });

  it('name record types both ways', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), (code) => dnsTypeCode(dnsTypeName(code)) === code),
    );
    assert.equal(dnsTypeCode('TYPE28'), 28);
    assert.equal(dnsTypeName(28), 'AAAA');
    assert.throws(() => dnsTypeCode('aaaa'), ArgumentError);
    assert.throws(() => dnsTypeCode('TYPE65536'), ArgumentError);
  });
});
