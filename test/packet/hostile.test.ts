import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CodecError } from '../../src/error.ts';
import {
  AhView,
  ArpView,
  buildPacket,
  CaptureReader,
  decodeName,
  Ipv4View,
  Ipv6ExtensionCursor,
  Ipv6ExtensionView,
  Ipv6View,
  LayerKind,
  NdpView,
  type PacketLayer,
  PacketLayers,
  type PacketView,
  PppControlView,
  PppoeView,
  TcpView,
  UdpView,
} from '../../src/packet/index.ts';
import { KINDS } from './corpus.ts';
import { DECODERS, damagedLayers, outcome } from './decoders.ts';
import { Random } from './random.ts';

describe('decoders', () => {
  for (const [name, decoder] of DECODERS) {
    it(`${name}: random bytes give a result or a CodecError, and nothing outside them is read`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120, size: 'max' }), (data) => {
          outcome(decoder, data);
        }),
        { numRuns: 300 },
      );
    });
  }

  it('read nothing outside damaged packets, at any layer, whole or cut', () => {
    const random = new Random(3);
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < 20 * KINDS.length; i++) {
      for (const data of damagedLayers(random, KINDS[i % KINDS.length]!)) {
        for (const [name, decoder] of DECODERS) {
          const result = outcome(decoder, data) as { refused?: string };
          if (result.refused === undefined) accepted++;
          else refused++;
          assert.ok(result.refused !== '', name);
        }
      }
    }
    // Both ways must have been taken often, or the damage was too small or too great to show anything.
    assert.ok(accepted > 10_000 && refused > 10_000, `${accepted} accepted, ${refused} refused`);
  });

  it('refuse ranges that are not within the bytes', () => {
    const bytes = new Uint8Array(64);
    for (const [name, decoder] of DECODERS) {
      for (const [offset, end] of [
        [-1, 64],
        [0.5, 64],
        [Number.NaN, 64],
        [0, 65],
        [60, 40],
        [2 ** 33, 2 ** 33 + 60],
      ] as const) {
        assert.throws(() => decoder(bytes, offset, end), CodecError, `${name} from ${offset} to ${end}`);
      }
    }
  });
});

describe('views', () => {
  const eth = { layer: 'eth', source: 1, destination: 2 } as const;
  const v4 = {
    layer: 'ipv4',
    source: 1,
    destination: 2,
    options: [{ kind: 'routerAlert', value: 0 }],
  } as const;
  const v6 = { layer: 'ipv6', source: '::1', destination: '::2' } as const;
  const tcp = {
    layer: 'tcp',
    sourcePort: 1,
    destinationPort: 2,
    sequence: 3,
    options: [{ kind: 'mss', value: 4 }],
  } as const;
  const arp = {
    layer: 'arp',
    operation: 1,
    senderHardwareAddress: 1,
    senderProtocolAddress: 1,
    targetProtocolAddress: 2,
  } as const;
  const udp = { layer: 'udp', sourcePort: 1, destinationPort: 2 } as const;
  const ah = { layer: 'ah', spi: 1, sequence: 2, icv: new Uint8Array(12) } as const;
  const options = [{ kind: 'other', type: 30, data: new Uint8Array(20) }] as const;
  const hopByHop = { layer: 'hopByHop', options } as const;
  const advertisement = {
    layer: 'ndp',
    message: { kind: 'neighborSolicitation', target: '::1', options: [] },
  } as const;

  type Viewed = { at(bytes: Uint8Array, offset?: number, end?: number): unknown };
  interface Refusal {
    readonly what: string;
    readonly view: Viewed;
    readonly layers: readonly PacketLayer[];
    /** Where the header lies in the packet. */
    readonly at: number;
    /** A byte of it that is changed to a value. */
    readonly change?: readonly [offset: number, value: number];
    /** How many bytes of it are left. */
    readonly length?: number;
    readonly message: RegExp;
  }
  const refusals: readonly Refusal[] = [
    {
      what: 'options cut off',
      view: new Ipv4View(),
      layers: [v4, udp],
      at: 0,
      length: 23,
      message: /needs 24 bytes, 23/,
    },
    {
      what: 'another version',
      view: new Ipv4View(),
      layers: [v4, udp],
      at: 0,
      change: [0, 0x66],
      message: /version 6/,
    },
    {
      what: 'too short a header',
      view: new Ipv4View(),
      layers: [v4, udp],
      at: 0,
      change: [0, 0x44],
      message: /header length of 16/,
    },
    {
      what: 'less than its header',
      view: new Ipv4View(),
      layers: [v4, udp],
      at: 0,
      change: [3, 23],
      message: /total length of 23/,
    },
    {
      what: 'another version',
      view: new Ipv6View(),
      layers: [v6, udp],
      at: 0,
      change: [0, 0x45],
      message: /not version 6/,
    },
    {
      what: 'options cut off',
      view: new TcpView(),
      layers: [v6, tcp],
      at: 40,
      length: 23,
      message: /needs 24 bytes, 23/,
    },
    {
      what: 'too short a header',
      view: new TcpView(),
      layers: [v6, tcp],
      at: 40,
      change: [12, 0x40],
      message: /header length of 16/,
    },
    {
      what: 'other hardware addresses',
      view: new ArpView(),
      layers: [eth, arp],
      at: 14,
      change: [4, 8],
      message: /6 and 4 bytes/,
    },
    {
      what: 'other protocol addresses',
      view: new ArpView(),
      layers: [eth, arp],
      at: 14,
      change: [5, 16],
      message: /6 and 4 bytes/,
    },
    {
      what: 'a length below 8',
      view: new UdpView(),
      layers: [v6, udp],
      at: 40,
      change: [5, 7],
      message: /below 8/,
    },
    {
      what: 'its check value cut off',
      view: new AhView(),
      layers: [v4, ah, udp],
      at: 24,
      length: 23,
      message: /needs 24 bytes, 23/,
    },
    {
      what: 'no room for its own fields',
      view: new AhView(),
      layers: [v4, ah, udp],
      at: 24,
      change: [1, 0],
      message: /header length of 8/,
    },
    {
      what: 'options cut off',
      view: new Ipv6ExtensionView(),
      layers: [v6, hopByHop, udp],
      at: 40,
      length: 23,
      message: /needs 24 bytes, 23/,
    },
    {
      what: 'its target cut off',
      view: new NdpView(),
      layers: [v6, advertisement],
      at: 40,
      length: 23,
      message: /needs 24 bytes, 23/,
    },
    {
      what: 'another type',
      view: new NdpView(),
      layers: [v6, advertisement],
      at: 40,
      change: [0, 128],
      message: /type 128/,
    },
    {
      what: 'another version',
      view: new PppoeView(),
      layers: [{ layer: 'pppoe', code: 9, sessionId: 0 }],
      at: 0,
      change: [0, 0x21],
      message: /version 1 and type 1/,
    },
    {
      what: 'a length below 4',
      view: new PppControlView(),
      layers: [{ layer: 'lcp', code: 9, identifier: 0 }],
      at: 0,
      change: [3, 3],
      message: /below 4/,
    },
  ];
  for (const { what, view, layers, at, change, length, message } of refusals) {
    it(`${view.constructor.name} refuses ${what}, and accepts the same header whole`, () => {
      const packet = buildPacket(layers);
      assert.equal(view.at(packet, at), view);
      if (change !== undefined) packet[at + change[0]] = change[1];
      const end = length === undefined ? packet.length : at + length;
      assert.throws(() => view.at(packet, at, end), { code: 'BW_CODEC', message });
      // A view that refused points where it pointed before.
      assert.equal((view as unknown as PacketView).end, packet.length);
    });
  }

  it('of extension headers end a walk where one is cut off', () => {
    const packet = buildPacket([v6, hopByHop, udp]);
    const layers = new PacketLayers().decode(packet, 0, 63, LayerKind.ipv6);
    assert.deepEqual(layers.names(), ['ipv6', 'payload']);
    assert.equal(layers.problem, 'truncated');
    const cursor = new Ipv6ExtensionCursor().start(packet, 40, 63, 0);
    assert.throws(() => cursor.next(), { code: 'BW_CODEC', message: /cut short/ });
  });
});

describe('hostile names', () => {
  const read = (...bytes: number[]): string => decodeName(Uint8Array.from(bytes), 0, 12, bytes.length);
  const header = Array<number>(12).fill(0);

  it('may not point at themselves, forward, or in a circle', () => {
    for (const name of [
      [0xc0, 12],
      [0xc0, 14, 0],
      [1, 97, 0xc0, 12],
      [1, 97, 0xc0, 14],
      [0xff, 0xff],
    ]) {
      assert.throws(() => read(...header, ...name), { code: 'BW_CODEC', message: /forward/ });
    }
    // Two names that point at each other: the first of them points forward.
    const circle = Uint8Array.from([...header, 1, 97, 0xc0, 16, 1, 98, 0xc0, 12]);
    assert.throws(() => decodeName(circle, 0, 16, circle.length), { code: 'BW_CODEC', message: /forward/ });
  });

  it('may not grow beyond 255 bytes by pointing', () => {
    // Every label but the first is followed by a pointer to the one before: 40 labels of 8 bytes each.
    const bytes = [...header, 7, ...Array<number>(7).fill(97), 0];
    let previous = 12;
    for (let i = 0; i < 40; i++) {
      const start = bytes.length;
      bytes.push(7, ...Array<number>(7).fill(98), 0xc0 | (previous >> 8), previous & 0xff);
      previous = start;
    }
    const message = Uint8Array.from(bytes);
    assert.throws(() => decodeName(message, 0, previous, message.length), { message: /more than 255 bytes/ });
  });

  it('cost no more than the message is long', () => {
    // A chain of pointers, each to the one before, is followed to its end and no further.
    const pointers = 8000;
    const message = new Uint8Array(12 + 1 + 2 * pointers);
    for (let i = 0; i < pointers; i++) {
      const target = i === 0 ? 12 : 13 + 2 * (i - 1);
      message[13 + 2 * i] = 0xc0 | (target >> 8);
      message[14 + 2 * i] = target;
    }
    assert.equal(decodeName(message, 0, 13 + 2 * (pointers - 1), message.length), '.');
  });
});

describe('hostile capture files', () => {
  it('give packets or a CodecError, whatever the bytes', () => {
    const random = new Random(4);
    const magics = [
      [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
      [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
      [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
      [],
    ];
    let errors = 0;
    for (let i = 0; i < 4000; i++) {
      const reader = new CaptureReader();
      const bytes = Uint8Array.from([...random.pick(magics), ...random.someBytes(200)]);
      try {
        for (const packet of reader.push(bytes)) assert.ok(packet.bytes.length <= bytes.length);
        reader.end();
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
        errors++;
      }
    }
    assert.ok(errors > 1000);
  });
});
