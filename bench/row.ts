/** One figure of a benchmark, as printed with `--json`, one line each. */
export interface Row {
  readonly name: string;
  /** As in `ns/packet`; says by itself whether less or more is better. */
  readonly unit: string;
  /** Median of the runs. */
  readonly ours: number;
  /** What it is held against, measured in the same run; median. */
  readonly yardstick?: number;
  /** What the yardstick is, as in `clang -O2`. */
  readonly against?: string;
  /** `ours / yardstick`. */
  readonly ratio?: number;
  /** Least and greatest of our runs. */
  readonly spread: readonly [least: number, greatest: number];
  readonly runs: number;
  /** XDP or AF_XDP mode that was granted. */
  readonly mode?: string;
  /** Share of one core, by side, softirq included. */
  readonly cpu?: Readonly<Record<string, number>>;
  /** Whether a hot loop decides the figure. */
  readonly loop?: boolean;
  /** Further figures, each said by its name. */
  readonly more?: Readonly<Record<string, number | string>>;
}

/** A benchmark that `npm run bench -- NAME` runs. */
export interface Bench {
  /** In a few words, for the list. */
  readonly summary: string;
  /** Yields rows as they are measured. */
  run(): AsyncIterable<Row> | Iterable<Row>;
}

export interface Measured {
  readonly median: number;
  readonly spread: readonly [number, number];
  readonly runs: number;
}

/** The middle of the figures; the mean of the middle two for an even count. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function summarize(figures: readonly number[]): Measured {
  return {
    median: median(figures),
    spread: [Math.min(...figures), Math.max(...figures)],
    runs: figures.length,
  };
}

/**
 * Measures several things in turn, A B C A B C …, so that a machine whose speed drifts is fair to all of them. The
 * first round is a warm-up and does not count.
 */
export function interleave<Names extends string>(
  runs: number,
  subjects: Readonly<Record<Names, () => number>>,
): Record<Names, Measured> {
  const names = Object.keys(subjects) as Names[];
  const figures = new Map<Names, number[]>(names.map((name) => [name, []]));
  for (let run = -1; run < runs; run++) {
    for (const name of names) {
      const figure = subjects[name]();
      if (run >= 0) figures.get(name)?.push(figure);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarize(figures.get(name) ?? [])])) as Record<
    Names,
    Measured
  >;
}

/** As {@link interleave}, for subjects that take their time asynchronously. */
export async function interleaveAsync<Names extends string>(
  runs: number,
  subjects: Readonly<Record<Names, () => Promise<number>>>,
): Promise<Record<Names, Measured>> {
  const names = Object.keys(subjects) as Names[];
  const figures = new Map<Names, number[]>(names.map((name) => [name, []]));
  for (let run = -1; run < runs; run++) {
    for (const name of names) {
      const figure = await subjects[name]();
      if (run >= 0) figures.get(name)?.push(figure);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarize(figures.get(name) ?? [])])) as Record<
    Names,
    Measured
  >;
}

/** A row that holds one measurement against another. */
export function compare(
  name: string,
  unit: string,
  ours: Measured,
  yardstick: Measured,
  against: string,
  more: Partial<Row> = {},
): Row {
  return {
    name,
    unit,
    ours: ours.median,
    yardstick: yardstick.median,
    against,
    ratio: ours.median / yardstick.median,
    spread: ours.spread,
    runs: ours.runs,
    ...more,
  };
}
