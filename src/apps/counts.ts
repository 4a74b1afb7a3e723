import { FRAME_KINDS, type FrameKind, type Tally } from '../programs/frame-kinds.ts';

/** What was counted up to one moment. */
export interface Counts {
  /** Every frame. */
  readonly total: Tally;
  /** Frames by kind, each counted under one. */
  readonly kinds: Readonly<Record<FrameKind, Tally>>;
  /** Those of the total that carry a VLAN tag. */
  readonly tagged: Tally;
  /** The total by CPU; the index is the CPU's number. */
  readonly cpus: readonly Tally[];
}

/** Frames per second and bits per second between two moments. */
export interface Rate {
  readonly packetsPerSecond: number;
  readonly bitsPerSecond: number;
}

/**
 * Sums up the entries of the counter's map.
 *
 * @param entries Index and one tally per CPU, as the map yields them.
 */
export function sumUp(entries: Iterable<readonly [number, readonly Tally[]]>): Counts {
  const kinds = Object.fromEntries(FRAME_KINDS.map((kind) => [kind, { packets: 0n, bytes: 0n }]));
  const tagged = { packets: 0n, bytes: 0n };
  const total = { packets: 0n, bytes: 0n };
  const cpus: { packets: bigint; bytes: bigint }[] = [];
  for (const [index, tallies] of entries) {
    const kind = kinds[FRAME_KINDS[index % FRAME_KINDS.length]!]!;
    for (const [cpu, tally] of tallies.entries()) {
      cpus[cpu] ??= { packets: 0n, bytes: 0n };
      for (const sum of [kind, total, cpus[cpu], ...(index >= FRAME_KINDS.length ? [tagged] : [])]) {
        sum.packets += tally.packets;
        sum.bytes += tally.bytes;
      }
    }
  }
  return { total, kinds: kinds as Record<FrameKind, Tally>, tagged, cpus };
}

/** The tallies of several kinds together, as those of all IPv4. */
export function together(counts: Counts, kinds: readonly FrameKind[]): Tally {
  return kinds.reduce(
    (sum, kind) => ({
      packets: sum.packets + counts.kinds[kind].packets,
      bytes: sum.bytes + counts.kinds[kind].bytes,
    }),
    { packets: 0n, bytes: 0n },
  );
}

/** The rate between two readings that lie `ms` apart. */
export function rateOf(earlier: Tally, later: Tally, ms: number): Rate {
  const perSecond = (difference: bigint): number => (ms <= 0 ? 0 : (Number(difference) * 1000) / ms);
  return {
    packetsPerSecond: perSecond(later.packets - earlier.packets),
    bitsPerSecond: 8 * perSecond(later.bytes - earlier.bytes),
  };
}
