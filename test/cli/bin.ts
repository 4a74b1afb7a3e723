import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The compiled command. */
export const MAIN: string = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as the package starts it: from one file, or from its modules where only those were built. */
export const LAUNCH: string = fileURLToPath(new URL('../../src/cli/launch.cjs', import.meta.url));

/** Runs the command to its end. */
export function barewire(...args: string[]): Ended {
  return run(process.execPath, MAIN, ...args);
}

/** Runs any program to its end. */
export function run(program: string, ...args: string[]): Ended {
  const { status, signal, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { code: status, signal, stdout, stderr };
}

/** A running program whose output is gathered. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';
  #changed: () => void = () => {};

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#changed();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#changed();
    });
    this.ended = once(child, 'close').then(([code, signal]) => {
      this.#changed();
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until the output holds something; fails when the program ends before. */
  async until(holds: (running: this) => boolean, what: string): Promise<void> {
    while (!holds(this)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended before ${what}: ${this.#stdout}${this.#stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** Starts the command. */
export function start(args: readonly string[], options: SpawnOptions = {}): Running {
  return new Running(spawn(process.execPath, [MAIN, ...args], options));
}

/** One error line as the command prints them, without the name in front. */
export function errorLine({ stderr }: Ended): string {
  const lines = stderr.trimEnd().split('\n');
  const last = lines.at(-1) ?? '';
  if (lines.length !== 1 || !last.startsWith('barewire: ')) {
    throw new Error(`not one line of error: ${JSON.stringify(stderr)}`);
  }
  return last.slice('barewire: '.length);
}
