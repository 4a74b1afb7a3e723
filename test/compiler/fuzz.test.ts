import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VerifierError } from '../../src/bpf/index.ts';
import {
  array,
  be16,
  CompileError,
  hash,
  i32,
  program,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../../src/compiler/index.ts';
import { agree, noises } from './agree.ts';
import { randomProgram } from './random-program.ts';

/** Programs per run; more by FUZZ_PROGRAMS, from another place on by FUZZ_SEED. */
const COUNT = Number(process.env.FUZZ_PROGRAMS ?? 60);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

describe('random programs', () => {
  it('do in Node what they do in the kernel', () => {
    const packets = noises(24, 14, 70);
    const refused: string[] = [];
    for (let seed = SEED; seed < SEED + COUNT; seed++) {
      const text = randomProgram(seed);
      const fn = new Function(`return ${text}`)() as never;
      const slots = array('slots', struct('Slot', { a: u64, b: u32, c: i32, d: be16 }), 6);
      const table = hash('table', struct('Key', { x: u32, y: u16 }), u8, 16);
      try {
        agree(program('random', { slots, table }, fn), packets);
      } catch (error) {
        if (error instanceof CompileError) refused.push(`seed ${seed}: ${error.message}`);
        else if (error instanceof VerifierError) refused.push(`seed ${seed}: ${error.message}`);
        else throw new Error(`seed ${seed}:\n${text}`, { cause: error });
      }
    }
    assert.ok(
      refused.length <= COUNT / 1000,
      `${refused.length} of ${COUNT} refused:\n${refused.slice(0, 5).join('\n')}`,
    );
  });
});
