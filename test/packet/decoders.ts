import assert from 'node:assert/strict';
import { CodecError } from '../../src/error.ts';
import {
  AhView,
  ArpView,
  DnsView,
  decodeChap,
  decodeDns,
  decodeEap,
  decodeIpv4Options,
  decodeIpv6Options,
  decodeName,
  decodeNdp,
  decodeNdpOptions,
  decodePap,
  decodePppOptions,
  decodePppoeTags,
  decodeTcpOptions,
  describePacket,
  EthernetView,
  flowHash,
  flowOf,
  IcmpView,
  Icmpv6View,
  Ipv4OptionCursor,
  Ipv4View,
  Ipv6ExtensionCursor,
  Ipv6ExtensionView,
  Ipv6FragmentView,
  Ipv6OptionCursor,
  Ipv6RoutingView,
  Ipv6View,
  LayerKind,
  NdpOptionCursor,
  NdpView,
  PacketLayers,
  type PacketView,
  PppControlView,
  PppOptionCursor,
  PppoeTagCursor,
  PppoeView,
  PppView,
  skipName,
  TcpOptionCursor,
  TcpView,
  UdpView,
  VlanView,
} from '../../src/packet/index.ts';
import { generatePacket, type PacketKind } from './corpus.ts';
import { Random } from './random.ts';

/** Reads all it can of a range of bytes, and gives what it read in a form that can be compared. */
export type Decoder = (bytes: Uint8Array, offset: number, end: number) => unknown;

type AnyView = PacketView & { at(bytes: Uint8Array, offset?: number, end?: number): unknown };

interface AnyCursor {
  start(bytes: Uint8Array, offset: number, end: number): unknown;
  next(): boolean;
}

const VIEWS: readonly (new () => AnyView)[] = [
  AhView,
  ArpView,
  DnsView,
  EthernetView,
  Icmpv6View,
  IcmpView,
  Ipv4View,
  Ipv6ExtensionView,
  Ipv6FragmentView,
  Ipv6RoutingView,
  Ipv6View,
  NdpView,
  PppControlView,
  PppoeView,
  PppView,
  TcpView,
  UdpView,
  VlanView,
];

const CURSORS: readonly (new () => AnyCursor)[] = [
  Ipv4OptionCursor,
  Ipv6OptionCursor,
  NdpOptionCursor,
  PppOptionCursor,
  PppoeTagCursor,
  TcpOptionCursor,
];

/** Every decoder of the folder by name. */
export const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ...VIEWS.map((View): [string, Decoder] => [
    View.name,
    (bytes, offset, end) => readView(View, bytes, offset, end),
  ]),
  ...CURSORS.map((Cursor): [string, Decoder] => [
    Cursor.name,
    (bytes, offset, end) => readCursor(new Cursor(), bytes, offset, end),
  ]),
  ['Ipv6ExtensionCursor', readExtensions],
  ['decodeChap', decodeChap],
  ['decodeDns', decodeDns],
  ['decodeEap', decodeEap],
  ['decodeIpv4Options', decodeIpv4Options],
  ['decodeIpv6Options', decodeIpv6Options],
  ['decodeName', (bytes, offset, end) => decodeName(bytes, offset, offset, end)],
  [
    'decodeName in a message',
    (bytes, offset, end) => decodeName(bytes, offset, Math.min(offset + 12, end), end),
  ],
  ['decodeNdp', decodeNdp],
  ['decodeNdpOptions', decodeNdpOptions],
  ['decodePap', decodePap],
  ['decodePppOptions', decodePppOptions],
  ['decodePppoeTags', decodePppoeTags],
  ['decodeTcpOptions', decodeTcpOptions],
  ['describePacket', describePacket],
  ['skipName', skipName],
  ...Object.entries(LayerKind).map(([name, kind]): [string, Decoder] => [
    `PacketLayers from ${name}`,
    (bytes, offset, end) => readLayers(kind, bytes, offset, end),
  ]),
]);

const LEAD = 16;
const TRAIL = 64;
const POISON = new Random(10).bytes(4096);

/**
 * What a decoder makes of bytes that lie in the middle of others.
 *
 * It may refuse them, but only with a CodecError; and it must not depend on what is around them.
 */
export function outcome(decoder: Decoder, data: Uint8Array): unknown {
  // The poisons differ in every bit, so that a single bit read from outside shows; and as they are no pattern, they
  // differ in their checksums too.
  const [one, other] = [0x00, 0xff].map((mask) => {
    const bytes = POISON.slice(0, LEAD + data.length + TRAIL).map((byte) => byte ^ mask);
    bytes.set(data, LEAD);
    try {
      return { value: decoder(bytes, LEAD, LEAD + data.length) };
    } catch (error) {
      if (error instanceof CodecError) return { refused: error.message, offset: error.offset };
      throw error;
    }
  });
  assert.deepEqual(one, other);
  return one;
}

/** What lies from each layer of a generated packet on, damaged and cut as it falls. */
export function damagedLayers(random: Random, kind: PacketKind): Uint8Array[] {
  const packet = generatePacket(random, kind);
  const layers = new PacketLayers().decode(packet);
  return Array.from({ length: layers.count }, (_, layer) => {
    const data = packet.slice(layers.offsets[layer]!, layers.ends[layer]!);
    for (let damage = random.below(4); damage > 0; damage--) {
      data[random.below(Math.min(data.length, 64))] = random.u8();
    }
    return random.bit() ? data : data.subarray(0, random.below(data.length + 1));
  });
}

/** Every getter of a view, and its checksum verified. */
function readView(View: new () => AnyView, bytes: Uint8Array, offset: number, end: number): unknown {
  const view = new View();
  view.at(bytes, offset, end);
  const values = readGetters(view);
  for (const [name, value] of Object.entries(values)) {
    // Where something lies is never past what was given, or -1 where there is none of it.
    if (/(Offset|End)$/.test(name) && name !== 'fragmentOffset') {
      assert.ok(
        Number(value) === -1 || (Number(value) >= offset && Number(value) <= end),
        `${View.name}.${name}`,
      );
    }
  }
  const verifier = view as { verifyChecksum?: (addressSum: number) => boolean };
  return { ...values, verified: verifier.verifyChecksum?.(0x1234) };
}

/** Every getter of a cursor at every step. */
function readCursor(cursor: AnyCursor, bytes: Uint8Array, offset: number, end: number): unknown {
  const steps: unknown[] = [];
  cursor.start(bytes, offset, end);
  while (cursor.next()) {
    const sack = cursor instanceof TcpOptionCursor ? [cursor.sackLeft(0), cursor.sackRight(7)] : [];
    steps.push({ ...readGetters(cursor), sack });
  }
  return steps;
}

function readExtensions(bytes: Uint8Array, offset: number, end: number): unknown {
  const cursor = new Ipv6ExtensionCursor();
  return [0, 43, 44, 51, 60].map((first) => {
    const steps: number[] = [];
    cursor.start(bytes, offset, end, first);
    while (cursor.next()) steps.push(cursor.header, cursor.offset);
    return [...steps, cursor.protocol, cursor.payloadOffset, cursor.fragmentOffset];
  });
}

function readLayers(kind: number, bytes: Uint8Array, offset: number, end: number): unknown {
  const layers = new PacketLayers().decode(bytes, offset, end, kind);
  const { count, problem } = layers;
  return {
    names: layers.names(),
    offsets: Array.from(layers.offsets.subarray(0, count)),
    ends: Array.from(layers.ends.subarray(0, count)),
    problem,
    flow: flowOf(layers),
    hash: flowHash(layers),
  };
}

/** What all getters of an object give, bytes as copies. */
function readGetters(object: object): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (
    let type = Object.getPrototypeOf(object);
    type !== Object.prototype;
    type = Object.getPrototypeOf(type)
  ) {
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (get === undefined) continue;
      const value: unknown = get.call(object);
      values[name] = value instanceof Uint8Array ? value.slice() : value;
    }
  }
  return values;
}
