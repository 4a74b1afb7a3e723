import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  addressSum4,
  addressSum6,
  checksum,
  checksumReplace16,
  checksumReplace32,
  onesSum,
  pseudoSum,
  transportChecksum,
  udpChecksumReplace16,
  udpChecksumReplace32,
} from '../../src/packet/index.ts';

/** RFC 1071 word by word in exact arithmetic, with none of the codecs' shortcuts. */
function naiveSum(bytes: readonly number[]): bigint {
  let sum = 0n;
  for (let i = 0; i < bytes.length; i += 2) sum += BigInt(bytes[i]!) * 256n + BigInt(bytes[i + 1] ?? 0);
  while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
  return sum;
}

function naiveChecksum(bytes: readonly number[]): number {
  return Number(0xffffn - naiveSum(bytes));
}

/** Of every length up to the greatest: by itself fast-check keeps to short arrays, which take other paths. */
const anyBytes = (least: number, most: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: least, maxLength: most, size: 'max' });

/** 0 and 0xffff are the same number in one's complement; RFC 1624 is about telling them apart. */
const u16 = fc.oneof(fc.constantFrom(0, 0xffff, 1, 0xfffe), fc.integer({ min: 0, max: 0xffff }));
const u32 = fc.oneof(
  fc.constantFrom(0, 0xffffffff, 0xffff, 0xffff0000),
  fc.integer({ min: 0, max: 0xffffffff }),
);

describe('the Internet checksum', () => {
  it('is that of RFC 1071, for every length, offset and alignment', () => {
    fc.assert(
      fc.property(anyBytes(0, 300), fc.nat(8), fc.nat(8), u16, (data, lead, base, initial) => {
        // `base` moves the array within its buffer, `lead` the data within the array.
        const bytes = new Uint8Array(new ArrayBuffer(320), base, 310);
        bytes.fill(0xa5);
        bytes.set(data, lead);
        const naive = naiveSum([initial >> 8, initial & 0xff, ...data]);
        const sum = onesSum(bytes, lead, lead + data.length, initial);
        assert.equal(sum % 0xffff, Number(naive) % 0xffff);
        assert.ok(sum >= 0 && sum <= 0xffff);
        // Of the two zeros, a sum of anything but zeros is 0xffff.
        const zero = initial === 0 && data.every((byte) => byte === 0);
        assert.equal(sum === 0, zero);
        assert.equal(checksum(bytes, lead, lead + data.length), naiveChecksum([...data]));
      }),
      { numRuns: 2000 },
    );
  });

  it('does not overflow over a range of 16 MiB of ones', () => {
    const bytes = new Uint8Array(16 * 1024 * 1024 + 3).fill(0xff);
    assert.equal(onesSum(bytes, 1, bytes.length), 0xffff);
    assert.equal(checksum(bytes, 0, bytes.length - 3), 0);
  });

  it('works in shared memory that grows', () => {
    const shared = new SharedArrayBuffer(1024, { maxByteLength: 8192 });
    const small = new Uint8Array(shared, 0, 1024).fill(0x12);
    const before = checksum(small, 0, 1024);
    shared.grow(8192);
    const large = new Uint8Array(shared, 0, 8192);
    large.fill(0x34, 1024);
    assert.equal(checksum(small, 0, 1024), before);
    assert.equal(checksum(large, 0, 8192), naiveChecksum([...large]));
  });

  it('works in a buffer that shrank and grew', () => {
    const buffer = new ArrayBuffer(1024, { maxByteLength: 4096 });
    new Uint8Array(buffer).fill(1);
    checksum(new Uint8Array(buffer, 0, 1024), 0, 1024);
    buffer.resize(128);
    assert.equal(checksum(new Uint8Array(buffer, 0, 128), 0, 128), naiveChecksum(Array(128).fill(1)));
    buffer.resize(4096);
    const bytes = new Uint8Array(buffer, 0, 4096).fill(2);
    assert.equal(checksum(bytes, 0, 4096), naiveChecksum(Array(4096).fill(2)));
  });

  it('covers the pseudo-headers of IPv4 and IPv6', () => {
    const bytesOf = (address: number): number[] => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff);
    fc.assert(
      fc.property(u32, u32, anyBytes(1, 200), (source, destination, data) => {
        const length = data.length;
        const pseudo = [...bytesOf(source), ...bytesOf(destination), 0, 17, 0, length, ...data];
        const sum = addressSum4(source, destination);
        assert.equal(transportChecksum(data, 0, length, sum, 17), naiveChecksum(pseudo));
      }),
    );
    const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(address, address, anyBytes(1, 200), (a, b, data) => {
        const pseudo = [...a, ...b, 0, 0, 0, data.length, 0, 0, 0, 58, ...data];
        assert.equal(transportChecksum(data, 0, data.length, addressSum6(a, b), 58), naiveChecksum(pseudo));
      }),
    );
    // A jumbogram's length has more than 16 bits.
    assert.equal(pseudoSum(0, 6, 0x12345), Number(naiveSum([0, 1, 0x23, 0x45, 0, 6])));
  });

  it('is updated incrementally to what it would be anew', () => {
    fc.assert(
      fc.property(anyBytes(20, 60), fc.nat(), u32, fc.boolean(), (data, at, value, wide) => {
        const bytes = data.slice();
        // A header holds more than zeros; RFC 1624 says nothing about one that does not.
        bytes[0] = 0x45;
        const size = wide ? 4 : 2;
        const offset = 2 + 2 * (at % ((bytes.length - 2 - size) >> 1));
        const view = new DataView(bytes.buffer);
        const old = checksum(bytes, 0, bytes.length);
        const before = wide ? view.getUint32(offset) : view.getUint16(offset);
        const after = wide ? value : value & 0xffff;
        if (wide) view.setUint32(offset, after);
        else view.setUint16(offset, after);
        const replace = wide ? checksumReplace32 : checksumReplace16;
        assert.equal(replace(old, before, after), checksum(bytes, 0, bytes.length));
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps UDP's rule for zero", () => {
    assert.equal(udpChecksumReplace16(0, 1, 2), 0);
    assert.equal(udpChecksumReplace32(0, 1, 2), 0);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 0xffff }),
        u16,
        u16,
        (old, before, after) => udpChecksumReplace16(old, before, after) !== 0,
      ),
    );
    // 0xfffe + 1 is a sum of 0xffff, whose complement is 0: written as 0xffff.
    assert.equal(checksumReplace16(1, 0, 1), 0);
    assert.equal(udpChecksumReplace16(1, 0, 1), 0xffff);
    assert.equal(udpChecksumReplace32(1, 0, 1), 0xffff);
  });
});
