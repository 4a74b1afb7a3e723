import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { BarewireError } from '../error.ts';
import { cString, syscall } from '../sys/call.ts';
import { Errno } from '../sys/errno.ts';
import { SystemError } from '../sys/error.ts';
import { Fd } from '../sys/fd.ts';

const AT_FDCWD = -100;
const O_RDWR_CREAT_CLOEXEC = 0o2 | 0o100 | 0o2000000;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** How long to wait for another process's change, in ms, and how often to look. */
const PATIENCE = 20_000;
const STEP = 5;

/**
 * Takes the lock at a path, so that of several processes one at a time changes what it stands for. The kernel gives it
 * back when its holder dies, however that happens.
 *
 * @throws BarewireError `BW_BUSY` when another process keeps it for 20 s.
 */
export function takeLock(path: string): Fd {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const number = syscall('openat', AT_FDCWD, cString(path), O_RDWR_CREAT_CLOEXEC, 0o600);
  if (number < 0) throw new SystemError('openat', -number, { doing: `open the lock ${path}` });
  const lock = new Fd(number, `lock ${path}`);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; ; waited += STEP) {
    const result = syscall('flock', lock.number, LOCK_EX | LOCK_NB);
    if (result >= 0) return lock;
    if (result !== -Errno.EAGAIN && result !== -Errno.EINTR) {
      lock.close();
      throw new SystemError('flock', -result, { doing: `take the lock ${path}` });
    }
    if (waited >= PATIENCE) {
      lock.close();
      throw new BarewireError('BW_BUSY', `another process has been changing this for ${PATIENCE / 1000} s`, {
        hint: `\`fuser ${path}\` names it.`,
      });
    }
    Atomics.wait(pause, 0, 0, STEP);
  }
}
