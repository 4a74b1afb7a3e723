import type { FuzzTarget } from '../../fuzz-target.ts';
import { differential, explain, stayOnCpu } from './differential.ts';
import { randomCase } from './program.ts';
import { shrink } from './shrink.ts';

export const target: FuzzTarget = {
  summary: 'random XDP programs give the same verdicts, bytes and maps in Node and in the kernel',
  prepare: (job) => stayOnCpu(job),
  try(seed) {
    const given = randomCase(seed);
    const outcome = differential(given);
    if (outcome.kind === 'equal' || outcome.kind === 'refused') return { kind: outcome.kind };
    return {
      kind: outcome.kind,
      failure: {
        what: `${outcome.kind}: ${outcome.what}`,
        explain() {
          const smallest = shrink(given, outcome);
          return explain(smallest.case, smallest.failure);
        },
      },
    };
  },
};
