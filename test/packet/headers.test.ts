import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  ArpView,
  DnsView,
  EthernetView,
  type HeaderField,
  type HeaderName,
  headerFields,
  headerLayouts,
  IcmpView,
  Icmpv6View,
  Ipv4View,
  Ipv6ExtensionView,
  Ipv6FragmentView,
  Ipv6View,
  type PacketView,
  PppControlView,
  PppoeView,
  PppView,
  TcpView,
  UdpView,
  VlanView,
} from '../../src/packet/index.ts';

interface Case {
  readonly view: PacketView & {
    at(bytes: Uint8Array, offset?: number, end?: number): unknown;
  };
  /** Gives random bytes what the view insists on. */
  readonly makeValid?: (header: Uint8Array) => void;
}

const CASES: Readonly<Record<HeaderName, Case>> = {
  eth: { view: new EthernetView() },
  vlan: { view: new VlanView() },
  arp: { view: new ArpView(), makeValid: (header) => header.set([6, 4], 4) },
  ipv4: {
    view: new Ipv4View(),
    makeValid: (header) => {
      header[0] = 0x45;
      header[2] = 1;
    },
  },
  ipv6: {
    view: new Ipv6View(),
    makeValid: (header) => {
      header[0] = 0x60 | (header[0]! & 0x0f);
    },
  },
  ipv6Extension: { view: new Ipv6ExtensionView(), makeValid: (header) => header.set([0], 1) },
  ipv6Fragment: { view: new Ipv6FragmentView() },
  icmp: { view: new IcmpView() },
  icmpv6: { view: new Icmpv6View() },
  udp: { view: new UdpView(), makeValid: (header) => header.set([1], 4) },
  tcp: {
    view: new TcpView(),
    makeValid: (header) => {
      header[12] = 0x50 | (header[12]! & 0x0f);
    },
  },
  dns: { view: new DnsView() },
  pppoe: { view: new PppoeView(), makeValid: (header) => header.set([0x11], 0) },
  ppp: { view: new PppView() },
  pppControl: { view: new PppControlView(), makeValid: (header) => header.set([1], 2) },
};

/** The header table read by its own words, with exact arithmetic and none of the codecs' code. */
function rawValue(field: HeaderField, bytes: Uint8Array, offset: number): bigint {
  let word = 0n;
  for (let i = 0; i < field.size; i++) word = (word << 8n) | BigInt(bytes[offset + field.offset + i]!);
  const width = BigInt(field.width ?? 8 * field.size);
  return (word >> BigInt(field.shift ?? 0)) & ((1n << width) - 1n);
}

function expected(field: HeaderField, bytes: Uint8Array, offset: number): unknown {
  if (field.kind === 'ipv6') return bytes.slice(offset + field.offset, offset + field.offset + 16);
  const raw = rawValue(field, bytes, offset);
  return field.kind === 'flag' ? raw === 1n : Number(raw) * (field.scale ?? 1);
}

/** What a setter is given so that the field's bits become `raw`. */
function valueFor(field: HeaderField, raw: bigint): unknown {
  if (field.kind === 'ipv6') {
    return Uint8Array.from({ length: 16 }, (_, i) => Number((raw >> BigInt(8 * (15 - i))) & 0xffn));
  }
  return field.kind === 'flag' ? raw === 1n : Number(raw) * (field.scale ?? 1);
}

const OFFSET = 5;
/** One header among random bytes. */
const anyBytes = fc.uint8Array({ minLength: 64, maxLength: 64 });
const any128 = fc.bigInt(0n, (1n << 128n) - 1n);
const fieldsOf = (header: HeaderName): [string, HeaderField][] =>
  Object.entries(headerLayouts[header].fields);

describe('the header table', () => {
  for (const header of Object.keys(CASES) as HeaderName[]) {
    const { view, makeValid } = CASES[header];
    const { size } = headerLayouts[header];

    it(`describes ${header} as its view reads it`, () => {
      fc.assert(
        fc.property(anyBytes, (bytes) => {
          makeValid?.(bytes.subarray(OFFSET));
          view.at(bytes, OFFSET);
          for (const [name, field] of fieldsOf(header)) {
            const value = (view as unknown as Record<string, unknown>)[name];
            assert.deepEqual(value, expected(field, bytes, OFFSET), name);
          }
        }),
      );
    });

    it(`describes ${header} as its view writes it`, () => {
      fc.assert(
        fc.property(anyBytes, any128, (bytes, value) => {
          for (const [name, field] of fieldsOf(header)) {
            const packet = bytes.slice();
            makeValid?.(packet.subarray(OFFSET));
            view.at(packet, OFFSET);
            const width = BigInt(field.width ?? 8 * field.size);
            const raw = value & ((1n << width) - 1n);
            const before = packet.slice();
            (view as unknown as Record<string, unknown>)[name] = valueFor(field, raw);
            assert.equal(rawValue(field, packet, OFFSET), raw, name);
            // Every bit outside the field is as before.
            const start = OFFSET + field.offset;
            const mask = ((1n << width) - 1n) << BigInt(field.shift ?? 0);
            const outside = (all: Uint8Array): bigint =>
              rawValue({ kind: 'number', offset: 0, size: field.size }, all, start) & ~mask;
            assert.equal(outside(packet), outside(before), `${name}: bits beside it`);
            assert.deepEqual(packet.subarray(0, start), before.subarray(0, start), name);
            assert.deepEqual(packet.subarray(start + field.size), before.subarray(start + field.size), name);
          }
        }),
      );
    });

    it(`refuses ${header} in fewer than ${size} bytes`, () => {
      const bytes = new Uint8Array(64);
      makeValid?.(bytes.subarray(OFFSET));
      for (let length = 0; length < size; length++) {
        assert.throws(() => view.at(bytes, OFFSET, OFFSET + length), { code: 'BW_CODEC' }, `${length} bytes`);
      }
      assert.equal(view.at(bytes, OFFSET), view);
    });
  }

  it('gives fields by name, addresses as text', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 8, 0);
    assert.deepEqual(headerFields('eth', bytes, 0), {
      destination: '01:02:03:04:05:06',
      source: '0a:0b:0c:0d:0e:0f',
      etherType: 0x0800,
    });
    assert.throws(() => headerFields('eth', bytes, 1), { code: 'BW_CODEC' });
  });
});
