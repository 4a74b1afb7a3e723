import type { MacAddress } from '../packet/index.ts';
import type { AuthenticationMethod, PppError, PppTiming, RandomSource } from '../ppp/index.ts';
import type { FrameSink } from './client-options.ts';
import type { PppoeConcentratorSession } from './concentrator-session.ts';
import type { PppoeError } from './failure.ts';

/** What a user may do, as a secrets file tells. */
export interface PppoeAccount {
  readonly password: string;
  /** The IPv4 address that this user always gets. Default is one of the pool. */
  readonly address?: string;
}

/** One service name and what is different there. */
export interface PppoeService {
  readonly name: string;
  /** Best first; an empty list asks for no authentication. Default is the concentrator's. */
  readonly authentication?: readonly AuthenticationMethod[];
  /** Asks CHAP users again every so many milliseconds. Default is never. */
  readonly rechallengeInterval?: number;
  /** Ends a session after so many milliseconds. Default is never. */
  readonly maximumDuration?: number;
  /** Default is the concentrator's. */
  readonly dns?: readonly string[];
  /** Default is the concentrator's. */
  readonly ipv6?: boolean;
}

export interface PppoeConcentratorOptions {
  readonly mac: MacAddress;
  /** AC-Name. Default is 'barewire'. */
  readonly name?: string;
  /** The first is what an empty Service-Name gets. Default is one service named ''. */
  readonly services?: readonly PppoeService[];
  /** Best first; an empty list asks for none. Default is CHAP with MD5, MS-CHAPv2, PAP. */
  readonly authentication?: readonly AuthenticationMethod[];
  /** The account of a user name; undefined refuses it. */
  readonly account: (user: string) => PppoeAccount | undefined;
  /** The concentrator's own address on every session. Default is the first host of the pool. */
  readonly address?: string;
  /** Addresses given out: a prefix as in `10.64.0.0/16`, or a range as in `10.64.0.2-10.64.0.99`. */
  readonly pool: string;
  readonly dns?: readonly string[];
  readonly nbns?: readonly string[];
  /** Negotiates IPV6CP. Default is true. */
  readonly ipv6?: boolean;
  /** Largest IP packet, in bytes; above 1492 only with those who ask by RFC 4638. Default is 1492. */
  readonly mru?: number;
  /** Default is 32,000. */
  readonly maxSessions?: number;
  /** Default is 0, unlimited. */
  readonly maxSessionsPerMac?: number;
  /** How long an AC-Cookie is good for, in milliseconds. Default is 30,000. */
  readonly cookieLifetime?: number;
  /** As a client's. Default is every 30,000 ms, gone after 3. */
  readonly echo?: { readonly interval?: number; readonly failures?: number } | false;
  /** How long PPP waits for what. */
  readonly timing?: Partial<PppTiming>;
  readonly random: RandomSource;
  readonly transmit: FrameSink;
  /** An IP packet from a session, in the bytes given to `input`. */
  readonly receive: (
    session: PppoeConcentratorSession,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ) => void;
  readonly event?: (session: PppoeConcentratorSession, event: PppoeConcentratorEvent) => void;
}

export type PppoeConcentratorEvent =
  | { readonly type: 'authenticated'; readonly user: string; readonly method: AuthenticationMethod }
  | { readonly type: 'refused'; readonly user: string; readonly method: AuthenticationMethod }
  | {
      readonly type: 'opened';
      readonly user: string | undefined;
      /** The client's IPv4 address; undefined for a client that wants IPv6 only. */
      readonly address: string | undefined;
      /** The client's IPv6 link-local address. */
      readonly ipv6: string | undefined;
      readonly mtu: number;
    }
  /** IPv6 came after the session was open, or went: the client's link-local address. */
  | { readonly type: 'ipv6'; readonly ipv6: string | undefined }
  | {
      readonly type: 'closed';
      readonly error: PppoeError | PppError;
      readonly accounting: PppoeAccounting;
    };

/** What went through a session, seen from this side. */
export interface PppoeAccounting {
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Milliseconds since it was open. */
  readonly duration: number;
}
