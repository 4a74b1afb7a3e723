import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import type { PppoeClientSession, PppoeSessionOptions } from '../../src/pppoe/index.ts';
import { control, discovery, look, PADI, PADO, PADR, PADS, PADT } from './looking-glass.ts';
import { CLIENT_MAC, Pair, SERVER_MAC } from './pair.ts';

const LCP = 0xc021;
const IPCP = 0x8021;
const FROM_SERVER = { source: SERVER_MAC, destination: CLIENT_MAC };

/** Every failure ends the same way: a typed error, a state that tells when it is tried again, nothing left behind. */
function requireFailed(pair: Pair, session: PppoeClientSession, code: string): void {
  assert.equal(session.lastError?.code, code, session.lastError?.message);
  const [closed] = pair.events('closed', session).slice(-1);
  assert.equal(closed?.error, session.lastError);
  assert.equal(closed.retryAt, undefined);
  assert.equal(session.state, 'idle');
  assert.equal(session.sessionId, 0);
  assert.equal(session.wireIdentity, undefined);
  assert.equal(pair.client.timers, 0);
  pair.wire.filter = undefined;
  pair.wire.run(pair.wire.now + 120_000);
  assert.equal(pair.concentrator.sessions.size, 0, 'sessions are left at the concentrator');
  assert.equal(pair.concentrator.timers, 0);
  assert.equal(pair.concentrator.freeAddresses, pair.concentrator.poolSize);
}

describe('what users get on bad input', () => {
  it("a wrong password: the server's own message", () => {
    for (const authentication of ['pap', 'chap-md5', 'mschapv2', 'eap-md5'] as const) {
      const pair = new Pair({ concentrator: { authentication: [authentication] } });
      const session = pair.dial({ password: 'wrong' });
      requireFailed(pair, session, 'BW_PPP_AUTHENTICATION');
      if (authentication !== 'eap-md5') assert.equal(session.lastError?.peerMessage, 'Access denied');
      assert.match(session.lastError?.hint ?? '', /Check user and password/);
      assert.doesNotMatch(
        inspect(session, { depth: 9, showHidden: true }) + JSON.stringify(session),
        /wrong/,
      );
    }
  });

  it('no concentrator', () => {
    const pair = new Pair();
    pair.wire.leave(pair.concentrator);
    const times: number[] = [];
    pair.wire.tap = (bytes) => {
      if (look(bytes)?.code === PADI) times.push(pair.wire.now);
    };
    requireFailed(pair, pair.dial(), 'BW_PPPOE_NO_CONCENTRATOR');
    assert.equal(times.length, 4);
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    for (const [i, gap] of gaps.entries()) {
      assert.ok(gap >= 1000 * 2 ** i && gap <= 1250 * 2 ** i, `${gap} ms after try ${i + 1}`);
    }
  });

  it('a wrong service name, a wrong concentrator name: what there is', () => {
    const services = [{ name: 'internet' }];
    const pair = new Pair({ concentrator: { name: 'isp', services } });
    const session = pair.dial({ serviceName: 'tv' });
    assert.match(
      session.lastError?.message ?? '',
      /no concentrator offers the service 'tv'; there are 'isp' \('internet'\)/,
    );
    requireFailed(pair, session, 'BW_PPPOE_SERVICE_NAME');
    const other = pair.dial({ acName: 'other' });
    assert.match(other.lastError?.message ?? '', /no concentrator is named 'other'; there are 'isp'/);
    requireFailed(pair, other, 'BW_PPPOE_AC_NAME');
  });

  it('an empty address pool, and what it says when it is found out only after authentication', () => {
    const pair = new Pair({ concentrator: { pool: '10.0.0.5-10.0.0.5', address: '10.0.0.1' } });
    const first = pair.dial();
    assert.equal(first.state, 'open');
    const second = pair.dial();
    assert.equal(second.lastError?.code, 'BW_PPPOE_AC_SYSTEM_ERROR');
    assert.equal(second.lastError.peerMessage, 'no address is left in the pool');
    first.hangUp(pair.wire.now);
    pair.untilSettled(first);
    const racers = [pair.add({ retry: false }), pair.add({ retry: false })];
    for (const racer of racers) racer.dial(pair.wire.now);
    pair.wire.run(pair.wire.now + 5000);
    assert.deepEqual(racers.map(({ state }) => state).toSorted(), ['idle', 'open']);
    const loser = racers.find(({ state }) => state === 'idle');
    assert.equal(loser?.lastError?.peerMessage, 'no address is left in the pool');
  });

  it('limits: sessions per MAC, sessions in all', () => {
    const pair = new Pair({ concentrator: { maxSessionsPerMac: 1, maxSessions: 2 } });
    assert.equal(pair.dial().state, 'open');
    const same = pair.dial();
    assert.equal(same.lastError?.peerMessage, 'no more sessions from this address');
    assert.equal(pair.dial({ mac: '02:cc:00:00:00:02' }).state, 'open');
    const third = pair.dial({ mac: '02:cc:00:00:00:03' });
    assert.equal(third.lastError?.code, 'BW_PPPOE_AC_SYSTEM_ERROR');
    assert.equal(third.lastError.peerMessage, 'no more sessions');
  });

  it('a Generic-Error in a PADS', () => {
    const pair = new Pair();
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from !== pair.client || frame?.code !== PADR) return true;
      pair.wire.send(
        undefined,
        discovery(FROM_SERVER, PADS, 0, [...frame.tags, { type: 0x0203, data: 'out of order\u0007' }]),
      );
      return false;
    };
    const session = pair.dial();
    assert.equal(session.lastError?.peerMessage, 'out of order\\x07');
    requireFailed(pair, session, 'BW_PPPOE_GENERIC_ERROR');
  });

  it('an MRU that is too small', () => {
    const pair = new Pair();
    const session = dialWithLcp(pair, (request) => [1, 4, 0x00, 0x80, ...request.slice(4)]);
    assert.match(session.lastError?.message ?? '', /packets of 128 bytes only, 576 are needed/);
    requireFailed(pair, session, 'BW_PPP_MRU');
  });

  it('an LCP that is looped back', () => {
    const pair = new Pair();
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from !== pair.client || frame?.session !== true)
        return from !== pair.concentrator || !frame?.session;
      pair.wire.send(
        undefined,
        control(FROM_SERVER, frame.sessionId, frame.protocol, frame.control, frame.identifier, frame.data),
      );
      return false;
    };
    requireFailed(pair, pair.dial(), 'BW_PPP_LOOPBACK');
  });

  it('a magic number that is ours', () => {
    const pair = new Pair();
    let mine: Uint8Array | undefined;
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (frame?.protocol !== LCP || frame.control !== 1) return true;
      if (from === pair.client) mine = frame.data.slice(-4);
      if (from !== pair.concentrator || mine === undefined) return from !== pair.concentrator;
      pair.wire.send(
        undefined,
        control(FROM_SERVER, frame.sessionId, LCP, 1, frame.identifier, [
          ...frame.data.slice(0, -4),
          ...mine,
        ]),
      );
      return false;
    };
    requireFailed(pair, pair.dial(), 'BW_PPP_LOOPBACK');
  });

  it('an IPCP that is refused', () => {
    const pair = new Pair();
    pair.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      if (from !== pair.client || frame?.protocol !== IPCP) return true;
      const rejected = [0x80, 0x21, frame.control, frame.identifier, 0, 4 + frame.data.length, ...frame.data];
      pair.wire.send(undefined, control(FROM_SERVER, frame.sessionId, LCP, 8, 3, rejected));
      return false;
    };
    requireFailed(pair, pair.dial(), 'BW_PPP_NETWORK_REFUSED');
  });

  it('a peer that never answers: LCP, authentication, echoes', () => {
    const lcp = new Pair();
    lcp.wire.filter = (bytes, from) =>
      from !== lcp.concentrator || [PADO, PADS].includes(look(bytes)?.code ?? 0);
    requireFailed(lcp, lcp.dial(), 'BW_PPP_NO_ANSWER');

    const authentication = new Pair();
    authentication.wire.filter = (bytes, from) => {
      const frame = look(bytes);
      const ends = from === authentication.concentrator && (frame?.code === PADT || frame?.control === 5);
      return !ends && frame?.protocol !== 0xc223;
    };
    requireFailed(authentication, authentication.dial(), 'BW_PPP_NO_ANSWER');

    const echoes = new Pair();
    const session = echoes.dial({ echo: { interval: 5000, failures: 2 } });
    assert.equal(session.state, 'open');
    echoes.wire.filter = (_bytes, from) => from !== echoes.concentrator;
    const silent = echoes.wire.now;
    echoes.wire.run(silent + 60_000, () => session.state === 'idle');
    assert.ok(echoes.wire.now - silent <= 15_000);
    assert.equal(echoes.events('closed', session)[0]?.wasOpen, true);
    requireFailed(echoes, session, 'BW_PPP_ECHO');
  });

  it('a carrier that is lost: every session at once, and all back when it is', () => {
    const pair = new Pair();
    const sessions = [1, 2, 3].map((i) => pair.add({ mac: `02:cc:00:00:00:0${i}` }));
    for (const session of sessions) session.dial(0);
    pair.wire.run(1000);
    assert.ok(sessions.every(({ state }) => state === 'open'));
    const padts: number[] = [];
    pair.wire.tap = (bytes, from) => {
      const frame = look(bytes);
      if (from === pair.client && frame?.code === PADT) padts.push(frame.sessionId);
    };
    const ids = sessions.map(({ sessionId }) => sessionId);
    pair.wire.up = false;
    pair.client.carrier(false, 1000);
    for (const session of sessions) {
      assert.equal(session.state, 'waiting');
      assert.equal(session.lastError?.code, 'BW_PPPOE_CARRIER');
      assert.equal(session.retryAt, Number.POSITIVE_INFINITY);
    }
    assert.equal(pair.client.deadline, Number.POSITIVE_INFINITY, 'nothing is tried without a carrier');
    pair.wire.run(5000);
    pair.wire.up = true;
    pair.client.carrier(true, 5000);
    pair.wire.run(6000);
    assert.ok(sessions.every(({ state }) => state === 'open'));
    assert.deepEqual(padts, ids, 'the sessions before are ended first');
    assert.equal(pair.concentrator.sessions.size, 3);
  });

  it('options that cannot be: an ArgumentError that says which', () => {
    const pair = new Pair();
    const cases: readonly [Partial<PppoeSessionOptions>, RegExp][] = [
      [{ mac: 'ff:ff:ff:ff:ff:ff' }, /ff:ff:ff:ff:ff:ff is no address of one station/],
      [{ mru: 1501 }, /mru/],
      [{ mru: 3 }, /mru/],
      [{ minimumMru: 9000 }, /minimumMru/],
      [{ hostUniq: new Uint8Array(65) }, /hostUniq/],
      [{ vlans: [{ id: 4095 }] }, /VLAN id/],
      [{ vlans: [{ id: 1 }, { id: 2 }, { id: 3 }] }, /2 VLAN tags at most/],
      [{ vlans: [{ id: 1, priority: 8 }] }, /VLAN priority/],
      [{ vlans: [{ id: 1, etherType: 0x9100 }] }, /EtherType/],
      [{ ipv4: false, ipv6: false }, /carries nothing/],
      [{ user: 'x'.repeat(256) }, /user has at most 255 bytes, not 256/],
      [{ address: '300.1.1.1' }, /300\.1\.1\.1/],
    ];
    for (const [options, message] of cases) {
      assert.throws(() => pair.add(options), { name: 'ArgumentError', message }, JSON.stringify(options));
    }
    assert.equal(pair.client.sessions.size, 0);
  });

  it('a malformed tag or a lying length at every byte of every discovery packet', () => {
    for (const code of [PADO, PADS, PADT]) {
      const pair = new Pair();
      let sample: Uint8Array | undefined;
      pair.wire.filter = (bytes, from) => {
        if (from === pair.concentrator && look(bytes)?.code === code) sample ??= bytes;
        return true;
      };
      const session = pair.dial();
      if (code === PADT) pair.concentrator.abort(pair.wire.now, 'a reason');
      pair.wire.run(pair.wire.now + 10);
      assert.ok(sample !== undefined);
      const whole = sample;
      // The same session dials again, and everything that can be cut off is cut off.
      pair.wire.filter = undefined;
      const again = pair.add({ retry: false });
      again.dial(pair.wire.now);
      for (let length = 0; length <= whole.length; length++) {
        const cut = whole.slice(0, length);
        pair.client.input(cut, 0, cut.length, pair.wire.now);
        for (let i = 14; i < length; i++) {
          const changed = whole.slice(0, length);
          changed[i]! ^= 0xff;
          pair.client.input(changed, 0, changed.length, pair.wire.now);
          const shortened = whole.slice(0, length);
          shortened[19] = Math.max(0, length - 20 - (i % 7));
          pair.client.input(shortened, 0, shortened.length, pair.wire.now);
          pair.concentrator.input(changed, 0, changed.length, pair.wire.now);
        }
      }
      pair.wire.run(pair.wire.now + 60_000);
      assert.ok(['open', 'idle'].includes(again.state), again.state);
      assert.ok(session.discarded >= 0);
    }
  });

  it('backs off with jitter, longer each time up to the most, and begins anew after a stable session', () => {
    const pair = new Pair();
    pair.wire.leave(pair.concentrator);
    const session = pair.add({ retry: { initial: 1000, maximum: 16_000 }, timing: { padiTries: 1 } });
    session.dial(0);
    pair.wire.run(200_000);
    const waits = pair.clientEvents.flatMap(({ event, at }) =>
      event.type === 'closed' ? [(event.retryAt ?? Number.NaN) - at] : [],
    );
    for (const [i, wait] of waits.entries()) {
      const nominal = Math.min(16_000, 1000 * 2 ** i);
      assert.ok(wait >= 0.75 * nominal && wait <= 1.25 * nominal, `${wait} ms after failure ${i + 1}`);
    }
    assert.ok(new Set(waits.slice(-4).map(Math.round)).size > 1, 'with jitter');
    pair.wire.join(pair.concentrator);
    pair.wire.run(pair.wire.now + 60_000, () => session.state === 'open');
    pair.wire.run(pair.wire.now + 60_000);
    pair.concentrator.abort(pair.wire.now);
    pair.wire.run(pair.wire.now + 10);
    assert.ok(session.retryAt - pair.wire.now <= 1250);
  });
});

/** Dials while every Configure-Request of the server is replaced by what `change` makes of it. */
function dialWithLcp(pair: Pair, change: (request: number[]) => number[]): PppoeClientSession {
  pair.wire.filter = (bytes, from) => {
    const frame = look(bytes);
    if (from !== pair.concentrator || frame?.protocol !== LCP || frame.control !== 1) return true;
    pair.wire.send(
      undefined,
      control(FROM_SERVER, frame.sessionId, LCP, 1, frame.identifier, change([...frame.data])),
    );
    return false;
  };
  return pair.dial();
}
