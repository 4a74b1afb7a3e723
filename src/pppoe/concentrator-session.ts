import type { PppoeAccounting } from './concentrator-options.ts';
import type { PppoeWireIdentity } from './frame.ts';

/** One client of a {@link PppoeConcentrator}. */
export declare class PppoeConcentratorSession {
  private constructor();
  readonly sessionId: number;
  /** The client's MAC address. */
  readonly peerMac: string;
  readonly serviceName: string;
  readonly user: string | undefined;
  /** The client's IPv4 address once it is open. */
  readonly address: string | undefined;
  readonly open: boolean;
  readonly mtu: number;
  readonly wireIdentity: PppoeWireIdentity;
  readonly accounting: PppoeAccounting;
  readonly headerLength: number;
  /** Ends the session: Terminate-Request with the reason, then PADT. */
  terminate(now: number, reason?: string): void;
  /** As `PppoeClientSession.encapsulate`. */
  encapsulate(bytes: Uint8Array, offset: number, length: number): number;
}
