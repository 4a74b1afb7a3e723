import { EventEmitter } from 'node:events';
import type { NetStack, TcpListener, TcpOptions } from '../netstack/index.ts';
import type { HostInterface } from './host-interface.ts';
import type { SendPool } from './send-pool.ts';
import { HostSocket, type HostSocketOptions } from './socket.ts';

export interface HostServerOptions extends HostSocketOptions, TcpOptions {
  /** Default is a free one: `server.port`. */
  readonly port?: number;
  /** Default is every address. */
  readonly address?: string;
  /** Default is every interface. */
  readonly interface?: HostInterface;
  /** Connections that stand and have not been taken yet. Default is 511. */
  readonly backlog?: number;
  /** Connections that do not stand yet; the oldest gives way to a new one. Default is 1024. */
  readonly halfOpen?: number;
}

/** `connection` for each new one, `close` at the end. */
export interface HostServerEvents {
  connection: [HostSocket];
  close: [];
}

/** A listening socket of a host, made by `host.listen`. An `http.Server` takes its sockets: `http.emit('connection', socket)`. */
export class HostServer extends EventEmitter<HostServerEvents> implements Disposable {
  readonly #listener: TcpListener;
  #closed = false;

  constructor(
    stack: NetStack,
    pool: SendPool,
    options: HostServerOptions,
    onConnection?: (socket: HostSocket) => void,
  ) {
    super();
    if (onConnection !== undefined) this.on('connection', onConnection);
    const { interface: via, allowHalfOpen, ...others } = options;
    this.#listener = stack.listen({
      ...others,
      ...(via === undefined ? {} : { interface: via.stackInterface }),
      onConnection: (connection) => {
        const socket = new HostSocket(pool, { ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }) });
        socket.adopt(connection, 'connected');
        this.emit('connection', socket);
        return socket.handler;
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Takes no more connections; those that stand stay. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.emit('close');
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
