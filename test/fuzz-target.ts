/** Something that `npm run fuzz` holds against random input. A target's module is imported in a process of its own. */
export interface FuzzTarget {
  /** In a few words, for the list. */
  readonly summary: string;
  /** Called once before the first try; `job` numbers the processes that run side by side. */
  prepare?(job: number): void;
  /** Tries what a seed stands for. The same seed gives the same try, for ever. */
  try(seed: number): FuzzResult;
}

export interface FuzzResult {
  /** How it went, in a word or two: what the statistics count. */
  readonly kind: string;
  /** Present when something is wrong. */
  readonly failure?: {
    /** What tells this failure from others; each is reported once. */
    readonly what: string;
    /** Shrinks the failure and tells how to see it again. */
    explain(): string;
  };
}
