import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { call, Fd, O_CLOEXEC } from '../sys/index.ts';
import type { ProcessId } from './record.ts';

const PROGRAM = fileURLToPath(new URL(`caretaker-program${import.meta.url.slice(-3)}`, import.meta.url));

/** A shell costs a millisecond and a megabyte; Node is started only where there is something to clear. */
const SCRIPT = 'read -r _ || exec "$0" "$@"';

let watched: Fd | undefined;
let labs = 0;

/**
 * Has a process of its own wait at a pipe for this one's end, whatever brings it about, and then clear its labs away.
 * One caretaker serves all labs of a process; each call is made good by one of {@link dismissCaretaker}.
 */
export function hireCaretaker(owner: ProcessId): void {
  if (labs++ > 0) return;
  const ends = new Int32Array(2);
  call('pipe2', ends, O_CLOEXEC);
  using near = new Fd(ends[0]!, "the caretaker's end of its pipe");
  watched = new Fd(ends[1]!, 'the pipe that a caretaker waits at');
  // In a session of its own, so that what ends this process's group does not end it, too.
  const child = spawn('/bin/sh', ['-c', SCRIPT, process.execPath, PROGRAM, JSON.stringify(owner)], {
    cwd: '/',
    detached: true,
    stdio: [near.number, 'ignore', 'ignore'],
  });
  // Without a shell the next lab clears away what is left, as it does when the caretaker was killed as well.
  child.on('error', () => undefined);
  child.unref();
}

/** The last lab of this process is gone, or one of several. */
export function dismissCaretaker(): void {
  if (--labs > 0 || watched === undefined) return;
  try {
    writeSync(watched.number, '\n');
  } catch {
    // It was ended by somebody else.
  }
  watched.close();
  watched = undefined;
}
