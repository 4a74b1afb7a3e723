import {
  arePppOptions,
  PPP_CONTROL_LENGTH,
  PppCode,
  PppControlView,
  PppOptionCursor,
} from '../packet/index.ts';
import { Automaton, type AutomatonAction, AutomatonState } from './automaton.ts';
import type { PppCarrier, PppTiming, RandomSource } from './carrier.ts';
import { shownText } from './text.ts';

/** What is said to an option that the peer asks for. */
export type OptionVerdict = 'ack' | 'nak' | 'reject';

/** Why a protocol left Opened or gave up, by what happened last. */
export type EndCause = 'none' | 'timeout' | 'peer' | 'rejected' | 'not-converging' | 'closed';

/** The link that control protocols belong to. */
export interface ControlOwner extends PppCarrier {
  readonly timing: PppTiming;
  readonly random: RandomSource;
  /** How soon to repeat an unanswered request when the peer's own arrives, in milliseconds. */
  readonly promptness: number;
  /** This-Layer-Up, This-Layer-Down and This-Layer-Finished of a protocol. Must not raise events of it. */
  layer(control: ControlProtocol, change: 'up' | 'down' | 'finished', now: number): void;
  /** A packet that is not followed, and why. */
  discard(why: string): void;
}

/** Naks and Rejects of our request that are followed before giving up. */
const MAX_CONCESSIONS = 20;

const NOTHING: Uint8Array = new Uint8Array(0);
const view = new PppControlView();
const cursor = new PppOptionCursor();
/** Our request as it was sent, to hold an Ack against. */
const expected = new Uint8Array(512);

/**
 * A protocol that negotiates options with the automaton of RFC 1661: packets, identifiers, counters and the restart
 * timer are here, what the options mean is in LCP, IPCP and IPV6CP.
 */
export abstract class ControlProtocol extends Automaton {
  /** Its PPP protocol number. */
  readonly protocol: number;
  /** When {@link advance} wants to be called; Infinity when no timer runs. */
  restartAt: number = Number.POSITIVE_INFINITY;
  endCause: EndCause = 'none';
  /** What the peer's Terminate-Request said, if it said anything. */
  peerReason = '';
  protected readonly owner: ControlOwner;
  #identifier: number;
  #requestIdentifier = -1;
  /** Whether the outstanding request was answered, or its options have changed since. */
  #renewed = true;
  #answered = false;
  #restartCount = 0;
  #restartDelay = 0;
  #failures = 0;
  #concessions = 0;
  #prompted = false;
  #reason = '';

  constructor(owner: ControlOwner, protocol: number) {
    super();
    this.owner = owner;
    this.protocol = protocol;
    this.#identifier = 0;
  }

  get opened(): boolean {
    return this.state === AutomatonState.opened;
  }

  /** The lower layer is ready. */
  up(now: number): void {
    this.begin(now);
    this.raise('Up', now);
  }

  /** The lower layer is gone. */
  down(now: number): void {
    this.raise('Down', now);
    this.#settle();
  }

  open(now: number): void {
    this.raise('Open', now);
  }

  /** @param reason goes into the Terminate-Request. */
  close(now: number, reason = ''): void {
    this.#reason = reason;
    this.endCause = 'closed';
    this.raise('Close', now);
    this.#settle();
  }

  /** The restart timer, when it is due. */
  advance(now: number): void {
    if (now < this.restartAt) return;
    if (this.#restartCount > 0) {
      this.raise('TO+', now);
    } else {
      if (this.endCause === 'none') this.endCause = 'timeout';
      this.raise('TO-', now);
    }
    this.#settle();
  }

  /** The peer sent a Protocol-Reject for this protocol. */
  protocolRejected(now: number): void {
    this.endCause = 'rejected';
    this.raise('RXJ-', now);
    this.#settle();
  }

  /** Takes a packet that begins behind the PPP protocol number. */
  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    if (!view.tryAt(bytes, offset, end) || view.truncated) {
      this.owner.discard('a control packet with a wrong length');
      return;
    }
    const { code, identifier, payloadOffset, payloadEnd } = view;
    switch (code) {
      case PppCode.configureRequest:
        this.#configureRequest(bytes, identifier, payloadOffset, payloadEnd, now);
        break;
      case PppCode.configureAck:
      case PppCode.configureNak:
      case PppCode.configureReject:
        this.#answer(code, bytes, identifier, payloadOffset, payloadEnd, now);
        break;
      case PppCode.terminateRequest:
        this.peerReason = shownText(bytes, payloadOffset, payloadEnd);
        this.#replyTo(identifier);
        if (this.state >= AutomatonState.requestSent) this.endCause = 'peer';
        this.raise('RTR', now);
        break;
      case PppCode.terminateAck:
        this.raise('RTA', now);
        break;
      case PppCode.codeReject:
        this.#codeReject(bytes, payloadOffset, payloadEnd, now);
        break;
      default:
        if (!this.otherCode(code, identifier, bytes, payloadOffset, payloadEnd, now)) {
          this.#replyTo(identifier, bytes, offset, payloadEnd);
          this.raise('RUC', now);
        }
    }
    this.#settle();
  }

  /** Bytes of an error text, an echo or a rejected packet, sent under this protocol. @param identifier -1 takes the next. */
  protected sendPacket(code: number, identifier: number, bytes: Uint8Array, from: number, to: number): void {
    const { buffer, packetOffset } = this.owner;
    const start = packetOffset + PPP_CONTROL_LENGTH;
    // Even if the given bytes are the buffer's own, as they are when a packet is written there first.
    const room = Math.min(to - from, buffer.length - start);
    if (bytes !== buffer || from !== start) {
      buffer.set(bytes.subarray(from, from + room), start);
    }
    this.#finish(code, identifier < 0 ? this.nextIdentifier() : identifier, start + room);
  }

  protected nextIdentifier(): number {
    this.#identifier = (this.#identifier + 1) & 0xff;
    return this.#identifier;
  }

  /** The options of our request have changed: the next one gets a new identifier. */
  protected renew(): void {
    this.#renewed = true;
  }

  /** Writes the options of our Configure-Request, the same ones until `renew`. @returns the offset behind them. */
  protected abstract writeRequest(out: Uint8Array, at: number): number;
  /** What to say to an option that the peer asks for, its data between `from` and `to`. Changes nothing. */
  protected abstract judge(type: number, bytes: Uint8Array, from: number, to: number): OptionVerdict;
  /** Writes what the peer should ask for instead, type and length included. @returns the offset behind it. */
  protected abstract writeNak(
    type: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    out: Uint8Array,
    at: number,
  ): number;
  /** The peer's request is acknowledged; its options lie between `from` and `to`. */
  protected abstract accept(bytes: Uint8Array, from: number, to: number): void;
  /** The peer wants another value in our request. */
  protected abstract naked(type: number, bytes: Uint8Array, from: number, to: number): void;
  /** The peer does not take this option of our request. */
  protected abstract rejected(type: number): void;

  /** Writes Naks for options that the peer should ask for and did not. @returns the offset behind them. */
  protected writeMissing(
    _bytes: Uint8Array,
    _from: number,
    _to: number,
    _out: Uint8Array,
    at: number,
  ): number {
    return at;
  }

  /** A packet of a code that only this protocol knows. @returns whether it does. */
  protected otherCode(
    _code: number,
    _identifier: number,
    _bytes: Uint8Array,
    _from: number,
    _to: number,
    _now: number,
  ): boolean {
    return false;
  }

  /** Whether there is no protocol without this code. */
  protected isVital(code: number): boolean {
    return code <= PppCode.codeReject;
  }

  protected act(action: AutomatonAction, now: number): void {
    const { owner } = this;
    switch (action) {
      case 'tlu':
        this.#failures = 0;
        this.#concessions = 0;
        this.endCause = 'none';
        owner.layer(this, 'up', now);
        break;
      case 'tld':
        this.begin(now);
        owner.layer(this, 'down', now);
        break;
      case 'tls':
        break;
      case 'tlf':
        owner.layer(this, 'finished', now);
        break;
      case 'irc':
        this.#restartCount =
          this.state === AutomatonState.closing || this.state === AutomatonState.stopping
            ? owner.timing.maxTerminate
            : owner.timing.maxConfigure;
        this.#restartDelay = owner.timing.restart;
        break;
      case 'zrc':
        this.#restartCount = 0;
        this.#restartDelay = owner.timing.restart;
        this.restartAt = now + this.#restartDelay;
        break;
      case 'scr':
        this.#sendRequest(now);
        break;
      case 'sca':
      case 'scn':
        this.#sendVerdict();
        break;
      case 'str': {
        const text = new TextEncoder().encode(this.#reason);
        this.#startTimer(now);
        this.sendPacket(PppCode.terminateRequest, -1, text, 0, text.length);
        break;
      }
      case 'sta':
        this.sendPacket(PppCode.terminateAck, incoming.identifier, this.owner.buffer, 0, 0);
        break;
      case 'scj':
        this.sendPacket(PppCode.codeReject, -1, incoming.bytes, incoming.from, incoming.to);
        break;
      case 'ser':
        break;
    }
  }

  /** A negotiation begins: what was learnt in the one before is forgotten. */
  protected begin(_now: number): void {
    this.#renewed = true;
    this.#prompted = false;
    this.#failures = 0;
    this.#concessions = 0;
  }

  #configureRequest(bytes: Uint8Array, identifier: number, from: number, to: number, now: number): void {
    if (!arePppOptions(bytes, from, to)) {
      this.owner.discard('a Configure-Request with a malformed option');
      return;
    }
    this.#replyTo(identifier, bytes, from, to);
    incoming.verdict = this.#judgeAll(bytes, from, to);
    if (this.state === AutomatonState.requestSent && this.#concessions === 0 && !this.#prompted) {
      // The peer has just appeared; our request may have come before it listened.
      this.#prompted = true;
      this.restartAt = Math.min(this.restartAt, now + this.owner.promptness);
    }
    this.raise(incoming.verdict === 'ack' ? 'RCR+' : 'RCR-', now);
  }

  #judgeAll(bytes: Uint8Array, from: number, to: number): OptionVerdict {
    let worst: OptionVerdict = 'ack';
    cursor.start(bytes, from, to);
    while (cursor.next()) {
      const verdict = this.#judge(cursor.type, bytes, cursor.dataOffset, cursor.dataEnd);
      if (verdict === 'reject') return 'reject';
      if (verdict === 'nak') worst = 'nak';
    }
    if (worst === 'ack' && this.#failures < this.owner.timing.maxFailure) {
      const { buffer, packetOffset } = this.owner;
      if (this.writeMissing(bytes, from, to, buffer, packetOffset) > packetOffset) worst = 'nak';
    }
    return worst;
  }

  /** Max-Failure of RFC 1661, section 4.6: what was objected to often enough is rejected. */
  #judge(type: number, bytes: Uint8Array, from: number, to: number): OptionVerdict {
    const verdict = this.judge(type, bytes, from, to);
    return verdict === 'nak' && this.#failures >= this.owner.timing.maxFailure ? 'reject' : verdict;
  }

  #sendVerdict(): void {
    const { buffer, packetOffset } = this.owner;
    const { bytes, from, to, verdict, identifier } = incoming;
    if (verdict === 'ack') {
      this.#failures = 0;
      this.accept(bytes, from, to);
      this.sendPacket(PppCode.configureAck, identifier, bytes, from, to);
      return;
    }
    let at = packetOffset + PPP_CONTROL_LENGTH;
    cursor.start(bytes, from, to);
    while (cursor.next()) {
      const { type, offset, dataOffset, dataEnd } = cursor;
      if (this.#judge(type, bytes, dataOffset, dataEnd) !== verdict) continue;
      if (verdict === 'nak') {
        at = this.writeNak(type, bytes, dataOffset, dataEnd, buffer, at);
      } else {
        buffer.set(bytes.subarray(offset, dataEnd), at);
        at += dataEnd - offset;
      }
    }
    if (verdict === 'nak') {
      this.#failures++;
      at = this.writeMissing(bytes, from, to, buffer, at);
    }
    this.#finish(verdict === 'nak' ? PppCode.configureNak : PppCode.configureReject, identifier, at);
  }

  #sendRequest(now: number): void {
    if (this.#renewed || this.#answered || this.#requestIdentifier < 0) {
      this.#requestIdentifier = this.nextIdentifier();
    }
    this.#renewed = false;
    this.#answered = false;
    this.#startTimer(now);
    const { buffer, packetOffset } = this.owner;
    const end = this.writeRequest(buffer, packetOffset + PPP_CONTROL_LENGTH);
    this.#finish(PppCode.configureRequest, this.#requestIdentifier, end);
  }

  #startTimer(now: number): void {
    this.#restartCount--;
    this.restartAt = now + this.#restartDelay;
    this.#restartDelay = Math.min(2 * this.#restartDelay, this.owner.timing.maximumRestart);
  }

  /** An Ack, Nak or Reject: of the request that is outstanding, or it is an old one's. */
  #answer(code: number, bytes: Uint8Array, identifier: number, from: number, to: number, now: number): void {
    if (identifier !== this.#requestIdentifier || this.#answered || this.state < AutomatonState.requestSent) {
      // In the states without a request the automaton still answers, with a Terminate-Ack.
      if (this.state <= AutomatonState.stopping) {
        this.#replyTo(identifier);
        this.raise(code === PppCode.configureAck ? 'RCA' : 'RCN', now);
      } else {
        this.owner.discard('an answer to no request of ours');
      }
      return;
    }
    if (code === PppCode.configureAck) {
      if (!this.#isOurRequest(bytes, from, to)) {
        this.owner.discard('a Configure-Ack of other options than were asked for');
        return;
      }
      this.#answered = true;
      this.raise('RCA', now);
      return;
    }
    if (!arePppOptions(bytes, from, to)) {
      this.owner.discard('a Configure-Nak or Configure-Reject with a malformed option');
      return;
    }
    this.#answered = true;
    this.#renewed = true;
    cursor.start(bytes, from, to);
    while (cursor.next()) {
      if (code === PppCode.configureNak) this.naked(cursor.type, bytes, cursor.dataOffset, cursor.dataEnd);
      else this.rejected(cursor.type);
    }
    if (++this.#concessions > MAX_CONCESSIONS) {
      this.endCause = 'not-converging';
      this.raise('RXJ-', now);
      return;
    }
    this.raise('RCN', now);
  }

  #isOurRequest(bytes: Uint8Array, from: number, to: number): boolean {
    const length = this.writeRequest(expected, 0);
    if (to - from !== length) return false;
    for (let i = 0; i < length; i++) if (bytes[from + i] !== expected[i]) return false;
    return true;
  }

  #codeReject(bytes: Uint8Array, from: number, to: number, now: number): void {
    if (from >= to) {
      this.owner.discard('a Code-Reject of nothing');
      return;
    }
    const vital = this.isVital(bytes[from]!);
    if (vital) this.endCause = 'rejected';
    this.raise(vital ? 'RXJ-' : 'RXJ+', now);
  }

  #replyTo(identifier: number, bytes: Uint8Array = NOTHING, from = 0, to = 0): void {
    incoming.identifier = identifier;
    incoming.bytes = bytes;
    incoming.from = from;
    incoming.to = to;
  }

  #finish(code: number, identifier: number, end: number): void {
    const { buffer, packetOffset } = this.owner;
    buffer[packetOffset] = code;
    buffer[packetOffset + 1] = identifier;
    buffer[packetOffset + 2] = (end - packetOffset) >>> 8;
    buffer[packetOffset + 3] = end - packetOffset;
    this.owner.send(this.protocol, end);
  }

  /** The restart timer runs in the states from Closing to Ack-Sent. */
  #settle(): void {
    const { state } = this;
    if (state < AutomatonState.closing || state === AutomatonState.opened) {
      this.restartAt = Number.POSITIVE_INFINITY;
    }
  }
}

/** What the packet at hand said, for the actions that answer it; one serves all, as packets come one by one. */
const incoming: {
  bytes: Uint8Array;
  from: number;
  to: number;
  identifier: number;
  verdict: OptionVerdict;
} = { bytes: NOTHING, from: 0, to: 0, identifier: 0, verdict: 'ack' };
