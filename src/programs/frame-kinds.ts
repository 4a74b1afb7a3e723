/**
 * What a frame is counted as. Every frame is counted once, under the first that fits, and apart for frames with and
 * without a VLAN tag.
 */
export const FRAME_KINDS = [
  'ipv4-tcp',
  'ipv4-udp',
  'ipv4-icmp',
  'ipv4-other',
  'ipv6-tcp',
  'ipv6-udp',
  'ipv6-icmpv6',
  'ipv6-other',
  'arp',
  'other',
] as const;

export type FrameKind = (typeof FRAME_KINDS)[number];

/** Frames of one kind. */
export interface Tally {
  readonly packets: bigint;
  /** Of the whole frames, from the destination MAC on, without the frame check sequence. */
  readonly bytes: bigint;
}
