import type { ChunkBuffer } from './chunks.ts';

/** Link types (the tcpdump project's registry): what the bytes of a captured packet begin with. */
export const LinkType = {
  null: 0,
  ethernet: 1,
  ppp: 9,
  raw: 101,
  linuxSll: 113,
  ipv4: 228,
  ipv6: 229,
  linuxSll2: 276,
} as const;

/** An interface that packets of a capture came from; of a pcap file, the only one. */
export interface CaptureInterface {
  /** `LinkType`. */
  readonly linkType: number;
  /** Most bytes of a packet that were kept; 0 is no limit. */
  readonly snapLength: number;
  readonly name?: string;
  readonly description?: string;
  readonly filter?: string;
  readonly os?: string;
  /** What the last statistics block said; it may come behind the packets. */
  statistics?: CaptureStatistics;
}

export interface CaptureStatistics {
  /** In ns since 1970 (UTC). */
  readonly timestamp: bigint;
  /** Packets that the interface received. */
  readonly received?: bigint;
  /** Packets that the interface dropped for want of resources. */
  readonly dropped?: bigint;
  /** Packets that passed the filter. */
  readonly accepted?: bigint;
  /** Packets that the operating system dropped. */
  readonly osDropped?: bigint;
  /** Packets that were handed to the user. */
  readonly delivered?: bigint;
}

export interface CapturedPacket {
  /** What was kept of the packet: a view of the chunk it came in, where it lies in one. */
  readonly bytes: Uint8Array;
  /** In ns since 1970 (UTC); 0 where the file has none (simple packet blocks). */
  readonly timestamp: bigint;
  /** Bytes of the packet on the wire. */
  readonly originalLength: number;
  readonly interface: CaptureInterface;
  readonly comments?: readonly string[];
  /** The flags word of an enhanced packet block: direction in the low two bits. */
  readonly flags?: number;
  /** Packets lost between this one and the one before it on the same interface. */
  readonly dropCount?: bigint;
}

/** What a section header says about who wrote the file. */
export interface CaptureSection {
  readonly hardware?: string;
  readonly os?: string;
  readonly application?: string;
  readonly comments?: readonly string[];
}

/** The part that differs between formats. */
export interface CaptureParser {
  readonly interfaces: readonly CaptureInterface[];
  readonly section: CaptureSection;
  /**
   * Reads one record from the buffer and steps over it.
   *
   * @returns the packet, `null` after a record that holds none, `undefined` if more bytes are needed.
   */
  next(buffer: ChunkBuffer): CapturedPacket | null | undefined;
}

/** A larger record is an error in the file, or an attempt to make us keep it all. */
export const MAXIMUM_RECORD: number = 16 * 1024 * 1024;
