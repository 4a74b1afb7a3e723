import { Errno } from './errno.ts';
import { SystemError } from './error.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';

/** Bits of readiness (`uv.h`: `UV_READABLE`, `UV_WRITABLE`, `UV_DISCONNECT`, `UV_PRIORITIZED`). */
export const Readiness = { readable: 1, writable: 2, disconnect: 4, prioritized: 8 } as const;

/**
 * Tells when a descriptor is ready, on Node's event loop and without a thread.
 *
 * An open poller keeps the process alive. It must be closed before its descriptor. libuv allows one poller for a
 * descriptor; `fd.duplicate()` gives another.
 */
export class Poller implements Disposable {
  readonly #id: number;
  #closed = false;

  /**
   * @param events Bits of {@link Readiness}.
   * @param callback Gets the bits that are ready, or `-errno`. What it throws is an uncaught exception.
   */
  constructor(fd: Fd, events: number, callback: (events: number) => void) {
    this.#id = native.poll(fd.number, events, callback);
    if (this.#id < 0) {
      const hint =
        -this.#id === Errno.EEXIST ? 'Another poller watches this descriptor: duplicate() it.' : undefined;
      throw new SystemError('uv_poll', -this.#id, {
        doing: `watch ${fd.what}`,
        ...(hint === undefined ? {} : { hint }),
      });
    }
  }

  /** Watches for other events; 0 pauses. Does nothing once closed. */
  watch(events: number): void {
    if (!this.#closed) native.pollControl(this.#id, Math.max(0, events));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native.pollControl(this.#id, -1);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
