import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthenticationMethod } from '../../src/ppp/index.ts';
import { control, discovery, PADT } from './looking-glass.ts';
import { CLIENT_MAC, Pair, packet, SERVER_MAC, sendPacket } from './pair.ts';

describe('a session between client and concentrator', () => {
  for (const method of ['pap', 'chap-md5', 'mschapv2', 'eap-md5'] satisfies AuthenticationMethod[]) {
    it(`comes up with ${method} and carries packets both ways`, () => {
      const pair = new Pair({ concentrator: { authentication: [method] } });
      const session = pair.dial();
      assert.equal(session.state, 'open', session.lastError?.message);
      const { addresses } = session;
      assert.equal(addresses?.local, '10.64.0.2');
      assert.equal(addresses.peer, '10.64.0.1');
      assert.deepEqual(addresses.dns, ['192.0.2.53', '192.0.2.54']);
      assert.equal(addresses.mtu, 1492);
      assert.match(addresses.ipv6?.local ?? '', /^fe80::/);
      assert.match(addresses.ipv6?.peer ?? '', /^fe80::/);
      assert.equal(pair.events('authenticated')[0]?.method, method);
      assert.deepEqual(pair.states(session), [
        'queued',
        'discovering',
        'requesting',
        'establishing',
        'authenticating',
        'configuring',
        'open',
      ]);

      const [server] = [...pair.concentrator.sessions.values()];
      assert.ok(server !== undefined);
      assert.equal(server.user, 'user1');
      assert.equal(server.address, '10.64.0.2');
      assert.equal(pair.concentrator.sessionOf(0x0a400002), server);
      assert.ok(sendPacket(pair.wire, pair.client, session, packet('up')));
      assert.ok(sendPacket(pair.wire, pair.concentrator, server, packet('down')));
      pair.wire.run(pair.wire.now + 10);
      assert.deepEqual(pair.atServer, ['Eup']);
      assert.deepEqual(pair.atClient, ['Edown']);
      assert.equal(server.accounting.receivedBytes, 3);
      assert.equal(session.receivedBytes, 5);

      session.hangUp(pair.wire.now);
      pair.untilSettled(session);
      assert.equal(session.state, 'idle');
      assert.equal(pair.concentrator.sessions.size, 0);
      assert.equal(pair.concentrator.freeAddresses, 65_533);
      assert.equal(pair.client.timers + pair.concentrator.timers, 0);
      assert.equal(pair.events('closed')[0]?.error.code, 'BW_PPP_CLOSED');
    });
  }

  it('comes up with IPv6 alone, and with IPv4 alone', () => {
    const pair = new Pair();
    const six = pair.dial({ ipv4: false });
    assert.equal(six.state, 'open', six.lastError?.message);
    assert.equal(six.addresses?.local, undefined);
    assert.match(six.addresses?.ipv6?.local ?? '', /^fe80::/);
    const opened = pair.serverEvents.findLast(({ event }) => event.type === 'opened')?.event;
    assert.ok(opened?.type === 'opened' && opened.address === undefined);
    assert.equal(opened.ipv6, six.addresses?.ipv6?.local);
    const data = Uint8Array.from([0x60, 1, 2, 3]);
    assert.ok(sendPacket(pair.wire, pair.client, six, data));
    assert.equal(sendPacket(pair.wire, pair.client, six, packet('IPv4')), false);
    pair.wire.run(pair.wire.now + 100_000);
    assert.equal(six.state, 'open');
    assert.equal(pair.atServer.length, 1);
    const four = pair.dial({ ipv6: false });
    assert.equal(four.addresses?.local, '10.64.0.3');
    assert.equal(four.addresses.ipv6, undefined);
    assert.equal(sendPacket(pair.wire, pair.client, four, data), false);
  });

  it('takes packets up to its MTU and not beyond, and none when it is not open', () => {
    const pair = new Pair({ concentrator: { mru: 1400 } });
    const session = pair.add();
    const bytes = new Uint8Array(2000);
    bytes[64] = 0x45;
    assert.equal(session.encapsulate(bytes, 64, 100), 0);
    session.dial(0);
    pair.untilSettled(session);
    const [server] = [...pair.concentrator.sessions.values()];
    assert.deepEqual([session.addresses?.mtu, server?.mtu], [1400, 1400]);
    assert.equal(session.encapsulate(bytes, 64, 1400), 22);
    assert.equal(session.encapsulate(bytes, 64, 1401), 0);
    assert.equal(session.encapsulate(bytes, 64, 0), 0);
    assert.equal(session.encapsulate(bytes, 21, 100), 0, 'no room in front');
    bytes[64] = 0x55;
    assert.equal(session.encapsulate(bytes, 64, 100), 0, 'no IP');
  });

  it('is redialled to another address, not before its least interval', () => {
    const pair = new Pair();
    const session = pair.dial({ retry: {}, minimumRedialInterval: 60_000 });
    const first = session.addresses?.local;
    const openAt = pair.wire.now;
    const when = session.redial(openAt);
    assert.ok(when > 59_000 && when <= 60_000, `${when}`);
    pair.wire.run(when - 1);
    assert.equal(session.state, 'open');
    assert.equal(session.addresses?.local, first);
    pair.wire.run(when + 1000, () => session.state === 'open' && session.addresses?.local !== first);
    assert.equal(session.addresses?.previousLocal, first);
    assert.notEqual(session.addresses?.local, first);
    assert.equal(pair.concentrator.sessions.size, 1);
    assert.equal(pair.events('closed', session).length, 1);
    const order = pair.clientEvents.map(({ event }) => (event.type === 'state' ? event.state : event.type));
    const end = order.indexOf('closed');
    assert.deepEqual(order.slice(end - 2, end + 3), [
      'closing',
      'waiting',
      'closed',
      'queued',
      'discovering',
    ]);
  });

  it('whose IPCP ended at the concentrator alone is found out by the first packet, and comes back', () => {
    const pair = new Pair();
    const session = pair.dial({ retry: {} });
    const ends = { source: CLIENT_MAC, destination: SERVER_MAC };
    const terminate = control(ends, session.sessionId, 0x8021, 5, 1);
    pair.wire.filter = (_bytes, from) => from !== pair.concentrator;
    pair.concentrator.input(terminate, 0, terminate.length, pair.wire.now);
    pair.wire.run(pair.wire.now + 10_000);
    pair.wire.filter = undefined;
    assert.equal(session.state, 'open');
    const before = session.sessionId;
    assert.ok(sendPacket(pair.wire, pair.client, session, packet('into the void')));
    pair.wire.run(pair.wire.now + 10_000, () => session.state === 'open' && session.sessionId !== before);
    assert.ok(sendPacket(pair.wire, pair.client, session, packet('through')));
    pair.wire.run(pair.wire.now + 10);
    assert.deepEqual(pair.atServer, ['Ethrough']);
  });

  it('that hangs up is closed by the PADT of a concentrator that answers with nothing else', () => {
    const pair = new Pair();
    const session = pair.dial();
    pair.wire.filter = (_bytes, from) => from !== pair.concentrator;
    session.hangUp(pair.wire.now);
    const padt = discovery({ source: SERVER_MAC, destination: CLIENT_MAC }, PADT, session.sessionId);
    pair.client.input(padt, 0, padt.length, pair.wire.now);
    assert.equal(session.state, 'idle');
    assert.equal(session.lastError?.code, 'BW_PPP_CLOSED');
  });

  it('may be dialled, hung up and removed by who hears of its events', () => {
    const pair = new Pair();
    const session = pair.add({ retry: false });
    const heard = pair.clientEvents.push.bind(pair.clientEvents);
    let lives = 0;
    pair.clientEvents.push = (...items) => {
      for (const { event } of items) {
        if (event.type === 'opened') session.hangUp(pair.wire.now);
        if (event.type === 'closed' && ++lives < 3) session.dial(pair.wire.now);
        else if (event.type === 'closed') pair.client.remove(session, pair.wire.now);
      }
      return heard(...items);
    };
    session.dial(0);
    pair.wire.run(10_000);
    assert.equal(lives, 3);
    assert.equal(pair.client.sessions.size, 0);
    assert.deepEqual([pair.client.timers, pair.concentrator.sessions.size], [0, 0]);
  });

  it('at thousands on one client: each its own, none in the way of another', () => {
    const pair = new Pair({ pacing: { maxInFlight: 64 } });
    const sessions = Array.from({ length: 2000 }, (_, i) => pair.add({ mac: 0x02cc00000000 + (i % 50) }));
    let most = 0;
    for (const session of sessions) session.dial(0);
    pair.wire.run(60_000, () => {
      most = Math.max(
        most,
        pair.concentrator.sessions.size - sessions.filter(({ state }) => state === 'open').length,
      );
      return sessions.every(({ state }) => state === 'open');
    });
    assert.ok(most <= 64, `${most} under way at once`);
    assert.equal(new Set(sessions.map(({ addresses }) => addresses?.local)).size, 2000);
    assert.equal(new Set(sessions.map(({ sessionId }) => sessionId)).size, 2000);
  });
});
