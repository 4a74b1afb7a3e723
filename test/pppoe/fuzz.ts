import type { FuzzTarget } from '../fuzz-target.ts';
import { storm } from './storm.ts';

export const target: FuzzTarget = {
  summary: 'a PPPoE client against a concentrator in bad weather: sessions end up open or cleanly down',
  try(seed) {
    const { kind, problem } = storm(seed);
    if (problem === undefined) return { kind };
    return {
      kind: 'wrong',
      failure: { what: `${kind}: ${problem}`, explain: () => `${problem}\nseed ${seed}` },
    };
  },
};
