/** Loads an object file and ends: the process that the benchmark `objects` times. `PIN` keeps the program, as bpftool does. */
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { loadObject } from '../src/bpf/object.ts';

const [, , path = '', pin = ''] = argv;
const loaded = loadObject(readFileSync(path)).load();
Object.values(loaded.programs)[0]?.pin(pin);
