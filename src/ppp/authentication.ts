import { CodecError } from '../error.ts';
import type { AuthenticationMethod } from './authentication-method.ts';
import type { PppCarrier, PppTiming, RandomSource } from './carrier.ts';
import type { PppFailure } from './failure.ts';

/** Whom we say we are. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** The password of a user; undefined for nobody. */
export type AccountLookup = (user: string) => { readonly password: string } | undefined;

/** The link that an authentication runs on. */
export interface AuthenticationOwner extends PppCarrier {
  readonly timing: PppTiming;
  readonly random: RandomSource;
  discard(why: string): void;
  /** May come again, after another challenge. @param message the authenticator's own words, if they were sent to us. */
  authenticated(party: AuthenticationParty, user: string, message: string, now: number): void;
  /** @param message the authenticator's own words, or what went wrong. */
  refused(party: AuthenticationParty, user: string, failure: PppFailure, message: string, now: number): void;
}

/** One side of an authentication protocol on a link. */
export interface AuthenticationParty {
  readonly side: 'peer' | 'authenticator';
  readonly method: AuthenticationMethod;
  /** Its PPP protocol number. */
  readonly protocol: number;
  /** Whether the password, or what it makes of a challenge, was sent to the other side. */
  readonly responded: boolean;
  /** When `advance` wants to be called; Infinity for never. */
  readonly timeoutAt: number;
  start(now: number): void;
  advance(now: number): void;
  /** Takes a packet that begins behind the PPP protocol number. */
  input(bytes: Uint8Array, offset: number, end: number, now: number): void;
}

/** Counts the repetitions of a packet that waits for its answer. */
export class Repetition {
  at: number = Number.POSITIVE_INFINITY;
  #left = 0;
  #delay = 0;

  start(timing: PppTiming, now: number): void {
    this.#left = timing.maxConfigure;
    this.#delay = timing.restart;
    this.at = now + this.#delay;
  }

  stop(): void {
    this.at = Number.POSITIVE_INFINITY;
  }

  /** What is due at `now`: nothing, another try, or the end of trying. */
  due(timing: PppTiming, now: number): 'nothing' | 'again' | 'enough' {
    if (now < this.at) return 'nothing';
    if (--this.#left <= 0) {
      this.stop();
      return 'enough';
    }
    this.#delay = Math.min(2 * this.#delay, timing.maximumRestart);
    this.at = now + this.#delay;
    return 'again';
  }
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A name as the account lookup takes it. */
export function nameText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Whether both are equal, in a time that does not tell where they differ. */
export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0);
  return difference === 0;
}

/** Some bytes of a peer stand for no one in our lists: the same answer as to a wrong password. */
export const REFUSAL = 'Access denied';

/** A packet as `decode` reads it; the owner hears of a malformed one, which is undefined here. */
export function decoded<Packet>(
  owner: AuthenticationOwner,
  name: string,
  decode: (bytes: Uint8Array, offset: number, end: number) => Packet,
  bytes: Uint8Array,
  offset: number,
  end: number,
): Packet | undefined {
  try {
    return decode(bytes, offset, end);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    owner.discard(`a malformed ${name} packet`);
    return undefined;
  }
}
