/** Prints how long loading the compiler and compiling one program take in a process that has done neither, in ms. */
import { argv, stdout } from 'node:process';

const start = performance.now();
const { compile } = await import('../src/compiler/index.ts');
const loaded = performance.now();
const { DEFAULTS, subjects } = await import('./compiler-subjects.ts');
const subject = subjects(DEFAULTS).find(({ name }) => name === argv[2]);
if (subject === undefined) throw new Error(`there is no program ${argv[2]}`);
const before = performance.now();
compile(subject.program as never);
stdout.write(JSON.stringify([loaded - start, performance.now() - before]));
