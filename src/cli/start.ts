import { barewire } from './commands/index.ts';
import { complaint, EXIT_FAILURE, inFull } from './errors.ts';
import { makeOutput } from './output.ts';
import { run } from './run.ts';
import { listenForStop } from './stop.ts';

/** Runs the command line that this process was started with, to its end and exit code. */
export async function start(): Promise<void> {
  const output = makeOutput(process.stdout, process.stderr, process.env);
  const stop = listenForStop();
  let failed = false;

  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Nobody reads any more, as in `barewire status | head -1`, or the terminal has gone: let go and end quietly.
      if (error.code !== 'EPIPE' && error.code !== 'EIO') {
        failed = true;
        process.exitCode = EXIT_FAILURE;
        process.stderr.write(`barewire: cannot write the output: ${error.message}\n`);
      }
      stop.request('output');
    });
  }

  // A fault that escapes every handler still ends as one line, and the end of the process detaches what was attached.
  process.on('uncaughtException', (error) => {
    output.note(`barewire: ${complaint(error)}`);
    if (process.argv.includes('-v') || process.argv.includes('--verbose')) output.note(inFull(error));
    process.exit(EXIT_FAILURE);
  });

  const code = await run(barewire, process.argv.slice(2), output, stop.signal);
  const { reason } = stop;
  stop.release();
  // A process that was told to end by a signal ends by that signal, once everything is let go: its parent then knows
  // that a person or a service manager stopped it (a shell shows 128 + the signal's number).
  if (reason !== undefined && reason !== 'output' && code === 0) process.kill(process.pid, reason);
  process.exitCode = failed ? EXIT_FAILURE : reason === 'output' ? 0 : code;
}
