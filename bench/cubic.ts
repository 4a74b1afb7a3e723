import type { Server, Socket } from 'node:net';
import { callTo, cString } from '../src/sys/index.ts';

/** `IPPROTO_TCP` and `TCP_CONGESTION` (`netinet/in.h`, `linux/tcp.h`). */
const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;

/**
 * Has a socket of the kernel's use CUBIC, whatever the machine's default is; of a server, all that it accepts.
 *
 * Node offers no such option, but its handle has the descriptor.
 */
export function useCubic(socket: Socket | Server): void {
  const { _handle: handle } = socket as unknown as { readonly _handle: { readonly fd: number } };
  const name = cString('cubic');
  callTo('choose CUBIC', 'setsockopt', handle.fd, IPPROTO_TCP, TCP_CONGESTION, name, name.length - 1);
}
