import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthenticationMethod } from '../../src/ppp/index.ts';
import { Pair, packet, sendPacket } from './pair.ts';

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
});
