import { closeSync, existsSync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { ArgumentError, BarewireError } from '../error.ts';
import { callTo, cString, syscall } from './call.ts';
import { Errno } from './errno.ts';
import { SystemError } from './error.ts';
import { type Fd, O_RDONLY, openPath } from './fd.ts';

/** Where iproute2 keeps named namespaces, and so where `ip netns` finds ours. */
export const NETNS_DIRECTORY = '/run/netns';

const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

/** A network namespace, held open. Its name, where it has one, lives on after `close()`. */
export class Netns implements Disposable {
  readonly fd: Fd;

  private constructor(fd: Fd) {
    this.fd = fd;
  }

  /** The namespace this thread is in. */
  static current(): Netns {
    return new Netns(openPath('/proc/thread-self/ns/net', O_RDONLY, 'the current network namespace'));
  }

  /** By name, as `ip netns` lists it, or by a path such as `/proc/1234/ns/net`. */
  static open(nameOrPath: string): Netns {
    const path = nameOrPath.includes('/') ? nameOrPath : `${NETNS_DIRECTORY}/${nameOrPath}`;
    let fd: Fd;
    try {
      fd = openPath(path, O_RDONLY, `the network namespace '${nameOrPath}'`);
    } catch (error) {
      if (error instanceof SystemError && error.errno === Errno.ENOENT) throw noNamespace(nameOrPath, error);
      throw error;
    }
    // A name that is being removed is for a moment the plain file under the mount.
    if (!isNamespace(fd)) {
      fd.close();
      throw noNamespace(nameOrPath, undefined);
    }
    return new Netns(fd);
  }

  /** Makes a namespace without a name: it ends with its last descriptor, process or mount. */
  static createAnonymous(): Netns {
    return inNewNamespace(() => Netns.current());
  }

  /**
   * Makes a named namespace, with the loopback interface down, as `ip netns add` does.
   *
   * @throws SystemError `BW_EXISTS` when the name is taken.
   */
  static create(name: string): Netns {
    if (!/^[\w.-]{1,200}$/.test(name) || name === '.' || name === '..') {
      throw new ArgumentError(`'${name}' cannot name a network namespace`, {
        hint: 'Use letters, digits, dots, dashes and underscores.',
      });
    }
    shareDirectory();
    const path = `${NETNS_DIRECTORY}/${name}`;
    try {
      closeSync(openSync(path, 'wx', 0o444));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw new SystemError('openat', Errno.EEXIST, { doing: `create the network namespace '${name}'` });
    }
    try {
      return inNewNamespace(() => {
        bindMount('/proc/thread-self/ns/net', path, MS_BIND);
        return Netns.current();
      });
    } catch (error) {
      unlinkSync(path);
      throw error;
    }
  }

  /** Takes a name away; the namespace ends with its last user. Returns whether there was such a name. */
  static remove(name: string): boolean {
    const path = `${NETNS_DIRECTORY}/${name}`;
    const unmounted = syscall('umount2', cString(path), MNT_DETACH);
    // EINVAL: a file without a mount, left by a creation that was cut short.
    if (unmounted < 0 && unmounted !== -Errno.EINVAL && unmounted !== -Errno.ENOENT) {
      throw new SystemError('umount2', -unmounted, { doing: `remove the network namespace '${name}'` });
    }
    try {
      unlinkSync(path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** All names, sorted. */
  static names(): string[] {
    return existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY).sort() : [];
  }

  /**
   * Runs `task` with this thread inside the namespace, and comes back.
   *
   * Only what the task does synchronously happens inside: a socket made there stays there, a child process spawned
   * there lives there, a promise settles outside. So a task that returns a promise is refused.
   */
  run<T>(task: () => T): T {
    using home = Netns.current();
    callTo(`enter ${this.fd.what}`, 'setns', this.fd.number, CLONE_NEWNET);
    let result: T;
    try {
      result = task();
    } finally {
      returnTo(home);
    }
    if (result instanceof Promise) {
      throw new ArgumentError(
        'Netns.run takes a synchronous task: a promise would settle in another namespace',
      );
    }
    return result;
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Runs `task` in a namespace given by name, path or object; without one, where the thread is. */
export function withNetns<T>(netns: Netns | string | undefined, task: () => T): T {
  if (netns === undefined) return task();
  if (netns instanceof Netns) return netns.run(task);
  using opened = Netns.open(netns);
  return opened.run(task);
}

function noNamespace(nameOrPath: string, cause: unknown): BarewireError {
  const known = Netns.names().filter((name) => name !== nameOrPath);
  return new BarewireError('BW_NO_NETNS', `there is no network namespace '${nameOrPath}'`, {
    hint: known.length === 0 ? 'None has a name here.' : `There are: ${known.join(', ')}.`,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** `NSFS_MAGIC` and `PROC_SUPER_MAGIC` (`linux/magic.h`): what the links of /proc lead to, and what they lay in before 3.19. */
const NAMESPACE_FILE_SYSTEMS: readonly number[] = [0x6e73_6673, 0x9fa0];

function isNamespace(fd: Fd): boolean {
  const statfs = new Uint8Array(120);
  if (syscall('statfs', cString(`/proc/thread-self/fd/${fd.number}`), statfs) < 0) return true;
  return NAMESPACE_FILE_SYSTEMS.includes(new DataView(statfs.buffer).getUint32(0, true));
}

function inNewNamespace<T>(task: () => T): T {
  using home = Netns.current();
  callTo('create a network namespace', 'unshare', CLONE_NEWNET);
  try {
    return task();
  } finally {
    returnTo(home);
  }
}

/** A thread stuck in a foreign namespace would do everything that follows in the wrong place: better to end. */
function returnTo(home: Netns): void {
  const result = syscall('setns', home.fd.number, CLONE_NEWNET);
  if (result < 0) {
    process.stderr.write(`barewire: cannot return to the own network namespace (errno ${-result})\n`);
    process.abort();
  }
}

/** As iproute2 does it, so that a name made in one mount namespace is seen in the others. */
function shareDirectory(): void {
  mkdirSync(NETNS_DIRECTORY, { recursive: true, mode: 0o755 });
  const path = cString(NETNS_DIRECTORY);
  const flags = MS_SHARED | MS_REC;
  if (syscall('mount', cString(''), path, cString('none'), flags, null) === -Errno.EINVAL) {
    bindMount(NETNS_DIRECTORY, NETNS_DIRECTORY, MS_BIND | MS_REC);
    callTo(`share ${NETNS_DIRECTORY}`, 'mount', cString(''), path, cString('none'), flags, null);
  }
}

function bindMount(from: string, to: string, flags: number): void {
  callTo(`mount ${from} on ${to}`, 'mount', cString(from), cString(to), cString('none'), flags, null);
}
