import { formatIPv6 } from '../address/index.ts';
import { ipv4Number, ipv4Text, macText, PppProtocol } from '../packet/index.ts';
import {
  type AuthenticationMethod,
  linkLocal,
  type PppError,
  PppLink,
  type PppLinkObserver,
  type PppTiming,
  type RandomSource,
} from '../ppp/index.ts';
import type { PppoeAccount, PppoeAccounting, PppoeConcentratorEvent } from './concentrator-options.ts';
import { PppoeError } from './failure.ts';
import {
  FrameHeader,
  MAX_HEADER_LENGTH,
  type PppoeFrame,
  type PppoeVlan,
  type PppoeWireIdentity,
} from './frame.ts';
import type { DiscoveryTags } from './tags.ts';

/** What a session has from its concentrator. */
export interface ConcentratorWire {
  readonly random: RandomSource;
  readonly buffer: Uint8Array;
  /** The concentrator's own IPv4 address. */
  readonly local: number;
  readonly nbns: readonly number[];
  readonly echo: { readonly interval: number; readonly failures: number } | undefined;
  readonly timing: PppTiming;
  readonly name: string;
  transmit(bytes: Uint8Array, offset: number, length: number): void;
  receive(session: PppoeConcentratorSession, bytes: Uint8Array, offset: number, length: number): void;
  event(session: PppoeConcentratorSession, event: PppoeConcentratorEvent): void;
  account(user: string): PppoeAccount | undefined;
  rescheduled(session: PppoeConcentratorSession): void;
  done(now: number): void;
  /** An address for the session: a certain one, or one of the pool. @returns undefined if there is none. */
  take(session: PppoeConcentratorSession, address: number | undefined, now: number): number | undefined;
  /** Sends a PADT and forgets the session. */
  ended(session: PppoeConcentratorSession, padt: boolean, reason: string): void;
}

/** What a session is by the PADR that it began with. */
export interface ConcentratorSessionOptions {
  readonly sessionId: number;
  readonly mac: number;
  readonly peerMac: number;
  readonly vlans: readonly PppoeVlan[];
  readonly serviceName: string;
  readonly authentication: readonly AuthenticationMethod[];
  readonly rechallengeInterval: number;
  /** Infinity for no end. */
  readonly maximumDuration: number;
  readonly dns: readonly number[];
  readonly ipv6: boolean;
  readonly mru: number;
  readonly carrierMru: number;
}

const MINIMUM_MRU = 128;

/** One client of a `PppoeConcentrator`, which makes it. Times are milliseconds on the clock of `now`. */
export class PppoeConcentratorSession {
  readonly sessionId: number;
  readonly peer: number;
  readonly serviceName: string;
  deadline: number = Number.POSITIVE_INFINITY;
  slot = -1;
  receivedPackets = 0;
  receivedBytes = 0;
  sentPackets = 0;
  sentBytes = 0;
  /** Frames of this session that were malformed or unexpected, and not followed. */
  discarded = 0;
  /** Why the last one was. */
  lastDiscard = '';
  /** What a repeated PADR is known by, until the client has said something else. */
  requestKey = '';
  readonly #wire: ConcentratorWire;
  readonly #options: ConcentratorSessionOptions;
  readonly #header: FrameHeader;
  readonly #link: PppLink;
  #address = 0;
  #now = 0;
  #openedAt = Number.NaN;
  #endAt: number;
  #account: PppoeAccount | undefined;
  #over = false;
  #reason = '';

  constructor(wire: ConcentratorWire, options: ConcentratorSessionOptions, now: number) {
    this.#wire = wire;
    this.#options = options;
    this.sessionId = options.sessionId;
    this.peer = options.peerMac;
    this.serviceName = options.serviceName;
    this.#header = new FrameHeader(options.mac, options.peerMac, options.vlans);
    this.#header.sessionId = options.sessionId;
    this.#endAt = now + options.maximumDuration;
    this.#now = now;
    this.#link = this.#makeLink();
  }

  /** The client's MAC address. */
  get peerMac(): string {
    return macText(this.peer);
  }

  /** Whom the client proved to be; undefined before, and where nobody is asked. */
  get user(): string | undefined {
    return this.#link.user;
  }

  /** The client's IPv4 address, from when it was given out. */
  get address(): string | undefined {
    return this.#address === 0 ? undefined : ipv4Text(this.#address);
  }

  /** As {@link address}, as a number; 0 for none. */
  get addressNumber(): number {
    return this.#address;
  }

  /** Whether IPv4 or IPv6 packets pass. */
  get open(): boolean {
    return this.#link.ipv4Open || this.#link.ipv6Open;
  }

  /** The largest IP packet that both ends take, in bytes. */
  get mtu(): number {
    return this.#link.mtu;
  }

  get wireIdentity(): PppoeWireIdentity {
    const { mac, peerMac, vlans, sessionId } = this.#options;
    return { mac: macText(mac), peerMac: macText(peerMac), vlans, sessionId };
  }

  get accounting(): PppoeAccounting {
    const { receivedPackets, receivedBytes, sentPackets, sentBytes } = this;
    const duration = Number.isNaN(this.#openedAt) ? 0 : this.#now - this.#openedAt;
    return { receivedPackets, receivedBytes, sentPackets, sentBytes, duration };
  }

  /** Bytes that `encapsulate` puts in front of a packet: 22, and 4 for each VLAN tag. */
  get headerLength(): number {
    return this.#header.length;
  }

  /** Ends the session: Terminate-Request with the reason, then PADT. */
  terminate(now: number, reason = ''): void {
    this.#now = now;
    this.#reason = reason;
    this.#link.close(now, reason);
    this.#reschedule();
    this.#wire.done(now);
  }

  /** Ends the session at once, with a PADT only. */
  abort(now: number, reason = ''): void {
    this.#now = now;
    this.#reason = reason;
    this.#end(new PppoeError('closed', reason === '' ? 'the session was ended' : reason), true);
    this.#wire.done(now);
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
    if (length === 0 || length > link.mtu || offset < size) return 0;
    const version = bytes[offset]! >>> 4;
    if (version === 4 ? !link.ipv4Open : version !== 6 || !link.ipv6Open) return 0;
    this.#header.write(bytes, offset, length, version === 4 ? PppProtocol.ipv4 : PppProtocol.ipv6);
    this.sentPackets++;
    this.sentBytes += length;
    return size;
  }

  // What follows is called by the concentrator.

  start(now: number): void {
    this.#link.up(now);
    this.#reschedule();
  }

  advance(now: number): void {
    this.#now = now;
    if (now >= this.#endAt) {
      this.#endAt = Number.POSITIVE_INFINITY;
      this.#reason = 'the time of this service is over';
      this.#link.close(now, this.#reason);
    }
    this.#link.advance(now);
    this.#reschedule();
  }

  /** Whether a frame is this session's: from its client, to its concentrator, with its ID and tags. */
  owns(frame: PppoeFrame): boolean {
    return this.#header.owns(frame);
  }

  input(frame: PppoeFrame, now: number): void {
    this.#now = now;
    const { bytes, payloadOffset, payloadEnd } = frame;
    const length = payloadEnd - payloadOffset - 2;
    if (length < 0) {
      this.discard('a session packet without a PPP protocol');
      return;
    }
    const protocol = (bytes[payloadOffset]! << 8) | bytes[payloadOffset + 1]!;
    const link = this.#link;
    if (protocol === PppProtocol.ipv4 || protocol === PppProtocol.ipv6) {
      if (protocol === PppProtocol.ipv4 ? !link.ipv4Open : !link.ipv6Open) {
        link.refuseData(protocol, bytes, payloadOffset + 2, payloadEnd, now);
        return;
      }
      link.activity++;
      this.receivedPackets++;
      this.receivedBytes += length;
      this.#wire.receive(this, bytes, payloadOffset + 2, length);
      return;
    }
    link.input(protocol, bytes, payloadOffset + 2, payloadEnd, now);
    this.#reschedule();
  }

  /** The client's PADT. */
  padt(tags: DiscoveryTags | undefined, now: number): void {
    this.#now = now;
    const message = tags?.error?.message ?? '';
    const said = message === '' ? '' : `: ${message}`;
    this.#end(
      new PppoeError('terminated', `the client ended the session${said}`, { peerMessage: message }),
      false,
    );
  }

  discard(why: string): void {
    this.discarded++;
    this.lastDiscard = why;
  }

  #makeLink(): PppLink {
    const { authentication, rechallengeInterval, mru, carrierMru, dns, ipv6 } = this.#options;
    const wire = this.#wire;
    const carrier = {
      buffer: wire.buffer,
      packetOffset: MAX_HEADER_LENGTH,
      send: (protocol: number, end: number) => this.#sendPacket(protocol, end),
    };
    return new PppLink(
      carrier,
      wire.random,
      {
        mru,
        carrierMru,
        minimumMru: MINIMUM_MRU,
        answers: [],
        demands: authentication,
        account: (user) => {
          this.#account = wire.account(user);
          return this.#account;
        },
        name: wire.name,
        rechallengeInterval,
        ipv4: () => {
          const peer = this.#takeAddress();
          if (peer === undefined) return 'no address';
          return { local: wire.local, peer, dns, nbns: wire.nbns, asksDns: false, asksNbns: false };
        },
        either: true,
        ipv6: ipv6 ? new Uint8Array(8) : undefined,
        echo: wire.echo,
        settles: false,
        timing: wire.timing,
      },
      this.#observer(),
    );
  }

  #takeAddress(): number | undefined {
    if (this.#address !== 0) return this.#address;
    const certain = this.#account?.address;
    const address = this.#wire.take(this, certain === undefined ? undefined : ipv4Number(certain), this.#now);
    this.#address = address ?? 0;
    return address;
  }

  #observer(): PppLinkObserver {
    const wire = this.#wire;
    return {
      phase: () => {},
      authenticated: (_side, method, user) => wire.event(this, { type: 'authenticated', user, method }),
      refusedPeer: (method, user) => wire.event(this, { type: 'refused', user, method }),
      network: (protocol, up, now) => this.#network(protocol, up, now),
      ended: (error) => this.#end(error, true),
      discarded: (why) => this.discard(why),
    };
  }

  #network(protocol: 'ipv4' | 'ipv6', up: boolean, now: number): void {
    const { ipv6cp, ipv6Open, mtu, user } = this.#link;
    const ipv6 = ipv6cp !== undefined && ipv6Open ? formatIPv6(linkLocal(ipv6cp.peer)) : undefined;
    const main = protocol === 'ipv4' || this.#link.ipcp === undefined;
    if (main && up) {
      if (Number.isNaN(this.#openedAt)) this.#openedAt = now;
      const address = protocol === 'ipv4' ? this.address : undefined;
      this.#wire.event(this, { type: 'opened', user, address, ipv6, mtu });
    } else if (protocol === 'ipv6' && this.#link.ipv4Open) {
      this.#wire.event(this, { type: 'ipv6', ipv6 });
    }
  }

  #end(error: PppoeError | PppError, padt: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#link.abandon();
    const said =
      error.failure === 'no-address' || error.failure === 'authentication' ? error.message : this.#reason;
    this.#wire.ended(this, padt, said);
    this.deadline = Number.POSITIVE_INFINITY;
    this.#wire.rescheduled(this);
    this.#wire.event(this, { type: 'closed', error, accounting: this.accounting });
  }

  #sendPacket(protocol: number, end: number): void {
    const { buffer } = this.#wire;
    const size = this.#header.length;
    this.#header.write(buffer, MAX_HEADER_LENGTH, end - MAX_HEADER_LENGTH, protocol);
    this.#wire.transmit(buffer, MAX_HEADER_LENGTH - size, end - MAX_HEADER_LENGTH + size);
  }

  #reschedule(): void {
    if (this.#over) return;
    const next = Math.min(this.#link.deadline, this.#endAt);
    if (next === this.deadline) return;
    this.deadline = next;
    this.#wire.rescheduled(this);
  }
}
