/**
 * A process that sends UDP datagrams through an ordinary kernel socket, many with one system call.
 *
 * Started inside a lab's host by {@link LabHost.flood} with its orders as JSON; prints how many it sent.
 */
import { argv, stdout } from 'node:process';
import { parseIPv4 } from '../address/index.ts';
import { addressOf, call, Errno, Fd, SystemError, syscall } from '../sys/index.ts';

/** What to send. */
export interface FloodOrder {
  /** An IPv4 address of another host. */
  readonly to: string;
  /** Default is 9, where nobody answers. */
  readonly port?: number;
  readonly packets: number;
  /** UDP payload in bytes. Default is 22: a frame of 64 bytes. */
  readonly payload?: number;
  /** Packets per second. Default is as many as go. */
  readonly rate?: number;
  /** The CPU to send from; on a veth that is also where the other end receives. Default is any. */
  readonly cpu?: number;
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const BATCH = 64;
/** `struct mmsghdr` (`bits/socket.h`): a `struct msghdr` of 56 bytes and the length sent. */
const MMSGHDR_SIZE = 64;

/** Memory that the kernel reads as long as the process runs. */
const pinned: NodeJS.ArrayBufferView[] = [];

if (argv[2] !== undefined) flood(JSON.parse(argv[2]) as FloodOrder);

function flood(order: FloodOrder): void {
  if (order.cpu !== undefined) pin(order.cpu);
  using socket = new Fd(call('socket', AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'UDP socket');
  const destination = socketAddress(order.to, order.port ?? 9);
  call('connect', socket.number, destination, destination.length);
  const payload = new Uint8Array(order.payload ?? 22);
  const vector = new BigUint64Array([BigInt(addressOf(payload)), BigInt(payload.length)]);
  // The messages hold mere addresses, which keep nothing alive.
  pinned.push(payload, vector);
  const messages = new DataView(new ArrayBuffer(BATCH * MMSGHDR_SIZE));
  for (let i = 0; i < BATCH; i++) {
    // struct msghdr { msg_iov @16, msg_iovlen @24 }
    messages.setBigUint64(i * MMSGHDR_SIZE + 16, BigInt(addressOf(vector)), true);
    messages.setBigUint64(i * MMSGHDR_SIZE + 24, 1n, true);
  }
  let sent = 0;
  const start = performance.now();
  while (sent < order.packets) {
    const due =
      order.rate === undefined ? Number.POSITIVE_INFINITY : ((performance.now() - start) / 1000) * order.rate;
    const batch = Math.min(BATCH, order.packets - sent, Math.ceil(due - sent));
    if (batch <= 0) {
      sleepMilliseconds(1);
      continue;
    }
    const result = syscall('sendmmsg', socket.number, messages, batch, 0);
    if (result > 0) sent += result;
    // An ICMP message about an earlier datagram comes back as an error of this one, which was not sent.
    else if (![-Errno.ECONNREFUSED, -Errno.ENOBUFS, -Errno.EAGAIN].includes(result)) {
      throw new SystemError('sendmmsg', -result, { doing: `send to ${order.to}` });
    }
  }
  stdout.write(`${JSON.stringify({ sent })}\n`);
}

/** `struct sockaddr_in`. */
function socketAddress(to: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port, false);
  bytes.set(parseIPv4(to), 4);
  return bytes;
}

function pin(cpu: number): void {
  const mask = new Uint32Array(32);
  mask[cpu >> 5] = 1 << (cpu & 31);
  call('sched_setaffinity', 0, mask.byteLength, mask);
}

function sleepMilliseconds(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
