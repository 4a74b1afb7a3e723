import { ArgumentError } from '../error.ts';
import { transportChecksum } from '../packet/checksum.ts';
import { NetError } from './error.ts';
import type { StackInterface } from './interface.ts';
import { halfAt, type Ip, putHalf } from './ip.ts';
import type { IpOutput } from './ip-output.ts';
import type { KeyedHash } from './keyed-hash.ts';
import type { IpPacket } from './packet.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from './tcp/ports.ts';

/** IANA protocol number. */
export const UDP = 17;
const HEADER = 8;

/** Told of datagrams. The bytes are gone when `onMessage` returns. */
export interface UdpHandler {
  onMessage(bytes: Uint8Array, from: Ip, port: number, to: Ip): void;
  /** Somebody said that a datagram of ours did not arrive. */
  onError?(error: NetError): void;
}

export interface UdpBinding {
  /** Default is every interface. */
  readonly interface?: StackInterface | undefined;
  /** Default is every address. */
  readonly address?: Ip | undefined;
  /** Default is a free one that nobody can guess. */
  readonly port?: number;
}

/** What the layer needs of its stack. */
export interface UdpEnvironment {
  readonly output: IpOutput;
  readonly random: KeyedHash;
  /** Something was sent: the link may want to be flushed. */
  wake(): void;
  /** The interface and the own address for a destination. @throws NetError ENETUNREACH. */
  route(
    remote: Ip,
    via: StackInterface | undefined,
    local: Ip | undefined,
  ): { via: StackInterface; local: Ip };
}

/** A UDP port of the stack, made by `NetStack.openUdp`. */
export class UdpSocket {
  readonly port: number;
  readonly binding: UdpBinding;
  readonly handler: UdpHandler;
  readonly #layer: UdpLayer;
  closed = false;

  constructor(layer: UdpLayer, port: number, binding: UdpBinding, handler: UdpHandler) {
    this.#layer = layer;
    this.port = port;
    this.binding = binding;
    this.handler = handler;
  }

  /**
   * Sends a datagram at once; a long one in fragments. Nobody tells whether it arrives.
   *
   * @throws NetError EMSGSIZE, ENETUNREACH; BarewireError once closed.
   */
  send(bytes: Uint8Array, remote: Ip, port: number): void {
    if (this.closed) throw new NetError('EPIPE', { syscall: 'send', reason: 'the socket is closed' });
    this.#layer.send(this, bytes, remote, port);
  }

  /** A second call does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#layer.remove(this);
  }
}

/** All UDP of a stack (RFC 768, RFC 1122 section 4.1). */
export class UdpLayer {
  readonly #environment: UdpEnvironment;
  readonly #sockets: Map<string, UdpSocket> = new Map<string, UdpSocket>();
  dropped = 0;

  constructor(environment: UdpEnvironment) {
    this.#environment = environment;
  }

  /** @throws NetError EADDRINUSE. */
  open(binding: UdpBinding, handler: UdpHandler): UdpSocket {
    let port = binding.port ?? 0;
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new ArgumentError(`${port} is no port`);
    // RFC 6056, section 3.3.2: random, tried again when taken.
    for (let tries = 0; port === 0 && tries < EPHEMERAL_COUNT; tries++) {
      const candidate = EPHEMERAL_FIRST + this.#environment.random.below(EPHEMERAL_COUNT);
      if (!this.#sockets.has(keyOf(binding.interface, binding.address, candidate))) port = candidate;
    }
    const key = keyOf(binding.interface, binding.address, port);
    if (port === 0 || this.#sockets.has(key)) throw new NetError('EADDRINUSE', { syscall: 'bind', port });
    const socket = new UdpSocket(this, port, binding, handler);
    this.#sockets.set(key, socket);
    return socket;
  }

  remove(socket: UdpSocket): void {
    this.#sockets.delete(keyOf(socket.binding.interface, socket.binding.address, socket.port));
  }

  send(socket: UdpSocket, bytes: Uint8Array, remote: Ip, port: number): void {
    const { output, route } = this.#environment;
    const length = HEADER + bytes.length;
    if (length > (remote.version === 4 ? 65_515 : 65_535)) {
      throw new NetError('EMSGSIZE', { syscall: 'send', address: String(remote), port });
    }
    const { via, local } = route(remote, socket.binding.interface, socket.binding.address);
    const out = output.scratch;
    const at = output.payload(local.version);
    putHalf(out, at, socket.port);
    putHalf(out, at + 2, port);
    putHalf(out, at + 4, length);
    putHalf(out, at + 6, 0);
    out.set(bytes, at + HEADER);
    const sum = transportChecksum(out, at, at + length, local.sum + remote.sum, UDP);
    // A sum of 0 means that there is none (RFC 768).
    putHalf(out, at + 6, sum === 0 ? 0xffff : sum);
    output.send(via, local, remote, UDP, length);
    this.#environment.wake();
  }

  /** A datagram came. False when nobody listens there. */
  input(packet: IpPacket): boolean {
    const { bytes, transport: at } = packet;
    const length = packet.end - at < HEADER ? 0 : halfAt(bytes, at + 4);
    if (length < HEADER || at + length > packet.end) return this.#drop();
    const sum = halfAt(bytes, at + 6);
    // IPv6 knows no datagrams without a checksum but those of tunnels (RFC 8200, section 8.1).
    if (
      sum === 0
        ? packet.version === 6
        : transportChecksum(bytes, at, at + length, packet.addressSum, UDP) !== 0
    ) {
      return this.#drop();
    }
    const socket = this.#find(packet.interface, packet.destination, halfAt(bytes, at + 2));
    if (socket === undefined) return false;
    socket.handler.onMessage(
      bytes.subarray(at + HEADER, at + length),
      packet.source,
      halfAt(bytes, at),
      packet.destination,
    );
    return true;
  }

  /** An ICMP error quotes a datagram of ours. */
  onError(via: StackInterface, local: Ip, localPort: number, error: NetError): void {
    this.#find(via, local, localPort)?.handler.onError?.(error);
  }

  closeInterface(via: StackInterface): void {
    for (const socket of [...this.#sockets.values()]) {
      if (socket.binding.interface !== via) continue;
      socket.close();
      socket.handler.onError?.(new NetError('ENETDOWN', { syscall: 'recv' }));
    }
  }

  #find(via: StackInterface, local: Ip, port: number): UdpSocket | undefined {
    if (this.#sockets.size === 0) return undefined;
    return (
      this.#sockets.get(keyOf(via, local, port)) ??
      this.#sockets.get(keyOf(via, undefined, port)) ??
      this.#sockets.get(keyOf(undefined, local, port)) ??
      this.#sockets.get(keyOf(undefined, undefined, port))
    );
  }

  /** Malformed: gone without an answer. */
  #drop(): true {
    this.dropped++;
    return true;
  }
}

function keyOf(via: StackInterface | undefined, address: Ip | undefined, port: number): string {
  return `${via?.id ?? '*'} ${address?.key ?? '*'} ${port}`;
}
