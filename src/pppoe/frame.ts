import type { MacAddress } from '../packet/index.ts';

/** A VLAN tag of a session's frames. */
export interface PppoeVlan {
  /** 1 to 4094. */
  readonly id: number;
  /** Priority code point, 0 to 7. Default is 0. */
  readonly priority?: number;
  /** Default is 0x88a8 for the outer one of two, else 0x8100. */
  readonly etherType?: number;
}

/** What names a session on the wire: enough to end it with a PADT, as the next start does after a crash. */
export interface PppoeWireIdentity {
  readonly mac: MacAddress;
  readonly peerMac: MacAddress;
  readonly vlans: readonly PppoeVlan[];
  readonly sessionId: number;
}

/** Writes a PADT frame for a session. @returns the offset behind it. */
export declare function emitPadt(
  out: Uint8Array,
  offset: number,
  session: PppoeWireIdentity,
  reason?: string,
): number;
