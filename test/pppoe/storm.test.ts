import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { storm } from './storm.ts';

/** `npm run fuzz -- ppp` goes on from here; these are the same on every machine. */
const RUNS = 2000;

describe('client and concentrator in bad weather', () => {
  it(`end up open or cleanly down in ${RUNS} storms of loss, duplication, reordering, damage and noise`, () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const { problem } = storm(seed);
      assert.equal(problem, undefined, `storm ${seed}`);
    }
  });
});
