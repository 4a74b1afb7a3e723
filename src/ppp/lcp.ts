import { LcpOptionType, PPP_CONTROL_LENGTH, PppCode, PppOptionCursor, PppProtocol } from '../packet/index.ts';
import type { AuthenticationMethod } from './authentication-method.ts';
import { AutomatonState } from './automaton.ts';
import { randomWord } from './carrier.ts';
import { type ControlOwner, ControlProtocol, type OptionVerdict } from './control-protocol.ts';

/** What LCP asks for and puts up with. */
export interface LcpOptions {
  /** The largest packet we take, in bytes. */
  readonly mru: number;
  /** The largest packet that the carrier takes; a peer that wants more is told so. */
  readonly carrierMru: number;
  /** The least MRU of the peer to be content with. */
  readonly minimumMru: number;
  /** How the peer may ask us who we are, best first. */
  readonly answers: readonly AuthenticationMethod[];
  /** How we ask the peer who it is, best first; empty to not ask. */
  readonly demands: readonly AuthenticationMethod[];
  readonly echo: { readonly interval: number; readonly failures: number } | undefined;
}

/** What LCP tells its link beside its layer's ups and downs. */
export interface LcpOwner extends ControlOwner {
  /** Counts the peer's data packets: one that sends is alive. */
  readonly activity: number;
  echoReply(roundTrip: number, now: number): void;
  echoTimeout(now: number): void;
  protocolReject(protocol: number, now: number): void;
}

/** What a link's packets may have at most when nobody says otherwise (RFC 1661, section 6.1). */
const DEFAULT_MRU = 1500;
/** Our own magic number this often in a row is a loop. */
const MAX_LOOPS = 3;

const cursor = new PppOptionCursor();

/** The Link Control Protocol (RFC 1661, sections 5 and 6), as PPPoE restricts it (RFC 2516, section 7). */
export class Lcp extends ControlProtocol {
  /** When the next echo is due; Infinity for never. */
  echoAt: number = Number.POSITIVE_INFINITY;
  /** How the peer asks us who we are; undefined if it does not. */
  answering: AuthenticationMethod | undefined;
  /** Our own packets come back. */
  looped = false;
  /** The MRU that the peer asked for and that was below the least. */
  smallMru = 0;
  /** What the peer wanted to ask us with and we do not do, or would not do for us: for the error's text. */
  unwantedMethod = '';
  /** The peer does not let itself be asked. */
  demandRefused = false;
  declare protected readonly owner: LcpOwner;
  readonly #options: LcpOptions;
  #magic: number;
  #peerMagic = 0;
  #peerMru = DEFAULT_MRU;
  #mru: number;
  #asksMru: boolean;
  #asksMagic = true;
  #demand = 0;
  #loops = 0;
  #nakedMagic = 0;
  #suggestion = 0;
  #echoes = 0;
  #echoIdentifier = -1;
  #echoSentAt = 0;
  #activitySeen = 0;

  constructor(owner: LcpOwner, options: LcpOptions) {
    super(owner, PppProtocol.lcp);
    this.#options = options;
    this.#mru = options.mru;
    this.#asksMru = options.mru !== DEFAULT_MRU;
    this.#magic = randomWord(owner.random);
  }

  /** How we ask the peer who it is; undefined if we do not. */
  get demanding(): AuthenticationMethod | undefined {
    return this.#options.demands[this.#demand];
  }

  /** The largest packet that both the peer and the carrier take, in bytes. */
  get mtu(): number {
    return Math.min(this.#peerMru, this.#options.carrierMru);
  }

  /** Our magic number, 0 when the peer does not take any. */
  get magic(): number {
    return this.#asksMagic ? this.#magic : 0;
  }

  get peerMagic(): number {
    return this.#peerMagic;
  }

  /** Echoes begin; the first comes after a part of the interval, so that a fleet's do not come all at once. */
  startEchoes(now: number): void {
    const { echo } = this.#options;
    this.#echoes = 0;
    this.#activitySeen = this.owner.activity;
    if (echo === undefined) return;
    this.echoAt = now + Math.round(echo.interval * (0.5 + randomWord(this.owner.random) / 2 ** 33));
  }

  /** Sends an Echo-Request now; `owner.echoReply` hears of the answer. */
  probe(now: number): void {
    this.#echoIdentifier = this.nextIdentifier();
    this.#echoSentAt = now;
    const { buffer, packetOffset } = this.owner;
    const at = packetOffset + PPP_CONTROL_LENGTH;
    putWord(buffer, at, this.magic);
    this.sendPacket(PppCode.echoRequest, this.#echoIdentifier, buffer, at, at + 4);
  }

  override advance(now: number): void {
    super.advance(now);
    if (now < this.echoAt) return;
    const { echo } = this.#options;
    if (echo === undefined || !this.opened) {
      this.echoAt = Number.POSITIVE_INFINITY;
      return;
    }
    this.echoAt = now + echo.interval;
    if (this.owner.activity !== this.#activitySeen) {
      this.#activitySeen = this.owner.activity;
      this.#echoes = 0;
      return;
    }
    if (this.#echoes >= echo.failures) {
      this.echoAt = Number.POSITIVE_INFINITY;
      this.owner.echoTimeout(now);
      return;
    }
    this.#echoes++;
    this.probe(now);
  }

  /** Tells the peer that we do not speak a protocol (RFC 1661, section 5.7), with as much of the packet as it takes. */
  sendProtocolReject(protocol: number, bytes: Uint8Array, from: number, to: number): void {
    const { buffer, packetOffset } = this.owner;
    const at = packetOffset + PPP_CONTROL_LENGTH;
    const length = Math.min(to - from, this.mtu - PPP_CONTROL_LENGTH - 2, buffer.length - at - 2);
    buffer[at] = protocol >>> 8;
    buffer[at + 1] = protocol;
    buffer.set(bytes.subarray(from, from + length), at + 2);
    this.sendPacket(PppCode.protocolReject, -1, buffer, at, at + 2 + length);
  }

  protected override begin(now: number): void {
    super.begin(now);
    this.#magic = randomWord(this.owner.random);
    this.#peerMru = DEFAULT_MRU;
    this.#peerMagic = 0;
    this.answering = undefined;
    this.echoAt = Number.POSITIVE_INFINITY;
    this.#echoIdentifier = -1;
  }

  protected writeRequest(out: Uint8Array, start: number): number {
    let at = start;
    if (this.#asksMru) at = putShortOption(out, at, LcpOptionType.mru, this.#mru);
    const { demanding } = this;
    if (demanding !== undefined) at = putMethod(out, at, demanding);
    if (this.#asksMagic) at = putWordOption(out, at, LcpOptionType.magicNumber, this.#magic);
    return at;
  }

  protected judge(type: number, bytes: Uint8Array, from: number, to: number): OptionVerdict {
    const length = to - from;
    switch (type) {
      case LcpOptionType.mru: {
        if (length !== 2) return 'reject';
        const mru = (bytes[from]! << 8) | bytes[from + 1]!;
        return mru < this.#options.minimumMru || mru > this.#options.carrierMru ? 'nak' : 'ack';
      }
      case LcpOptionType.authenticationProtocol:
        if (length < 2 || this.#options.answers.length === 0) {
          if (length >= 2) this.unwantedMethod = methodName(bytes, from, to);
          return 'reject';
        }
        return this.#options.answers.includes(methodOf(bytes, from, to) as AuthenticationMethod)
          ? 'ack'
          : 'nak';
      case LcpOptionType.magicNumber: {
        if (length !== 4) return 'reject';
        const magic = wordAt(bytes, from);
        return magic === 0 || magic === this.magic ? 'nak' : 'ack';
      }
      default:
        // Compression of the address or protocol field, ACCM and Multilink have no place on PPPoE.
        return 'reject';
    }
  }

  protected writeNak(
    type: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    out: Uint8Array,
    at: number,
  ): number {
    switch (type) {
      case LcpOptionType.mru: {
        const mru = (bytes[from]! << 8) | bytes[from + 1]!;
        if (mru < this.#options.minimumMru) this.smallMru = mru;
        return putShortOption(out, at, type, this.#options.carrierMru);
      }
      case LcpOptionType.authenticationProtocol: {
        const { answers } = this.#options;
        this.unwantedMethod = methodName(bytes, from, to);
        const suggestion = answers[this.#suggestion++ % answers.length];
        return suggestion === undefined ? at : putMethod(out, at, suggestion);
      }
      default: {
        if (wordAt(bytes, from) !== 0) this.#suspectLoop();
        this.#nakedMagic = randomWord(this.owner.random);
        return putWordOption(out, at, type, this.#nakedMagic);
      }
    }
  }

  protected accept(bytes: Uint8Array, from: number, to: number): void {
    this.#peerMru = DEFAULT_MRU;
    this.#peerMagic = 0;
    this.answering = undefined;
    cursor.start(bytes, from, to);
    while (cursor.next()) {
      const { type, dataOffset, dataEnd } = cursor;
      if (type === LcpOptionType.mru) this.#peerMru = (bytes[dataOffset]! << 8) | bytes[dataOffset + 1]!;
      if (type === LcpOptionType.magicNumber) this.#peerMagic = wordAt(bytes, dataOffset);
      if (type === LcpOptionType.authenticationProtocol) {
        this.answering = methodOf(bytes, dataOffset, dataEnd);
      }
    }
    this.#loops = 0;
    this.smallMru = 0;
    this.unwantedMethod = '';
  }

  protected naked(type: number, bytes: Uint8Array, from: number, to: number): void {
    switch (type) {
      case LcpOptionType.mru:
        if (to - from === 2) {
          const mru = (bytes[from]! << 8) | bytes[from + 1]!;
          if (mru >= this.#options.minimumMru) this.#mru = Math.min(mru, this.#options.carrierMru);
          this.#asksMru = true;
        }
        break;
      case LcpOptionType.magicNumber:
        if (to - from === 4 && wordAt(bytes, from) === this.#nakedMagic) this.#suspectLoop();
        this.#magic = randomWord(this.owner.random);
        break;
      case LcpOptionType.authenticationProtocol: {
        const { demands } = this.#options;
        if (demands.length === 0) break;
        const wanted = demands.indexOf(methodOf(bytes, from, to) as AuthenticationMethod);
        this.unwantedMethod = methodName(bytes, from, to);
        this.#demand = wanted >= 0 ? wanted : (this.#demand + 1) % demands.length;
        break;
      }
      default:
        // An option that we did not ask for, offered: not needed.
        break;
    }
  }

  protected rejected(type: number): void {
    if (type === LcpOptionType.mru) this.#asksMru = false;
    if (type === LcpOptionType.magicNumber) this.#asksMagic = false;
    if (type === LcpOptionType.authenticationProtocol) this.demandRefused = true;
  }

  protected override isVital(code: number): boolean {
    return code <= PppCode.protocolReject;
  }

  protected override otherCode(
    code: number,
    identifier: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    now: number,
  ): boolean {
    switch (code) {
      case PppCode.protocolReject:
        if (to - from < 2) this.owner.discard('a Protocol-Reject without a protocol');
        else if (this.opened) this.owner.protocolReject((bytes[from]! << 8) | bytes[from + 1]!, now);
        return true;
      case PppCode.echoRequest:
        this.raise('RXR', now);
        this.#echoRequest(identifier, bytes, from, to);
        return true;
      case PppCode.echoReply:
        this.raise('RXR', now);
        this.#echoReply(identifier, from, to, now);
        return true;
      case PppCode.discardRequest:
      case PppCode.identification:
      case PppCode.timeRemaining:
        this.raise('RXR', now);
        return true;
      default:
        return false;
    }
  }

  #echoRequest(identifier: number, bytes: Uint8Array, from: number, to: number): void {
    if (to - from < 4) {
      this.owner.discard('an Echo-Request without a magic number');
      return;
    }
    // Before LCP is open an echo is discarded, whatever its magic number (RFC 1661, section 5.8).
    if (this.state !== AutomatonState.opened) return;
    const magic = wordAt(bytes, from);
    if (magic !== 0 && magic === this.magic) {
      this.#suspectLoop();
      return;
    }
    const { buffer, packetOffset } = this.owner;
    const at = packetOffset + PPP_CONTROL_LENGTH;
    const length = Math.min(to - from, buffer.length - at);
    putWord(buffer, at, this.magic);
    buffer.set(bytes.subarray(from + 4, from + length), at + 4);
    this.sendPacket(PppCode.echoReply, identifier, buffer, at, at + length);
  }

  #echoReply(identifier: number, from: number, to: number, now: number): void {
    if (to - from < 4) {
      this.owner.discard('an Echo-Reply without a magic number');
      return;
    }
    if (identifier !== this.#echoIdentifier || !this.opened) return;
    this.#echoIdentifier = -1;
    this.#echoes = 0;
    this.#loops = 0;
    this.owner.echoReply(now - this.#echoSentAt, now);
  }

  #suspectLoop(): void {
    if (++this.#loops >= MAX_LOOPS) this.looped = true;
  }
}

/** Data of the Authentication-Protocol option: a PPP protocol, and CHAP's algorithm. */
const METHODS: Readonly<Record<AuthenticationMethod, readonly number[]>> = {
  pap: [0xc0, 0x23],
  'chap-md5': [0xc2, 0x23, 0x05],
  mschapv2: [0xc2, 0x23, 0x81],
  'eap-md5': [0xc2, 0x27],
};

function methodOf(bytes: Uint8Array, from: number, to: number): AuthenticationMethod | undefined {
  for (const [method, data] of Object.entries(METHODS)) {
    if (data.length === to - from && data.every((byte, i) => bytes[from + i] === byte)) {
      return method as AuthenticationMethod;
    }
  }
  return undefined;
}

/** A method by its name, known to us or not. */
function methodName(bytes: Uint8Array, from: number, to: number): string {
  const known = methodOf(bytes, from, to);
  if (known !== undefined) return known;
  const protocol = (bytes[from]! << 8) | bytes[from + 1]!;
  if (protocol === PppProtocol.chap && to - from > 2) {
    return bytes[from + 2] === 128 ? 'MS-CHAP version 1' : `CHAP with algorithm ${bytes[from + 2]}`;
  }
  return `protocol 0x${protocol.toString(16).padStart(4, '0')}`;
}

function putMethod(out: Uint8Array, at: number, method: AuthenticationMethod): number {
  const data = METHODS[method];
  out[at] = LcpOptionType.authenticationProtocol;
  out[at + 1] = 2 + data.length;
  out.set(data, at + 2);
  return at + 2 + data.length;
}

function putShortOption(out: Uint8Array, at: number, type: number, value: number): number {
  out[at] = type;
  out[at + 1] = 4;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** An option with a 32-bit value. @returns the offset behind it. */
export function putWordOption(out: Uint8Array, at: number, type: number, value: number): number {
  out[at] = type;
  out[at + 1] = 6;
  putWord(out, at + 2, value);
  return at + 6;
}

function putWord(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

export function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
