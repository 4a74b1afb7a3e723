import { PppProtocol } from '../packet/index.ts';
import type {
  AccountLookup,
  AuthenticationOwner,
  AuthenticationParty,
  Credentials,
} from './authentication.ts';
import type { AuthenticationMethod } from './authentication-method.ts';
import { AutomatonState } from './automaton.ts';
import type { PppCarrier, PppTiming, RandomSource } from './carrier.ts';
import { ChapAuthenticator, ChapPeer } from './chap.ts';
import type { ControlProtocol } from './control-protocol.ts';
import { EapAuthenticator, EapPeer } from './eap.ts';
import { PppError, type PppFailure } from './failure.ts';
import { Ipcp, type IpcpOptions } from './ipcp.ts';
import { Ipv6cp } from './ipv6cp.ts';
import { Lcp, type LcpOwner } from './lcp.ts';
import { networkEnd, refusalOf } from './link-failure.ts';
import { PapAuthenticator, PapPeer } from './pap.ts';

/** What a link negotiates. Times are in milliseconds, sizes in bytes. */
export interface PppLinkOptions {
  /** The largest packet we take. */
  readonly mru: number;
  /** The largest packet that the carrier takes. */
  readonly carrierMru: number;
  /** The least MRU of the peer to be content with. */
  readonly minimumMru: number;
  /** Whom we say we are, and how the peer may ask; best first. */
  readonly credentials?: Credentials;
  readonly answers: readonly AuthenticationMethod[];
  /** How we ask the peer who it is, best first; empty to not ask. */
  readonly demands: readonly AuthenticationMethod[];
  readonly account?: AccountLookup;
  /** What we call ourselves when we ask. */
  readonly name?: string;
  /** Asks by CHAP again every so often; 0 for never. */
  readonly rechallengeInterval?: number;
  /** Known when the network phase begins: an address may depend on the user. */
  readonly ipv4: (user: string | undefined) => IpcpOptions | 'no address' | undefined;
  /** Whether one of IPv4 and IPv6 is enough; else the link ends when IPv4 was wanted and fails. */
  readonly either: boolean;
  /** Our interface identifier, zeros for a random one; undefined for no IPv6. */
  readonly ipv6: Uint8Array | undefined;
  readonly echo: { readonly interval: number; readonly failures: number } | undefined;
  /** Says that the link carries packets once the peer has answered an echo after IPCP. */
  readonly settles: boolean;
  readonly timing: PppTiming;
}

/**
 * `dead`: no lower layer. `establish`: LCP. `authenticate`. `network`: IPCP and IPV6CP. `terminate`: Terminate-Request
 * sent. `ended`: reported, nothing more happens.
 */
export type PppPhase = 'dead' | 'establish' | 'authenticate' | 'network' | 'terminate' | 'ended';

/** Who hears of a link. Calls come from within `input`, `advance` and the rest; they must not call back. */
export interface PppLinkObserver {
  phase(phase: PppPhase, now: number): void;
  /** The peer took us (`side` 'peer'), or we the peer (`side` 'authenticator'). */
  authenticated(
    side: 'peer' | 'authenticator',
    method: AuthenticationMethod,
    user: string,
    message: string,
    now: number,
  ): void;
  /** We did not take the peer; `ended` follows. */
  refusedPeer(method: AuthenticationMethod, user: string, now: number): void;
  /** IPv4 or IPv6 came up or went down, or the MTU changed. */
  network(protocol: 'ipv4' | 'ipv6', up: boolean, now: number): void;
  /** The link is over; it comes once. */
  ended(error: PppError, now: number): void;
  discarded(why: string): void;
}

/** The peer's interface comes up after its last packet of IPCP; that long it is waited for an echo that shows it. */
const SETTLE_TIME = 1000;

/** Between two Protocol-Rejects for data, in milliseconds. */
const REFUSAL_INTERVAL = 1000;

/** Whatever was negotiated, PPPoE carries no longer ones. */
const MAX_CONTROL_LENGTH = 1500;

/** One PPP link: its phases (RFC 1661, section 3), and the protocols that run in them. */
export class PppLink implements LcpOwner, AuthenticationOwner {
  readonly buffer: Uint8Array;
  readonly packetOffset: number;
  readonly timing: PppTiming;
  readonly random: RandomSource;
  /** How soon to repeat an unanswered request when the peer's own arrives. */
  promptness = 50;
  /** Data packets received; the carrier counts them up. A peer that sends needs no echo. */
  activity = 0;
  /** When `advance` wants to be called; Infinity for never. */
  deadline: number = Number.POSITIVE_INFINITY;
  /** Whether IPv4 packets pass; true before the observer heard of it. */
  ipv4Open = false;
  ipv6Open = false;
  /** Milliseconds from the last echo to its answer; NaN before the first. */
  echoRoundTrip: number = Number.NaN;
  readonly lcp: Lcp;
  ipcp: Ipcp | undefined;
  ipv6cp: Ipv6cp | undefined;
  readonly #carrier: PppCarrier;
  readonly #options: PppLinkOptions;
  readonly #observer: PppLinkObserver;
  #phase: PppPhase = 'dead';
  #answering: AuthenticationParty | undefined;
  #asking: AuthenticationParty | undefined;
  #answered = false;
  #asked = false;
  #user: string | undefined;
  #settleAt = Number.POSITIVE_INFINITY;
  #establishUntil = Number.POSITIVE_INFINITY;
  #failure: PppError | undefined;
  #startsNetwork = false;
  #refusedAt = Number.NEGATIVE_INFINITY;
  /** LCP went down while the peer had not yet said what it thought of our password. */
  #unbelieved = false;

  constructor(carrier: PppCarrier, random: RandomSource, options: PppLinkOptions, observer: PppLinkObserver) {
    this.#carrier = carrier;
    this.buffer = carrier.buffer;
    this.packetOffset = carrier.packetOffset;
    this.random = random;
    this.timing = options.timing;
    this.#options = options;
    this.#observer = observer;
    const { mru, carrierMru, minimumMru, answers, demands, echo } = options;
    this.lcp = new Lcp(this, {
      mru,
      carrierMru,
      minimumMru,
      answers: options.credentials === undefined ? [] : answers,
      demands,
      echo,
    });
  }

  get phase(): PppPhase {
    return this.#phase;
  }

  /** The largest IP packet that both ends take, in bytes. */
  get mtu(): number {
    return this.lcp.mtu;
  }

  /** Whom the peer said it was, and was believed. */
  get user(): string | undefined {
    return this.#user;
  }

  /** How the peer asked us, or we the peer; undefined if nobody asks. */
  get method(): AuthenticationMethod | undefined {
    return this.lcp.answering ?? this.lcp.demanding;
  }

  /** Whether our password, or what it makes of a challenge, is with the peer and the peer has not said what it thinks. */
  get awaitsVerdict(): boolean {
    return this.#answering?.responded === true && !this.#answered;
  }

  /** What LCP could not agree on so far, for a carrier that ends while it tries; undefined if nothing is known. */
  get complaint(): PppError | undefined {
    const { lcp } = this;
    if (this.#phase !== 'establish') return undefined;
    if (lcp.smallMru > 0) {
      const least = this.#options.minimumMru;
      return new PppError('mru', `the peer takes packets of ${lcp.smallMru} bytes only, ${least} are needed`);
    }
    if (lcp.unwantedMethod === '') return undefined;
    return new PppError('authentication-method', `the peer wants ${lcp.unwantedMethod} and nothing else`, {
      hint: 'Allow that method, or give a user and password.',
    });
  }

  /** The carrier is there: LCP begins. */
  up(now: number): void {
    this.#enter('establish', now);
    this.#establishUntil = now + this.timing.establishment;
    this.lcp.open(now);
    this.lcp.up(now);
    this.#conclude(now);
  }

  /** Ends the link with a Terminate-Request; `ended` follows when it is answered or waited for long enough. */
  close(now: number, reason = ''): void {
    if (this.#phase === 'ended' || this.#phase === 'terminate') return;
    if (this.lcp.state < AutomatonState.requestSent) {
      this.#failure ??= new PppError('closed', 'the link was closed');
    } else {
      this.#enter('terminate', now);
      this.lcp.close(now, reason);
    }
    this.#conclude(now);
  }

  /** Nothing of the link will be heard again, and no observer called: the carrier is gone. */
  abandon(): void {
    this.#phase = 'ended';
    this.ipv4Open = false;
    this.ipv6Open = false;
    this.deadline = Number.POSITIVE_INFINITY;
  }

  /** Takes a packet that begins behind its PPP protocol number. Data is the carrier's own business. */
  input(protocol: number, bytes: Uint8Array, offset: number, end: number, now: number): void {
    if (this.#phase === 'ended' || this.#phase === 'dead') return;
    if (end - offset > MAX_CONTROL_LENGTH) {
      this.discard('a control packet longer than any MRU');
      return;
    }
    this.#dispatch(protocol, bytes, offset, end, now);
    this.#conclude(now);
  }

  /**
   * An IP packet that came while its protocol is not open here. Where it will not be, the peer believes in something that
   * is no more: it is told so, once a second at the most.
   */
  refuseData(protocol: number, bytes: Uint8Array, offset: number, end: number, now: number): void {
    this.discard('an IP packet before the session was open');
    if (this.#phase !== 'network' || !this.lcp.opened || now < this.#refusedAt + REFUSAL_INTERVAL) return;
    const control = protocol === PppProtocol.ipv4 ? this.ipcp : this.ipv6cp;
    if (control !== undefined && control.state > AutomatonState.stopped) return;
    this.#refusedAt = now;
    this.lcp.sendProtocolReject(protocol, bytes, offset, end);
  }

  /** Does what is due. */
  advance(now: number): void {
    if (now < this.deadline) return;
    this.lcp.advance(now);
    this.ipcp?.advance(now);
    this.ipv6cp?.advance(now);
    this.#answering?.advance(now);
    this.#asking?.advance(now);
    if (now >= this.#settleAt) this.#settle(now);
    if (now >= this.#establishUntil) {
      this.#establishUntil = Number.POSITIVE_INFINITY;
      this.#fail(this.#lcpFailure('not-converging', 'both sides did not come to terms in time'));
    }
    this.#conclude(now);
  }

  // What the protocols tell, as their owner.

  send(protocol: number, end: number): void {
    this.#carrier.send(protocol, end);
  }

  discard(why: string): void {
    this.#observer.discarded(why);
  }

  layer(control: ControlProtocol, change: 'up' | 'down' | 'finished', now: number): void {
    if (control === this.lcp) {
      if (change === 'up') this.#lcpUp(now);
      else if (change === 'down') this.#lcpDown(now);
      else this.#fail(this.#lcpEnd());
    } else if (control === this.ipcp) {
      this.#ipcpChanged(change, now);
    } else {
      this.#ipv6cpChanged(change, now);
    }
  }

  echoReply(roundTrip: number, now: number): void {
    this.echoRoundTrip = roundTrip;
    if (this.#settleAt !== Number.POSITIVE_INFINITY) this.#settle(now);
  }

  echoTimeout(_now: number): void {
    this.#fail(
      new PppError('echo', 'the peer answers no echo any more', {
        hint: 'The line or the peer is dead; dialling again is all that helps.',
      }),
    );
  }

  protocolReject(protocol: number, now: number): void {
    switch (protocol) {
      case PppProtocol.lcp:
        this.#fail(new PppError('rejected', 'the peer rejects LCP itself'));
        break;
      case PppProtocol.ipcp:
      case PppProtocol.ipv4:
        this.ipcp?.protocolRejected(now);
        break;
      case PppProtocol.ipv6cp:
      case PppProtocol.ipv6:
        this.ipv6cp?.protocolRejected(now);
        break;
      default:
        for (const party of [this.#answering, this.#asking]) {
          if (party?.protocol === protocol) {
            this.#fail(new PppError('rejected', `the peer asked for ${party.method} and rejects it`));
          }
        }
    }
  }

  authenticated(party: AuthenticationParty, user: string, message: string, now: number): void {
    if (party.side === 'peer') {
      if (!this.#answered) this.#observer.authenticated('peer', party.method, user, message, now);
      this.#answered = true;
    } else {
      if (!this.#asked) {
        this.#user = user;
        this.#observer.authenticated('authenticator', party.method, user, message, now);
      } else if (user !== this.#user) {
        this.#fail(
          new PppError('authentication', `'${this.#user}' became '${user}' in the midst of a session`),
        );
        return;
      }
      this.#asked = true;
    }
    this.#startsNetwork = this.#answered && this.#asked && this.#phase === 'authenticate';
  }

  refused(party: AuthenticationParty, user: string, failure: PppFailure, message: string, now: number): void {
    if (party.side === 'authenticator') this.#observer.refusedPeer(party.method, user, now);
    this.#fail(refusalOf(party, user, failure, message));
  }

  #dispatch(protocol: number, bytes: Uint8Array, offset: number, end: number, now: number): void {
    if (protocol === PppProtocol.lcp) {
      this.lcp.input(bytes, offset, end, now);
      if (this.lcp.looped) {
        this.#fail(
          new PppError('loopback', 'our own magic number comes back: the line is looped', {
            hint: 'Somewhere between here and the concentrator frames are sent back.',
          }),
        );
      } else if (this.lcp.demandRefused) {
        this.#fail(new PppError('authentication-method', 'the peer does not let itself be asked who it is'));
      }
      return;
    }
    // RFC 1661, section 3.4: before LCP is open everything else is discarded.
    if (!this.lcp.opened) {
      this.discard('a packet before LCP was open');
      return;
    }
    let known = false;
    for (const party of [this.#answering, this.#asking]) {
      if (party?.protocol !== protocol) continue;
      known = true;
      party.input(bytes, offset, end, now);
    }
    if (known) return;
    const { ipcp, ipv6cp } = this;
    if (this.#phase !== 'network') {
      this.discard('a packet before authentication was done');
    } else if (protocol === PppProtocol.ipcp && ipcp !== undefined) {
      ipcp.input(bytes, offset, end, now);
      if (ipcp.noAddress && !ipcp.opened) {
        this.#fail(
          new PppError('no-address', 'the peer has no IPv4 address for us', {
            hint: 'Its pool may be exhausted, or another session of this account may hold the address.',
          }),
        );
      }
    } else if (protocol === PppProtocol.ipv6cp && ipv6cp !== undefined) {
      ipv6cp.input(bytes, offset, end, now);
    } else {
      this.lcp.sendProtocolReject(protocol, bytes, offset, end);
    }
  }

  #lcpUp(now: number): void {
    const { credentials, account, name = 'barewire', rechallengeInterval = 0 } = this.#options;
    const { answering, demanding } = this.lcp;
    this.#enter('authenticate', now);
    this.lcp.startEchoes(now);
    this.#answered = answering === undefined;
    this.#asked = demanding === undefined;
    if (answering !== undefined && credentials !== undefined) {
      this.#answering =
        answering === 'pap'
          ? new PapPeer(this, credentials)
          : answering === 'eap-md5'
            ? new EapPeer(this, credentials)
            : new ChapPeer(this, answering, credentials);
      this.#answering.start(now);
    }
    if (demanding !== undefined) {
      const lookup = account ?? (() => undefined);
      this.#asking =
        demanding === 'pap'
          ? new PapAuthenticator(this, lookup)
          : demanding === 'eap-md5'
            ? new EapAuthenticator(this, lookup, name)
            : new ChapAuthenticator(this, demanding, lookup, { name, again: rechallengeInterval });
      this.#asking.start(now);
    }
    this.#startsNetwork = this.#answered && this.#asked;
  }

  /** The peer begins anew, or the link ends: what stood upon LCP falls. */
  #lcpDown(now: number): void {
    this.#unbelieved = this.awaitsVerdict;
    this.#answering = undefined;
    this.#asking = undefined;
    this.#startsNetwork = false;
    this.ipcp?.down(now);
    this.ipv6cp?.down(now);
    this.#settleAt = Number.POSITIVE_INFINITY;
    if (this.#phase === 'terminate' || this.lcp.state === AutomatonState.stopping) return;
    this.#enter('establish', now);
    this.#establishUntil = now + this.timing.establishment;
  }

  #startNetwork(now: number): void {
    this.#startsNetwork = false;
    this.#enter('network', now);
    const ipv4 = this.#options.ipv4(this.#user);
    if (ipv4 === 'no address') {
      this.#fail(new PppError('no-address', 'no address is left in the pool'));
      return;
    }
    const { ipv6 } = this.#options;
    if (ipv4 !== undefined) {
      this.ipcp ??= new Ipcp(this, ipv4);
      this.ipcp.open(now);
      this.ipcp.up(now);
    }
    // IPv6 does not go through links below 1280 bytes (RFC 8200, section 5).
    if (ipv6 !== undefined && this.mtu >= 1280) {
      this.ipv6cp ??= new Ipv6cp(this, ipv6);
      this.ipv6cp.open(now);
      this.ipv6cp.up(now);
    }
    if (this.ipcp === undefined && this.ipv6cp === undefined) {
      this.#fail(new PppError('network-refused', 'neither IPv4 nor IPv6 is wanted'));
    }
  }

  #ipcpChanged(change: 'up' | 'down' | 'finished', now: number): void {
    switch (change) {
      case 'up':
        this.ipv4Open = true;
        if (this.#options.settles) this.#settleLater(now);
        else this.#networkUp('ipv4', now);
        break;
      case 'down':
        this.#networkDown('ipv4', now);
        break;
      default:
        if (this.ipcp !== undefined) this.#ipcpEnded(this.ipcp, now);
    }
  }

  #ipcpEnded(ipcp: Ipcp, now: number): void {
    const other = this.ipv6cp;
    if (!this.#options.either || other === undefined || other.state < AutomatonState.requestSent) {
      this.#fail(networkEnd(ipcp, 'IPv4'));
      return;
    }
    // From now on IPv6 is what the link stands for.
    this.ipcp = undefined;
    if (this.ipv6Open) this.#networkUp('ipv6', now);
  }

  #ipv6cpChanged(change: 'up' | 'down' | 'finished', now: number): void {
    switch (change) {
      case 'up':
        this.ipv6Open = true;
        if (this.ipcp === undefined && this.#options.settles) this.#settleLater(now);
        else if (this.#settleAt === Number.POSITIVE_INFINITY) this.#networkUp('ipv6', now);
        break;
      case 'down':
        this.#networkDown('ipv6', now);
        break;
      default:
        // One network protocol that fails leaves the other alone.
        if (this.ipcp === undefined && this.ipv6cp !== undefined) this.#fail(networkEnd(this.ipv6cp, 'IPv6'));
    }
  }

  #settleLater(now: number): void {
    this.#settleAt = now + SETTLE_TIME;
    this.lcp.probe(now);
  }

  #settle(now: number): void {
    this.#settleAt = Number.POSITIVE_INFINITY;
    if (this.ipv4Open) this.#networkUp('ipv4', now);
    if (this.ipv6Open) this.#networkUp('ipv6', now);
  }

  #networkUp(protocol: 'ipv4' | 'ipv6', now: number): void {
    if (protocol === 'ipv4' || this.ipcp === undefined) this.#establishUntil = Number.POSITIVE_INFINITY;
    this.#observer.network(protocol, true, now);
  }

  #networkDown(protocol: 'ipv4' | 'ipv6', now: number): void {
    const main = protocol === 'ipv4' || this.ipcp === undefined;
    if (main) {
      this.#settleAt = Number.POSITIVE_INFINITY;
      if (this.#phase === 'network') this.#establishUntil = now + this.timing.establishment;
    }
    if (protocol === 'ipv4') this.ipv4Open = false;
    else this.ipv6Open = false;
    this.#observer.network(protocol, false, now);
  }

  #enter(phase: PppPhase, now: number): void {
    if (this.#phase === phase || this.#phase === 'ended') return;
    this.#phase = phase;
    this.#observer.phase(phase, now);
  }

  /** Why LCP finished. */
  #lcpEnd(): PppError {
    const { lcp } = this;
    switch (lcp.endCause) {
      case 'closed':
        return new PppError('closed', 'the link was closed');
      case 'peer':
        return this.#peerEnded();
      case 'rejected':
        return new PppError('rejected', 'the peer rejects a part of LCP that nothing works without');
      case 'not-converging':
        return this.#lcpFailure('not-converging', 'the peer objects to every request');
      default:
        return this.#lcpFailure('no-answer', 'the peer answers no Configure-Request');
    }
  }

  /** LCP came to no end; what it ran into says more than that. */
  #lcpFailure(failure: PppFailure, message: string): PppError {
    return this.complaint ?? new PppError(failure, message);
  }

  #peerEnded(): PppError {
    const { lcp } = this;
    const said = lcp.peerReason === '' ? '' : `: ${lcp.peerReason}`;
    const details = { peerMessage: lcp.peerReason };
    const { complaint } = this;
    if (complaint !== undefined) return complaint;
    if (this.#unbelieved) {
      return new PppError(
        'authentication',
        `the peer ended the link instead of taking our password${said}`,
        details,
      );
    }
    return new PppError('terminated', `the peer ended the link${said}`, details);
  }

  #fail(error: PppError): void {
    this.#failure ??= error;
  }

  /** What an event led to, once all automata have come to rest. */
  #conclude(now: number): void {
    if (this.#phase === 'ended') return;
    // The peer's Terminate-Request was acknowledged; there is nothing to wait for. By the table a peer that gives up
    // before LCP is open would be asked on for half a minute, though PPPoE lets it only dial anew.
    if (this.lcp.endCause === 'peer') this.#fail(this.#peerEnded());
    if (this.#failure === undefined && this.#startsNetwork) this.#startNetwork(now);
    if (this.#failure !== undefined) this.#end(this.#failure, now);
    else this.#reckon();
  }

  #end(error: PppError, now: number): void {
    if (this.lcp.state >= AutomatonState.requestSent) {
      this.#phase = 'terminate';
      this.lcp.close(now, error.failure === 'echo' ? '' : error.message);
    }
    this.ipv4Open = false;
    this.ipv6Open = false;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#enter('ended', now);
    this.#observer.ended(error, now);
  }

  #reckon(): void {
    let next = Math.min(this.lcp.restartAt, this.lcp.echoAt, this.#settleAt, this.#establishUntil);
    if (this.ipcp !== undefined) next = Math.min(next, this.ipcp.restartAt);
    if (this.ipv6cp !== undefined) next = Math.min(next, this.ipv6cp.restartAt);
    if (this.#answering !== undefined) next = Math.min(next, this.#answering.timeoutAt);
    if (this.#asking !== undefined) next = Math.min(next, this.#asking.timeoutAt);
    this.deadline = next;
  }
}
