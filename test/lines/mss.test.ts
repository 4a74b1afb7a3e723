import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { clampMss } from '../../src/lines/mss.ts';
import { buildPacket, type PacketLayer, TcpFlag, type TcpOption } from '../../src/packet/index.ts';

const ends = {
  4: { source: '192.0.2.1', destination: '192.0.2.2' },
  6: { source: '2001:db8::1', destination: '2001:db8::2' },
} as const;

function segment(version: 4 | 6, flags: number, options: readonly TcpOption[]): Uint8Array {
  const ip: PacketLayer = version === 4 ? { layer: 'ipv4', ...ends[4] } : { layer: 'ipv6', ...ends[6] };
  return buildPacket([ip, { layer: 'tcp', sourcePort: 1, destinationPort: 2, sequence: 7, flags, options }]);
}

const mss = (value: number): TcpOption => ({ kind: 'mss', value });
const nop: TcpOption = { kind: 'nop' };

for (const version of [4, 6] as const) {
  it(`lowers what an IPv${version} SYN announces, the checksum repaired, wherever the option stands`, () => {
    const most = 1492 - (version === 4 ? 40 : 60);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff }), (nops, value) => {
        const before = segment(version, TcpFlag.syn, [
          ...Array.from({ length: nops }, () => nop),
          mss(value),
        ]);
        const after = before.slice();
        assert.equal(clampMss(after, 0, after.length, 1492), value > most);
        const expected = segment(version, TcpFlag.syn, [
          ...Array.from({ length: nops }, () => nop),
          mss(Math.min(value, most)),
        ]);
        assert.deepEqual(after, expected);
      }),
    );
  });

  it(`leaves other IPv${version} packets alone`, () => {
    const data = segment(version, TcpFlag.ack, [mss(9000)]);
    assert.equal(clampMss(data, 0, data.length, 1492), false);
    const bare = segment(version, TcpFlag.syn, []);
    assert.equal(clampMss(bare, 0, bare.length, 1492), false);
  });
}

it('reads no byte beyond the packet, whatever that holds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 120 }), fc.boolean(), (bytes, four) => {
      bytes[0] = ((four ? 4 : 6) << 4) | (bytes[0]! & 0x0f);
      if (bytes.length > 9) bytes[four ? 9 : 6] = 6;
      const guarded = new Uint8Array(bytes.length + 64).fill(0xa5);
      guarded.set(bytes);
      clampMss(guarded, 0, bytes.length, 1492);
      assert.ok(guarded.subarray(bytes.length).every((byte) => byte === 0xa5));
    }),
  );
});
