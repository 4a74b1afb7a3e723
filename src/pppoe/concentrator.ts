import type { PppoeConcentratorOptions } from './concentrator-options.ts';
import type { PppoeConcentratorSession } from './concentrator-session.ts';

/** An access concentrator on one wire. Discovery keeps no state: a session begins with a PADR whose AC-Cookie is right. */
export declare class PppoeConcentrator {
  constructor(options: PppoeConcentratorOptions);
  readonly sessions: ReadonlyMap<number, PppoeConcentratorSession>;
  /** Addresses of the pool that are not given out. */
  readonly freeAddresses: number;
  readonly deadline: number;
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean;
  advance(now: number): void;
  /** The session that has this IPv4 address: where a packet from the Internet side belongs. */
  sessionOf(address: number): PppoeConcentratorSession | undefined;
  /** Ends all sessions: Terminate-Request and PADT. Takes no new ones. */
  close(now: number): void;
}
