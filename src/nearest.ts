/**
 * The candidates a mistyped word was probably meant to be, nearest first; empty when nothing is near.
 *
 * Near means: at most one slip in three characters, where a slip is a wrong, missing, extra or swapped character,
 * or an unfinished word that only one or a few candidates begin with.
 */
export function nearest(word: string, candidates: Iterable<string>, limit = 3): string[] {
  const typed = word.toLowerCase();
  const scored: { candidate: string; score: number }[] = [];
  for (const candidate of new Set(candidates)) {
    const known = candidate.toLowerCase();
    const unfinished = typed.length > 1 && known.length > typed.length && known.startsWith(typed);
    const score = unfinished ? 0.5 : distance(typed, known);
    if (score <= Math.max(1, Math.floor(Math.max(typed.length, known.length) / 3))) {
      scored.push({ candidate, score });
    }
  }
  scored.sort((a, b) => a.score - b.score || (a.candidate < b.candidate ? -1 : 1));
  const best = scored[0]?.score ?? 0;
  return scored
    .filter(({ score }) => score <= best + 0.5)
    .slice(0, limit)
    .map(({ candidate }) => candidate);
}

/**
 * Damerau-Levenshtein distance in its optimal string alignment form: insertions, deletions, substitutions and swaps
 * of neighbours, no part edited twice.
 */
export function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforeLast[j - 2]! + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
