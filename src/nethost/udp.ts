import { EventEmitter } from 'node:events';
import { Ip, type NetError, type NetStack, type UdpSocket } from '../netstack/index.ts';
import type { HostInterface } from './host-interface.ts';

export interface HostUdpOptions {
  /** Default is every interface. */
  readonly interface?: HostInterface;
  /** An own address. Default is every one. */
  readonly address?: string;
  /** Default is a free one that nobody can guess. */
  readonly port?: number;
}

export interface HostUdpEvents {
  /** The bytes are good during the call. */
  message: [bytes: Uint8Array, host: string, port: number];
  /** A datagram did not arrive, as ICMP says; or the interface is gone. */
  error: [NetError];
}

/** A UDP port of a host, made by `host.udp()`. */
export class HostUdp extends EventEmitter<HostUdpEvents> implements Disposable {
  /** Called with every datagram, before the event; the bytes are good during the call. */
  onMessage: ((bytes: Uint8Array, host: string, port: number) => void) | undefined = undefined;
  readonly #socket: UdpSocket;

  constructor(stack: NetStack, options: HostUdpOptions) {
    super();
    const { interface: via, ...others } = options;
    this.#socket = stack.openUdp(
      { ...others, ...(via === undefined ? {} : { interface: via.stackInterface }) },
      {
        onMessage: (bytes, from, port) => {
          const host = String(from);
          this.onMessage?.(bytes, host, port);
          this.emit('message', bytes, host, port);
        },
        // Nobody who does not ask is told, as for a socket of the kernel's that is not connected.
        onError: (error) => {
          if (this.listenerCount('error') > 0) this.emit('error', error);
        },
      },
    );
  }

  get port(): number {
    return this.#socket.port;
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  /**
   * Sends a datagram at once.
   *
   * @param host An IP address.
   * @throws NetError EMSGSIZE, ENETUNREACH, EPIPE once closed; ArgumentError.
   */
  send(bytes: Uint8Array, host: string, port: number): void {
    this.#socket.send(bytes, Ip.parse(host), port);
  }

  /** A second call does nothing. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
