import { addressOf, Errno, type Fd, Poller, Readiness, rawSyscall, SYS, SystemError } from '../sys/index.ts';

/** Looks at a packet: bytes `address` to `address + length - 1` of `bytes`, which are gone when it returns. */
export type TunVisit = (bytes: Uint8Array, address: number, length: number) => void;

/** The largest packet that the device hands over: 64 KiB, with its `virtio_net_hdr` and an Ethernet header. */
const LONGEST = 65_536 + 64;

/**
 * One queue of a device.
 *
 * A system call carries one packet: that is the device's limit, and at about 0.5 microseconds a packet what bounds its
 * rate. Nothing is allocated for it.
 */
export class TunQueue {
  readonly fd: Fd;
  #poller: Poller | undefined;
  #buffer: Uint8Array | undefined;
  #memory = 0;
  #closed = false;

  constructor(fd: Fd) {
    this.fd = fd;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Reads the next packet to where `memory` says, as {@link addressOf} gives it.
   *
   * @returns Its length; 0 when there is none, and when the device is gone.
   */
  read(memory: number, room: number): number {
    if (this.#closed) return 0;
    for (;;) {
      const length = rawSyscall(SYS.read, this.fd.number, memory, room);
      if (length >= 0) return length;
      if (length === -Errno.EINTR) continue;
      if (length === -Errno.EAGAIN || length === -Errno.EBADFD) return 0;
      throw new SystemError('read', -length, { doing: `read from ${this.fd.what}` });
    }
  }

  /**
   * Gives the kernel a packet that lies where `memory` says.
   *
   * @returns false when the kernel dropped it: the device is down or gone, it is short of memory, or that is no packet.
   */
  write(memory: number, length: number): boolean {
    if (this.#closed) return false;
    for (;;) {
      const result = rawSyscall(SYS.write, this.fd.number, memory, length);
      if (result >= 0) return true;
      if (result !== -Errno.EINTR) return false;
    }
  }

  /** Gives the kernel a packet. */
  send(packet: Uint8Array): boolean {
    return packet.length > 0 && this.write(addressOf(packet), packet.length);
  }

  /** Shows the packets that are there to `visit`, at most `limit`; how many. Default is 64. */
  receive(visit: TunVisit, limit = 64): number {
    if (this.#buffer === undefined) {
      this.#buffer = new Uint8Array(LONGEST);
      this.#memory = addressOf(this.#buffer);
    }
    let count = 0;
    while (count < limit) {
      const length = this.read(this.#memory, LONGEST);
      if (length === 0) break;
      count++;
      visit(this.#buffer, 0, length);
    }
    return count;
  }

  /** Calls back whenever there are packets to read; undefined stops that. Watching keeps the process alive. */
  watch(onReadable: (() => void) | undefined): void {
    this.#poller?.close();
    this.#poller = undefined;
    if (onReadable === undefined || this.#closed) return;
    this.#poller = new Poller(this.fd, Readiness.readable, (events) => {
      // A device that was deleted is an error for ever: nothing more will come.
      if (events < 0) this.watch(undefined);
      else onReadable();
    });
  }

  /** Stops watching for a while, and goes on; what is there is told of then. */
  pause(paused: boolean): void {
    this.#poller?.watch(paused ? 0 : Readiness.readable);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.watch(undefined);
    this.fd.close();
  }
}
