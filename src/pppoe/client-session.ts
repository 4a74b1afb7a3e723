import type {
  PppoeAddresses,
  PppoeConcentratorInfo,
  PppoeSessionOptions,
  PppoeSessionState,
} from './client-options.ts';
import type { PppoeWireIdentity } from './frame.ts';

/** One session of a {@link PppoeClient}. Times are milliseconds on the clock of `now`. */
export declare class PppoeClientSession {
  private constructor();
  /** Given by the client, from 0; not used again while the session lives. */
  readonly index: number;
  readonly options: Omit<PppoeSessionOptions, 'password'>;
  readonly state: PppoeSessionState;
  /** 0 when there is none. */
  readonly sessionId: number;
  /** While open. */
  readonly addresses: PppoeAddresses | undefined;
  readonly concentrator: PppoeConcentratorInfo | undefined;
  /** What a state file keeps; undefined while there is no session. */
  readonly wireIdentity: PppoeWireIdentity | undefined;
  readonly lastError: Error | undefined;
  /** When it dials again while `waiting`. */
  readonly retryAt: number;
  /** When it opened. */
  readonly openedAt: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Frames of this session that were malformed or unexpected, and not followed. */
  readonly discarded: number;
  /** Round trip of the last LCP echo in milliseconds; NaN before the first. */
  readonly echoRoundTrip: number;
  /** Bytes that `encapsulate` puts in front of a packet: 22, and 4 for each VLAN tag. */
  readonly headerLength: number;
  /** Dials; no effect on a session that is not idle or waiting. */
  dial(now: number): void;
  /** Ends gracefully: Terminate-Request, then PADT; `closed` follows. */
  hangUp(now: number): void;
  /** Ends at once with a PADT, as at exit. */
  abort(now: number): void;
  /** Hangs up and dials again, not before `minimumRedialInterval` since the last dial. @returns when it will dial. */
  redial(now: number): number;
  /**
   * Puts the headers in front of an IP packet, in place.
   *
   * @returns the length of what was put in front, so that the frame begins at `offset` minus it; 0 when the session does not
   * carry this packet (not open, no such IP version, longer than its MTU).
   */
  encapsulate(bytes: Uint8Array, offset: number, length: number): number;
}
