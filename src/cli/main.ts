#!/usr/bin/env node
import { barewire } from './commands/index.ts';
import { makeOutput } from './output.ts';
import { run } from './run.ts';
import { listenForStop } from './stop.ts';

const stop = listenForStop();

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody reads any more, as in `barewire status | head -1`: let go and end quietly.
    if (error.code !== 'EPIPE') throw error;
    stop.request('EPIPE');
  });
}

const output = makeOutput(process.stdout, process.stderr, process.env);
const code = await run(barewire, process.argv.slice(2), output, stop.signal);
const { reason } = stop;
stop.release();
// A process that was told to end by a signal ends by that signal, once everything is let go: its parent then knows
// that a person or a service manager stopped it (a shell shows 128 + the signal's number).
if (reason !== undefined && reason !== 'EPIPE' && code === 0) process.kill(process.pid, reason);
process.exitCode = reason === 'EPIPE' ? 0 : code;
