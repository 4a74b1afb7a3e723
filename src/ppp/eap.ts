import { decodeEap, EapType, emitEap, PppProtocol } from '../packet/index.ts';
import {
  type AccountLookup,
  type AuthenticationOwner,
  type AuthenticationParty,
  areEqual,
  type Credentials,
  decoded,
  nameText,
  REFUSAL,
  Repetition,
  utf8,
} from './authentication.ts';
import type { AuthenticationMethod } from './authentication-method.ts';
import { chapMd5 } from './chap.ts';
import { joined } from './hash/merkle.ts';
import { shownText } from './text.ts';

/** Names of EAP methods that servers ask for and that are not spoken here (IANA). */
const METHOD_NAMES: Readonly<Record<number, string>> = {
  5: 'OTP',
  6: 'GTC',
  13: 'TLS',
  18: 'SIM',
  21: 'TTLS',
  23: 'AKA',
  25: 'PEAP',
  26: 'MSCHAPv2',
  43: 'FAST',
  50: "AKA'",
  52: 'PWD',
};

/** EAP (RFC 3748) from the side that is asked: identity, notification and MD5; it says what else it was asked for. */
export class EapPeer implements AuthenticationParty {
  readonly side = 'peer';
  readonly method: AuthenticationMethod = 'eap-md5';
  readonly protocol: number = PppProtocol.eap;
  responded = false;
  timeoutAt: number = Number.POSITIVE_INFINITY;
  readonly #owner: AuthenticationOwner;
  readonly #credentials: Credentials;
  #notice = '';
  #missing = '';

  constructor(owner: AuthenticationOwner, credentials: Credentials) {
    this.#owner = owner;
    this.#credentials = credentials;
  }

  /** The authenticator repeats itself (RFC 3748, section 4.3); we only wait. */
  start(now: number): void {
    const { maxConfigure, maximumRestart } = this.#owner.timing;
    this.timeoutAt = now + maxConfigure * maximumRestart;
  }

  advance(now: number): void {
    if (now < this.timeoutAt) return;
    this.timeoutAt = Number.POSITIVE_INFINITY;
    this.#refused('no-answer', 'EAP came to no end', now);
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'EAP', decodeEap, bytes, offset, end);
    switch (packet?.kind) {
      case 'request':
        this.#answer(packet.identifier, packet.type, packet.data);
        break;
      case 'success':
        // A success before any method would be anyone's.
        if (!this.responded) break;
        this.timeoutAt = Number.POSITIVE_INFINITY;
        this.#owner.authenticated(this, this.#credentials.user, this.#notice, now);
        break;
      case 'failure':
        this.timeoutAt = Number.POSITIVE_INFINITY;
        if (this.#missing !== '') this.#refused('authentication-method', this.#missing, now);
        else this.#refused('authentication', this.#notice, now);
        break;
      default:
        break;
    }
  }

  #answer(identifier: number, type: number, data: Uint8Array): void {
    const { user, password } = this.#credentials;
    switch (type) {
      case EapType.identity:
        this.#respond(identifier, type, utf8(user));
        break;
      case EapType.notification:
        this.#notice = shownText(data, 0, data.length);
        this.#respond(identifier, type, new Uint8Array(0));
        break;
      case EapType.md5Challenge: {
        const length = data[0] ?? 0;
        if (length === 0 || 1 + length > data.length) {
          this.#owner.discard('an EAP challenge without a value');
          break;
        }
        const value = chapMd5(identifier, password, data.subarray(1, 1 + length));
        this.responded = true;
        this.#missing = '';
        // Servers look the user up by the name behind the value, not by the identity.
        this.#respond(identifier, type, joined(Uint8Array.of(value.length), value, utf8(user)));
        break;
      }
      default:
        this.#missing = `EAP method ${type}${METHOD_NAMES[type] === undefined ? '' : ` (${METHOD_NAMES[type]})`} is wanted, only MD5 is spoken`;
        this.#respond(identifier, EapType.nak, Uint8Array.of(EapType.md5Challenge));
    }
  }

  #respond(identifier: number, type: number, data: Uint8Array): void {
    const { buffer, packetOffset } = this.#owner;
    this.#owner.send(
      this.protocol,
      emitEap(buffer, packetOffset, { kind: 'response', identifier, type, data }),
    );
  }

  #refused(
    failure: 'authentication' | 'authentication-method' | 'no-answer',
    message: string,
    now: number,
  ): void {
    this.#owner.refused(this, this.#credentials.user, failure, message, now);
  }
}

const CHALLENGE_LENGTH = 16;

/** EAP with MD5 from the side that asks: identity first, then the challenge. */
export class EapAuthenticator implements AuthenticationParty {
  readonly side = 'authenticator';
  readonly responded = false;
  readonly method: AuthenticationMethod = 'eap-md5';
  readonly protocol: number = PppProtocol.eap;
  readonly #owner: AuthenticationOwner;
  readonly #account: AccountLookup;
  readonly #name: string;
  readonly #repetition: Repetition = new Repetition();
  readonly #challenge: Uint8Array = new Uint8Array(CHALLENGE_LENGTH);
  #identifier = 0;
  #asking: 'identity' | 'challenge' = 'identity';
  #verdict: 'none' | 'success' | 'failure' = 'none';

  constructor(owner: AuthenticationOwner, account: AccountLookup, name: string) {
    this.#owner = owner;
    this.#account = account;
    this.#name = name;
  }

  get timeoutAt(): number {
    return this.#repetition.at;
  }

  start(now: number): void {
    this.#asking = 'identity';
    this.#next(now);
  }

  advance(now: number): void {
    const due = this.#repetition.due(this.#owner.timing, now);
    if (due === 'again') this.#ask();
    if (due === 'enough') this.#owner.refused(this, '', 'no-answer', 'no answer to our EAP request', now);
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'EAP', decodeEap, bytes, offset, end);
    if (packet?.kind !== 'response' || packet.identifier !== this.#identifier) return;
    if (this.#verdict !== 'none') {
      this.#tell();
      return;
    }
    if (packet.type === EapType.identity && this.#asking === 'identity') {
      this.#asking = 'challenge';
      this.#owner.random(this.#challenge);
      this.#next(now);
    } else if (packet.type === EapType.md5Challenge && this.#asking === 'challenge') {
      this.#check(packet.data, now);
    } else if (packet.type === EapType.nak) {
      this.#decide('failure', '', now);
    }
  }

  #check(data: Uint8Array, now: number): void {
    const length = data[0] ?? 0;
    const user = nameText(data.subarray(1 + length));
    const account = this.#account(user);
    const right =
      account !== undefined &&
      areEqual(data.subarray(1, 1 + length), chapMd5(this.#identifier, account.password, this.#challenge));
    this.#decide(right ? 'success' : 'failure', user, now);
  }

  #decide(verdict: 'success' | 'failure', user: string, now: number): void {
    this.#verdict = verdict;
    this.#repetition.stop();
    this.#tell();
    if (verdict === 'success') this.#owner.authenticated(this, user, '', now);
    else this.#owner.refused(this, user, 'authentication', REFUSAL, now);
  }

  #next(now: number): void {
    this.#identifier = (this.#identifier + 1) & 0xff;
    this.#repetition.start(this.#owner.timing, now);
    this.#ask();
  }

  #ask(): void {
    const { buffer, packetOffset } = this.#owner;
    const identity = this.#asking === 'identity';
    const end = emitEap(buffer, packetOffset, {
      kind: 'request',
      identifier: this.#identifier,
      type: identity ? EapType.identity : EapType.md5Challenge,
      data: identity
        ? new Uint8Array(0)
        : joined(Uint8Array.of(CHALLENGE_LENGTH), this.#challenge, utf8(this.#name)),
    });
    this.#owner.send(this.protocol, end);
  }

  #tell(): void {
    if (this.#verdict === 'none') return;
    const { buffer, packetOffset } = this.#owner;
    const end = emitEap(buffer, packetOffset, { kind: this.#verdict, identifier: this.#identifier });
    this.#owner.send(this.protocol, end);
  }
}
