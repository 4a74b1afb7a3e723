import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { isIP, Socket, type SocketConstructorOpts } from 'node:net';
import { ArgumentError } from '../error.ts';
import { callTo, cString, Fd, type Netns, withNetns } from '../sys/index.ts';
import {
  AF_INET,
  AF_INET6,
  SO_BINDTODEVICE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from './uapi.ts';

export interface BoundOptions {
  /** The device that all packets leave and come in by. */
  readonly device: string;
  /** The device's namespace: by name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
}

export interface ConnectOptions extends BoundOptions {
  /** An IP address, never a name: looking a name up would ask by another line. */
  readonly host: string;
  readonly port: number;
  /** One of the device's addresses. Default is the kernel's choice among them. */
  readonly localAddress?: string;
  readonly allowHalfOpen?: boolean;
  readonly noDelay?: boolean;
}

/**
 * Connects over one device and no other: an ordinary socket of Node's that was bound before its first packet.
 *
 * Binding later is too late, for the SYN has left; a bound socket that Node swaps for another one, as it does to try
 * several addresses of a name, leaks. So the socket is made and bound here, and Node is given an address.
 *
 * @returns A socket that is connecting: `connect` and `error` tell what became of it.
 * @throws ArgumentError for a name in place of an address; SystemError when there is no such device.
 */
export function connectThrough(options: ConnectOptions): Socket {
  const { host, port, localAddress, allowHalfOpen = false, noDelay } = options;
  const family = requireAddress(host);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new ArgumentError(`${port} is no port`);
  if (localAddress !== undefined && isIP(localAddress) !== family) {
    throw new ArgumentError(`${localAddress} cannot be the source of a connection to ${host}`);
  }
  const fd = boundSocket(options, family, SOCK_STREAM);
  // `manualStart`, which the types leave out, keeps Node from reading before there is a connection.
  const made: SocketConstructorOpts & { manualStart: true } = {
    fd: fd.release(),
    allowHalfOpen,
    manualStart: true,
  };
  const socket = new Socket(made);
  socket.connect({
    host,
    port,
    family,
    autoSelectFamily: false,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(noDelay === undefined ? {} : { noDelay }),
  });
  return socket;
}

/**
 * A UDP socket whose packets leave and come in by one device only.
 *
 * @throws SystemError when there is no such device.
 */
export async function datagramThrough(
  options: BoundOptions & { readonly version?: 4 | 6 },
): Promise<DatagramSocket> {
  const { version = 4 } = options;
  const fd = boundSocket(options, version, SOCK_DGRAM);
  const socket = createSocket({ type: version === 4 ? 'udp4' : 'udp6', lookup: addressesOnly as never });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ fd: fd.release() }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** A socket of the kernel's, bound to the device and to nothing else. */
export function boundSocket(options: BoundOptions, version: number, type: number): Fd {
  const { device, netns } = options;
  return withNetns(netns, () => {
    const what = `a socket on ${device}`;
    const family = version === 4 ? AF_INET : AF_INET6;
    const number = callTo(`make ${what}`, 'socket', family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const fd = new Fd(number, what);
    try {
      const name = cString(device);
      callTo(`bind ${what}`, 'setsockopt', number, SOL_SOCKET, SO_BINDTODEVICE, name, name.length);
      return fd;
    } catch (error) {
      fd.close();
      throw error;
    }
  });
}

/** In the place of `dns.lookup`, which would ask by another line. */
function addressesOnly(
  name: string,
  _options: unknown,
  done: (error: Error | null, address?: string, family?: number) => void,
): void {
  const version = isIP(name);
  if (version === 0) done(notAnAddress(name));
  else done(null, name, version);
}

function requireAddress(host: string): 4 | 6 {
  const version = isIP(host);
  if (version === 0) throw notAnAddress(host);
  return version as 4 | 6;
}

function notAnAddress(host: string): ArgumentError {
  return new ArgumentError(`'${host}' is not an IP address`, {
    hint: "Look names up through the session's own servers: its resolve() does.",
  });
}
