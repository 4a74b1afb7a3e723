/** Numbers of the pcapng format (draft-ietf-opsawg-pcapng, sections 3 and 4). */
export const BlockType = {
  section: 0x0a0d0d0a,
  interface: 1,
  packet: 2,
  simplePacket: 3,
  nameResolution: 4,
  statistics: 5,
  enhancedPacket: 6,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Option codes; from 2 on they mean something else in every type of block. */
export const OptionCode = {
  end: 0,
  comment: 1,
  // Section header.
  hardware: 2,
  os: 3,
  application: 4,
  // Interface description.
  interfaceName: 2,
  interfaceDescription: 3,
  timestampResolution: 9,
  interfaceFilter: 11,
  interfaceOs: 12,
  timestampOffset: 14,
  // Enhanced packet.
  flags: 2,
  dropCount: 4,
  // Interface statistics.
  received: 4,
  dropped: 5,
  accepted: 6,
  osDropped: 7,
  delivered: 8,
} as const;

/** Bytes that packet data and option values take: padded to whole 32-bit words. */
export function paddedLength(length: number): number {
  return (length + 3) & ~3;
}
