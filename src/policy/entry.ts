/** What an address or a prefix is known by, in every table: 32 bytes. */
export interface Entry {
  /** When it ends, in ns of CLOCK_MONOTONIC; 0 for never. */
  deadline: bigint;
  /** Packets it decided. */
  hits: bigint;
  /** When it last decided one, in steps of 2^27 ns (0.13 s) of CLOCK_MONOTONIC; 0 for never. */
  lastSeen: number;
  /** When it was added, in seconds since 1970. */
  added: number;
  /** Number of its reason; 0 for none. */
  reason: number;
  /** Which lists it is on, a bit each: it goes with the last of them. */
  lists: number;
  /** Of the prefix, in bits. */
  length: number;
}

/** Where the fields lie, for whoever writes many entries without an object for each. */
export const ENTRY = {
  size: 32,
  deadline: 0,
  hits: 8,
  lastSeen: 16,
  added: 20,
  reason: 24,
  lists: 26,
  length: 28,
} as const;

/** `lastSeen` counts steps of so many ns, as a power of two. */
export const LAST_SEEN_SHIFT = 27;
