import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { control, discovery, look, PADI, PADR, PADS, PADT, type Seen } from './looking-glass.ts';
import { CLIENT_MAC, Pair, packet, SERVER_MAC, sendPacket } from './pair.ts';

/** Traps met with real servers, by the numbers that the interoperability lab gives them. */

const LCP = 0xc021;
const CHAP = 0xc223;
const FROM_SERVER = { source: SERVER_MAC, destination: CLIENT_MAC };
const HOST_UNIQ = 0x0103;

/** Everything that the client sends from now on. */
function listen(pair: Pair): Seen[] {
  const seen: Seen[] = [];
  pair.wire.tap = (bytes, from) => {
    const frame = look(bytes);
    if (frame !== undefined && from === pair.client) seen.push(frame);
  };
  return seen;
}

describe('traps met with real servers', () => {
  it('trap 1: the first Configure-Request after PADS is lost', () => {
    // The server's PPP comes to life 100 ms after its PADS; what came before is gone.
    const pair = new Pair({ concentrator: { timing: { restart: 100 } } });
    let born = Number.POSITIVE_INFINITY;
    pair.wire.filter = (bytes) => {
      const frame = look(bytes);
      if (frame?.code === PADS) born = pair.wire.now + 100;
      return frame?.session !== true || pair.wire.now >= born;
    };
    const session = pair.dial();
    assert.equal(session.state, 'open');
    assert.ok((session.addresses?.elapsed ?? 0) < 200, `took ${session.addresses?.elapsed} ms`);
  });

  it('trap 1: nothing is repeated where the peer has answered in time', () => {
    const pair = new Pair();
    const seen = listen(pair);
    pair.dial();
    assert.equal(seen.filter(({ protocol, control: code }) => protocol === LCP && code === 1).length, 1);
  });

  it('trap 2: the peer negotiates anew in the midst of authentication', () => {
    const pair = new Pair();
    let restarted = false;
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (!restarted && from === pair.client && frame?.protocol === CHAP) {
        restarted = true;
        pair.wire.send(undefined, control(FROM_SERVER, frame.sessionId, LCP, 1, 77, [5, 6, 9, 9, 9, 9]));
        return false;
      }
      return true;
    };
    const session = pair.dial();
    assert.ok(restarted);
    assert.equal(session.state, 'open', session.lastError?.message);
    assert.equal(pair.states(session).filter((state) => state === 'authenticating').length, 2);
    assert.equal(pair.concentrator.sessions.size, 1);
  });

  it('trap 3: a repeated PADR allocates a second session, which gets a PADT', () => {
    const pair = new Pair();
    const seen = listen(pair);
    let confirmation: Seen | undefined;
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from === pair.concentrator && frame?.code === PADS) confirmation = frame;
      if (from === pair.client && frame?.session && confirmation !== undefined) {
        const { sessionId, tags } = confirmation;
        confirmation = undefined;
        pair.wire.send(undefined, discovery(FROM_SERVER, PADS, sessionId + 1, tags));
        pair.wire.send(undefined, discovery(FROM_SERVER, PADS, sessionId, tags));
      }
      return true;
    };
    const session = pair.dial();
    assert.equal(session.state, 'open');
    const ended = seen.filter(({ code }) => code === PADT);
    assert.deepEqual(
      ended.map(({ sessionId }) => sessionId),
      [session.sessionId + 1],
    );
  });

  it('trap 3: a PADS that answers an earlier try gets a PADT', () => {
    const pair = new Pair();
    const seen = listen(pair);
    let late: Uint8Array | undefined;
    pair.wire.filter = (bytes, from) => {
      if (from !== pair.concentrator || look(bytes)?.code !== PADS || late !== undefined) return true;
      late = bytes;
      return false;
    };
    const session = pair.add({ timing: { padrTries: 1 } });
    session.dial(0);
    pair.untilSettled(session);
    assert.equal(session.lastError?.code, 'BW_PPPOE_NO_SESSION');
    pair.wire.run(pair.wire.now + 10_000, () => session.state === 'open');
    pair.wire.send(undefined, late!);
    pair.wire.run(pair.wire.now + 10);
    assert.equal(session.state, 'open');
    assert.ok(seen.some(({ code, sessionId }) => code === PADT && sessionId === look(late!)?.sessionId));
  });

  it('trap 3: a PADR is not repeated before three seconds', () => {
    const pair = new Pair();
    const times: number[] = [];
    pair.wire.tap = (bytes, from) => {
      if (from === pair.client && look(bytes)?.code === PADR) times.push(pair.wire.now);
    };
    pair.wire.filter = (bytes) => look(bytes)?.code !== PADS;
    for (let i = 0; i < 50; i++) pair.add({ retry: false }).dial(0);
    pair.wire.run(60_000);
    assert.equal(times.length, 100);
    assert.ok(Math.min(...times.slice(50)) >= 3000);
    assert.equal(new Set(times.slice(50).map(Math.round)).size > 25, true, 'and not all at once');
    assert.equal(pair.events('closed')[0]?.error.code, 'BW_PPPOE_NO_SESSION');
  });

  it('trap 4: the first packet after IPCP may be lost, so the session opens when the server answers an echo', () => {
    const pair = new Pair();
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      return !(
        from === pair.concentrator &&
        frame?.protocol === LCP &&
        frame.control === 10 &&
        pair.wire.now < 300
      );
    };
    const session = pair.add();
    session.dial(0);
    pair.wire.run(200);
    assert.equal(session.state, 'configuring');
    pair.wire.run(2000);
    assert.equal(session.state, 'open', 'and after a second even if it answers none');
    pair.wire.filter = (bytes) => look(bytes)?.protocol !== 0x0021;
    assert.ok(sendPacket(pair.wire, pair.client, session, packet('lost')));
    pair.wire.run(2100);
    pair.wire.filter = undefined;
    assert.ok(sendPacket(pair.wire, pair.client, session, packet('arrives')));
    pair.wire.run(2200);
    assert.deepEqual(pair.atServer, ['Earrives']);
  });

  it('trap 5: a bad password is answered by a PADT alone', () => {
    const pair = new Pair({ concentrator: { name: 'isp-7' } });
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      const failure = frame?.protocol === CHAP && frame.control === 4;
      const terminate = frame?.protocol === LCP && frame.control === 5;
      return from !== pair.concentrator || !(failure || terminate);
    };
    const session = pair.dial({ password: 'wrong' });
    assert.equal(session.lastError?.code, 'BW_PPP_AUTHENTICATION');
    assert.match(session.lastError.message, /'isp-7' ended the session instead of taking our password/);
  });

  it('trap 5: a bad password is answered by a Terminate-Request without a Failure', () => {
    const pair = new Pair();
    pair.wire.filter = (bytes) => {
      const frame = look(bytes);
      return !(frame?.protocol === CHAP && frame.control === 4);
    };
    const session = pair.dial({ password: 'wrong' });
    assert.equal(session.lastError?.code, 'BW_PPP_AUTHENTICATION');
  });

  it('trap 6: an Echo-Request with magic 0 before LCP is up', () => {
    const pair = new Pair();
    const seen = listen(pair);
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from === pair.concentrator && frame?.code === PADS) {
        pair.wire.send(undefined, control(FROM_SERVER, frame.sessionId, LCP, 9, 1, [0, 0, 0, 0]));
      }
      return true;
    };
    const session = pair.dial();
    assert.equal(session.state, 'open');
    assert.ok(!seen.some(({ protocol, control: code }) => protocol === LCP && code === 10));
    pair.wire.send(undefined, control(FROM_SERVER, session.sessionId, LCP, 9, 2, [0, 0, 0, 0]));
    pair.wire.run(pair.wire.now + 10);
    assert.ok(
      seen.some(
        ({ protocol, control: code, identifier }) => protocol === LCP && code === 10 && identifier === 2,
      ),
    );
  });

  it('trap 6: PFC, ACFC, MRRU and Endpoint are rejected, and every repeated request is answered under its own identifier', () => {
    const pair = new Pair();
    const seen = listen(pair);
    const options = [7, 2, 8, 2, 17, 4, 5, 0xdc, 19, 5, 1, 2, 3];
    let begun = false;
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (!begun && from === pair.client && frame?.session) {
        begun = true;
        for (const identifier of [201, 202, 203]) {
          pair.wire.send(undefined, control(FROM_SERVER, frame.sessionId, LCP, 1, identifier, options));
        }
      }
      return true;
    };
    const session = pair.dial();
    assert.equal(session.state, 'open');
    const rejects = seen.filter(({ protocol, control: code }) => protocol === LCP && code === 4);
    assert.deepEqual(
      rejects.map(({ identifier }) => identifier),
      [201, 202, 203],
    );
    for (const { data } of rejects) assert.deepEqual([...data], options);
  });

  it('trap 6: a session that is dead though its echoes are answered can be told by its counters, and redialled', () => {
    const pair = new Pair();
    const session = pair.dial({ retry: {} });
    const first = session.addresses?.local;
    pair.wire.filter = (bytes) => look(bytes)?.protocol !== 0x0021;
    sendPacket(pair.wire, pair.client, session, packet('nowhere'));
    pair.wire.run(pair.wire.now + 300_000);
    assert.equal(session.state, 'open');
    assert.deepEqual([session.sentPackets, session.receivedPackets], [1, 0]);
    pair.wire.filter = undefined;
    session.redial(pair.wire.now);
    pair.wire.run(pair.wire.now + 5000, () => session.state === 'open' && session.addresses?.local !== first);
    assert.equal(session.addresses?.previousLocal, first);
  });

  it("trap 7: for an empty Service-Name the PADS carries the server's first service", () => {
    const pair = new Pair({ concentrator: { services: [{ name: 'internet' }, { name: 'iptv' }] } });
    const named: string[] = [];
    pair.wire.tap = (bytes, from) => {
      const frame = look(bytes);
      if (from !== pair.concentrator || frame?.code !== PADS) return;
      for (const { type, data } of frame.tags) if (type === 0x0101) named.push(Buffer.from(data).toString());
    };
    assert.equal(pair.dial({ serviceName: '' }).state, 'open');
    assert.deepEqual(named, ['internet']);
  });

  it('trap 8: an unsupported service gets silence on PADI; the last try finds out what there is', () => {
    const pair = new Pair({
      concentrator: { name: 'ac-1', services: [{ name: 'internet' }, { name: 'iptv' }] },
    });
    const session = pair.dial({ serviceName: 'gold' });
    assert.equal(session.lastError?.code, 'BW_PPPOE_SERVICE_NAME');
    assert.match(session.lastError.message, /'ac-1' \('internet', 'iptv'\)/);
  });

  it('trap 8: an unsupported service gets an error PADS on PADR', () => {
    const pair = new Pair({ concentrator: { services: [{ name: 'internet' }] } });
    // A relay asks for another service than was offered.
    pair.wire.filter = (bytes, from, to) => {
      if (from !== pair.client || look(bytes)?.code !== PADR) return true;
      const changed = Buffer.from(bytes);
      changed.write('gold', changed.indexOf('internet'));
      to.input(changed, 0, changed.length, pair.wire.now);
      return false;
    };
    const session = pair.dial({ serviceName: 'internet' });
    assert.equal(session.lastError?.code, 'BW_PPPOE_SERVICE_NAME');
    assert.equal(session.lastError.peerMessage, "there is no service 'goldrnet'");
  });

  it('trap 8: a cookie is bound to the MAC and expires; a wrong one gets silence', () => {
    const pair = new Pair({ concentrator: { cookieLifetime: 5000 } });
    let padr: Uint8Array | undefined;
    pair.wire.filter = (bytes) => {
      if (look(bytes)?.code !== PADR) return true;
      padr ??= bytes;
      return false;
    };
    const session = pair.add({ retry: false });
    session.dial(0);
    pair.wire.run(100);
    assert.ok(padr !== undefined);
    const answers: number[] = [];
    pair.wire.tap = (bytes, from) => {
      if (from === pair.concentrator) answers.push(look(bytes)?.code ?? 0);
    };
    pair.wire.filter = undefined;
    const stolen = padr.slice();
    stolen[11] = 0x99;
    pair.concentrator.input(stolen, 0, stolen.length, 200);
    const damaged = padr.slice();
    const cookieAt = Buffer.from(damaged).indexOf(Buffer.from([0x01, 0x04, 0x00, 0x14])) + 10;
    damaged[cookieAt]! ^= 1;
    pair.concentrator.input(damaged, 0, damaged.length, 200);
    pair.concentrator.input(padr, 0, padr.length, 5101);
    assert.deepEqual(answers, []);
    pair.concentrator.input(padr, 0, padr.length, 4900);
    assert.equal(answers[0], PADS);
  });

  it('trap 9: a server answers one PADI per MAC and second; a fleet on one MAC comes up none the less', () => {
    const pair = new Pair();
    const answered = new Map<string, number>();
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from !== pair.client || frame?.code !== PADI) return true;
      const last = answered.get(frame.source) ?? Number.NEGATIVE_INFINITY;
      if (pair.wire.now - last < 1000) return false;
      answered.set(frame.source, pair.wire.now);
      return true;
    };
    const sessions = Array.from({ length: 12 }, () => pair.add());
    for (const session of sessions) session.dial(0);
    const done = pair.wire.run(60_000, () => sessions.every(({ state }) => state === 'open'));
    assert.ok(done, sessions.map(({ state }) => state).join(' '));
    assert.ok(pair.wire.now < 20_000, `took ${pair.wire.now} ms for twelve sessions`);
  });

  it('trap 9: the Host-Uniq can be what a server expects', () => {
    const pair = new Pair();
    const hostUniq = Uint8Array.from([0xde, 0xad, 0xbe, 0xef]);
    const seen = listen(pair);
    const session = pair.dial({ hostUniq });
    assert.equal(session.state, 'open');
    for (const { tags } of seen.filter(({ code }) => code === PADI || code === PADR)) {
      assert.deepEqual(tags.find(({ type }) => type === HOST_UNIQ)?.data, hostUniq);
    }
  });

  it('trap 10: 1500 bytes only where PPP-Max-Payload comes back', () => {
    const jumbo = new Pair({ concentrator: { mru: 1500 } });
    assert.equal(jumbo.dial({ mru: 1500 }).addresses?.mtu, 1500);
    const [server] = [...jumbo.concentrator.sessions.values()];
    assert.equal(server?.mtu, 1500);
    assert.equal(new Pair({ concentrator: { mru: 1500 } }).dial().addresses?.mtu, 1492);
    assert.equal(new Pair().dial({ mru: 1500 }).addresses?.mtu, 1492);
    // In the PADO, but not in the PADS.
    const forgetful = new Pair({ concentrator: { mru: 1500 } });
    forgetful.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from !== forgetful.concentrator || frame?.code !== PADS) return true;
      const tags = frame.tags.filter(({ type }) => type !== 0x0120);
      forgetful.wire.send(undefined, discovery(FROM_SERVER, PADS, frame.sessionId, tags));
      return false;
    };
    assert.equal(forgetful.dial({ mru: 1500 }).addresses?.mtu, 1492);
  });

  it('trap 11: IPV6CP that fails and CCP that is offered do not end the session', () => {
    const pair = new Pair();
    const seen = listen(pair);
    const session = pair.dial();
    assert.notEqual(session.addresses?.ipv6, undefined);
    pair.wire.send(undefined, control(FROM_SERVER, session.sessionId, 0x8057, 5, 9));
    pair.wire.send(undefined, control(FROM_SERVER, session.sessionId, 0x80fd, 1, 1, [26, 4, 0x78, 0x00]));
    pair.wire.run(pair.wire.now + 5000);
    assert.equal(session.state, 'open');
    assert.ok(
      seen.some(
        ({ protocol, control: code, data }) =>
          protocol === LCP && code === 8 && data[0] === 0x80 && data[1] === 0xfd,
      ),
    );
    assert.ok(pair.events('ipv6', session).some(({ ipv6 }) => ipv6 === undefined));
    const without = new Pair({ concentrator: { ipv6: false } });
    const other = without.dial();
    assert.equal(other.state, 'open');
    assert.equal(other.addresses?.ipv6, undefined);
  });

  it('trap 11: EAP with MD5 carries the name after the value', () => {
    const pair = new Pair({ concentrator: { authentication: ['eap-md5'] } });
    const seen = listen(pair);
    assert.equal(pair.dial({ user: 'alice@example.net', password: 'p@ss w"ord' }).state, 'open');
    const answer = seen.find(({ protocol, data }) => protocol === 0xc227 && data[0] === 4);
    assert.equal(Buffer.from(answer!.data.subarray(18)).toString(), 'alice@example.net');
  });

  it('trap 12: PADT and LCP of the concentrator before the restart do not hurt the new session', () => {
    const pair = new Pair();
    const session = pair.dial({ retry: { initial: 1000, maximum: 1000 } });
    const old = session.sessionId;
    pair.wire.leave(pair.concentrator);
    const seen = listen(pair);
    const successor = pair.addConcentrator({ mac: '02:ac:00:00:00:02' });
    pair.wire.send(undefined, discovery(FROM_SERVER, PADT, old));
    pair.wire.run(
      pair.wire.now + 5000,
      () => session.state === 'open' && session.sessionId !== 0 && successor.sessions.size > 0,
    );
    pair.untilSettled(session);
    assert.equal(session.state, 'open');
    assert.ok(
      seen
        .filter(({ code }) => code === PADI)
        .every(({ destination }) => destination === 'ff:ff:ff:ff:ff:ff'),
    );
    const { sessionId } = session;
    for (const from of [FROM_SERVER, { source: '02:ac:00:00:00:03', destination: CLIENT_MAC }]) {
      pair.wire.send(undefined, discovery(from, PADT, sessionId));
      pair.wire.send(undefined, discovery(from, PADT, old));
      pair.wire.send(undefined, control(from, sessionId, LCP, 5, 1));
      pair.wire.send(undefined, control(from, sessionId, LCP, 1, 1, [5, 6, 1, 1, 1, 1]));
    }
    const right = { source: '02:ac:00:00:00:02', destination: CLIENT_MAC };
    pair.wire.send(undefined, discovery(right, PADT, sessionId + 1));
    pair.wire.send(undefined, control(right, sessionId + 1, LCP, 5, 1));
    pair.wire.send(undefined, discovery({ ...right, destination: '02:cc:00:00:00:99' }, PADT, sessionId));
    pair.wire.run(pair.wire.now + 5000);
    assert.equal(session.state, 'open');
    assert.equal(session.sessionId, sessionId);
    pair.wire.send(undefined, discovery(right, PADT, sessionId));
    pair.wire.run(pair.wire.now + 10);
    assert.equal(session.state, 'waiting');
  });
});
