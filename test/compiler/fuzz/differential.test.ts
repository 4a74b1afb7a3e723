import assert from 'node:assert/strict';
import { test } from 'node:test';
import { record } from '../../kernels/corpus.ts';
import {
  corpusCase,
  differential,
  explain,
  type Failure,
  type Outcome,
  stayOnCpu,
  TANGLED,
} from './differential.ts';
import { type Case, randomCase } from './program.ts';
import { shrink } from './shrink.ts';
import { block, tree } from './tree.ts';

/** The slice of all seeds that every test run takes; `npm run fuzz` goes on where it ends. */
const SEEDS = { from: 0, count: 400 };

test('random programs give the same verdicts, bytes and maps in Node and in the kernel', (t) => {
  stayOnCpu(0);
  const count = new Map<string, number>();
  const verdicts = new Map<string, number>();
  let tangled = 0;
  let unportable = 0;
  let failure: { seed: number; given: Case; outcome: Failure } | undefined;
  for (let seed = SEEDS.from; seed < SEEDS.from + SEEDS.count && failure === undefined; seed++) {
    const given = randomCase(seed);
    const outcome = differential(given);
    count.set(outcome.kind, (count.get(outcome.kind) ?? 0) + 1);
    if (outcome.kind === 'equal') {
      if (outcome.portable) record(() => corpusCase(given));
      else unportable++;
      for (const verdict of outcome.verdicts) verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    } else if (outcome.kind === 'not loaded' && TANGLED.test(outcome.what)) {
      tangled++;
    } else if (outcome.kind !== 'refused') {
      failure = { seed, given, outcome };
    }
  }
  if (failure !== undefined) {
    const smallest = shrink(failure.given, failure.outcome);
    assert.fail(`seed ${failure.seed}\n${explain(smallest.case, smallest.failure)}`);
  }
  t.diagnostic(
    `${JSON.stringify(Object.fromEntries(count))} ${JSON.stringify(Object.fromEntries(verdicts))}`,
  );
  // A generator that writes what the compiler refuses, or packets that are all too short, would show nothing.
  const equal = count.get('equal') ?? 0;
  assert.ok(equal >= 0.85 * SEEDS.count, 'most programs compile');
  // Data-dependent loops after and within one another are what a verifier may give up on; rarely.
  assert.ok(
    tangled <= 0.001 * equal,
    `${tangled} of ${equal + tangled} programs are too tangled for the verifier`,
  );
  assert.ok(unportable <= 0.05 * equal, `${unportable} of ${equal} programs need a verifier of today`);
  for (const verdict of ['pass', 'drop', 'tx', 'aborted', 'redirect']) {
    assert.ok((verdicts.get(verdict) ?? 0) > 0, `some packet gets ${verdict}`);
  }
});

test('a difference is seen and shrunk to what it takes', () => {
  stayOnCpu(0);
  // Random bits differ between any two runs: a program that returns them must be caught.
  const coin = tree('bool', '(', tree('num', '(kernel.random() & 0xff)'), ' < 128)');
  const given: Case = {
    ...randomCase(1),
    env: [],
    fills: [],
    body: block([
      tree('statement', 'const x = ', tree('num', 'pkt.u8(3)'), ';'),
      tree(
        'statement',
        'if (',
        tree('bool', 'x > 300'),
        ') {',
        block([tree('statement', "return 'tx';")]),
        '}',
      ),
      tree('statement', 'pkt.store.be32(0, ', tree('num', '(kernel.random() + 1)'), ');'),
      tree('statement', 'return ', coin, ` ? 'pass' : 'drop';`),
    ]),
    packets: Array.from({ length: 20 }, (_, i) => new Uint8Array(60).fill(i)),
  };
  const outcome: Outcome = differential(given);
  assert.equal(outcome.kind, 'differs');
  const smallest = shrink(given, outcome as Failure, 5);
  assert.ok(smallest.case.packets.length < 3, 'packets are left out');
  assert.doesNotMatch(explain(smallest.case, smallest.failure), /x > 300/);
  assert.match(explain(smallest.case, smallest.failure), /kernel\.random/);
});
