import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type PppoeConcentratorInfo, PppoeScan, type PppoeVlan } from '../../src/pppoe/index.ts';
import { discovery, look, PADI, PADO, PADR, PADS, PADT } from './looking-glass.ts';
import { CLIENT_MAC, Pair, packet, SERVER_MAC, sendPacket } from './pair.ts';

const SECOND_MAC = '02:ac:00:00:00:02';
const OUTER: readonly PppoeVlan[] = [{ id: 100 }];
const QINQ: readonly PppoeVlan[] = [{ id: 7, priority: 5 }, { id: 100 }];

describe('the choice of a concentrator', () => {
  const two = (): Pair => {
    const pair = new Pair({ concentrator: { name: 'isp-a', services: [{ name: 'internet' }] } });
    pair.addConcentrator({
      mac: SECOND_MAC,
      name: 'isp-b',
      services: [{ name: 'internet' }, { name: 'tv' }],
      pool: '10.65.0.0/24',
    });
    return pair;
  };

  it('is whoever answers first, if nothing else is said', () => {
    const pair = two();
    assert.equal(pair.dial().addresses?.acName, 'isp-a');
    assert.equal(pair.events('discovered').length, 1);
  });

  it('goes by name', () => {
    const session = two().dial({ acName: 'isp-b' });
    assert.equal(session.addresses?.acName, 'isp-b');
    assert.equal(session.addresses.peerMac, SECOND_MAC);
    assert.equal(session.addresses.local, '10.65.0.2');
  });

  it('goes by service', () => {
    const session = two().dial({ serviceName: 'tv' });
    assert.equal(session.addresses?.acName, 'isp-b');
    assert.deepEqual(session.concentrator?.services, ['tv']);
  });

  it('prefers another one to that which has just refused, and takes it if there is none', () => {
    const full = new Pair({ concentrator: { name: 'full', maxSessions: 0 } });
    full.addConcentrator({ mac: SECOND_MAC, name: 'free', pool: '10.65.0.0/24' });
    const session = full.add({ retry: { initial: 100, maximum: 100 } });
    session.dial(0);
    full.wire.run(5000, () => session.state === 'open');
    assert.equal(session.addresses?.acName, 'free');
    assert.equal(full.events('closed')[0]?.error.code, 'BW_PPPOE_AC_SYSTEM_ERROR');
    const alone = new Pair({ concentrator: { name: 'full', maxSessions: 0 } });
    const stubborn = alone.add({ retry: { initial: 100, maximum: 100 } });
    stubborn.dial(0);
    alone.wire.run(5000);
    assert.ok(stubborn.dials > 3);
    assert.equal(stubborn.lastError?.code, 'BW_PPPOE_AC_SYSTEM_ERROR');
  });

  it('ignores answers that are not to us: another MAC, another Host-Uniq, none, a multicast sender', () => {
    const pair = new Pair();
    pair.wire.leave(pair.concentrator);
    const session = pair.add({ retry: false });
    let asked: ReturnType<typeof look>;
    pair.wire.tap = (bytes) => {
      asked ??= look(bytes);
    };
    session.dial(0);
    const hostUniq = asked?.tags.find(({ type }) => type === 0x0103)?.data ?? new Uint8Array(0);
    const tags = (uniq: Uint8Array) => [
      { type: 0x0101, data: '' },
      { type: 0x0102, data: 'other' },
      { type: 0x0103, data: uniq },
    ];
    const wrong = hostUniq.slice();
    wrong[0]! ^= 1;
    const ends = { source: SERVER_MAC, destination: CLIENT_MAC };
    for (const frame of [
      discovery({ ...ends, destination: '02:cc:00:00:00:77' }, PADO, 0, tags(hostUniq)),
      discovery({ ...ends, source: '03:ac:00:00:00:01' }, PADO, 0, tags(hostUniq)),
      discovery(ends, PADO, 0, tags(wrong)),
      discovery(ends, PADO, 0, tags(wrong).slice(0, 2)),
      discovery(ends, PADO, 5, tags(hostUniq)),
      discovery(ends, PADS, 5, tags(wrong)),
      discovery(ends, PADI, 0, tags(hostUniq)),
      discovery(ends, PADT, 5, []),
    ]) {
      pair.client.input(frame, 0, frame.length, 1);
      assert.equal(session.state, 'discovering');
    }
    const right = discovery(ends, PADO, 0, tags(hostUniq));
    pair.client.input(right, 0, right.length, 1);
    assert.equal(session.state, 'requesting');
  });

  it('gives back AC-Cookie and Relay-Session-Id', () => {
    const pair = new Pair();
    const seen: (readonly [number, string])[] = [];
    pair.wire.filter = (bytes, from, to) => {
      const frame = look(bytes);
      if (frame === undefined || frame.session) return true;
      if (from === pair.client && frame.code === PADR) {
        seen.push(
          ...frame.tags.map(({ type, data }) => [type, Buffer.from(data).toString('latin1')] as const),
        );
      }
      if (from === pair.client && frame.code === PADI) {
        const { source, destination, tags } = frame;
        const relayed = discovery({ source, destination }, PADI, 0, [
          ...tags,
          { type: 0x0110, data: 'relay-7' },
        ]);
        to.input(relayed, 0, relayed.length, pair.wire.now);
        return false;
      }
      return true;
    };
    assert.equal(pair.dial().state, 'open');
    assert.deepEqual(
      seen.find(([type]) => type === 0x0110),
      [0x0110, 'relay-7'],
    );
    assert.equal(seen.find(([type]) => type === 0x0104)?.[1].length, 20);
  });
});

describe('VLAN tags', () => {
  for (const [name, vlans, types] of [
    ['one', OUTER, ['8100']],
    ['QinQ', QINQ, ['88a8', '8100']],
  ] as const) {
    it(`${name}: on every frame of both sides, with packets through`, () => {
      const pair = new Pair();
      pair.wire.tap = (bytes) => {
        const hex = Buffer.from(bytes).toString('hex');
        for (const [i, type] of types.entries()) assert.equal(hex.slice(24 + 8 * i, 28 + 8 * i), type);
        assert.equal(
          Number.parseInt(hex.slice(28, 32), 16),
          ((vlans[0]!.priority ?? 0) << 13) | vlans[0]!.id,
        );
      };
      const session = pair.dial({ vlans });
      assert.equal(session.state, 'open');
      assert.equal(session.headerLength, 22 + 4 * vlans.length);
      assert.ok(sendPacket(pair.wire, pair.client, session, packet('tagged')));
      const [server] = [...pair.concentrator.sessions.values()];
      assert.ok(server !== undefined);
      assert.equal(server.headerLength, session.headerLength);
      assert.ok(sendPacket(pair.wire, pair.concentrator, server, packet('back')));
      pair.wire.run(pair.wire.now + 10);
      assert.deepEqual([pair.atServer, pair.atClient], [['Etagged'], ['Eback']]);
      pair.wire.tap = undefined;
    });
  }

  it('part sessions: the same ID and addresses on another VLAN are nobody', () => {
    const pair = new Pair();
    const session = pair.dial({ vlans: OUTER });
    for (const [index, value] of [
      [15, 101],
      [15, 100],
    ] as const) {
      let frame: Uint8Array | undefined;
      pair.wire.tap = (bytes) => {
        frame ??= bytes;
      };
      const [server] = [...pair.concentrator.sessions.values()];
      sendPacket(pair.wire, pair.concentrator, server!, packet('x'));
      const changed = frame!.slice();
      changed[index] = value;
      assert.equal(pair.client.input(changed, 0, changed.length, pair.wire.now), value === 100);
      const untagged = Buffer.concat([changed.subarray(0, 12), changed.subarray(16)]);
      assert.equal(pair.client.input(untagged, 0, untagged.length, pair.wire.now), false);
    }
    assert.equal(session.state, 'open');
  });
});

describe('a scan', () => {
  it('lists every concentrator once, with services, round trip and PPP-Max-Payload', () => {
    const pair = new Pair({
      latency: 3,
      concentrator: { name: 'isp-a', mru: 1500, services: [{ name: 'internet' }, { name: 'tv' }] },
    });
    pair.addConcentrator({ mac: SECOND_MAC, name: 'isp-b\u001b[2J', pool: '10.65.0.0/24' });
    const found: PppoeConcentratorInfo[] = [];
    const scan = new PppoeScan({
      mac: '02:cc:00:00:00:09',
      random: pair.wire.fill,
      transmit: (bytes, offset, length) => pair.wire.send(undefined, bytes, offset, length),
      found: (concentrator) => found.push(concentrator),
    });
    pair.wire.join({
      deadline: Number.POSITIVE_INFINITY,
      advance: () => {},
      input: (...frame) => scan.input(...frame),
    });
    for (let i = 0; i < 3; i++) {
      scan.ask(pair.wire.now);
      pair.wire.run(pair.wire.now + 100);
    }
    assert.deepEqual(found, [
      { mac: SERVER_MAC, name: 'isp-a', services: ['internet', 'tv'], roundTrip: 6, maxPayload: 1500 },
      { mac: SECOND_MAC, name: 'isp-b\\x1b[2J', services: [''], roundTrip: 6, maxPayload: undefined },
    ]);
    assert.deepEqual(scan.concentrators, found);
    assert.equal(pair.concentrator.sessions.size, 0);
  });
});

describe('a concentrator', () => {
  it('keeps no state for PADI, however many there are', () => {
    const pair = new Pair();
    const before = pair.concentrator.timers;
    for (let i = 0; i < 20_000; i++) {
      const source = `02:${(i >>> 8).toString(16).padStart(2, '0')}:${(i & 0xff).toString(16).padStart(2, '0')}:00:00:01`;
      const frame = discovery({ source, destination: 'ff:ff:ff:ff:ff:ff' }, PADI, 0, [
        { type: 0x0101, data: '' },
      ]);
      assert.ok(pair.concentrator.input(frame, 0, frame.length, i));
    }
    assert.equal(pair.concentrator.sessions.size, 0);
    assert.equal(pair.concentrator.timers, before);
  });

  it('answers a repeated PADR with the same session until it has heard of the client', () => {
    const pair = new Pair();
    let lost = 0;
    pair.wire.filter = (bytes) => !(look(bytes)?.code === PADS && lost++ === 0);
    const session = pair.dial();
    assert.equal(session.state, 'open');
    assert.equal(lost, 2);
    assert.equal(pair.concentrator.sessions.size, 1);
  });

  it('does not give a session ID or an address again at once', () => {
    const pair = new Pair({ concentrator: { pool: '10.0.0.0/28' } });
    const seen: string[] = [];
    const session = pair.dial();
    for (let i = 0; i < 20; i++) {
      seen.push(`${session.sessionId} ${session.addresses?.local}`);
      session.redial(pair.wire.now);
      pair.wire.run(
        pair.wire.now + 5000,
        () => session.state === 'open' && !seen.at(-1)?.startsWith(`${session.sessionId} `),
      );
    }
    assert.equal(new Set(seen.map((text) => text.split(' ')[0])).size, 20);
    assert.equal(new Set(seen.slice(0, 13).map((text) => text.split(' ')[1])).size, 13, seen.join(', '));
  });

  it('gives a user the address of the account, and takes it from the session before', () => {
    const pair = new Pair({
      concentrator: { account: () => ({ password: 'pass1', address: '192.0.2.77' }) },
    });
    const first = pair.dial({ retry: false });
    assert.equal(first.addresses?.local, '192.0.2.77');
    const second = pair.dial({ retry: false, mac: '02:cc:00:00:00:02' });
    assert.equal(second.addresses?.local, '192.0.2.77');
    assert.equal(first.state, 'idle');
    assert.match(first.lastError?.message ?? '', /the same user has begun another session/);
    assert.equal(pair.concentrator.freeAddresses, pair.concentrator.poolSize);
  });

  it('has services of their own: authentication, name servers, IPv6, an end, challenges again', () => {
    const pair = new Pair({
      concentrator: {
        services: [
          { name: 'short', maximumDuration: 10_000 },
          { name: 'open', authentication: [], dns: [], ipv6: false },
          { name: 'rechap', authentication: ['chap-md5'], rechallengeInterval: 5000 },
        ],
      },
    });
    const short = pair.dial({ serviceName: 'short' });
    pair.wire.run(pair.wire.now + 11_000);
    assert.equal(short.state, 'idle');
    assert.equal(short.lastError?.peerMessage, 'the time of this service is over');
    const open = pair.dial({ serviceName: 'open', user: 'nobody' });
    assert.deepEqual([open.addresses?.dns, open.addresses?.ipv6], [[], undefined]);
    assert.equal(pair.events('authenticated', open).length, 0);
    let challenges = 0;
    pair.wire.tap = (bytes) => {
      const frame = look(bytes);
      if (frame?.protocol === 0xc223 && frame.control === 1) challenges++;
    };
    const rechap = pair.dial({ serviceName: 'rechap' });
    pair.wire.run(pair.wire.now + 26_000);
    assert.equal(rechap.state, 'open');
    assert.equal(challenges, 6);
  });

  it('takes MS-CHAPv2, CHAP or PAP, as the client has it', () => {
    for (const method of ['mschapv2', 'pap', 'chap-md5'] as const) {
      const pair = new Pair();
      assert.equal(pair.dial({ authentication: [method] }).state, 'open');
      assert.equal(pair.events('authenticated')[0]?.method, method);
    }
    const pair = new Pair({ concentrator: { authentication: ['pap'] } });
    const session = pair.dial({ authentication: ['mschapv2'] });
    assert.equal(session.lastError?.code, 'BW_PPP_AUTHENTICATION_METHOD');
  });

  it('ends everybody when it closes, and takes nobody any more', () => {
    const pair = new Pair();
    const sessions = [pair.dial(), pair.dial(), pair.dial()];
    pair.concentrator.close(pair.wire.now, 'going home');
    pair.wire.run(pair.wire.now + 5000);
    for (const session of sessions) {
      assert.equal(session.lastError?.code, 'BW_PPP_TERMINATED');
      assert.equal(session.lastError.peerMessage, 'going home');
    }
    assert.equal(pair.concentrator.sessions.size, 0);
    assert.equal(pair.dial().lastError?.code, 'BW_PPPOE_NO_CONCENTRATOR');
  });

  it('counts what goes through, and says so when it ends', () => {
    const pair = new Pair();
    const session = pair.dial();
    const [server] = [...pair.concentrator.sessions.values()];
    for (let i = 0; i < 5; i++) sendPacket(pair.wire, pair.client, session, packet('12345'));
    sendPacket(pair.wire, pair.concentrator, server!, packet('abc'));
    pair.wire.run(pair.wire.now + 1000);
    session.hangUp(pair.wire.now);
    pair.wire.run(pair.wire.now + 1000);
    const closed = pair.serverEvents.at(-1)?.event;
    assert.ok(closed?.type === 'closed');
    const { duration, ...accounting } = closed.accounting;
    assert.deepEqual(accounting, { receivedPackets: 5, receivedBytes: 30, sentPackets: 1, sentBytes: 4 });
    assert.ok(duration >= 1000 && duration < 1100);
  });

  it('is not made by options that cannot be', () => {
    for (const [settings, message] of [
      [{ mac: 'ff:ff:ff:ff:ff:ff' }, /one station/],
      [{ mru: 9000 }, /mru/],
      [{ services: [] }, /without a service/],
      [{ pool: '10.0.0.9-10.0.0.1' }, /ends before it begins/],
      [{ pool: '10.0.0.1/32' }, /no address to give out/],
      [{ pool: '2001:db8::/64' }, /not of IPv4/],
      [{ pool: '0.0.0.0/0' }, /more than 2\^24/],
      [{ services: [{ name: 'x'.repeat(2000) }] }, /1024 are the most/],
    ] as const) {
      assert.throws(() => new Pair({ concentrator: settings }), { name: 'ArgumentError', message });
    }
  });
});
