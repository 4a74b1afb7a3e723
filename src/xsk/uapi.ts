/** Numbers and offsets of `linux/if_xdp.h` (Linux 6.18), `linux/socket.h` and `asm-generic/socket.h`. */

export const AF_XDP = 44;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SOL_XDP = 283;

export const MSG_DONTWAIT = 0x40;

/** Options at `SOL_SOCKET`. */
export const SO = {
  error: 4,
  busyPoll: 46,
  preferBusyPoll: 69,
  busyPollBudget: 70,
} as const;

/** Options at `SOL_XDP`. */
export const XdpOption = {
  mmapOffsets: 1,
  rxRing: 2,
  txRing: 3,
  umemRegister: 4,
  fillRing: 5,
  completionRing: 6,
  statistics: 7,
  options: 8,
  /** Since 6.18. */
  maxTxSkbBudget: 9,
} as const;

/** `sxdp_flags` of the bind address. */
export const BindFlag = {
  sharedUmem: 0x1,
  copy: 0x2,
  zeroCopy: 0x4,
  needWakeup: 0x8,
  /** Multi-buffer; since 6.6. */
  scatterGather: 0x10,
} as const;

/** Flags of the UMEM registration. */
export const UmemFlag = {
  unalignedChunks: 0x1,
  /** The kernel computes checksums that were asked of the hardware; since 6.8. */
  txSoftwareChecksum: 0x2,
  /** `tx_metadata_len` counts; since 6.8. */
  txMetadata: 0x4,
} as const;

/** Flags word of the fill and TX rings. */
export const RING_NEED_WAKEUP = 1;

/** Result flags of the option `options`. */
export const OPTION_ZERO_COPY = 1;

/** Bits of a descriptor's `options`. */
export const DescriptorOption = {
  /** The packet goes on in the next descriptor (`XDP_PKT_CONTD`). */
  continued: 0x1,
  /** Metadata lies before the data (`XDP_TX_METADATA`). */
  txMetadata: 0x2,
} as const;

/** What the kernel leaves free before a received packet, beside the UMEM's own headroom (`XDP_PACKET_HEADROOM`). */
export const PACKET_HEADROOM = 256;

/** The least and, on pages of 4 KiB, the greatest chunk (`XDP_UMEM_MIN_CHUNK_SIZE`, `PAGE_SIZE`). */
export const MIN_CHUNK = 2048;
export const MAX_CHUNK = 4096;

export type RingName = 'rx' | 'tx' | 'fill' | 'completion';

/** Where each ring is mapped from (`XDP_PGOFF_RX_RING` and the like), in bytes. */
export const RING_FILE_OFFSET: Readonly<Record<RingName, number>> = {
  rx: 0,
  tx: 0x8000_0000,
  fill: 0x1_0000_0000,
  completion: 0x1_8000_0000,
};

/** Bytes of an entry: `struct xdp_desc { addr @0, len @8, options @12 }`, or a bare address. */
export const ENTRY_SIZE: Readonly<Record<RingName, number>> = { rx: 16, tx: 16, fill: 8, completion: 8 };

/** How many buffers one packet may have (`MAX_SKB_FRAGS` + 1 in the default configuration). */
export const MAX_BUFFERS = 18;
