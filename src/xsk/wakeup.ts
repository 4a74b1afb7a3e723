import { Errno, rawSyscall, SYS, SystemError } from '../sys/index.ts';
import type { ProducerRing } from './ring.ts';
import { MSG_DONTWAIT } from './uapi.ts';

/** Whether packets can leave: `down` while the interface is, `gone` once it was deleted. */
export type LinkState = 'up' | 'down' | 'gone';

/** Set in shared memory when the socket is closed: its number may then be another descriptor's. */
const CLOSED_AT = 0;

/** The system calls that tell the kernel of entries in the rings, and what their errors mean. */
export class Wakeup {
  /** Whether the driver is to be polled by us, and so is told every time. */
  readonly busyPolled: boolean;
  state: LinkState = 'up';
  /** Packets that the kernel took and dropped: no carrier, too short, or refused by the driver. */
  refused = 0;
  /** System calls that told the kernel of packets to send. */
  kicks = 0;
  readonly #number: number;
  readonly #what: string;
  readonly #control: Int32Array;

  /** @param control Words of the first page of the rings' memory. */
  constructor(number: number, what: string, control: Int32Array, busyPolled: boolean) {
    this.#number = number;
    this.#what = what;
    this.#control = control;
    this.busyPolled = busyPolled;
  }

  /** In whichever thread. */
  get closed(): boolean {
    return this.#control[CLOSED_AT] === 1;
  }

  /** From now on nothing is told any more, in no thread. */
  close(): void {
    Atomics.store(this.#control, CLOSED_AT, 1);
  }

  // Arguments that are left out are 0: no address here, and each one costs its crossing.

  /** Has the driver look for packets, and for frames in the fill ring. */
  receive(): void {
    if (this.#control[CLOSED_AT] === 1) return;
    const result = rawSyscall(SYS.recvfrom, this.#number, 0, 0, MSG_DONTWAIT);
    if (result < 0) this.#judge(-result, 'receive');
  }

  /**
   * Has the kernel send what is on the TX ring and published, for as long as it gets on with it.
   *
   * @param complete Collects completions, without which the kernel may be stuck; how many there were.
   */
  send(tx: ProducerRing, complete: () => number): void {
    for (let before = tx.taken(); before !== tx.next; ) {
      if (this.#control[CLOSED_AT] === 1) return;
      const result = rawSyscall(SYS.sendto, this.#number, 0, 0, MSG_DONTWAIT);
      this.kicks++;
      if (result >= 0) {
        if (this.state === 'down') this.state = 'up';
        return;
      }
      // A packet was taken and dropped by the driver; its frame completes.
      if (result === -Errno.EBUSY) this.refused++;
      else if (!this.#judge(-result, 'send')) return;
      const after = tx.taken();
      // Stuck behind completions that were not collected, or a full queue of the device: the next time tries again.
      if (after === before && complete() === 0) return;
      before = after;
    }
  }

  /** Whether to go on after an errno. */
  #judge(errno: number, doing: string): boolean {
    switch (errno) {
      case Errno.EAGAIN:
      case Errno.EINTR:
      case Errno.ENOBUFS:
      case Errno.EBUSY:
        return true;
      case Errno.ENETDOWN:
        if (this.state === 'up') this.state = 'down';
        return false;
      case Errno.ENXIO:
      case Errno.ENODEV:
        // The kernel unbinds the sockets of an interface that is deleted.
        this.state = 'gone';
        return false;
      default:
        throw new SystemError(doing === 'send' ? 'sendto' : 'recvfrom', errno, {
          doing: `${doing} on ${this.#what}`,
        });
    }
  }
}
