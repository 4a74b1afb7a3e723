/** Looks at a packet: bytes `offset` to `offset + length - 1` of `bytes`, which are gone when it returns. */
export type PacketVisit = (bytes: Uint8Array, offset: number, length: number) => void;

/**
 * What carries the packets of one interface: IP packets, or Ethernet frames where the interface is one on Ethernet.
 *
 * A host pulls packets when it is told that there are some, so that it answers many with few.
 */
export interface HostLink {
  /** Longest IP packet, in bytes. */
  readonly mtu: number;
  /** The MAC address (6 bytes), when it carries Ethernet frames. */
  readonly address?: Uint8Array;
  /** Shows packets that are there, at most `limit`; how many. */
  receive(visit: PacketVisit, limit: number): number;
  /** Takes a packet; false when it has no room at present. Then `onWritable` tells when it has. */
  send(bytes: Uint8Array, offset: number, length: number): boolean;
  /** Sends what was taken, where that takes a step of its own. */
  flush?(): void;
  /** Begins to call back: when there may be packets, when there is room again, and when the link is gone for good. */
  start(events: LinkEvents): void;
  /** Gives back whatever it holds. */
  close(): void | Promise<void>;
}

export interface LinkEvents {
  readonly onReadable: () => void;
  readonly onWritable: () => void;
  readonly onGone: (error?: Error) => void;
}
