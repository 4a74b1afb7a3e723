import { decodePap, emitPap, PppProtocol } from '../packet/index.ts';
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
import { shownText } from './text.ts';

/** PAP (RFC 1334) from the side that says who it is: the request is repeated until it is answered. */
export class PapPeer implements AuthenticationParty {
  readonly side = 'peer';
  readonly method: AuthenticationMethod = 'pap';
  readonly protocol: number = PppProtocol.pap;
  readonly #owner: AuthenticationOwner;
  readonly #credentials: Credentials;
  readonly #repetition: Repetition = new Repetition();
  #identifier = 0;

  constructor(owner: AuthenticationOwner, credentials: Credentials) {
    this.#owner = owner;
    this.#credentials = credentials;
  }

  get responded(): boolean {
    return this.#identifier > 0;
  }

  get timeoutAt(): number {
    return this.#repetition.at;
  }

  start(now: number): void {
    this.#repetition.start(this.#owner.timing, now);
    this.#request();
  }

  advance(now: number): void {
    const due = this.#repetition.due(this.#owner.timing, now);
    if (due === 'again') this.#request();
    if (due === 'enough') {
      const { user } = this.#credentials;
      this.#owner.refused(this, user, 'no-answer', 'no answer to name and password', now);
    }
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'PAP', decodePap, bytes, offset, end);
    if (packet === undefined || packet.kind === 'request') return;
    if (packet.identifier !== this.#identifier || this.#repetition.at === Number.POSITIVE_INFINITY) return;
    this.#repetition.stop();
    const { user } = this.#credentials;
    const message = shownText(packet.message, 0, packet.message.length);
    if (packet.kind === 'ack') this.#owner.authenticated(this, user, message, now);
    else this.#owner.refused(this, user, 'authentication', message, now);
  }

  #request(): void {
    const { buffer, packetOffset } = this.#owner;
    this.#identifier = (this.#identifier + 1) & 0xff;
    const { user, password } = this.#credentials;
    const peerId = utf8(user).subarray(0, 255);
    const end = emitPap(buffer, packetOffset, {
      kind: 'request',
      identifier: this.#identifier,
      peerId,
      password: utf8(password).subarray(0, 255),
    });
    this.#owner.send(this.protocol, end);
  }
}

/** PAP from the side that asks: it waits, and answers every request as it did the first. */
export class PapAuthenticator implements AuthenticationParty {
  readonly side = 'authenticator';
  readonly responded = false;
  readonly method: AuthenticationMethod = 'pap';
  readonly protocol: number = PppProtocol.pap;
  timeoutAt: number = Number.POSITIVE_INFINITY;
  readonly #owner: AuthenticationOwner;
  readonly #account: AccountLookup;
  #verdict: 'none' | 'ack' | 'nak' = 'none';

  constructor(owner: AuthenticationOwner, account: AccountLookup) {
    this.#owner = owner;
    this.#account = account;
  }

  start(now: number): void {
    const { maxConfigure, maximumRestart } = this.#owner.timing;
    this.timeoutAt = now + maxConfigure * maximumRestart;
  }

  advance(now: number): void {
    if (now < this.timeoutAt) return;
    this.timeoutAt = Number.POSITIVE_INFINITY;
    this.#owner.refused(this, '', 'no-answer', 'no name and password', now);
  }

  input(bytes: Uint8Array, offset: number, end: number, now: number): void {
    const packet = decoded(this.#owner, 'PAP', decodePap, bytes, offset, end);
    if (packet?.kind !== 'request') return;
    const first = this.#verdict === 'none';
    const user = nameText(packet.peerId);
    if (first) {
      const account = this.#account(user);
      const right =
        account !== undefined && areEqual(packet.password, utf8(account.password).subarray(0, 255));
      this.#verdict = right ? 'ack' : 'nak';
      this.timeoutAt = Number.POSITIVE_INFINITY;
    }
    const kind = this.#verdict === 'ack' ? 'ack' : 'nak';
    const message = utf8(kind === 'ack' ? 'Welcome' : REFUSAL);
    const { buffer, packetOffset } = this.#owner;
    this.#owner.send(
      this.protocol,
      emitPap(buffer, packetOffset, { kind, identifier: packet.identifier, message }),
    );
    if (!first) return;
    if (kind === 'ack') this.#owner.authenticated(this, user, '', now);
    else this.#owner.refused(this, user, 'authentication', REFUSAL, now);
  }
}
