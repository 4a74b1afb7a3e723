import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ArgumentError, CodecError } from '../../src/error.ts';
import { decodeAddress } from '../../src/netlink/address.ts';
import { type Answer, askUntilWhole, collectAnswer } from '../../src/netlink/answer.ts';
import { decodeStringSet } from '../../src/netlink/ethtool.ts';
import { decodeBitset, encodeBitset } from '../../src/netlink/ethtool-bitset.ts';
import { decodeChannels, decodeCoalesce, decodeRings } from '../../src/netlink/ethtool-settings.ts';
import { decodeEvent } from '../../src/netlink/event.ts';
import { locateFault } from '../../src/netlink/fault.ts';
import { decodeFamily } from '../../src/netlink/generic.ts';
import { decodeGenericBody } from '../../src/netlink/generic-message.ts';
import {
  Attributes,
  bytesAttribute,
  decodeAcknowledgement,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  type Message,
  NLM_F,
  NLMSG,
  nestedAttribute,
  stringAttribute,
  u32Attribute,
  u64Attribute,
} from '../../src/netlink/index.ts';
import { decodeLink } from '../../src/netlink/link.ts';
import { IFLA, IFLA_INFO, linkAttributeNames } from '../../src/netlink/link-attributes.ts';
import { linkHeader } from '../../src/netlink/link-spec.ts';
import { decodeNeighbour } from '../../src/netlink/neighbour.ts';
import { decodeNapi, decodeQueue, decodeXdpCapabilities } from '../../src/netlink/netdev.ts';
import { decodeNetnsId } from '../../src/netlink/netns-ids.ts';
import { decodeRoute } from '../../src/netlink/route.ts';
import { AF, RTM } from '../../src/netlink/rtnetlink.ts';
import { decodeRule } from '../../src/netlink/rule.ts';
import { NetlinkSocket } from '../../src/netlink/socket.ts';
import { Bed } from './bed.ts';

const message: fc.Arbitrary<Message> = fc
  .tuple(
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.uint8Array({ maxLength: 60 }),
  )
  .map(([type, flags, sequence, port, payload]) => ({ type, flags, sequence, port, payload }));

describe('messages', () => {
  it('come back as they went, several in a datagram', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const datagram = Buffer.concat(messages.map(encodeMessage));
        const decoded = decodeMessages(datagram).map((one) => ({
          ...one,
          payload: Uint8Array.from(one.payload),
        }));
        assert.deepEqual(decoded, messages);
      }),
    );
  });

  it('lie as linux/netlink.h says', () => {
    const bytes = encodeMessage({
      type: 0x1122,
      flags: 0x3344,
      sequence: 5,
      port: 6,
      payload: Uint8Array.of(7),
    });
    assert.equal(Buffer.from(bytes).toString('hex'), '11000000221144330500000006000000' + '07000000');
  });

  it('refuse numbers that do not fit', () => {
    const good = { type: 1, flags: 1, sequence: 1, port: 1, payload: new Uint8Array(0) };
    for (const bad of [{ type: 65_536 }, { flags: -1 }, { sequence: 2 ** 32 }, { port: 0.5 }]) {
      assert.throws(() => encodeMessage({ ...good, ...bad }), ArgumentError);
    }
  });

  it('never throw anything but CodecError, whatever the bytes', () => {
    const nearly = fc
      .tuple(fc.array(message, { maxLength: 3 }), fc.array(fc.tuple(fc.nat(), fc.nat(255))), fc.nat())
      .map(([messages, changes, cut]) => {
        const bytes = Uint8Array.from(Buffer.concat(messages.map(encodeMessage)));
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
        return bytes.subarray(0, bytes.length - (cut % (bytes.length + 1)));
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), nearly), (bytes) => {
        onlyCodecError(() => {
          for (const one of decodeMessages(bytes)) {
            const start = one.payload.byteOffset - bytes.byteOffset;
            assert.ok(start >= 16 && start + one.payload.length <= bytes.length);
            onlyCodecError(() => decodeAcknowledgement(one));
          }
        });
      }),
      { numRuns: 3000 },
    );
  });
});

describe('acknowledgements', () => {
  const request = { type: RTM.NEWLINK, flags: 5, sequence: 77, port: 9, payload: new Uint8Array(10).fill(3) };
  const i32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

  it('tell the error, with the request repeated in full or only its header', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4095 }), fc.boolean(), fc.string(), (errno, capped, words) => {
        const text = words.replaceAll('\0', '');
        const repeated = encodeMessage(request).subarray(0, capped ? 16 : undefined);
        const payload = Buffer.concat([
          i32(-errno),
          repeated,
          encodeAttributes([stringAttribute(1, text), u32Attribute(2, 24)]),
        ]);
        const flags = NLM_F.ACK_TLVS | (capped ? NLM_F.CAPPED : 0);
        const decoded = decodeAcknowledgement({ type: NLMSG.ERROR, flags, sequence: 77, port: 9, payload });
        assert.equal(decoded.errno, errno);
        assert.equal(decoded.sequence, 77);
        assert.equal(decoded.extended.message, text);
        assert.equal(decoded.extended.offset, 24);
      }),
    );
  });

  it('carry the policy, the cookie and what is missing', () => {
    const extended = encodeAttributes([
      bytesAttribute(3, Uint8Array.of(1, 2, 3)),
      nestedAttribute(4, [u32Attribute(1, 4), u64Attribute(4, 68n), u64Attribute(5, 65_535n)]),
      u32Attribute(5, 12),
      u32Attribute(6, 32),
    ]);
    const payload = Buffer.concat([i32(-34), encodeMessage(request).subarray(0, 16), extended]);
    const flags = NLM_F.ACK_TLVS | NLM_F.CAPPED;
    const decoded = decodeAcknowledgement({ type: NLMSG.ERROR, flags, sequence: 0, port: 0, payload });
    assert.deepEqual(decoded.extended, {
      message: undefined,
      offset: undefined,
      cookie: Uint8Array.of(1, 2, 3),
      policy: {
        type: 'u32',
        minValue: 68n,
        maxValue: 65_535n,
        minLength: undefined,
        maxLength: undefined,
        mask: undefined,
      },
      missingType: 12,
      missingNestOffset: 32,
    });
  });

  it('end a dump, with or without an error', () => {
    const done = (payload: Uint8Array, flags = 0): number =>
      decodeAcknowledgement({ type: NLMSG.DONE, flags, sequence: 0, port: 0, payload }).errno;
    assert.equal(done(i32(0)), 0);
    assert.equal(done(new Uint8Array(0)), 0);
    assert.equal(done(i32(-105)), 105);
    assert.throws(
      () => decodeAcknowledgement({ ...request, type: RTM.NEWLINK }),
      (error) => error instanceof CodecError,
    );
  });
});

describe('answers', () => {
  const ours = { sequence: 7, port: 9 };
  const entry = (value: number, more: object = {}): Message => ({
    type: RTM.NEWLINK,
    flags: NLM_F.MULTI,
    ...ours,
    payload: Uint8Array.of(value),
    ...more,
  });
  const done = (errno = 0, flags = 0): Message => ({
    type: NLMSG.DONE,
    flags: NLM_F.MULTI | flags,
    ...ours,
    payload: new Uint8Array(Int32Array.of(-errno).buffer),
  });
  /** Gives one datagram after the other. */
  const from = (...datagrams: (readonly Message[] | 'overrun')[]): (() => Uint8Array | 'overrun') => {
    const left = [...datagrams];
    return () => {
      const next = left.shift();
      assert.ok(next !== undefined, 'read on after the end');
      return next === 'overrun' ? next : Buffer.concat(next.map(encodeMessage));
    };
  };
  const collect = (receive: () => Uint8Array | 'overrun') => collectAnswer(receive, ours.sequence, ours.port);

  it('are collected over several datagrams, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(255), { maxLength: 12 }),
        fc.array(fc.nat(4), { maxLength: 12 }),
        (values, cuts) => {
          const datagrams: Message[][] = [];
          const left = values.map((value) => entry(value));
          for (const cut of cuts) if (left.length > 0) datagrams.push(left.splice(0, cut));
          const answer = collect(from(...datagrams, [...left, done()]));
          assert.ok(answer !== 'overrun');
          assert.deepEqual(
            answer.messages.map((one) => one.payload[0]),
            values,
          );
          assert.equal(answer.interrupted, false);
        },
      ),
    );
  });

  it('pass over what is not for us', () => {
    const receive = from(
      [entry(1, { sequence: 6 }), entry(2), entry(3, { port: 8 })],
      [
        { ...done(), sequence: 6 },
        { ...done(), port: 8 },
      ],
      [entry(4), entry(5, { type: NLMSG.NOOP }), done()],
    );
    const answer = collect(receive);
    assert.ok(answer !== 'overrun');
    assert.deepEqual(
      answer.messages.map((one) => one.payload[0]),
      [2, 4],
    );
  });

  it('tell of an inconsistent list, wherever the kernel says so', () => {
    for (const messages of [
      [entry(1, { flags: NLM_F.MULTI | NLM_F.DUMP_INTR }), done()],
      [entry(1), done(0, NLM_F.DUMP_INTR)],
    ]) {
      const answer = collect(from(messages));
      assert.ok(answer !== 'overrun' && answer.interrupted);
    }
    assert.equal(collect(from([entry(1)], 'overrun')), 'overrun');
  });

  it('are asked for again while they are inconsistent or incomplete, but not for ever', () => {
    const whole = collect(from([entry(1), done()]));
    const broken = collect(from([entry(1), done(0, NLM_F.DUMP_INTR)]));
    const refused = collect(from([done(13, NLM_F.DUMP_INTR)]));
    const ask = (answers: (Answer | 'overrun')[], attempts: number): [unknown, number] => {
      let asked = 0;
      return [askUntilWhole(() => answers[Math.min(asked++, answers.length - 1)]!, attempts), asked];
    };
    assert.deepEqual(ask([whole], 5), [whole, 1]);
    assert.deepEqual(ask([broken, 'overrun', whole], 5), [whole, 3]);
    assert.deepEqual(ask([broken], 5), ['interrupted', 5]);
    assert.deepEqual(ask(['overrun'], 1), ['overrun', 1]);
    // An error is an answer.
    assert.deepEqual(ask([refused], 5), [refused, 1]);
  });
});

describe('faults', () => {
  const names = linkAttributeNames('vlan');
  const attributes = [
    stringAttribute(IFLA.IFNAME, 'bw0'),
    nestedAttribute(IFLA.LINKINFO, [
      stringAttribute(IFLA_INFO.KIND, 'vlan'),
      nestedAttribute(IFLA_INFO.DATA, [u32Attribute(1, 5), u32Attribute(77, 5)]),
    ]),
  ];
  const payload = Buffer.concat([linkHeader(0), encodeAttributes(attributes)]);
  const request = encodeMessage({ type: RTM.NEWLINK, flags: 0, sequence: 1, port: 0, payload });
  const none = decodeAcknowledgement({
    type: NLMSG.DONE,
    flags: 0,
    sequence: 0,
    port: 0,
    payload: new Uint8Array(0),
  });
  const at = (extended: object) => locateFault(request, 16, { ...none.extended, ...extended }, names);

  it('are named by the way to the attribute', () => {
    // Header 16, ifinfomsg 16, IFNAME 8; LINKINFO at 40, KIND at 44, DATA at 56, its parts at 60 and 68.
    assert.equal(at({ offset: 32 }).attribute, 'IFLA_IFNAME');
    assert.equal(at({ offset: 40 }).attribute, 'IFLA_LINKINFO');
    assert.equal(at({ offset: 44 }).attribute, 'IFLA_LINKINFO > IFLA_INFO_KIND');
    assert.equal(at({ offset: 60 }).attribute, 'IFLA_LINKINFO > IFLA_INFO_DATA > IFLA_VLAN_ID');
    assert.equal(at({ offset: 68 }).attribute, 'IFLA_LINKINFO > IFLA_INFO_DATA > attribute 77');
    assert.equal(at({ missingType: IFLA.MTU }).missing, 'IFLA_MTU');
    assert.equal(
      at({ missingType: 5, missingNestOffset: 56 }).missing,
      'IFLA_LINKINFO > IFLA_INFO_DATA > IFLA_VLAN_PROTOCOL',
    );
    assert.deepEqual(at({}), { attribute: undefined, missing: undefined });
  });

  it('that lie anywhere else do no harm', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.uint8Array({ minLength: 16, maxLength: 100 }),
        (offset, bytes) => {
          locateFault(
            bytes,
            16,
            { ...none.extended, offset, missingNestOffset: offset, missingType: 1 },
            names,
          );
          at({ offset: offset % 200 });
        },
      ),
    );
  });
});

describe('bitsets', () => {
  it('say the same in either form', () => {
    const names = Array.from({ length: 70 }, (_, i) => `feature-${i}`);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 69 }), fc.boolean())), (chosen) => {
        const wanted = new Map(chosen);
        const value = new Uint8Array(12);
        const mask = new Uint8Array(12);
        for (const [index, on] of wanted) {
          mask[index >> 3]! |= 1 << (index & 7);
          if (on) value[index >> 3]! |= 1 << (index & 7);
        }
        const compact = encodeAttributes([
          u32Attribute(2, 70),
          bytesAttribute(4, value),
          bytesAttribute(5, mask),
        ]);
        const ordered = [...wanted].sort(([a], [b]) => a - b);
        const verbose = encodeBitset(
          9,
          Object.fromEntries(ordered.map(([index, on]) => [names[index]!, on])),
        );
        const told = (bytes: Uint8Array): unknown =>
          decodeBitset(Attributes.decode(bytes), names).map(({ name, value: on }) => [name, on]);
        const expected = ordered.map(([index, on]) => [names[index], on]);
        assert.deepEqual(told(compact), expected);
        assert.deepEqual(told(verbose.payload), expected);
      }),
    );
  });
});

describe('every decoder', () => {
  const decoders: readonly ((message: Message) => unknown)[] = [
    decodeLink,
    decodeAddress,
    decodeRoute,
    decodeRule,
    decodeNeighbour,
    decodeNetnsId,
    decodeEvent,
    decodeFamily,
    (one) => decodeStringSet(decodeGenericBody(one).attributes, 4),
    (one) => decodeChannels(decodeGenericBody(one).attributes),
    (one) => decodeRings(decodeGenericBody(one).attributes),
    (one) => decodeCoalesce(decodeGenericBody(one).attributes),
    (one) => decodeXdpCapabilities(decodeGenericBody(one).attributes),
    (one) => decodeQueue(decodeGenericBody(one).attributes),
    (one) => decodeNapi(decodeGenericBody(one).attributes),
    (one) =>
      decodeGenericBody(one)
        .attributes.children()
        .map((bitset) => decodeBitset(bitset, [])),
  ];

  it('throws nothing but CodecError on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 160 }), fc.integer({ min: 16, max: 40 }), (payload, type) => {
        for (const decode of decoders) {
          onlyCodecError(() => decode({ type, flags: 0, sequence: 0, port: 0, payload }));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("throws nothing but CodecError on the kernel's own messages, damaged", () => {
    const real = recordedDumps();
    assert.ok(real.length >= 20, `${real.length} messages`);
    fc.assert(
      fc.property(
        fc.nat(real.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        fc.option(fc.nat()),
        (which, changes, cut) => {
          const payload = Uint8Array.from(real[which]!.payload);
          for (const [at, value] of changes) payload[at % payload.length] = value;
          const damaged = cut === null ? payload : payload.subarray(0, cut % payload.length);
          for (const decode of decoders) onlyCodecError(() => decode({ ...real[which]!, payload: damaged }));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** What the kernel answers to each dump in a namespace with something of everything. */
function recordedDumps(): Message[] {
  using bed = new Bed();
  const { net } = bed;
  bed.veth('bw0', 'bw1');
  net.links.create({ kind: 'bridge', name: 'bwbr' });
  net.links.create({ kind: 'macvlan', name: 'bwm', link: 'bw1' });
  net.links.set('bw0', { master: 'bwbr', alias: 'x' });
  net.links.addAltName('bw0', 'bwalt');
  net.addresses.add('bw1', '192.0.2.1/24', { validLifetime: 100 });
  net.addresses.add('bw1', '2001:db8::1/64', { noDad: true });
  net.routes.add({ destination: '10.0.0.0/8', nextHops: [{ via: '192.0.2.2' }, { via: '192.0.2.3' }] });
  net.routes.add({ destination: '10.1.0.0/16', via: '2001:db8::2', metrics: { mtu: 1300 } });
  net.rules.add({ from: '192.0.2.0/24', uids: { start: 1, end: 2 }, table: 5 });
  net.neighbours.add('bw1', '192.0.2.9', '02:00:00:00:00:09');
  using socket = bed.netns.run(() => new NetlinkSocket('route'));
  const dumps: [number, number][] = [
    [RTM.GETLINK, 16],
    [RTM.GETADDR, 8],
    [RTM.GETROUTE, 12],
    [RTM.GETRULE, 12],
    [RTM.GETNEIGH, 12],
  ];
  return dumps.flatMap(([type, size]) => {
    const header = new Uint8Array(size);
    header[0] = AF.UNSPEC;
    return socket.request({ type, flags: NLM_F.DUMP, header, attributes: [], doing: 'record a dump' });
  });
}

function onlyCodecError(task: () => unknown): void {
  try {
    task();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
}
