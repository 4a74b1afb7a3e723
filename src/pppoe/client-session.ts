import { formatIPv6 } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import {
  ipv4Number,
  ipv4Text,
  macNumber,
  macText,
  PppoeCode,
  type PppoeTag,
  PppProtocol,
} from '../packet/index.ts';
import {
  AUTHENTICATION_METHODS,
  type AuthenticationMethod,
  type Credentials,
  DEFAULT_TIMING,
  linkLocal,
  PppError,
  PppLink,
  type PppLinkObserver,
  type PppPhase,
  type RandomSource,
  randomWord,
} from '../ppp/index.ts';
import { BABY_JUMBO_MRU, ClientDiscovery, type DiscoveryOwner, STANDARD_MRU } from './client-discovery.ts';
import type {
  Ipv6Link,
  PppoeAddresses,
  PppoeClientEvent,
  PppoeConcentratorInfo,
  PppoeSessionOptions,
  PppoeSessionState,
  PppoeTiming,
} from './client-options.ts';
import { PppoeError } from './failure.ts';
import {
  checkVlans,
  emitDiscovery,
  FrameHeader,
  isStation,
  MAX_HEADER_LENGTH,
  type PppoeFrame,
  type PppoeVlan,
  type PppoeWireIdentity,
} from './frame.ts';
import type { DiscoveryTags } from './tags.ts';

/** What a session has from its client. */
export interface ClientWire {
  readonly random: RandomSource;
  /** Every frame is made in here. */
  readonly buffer: Uint8Array;
  readonly carrier: boolean;
  transmit(bytes: Uint8Array, offset: number, length: number): void;
  receive(session: PppoeClientSession, bytes: Uint8Array, offset: number, length: number): void;
  event(session: PppoeClientSession, event: PppoeClientEvent): void;
  /** The session's deadline is another one. */
  rescheduled(session: PppoeClientSession): void;
  /** Puts the session in the queue of those that want to dial. */
  enqueue(session: PppoeClientSession, now: number): void;
  /** The session is open or has given up: another one may dial. */
  settled(session: PppoeClientSession): void;
  /** A call from outside has done its work: what waited for that is done now. */
  done(now: number): void;
  /** When the session may send its next PADI. */
  padiSlot(session: PppoeClientSession, now: number): number;
  padiAnswered(session: PppoeClientSession): void;
  padiUnanswered(session: PppoeClientSession): void;
  /** Session frames with this ID are this session's, or no longer. */
  bind(session: PppoeClientSession): void;
  unbind(session: PppoeClientSession): void;
  /** What the session puts into its Host-Uniq tag for this try. */
  hostUniq(session: PppoeClientSession): Uint8Array;
}

const MINIMUM_MRU = 576;
/** PAP counts name and password in one byte each; a service name gets as much. */
const MAX_NAME = 255;
/** A session that stood this long begins again with the shortest wait. */
const STABLE = 30_000;

const DEFAULT_PPPOE_TIMING: PppoeTiming = {
  ...DEFAULT_TIMING,
  padi: 1000,
  padiTries: 4,
  padr: 3000,
  padrTries: 2,
};

/** One session of a client. Times are milliseconds on the clock of `now`. Made by `PppoeClient.add`. */
export class PppoeClientSession {
  /** Given by the client, from 0; used again only when this session was removed. */
  readonly index: number;
  /** As given, without the password. */
  readonly options: Omit<PppoeSessionOptions, 'password'>;
  /** The session's own MAC address as a number. */
  readonly mac: number;
  /** When it wants to be called; kept by its client. */
  deadline: number = Number.POSITIVE_INFINITY;
  slot = -1;
  /** The client's number for the dial at hand: what an answer to an earlier one does not have. */
  attempt = 0;
  /** The next session with the same session ID at another concentrator; kept by its client. */
  nextSameId: PppoeClientSession | undefined;
  receivedPackets = 0;
  receivedBytes = 0;
  sentPackets = 0;
  sentBytes = 0;
  /** Frames of this session that were malformed or unexpected, and not followed. */
  discarded = 0;
  /** Why the last one was. */
  lastDiscard = '';
  lastError: PppoeError | PppError | undefined;
  /** When it opened; NaN before. */
  openedAt: number = Number.NaN;
  /** Tries to dial so far. */
  dials = 0;
  readonly #wire: ClientWire;
  readonly #credentials: Credentials | undefined;
  readonly #timing: PppoeTiming;
  readonly #header: FrameHeader;
  readonly #discovery: ClientDiscovery;
  readonly #vlans: readonly PppoeVlan[];
  #state: PppoeSessionState = 'idle';
  #link: PppLink | undefined;
  #sessionId = 0;
  #peerMac = 0;
  #addresses: PppoeAddresses | undefined;
  #carrierMru = STANDARD_MRU;
  #dialledAt = Number.NEGATIVE_INFINITY;
  #timerAt = Number.POSITIVE_INFINITY;
  #redialAt = Number.POSITIVE_INFINITY;
  #failures = 0;
  #wanted = false;
  #redials = false;
  #wasOpen = false;
  #interrupted = false;
  #previousLocal: string | undefined;
  /** A session that was open when the carrier went: the concentrator is told when it is back. */
  #stale: PppoeWireIdentity | undefined;

  constructor(wire: ClientWire, index: number, options: PppoeSessionOptions) {
    const { password, ...rest } = options;
    this.#wire = wire;
    this.index = index;
    this.options = rest;
    this.mac = macNumber(options.mac);
    if (!isStation(this.mac)) throw new ArgumentError(`${macText(this.mac)} is no address of one station`);
    const { mru = STANDARD_MRU, minimumMru = MINIMUM_MRU, hostUniq, address } = options;
    requireWhole('mru', mru, 128, BABY_JUMBO_MRU);
    requireWhole('minimumMru', minimumMru, 64, STANDARD_MRU);
    if (address !== undefined) ipv4Number(address);
    if (hostUniq !== undefined && (hostUniq.length === 0 || hostUniq.length > 64)) {
      throw new ArgumentError(`hostUniq has 1 to 64 bytes, not ${hostUniq.length}`);
    }
    for (const name of ['user', 'password', 'serviceName'] as const) {
      const { length } = new TextEncoder().encode(options[name] ?? '');
      if (length > MAX_NAME) throw new ArgumentError(`${name} has at most ${MAX_NAME} bytes, not ${length}`);
    }
    if (options.ipv4 === false && options.ipv6 === false) {
      throw new ArgumentError('a session without IPv4 and IPv6 carries nothing');
    }
    this.#vlans = checkVlans(options.vlans ?? []);
    this.#credentials =
      options.user === undefined ? undefined : { user: options.user, password: password ?? '' };
    this.#timing =
      options.timing === undefined ? DEFAULT_PPPOE_TIMING : { ...DEFAULT_PPPOE_TIMING, ...options.timing };
    this.#header = new FrameHeader(this.mac, 0, this.#vlans);
    this.#discovery = new ClientDiscovery(this.#discoveryOwner(), this.options, this.#timing);
  }

  get state(): PppoeSessionState {
    return this.#state;
  }

  /** 0 when there is none. */
  get sessionId(): number {
    return this.#sessionId;
  }

  /** While open. */
  get addresses(): PppoeAddresses | undefined {
    return this.#state === 'open' ? this.#addresses : undefined;
  }

  /** The one that this session is with, or was with last. */
  get concentrator(): PppoeConcentratorInfo | undefined {
    return this.#discovery.concentrator;
  }

  /** What a state file keeps; undefined while there is no session. */
  get wireIdentity(): PppoeWireIdentity | undefined {
    if (this.#sessionId === 0) return undefined;
    return {
      mac: macText(this.mac),
      peerMac: macText(this.#peerMac),
      vlans: this.#vlans,
      sessionId: this.#sessionId,
    };
  }

  /** When it dials again while `waiting`; Infinity if that is not known, as without carrier. */
  get retryAt(): number {
    return this.#state === 'waiting' ? this.#timerAt : Number.POSITIVE_INFINITY;
  }

  /** Round trip of the last LCP echo in milliseconds; NaN before the first. */
  get echoRoundTrip(): number {
    return this.#link?.echoRoundTrip ?? Number.NaN;
  }

  /** Bytes that `encapsulate` puts in front of a packet: 22, and 4 for each VLAN tag. */
  get headerLength(): number {
    return this.#header.length;
  }

  /** Dials; no effect on a session that is under way. */
  dial(now: number): void {
    this.#wanted = true;
    if (this.#state !== 'idle' && this.#state !== 'waiting') return;
    this.#queue(now);
    this.#reschedule();
    this.#wire.done(now);
  }

  /** Ends gracefully: Terminate-Request, then PADT; `closed` follows. */
  hangUp(now: number): void {
    this.#wanted = false;
    this.#redials = false;
    this.#redialAt = Number.POSITIVE_INFINITY;
    this.#end(now, '');
    this.#wire.done(now);
  }

  /** Ends at once with a PADT, as at exit. */
  abort(now: number): void {
    this.#wanted = false;
    this.#redials = false;
    this.#redialAt = Number.POSITIVE_INFINITY;
    if (this.#state === 'idle') return;
    this.#fail(new PppoeError('closed', 'the session was ended'), now);
    this.#wire.done(now);
  }

  /**
   * Hangs up and dials again, not before `minimumRedialInterval` since the last dial; the session stands until then.
   *
   * @returns when it will hang up.
   */
  redial(now: number): number {
    this.#wanted = true;
    const at = Math.max(now, this.#dialledAt + (this.options.minimumRedialInterval ?? 0));
    if (at > now) {
      this.#redialAt = at;
      this.#reschedule();
      return at;
    }
    this.#redialNow(now);
    this.#wire.done(now);
    return now;
  }

  /**
   * Puts the headers in front of an IP packet, in place.
   *
   * @returns the length of what was put in front, so that the frame begins at `offset` minus it; 0 when the session does
   * not carry this packet (not open, no such IP version, longer than its MTU, no room in front).
   */
  encapsulate(bytes: Uint8Array, offset: number, length: number): number {
    const link = this.#link;
    const size = this.#header.length;
    if (link === undefined || length === 0 || length > link.mtu || offset < size) return 0;
    const version = bytes[offset]! >>> 4;
    if (version === 4 ? !link.ipv4Open : version !== 6 || !link.ipv6Open) return 0;
    this.#header.write(bytes, offset, length, version === 4 ? PppProtocol.ipv4 : PppProtocol.ipv6);
    this.sentPackets++;
    this.sentBytes += length;
    return size;
  }

  // What follows is called by the session's client.

  /** Its turn has come. */
  begin(now: number): void {
    if (this.#state !== 'queued') return;
    this.#dialledAt = now;
    this.#redialAt = Number.POSITIVE_INFINITY;
    this.#wasOpen = false;
    this.#interrupted = false;
    this.dials++;
    this.#enter('discovering');
    this.#discovery.start(now);
    this.#reschedule();
  }

  advance(now: number): void {
    if (now >= this.#redialAt) {
      this.#redialAt = Number.POSITIVE_INFINITY;
      this.#redialNow(now);
    }
    if (now >= this.#timerAt) this.#queue(now);
    this.#discovery.advance(now);
    if (this.#link !== undefined) {
      this.#link.advance(now);
      this.#afterLink();
    }
    this.#reschedule();
  }

  /** A PADO, PADS or PADT whose addresses and Host-Uniq are this session's. */
  discovery(frame: PppoeFrame, tags: DiscoveryTags, now: number): void {
    switch (frame.code) {
      case PppoeCode.pado:
        this.#discovery.pado(frame, tags, now);
        break;
      case PppoeCode.pads:
        this.#discovery.pads(frame, tags, now);
        break;
      case PppoeCode.padt:
        this.#padt(tags, now);
        break;
      default:
        this.discard('a discovery packet that only a client sends');
    }
    this.#reschedule();
  }

  /** Whether a session frame is this session's: from its concentrator, to its address, with its ID and tags. */
  owns(frame: PppoeFrame): boolean {
    return this.#header.owns(frame);
  }

  /** Whether a discovery frame came by this session's VLAN. */
  hears(frame: PppoeFrame): boolean {
    return this.#header.hasVlansOf(frame);
  }

  /** A session frame that it {@link owns}. @returns whether it was an IP packet. */
  input(frame: PppoeFrame, now: number): boolean {
    const { bytes, payloadOffset, payloadEnd } = frame;
    const link = this.#link;
    const length = payloadEnd - payloadOffset - 2;
    if (link === undefined || length < 0) {
      this.discard('a session packet without a PPP protocol');
      return false;
    }
    const protocol = (bytes[payloadOffset]! << 8) | bytes[payloadOffset + 1]!;
    if (protocol === PppProtocol.ipv4 || protocol === PppProtocol.ipv6) {
      if (protocol === PppProtocol.ipv4 ? !link.ipv4Open : !link.ipv6Open) {
        link.refuseData(protocol, bytes, payloadOffset + 2, payloadEnd, now);
        return true;
      }
      link.activity++;
      this.receivedPackets++;
      this.receivedBytes += length;
      this.#wire.receive(this, bytes, payloadOffset + 2, length);
      return true;
    }
    link.input(protocol, bytes, payloadOffset + 2, payloadEnd, now);
    this.#afterLink();
    this.#reschedule();
    return false;
  }

  discard(why: string): void {
    this.discarded++;
    this.lastDiscard = why;
  }

  /** The carrier went or came. */
  carrierChanged(up: boolean, now: number): void {
    if (up) {
      if (this.#stale !== undefined) this.#sendPadt(this.#stale);
      this.#stale = undefined;
      if (this.#wanted && this.#state === 'waiting') this.#queue(now);
    } else if (this.#state !== 'idle' && this.#state !== 'waiting') {
      this.#stale = this.wireIdentity ?? this.#stale;
      this.#fail(new PppoeError('carrier', 'the interface has no carrier'), now);
    }
    this.#reschedule();
  }

  #queue(now: number): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (!this.#wire.carrier) {
      this.#enter('waiting');
      return;
    }
    this.#enter('queued');
    this.#wire.enqueue(this, now);
  }

  /** A session that was not asked for, or not any more: the concentrator should not keep it. */
  surplus(frame: PppoeFrame): void {
    const { source, sessionId } = frame;
    if (sessionId === 0 || (sessionId === this.#sessionId && source === this.#peerMac)) return;
    this.discard('a PADS of a session that is not wanted');
    const identity = { mac: this.mac, peerMac: source, vlans: this.#vlans, sessionId };
    this.#sendPadt(identity);
  }

  #padt(tags: DiscoveryTags, now: number): void {
    if (this.#state === 'closing') {
      this.#fail(new PppError('closed', 'the link was closed'), now, 'peer');
      return;
    }
    const link = this.#link;
    const name = tags.acName ?? this.#discovery.concentrator?.name ?? '';
    const said = tags.error === undefined || tags.error.message === '' ? '' : `: ${tags.error.message}`;
    const details = { peerMessage: tags.error?.message ?? '' };
    const error = link?.awaitsVerdict
      ? // Some concentrators have no other answer to a wrong password.
        new PppError('authentication', `'${name}' ended the session instead of taking our password${said}`, {
          ...details,
          hint: 'Check user and password.',
        })
      : (link?.complaint ?? new PppoeError('terminated', `'${name}' ended the session${said}`, details));
    this.#fail(error, now, 'peer');
  }

  #discoveryOwner(): DiscoveryOwner {
    const wire = this.#wire;
    return {
      random: wire.random,
      send: (code, peerMac, tags) => this.#sendDiscovery(code, peerMac, 0, tags),
      padiSlot: (now) => wire.padiSlot(this, now),
      padiAnswered: () => wire.padiAnswered(this),
      padiUnanswered: () => wire.padiUnanswered(this),
      hostUniq: () => wire.hostUniq(this),
      chosen: (concentrator) => {
        wire.event(this, { type: 'discovered', concentrator });
        this.#enter('requesting');
      },
      confirmed: (...session) => this.#confirmed(...session),
      failed: (error, now) => this.#fail(error, now),
      surplus: (frame) => this.surplus(frame),
      discard: (why) => this.discard(why),
    };
  }

  #confirmed(peerMac: number, sessionId: number, carrierMru: number, now: number): void {
    this.#peerMac = peerMac;
    this.#sessionId = sessionId;
    this.#carrierMru = carrierMru;
    this.#header.peer = peerMac;
    this.#header.sessionId = sessionId;
    this.#wire.bind(this);
    this.#startLink(now);
  }

  // The PPP link within.

  #startLink(now: number): void {
    const { mru = STANDARD_MRU, minimumMru = MINIMUM_MRU, ipv4 = true, ipv6 = true } = this.options;
    const {
      authentication = AUTHENTICATION_METHODS,
      echo = {},
      address,
      dns = true,
      nbns = false,
    } = this.options;
    const carrier = {
      buffer: this.#wire.buffer,
      packetOffset: MAX_HEADER_LENGTH,
      send: (protocol: number, end: number) => this.#sendPacket(protocol, end),
    };
    this.#link = new PppLink(
      carrier,
      this.#wire.random,
      {
        mru: Math.min(mru, this.#carrierMru),
        carrierMru: this.#carrierMru,
        minimumMru,
        ...(this.#credentials === undefined ? {} : { credentials: this.#credentials }),
        answers: authentication,
        demands: [],
        ipv4: () =>
          ipv4
            ? {
                local: address === undefined ? 0 : ipv4Number(address),
                peer: 0,
                dns: [],
                nbns: [],
                asksDns: dns,
                asksNbns: nbns,
              }
            : undefined,
        either: false,
        ipv6: ipv6 ? new Uint8Array(8) : undefined,
        echo:
          echo === false ? undefined : { interval: echo.interval ?? 30_000, failures: echo.failures ?? 3 },
        settles: true,
        timing: this.#timing,
      },
      this.#observer(),
    );
    this.#link.promptness = Math.max(30, 2 * (this.#discovery.concentrator?.roundTrip ?? 0));
    this.#link.up(now);
    this.#afterLink();
  }

  #observer(): PppLinkObserver {
    return {
      phase: (phase) => this.#enter(STATE_OF_PHASE[phase] ?? this.#state),
      authenticated: (_side, method: AuthenticationMethod, _user, message) =>
        this.#wire.event(this, { type: 'authenticated', method, message }),
      refusedPeer: () => {},
      network: (protocol, up, now) => this.#network(protocol, up, now),
      ended: (error, now) => this.#fail(error, now),
      discarded: (why) => this.discard(why),
    };
  }

  #network(protocol: 'ipv4' | 'ipv6', up: boolean, now: number): void {
    const link = this.#link;
    if (link === undefined) return;
    const main = protocol === 'ipv4' || this.options.ipv4 === false;
    if (main && up) {
      this.#interrupted = false;
      this.#open(link, now);
    } else if (main) {
      // The session may be about to end, which says more.
      if (this.#state === 'open') this.#interrupted = true;
    } else if (this.#state === 'open' && this.#addresses !== undefined && !this.#interrupted) {
      const ipv6 = ipv6Of(link);
      this.#addresses = { ...this.#addresses, ipv6 };
      this.#wire.event(this, { type: 'ipv6', ipv6 });
    }
  }

  #open(link: PppLink, now: number): void {
    const { ipcp } = link;
    const { concentrator } = this.#discovery;
    this.#addresses = {
      local: ipcp === undefined ? undefined : ipv4Text(ipcp.local),
      peer: ipcp === undefined || ipcp.peer === 0 ? undefined : ipv4Text(ipcp.peer),
      dns: ipcp?.dns.map(ipv4Text) ?? [],
      nbns: ipcp?.nbns.map(ipv4Text) ?? [],
      ipv6: ipv6Of(link),
      mtu: link.mtu,
      sessionId: this.#sessionId,
      peerMac: macText(this.#peerMac),
      acName: concentrator?.name ?? '',
      serviceName: this.options.serviceName ?? '',
      previousLocal: this.#previousLocal,
      elapsed: now - this.#dialledAt,
    };
    this.#previousLocal = this.#addresses.local;
    this.#wasOpen = true;
    this.#redials = false;
    this.openedAt = now;
    this.lastError = undefined;
    this.#enter('open');
    this.#wire.settled(this);
    this.#wire.event(this, { type: 'opened', ...this.#addresses });
  }

  #afterLink(): void {
    if (!this.#interrupted) return;
    this.#interrupted = false;
    if (this.#link === undefined || this.#link.phase === 'terminate') return;
    this.#enter(STATE_OF_PHASE[this.#link.phase] ?? 'configuring');
    this.#wire.event(this, { type: 'interrupted' });
  }

  #sendPacket(protocol: number, end: number): void {
    const { buffer } = this.#wire;
    const size = this.#header.length;
    this.#header.write(buffer, MAX_HEADER_LENGTH, end - MAX_HEADER_LENGTH, protocol);
    this.#wire.transmit(buffer, MAX_HEADER_LENGTH - size, end - MAX_HEADER_LENGTH + size);
  }

  // Ends.

  #redialNow(now: number): void {
    if (this.#state === 'idle' || this.#state === 'waiting') {
      this.#queue(now);
      this.#reschedule();
      return;
    }
    // A session that is on its way gets another address anyway.
    if (this.#state !== 'open' && this.#state !== 'closing') return;
    this.#redials = true;
    this.#end(now, 'redial');
  }

  #end(now: number, reason: string): void {
    const link = this.#link;
    if (this.#state === 'idle') return;
    if (link !== undefined && link.phase !== 'dead' && link.phase !== 'ended') {
      link.close(now, reason);
      this.#afterLink();
    } else {
      this.#fail(new PppoeError('closed', 'the session was ended'), now);
    }
    this.#reschedule();
  }

  /** The one way out of every state. */
  #fail(error: PppoeError | PppError, now: number, by: 'us' | 'peer' = 'us'): void {
    const identity = this.wireIdentity;
    if (identity !== undefined) {
      if (by === 'us' && this.#wire.carrier) this.#sendPadt(identity);
      this.#wire.unbind(this);
    }
    this.#discovery.stop();
    this.#link?.abandon();
    this.#link = undefined;
    this.#sessionId = 0;
    this.#interrupted = false;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const wasOpen = this.#wasOpen;
    const stood = wasOpen ? now - this.openedAt : 0;
    this.#wasOpen = false;
    this.lastError = error;
    if (stood >= STABLE) this.#failures = 0;
    this.#wire.settled(this);
    const redials = this.#redials;
    this.#redials = false;
    const retryAt = redials ? now : this.#retryTime(now);
    if (retryAt === undefined) this.#wanted = false;
    this.#enter(retryAt === undefined ? 'idle' : 'waiting');
    this.#wire.event(this, { type: 'closed', error, wasOpen, retryAt });
    if (redials) this.#queue(now);
    else this.#timerAt = retryAt ?? Number.POSITIVE_INFINITY;
    this.#reschedule();
  }

  /** When to dial again after a failure; undefined for never, Infinity for when the carrier is back. */
  #retryTime(now: number): number | undefined {
    const { retry = {} } = this.options;
    if (!this.#wanted) return undefined;
    if (!this.#wire.carrier) return Number.POSITIVE_INFINITY;
    if (retry === false) return undefined;
    const { initial = 1000, maximum = 120_000 } = retry;
    const delay = Math.min(maximum, initial * 2 ** Math.min(this.#failures++, 30));
    return now + delay * (0.75 + 0.5 * this.#chance());
  }

  #sendPadt(identity: PppoeWireIdentity): void {
    this.#sendDiscovery(PppoeCode.padt, macNumber(identity.peerMac), identity.sessionId, []);
  }

  #sendDiscovery(code: number, peer: number, sessionId: number, tags: readonly PppoeTag[]): void {
    const { buffer } = this.#wire;
    const end = emitDiscovery(buffer, 0, {
      mac: this.mac,
      peerMac: peer,
      vlans: this.#vlans,
      sessionId,
      code,
      tags,
    });
    this.#wire.transmit(buffer, 0, end);
  }

  #enter(state: PppoeSessionState): void {
    const previous = this.#state;
    if (previous === state) return;
    this.#state = state;
    this.#wire.event(this, { type: 'state', state, previous });
  }

  #reschedule(): void {
    const next = Math.min(
      this.#timerAt,
      this.#redialAt,
      this.#discovery.timerAt,
      this.#link?.deadline ?? Number.POSITIVE_INFINITY,
    );
    if (next === this.deadline) return;
    this.deadline = next;
    this.#wire.rescheduled(this);
  }

  /** From 0 to 1. */
  #chance(): number {
    return randomWord(this.#wire.random) / 2 ** 32;
  }
}

const STATE_OF_PHASE: Partial<Record<PppPhase, PppoeSessionState>> = {
  establish: 'establishing',
  authenticate: 'authenticating',
  network: 'configuring',
  terminate: 'closing',
};

function ipv6Of(link: PppLink): Ipv6Link | undefined {
  const { ipv6cp } = link;
  if (ipv6cp === undefined || !link.ipv6Open) return undefined;
  return { local: formatIPv6(linkLocal(ipv6cp.local)), peer: formatIPv6(linkLocal(ipv6cp.peer)) };
}

function requireWhole(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ArgumentError(`${name} is a whole number from ${least} to ${most}, not ${value}`);
  }
}
