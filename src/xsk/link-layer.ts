import { ArgumentError } from '../error.ts';

/** Looks at a frame: bytes `address` to `address + length - 1` of `bytes`, which are gone when it returns. */
export type FrameVisit = (bytes: Uint8Array, address: number, length: number) => void;

/** Writes the frame number `index` to `bytes` from `address` on, at most `room` bytes, and returns its length. */
export type FrameBuild = (bytes: Uint8Array, address: number, room: number, index: number) => number;

/**
 * Something that carries Ethernet frames: from the destination address to the end of the payload, without the frame
 * check sequence.
 *
 * A protocol on top of it does not know whether that is AF_XDP, AF_PACKET or another object in memory.
 */
export interface LinkLayer extends AsyncDisposable {
  readonly kind: 'af-xdp' | 'af-packet' | 'memory';
  readonly name: string;
  /** Payload of a frame, in bytes: a frame has up to 14 more, and 4 for each VLAN tag. */
  readonly mtu: number;
  /** MAC address, 6 bytes. */
  readonly address: Uint8Array;
  readonly closed: boolean;
  /**
   * Sends up to `count` frames, each built in place. A length of 0 sends nothing for its index.
   *
   * @returns How many indices were dealt with; the others, beginning with that one, may be asked for again.
   * @throws ArgumentError for a frame longer than the link takes; BarewireError `BW_CLOSED`; InterfaceGoneError.
   */
  send(count: number, build: FrameBuild): number;
  /**
   * Shows the frames that are there, in the order in which they came, at most `limit`; how many.
   *
   * @param limit Default is 64.
   * @throws BarewireError `BW_CLOSED`.
   */
  receive(visit: FrameVisit, limit?: number): number;
  /**
   * Resolves when there may be frames to receive, when the signal is aborted, and when the link is closed.
   *
   * @throws InterfaceGoneError when the interface below was deleted.
   */
  readable(signal?: AbortSignal): Promise<void>;
  /** Sends what was taken and closes. A second call does nothing. */
  close(): Promise<void>;
}

/** Destination, source, EtherType. */
export const ETHERNET_HEADER = 14;
/** Two VLAN tags. */
const TAGS = 8;

/** Bytes of the longest frame on a link of that MTU. */
export function longestFrame(mtu: number): number {
  return mtu + ETHERNET_HEADER + TAGS;
}

/** @throws ArgumentError when the frame is too long, or shorter than an Ethernet header. */
export function requireFrameLength(length: number, room: number): void {
  if (length >= ETHERNET_HEADER && length <= room) return;
  throw new ArgumentError(`a frame of ${length} bytes: the link takes ${ETHERNET_HEADER} to ${room}`);
}
