import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blocklist } from '../../src/programs/blocklist.ts';
import { etherTypeRedirect } from '../../src/programs/ethertype-redirect.ts';
import { ipv6Walk } from '../../src/programs/ipv6-walk.ts';
import { mssClamp } from '../../src/programs/mss-clamp.ts';
import { portRewrite } from '../../src/programs/port-rewrite.ts';
import { pppoeRedirect } from '../../src/programs/pppoe-redirect.ts';
import { udpChecksum } from '../../src/programs/udp-checksum.ts';
import { agree, type Fill, noise, noises } from '../compiler/agree.ts';

/** The Internet checksum over some parts, the plain way. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let i = 0; i < part.length; i++) sum += part[i]! << (i % 2 === 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Ethernet and IPv4 (with `options` words of options) around a payload. */
function ipv4(protocol: number, payload: Uint8Array, options = 0): Uint8Array {
  const header = 20 + options * 4;
  const bytes = new Uint8Array(14 + header + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x40 | (header / 4));
  view.setUint16(16, header + payload.length);
  view.setUint8(22, 64);
  view.setUint8(23, protocol);
  bytes.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  bytes.set(payload, 14 + header);
  return bytes;
}

/** The sum that a right UDP or TCP checksum makes zero. */
function pseudoSum(frame: Uint8Array, start: number): number {
  const length = frame.length - start;
  const pseudo = Uint8Array.of(...frame.subarray(26, 34), 0, frame[23]!, length >> 8, length & 0xff);
  return checksum(pseudo, frame.subarray(start));
}

function udp(port: number, payload: Uint8Array, options = 0): Uint8Array {
  const length = 8 + payload.length;
  const head = [0x30, 0x39, port >> 8, port & 0xff, length >> 8, length & 0xff, 0, 0];
  const frame = ipv4(17, Uint8Array.of(...head, ...payload), options);
  const start = 34 + options * 4;
  const sum = pseudoSum(frame, start);
  new DataView(frame.buffer).setUint16(start + 6, sum === 0 ? 0xffff : sum);
  return frame;
}

function syn(options: readonly number[]): Uint8Array {
  const padded = [...options, ...new Array<number>((4 - (options.length % 4)) % 4).fill(0)];
  const head = [1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, (5 + padded.length / 4) << 4, 2, 0xff, 0xff, 0, 0, 0, 0];
  const frame = ipv4(6, Uint8Array.of(...head, ...padded));
  new DataView(frame.buffer).setUint16(50, pseudoSum(frame, 34));
  return frame;
}

/** Frames, each also cut short at every length. */
function cut(frames: readonly Uint8Array[]): Uint8Array[] {
  return frames.flatMap((frame) =>
    Array.from({ length: frame.length - 13 }, (_, i) => frame.subarray(0, frame.length - i)),
  );
}

describe('the library’s programs, in Node and in the kernel', () => {
  it('blocklist: drops listed sources behind up to two tags', () => {
    const plain = udp(53, noise(20, 1));
    const tagged = Uint8Array.of(...plain.subarray(0, 12), 0x81, 0, 0, 7, ...plain.subarray(12));
    const stacked = Uint8Array.of(...plain.subarray(0, 12), 0x88, 0xa8, 0, 9, ...tagged.subarray(12));
    const three = Uint8Array.of(...plain.subarray(0, 12), 0x81, 0, 0, 1, ...stacked.subarray(12));
    const frames = [plain, tagged, stacked, three];
    const results = agree(blocklist(16), [...frames, ...cut(frames), ...noises(40)], {
      blocked: [[0x0a000001, { hits: 0n }]],
    });
    assert.deepEqual(
      results.slice(0, 4).map((r) => r.verdict),
      ['drop', 'drop', 'drop', 'pass'],
    );
  });

  it('port rewrite: the checksum stays right, and zero stays zero', () => {
    const frames = Array.from({ length: 40 }, (_, i) => udp(7999, noise(i, i + 1), i % 4));
    const without = udp(7999, noise(10, 3));
    new DataView(without.buffer).setUint16(40, 0);
    const other = udp(8000, noise(10, 3));
    const fragment = udp(7999, noise(10, 3));
    fragment[20] = 0x20;
    const all = [...frames, without, other, fragment];
    const results = agree(portRewrite({ from: 7999, to: 7998 }), [
      ...all,
      ...cut(all.slice(0, 4)),
      ...noises(40),
    ]);
    frames.forEach((_, i) => {
      const { data } = results[i]!;
      const start = 34 + (i % 4) * 4;
      assert.equal(new DataView(data.buffer).getUint16(start + 2), 7998);
      assert.equal(pseudoSum(data, start), 0, `checksum of frame ${i}`);
    });
    const [zero, same, part] = results.slice(40, 43).map((r) => r.data);
    assert.equal(new DataView(zero!.buffer).getUint16(40), 0);
    assert.deepEqual(same, other);
    assert.deepEqual(part, fragment);
  });

  it('EtherType redirect: passes what is not listed, and what has no socket', () => {
    const results = agree(etherTypeRedirect(4), [udp(1, noise(9, 1)), ...noises(30)], {
      etherTypes: [[0x0800, 1]],
    });
    assert.equal(results[0]?.verdict, 'pass');
  });

  it('PPPoE redirect: looks through two tags for what is listed', () => {
    const frame = (...types: readonly number[]): Uint8Array => {
      const bytes = new Uint8Array(60);
      types.forEach((type, i) => void new DataView(bytes.buffer).setUint16(12 + 4 * i, type));
      return bytes;
    };
    const frames = [
      frame(0x8863),
      frame(0x8100, 0x8864),
      frame(0x88a8, 0x8100, 0x8864),
      frame(0x8100, 0x8100, 0x8100, 0x8864),
      frame(0x0800),
    ];
    // In a test run there is no socket, so all of them pass in the end: what counts is that both sides agree.
    const listed: Fill = { etherTypes: [0x8863, 0x8864].map((type) => [type, 1] as const) };
    const results = agree(pppoeRedirect(4), [...cut(frames), ...noises(30)], listed);
    assert.ok(results.every(({ verdict }) => verdict === 'pass' || verdict === 'aborted'));
  });

  it('UDP checksum: drops the wrong ones of any length', () => {
    const good = Array.from({ length: 60 }, (_, i) => udp(9, noise(i, i * 3 + 1)));
    const bad = good.slice(1).map((frame, i) => {
      const copy = frame.slice();
      copy[42 + (i % (copy.length - 42))]! ^= 1 << (i % 8);
      return copy;
    });
    const largest = udp(9, noise(1472, 5));
    const results = agree(udpChecksum(), [...good, largest, ...bad, ...cut(good.slice(5, 8)), ...noises(30)]);
    assert.ok(results.slice(0, 61).every((r) => r.verdict === 'pass'));
    assert.ok(results.slice(61, 61 + bad.length).every((r) => r.verdict === 'drop'));
  });

  it('MSS clamp: lowers the option wherever it stands, the checksum repaired', () => {
    const mss = (value: number): number[] => [2, 4, value >> 8, value & 0xff];
    const frames = [
      syn(mss(1460)),
      syn([1, ...mss(1460)]),
      syn([1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, ...mss(9000)]),
      syn([3, 3, 7, ...mss(1401)]),
      syn(mss(1400)),
      syn([0, ...mss(1460)]),
      syn([5, 0, ...mss(1460)]),
    ];
    const results = agree(mssClamp({ mss: 1400 }), [...frames, ...cut(frames), ...noises(60)]);
    const changed = results.slice(0, 7).map((r, i) => Buffer.compare(r.data, frames[i]!) !== 0);
    assert.deepEqual(changed, [true, true, true, true, false, false, false]);
    for (const { data } of results.slice(0, 7)) assert.equal(pseudoSum(data, 34), 0);
  });

  it('IPv6 walk: finds the protocol behind extension headers', () => {
    const ipv6 = (next: number, ...rest: number[]): Uint8Array => {
      const head = new Uint8Array(54);
      head.set([0x86, 0xdd, 0x60], 12);
      head[20] = next;
      return Uint8Array.of(...head, ...rest);
    };
    const eight = (next: number): number[] => [next, 0, 0, 0, 0, 0, 0, 0];
    const frames = [
      ipv6(17, 1, 2),
      ipv6(0, ...eight(60), ...eight(44), ...eight(6)),
      ipv6(43, 17, 1, ...new Array<number>(14).fill(0)),
      ipv6(60, ...Array.from({ length: 9 }, () => eight(60)).flat()),
    ];
    const results = agree(ipv6Walk(), [...frames, ...cut(frames), ...noises(30)]);
    assert.ok(results.every((r) => r.verdict === 'pass'));
  });
});
