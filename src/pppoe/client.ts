import type { PppoeClientOptions, PppoeSessionOptions } from './client-options.ts';
import type { PppoeClientSession } from './client-session.ts';

/** The client side of one wire: any number of sessions, their frames told apart, their timers in one heap. */
export declare class PppoeClient {
  constructor(options: PppoeClientOptions);
  /** Every session that was added and not removed. */
  readonly sessions: ReadonlySet<PppoeClientSession>;
  /** When `advance` wants to be called next, on the clock of `now`; Infinity if never. Changes with every call. */
  readonly deadline: number;
  /** Makes a session; it is `idle` until it is dialled. */
  add(options: PppoeSessionOptions): PppoeClientSession;
  /** Ends a session at once (PADT) and forgets it. */
  remove(session: PppoeClientSession, now: number): void;
  /**
   * Takes a frame from the wire. `bytes` is only read, and only during the call.
   *
   * @returns whether the frame was PPPoE for one of these sessions.
   */
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean;
  /** Does what is due at `now`. */
  advance(now: number): void;
  /** Tells of the interface: without carrier every session closes, and is dialled again when it returns. */
  carrier(up: boolean, now: number): void;
}
