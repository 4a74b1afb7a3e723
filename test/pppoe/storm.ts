import { AUTHENTICATION_METHODS } from '../../src/ppp/index.ts';
import type { PppoeClientSession } from '../../src/pppoe/index.ts';
import { Random } from '../packet/random.ts';
import { lie } from './liar.ts';
import { Pair, packet, sendPacket } from './pair.ts';
import type { Weather } from './virtual-wire.ts';

/** How a storm ended: in a few words, and what was wrong if something was. */
export interface StormResult {
  readonly kind: string;
  readonly problem: string | undefined;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * Both sides against each other in bad weather and under random commands, then in fair weather: every session has to be
 * open or cleanly down in the end, at both ends alike, and nothing may be left of those that went.
 */
export function storm(seed: number): StormResult {
  const random = new Random(seed);
  const methods = random.oneIn(4) ? AUTHENTICATION_METHODS : [random.pick(AUTHENTICATION_METHODS)];
  const authentication = random.oneIn(8) ? [] : methods;
  const rechallengeInterval = random.oneIn(3) ? random.between(2, 20) * SECOND : 0;
  const poolSize = random.between(4, 12);
  const pair = new Pair({
    seed: random.u32(),
    concentrator: {
      services: [{ name: 'internet', rechallengeInterval }],
      authentication,
      pool: `10.0.0.10-10.0.0.${9 + poolSize}`,
      address: '10.0.0.1',
      mru: random.pick([1492, 1500, 1400]),
      ipv6: random.bit(),
      echo: { interval: 10 * SECOND, failures: 3 },
    },
  });
  const sessions: PppoeClientSession[] = [];
  for (let i = random.between(1, 4); i > 0; i--) {
    sessions.push(
      pair.add({
        mac: 0x02cc00000000 + (random.bit() ? 1 : i),
        mru: random.pick([1492, 1500]),
        ipv6: random.bit(),
        serviceName: random.pick(['', 'internet']),
        retry: { initial: SECOND, maximum: 20 * SECOND },
        echo: { interval: 10 * SECOND, failures: 3 },
        minimumRedialInterval: random.pick([0, 5 * SECOND]),
      }),
    );
  }
  const { wire } = pair;
  wire.weather = badWeather(random);
  if (random.oneIn(3)) lie(wire, random, random.pick([0.02, 0.1, 0.5]));
  for (const session of sessions) session.dial(wire.now);
  const stormy = wire.now + random.between(5, 120) * SECOND;
  while (wire.now < stormy) {
    wire.run(Math.min(stormy, wire.now + random.between(1, 10_000)));
    disturb(pair, random, sessions);
  }
  const worst = sessions.map(({ state }) => state).join(' ');

  wire.weather = {};
  wire.tap = undefined;
  wire.up = true;
  pair.client.carrier(true, wire.now);
  for (const session of sessions) session.dial(wire.now);
  // The longest way back: an end that is not known to be dead yet, its echoes, the last back-off, a late LCP.
  wire.run(wire.now + 5 * MINUTE);
  const problem =
    requireUp(pair, sessions, seed) ?? requireTraffic(pair, sessions) ?? requireDown(pair, sessions);
  return { kind: problem === undefined ? 'up, then down' : `after ${worst}`, problem };
}

function badWeather(random: Random): Weather {
  const some = (most: number): number => (random.bit() ? (random.below(100) / 100) * most : 0);
  return {
    loss: some(0.4),
    duplication: some(0.3),
    reorder: some(0.3),
    damage: some(0.1),
    noise: some(0.2),
  };
}

function disturb(pair: Pair, random: Random, sessions: readonly PppoeClientSession[]): void {
  const { wire, client } = pair;
  const session = random.pick(sessions);
  switch (random.below(12)) {
    case 0:
      session.redial(wire.now);
      break;
    case 1:
      session.hangUp(wire.now);
      break;
    case 2:
      session.abort(wire.now);
      break;
    case 3:
      wire.up = !wire.up;
      client.carrier(wire.up, wire.now);
      break;
    case 4:
      for (const other of pair.concentrator.sessions.values()) {
        other.terminate(wire.now, 'for a test');
        break;
      }
      break;
    case 5:
      for (const other of pair.concentrator.sessions.values()) {
        other.abort(wire.now);
        break;
      }
      break;
    case 6:
      wire.weather = badWeather(random);
      break;
    case 7:
      sendPacket(wire, client, session, packet('storm'));
      break;
    default:
      session.dial(wire.now);
  }
}

function requireUp(pair: Pair, sessions: readonly PppoeClientSession[], seed: number): string | undefined {
  for (const session of sessions) {
    if (session.state !== 'open') {
      return `seed ${seed}: session ${session.index} is ${session.state}: ${session.lastError?.message} (${session.lastDiscard})`;
    }
    const server = pair.concentrator.sessions.get(session.sessionId);
    if (server === undefined) return `session ${session.index} is open at the client alone`;
    if (server.address !== session.addresses?.local) {
      return `the client has ${session.addresses?.local}, the server gave ${server.address}`;
    }
  }
  if (pair.concentrator.sessions.size !== sessions.length) {
    return `${pair.concentrator.sessions.size} sessions at the server for ${sessions.length}`;
  }
  return undefined;
}

/**
 * A lie may have ended IPCP at one end alone; the first packet then finds that out, and the session comes back.
 */
function requireTraffic(pair: Pair, sessions: readonly PppoeClientSession[]): string | undefined {
  for (let round = 0; round < 3; round++) {
    pair.atServer.length = 0;
    for (const session of sessions) {
      sendPacket(pair.wire, pair.client, session, packet(`from ${session.index}`));
    }
    pair.wire.run(pair.wire.now + 100);
    if (pair.atServer.length === sessions.length) return undefined;
    pair.wire.run(pair.wire.now + MINUTE);
  }
  return `packets arrived: ${pair.atServer.join(', ')}`;
}

function requireDown(pair: Pair, sessions: readonly PppoeClientSession[]): string | undefined {
  const { wire, client, concentrator } = pair;
  for (const session of sessions) session.hangUp(wire.now);
  wire.run(wire.now + 10 * SECOND);
  for (const session of sessions) {
    if (session.state !== 'idle') return `session ${session.index} is ${session.state} after hanging up`;
  }
  if (concentrator.sessions.size > 0) return `${concentrator.sessions.size} sessions are left at the server`;
  if (client.timers > 0 || concentrator.timers > 0) {
    return `timers are left: ${client.timers} at the client, ${concentrator.timers} at the server`;
  }
  if (client.inFlight > 0 || client.sessionIds > 0) {
    return `${client.inFlight} dials and ${client.sessionIds} session IDs are left at the client`;
  }
  if (concentrator.unheard > 0) return `${concentrator.unheard} requests are left at the server`;
  const taken = concentrator.poolSize - concentrator.freeAddresses;
  return taken === 0 ? undefined : `${taken} addresses are left taken`;
}
