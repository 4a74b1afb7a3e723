import {
  PppoeClient,
  type PppoeClientEvent,
  type PppoeClientSession,
  PppoeConcentrator,
  type PppoeConcentratorEvent,
  type PppoeConcentratorOptions,
  type PppoeConcentratorSession,
  type PppoePacing,
  type PppoeSessionOptions,
} from '../../src/pppoe/index.ts';
import { type Station, VirtualWire } from './virtual-wire.ts';

export const CLIENT_MAC = '02:cc:00:00:00:01';
export const SERVER_MAC = '02:ac:00:00:00:01';

/** Accounts `userN` with `passN`, and one with everything that breaks naive parsers. */
export function account(user: string): { password: string } | undefined {
  if (user === 'alice@example.net') return { password: 'p@ss w"ord' };
  const number = user.match(/^user(\d+)$/)?.[1];
  return number === undefined ? undefined : { password: `pass${number}` };
}

type ConcentratorSettings = Partial<PppoeConcentratorOptions>;

export interface Heard<Session, Event> {
  readonly session: Session;
  readonly event: Event;
  readonly at: number;
}

/** A client and a concentrator on one wire. */
export class Pair {
  readonly wire: VirtualWire;
  readonly client: PppoeClient;
  concentrator: PppoeConcentrator;
  readonly clientEvents: Heard<PppoeClientSession, PppoeClientEvent>[] = [];
  readonly serverEvents: Heard<PppoeConcentratorSession, PppoeConcentratorEvent>[] = [];
  /** IP packets that arrived, as text. */
  readonly atClient: string[] = [];
  readonly atServer: string[] = [];

  constructor(
    options: {
      readonly seed?: number;
      readonly concentrator?: ConcentratorSettings;
      readonly pacing?: PppoePacing;
      readonly latency?: number;
    } = {},
  ) {
    const wire = new VirtualWire(options.seed ?? 1, options.latency);
    this.wire = wire;
    this.client = new PppoeClient({
      random: wire.fill,
      transmit: (bytes, offset, length) => wire.send(this.client, bytes, offset, length),
      receive: (_session, bytes, offset, length) => {
        this.atClient.push(Buffer.from(bytes.slice(offset, offset + length)).toString('latin1'));
      },
      event: (session, event) => this.clientEvents.push({ session, event, at: wire.now }),
      ...(options.pacing === undefined ? {} : { pacing: options.pacing }),
    });
    wire.join(this.client);
    this.concentrator = this.addConcentrator(options.concentrator);
  }

  addConcentrator(settings: ConcentratorSettings = {}): PppoeConcentrator {
    const { wire } = this;
    const concentrator: PppoeConcentrator = new PppoeConcentrator({
      mac: SERVER_MAC,
      account,
      pool: '10.64.0.0/16',
      dns: ['192.0.2.53', '192.0.2.54'],
      random: wire.fill,
      transmit: (bytes, offset, length) => wire.send(concentrator, bytes, offset, length),
      receive: (_session, bytes, offset, length) => {
        this.atServer.push(Buffer.from(bytes.slice(offset, offset + length)).toString('latin1'));
      },
      event: (session, event) => this.serverEvents.push({ session, event, at: wire.now }),
      ...settings,
    });
    return wire.join(concentrator);
  }

  add(options: Partial<PppoeSessionOptions> = {}): PppoeClientSession {
    return this.client.add({ mac: CLIENT_MAC, user: 'user1', password: 'pass1', ...options });
  }

  /** Adds a session, dials it and lets time pass until it is open or has closed, a minute at the most. */
  dial(options: Partial<PppoeSessionOptions> = {}): PppoeClientSession {
    const session = this.add({ retry: false, ...options });
    session.dial(this.wire.now);
    this.untilSettled(session);
    return session;
  }

  untilSettled(session: PppoeClientSession, milliseconds = 120_000): void {
    this.wire.run(
      this.wire.now + milliseconds,
      () => session.state === 'open' || session.state === 'idle' || session.state === 'waiting',
    );
  }

  /** Of the events of a session, those of one type. */
  events<Type extends PppoeClientEvent['type']>(
    type: Type,
    session?: PppoeClientSession,
  ): Extract<PppoeClientEvent, { type: Type }>[] {
    return this.clientEvents
      .filter((heard) => heard.event.type === type && (session === undefined || heard.session === session))
      .map(({ event }) => event as Extract<PppoeClientEvent, { type: Type }>);
  }

  states(session: PppoeClientSession): string[] {
    return this.events('state', session).map(({ state }) => state);
  }
}

/** An IPv4 packet by its look: its version, and some text. */
export function packet(text: string): Uint8Array {
  return new TextEncoder().encode(`E${text}`);
}

/** Sends an IP packet through a session. @returns whether the session took it. */
export function sendPacket(
  wire: VirtualWire,
  from: Station,
  session: { encapsulate(bytes: Uint8Array, offset: number, length: number): number },
  data: Uint8Array,
): boolean {
  const bytes = new Uint8Array(64 + data.length);
  bytes.set(data, 64);
  const header = session.encapsulate(bytes, 64, data.length);
  if (header === 0) return false;
  wire.send(from, bytes, 64 - header, header + data.length);
  return true;
}
