import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { barewire } from '../../src/cli/commands/index.ts';
import { makeOutput } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';

/** Runs a command line in this process; its one line of error, without the name in front. Remarks may precede it. */
export async function refusalOf(...argv: string[]): Promise<string> {
  let said = '';
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      said += chunk.toString();
      done();
    },
  });
  const nowhere = new Writable({ write: (_, __, done) => done() });
  const code = await run(barewire, argv, makeOutput(nowhere, stream, {}), new AbortController().signal);
  assert.ok(code === 1 || code === 2, `${argv.join(' ')} ended with ${code}: ${said}`);
  const errors = said.split('\n').filter((line) => line.startsWith('barewire: '));
  assert.equal(errors.length, 1, said);
  return errors[0]!.slice('barewire: '.length);
}
