import { decodeChap, emitChap, PppProtocol } from '../packet/index.ts';
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
import { md5 } from './hash/md5.ts';
import { joined } from './hash/merkle.ts';
import {
  authenticatorResponse,
  MSCHAPV2_CHALLENGE_LENGTH,
  MSCHAPV2_RESPONSE_LENGTH,
  ntResponse,
} from './mschapv2.ts';
import { shownText } from './text.ts';

export type ChapMethod = 'chap-md5' | 'mschapv2';

/** The value that answers a challenge with MD5 (RFC 1994, section 4.1). */
export function chapMd5(identifier: number, password: string, challenge: Uint8Array): Uint8Array {
  return md5(joined(Uint8Array.of(identifier), utf8(password), challenge));
}

/**
 * CHAP (RFC 1994) with MD5 or as MS-CHAPv2 (RFC 2759) from the side that is asked. It answers every challenge, those in
 * the midst of a session too, and repeats an answer until it hears what became of it.
 */
export class ChapPeer implements AuthenticationParty {
  readonly side = 'peer';
  readonly method: ChapMethod;
  readonly protocol: number = PppProtocol.chap;
  readonly #owner: AuthenticationOwner;
  readonly #credentials: Credentials;
  readonly #repetition: Repetition = new Repetition();
  #waitsUntil = Number.POSITIVE_INFINITY;
  #identifier = -1;
  #value: Uint8Array = new Uint8Array(0);
  /** What the authenticator has to show in turn (MS-CHAPv2). */
  #expected = '';

  constructor(owner: AuthenticationOwner, method: ChapMethod, credentials: Credentials) {
    this.#owner = owner;
    this.method = method;
    this.#credentials = credentials;
  }

  get responded(): boolean {
    return this.#identifier >= 0;
  }

  get timeoutAt(): number {
    return Math.min(this.#repetition.at, this.#waitsUntil);
  }

  start(now: number): void {
    const { maxConfigure, maximumRestart } = this.#owner.timing;
    this.#waitsUntil = now + maxConfigure * maximumRestart;
  }

  advance(now: number): void {
    const { user } = this.#credentials;
    if (now >= this.#waitsUntil) {
      this.#waitsUntil = Number.POSITIVE_INFINITY;
      this.#owner.refused(this, user, 'no-answer', 'no challenge came', now);
      return;
    }
    const due = this.#repetition.due(this.#owner.timing, now);
    if (due === 'again') this.#respond();
    if (due === 'enough') this.#owner.refused(this, user, 'no-answer', 'no answer to our response', now);
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'CHAP', decodeChap, bytes, offset, end);
    if (packet === undefined) return;
    if ('value' in packet) {
      if (packet.kind === 'challenge') this.#challenged(packet.identifier, packet.value, now);
    } else if (packet.identifier === this.#identifier && this.#repetition.at !== Number.POSITIVE_INFINITY) {
      this.#repetition.stop();
      this.#told(packet.kind, shownText(packet.message, 0, packet.message.length), now);
    }
  }

  #challenged(identifier: number, challenge: Uint8Array, now: number): void {
    const { user, password } = this.#credentials;
    if (
      challenge.length === 0 ||
      (this.method === 'mschapv2' && challenge.length !== MSCHAPV2_CHALLENGE_LENGTH)
    ) {
      this.#owner.discard(`a challenge of ${challenge.length} bytes`);
      return;
    }
    if (this.method === 'chap-md5') {
      this.#value = chapMd5(identifier, password, challenge);
    } else {
      const own = new Uint8Array(MSCHAPV2_CHALLENGE_LENGTH);
      this.#owner.random(own);
      const name = utf8(user);
      const response = ntResponse(challenge, own, name, password);
      this.#value = joined(own, new Uint8Array(8), response, new Uint8Array(1));
      this.#expected = authenticatorResponse(password, response, own, challenge, name);
    }
    this.#identifier = identifier;
    this.#waitsUntil = Number.POSITIVE_INFINITY;
    this.#repetition.start(this.#owner.timing, now);
    this.#respond();
  }

  #respond(): void {
    const { buffer, packetOffset } = this.#owner;
    const end = emitChap(buffer, packetOffset, {
      kind: 'response',
      identifier: this.#identifier,
      value: this.#value,
      name: utf8(this.#credentials.user),
    });
    this.#owner.send(this.protocol, end);
  }

  #told(kind: 'success' | 'failure', message: string, now: number): void {
    const { user } = this.#credentials;
    if (kind === 'failure') {
      const text = this.method === 'mschapv2' ? mschapMessage(message) : message;
      this.#owner.refused(this, user, 'authentication', text, now);
      return;
    }
    if (this.method === 'chap-md5') {
      this.#owner.authenticated(this, user, message, now);
      return;
    }
    const text = message.match(/M=(.*)$/)?.[1] ?? '';
    if (message.slice(0, this.#expected.length).toUpperCase() !== this.#expected) {
      this.#owner.refused(this, user, 'peer-not-authentic', 'its answer to our challenge is wrong', now);
    } else {
      this.#owner.authenticated(this, user, text, now);
    }
  }
}

/** What an MS-CHAPv2 failure says (RFC 2759, section 6), as in `E=691 R=0 C=… V=3 M=Access denied`. */
export function mschapMessage(message: string): string {
  const text = message.match(/M=(.*)$/)?.[1]?.trim() ?? '';
  if (text !== '') return text;
  return MSCHAP_ERRORS[message.match(/E=(\d+)/)?.[1] ?? ''] ?? message;
}

const MSCHAP_ERRORS: Readonly<Record<string, string>> = {
  646: 'not allowed at this hour',
  647: 'account disabled',
  648: 'password expired',
  649: 'no permission to dial in',
  691: 'wrong name or password',
  709: 'the password could not be changed',
};

/** Bytes of an MD5 challenge; RFC 1994 wants at least the 16 of a digest. */
const CHALLENGE_LENGTH = 16;

/** CHAP from the side that asks: at the beginning and, where wished, again and again. */
export class ChapAuthenticator implements AuthenticationParty {
  readonly side = 'authenticator';
  readonly responded = false;
  readonly method: ChapMethod;
  readonly protocol: number = PppProtocol.chap;
  readonly #owner: AuthenticationOwner;
  readonly #account: AccountLookup;
  readonly #name: string;
  readonly #again: number;
  readonly #repetition: Repetition = new Repetition();
  readonly #challenge: Uint8Array = new Uint8Array(CHALLENGE_LENGTH);
  #againAt = Number.POSITIVE_INFINITY;
  #identifier = 0;
  /** The answer to the response of the challenge at hand; sent once more for each response that comes again. */
  #verdict: { readonly kind: 'success' | 'failure'; readonly message: Uint8Array } | undefined;

  /** @param again asks again every so many milliseconds; 0 for never. */
  constructor(
    owner: AuthenticationOwner,
    method: ChapMethod,
    account: AccountLookup,
    options: { readonly name: string; readonly again?: number },
  ) {
    this.#owner = owner;
    this.method = method;
    this.#account = account;
    this.#name = options.name;
    this.#again = options.again ?? 0;
    const first = new Uint8Array(1);
    owner.random(first);
    this.#identifier = first[0]!;
  }

  get timeoutAt(): number {
    return Math.min(this.#repetition.at, this.#againAt);
  }

  start(now: number): void {
    this.#identifier = (this.#identifier + 1) & 0xff;
    this.#owner.random(this.#challenge);
    this.#verdict = undefined;
    this.#againAt = Number.POSITIVE_INFINITY;
    this.#repetition.start(this.#owner.timing, now);
    this.#ask();
  }

  advance(now: number): void {
    if (now >= this.#againAt) {
      this.start(now);
      return;
    }
    const due = this.#repetition.due(this.#owner.timing, now);
    if (due === 'again') this.#ask();
    if (due === 'enough') this.#owner.refused(this, '', 'no-answer', 'no answer to our challenge', now);
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'CHAP', decodeChap, bytes, offset, end);
    if (packet?.kind !== 'response' || packet.identifier !== this.#identifier) return;
    if (this.#verdict !== undefined) {
      this.#tell();
      return;
    }
    this.#repetition.stop();
    const user = nameText(packet.name);
    const account = this.#account(user);
    const message =
      account === undefined ? undefined : this.#check(packet.value, packet.name, account.password);
    this.#verdict = {
      kind: message === undefined ? 'failure' : 'success',
      message: utf8(message ?? this.#refusal()),
    };
    this.#tell();
    if (message === undefined) {
      this.#owner.refused(this, user, 'authentication', REFUSAL, now);
      return;
    }
    if (this.#again > 0) this.#againAt = now + this.#again;
    this.#owner.authenticated(this, user, '', now);
  }

  /** @returns what the success says; undefined for a wrong value. */
  #check(value: Uint8Array, name: Uint8Array, password: string): string | undefined {
    if (this.method === 'chap-md5') {
      return areEqual(value, chapMd5(this.#identifier, password, this.#challenge)) ? 'Welcome' : undefined;
    }
    if (value.length !== MSCHAPV2_RESPONSE_LENGTH) return undefined;
    const peerChallenge = value.subarray(0, MSCHAPV2_CHALLENGE_LENGTH);
    const response = value.subarray(24, 48);
    if (!areEqual(response, ntResponse(this.#challenge, peerChallenge, name, password))) return undefined;
    return `${authenticatorResponse(password, response, peerChallenge, this.#challenge, name)} M=Welcome`;
  }

  #refusal(): string {
    if (this.method === 'chap-md5') return REFUSAL;
    const challenge = Array.from(this.#challenge, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return `E=691 R=0 C=${challenge.toUpperCase()} V=3 M=${REFUSAL}`;
  }

  #ask(): void {
    const { buffer, packetOffset } = this.#owner;
    const end = emitChap(buffer, packetOffset, {
      kind: 'challenge',
      identifier: this.#identifier,
      value: this.#challenge,
      name: utf8(this.#name),
    });
    this.#owner.send(this.protocol, end);
  }

  #tell(): void {
    const { buffer, packetOffset } = this.#owner;
    if (this.#verdict === undefined) return;
    const { kind, message } = this.#verdict;
    const end = emitChap(buffer, packetOffset, { kind, identifier: this.#identifier, message });
    this.#owner.send(this.protocol, end);
  }
}
