import type { MacAddress } from '../packet/index.ts';
import type { AuthenticationMethod, PppError, PppTiming, RandomSource } from '../ppp/index.ts';
import type { PppoeClientSession } from './client-session.ts';
import type { PppoeError } from './failure.ts';
import type { PppoeVlan } from './frame.ts';

/** Takes a whole Ethernet frame; the bytes are only valid until it returns. It must not call back into its caller. */
export type FrameSink = (bytes: Uint8Array, offset: number, length: number) => void;

/** What a {@link PppoeClient} is given: its way to the wire, and who hears of its sessions. */
export interface PppoeClientOptions {
  readonly random: RandomSource;
  /** Control frames to be sent: discovery, LCP, authentication, IPCP, IPV6CP. */
  readonly transmit: FrameSink;
  /**
   * An IPv4 or IPv6 packet that came through an open session, in the bytes that were given to `input`. Called for
   * every packet, without an object per packet.
   */
  readonly receive: (session: PppoeClientSession, bytes: Uint8Array, offset: number, length: number) => void;
  readonly event: (session: PppoeClientSession, event: PppoeClientEvent) => void;
  readonly pacing?: PppoePacing;
}

/** How a client spreads its dialling, so that a fleet does not run into the limits of a concentrator. */
export interface PppoePacing {
  /** Sessions between PADI and open at once. Default is 64. */
  readonly maxInFlight?: number;
  /**
   * Milliseconds between two PADI of one MAC. Default is 0, raised by itself to 1100 where a concentrator seems to answer one
   * PADI per MAC and second.
   */
  readonly perMacInterval?: number;
}

/** One session. Times are in milliseconds. */
export interface PppoeSessionOptions {
  /** The session's own address; sessions may share one. */
  readonly mac: MacAddress;
  /** Outermost first; two are QinQ. Default is none. */
  readonly vlans?: readonly PppoeVlan[];
  /** The service to ask for. Default is '', any. */
  readonly serviceName?: string;
  /** The only concentrator to take. Default is whichever answers first. */
  readonly acName?: string;
  /** Up to 64 bytes for a concentrator that expects certain ones. Default is 12 bytes of our own, new for each try. */
  readonly hostUniq?: Uint8Array;
  readonly user?: string;
  /** Kept in a private field: no log, inspection or JSON of a session shows it. */
  readonly password?: string;
  /** What we answer to, best first. Default is CHAP with MD5, MS-CHAPv2, EAP with MD5, PAP. */
  readonly authentication?: readonly AuthenticationMethod[];
  /** Largest IP packet we take, in bytes. Above 1492 (to 1500 at most) it needs the concentrator's RFC 4638. Default is 1492. */
  readonly mru?: number;
  /** The least MRU of the peer to be content with. Default is 576. */
  readonly minimumMru?: number;
  /** Default is true. */
  readonly ipv4?: boolean;
  /** IPv6 is tried, and its failure ends no session that has IPv4. Default is true. */
  readonly ipv6?: boolean;
  /** The IPv4 address to ask for. Default is none: the concentrator chooses. */
  readonly address?: string;
  /** Asks for name servers (RFC 1877). Default is true. */
  readonly dns?: boolean;
  /** Asks for NetBIOS name servers (RFC 1877). Default is false. */
  readonly nbns?: boolean;
  /** The peer is gone after `failures` echoes without an answer, `interval` apart. Default is 3 and 30,000; false sends none. */
  readonly echo?: { readonly interval?: number; readonly failures?: number } | false;
  /** Dials again after a failure or end that was not asked for; false does not. Default is 1,000 to 120,000, doubled each time, with jitter. */
  readonly retry?: { readonly initial?: number; readonly maximum?: number } | false;
  /** Least time between two dials that `redial` asks for. Default is 0. */
  readonly minimumRedialInterval?: number;
  /** How long to wait for what. */
  readonly timing?: Partial<PppoeTiming>;
}

/** How long a client waits for answers, and how often it asks; PPP's own beside. Times are in milliseconds. */
export interface PppoeTiming extends PppTiming {
  /** To the first repetition of a PADI; each waits twice as long, with jitter. Default is 1,000. */
  readonly padi: number;
  /** Default is 4. */
  readonly padiTries: number;
  /** To the first repetition of a PADR. A repeated one may cost the concentrator a second session. Default is 3,000. */
  readonly padr: number;
  /** Default is 2. */
  readonly padrTries: number;
}

/**
 * `idle`: not dialled. `queued`: waits for its turn. `discovering`: PADI sent. `requesting`: PADR sent. `establishing`: LCP.
 * `authenticating`. `configuring`: IPCP and IPV6CP. `open`. `closing`: Terminate-Request sent. `waiting`: backs off until
 * `retryAt`.
 */
export type PppoeSessionState =
  | 'idle'
  | 'queued'
  | 'discovering'
  | 'requesting'
  | 'establishing'
  | 'authenticating'
  | 'configuring'
  | 'open'
  | 'closing'
  | 'waiting';

/** A concentrator as its PADO tells. */
export interface PppoeConcentratorInfo {
  readonly mac: string;
  readonly name: string;
  readonly services: readonly string[];
  /** Milliseconds from our PADI to its PADO. */
  readonly roundTrip: number;
  /** PPP-Max-Payload of RFC 4638, if it came back. */
  readonly maxPayload: number | undefined;
}

export type PppoeClientEvent =
  | {
      readonly type: 'state';
      readonly state: PppoeSessionState;
      readonly previous: PppoeSessionState;
    }
  | { readonly type: 'discovered'; readonly concentrator: PppoeConcentratorInfo }
  | {
      readonly type: 'authenticated';
      readonly method: AuthenticationMethod;
      /** The concentrator's own words. */
      readonly message: string;
    }
  /** The session carries packets; comes again if the peer negotiates anew. */
  | ({ readonly type: 'opened' } & PppoeAddresses)
  /** IPv6 came after the session was open, or went. */
  | { readonly type: 'ipv6'; readonly ipv6: Ipv6Link | undefined }
  /** The peer negotiates anew: no packets until the next `opened`. */
  | { readonly type: 'interrupted' }
  | {
      readonly type: 'closed';
      readonly error: PppoeError | PppError;
      /** Whether the session had been open. */
      readonly wasOpen: boolean;
      /** When it is dialled again, on the clock of `now`; undefined if it is not. */
      readonly retryAt: number | undefined;
    };

/** The two ends of IPv6 on a link: interface identifiers as link-local addresses, as in `fe80::1`. */
export interface Ipv6Link {
  readonly local: string;
  readonly peer: string;
}

/** What an open session has. */
export interface PppoeAddresses {
  /** Our IPv4 address; undefined with `ipv4: false`. */
  readonly local: string | undefined;
  /** The concentrator's IPv4 address; some tell none. */
  readonly peer: string | undefined;
  readonly dns: readonly string[];
  readonly nbns: readonly string[];
  readonly ipv6: Ipv6Link | undefined;
  /** Largest IP packet that both ends take, in bytes. */
  readonly mtu: number;
  readonly sessionId: number;
  /** The concentrator's MAC address. */
  readonly peerMac: string;
  readonly acName: string;
  readonly serviceName: string;
  /** The IPv4 address of the session before this one. */
  readonly previousLocal: string | undefined;
  /** Milliseconds from the first PADI. */
  readonly elapsed: number;
}
