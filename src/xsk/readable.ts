import { Errno, type Fd, Poller, Readiness, SystemError } from '../sys/index.ts';
import { InterfaceGoneError } from './error.ts';

/** Waits on the event loop until one of several sockets has something to receive. */
export class Readable implements Disposable {
  readonly #judge: () => Error | undefined;
  readonly #pollers: readonly OwnPoller[];
  #waiting: (() => void)[] = [];
  #fault: Error | undefined;
  #closed = false;

  /**
   * @param name The interface's, for errors.
   * @param judge What a socket in error means; undefined for nothing that matters. Default is that the interface was
   *   deleted, which is the only reason for AF_XDP.
   */
  constructor(
    name: string,
    fds: readonly Fd[],
    judge: () => Error | undefined = () => new InterfaceGoneError(name),
  ) {
    this.#judge = judge;
    this.#pollers = watchAll(fds, 0, (events) => this.#onReady(events));
  }

  /**
   * Resolves when there may be something to receive, when the signal is aborted, and when this is closed.
   *
   * @throws InterfaceGoneError when the interface was deleted.
   */
  async wait(signal?: AbortSignal): Promise<void> {
    if (this.#closed || signal?.aborted) return;
    let wake = (): void => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    signal?.addEventListener('abort', wake);
    this.#waiting.push(wake);
    for (const poller of this.#pollers) poller.watch(Readiness.readable);
    await woken;
    signal?.removeEventListener('abort', wake);
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Must come before its descriptors are closed. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const poller of this.#pollers) poller.close();
    this.#wake();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onReady(events: number): void {
    // libuv calls any error of a descriptor EBADF.
    if (events === -Errno.EBADF) this.#fault = this.#judge();
    else if (events < 0) this.#fault = new SystemError('uv_poll', -events, { doing: 'wait for packets' });
    this.#wake();
  }

  #wake(): void {
    // Level-triggered: without the pause it would fire for as long as nobody receives.
    for (const poller of this.#pollers) poller.watch(0);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A poller with a descriptor of its own, for libuv allows one each. */
export interface OwnPoller {
  watch(events: number): void;
  close(): void;
}

/** Watches duplicates of `fds`. They hold what they were made of open, so they are to be closed with it. */
export function watchAll(
  fds: readonly Fd[],
  events: number,
  callback: (events: number) => void,
): OwnPoller[] {
  const watching: OwnPoller[] = [];
  try {
    for (const fd of fds) {
      const own = fd.duplicate();
      let poller: Poller;
      try {
        poller = new Poller(own, events, callback);
      } catch (error) {
        own.close();
        throw error;
      }
      const close = (): void => {
        poller.close();
        own.close();
      };
      watching.push({ watch: (wanted) => poller.watch(wanted), close });
    }
  } catch (error) {
    for (const one of watching) one.close();
    throw error;
  }
  return watching;
}
