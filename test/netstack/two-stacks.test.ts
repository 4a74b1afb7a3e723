import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tryTwoStacks } from './fuzz-two-stacks.ts';

const EACH = 200;

describe('two stacks on fuzzed networks, under virtual time: never a stall, never a wrong byte', () => {
  for (let block = 0; block < 10; block++) {
    it(`seeds ${block * EACH} to ${(block + 1) * EACH - 1}`, () => {
      let complete = 0;
      for (let seed = block * EACH; seed < (block + 1) * EACH; seed++) {
        const { kind, failure } = tryTwoStacks(seed);
        assert.equal(failure, undefined, failure === undefined ? '' : `seed ${seed}: ${failure.explain()}`);
        if (kind === 'complete') complete++;
      }
      assert.ok(complete > EACH / 2);
    });
  }
});
