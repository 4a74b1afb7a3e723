import { ArgumentError } from './error.ts';

/**
 * A span of time, in ms: `500ms`, `2s`, `1.5s`, `10m`, `1h30m`, `7d`.
 *
 * @throws ArgumentError for anything else; a number without a unit is no duration, as nobody can tell what it means.
 */
export function parseDuration(given: string): number {
  if (/^\d+(\.\d+)?$/.test(given)) {
    throw new ArgumentError(`'${given}' has no unit`, { hint: `Write ${given}s, ${given}ms or ${given}m.` });
  }
  let total = 0;
  let read = 0;
  for (const match of given.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d)/gy)) {
    total += Number(match[1]) * UNITS[match[2]!]!;
    read = match.index + match[0].length;
  }
  if (read === 0 || read !== given.length) {
    throw new ArgumentError(`'${given}' is not a duration`, {
      hint: 'Write a number with ms, s, m, h or d, as in 500ms, 2s or 1h30m.',
    });
  }
  return total;
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
