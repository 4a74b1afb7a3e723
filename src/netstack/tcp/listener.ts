import type { StackInterface } from '../interface.ts';
import type { Ip } from '../ip.ts';
import type { TcpLayer } from './layer.ts';
import type { Tcb, TcpHandler, TcpOptions } from './tcb.ts';

export interface ListenOptions extends TcpOptions {
  /** Default is a free one (`listener.port`). */
  readonly port?: number;
  /** Default is every address. */
  readonly address?: Ip | undefined;
  /** Default is every interface, those of the future included. */
  readonly interface?: StackInterface | undefined;
  /** Connections that stand and have not been taken yet. Default is 511, as Node's. */
  readonly backlog?: number;
  /** Connections that do not stand yet; the oldest gives way to a new one. Default is 1024. */
  readonly halfOpen?: number;
  /** Who is told of a new connection's fate; called once it stands. */
  readonly onConnection: (connection: Tcb) => TcpHandler;
}

/** A passive open (LISTEN of RFC 9293, section 3.3.2). */
export class TcpListener {
  readonly layer: TcpLayer;
  readonly port: number;
  readonly options: ListenOptions;
  /** Half-open connections, the oldest first. */
  readonly halfOpen: Set<Tcb> = new Set<Tcb>();
  /** Connections that stand and whose application has not been told. */
  #waiting = 0;
  closed = false;

  constructor(layer: TcpLayer, port: number, options: ListenOptions) {
    this.layer = layer;
    this.port = port;
    this.options = options;
  }

  /** A connection stands; false when the application is too far behind to take it. */
  accept(tcb: Tcb): boolean {
    if (this.#waiting >= (this.options.backlog ?? 511)) return false;
    this.halfOpen.delete(tcb);
    this.#waiting++;
    return true;
  }

  /** The application is told of it. */
  take(tcb: Tcb): void {
    this.#waiting--;
    tcb.listener = undefined;
    tcb.handler = this.options.onConnection(tcb);
  }

  /** Takes no more connections; those that stand stay. A second call does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.layer.unlisten(this);
  }
}
