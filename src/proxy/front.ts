import { createServer, type Server, type Socket } from 'node:net';
import { HttpSide } from './http-side.ts';
import type { ProxyService } from './service.ts';
import { SOCKS_VERSION } from './socks.ts';
import { SocksSide } from './socks-side.ts';

/** Clients that are gone without a word are noticed after some minutes. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 };

/** The one port that speaks HTTP and SOCKS5: a client's first byte tells which. */
export class Front {
  readonly server: Server;
  readonly #service: ProxyService;
  readonly #http: HttpSide;
  readonly #socks: SocksSide;
  readonly #clients = new Set<Socket>();

  /** @param maxClients Connections at a time; more wait in the listener's queue, and are then refused. */
  constructor(service: ProxyService, maxClients: number) {
    this.#service = service;
    this.#http = new HttpSide(service);
    this.#socks = new SocksSide(service);
    // Half-closed connections stay so: a client that has sent all may still wait for the answer.
    this.server = createServer({ allowHalfOpen: true, noDelay: true, ...KEEP_ALIVE }, (socket) =>
      this.#meet(socket),
    );
    this.server.maxConnections = maxClients;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Takes no new connections, gives those that are open `grace` ms, then ends them. */
  async close(grace: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const timer = setTimeout(() => {
      for (const socket of this.#clients) socket.destroy();
    }, grace);
    this.#http.server.closeIdleConnections();
    await closed;
    clearTimeout(timer);
    this.#http.server.close();
  }

  #meet(socket: Socket): void {
    this.#clients.add(socket);
    socket.once('close', () => this.#clients.delete(socket));
    const forget = (): void => {
      clearTimeout(timer);
      socket.off('error', onError).off('readable', onReadable).off('end', onEnd);
    };
    const onError = (): void => {
      forget();
      socket.destroy();
    };
    const onEnd = onError;
    const onReadable = (): void => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      forget();
      socket.unshift(first);
      if (first[0] === SOCKS_VERSION) void this.#socks.take(socket);
      else this.#http.take(socket);
    };
    const timer = setTimeout(onError, this.#service.timeouts.request);
    socket.on('error', onError).on('readable', onReadable).on('end', onEnd);
  }
}
