import { BarewireError } from '../error.ts';
import { call, callTo, cString, syscall } from './call.ts';

/** `fcntl.h` (the values common to x86-64 and arm64). */
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const F_DUPFD_CLOEXEC = 1030;

/**
 * A file descriptor with one owner.
 *
 * Only `close()` (or `using`) gives it back; there is no finaliser, for a garbage collector that closes a firewall's
 * link would detach the firewall.
 */
export class Fd implements Disposable {
  #number: number;
  /** What it is, for messages, as in `map 'hits'`. */
  readonly what: string;

  constructor(number: number, what: string) {
    this.#number = number;
    this.what = what;
  }

  /** @throws BarewireError `BW_CLOSED` once closed: a closed number may already be somebody else's descriptor. */
  get number(): number {
    if (this.#number < 0) {
      throw new BarewireError('BW_CLOSED', `${this.what} is closed`, {
        hint: 'Use it before close(), or keep it open longer.',
      });
    }
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** Closes the descriptor; a second call does nothing. */
  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    // Linux frees the number whatever close returns, so there is nothing to retry.
    syscall('close', number);
  }

  /** A second descriptor of the same thing, with an owner of its own. */
  duplicate(): Fd {
    return new Fd(call('fcntl', this.number, F_DUPFD_CLOEXEC, 3), this.what);
  }

  /** Hands the number to another owner, who must close it. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a path. `O_CLOEXEC` is always set. */
export function openPath(path: string, flags: number, what: string = path): Fd {
  return new Fd(callTo(`open ${what}`, 'openat', AT_FDCWD, cString(path), flags | O_CLOEXEC, 0), what);
}
