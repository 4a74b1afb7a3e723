import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { PppoeClientSession, PppoeConcentrator } from '../../src/pppoe/index.ts';
import { Random } from '../packet/random.ts';
import { Pair, packet, sendPacket } from './pair.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const SESSIONS = 200;

/** Restarts the concentrator as after a crash: no farewell, other session IDs, another memory. */
function restart(pair: Pair, settings: Parameters<Pair['addConcentrator']>[0]): PppoeConcentrator {
  pair.wire.leave(pair.concentrator);
  pair.concentrator = pair.addConcentrator(settings);
  return pair.concentrator;
}

describe('a day of two hundred sessions', () => {
  it('with redials, restarts and carrier flaps leaves no timer, session, address or memory behind', () => {
    const settings = {
      pool: '10.0.0.0/22',
      echo: { interval: 30 * SECOND, failures: 3 },
      maxSessionsPerMac: 0,
    };
    const pair = new Pair({ seed: 20_261_120, concentrator: settings });
    const { wire, client } = pair;
    const random = new Random(7);
    const sessions: PppoeClientSession[] = Array.from({ length: SESSIONS }, (_, i) =>
      pair.add({
        mac: 0x02cc00000000 + (i % 3 === 0 ? 1 : i + 2),
        retry: { initial: SECOND, maximum: MINUTE },
        minimumRedialInterval: 10 * SECOND,
      }),
    );
    for (const session of sessions) session.dial(0);
    const counts = { redials: 0, restarts: 0, flaps: 0, opened: 0, interruptions: 0 };
    const addresses = new Set<string>();
    let heapAtNoon = 0;
    let nextRestart = HOUR;
    let nextFlap = 30 * MINUTE;
    wire.weather = { loss: 0.002, duplication: 0.001, reorder: 0.002 };
    while (wire.now < 24 * HOUR) {
      wire.run(wire.now + random.between(1, 40) * SECOND);
      for (const { event } of pair.clientEvents.splice(0)) {
        if (event.type !== 'opened') continue;
        counts.opened++;
        addresses.add(event.local ?? '');
      }
      pair.serverEvents.length = 0;
      random.pick(sessions).redial(wire.now);
      counts.redials++;
      if (random.oneIn(50)) {
        const some = [...pair.concentrator.sessions.values()][0];
        some?.terminate(wire.now, 'maintenance');
        counts.interruptions++;
      }
      if (wire.now > nextRestart) {
        restart(pair, settings);
        counts.restarts++;
        nextRestart += HOUR;
      }
      if (wire.now > nextFlap) {
        wire.up = !wire.up;
        client.carrier(wire.up, wire.now);
        nextFlap = wire.now + (wire.up ? 30 * MINUTE : random.between(1, 20) * SECOND);
        counts.flaps++;
      }
      assert.ok(pair.concentrator.sessions.size <= 2 * SESSIONS, 'sessions pile up at the concentrator');
      assert.ok(client.timers <= SESSIONS);
      if (heapAtNoon === 0 && wire.now > 12 * HOUR) heapAtNoon = heapUsed();
    }
    assert.ok(counts.redials > 3000 && counts.restarts >= 22 && counts.flaps > 40, JSON.stringify(counts));
    assert.ok(counts.opened > 3000 + 22 * SESSIONS, JSON.stringify(counts));
    assert.ok(addresses.size > SESSIONS);

    wire.weather = {};
    if (!wire.up) client.carrier(true, wire.now);
    wire.up = true;
    assert.ok(wire.run(wire.now + 10 * MINUTE, () => sessions.every(({ state }) => state === 'open')));
    wire.run(wire.now + 5 * MINUTE);
    assert.equal(pair.concentrator.sessions.size, SESSIONS);
    assert.equal(pair.concentrator.poolSize - pair.concentrator.freeAddresses, SESSIONS);
    assert.equal(
      new Set(sessions.map(({ addresses: now }) => now?.local)).size,
      SESSIONS,
      'each its own address',
    );
    for (const session of sessions) sendPacket(wire, client, session, packet(String(session.index)));
    pair.atServer.length = 0;
    wire.run(wire.now + SECOND);
    assert.equal(new Set(pair.atServer).size, SESSIONS, 'and each carries packets');
    const growth = heapUsed() - heapAtNoon;
    assert.ok(growth < 4 << 20, `the heap grew by ${growth} bytes in half a day`);

    for (const session of sessions) client.remove(session, wire.now);
    wire.run(wire.now + 5 * MINUTE);
    assert.deepEqual([client.sessions.size, client.inFlight, client.sessionIds], [0, 0, 0]);
    assert.deepEqual([client.timers, pair.concentrator.timers, pair.concentrator.sessions.size], [0, 0, 0]);
    assert.equal(pair.concentrator.freeAddresses, pair.concentrator.poolSize);
    assert.equal(wire.next, Number.POSITIVE_INFINITY);
  });
});

/** Bytes in use behind a full collection, which Node does not offer without a flag. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}
