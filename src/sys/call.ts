import { Errno } from './errno.ts';
import { SystemError } from './error.ts';
import { native, type SyscallArgument } from './native.ts';
import { SYS, type SyscallName } from './numbers.ts';

/**
 * Makes a system call and returns its result, or `-errno`. For hot paths and for calls whose failure is an answer.
 */
export function syscall(name: SyscallName, ...args: SyscallArgument[]): number {
  return native.syscall(SYS[name], ...args);
}

/**
 * Makes a system call that ought to succeed; repeats it while a signal interrupts it.
 *
 * @throws SystemError with the kernel's errno.
 */
export function call(name: SyscallName, ...args: SyscallArgument[]): number {
  const nr = SYS[name];
  for (;;) {
    const result = native.syscall(nr, ...args);
    if (result >= 0) return result;
    if (result !== -Errno.EINTR) throw new SystemError(name, -result);
  }
}

/** As {@link call}; a failure says what was being done, as in `could not open the map 'hits'`. */
export function callTo(doing: string, name: SyscallName, ...args: SyscallArgument[]): number {
  const nr = SYS[name];
  for (;;) {
    const result = native.syscall(nr, ...args);
    if (result >= 0) return result;
    if (result !== -Errno.EINTR) throw new SystemError(name, -result, { doing });
  }
}

/** Where the view's bytes lie, for addresses inside structs. Keep the view alive as long as the kernel may look. */
export function addressOf(view: NodeJS.ArrayBufferView): number {
  return native.addressOf(view);
}

/** A NUL-terminated string as the kernel takes paths and names. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/**
 * The bare call, by number: the result, or `-errno`. For hot loops, where looking the number up by name costs.
 */
export const rawSyscall: (nr: number, ...args: SyscallArgument[]) => number = native.syscall;
