import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { ArgumentError } from '../../src/error.ts';
import {
  type CapturedPacket,
  CaptureReader,
  LinkType,
  PcapngWriter,
  PcapWriter,
  readCapture,
} from '../../src/packet/index.ts';
import { tool } from '../dev-tools.ts';
import { generatePacket, KINDS } from './corpus.ts';
import { Random } from './random.ts';

const folder = mkdtempSync(join(tmpdir(), 'bw-capture-'));
after(() => rmSync(folder, { recursive: true }));

/** 2026-01-02 03:04:05 UTC and nine digits of a second. */
const START = 1_767_323_045_123_456_789n;

interface Sample {
  readonly bytes: Uint8Array;
  readonly timestamp: bigint;
}

function samples(count: number, seed: number): Sample[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => ({
    bytes: generatePacket(random, KINDS[i % KINDS.length]!),
    timestamp: START + BigInt(i) * 1_000_000_007n,
  }));
}

function pcapng(packets: readonly Sample[]): Uint8Array {
  const writer = new PcapngWriter({ application: 'barewire' });
  writer.addInterface({ name: 'bw0' });
  for (const { bytes, timestamp } of packets) writer.packet(bytes, 0, bytes.length, timestamp);
  return writer.take();
}

function read(file: Uint8Array): CapturedPacket[] {
  const reader = new CaptureReader();
  const packets = [...reader.push(file)];
  reader.end();
  return packets;
}

function assertSame(packets: readonly CapturedPacket[], expected: readonly Sample[], unit = 1n): void {
  assert.equal(packets.length, expected.length);
  for (const [i, { bytes, timestamp }] of expected.entries()) {
    assert.deepEqual(packets[i]!.bytes, bytes, `packet ${i + 1}`);
    assert.equal(packets[i]!.originalLength, bytes.length);
    assert.equal(packets[i]!.timestamp, timestamp - (timestamp % unit));
  }
}

describe('capture files', () => {
  it('read back as they were written, from chunks of any size', () => {
    const packets = samples(60, 1);
    const pcap = new PcapWriter();
    for (const { bytes, timestamp } of packets) pcap.packet(bytes, 0, bytes.length, timestamp);
    for (const file of [pcapng(packets), pcap.take()]) {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 1, max: 3000 }), (seed, longest) => {
          const random = new Random(seed);
          const reader = new CaptureReader();
          const found: CapturedPacket[] = [];
          for (let at = 0; at < file.length; ) {
            const size = random.between(1, longest);
            found.push(...reader.push(file.slice(at, at + size)));
            at += size;
          }
          reader.end();
          // Compared at the end: what was handed out first must not have been overwritten since.
          assertSame(found, packets);
        }),
        { numRuns: 60 },
      );
    }
  });

  it('keep packets that were not asked for until the next chunk', () => {
    const packets = samples(10, 2);
    const reader = new CaptureReader();
    const found: CapturedPacket[] = [];
    for (const packet of reader.push(pcapng(packets))) {
      found.push(packet);
      if (found.length === 3) break;
    }
    assert.equal(found.length, 3);
    found.push(...reader.push(new Uint8Array(0)));
    assertSame(found, packets);
  });

  it('carry interfaces, comments, flags, cut lengths and drop counters in pcapng', () => {
    const writer = new PcapngWriter({
      hardware: 'x64',
      os: 'Linux',
      application: 'bw',
      comments: ['ä', 'b'],
    });
    const first = writer.addInterface({ name: 'bw0', description: 'left', filter: 'udp', os: 'Linux' });
    const second = writer.addInterface({ linkType: LinkType.raw, snapLength: 20 });
    const packet = Uint8Array.from({ length: 41 }, (_, i) => i);
    writer.packet(packet, 1, 41, START, {
      interfaceId: first,
      originalLength: 1500,
      comments: ['one', 'two'],
      flags: 1,
      dropCount: 2n ** 40n,
    });
    writer.packet(packet, 0, 41, START + 1n, { interfaceId: second });
    const counters = { received: 10n, dropped: 2n ** 63n, accepted: 3n, osDropped: 4n, delivered: 5n };
    writer.statistics(first, { timestamp: START + 2n, ...counters });
    writer.statistics(first, { timestamp: START + 3n, received: 11n });
    const reader = new CaptureReader();
    const [one, two] = [...reader.push(writer.take())];
    reader.end();
    assert.deepEqual(one!.bytes, packet.slice(1));
    assert.equal(one!.originalLength, 1500);
    assert.deepEqual(one!.comments, ['one', 'two']);
    assert.equal(one!.flags, 1);
    assert.equal(one!.dropCount, 2n ** 40n);
    assert.deepEqual(two!.bytes, packet.slice(0, 20));
    assert.equal(two!.originalLength, 41);
    assert.equal(two!.interface.linkType, LinkType.raw);
    assert.deepEqual(reader.section, {
      hardware: 'x64',
      os: 'Linux',
      application: 'bw',
      comments: ['ä', 'b'],
    });
    assert.deepEqual(reader.interfaces[0], {
      linkType: 1,
      snapLength: 0,
      name: 'bw0',
      description: 'left',
      filter: 'udp',
      os: 'Linux',
      statistics: { timestamp: START + 3n, received: 11n },
    });
    assert.equal(reader.interfaces[0], one!.interface);
  });

  it('are refused when they end in a record or contradict themselves', () => {
    const file = pcapng(samples(1, 3));
    const reader = new CaptureReader();
    assert.equal([...reader.push(file.subarray(0, file.length - 1))].length, 0);
    assert.throws(() => reader.end(), { code: 'BW_CODEC', message: /middle of a record/ });
    assert.throws(() => read(new Uint8Array(64)), { code: 'BW_CODEC', message: /neither pcap nor pcapng/ });
    const lengths = file.slice();
    lengths[lengths.length - 4]! ^= 4;
    assert.throws(() => read(lengths), { code: 'BW_CODEC', message: /lengths of a block differ/ });
    const packetOnly = Uint8Array.from([
      ...file.subarray(0, blockLength(file, 0)),
      ...file.subarray(blockEnd(file, 1)),
    ]);
    assert.throws(() => read(packetOnly), { code: 'BW_CODEC', message: /no interface 0/ });
    const huge = new PcapWriter().take().slice();
    const record = Uint8Array.from([
      ...huge,
      ...Array<number>(8).fill(0),
      0xff,
      0xff,
      0xff,
      0x7f,
      0,
      0,
      0,
      0,
    ]);
    assert.throws(() => read(record), { code: 'BW_CODEC', message: /a packet of 2147483647 bytes/ });
  });

  it('refuse what they cannot hold', () => {
    const writer = new PcapngWriter();
    assert.throws(() => writer.packet(new Uint8Array(4), 0, 4, 0n), { message: /no interface 0/ });
    writer.addInterface();
    assert.throws(() => writer.packet(new Uint8Array(4), 0, 4, -1n), ArgumentError);
    assert.throws(() => writer.packet(new Uint8Array(4), 0, 5, 0n), { code: 'BW_CODEC' });
    assert.throws(() => writer.statistics(1, { timestamp: 0n }), ArgumentError);
    const pcap = new PcapWriter({ snapLength: 3 });
    assert.throws(() => pcap.packet(new Uint8Array(4), 0, 4, 2n ** 63n), {
      message: /between 1970 and 2106/,
    });
    pcap.packet(new Uint8Array(4), 0, 4, 0n);
    const [packet] = read(pcap.take());
    assert.equal(packet!.bytes.length, 3);
    assert.equal(packet!.originalLength, 4);
  });
});

/** The length of block `index` and where it ends, by the lengths in the file. */
function blockLength(file: Uint8Array, offset: number): number {
  return new DataView(file.buffer, file.byteOffset).getUint32(offset + 4, true);
}

function blockEnd(file: Uint8Array, index: number): number {
  let at = 0;
  for (let i = 0; i <= index; i++) at += blockLength(file, at);
  return at;
}

describe('files of other writers', () => {
  /** A pcapng block in either byte order: 32-bit words and raw bytes, padded. */
  function block(littleEndian: boolean, type: number, ...parts: (number | Uint8Array)[]): Uint8Array {
    const body = parts.flatMap((part) => {
      if (part instanceof Uint8Array) return [...part, ...new Uint8Array(-part.length & 3)];
      const bytes = [part >>> 24, (part >>> 16) & 0xff, (part >>> 8) & 0xff, part & 0xff];
      return littleEndian ? bytes.reverse() : bytes;
    });
    const word = (value: number): number[] => {
      const bytes = [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
      return littleEndian ? bytes.reverse() : bytes;
    };
    const length = 12 + body.length;
    return Uint8Array.from([...word(type), ...word(length), ...body, ...word(length)]);
  }

  /** Two 16-bit numbers as they lie one after the other. */
  function pair(littleEndian: boolean, first: number, second: number): number {
    return littleEndian ? ((second << 16) | first) >>> 0 : ((first << 16) | second) >>> 0;
  }

  for (const littleEndian of [true, false]) {
    it(`are read block by block, ${littleEndian ? 'little' : 'big'}-endian`, () => {
      const b = (type: number, ...parts: (number | Uint8Array)[]): Uint8Array =>
        block(littleEndian, type, ...parts);
      const p = (first: number, second: number): number => pair(littleEndian, first, second);
      const data = Uint8Array.of(1, 2, 3, 4, 5);
      const section = b(0x0a0d0d0a, 0x1a2b3c4d, p(1, 0), 0xffffffff, 0xffffffff);
      const file = Buffer.concat([
        section,
        // No options: microseconds.
        b(1, p(1, 0), 0),
        // Milliseconds (10^-3), an offset of 100 s, then the end of options.
        b(1, p(101, 0), 4, p(9, 1), Uint8Array.of(3), p(14, 8), ...offset100(littleEndian), p(0, 0)),
        // Units of 2^-10 s.
        b(1, p(1, 0), 0, p(9, 1), Uint8Array.of(0x8a), p(0, 0)),
        // Name resolution and a custom block: both passed over.
        b(4, p(0, 0)),
        b(0xbad, 0x12345678, data),
        b(6, 0, 1, 5, 5, 60, data),
        b(6, 1, 0, 1500, 5, 60, data),
        b(6, 2, 0, 512, 5, 60, data),
        // A simple packet of 5 bytes, and an obsolete packet block with interface 1 and 3 drops.
        b(3, 5, data),
        b(2, p(1, 3), 0, 2000, 4, 60, data.subarray(0, 4)),
        b(5, 0, 0, 7, p(4, 8), ...counter(littleEndian, 9), p(0, 0)),
        // A second section starts over, here without any interface but one.
        section,
        b(1, p(1, 0), 0),
        b(6, 0, 0, 3, 5, 5, data),
      ]);
      const reader = new CaptureReader();
      const packets = [...reader.push(file)];
      reader.end();
      assert.deepEqual(
        packets.map(({ timestamp }) => timestamp),
        [(2n ** 32n + 5n) * 1000n, 101_500_000_000n, 500_000_000n, 0n, 102_000_000_000n, 3000n],
      );
      assert.deepEqual(
        packets.map(({ bytes }) => bytes.length),
        [5, 5, 5, 5, 4, 5],
      );
      assert.equal(packets[0]!.originalLength, 60);
      assert.equal(packets[1]!.interface.linkType, LinkType.raw);
      assert.equal(packets[0]!.interface.statistics!.received, 9n);
      assert.equal(reader.interfaces.length, 1);
    });

    for (const [magic, unit] of [
      [0xa1b2c3d4, 1000n],
      [0xa1b23c4d, 1n],
    ] as const) {
      it(`are read as pcap, ${littleEndian ? 'little' : 'big'}-endian, in units of ${unit} ns`, () => {
        const file = new DataView(new ArrayBuffer(24 + 16 + 3));
        const put = (offset: number, value: number): void => file.setUint32(offset, value, littleEndian);
        put(0, magic);
        file.setUint16(4, 2, littleEndian);
        file.setUint16(6, 4, littleEndian);
        put(16, 65_535);
        // The upper half says that a frame check sequence of 4 bytes follows each packet.
        put(20, 0x2400_0001);
        put(24, 100);
        put(28, 999_999);
        put(32, 3);
        put(36, 60);
        new Uint8Array(file.buffer).set([7, 8, 9], 40);
        const [packet] = read(new Uint8Array(file.buffer));
        assert.deepEqual(packet!.bytes, Uint8Array.of(7, 8, 9));
        assert.equal(packet!.timestamp, 100_000_000_000n + 999_999n * unit);
        assert.equal(packet!.originalLength, 60);
        assert.equal(packet!.interface.linkType, LinkType.ethernet);
        assert.equal(packet!.interface.snapLength, 65_535);
      });
    }
  }

  function offset100(littleEndian: boolean): [number, number] {
    return littleEndian ? [100, 0] : [0, 100];
  }

  function counter(littleEndian: boolean, value: number): [number, number] {
    return littleEndian ? [value, 0] : [0, value];
  }
});

describe('Wireshark’s tools', () => {
  const packets = samples(500, 4);
  const ours = join(folder, 'ours.pcapng');
  writeFileSync(ours, pcapng(packets));

  for (const [format, unit] of [
    ['pcap', 1000n],
    ['nsecpcap', 1n],
    ['pcapng', 1n],
  ] as const) {
    it(`read our pcapng, and we read what they write as ${format}`, async () => {
      const theirs = join(folder, `theirs.${format}`);
      execFileSync(tool('editcap'), ['-F', format, ours, theirs]);
      assertSame(read(readFileSync(theirs)), packets, unit);
      const streamed: CapturedPacket[] = [];
      for await (const packet of readCapture(createReadStream(theirs, { highWaterMark: 777 }))) {
        streamed.push(packet);
      }
      assertSame(streamed, packets, unit);
    });
  }

  for (const precision of ['microseconds', 'nanoseconds'] as const) {
    it(`read our pcap in ${precision}`, () => {
      const writer = new PcapWriter({ precision });
      for (const { bytes, timestamp } of packets) writer.packet(bytes, 0, bytes.length, timestamp);
      const file = join(folder, `${precision}.pcap`);
      writeFileSync(file, writer.take());
      const fields = ['frame.time_epoch', 'frame.len', 'frame.cap_len'].flatMap((field) => ['-e', field]);
      const output = execFileSync(tool('tshark'), ['-n', '-r', file, '-T', 'fields', ...fields], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const unit = precision === 'nanoseconds' ? 1n : 1000n;
      const expected = packets.map(({ bytes, timestamp }) => {
        const rounded = timestamp - (timestamp % unit);
        const fraction = (rounded % 1_000_000_000n).toString().padStart(9, '0');
        return `${rounded / 1_000_000_000n}.${fraction}\t${bytes.length}\t${bytes.length}`;
      });
      assert.deepEqual(output.trimEnd().split('\n'), expected);
    });
  }

  it('read our comments, interfaces, drop counts and statistics', () => {
    const writer = new PcapngWriter({ application: 'barewire', comments: ['whole file'] });
    const id = writer.addInterface({ name: 'bw0', description: 'left end' });
    const { bytes, timestamp } = packets[0]!;
    writer.packet(bytes, 0, bytes.length, timestamp, { comments: ['a note'], flags: 2, dropCount: 77n });
    writer.statistics(id, { timestamp, received: 100n, dropped: 23n });
    const file = join(folder, 'details.pcapng');
    writeFileSync(file, writer.take());
    const names = [
      'frame.comment',
      'frame.interface_name',
      'frame.drop_count',
      'frame.packet_flags_direction',
    ];
    const args = ['-n', '-r', file, '-T', 'fields', ...names.flatMap((name) => ['-e', name])];
    const output = execFileSync(tool('tshark'), args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    assert.equal(output.trimEnd(), 'a note\tbw0\t77\t0x00000002');
    const kept = join(folder, 'kept.pcapng');
    execFileSync(tool('editcap'), ['-F', 'pcapng', file, kept]);
    const reader = new CaptureReader();
    const [packet] = [...reader.push(readFileSync(kept))];
    reader.end();
    assert.deepEqual(packet!.comments, ['a note']);
    assert.equal(packet!.dropCount, 77n);
    assert.equal(packet!.interface.name, 'bw0');
    assert.equal(packet!.interface.description, 'left end');
    // editcap leaves statistics out; capinfos counts them.
    assert.match(
      execFileSync(tool('capinfos'), [file], { encoding: 'utf8' }),
      /Number of stat entries = 1\n/,
    );
  });
});
