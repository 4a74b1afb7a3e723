/** Buckets to a doubling: a value is known to 1.6 percent. */
const STEPS = 64;
const STEP_BITS = 6;
/** Milliseconds of the unit that values are counted in, 100 ns. */
const UNIT = 1e-4;
const BUCKETS = (32 - STEP_BITS) * STEPS + STEPS;

/** What a distribution of latencies comes to, all in ms. */
export interface Latencies {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** One bar of a histogram. */
export interface HistogramBar {
  /** In ms, the first value that it counts. */
  readonly from: number;
  /** In ms, the first value that it no longer counts. */
  readonly to: number;
  readonly count: number;
}

/**
 * Counts latencies in buckets whose width grows with the value, so that any number of them takes the same memory and
 * every percentile is known to 1.6 percent.
 */
export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  /** `[count, sum, least, greatest]`, in ms. */
  readonly #totals: Float64Array = Float64Array.of(0, 0, Number.POSITIVE_INFINITY, 0);

  /** @param milliseconds Below 0 counts as 0. */
  add(milliseconds: number): void {
    const value = Math.max(milliseconds, 0);
    const totals = this.#totals;
    totals[0]! += 1;
    totals[1]! += value;
    if (value < totals[2]!) totals[2] = value;
    if (value > totals[3]!) totals[3] = value;
    this.#buckets[bucketOf(Math.min(Math.floor(value / UNIT), 0x7fff_ffff))]! += 1;
  }

  get count(): number {
    return this.#totals[0]!;
  }

  /**
   * The value that the given share of all values does not exceed, in ms.
   *
   * @param share From 0 to 1.
   */
  quantile(share: number): number {
    const [count = 0, , , greatest = 0] = this.#totals;
    if (count === 0) return 0;
    const rank = Math.max(1, Math.ceil(share * count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#buckets[bucket]!;
      // The upper end of the bucket, which no value in it exceeds.
      if (seen >= rank) return Math.min(startOf(bucket + 1) * UNIT, greatest);
    }
    return greatest;
  }

  summary(): Latencies | undefined {
    const [count = 0, sum = 0, min = 0, max = 0] = this.#totals;
    if (count === 0) return undefined;
    const [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map((share) => this.quantile(share));
    return { count, min, mean: sum / count, p50: p50!, p90: p90!, p99: p99!, p999: p999!, max };
  }

  /** Bars that double in width, from the first that counts something to the last. */
  bars(): HistogramBar[] {
    const counts: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#buckets[bucket]!;
      if (count > 0) {
        const octave = 32 - Math.clz32(startOf(bucket));
        counts[octave] = (counts[octave] ?? 0) + count;
      }
    }
    const first = counts.findIndex((count) => count !== undefined);
    if (first < 0) return [];
    return Array.from({ length: counts.length - first }, (_, i) => {
      const octave = first + i;
      const from = octave === 0 ? 0 : 2 ** (octave - 1) * UNIT;
      return { from, to: 2 ** octave * UNIT, count: counts[octave] ?? 0 };
    });
  }
}

/** Below 64 each value has its bucket; above, the six bits behind the highest one tell it. */
function bucketOf(value: number): number {
  if (value < STEPS) return value;
  const shift = 31 - Math.clz32(value) - STEP_BITS;
  return (shift << STEP_BITS) + (value >>> shift);
}

function startOf(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const shift = (bucket >>> STEP_BITS) - 1;
  return (bucket - (shift << STEP_BITS)) * 2 ** shift;
}
