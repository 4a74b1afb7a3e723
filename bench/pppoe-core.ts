/** The pure PPPoE core by itself: no interface, no kernel, no real time. */
import {
  PppoeClient,
  type PppoeClientSession,
  PppoeConcentrator,
  type PppoeConcentratorSession,
} from '../src/pppoe/index.ts';
import { interleave, type Measured, type Row, summarize } from './row.ts';

const RUNS = 7;
const SESSIONS = 1000;
const PACKETS = 2_000_000;
const PACKET_BYTES = 512;

/** Client and concentrator that hand each other their frames at once, on a clock that jumps from deadline to deadline. */
class Line {
  now = 0;
  received = 0;
  readonly client: PppoeClient;
  concentrator: PppoeConcentrator | undefined;
  /** Taken up one after the other: a side must not be called from within its own call. */
  #frames: { readonly toClient: boolean; readonly bytes: Uint8Array }[] = [];

  constructor(maxInFlight = 64) {
    // Good enough for a benchmark, and the same on every machine.
    let state = 1;
    const random = (bytes: Uint8Array): void => {
      for (let i = 0; i < bytes.length; i++) {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        bytes[i] = state >>> 16;
      }
    };
    const receive = (_session: PppoeClientSession | PppoeConcentratorSession): void => {
      this.received++;
    };
    this.client = new PppoeClient({
      random,
      transmit: (bytes, offset, length) => this.#send(false, bytes, offset, length),
      receive,
      event: () => {},
      pacing: { maxInFlight },
    });
    this.concentrator = new PppoeConcentrator({
      mac: '02:ac:00:00:00:01',
      account: () => ({ password: 'password' }),
      pool: '10.0.0.0/16',
      random,
      transmit: (bytes, offset, length) => this.#send(true, bytes, offset, length),
      receive,
    });
  }

  /** Dials sessions and lets time pass until all are open. */
  open(count: number): PppoeClientSession[] {
    const sessions = Array.from({ length: count }, (_, i) =>
      this.client.add({ mac: 0x02cc00000000 + i, user: `user${i}`, password: 'password' }),
    );
    for (const session of sessions) session.dial(this.now);
    this.pass(60_000, () => sessions.every(({ state }) => state === 'open'));
    if (!sessions.every(({ state }) => state === 'open')) throw new Error('not every session came up');
    return sessions;
  }

  pass(milliseconds: number, done: () => boolean = () => false): void {
    const until = this.now + milliseconds;
    for (;;) {
      this.#settle();
      if (done()) return;
      const next = Math.min(this.client.deadline, this.concentrator?.deadline ?? Number.POSITIVE_INFINITY);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      this.client.advance(this.now);
      this.concentrator?.advance(this.now);
    }
    this.now = until;
  }

  #send(toClient: boolean, bytes: Uint8Array, offset: number, length: number): void {
    this.#frames.push({ toClient, bytes: bytes.slice(offset, offset + length) });
  }

  #settle(): void {
    while (this.#frames.length > 0) {
      const frames = this.#frames;
      this.#frames = [];
      for (const { toClient, bytes } of frames) {
        if (toClient) this.client.input(bytes, 0, bytes.length, this.now);
        else this.concentrator?.input(bytes, 0, bytes.length, this.now);
      }
    }
  }
}

/** Rows of the core for `npm run bench -- pppoe`. */
export function* coreRows(): Generator<Row> {
  yield row('core: CPU to bring a session up, both sides', 'microseconds/session', measured(bringUp));
  yield {
    ...row(
      'core: CPU of 1000 idle sessions, echo every 30 s, both sides',
      'share of a core',
      measured(idleShare),
    ),
    more: { 'per side': 'half of it' },
  };
  yield row('core: heap of an open session, client side', 'bytes/session', measured(clientBytes));
  const line = new Line();
  const sessions = line.open(SESSIONS);
  const { encapsulate, receive } = interleave(RUNS, {
    encapsulate: () => encapsulateTime(sessions),
    receive: () => receiveTime(line, sessions),
  });
  yield row('core: headers put in front of a packet, 1000 sessions in turn', 'ns/packet', encapsulate);
  yield row('core: a frame received and told apart, 1000 sessions in turn', 'ns/packet', receive);
}

function row(name: string, unit: string, { median, spread, runs }: Measured): Row {
  return { name, unit, ours: median, spread, runs };
}

function measured(figure: () => number): Measured {
  figure();
  return summarize(Array.from({ length: RUNS }, figure));
}

function bringUp(): number {
  const line = new Line();
  const start = process.cpuUsage();
  line.open(SESSIONS);
  return microseconds(start) / SESSIONS;
}

function idleShare(): number {
  const line = new Line();
  line.open(SESSIONS);
  const minutes = 10;
  const start = process.cpuUsage();
  line.pass(minutes * 60_000);
  return microseconds(start) / (minutes * 60_000_000);
}

/** What open sessions keep at the client, its concentrator being gone. */
function clientBytes(): number {
  const line = new Line();
  const before = heap();
  const sessions = line.open(SESSIONS);
  line.concentrator = undefined;
  const bytes = (heap() - before) / sessions.length;
  if (line.client.sessions.size !== SESSIONS) throw new Error('sessions were lost');
  return bytes;
}

/** Bytes in use, those of buffers outside the heap included. */
function heap(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function encapsulateTime(sessions: readonly PppoeClientSession[]): number {
  const frame = new Uint8Array(2048);
  frame[64] = 0x45;
  let sum = 0;
  const start = process.cpuUsage();
  for (let i = 0; i < PACKETS; i++) sum += sessions[i % SESSIONS]!.encapsulate(frame, 64, PACKET_BYTES);
  const nanoseconds = (microseconds(start) * 1000) / PACKETS;
  if (sum !== 22 * PACKETS) throw new Error('packets were refused');
  return nanoseconds;
}

function receiveTime(line: Line, sessions: readonly PppoeClientSession[]): number {
  const size = 1024;
  const arena = new Uint8Array(size * SESSIONS);
  sessions.forEach((session, i) => {
    const server = line.concentrator?.sessions.get(session.sessionId);
    arena[i * size + 64] = 0x45;
    if (server?.encapsulate(arena, i * size + 64, PACKET_BYTES) !== 22) throw new Error('no session');
  });
  line.received = 0;
  const start = process.cpuUsage();
  for (let i = 0; i < PACKETS; i++)
    line.client.input(arena, (i % SESSIONS) * size + 42, PACKET_BYTES + 22, line.now);
  const nanoseconds = (microseconds(start) * 1000) / PACKETS;
  if (line.received !== PACKETS) throw new Error(`${line.received} of ${PACKETS} packets came through`);
  return nanoseconds;
}

function microseconds(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return user + system;
}
