/**
 * Reads hostile objects and tells how much memory that took; run by `hostile.test.ts` in a process of its own.
 *
 *     node --max-old-space-size=64 --expose-gc memory.js FILE …           each of these
 *     node --max-old-space-size=64 --expose-gc memory.js seeds FIRST N    N tries of the fuzzer
 *
 * Prints JSON: by how many bytes the process grew at most.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { CodecError } from '../../src/error.ts';
import { target } from './fuzz.ts';
import { probeObject } from './probe.ts';

/** Most memory of this process since the last reset, and what it has now, in bytes (proc(5)). */
function memory(): { readonly peak: number; readonly now: number } {
  const status = readFileSync('/proc/self/status', 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { peak: field('VmHWM'), now: field('VmRSS') };
}

function growth(task: () => void): number {
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5');
  const { now } = memory();
  task();
  return memory().peak - now;
}

function tryAll(first: number, count: number): void {
  for (let seed = first; seed < first + count; seed++) {
    const { failure } = target.try(seed);
    if (failure !== undefined) throw new Error(`seed ${seed}: ${failure.explain()}`);
  }
}

const [, , ...args] = argv;
const grew: Record<string, number> = {};
target.prepare?.(0);
// What every object makes Node compile and allocate once is not the hostile ones' doing.
tryAll(0, 50);
if (args[0] === 'seeds') grew.seeds = growth(() => tryAll(Number(args[1]), Number(args[2])));
else {
  for (const file of args) {
    const bytes = Uint8Array.from(readFileSync(file));
    grew[file] = growth(() => {
      try {
        probeObject(bytes);
      } catch (error) {
        if (!(error instanceof CodecError)) throw error;
      }
    });
  }
}
stdout.write(JSON.stringify(grew));
