/** What a caretaker runs when the pipe to its process has closed: waits until that has ended, and clears its labs. */
import { setTimeout } from 'node:timers/promises';
import { Lab } from './lab.ts';
import { isAlive, type ProcessId } from './record.ts';

/** In ms. A process's descriptors are closed some moments before it counts as ended. */
const STEP = 10;

const owner = JSON.parse(process.argv[2] ?? '') as ProcessId;
while (isAlive(owner)) await setTimeout(STEP);
Lab.clearLeftovers();
