import { PppoeCode } from '../packet/index.ts';
import { type RandomSource, randomWord } from '../ppp/index.ts';
import type { PppoeClientEvent, PppoeClientOptions, PppoeSessionOptions } from './client-options.ts';
import { type ClientWire, PppoeClientSession } from './client-session.ts';
import { Deadlines } from './deadlines.ts';
import { EventQueue } from './event-queue.ts';
import { isStation, macAt, PppoeFrame } from './frame.ts';
import { MacPacing } from './pacing.ts';
import { type DiscoveryTags, readTags } from './tags.ts';

/** Longer than any control frame: an MTU of 1500 and all headers. */
const BUFFER_BYTES = 2048;
const HOST_UNIQ_BYTES = 12;
const frame = new PppoeFrame();

/** The client side of one wire: any number of sessions, their frames told apart, their timers in one heap. */
export class PppoeClient {
  readonly #options: PppoeClientOptions;
  readonly #sessions: Set<PppoeClientSession> = new Set();
  readonly #byIndex: (PppoeClientSession | undefined)[] = [];
  readonly #freeIndexes: number[] = [];
  /** Session IDs are the concentrators' to choose, so several sessions may have the same; they are chained. */
  readonly #byId: Map<number, PppoeClientSession> = new Map();
  readonly #deadlines: Deadlines<PppoeClientSession> = new Deadlines();
  readonly #pacing: MacPacing;
  readonly #inFlight: Set<PppoeClientSession> = new Set();
  readonly #maxInFlight: number;
  readonly #wire: ClientWire;
  readonly #events: EventQueue<PppoeClientSession, PppoeClientEvent>;
  /** Tells our Host-Uniq tags from another client's. */
  readonly #instance: number;
  #attempts = 0;
  #queue: PppoeClientSession[] = [];
  #queueAt = 0;
  #carrier = true;
  /** PPPoE frames that belonged to no session. */
  #stray = 0;

  constructor(options: PppoeClientOptions) {
    this.#options = options;
    const { maxInFlight = 64, perMacInterval = 0 } = options.pacing ?? {};
    this.#maxInFlight = maxInFlight;
    this.#pacing = new MacPacing(perMacInterval);
    this.#instance = randomWord(options.random);
    this.#events = new EventQueue((session, event) => options.event(session, event));
    this.#wire = this.#makeWire(options.random);
  }

  /** Every session that was added and not removed. */
  get sessions(): ReadonlySet<PppoeClientSession> {
    return this.#sessions;
  }

  /** When `advance` wants to be called next, on the clock of `now`; Infinity if never. Changes with every call. */
  get deadline(): number {
    return this.#deadlines.next;
  }

  /** Sessions that have a timer running. */
  get timers(): number {
    return this.#deadlines.size;
  }

  /** Sessions between PADI and open. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Session IDs by which frames are told apart now. */
  get sessionIds(): number {
    return this.#byId.size;
  }

  /** PPPoE frames that were none of our sessions' or malformed. */
  get strayFrames(): number {
    return this.#stray;
  }

  /** Makes a session; it is `idle` until it is dialled. @throws ArgumentError if an option is out of range. */
  add(options: PppoeSessionOptions): PppoeClientSession {
    const index = this.#freeIndexes.pop() ?? this.#byIndex.length;
    const session = new PppoeClientSession(this.#wire, index, options);
    this.#byIndex[index] = session;
    this.#sessions.add(session);
    return session;
  }

  /** Ends a session at once (PADT) and forgets it. */
  remove(session: PppoeClientSession, now: number): void {
    if (!this.#sessions.delete(session)) return;
    session.abort(now);
    this.#deadlines.remove(session);
    this.#byIndex[session.index] = undefined;
    this.#freeIndexes.push(session.index);
    this.#work(now);
  }

  /**
   * Takes a frame from the wire. `bytes` is only read, and only during the call.
   *
   * @returns whether the frame was PPPoE for one of these sessions.
   */
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean {
    if (!frame.parse(bytes, offset, length)) {
      if (frame.problem !== '') this.#stray++;
      return false;
    }
    if (frame.isSession) {
      const session = this.#owner();
      if (session === undefined || frame.code !== PppoeCode.session) {
        this.#stray++;
        return false;
      }
      // Packets leave nothing to be done.
      if (session.input(frame, now)) return true;
    } else if (!this.#discovery(now)) {
      this.#stray++;
      return false;
    }
    this.#work(now);
    return true;
  }

  /** Does what is due at `now`. */
  advance(now: number): void {
    for (;;) {
      const session = this.#deadlines.due(now);
      if (session === undefined) break;
      session.advance(now);
    }
    this.#work(now);
  }

  /** Tells of the interface: without carrier every session closes, and is dialled again when it returns. */
  carrier(up: boolean, now: number): void {
    if (this.#carrier === up) return;
    this.#carrier = up;
    for (const session of this.#sessions) session.carrierChanged(up, now);
    this.#work(now);
  }

  #makeWire(random: RandomSource): ClientWire {
    const { transmit, receive } = this.#options;
    const client = this;
    return {
      random,
      buffer: new Uint8Array(BUFFER_BYTES),
      get carrier() {
        return client.#carrier;
      },
      transmit,
      receive,
      event: (session, event) => this.#events.push(session, event),
      rescheduled: (session) => {
        if (this.#sessions.has(session)) this.#deadlines.update(session);
      },
      enqueue: (session, now) => {
        this.#queue.push(session);
        this.#dispatch(now);
      },
      settled: (session) => {
        this.#inFlight.delete(session);
      },
      done: (now) => this.#work(now),
      padiSlot: (session, now) => this.#pacing.slot(session.mac, now),
      padiAnswered: (session) => this.#pacing.answered(session.mac),
      padiUnanswered: (session) => this.#pacing.unanswered(session.mac),
      bind: (session) => {
        session.nextSameId = this.#byId.get(session.sessionId);
        this.#byId.set(session.sessionId, session);
      },
      unbind: (session) => this.#unbind(session),
      hostUniq: (session) => session.options.hostUniq ?? this.#hostUniq(session),
    };
  }

  /** The session of the session frame at hand. */
  #owner(): PppoeClientSession | undefined {
    let session = this.#byId.get(frame.sessionId);
    while (session !== undefined && !session.owns(frame)) session = session.nextSameId;
    return session;
  }

  #unbind(session: PppoeClientSession): void {
    const first = this.#byId.get(session.sessionId);
    if (first === session) {
      if (session.nextSameId === undefined) this.#byId.delete(session.sessionId);
      else this.#byId.set(session.sessionId, session.nextSameId);
    } else {
      let other = first;
      while (other !== undefined && other.nextSameId !== session) other = other.nextSameId;
      if (other !== undefined) other.nextSameId = session.nextSameId;
    }
    session.nextSameId = undefined;
  }

  #discovery(now: number): boolean {
    if (!isStation(frame.source)) return false;
    const tags = readTags(frame);
    if (frame.code === PppoeCode.padt) {
      const session = this.#owner();
      if (session === undefined) return false;
      // A PADT with tags that make no sense ends the session none the less.
      session.discovery(frame, tags ?? NO_TAGS, now);
      return true;
    }
    if (frame.code !== PppoeCode.pado && frame.code !== PppoeCode.pads) return false;
    if (tags === undefined) {
      this.#malformed();
      return false;
    }
    const session = this.#asker(tags);
    if (session === undefined) return false;
    session.discovery(frame, tags, now);
    return true;
  }

  /** The session that a PADO or PADS answers, by its Host-Uniq. */
  #asker(tags: DiscoveryTags): PppoeClientSession | undefined {
    const { hostUniq } = tags;
    if (hostUniq === undefined) return undefined;
    const destination = frame.destination;
    if (hostUniq.length === HOST_UNIQ_BYTES && wordOf(hostUniq, 0) === this.#instance) {
      const session = this.#byIndex[wordOf(hostUniq, 4)];
      if (session === undefined || session.mac !== destination || !session.hears(frame)) return undefined;
      if (session.options.hostUniq === undefined) {
        if (wordOf(hostUniq, 8) === session.attempt) return session;
        // An answer to an earlier try: it may have cost the concentrator a session.
        if (frame.code === PppoeCode.pads) session.surplus(frame);
        return undefined;
      }
    }
    for (const session of this.#inFlight) {
      const own = session.options.hostUniq;
      if (own === undefined || session.mac !== destination || !session.hears(frame)) continue;
      if (own.length === hostUniq.length && own.every((byte, i) => byte === hostUniq[i])) return session;
    }
    return undefined;
  }

  /** Malformed tags cannot say whose they are; everyone who waits for that address is told. */
  #malformed(): void {
    const destination = macAt(frame.bytes, frame.offset);
    for (const session of this.#inFlight) {
      if (session.mac === destination) session.discard('a discovery packet with a malformed tag');
    }
  }

  #hostUniq(session: PppoeClientSession): Uint8Array {
    const bytes = new Uint8Array(HOST_UNIQ_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#instance);
    view.setUint32(4, session.index);
    view.setUint32(8, session.attempt);
    return bytes;
  }

  /** What an event leaves to be done: sessions whose turn to dial has come, events to be told. */
  #work(now: number): void {
    if (this.#queueAt < this.#queue.length) this.#dispatch(now);
    this.#events.flush();
  }

  #dispatch(now: number): void {
    while (this.#inFlight.size < this.#maxInFlight && this.#queueAt < this.#queue.length) {
      const session = this.#queue[this.#queueAt++]!;
      if (session.state !== 'queued' || this.#inFlight.has(session) || !this.#sessions.has(session)) continue;
      this.#inFlight.add(session);
      session.attempt = this.#attempts = (this.#attempts + 1) >>> 0;
      session.begin(now);
    }
    if (this.#queueAt === this.#queue.length) {
      this.#queue = [];
      this.#queueAt = 0;
    }
  }
}

const NO_TAGS: DiscoveryTags = {
  services: [],
  acName: undefined,
  hostUniq: undefined,
  cookie: undefined,
  relaySessionId: undefined,
  maxPayload: undefined,
  error: undefined,
};

function wordOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
