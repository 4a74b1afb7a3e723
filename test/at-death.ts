import { spawn } from 'node:child_process';

/**
 * Has a command run when this process ends, whatever ends it: for what a test asks to outlive its process, and a test
 * that is killed could not take away again.
 */
export function atDeath(command: string, ...args: readonly string[]): void {
  const child = spawn('/bin/sh', ['-c', 'read -r _; exec "$0" "$@"', command, ...args], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  // The pipe's end is all that it waits for, and must not keep this process from ending.
  (child.stdin as unknown as { unref(): void }).unref();
}
