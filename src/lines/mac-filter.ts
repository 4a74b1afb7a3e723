import { callTo, Fd, type Netns, syscall, withNetns } from '../sys/index.ts';

/** `linux/if_packet.h`. */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_DROP_MEMBERSHIP = 2;
const PACKET_MR_UNICAST = 3;

/**
 * Further MAC addresses that an interface takes frames for.
 *
 * The kernel counts who wants which address, puts them into the card's filter and has it take everything where that is
 * full. It forgets ours when the socket is closed, however the process ends.
 */
export class MacFilter implements Disposable {
  readonly #fd: Fd;
  readonly #index: number;

  /** @param index The interface's. */
  constructor(index: number, netns: Netns | string | undefined) {
    this.#index = index;
    this.#fd = withNetns(netns, () => {
      const what = 'the socket for further MAC addresses';
      // Protocol 0: it receives nothing.
      return new Fd(callTo(`make ${what}`, 'socket', AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), what);
    });
  }

  add(address: Uint8Array): void {
    const request = this.#request(address);
    callTo(
      'add a MAC address',
      'setsockopt',
      this.#fd.number,
      SOL_PACKET,
      PACKET_ADD_MEMBERSHIP,
      request,
      request.length,
    );
  }

  remove(address: Uint8Array): void {
    const request = this.#request(address);
    // An interface that is gone has no filter either.
    syscall('setsockopt', this.#fd.number, SOL_PACKET, PACKET_DROP_MEMBERSHIP, request, request.length);
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** `struct packet_mreq`: ifindex @0, type @4, address length @6, address @8. */
  #request(address: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setInt32(0, this.#index, true);
    view.setUint16(4, PACKET_MR_UNICAST, true);
    view.setUint16(6, 6, true);
    bytes.set(address, 8);
    return bytes;
  }
}
