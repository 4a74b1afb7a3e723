import { BarewireError, CodecError } from '../error.ts';
import { call, syscall } from '../sys/call.ts';
import { Errno } from '../sys/errno.ts';
import { SystemError } from '../sys/error.ts';
import { Fd } from '../sys/fd.ts';
import { Netns, withNetns } from '../sys/netns.ts';
import { type Answer, askUntilWhole, collectAnswer } from './answer.ts';
import { type Attribute, encodeAttributes } from './attribute.ts';
import { NetlinkError } from './error.ts';
import { type AttributeNames, locateFault } from './fault.ts';
import { type Acknowledgement, encodeMessage, type Message, NLM_F, NLMSG } from './message.ts';

/** Netlink protocols (linux/netlink.h). */
export const NETLINK_PROTOCOL = { route: 0, generic: 16 } as const;

export type NetlinkProtocol = keyof typeof NETLINK_PROTOCOL;

export interface NetlinkSocketOptions {
  /** The network namespace to work in, by name, path or object. Default is the thread's own. */
  readonly netns?: Netns | string | undefined;
}

/** A request without what the socket adds: sequence number, port, REQUEST and ACK flags. */
export interface NetlinkRequest {
  readonly type: number;
  /** `NLM_F` bits beyond REQUEST and ACK. */
  readonly flags?: number;
  /** The fixed part in front of the attributes, as `struct ifinfomsg`. A multiple of four bytes. */
  readonly header: Uint8Array;
  readonly attributes: readonly Attribute[];
  /** What it is for, as in `create the link 'bw0'`: errors begin with `could not …`. */
  readonly doing: string;
  /** So that errors name the attribute at fault. */
  readonly names?: AttributeNames;
  /** What to do about a refusal, where that is known. */
  readonly hint?: (errno: number, reason: string | undefined) => string | undefined;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_PEEK = 0x02;
const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
/** `linux/sockios.h`: a descriptor of the socket's own network namespace. */
const SIOCGSKNS = 0x894c;

const FIRST_BUFFER_BYTES = 64 * 1024;
const RECEIVE_QUEUE_BYTES = 1024 * 1024;
/** The kernel answers before `send` returns; the time is for what nobody has thought of, in place of a hang. */
const ANSWER_TIMEOUT_SECONDS = 5;
const DUMP_ATTEMPTS = 10;

/**
 * A netlink socket in one network namespace, where it stays wherever the thread goes.
 *
 * Requests are synchronous: the kernel has answered by the time the request is sent. Not for notifications, which
 * would come between the answers; they have a socket of their own.
 */
export class NetlinkSocket implements Disposable {
  readonly fd: Fd;
  readonly protocol: NetlinkProtocol;
  readonly #port: number;
  #sequence = 0;
  #buffer: Uint8Array = new Uint8Array(FIRST_BUFFER_BYTES);

  /** @throws SystemError; BarewireError `BW_NO_NETNS` when there is no such namespace. */
  constructor(protocol: NetlinkProtocol, options: NetlinkSocketOptions = {}) {
    this.protocol = protocol;
    this.fd = withNetns(options.netns, () => openSocket(protocol));
    try {
      setTimeValue(this.fd, SO_RCVTIMEO, ANSWER_TIMEOUT_SECONDS);
      this.#port = bindSocket(this.fd);
      // The kernel sizes the datagrams of a list by the largest buffer seen so far, which for the first one is none:
      // once it has seen ours, it fills 32 KiB at a time, and a route of many next hops fits.
      this.request({ type: NLMSG.NOOP, header: NO_HEADER, attributes: [], doing: 'reach the kernel' });
    } catch (error) {
      this.fd.close();
      throw error;
    }
  }

  /**
   * Sends one request and returns the messages of the answer, the closing acknowledgement left out.
   *
   * With `NLM_F.DUMP` in its flags that is everything there is; a dump that the kernel calls inconsistent is asked for
   * again.
   *
   * @throws NetlinkError when the kernel refuses, with its own words.
   */
  request(request: NetlinkRequest): readonly Message[] {
    const dump = ((request.flags ?? 0) & NLM_F.DUMP) === NLM_F.DUMP;
    let sent: Uint8Array = NO_HEADER;
    const ask = (): Answer | 'overrun' => {
      sent = this.#send(request);
      const answer = collectAnswer(() => this.#receive(), this.#sequence, this.#port);
      if (answer === 'overrun') this.#drain();
      return answer;
    };
    // Only a list can be asked for again without knowing what the first try has done.
    const answer = askUntilWhole(ask, dump ? DUMP_ATTEMPTS : 1);
    if (answer === 'overrun') throw new SystemError('recvfrom', Errno.ENOBUFS, { doing: request.doing });
    if (answer === 'interrupted') {
      throw new BarewireError(
        'BW_BUSY',
        `could not ${request.doing}: it changed ${DUMP_ATTEMPTS} times while the kernel listed it`,
        { hint: 'Try again when less is being changed.' },
      );
    }
    if (answer.acknowledgement.errno !== 0) throw refusal(request, sent, answer.acknowledgement);
    return answer.messages;
  }

  /** Runs a synchronous task in the network namespace that the socket lives in, such as opening another socket. */
  within<T>(task: () => T): T {
    let entered = false;
    try {
      using netns = this.#netns();
      return netns.run(() => {
        entered = true;
        return task();
      });
    } catch (error) {
      // Who may not enter namespaces has not left the one the socket was opened in.
      if (!entered && error instanceof SystemError && error.errno === Errno.EPERM) return task();
      throw error;
    }
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #netns(): Netns {
    const number = call('ioctl', this.fd.number, SIOCGSKNS, 0);
    using fd = new Fd(number, 'the network namespace of a netlink socket');
    return Netns.open(`/proc/thread-self/fd/${fd.number}`);
  }

  #send(request: NetlinkRequest): Uint8Array {
    const { type, flags = 0, header, attributes } = request;
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const attributeBytes = encodeAttributes(attributes);
    const payload = new Uint8Array(header.length + attributeBytes.length);
    payload.set(header);
    payload.set(attributeBytes, header.length);
    const bytes = encodeMessage({
      type,
      flags: flags | NLM_F.REQUEST | NLM_F.ACK,
      sequence: this.#sequence,
      port: this.#port,
      payload,
    });
    call('sendto', this.fd.number, bytes, bytes.length, 0, KERNEL, KERNEL.length);
    return bytes;
  }

  /** What is left of an answer that was cut short would be in the way of the next one. */
  #drain(): void {
    let received: ReturnType<typeof receiveDatagram>;
    do received = receiveDatagram(this.fd, this.#buffer, MSG_DONTWAIT);
    while (received !== 'empty');
  }

  #receive(): Uint8Array | 'overrun' {
    const received = receiveDatagram(this.fd, this.#buffer, 0);
    if (received === 'overrun') return received;
    if (received === 'empty') {
      throw new BarewireError('BW_NETLINK', `the kernel left a ${this.protocol} netlink request unanswered`);
    }
    this.#buffer = received.buffer;
    return received.datagram;
  }
}

/** A socket in the network namespace that the thread is in, not yet bound. */
export function openSocket(protocol: NetlinkProtocol): Fd {
  const number = call('socket', AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_PROTOCOL[protocol]);
  return new Fd(number, `a ${protocol} netlink socket`);
}

/** Sets what every netlink socket of ours has and binds it; returns its port. */
export function bindSocket(fd: Fd): number {
  enlargeReceiveQueue(fd, RECEIVE_QUEUE_BYTES);
  // Each of these came later than netlink itself: without them errors say less, and that is all.
  for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
    syscall('setsockopt', fd.number, SOL_NETLINK, option, Int32Array.of(1), 4);
  }
  const any = socketAddress(0);
  call('bind', fd.number, any, any.length);
  const length = Uint32Array.of(any.length);
  call('getsockname', fd.number, any, length);
  return new DataView(any.buffer).getUint32(4, true);
}

/** Past the system's limit where we may, up to it where not. */
export function enlargeReceiveQueue(fd: Fd, bytes: number): void {
  const size = Int32Array.of(bytes);
  if (syscall('setsockopt', fd.number, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
    call('setsockopt', fd.number, SOL_SOCKET, SO_RCVBUF, size, 4);
  }
}

export function joinGroup(fd: Fd, group: number): void {
  call('setsockopt', fd.number, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, Int32Array.of(group), 4);
}

/**
 * One datagram of the kernel's, as bytes of their own, and the buffer to use next time: a larger one when this one
 * was too small. Datagrams of other processes are passed over.
 *
 * @param flags `MSG_DONTWAIT`, or 0 to wait as long as the socket's time-out allows.
 */
export function receiveDatagram(
  fd: Fd,
  buffer: Uint8Array,
  flags: number,
): { datagram: Uint8Array; buffer: Uint8Array } | 'empty' | 'overrun' {
  let large = buffer;
  const from = socketAddress(0);
  const fromLength = new Uint32Array(1);
  for (;;) {
    // Looking first tells the size: a datagram that does not fit is cut off and lost.
    let size = syscall('recvfrom', fd.number, large, large.length, flags | MSG_PEEK | MSG_TRUNC, null, null);
    if (size > large.length) large = new Uint8Array(2 * size);
    if (size >= 0) {
      fromLength[0] = from.length;
      size = syscall('recvfrom', fd.number, large, large.length, flags | MSG_TRUNC, from, fromLength);
    }
    if (size === -Errno.EINTR) continue;
    if (size === -Errno.EAGAIN) return 'empty';
    if (size === -Errno.ENOBUFS) return 'overrun';
    if (size < 0) throw new SystemError('recvfrom', -size, { doing: `read from ${fd.what}` });
    if (size > large.length) throw new CodecError('netlink datagram', 0, 'it grew while it was read');
    if (new DataView(from.buffer).getUint32(4, true) !== 0) continue;
    return { datagram: large.slice(0, size), buffer: large };
  }
}

/** `struct sockaddr_nl`; port 0 is the kernel, and for `bind` a port of the kernel's choice. */
function socketAddress(port: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(4, port, true);
  return bytes;
}

const NO_HEADER = new Uint8Array(0);

const KERNEL: Uint8Array = socketAddress(0);

/** `struct timeval` of whole seconds. */
function setTimeValue(fd: Fd, option: number, seconds: number): void {
  call('setsockopt', fd.number, SOL_SOCKET, option, BigInt64Array.of(BigInt(seconds), 0n), 16);
}

function refusal(request: NetlinkRequest, bytes: Uint8Array, acknowledgement: Acknowledgement): NetlinkError {
  const { errno, extended } = acknowledgement;
  return new NetlinkError(errno, {
    doing: request.doing,
    extended,
    fault: locateFault(bytes, request.header.length, extended, request.names),
    hint: request.hint?.(errno, extended.message),
  });
}
