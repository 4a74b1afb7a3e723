import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { ReadStream, WriteStream } from 'node:tty';

/** A terminal that a command has for itself: the whole screen, and keys one by one. */
export interface FullScreen {
  /** Puts lines in place of those that are there; cut to the screen's rows. */
  draw(lines: readonly string[]): void;
  /** Gives the terminal back as it was. A second call does nothing. */
  close(): void;
}

export interface FullScreenOptions {
  readonly input: ReadStream;
  readonly output: WriteStream;
  /** What was typed, one or more keys. */
  readonly onKeys: (text: string) => void;
  readonly onResize: () => void;
}

/** Another screen, without a cursor and without lines that go on in the next row; and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

/**
 * Takes the terminal.
 *
 * It gets it back however the process ends: by `close`, by its own end, or, when it is killed, from a small process
 * that does nothing but wait for that.
 */
export function openFullScreen({ input, output, onKeys, onResize }: FullScreenOptions): FullScreen {
  const guard = startGuard();
  let closed = false;
  let resized = false;
  const resize = (): void => {
    resized = true;
    onResize();
  };
  const close = (): void => {
    if (closed) return;
    closed = true;
    process.off('exit', close);
    output.off('resize', resize);
    input.off('data', onKeys);
    input.setRawMode(false);
    input.pause();
    // Where the terminal was made narrower, the cursor may come back in the middle of a line.
    output.write(resized ? `${LEAVE}\r\n` : LEAVE);
    guard?.kill('SIGKILL');
  };
  input.setEncoding('utf8');
  input.setRawMode(true);
  input.on('data', onKeys);
  output.on('resize', resize);
  process.on('exit', close);
  output.write(ENTER);
  input.resume();
  return {
    draw(lines) {
      const most = output.rows || 24;
      const rows = lines.slice(0, most);
      // Each is cleared before it is written: behind a full line, that would take its last character.
      const text = rows.map((line) => `\x1b[K${line}`).join('\r\n');
      output.write(`\x1b[H${text}${rows.length < most ? '\r\n\x1b[J' : ''}`);
    },
    close,
  };
}

/** Waits for the end of its input, which comes with the end of this process, and puts the terminal right. */
const GUARD = `cat >/dev/null
stty "$1" <&3
printf '${LEAVE.replaceAll('\x1b', '\\033')}' >&3`;

function startGuard(): ChildProcess | undefined {
  let terminal: number;
  try {
    terminal = openSync('/dev/tty', 'r+');
  } catch {
    // No controlling terminal: there is nothing to put right afterwards.
    return undefined;
  }
  try {
    const saved = spawnSync('stty', ['-g'], { stdio: [terminal, 'pipe', 'ignore'], encoding: 'utf8' });
    if (saved.status !== 0) return undefined;
    // A session of its own: what ends the command's process group does not end it.
    const guard = spawn('sh', ['-c', GUARD, 'sh', saved.stdout.trim()], {
      stdio: ['pipe', 'ignore', 'ignore', terminal],
      detached: true,
    });
    guard.on('error', () => {});
    guard.unref();
    (guard.stdin as Socket | null)?.unref();
    return guard;
  } finally {
    closeSync(terminal);
  }
}
