import { BarewireError, type ErrorDetails } from '../error.ts';
import { Errno, errnoMeaning, errnoName } from './errno.ts';

export interface SystemErrorDetails extends ErrorDetails {
  /** What was being done, in the caller's words, as in `open the namespace 'red'`. */
  readonly doing?: string;
  /** A code more telling than the one that follows from the errno. */
  readonly code?: string;
  /** What the kernel said beyond the number, as in netlink's extended ack. */
  readonly said?: string;
}

/**
 * The kernel said no.
 *
 * `code` follows from the errno: `BW_PERMISSION`, `BW_NOT_FOUND`, `BW_EXISTS`, `BW_BUSY`, `BW_INVALID`,
 * `BW_UNSUPPORTED`, `BW_LIMIT`, `BW_AGAIN`, `BW_CLOSED`; otherwise `BW_SYSTEM`.
 */
export class SystemError extends BarewireError {
  readonly errno: number;
  /** The name of `errno`, as in `EPERM`. */
  readonly errnoName: string;
  /** The system call that failed, as in `bpf`. */
  readonly syscall: string;

  constructor(syscall: string, errno: number, details: SystemErrorDetails = {}) {
    const name = errnoName(errno);
    const said = details.said === undefined ? '' : `: ${details.said}`;
    const doing = details.doing === undefined ? `${syscall} failed` : `could not ${details.doing}`;
    const hint = details.hint ?? HINTS[errno];
    super(details.code ?? codeOf(errno), `${doing}: ${errnoMeaning(errno)} (${name})${said}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(details.cause === undefined ? {} : { cause: details.cause }),
    });
    this.errno = errno;
    this.errnoName = name;
    this.syscall = syscall;
  }
}

const HINTS: Readonly<Record<number, string>> = {
  [Errno.EPERM]: 'Run as root, or with the capabilities that `barewire doctor` names.',
  [Errno.EMFILE]: 'Raise the limit of open files (ulimit -n), or close what is no longer needed.',
  [Errno.ENOSYS]: 'This kernel lacks the system call: a newer or differently configured one is needed.',
};

const CODES: Readonly<Record<number, string>> = {
  [Errno.EPERM]: 'BW_PERMISSION',
  [Errno.EACCES]: 'BW_PERMISSION',
  [Errno.ENOENT]: 'BW_NOT_FOUND',
  [Errno.ENODEV]: 'BW_NOT_FOUND',
  [Errno.ENXIO]: 'BW_NOT_FOUND',
  [Errno.ESRCH]: 'BW_NOT_FOUND',
  [Errno.EEXIST]: 'BW_EXISTS',
  [Errno.EBUSY]: 'BW_BUSY',
  [Errno.EINVAL]: 'BW_INVALID',
  [Errno.ERANGE]: 'BW_INVALID',
  [Errno.EOPNOTSUPP]: 'BW_UNSUPPORTED',
  [Errno.ENOTSUPP]: 'BW_UNSUPPORTED',
  [Errno.ENOSYS]: 'BW_UNSUPPORTED',
  [Errno.EPROTONOSUPPORT]: 'BW_UNSUPPORTED',
  [Errno.EAFNOSUPPORT]: 'BW_UNSUPPORTED',
  [Errno.ENOSPC]: 'BW_LIMIT',
  [Errno.E2BIG]: 'BW_LIMIT',
  [Errno.ENOMEM]: 'BW_LIMIT',
  [Errno.EMFILE]: 'BW_LIMIT',
  [Errno.ENFILE]: 'BW_LIMIT',
  [Errno.EAGAIN]: 'BW_AGAIN',
  [Errno.EINTR]: 'BW_AGAIN',
  [Errno.EBADF]: 'BW_CLOSED',
};

function codeOf(errno: number): string {
  return CODES[errno] ?? 'BW_SYSTEM';
}
