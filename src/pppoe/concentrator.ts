import { ArgumentError } from '../error.ts';
import {
  ipv4Number,
  MAC_BROADCAST,
  macNumber,
  PPPOE_LENGTH,
  PppoeCode,
  type PppoeTag,
  PppoeTagType,
  pppoeLength,
} from '../packet/index.ts';
import { type AuthenticationMethod, DEFAULT_TIMING } from '../ppp/index.ts';
import { AddressPool } from './address-pool.ts';
import { BABY_JUMBO_MRU, STANDARD_MRU } from './client-discovery.ts';
import type {
  PppoeConcentratorEvent,
  PppoeConcentratorOptions,
  PppoeService,
} from './concentrator-options.ts';
import { type ConcentratorWire, PppoeConcentratorSession } from './concentrator-session.ts';
import { Cookies } from './cookie.ts';
import { Deadlines } from './deadlines.ts';
import { EventQueue } from './event-queue.ts';
import { emitDiscovery, isStation, macAt, PppoeFrame, type PppoeVlan, vlansOf } from './frame.ts';
import { type DiscoveryTags, MAX_TAGS_LENGTH, readTags } from './tags.ts';

const BUFFER_BYTES = 2048;
/** Session IDs from 1; 0xffff is reserved (RFC 2516, section 4). */
const MAX_SESSION_ID = 0xfffe;
const DEFAULT_AUTHENTICATION: readonly AuthenticationMethod[] = ['chap-md5', 'mschapv2', 'pap'];
/** Bytes of a PADO for the names in it; the rest is for cookie, Host-Uniq and Relay-Session-Id. */
const MAX_LISTED = 1024;
const frame = new PppoeFrame();

/** An access concentrator on one wire. Discovery keeps no state: a session begins with a PADR whose AC-Cookie is right. */
export class PppoeConcentrator {
  /** The concentrator's MAC address as a number. */
  readonly mac: number;
  readonly #options: PppoeConcentratorOptions;
  readonly #name: string;
  readonly #services: readonly PppoeService[];
  readonly #sessions: Map<number, PppoeConcentratorSession> = new Map();
  readonly #byAddress: Map<number, PppoeConcentratorSession> = new Map();
  readonly #perMac: Map<number, number> = new Map();
  /** Sessions whose client has said nothing since its PADR, by what the PADR said: it may come again. */
  readonly #requests: Map<string, PppoeConcentratorSession> = new Map();
  readonly #deadlines: Deadlines<PppoeConcentratorSession> = new Deadlines();
  readonly #pool: AddressPool;
  readonly #cookies: Cookies;
  readonly #wire: ConcentratorWire;
  readonly #events: EventQueue<PppoeConcentratorSession, PppoeConcentratorEvent>;
  readonly #mru: number;
  #lastId: number;
  #closing = false;
  #stray = 0;

  /** @throws ArgumentError if an option is out of range. */
  constructor(options: PppoeConcentratorOptions) {
    const { mru = STANDARD_MRU, cookieLifetime = 30_000, services = [{ name: '' }], random } = options;
    this.#options = options;
    this.mac = macNumber(options.mac);
    if (!isStation(this.mac)) throw new ArgumentError('a concentrator has the address of one station');
    if (!Number.isInteger(mru) || mru < 128 || mru > BABY_JUMBO_MRU) {
      throw new ArgumentError(`mru is a whole number from 128 to ${BABY_JUMBO_MRU}, not ${mru}`);
    }
    if (services.length === 0) throw new ArgumentError('a concentrator without a service serves nobody');
    this.#name = options.name ?? 'barewire';
    const listed = services.reduce(
      (length, { name }) => length + 4 + utf8Length(name),
      utf8Length(this.#name),
    );
    if (listed > MAX_LISTED) {
      throw new ArgumentError(
        `the names of concentrator and services take ${listed} bytes, ${MAX_LISTED} are the most`,
      );
    }
    this.#services = services;
    this.#mru = mru;
    this.#pool = new AddressPool(
      options.pool,
      options.address === undefined ? undefined : ipv4Number(options.address),
    );
    this.#cookies = new Cookies(random, cookieLifetime);
    this.#events = new EventQueue((session, event) => options.event?.(session, event));
    this.#wire = this.#makeWire();
    // IDs of a concentrator that restarts should not meet those of the one before.
    const start = new Uint8Array(2);
    random(start);
    this.#lastId = (((start[0]! << 8) | start[1]!) % MAX_SESSION_ID) + 1;
  }

  /** By session ID. */
  get sessions(): ReadonlyMap<number, PppoeConcentratorSession> {
    return this.#sessions;
  }

  /** The concentrator's own IPv4 address on every session, as a number. */
  get address(): number {
    return this.#pool.own;
  }

  /** Addresses of the pool in all. */
  get poolSize(): number {
    return this.#pool.size;
  }

  /** Addresses of the pool that are not given out. */
  get freeAddresses(): number {
    return this.#pool.free;
  }

  /** When `advance` wants to be called next; Infinity for never. */
  get deadline(): number {
    return this.#deadlines.next;
  }

  /** Sessions that have a timer running. */
  get timers(): number {
    return this.#deadlines.size;
  }

  /** Sessions whose client has said nothing since its PADR. */
  get unheard(): number {
    return this.#requests.size;
  }

  /** PPPoE frames that were no session's, or malformed. */
  get strayFrames(): number {
    return this.#stray;
  }

  /** Takes a frame from the wire; it is only read, and only during the call. @returns whether it was for us. */
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean {
    if (!frame.parse(bytes, offset, length)) {
      if (frame.problem !== '') this.#stray++;
      return false;
    }
    const taken = frame.isSession ? this.#sessionFrame(now) : this.#discovery(now);
    if (!taken) this.#stray++;
    this.#events.flush();
    return taken;
  }

  /** Does what is due at `now`. */
  advance(now: number): void {
    for (;;) {
      const session = this.#deadlines.due(now);
      if (session === undefined) break;
      session.advance(now);
    }
    this.#events.flush();
  }

  /** The session that has this IPv4 address: where a packet from the Internet side belongs. */
  sessionOf(address: number): PppoeConcentratorSession | undefined {
    return this.#byAddress.get(address);
  }

  /** Ends all sessions: Terminate-Request and PADT. Takes no new ones from now on. */
  close(now: number, reason = ''): void {
    this.#closing = true;
    for (const session of [...this.#sessions.values()]) session.terminate(now, reason);
  }

  /** Ends all sessions at once, with a PADT each. Takes no new ones from now on. */
  abort(now: number, reason = ''): void {
    this.#closing = true;
    for (const session of [...this.#sessions.values()]) session.abort(now, reason);
  }

  #makeWire(): ConcentratorWire {
    const { random, transmit, receive, account, nbns = [], echo = {}, timing } = this.#options;
    return {
      random,
      buffer: new Uint8Array(BUFFER_BYTES),
      local: this.#pool.own,
      nbns: nbns.map((server) => ipv4Number(server)),
      echo: echo === false ? undefined : { interval: echo.interval ?? 30_000, failures: echo.failures ?? 3 },
      timing: { ...DEFAULT_TIMING, ...timing },
      name: this.#name,
      transmit,
      receive,
      account,
      event: (session, event) => this.#events.push(session, event),
      rescheduled: (session) => this.#deadlines.update(session),
      done: () => this.#events.flush(),
      take: (session, address, now) => this.#takeAddress(session, address, now),
      ended: (session, padt, reason) => this.#forget(session, padt, reason),
    };
  }

  #sessionFrame(now: number): boolean {
    const session = this.#sessions.get(frame.sessionId);
    if (session === undefined || frame.code !== PppoeCode.session || !session.owns(frame)) return false;
    if (session.requestKey !== '') this.#heard(session);
    session.input(frame, now);
    return true;
  }

  #discovery(now: number): boolean {
    const { destination, source } = frame;
    if (!isStation(source)) return false;
    const isPadi = frame.code === PppoeCode.padi;
    if (destination !== this.mac && !(isPadi && destination === MAC_BROADCAST)) return false;
    const tags = readTags(frame);
    if (frame.code === PppoeCode.padt) {
      const session = this.#sessions.get(frame.sessionId);
      if (session === undefined || !session.owns(frame)) return false;
      session.padt(tags, now);
      return true;
    }
    if (tags === undefined || frame.sessionId !== 0) return false;
    if (isPadi) return this.#padi(tags, now);
    return frame.code === PppoeCode.padr && this.#padr(tags, now);
  }

  #padi(tags: DiscoveryTags, now: number): boolean {
    if (this.#closing) return false;
    const wanted = tags.services[0] ?? '';
    // RFC 2516, section 5.2: who cannot serve the service does not answer.
    const offered = wanted === '' ? this.#services : this.#services.filter(({ name }) => name === wanted);
    if (offered.length === 0) return false;
    this.#send(PppoeCode.pado, 0, [
      { type: PppoeTagType.acName, data: this.#name },
      ...offered.map(({ name }) => ({ type: PppoeTagType.serviceName, data: name })),
      { type: PppoeTagType.acCookie, data: this.#cookies.make(frame, now) },
      ...this.#echoed(tags),
    ]);
    return true;
  }

  #padr(tags: DiscoveryTags, now: number): boolean {
    const { cookie } = tags;
    if (this.#closing || !this.#cookies.isGood(cookie, frame, now)) return false;
    const wanted = tags.services[0] ?? '';
    const service = wanted === '' ? this.#services[0] : this.#services.find(({ name }) => name === wanted);
    if (service === undefined) {
      return this.#refuse(tags, wanted, PppoeTagType.serviceNameError, `there is no service '${wanted}'`);
    }
    const peerMac = frame.source;
    const requestKey = keyOf(peerMac, vlansOf(frame), cookie, tags.hostUniq);
    const again = this.#requests.get(requestKey);
    if (again !== undefined) {
      this.#confirm(again, tags);
      return true;
    }
    const full = this.#fullness(peerMac);
    if (full !== undefined) return this.#refuse(tags, wanted, PppoeTagType.acSystemError, full);
    const sessionId = this.#newId();
    const session = new PppoeConcentratorSession(
      this.#wire,
      {
        sessionId,
        mac: this.mac,
        peerMac,
        vlans: vlansOf(frame),
        serviceName: service.name,
        authentication: service.authentication ?? this.#options.authentication ?? DEFAULT_AUTHENTICATION,
        rechallengeInterval: service.rechallengeInterval ?? 0,
        maximumDuration: service.maximumDuration ?? Number.POSITIVE_INFINITY,
        dns: (service.dns ?? this.#options.dns ?? []).map((server) => ipv4Number(server)),
        ipv6: service.ipv6 ?? this.#options.ipv6 ?? true,
        ...this.#mruFor(tags),
      },
      now,
    );
    session.requestKey = requestKey;
    this.#sessions.set(sessionId, session);
    this.#requests.set(requestKey, session);
    this.#perMac.set(peerMac, (this.#perMac.get(peerMac) ?? 0) + 1);
    this.#confirm(session, tags);
    session.start(now);
    return true;
  }

  /** Why no more sessions are taken; undefined if they are. */
  #fullness(mac: number): string | undefined {
    const { maxSessions = 32_000, maxSessionsPerMac = 0 } = this.#options;
    if (this.#sessions.size >= Math.min(maxSessions, MAX_SESSION_ID)) return 'no more sessions';
    if (maxSessionsPerMac > 0 && (this.#perMac.get(mac) ?? 0) >= maxSessionsPerMac) {
      return 'no more sessions from this address';
    }
    if (this.#pool.free === 0) return 'no address is left in the pool';
    return undefined;
  }

  #confirm(session: PppoeConcentratorSession, tags: DiscoveryTags): void {
    this.#send(PppoeCode.pads, session.sessionId, [
      { type: PppoeTagType.serviceName, data: session.serviceName },
      ...this.#echoed(tags),
    ]);
  }

  #refuse(tags: DiscoveryTags, service: string, error: number, message: string): true {
    this.#send(PppoeCode.pads, 0, [
      { type: PppoeTagType.serviceName, data: service },
      { type: error, data: message },
      { type: PppoeTagType.acName, data: this.#name },
      ...this.#echoed({ ...tags, maxPayload: undefined }),
    ]);
    return true;
  }

  /** What an answer gives back: Host-Uniq, Relay-Session-Id, and PPP-Max-Payload as far as we go with it. */
  #echoed(tags: DiscoveryTags): PppoeTag[] {
    const { hostUniq, relaySessionId, maxPayload } = tags;
    const { carrierMru } = this.#mruFor(tags);
    return [
      ...(hostUniq === undefined ? [] : [{ type: PppoeTagType.hostUniq, data: hostUniq }]),
      ...(relaySessionId === undefined ? [] : [{ type: PppoeTagType.relaySessionId, data: relaySessionId }]),
      ...(maxPayload === undefined || this.#mru <= STANDARD_MRU
        ? []
        : [{ type: PppoeTagType.maxPayload, data: Uint8Array.of(carrierMru >>> 8, carrierMru) }]),
    ];
  }

  #mruFor(tags: DiscoveryTags): { readonly mru: number; readonly carrierMru: number } {
    const theirs = Math.max(STANDARD_MRU, tags.maxPayload ?? STANDARD_MRU);
    const mru = Math.min(this.#mru, theirs);
    return { mru, carrierMru: mru };
  }

  /** The client speaks: its PADS came through. */
  #heard(session: PppoeConcentratorSession): void {
    this.#requests.delete(session.requestKey);
    session.requestKey = '';
  }

  #newId(): number {
    do this.#lastId = (this.#lastId % MAX_SESSION_ID) + 1;
    while (this.#sessions.has(this.#lastId));
    return this.#lastId;
  }

  #takeAddress(
    session: PppoeConcentratorSession,
    certain: number | undefined,
    now: number,
  ): number | undefined {
    let address = certain;
    if (address === undefined) {
      address = this.#pool.take();
    } else if (!this.#pool.takeCertain(address)) {
      // The user has come back before the old session was found dead.
      this.#byAddress.get(address)?.abort(now, 'the same user has begun another session');
      if (!this.#pool.takeCertain(address)) return undefined;
    }
    if (address !== undefined) this.#byAddress.set(address, session);
    return address;
  }

  #forget(session: PppoeConcentratorSession, padt: boolean, reason: string): void {
    const { sessionId, peer, addressNumber } = session;
    if (!this.#sessions.delete(sessionId)) return;
    this.#requests.delete(session.requestKey);
    const others = (this.#perMac.get(peer) ?? 1) - 1;
    if (others > 0) this.#perMac.set(peer, others);
    else this.#perMac.delete(peer);
    if (addressNumber !== 0) {
      this.#byAddress.delete(addressNumber);
      this.#pool.giveBack(addressNumber);
    }
    if (padt) this.#sendPadt(session, reason);
  }

  #sendPadt(session: PppoeConcentratorSession, reason: string): void {
    const { buffer } = this.#wire;
    const tags = [
      { type: PppoeTagType.acName, data: this.#name },
      ...(reason === '' ? [] : [{ type: PppoeTagType.genericError, data: reason }]),
    ];
    const end = emitDiscovery(buffer, 0, { ...session.wireIdentity, code: PppoeCode.padt, tags });
    this.#wire.transmit(buffer, 0, end);
  }

  /** Answers the frame at hand; not if what it gave us to give back makes the answer too long for a frame. */
  #send(code: number, sessionId: number, tags: readonly PppoeTag[]): void {
    if (pppoeLength({ tags }) - PPPOE_LENGTH > MAX_TAGS_LENGTH) return;
    const { buffer } = this.#wire;
    const peerMac = macAt(frame.bytes, frame.offset + 6);
    const end = emitDiscovery(buffer, 0, {
      mac: this.mac,
      peerMac,
      vlans: vlansOf(frame),
      sessionId,
      code,
      tags,
    });
    this.#wire.transmit(buffer, 0, end);
  }
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

function keyOf(
  mac: number,
  vlans: readonly PppoeVlan[],
  cookie: Uint8Array | undefined,
  hostUniq: Uint8Array | undefined,
): string {
  const ids = vlans.map(({ id }) => id).join('.');
  return `${mac} ${ids} ${String.fromCharCode(...(cookie ?? []))} ${String.fromCharCode(...(hostUniq ?? []))}`;
}
