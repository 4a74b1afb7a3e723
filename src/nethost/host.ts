import { randomBytes, randomInt } from 'node:crypto';
import { BarewireError } from '../error.ts';
import {
  type InterfaceOptions,
  NetError,
  NetStack,
  type StackInterface,
  type StackOptions,
  summedMemory,
  type TcpOptions,
} from '../netstack/index.ts';
import type { Resolver } from '../resolver/index.ts';
import { HostInterface } from './host-interface.ts';
import type { HostLink } from './link.ts';
import { SendPool } from './send-pool.ts';
import { HostServer, type HostServerOptions } from './server.ts';
import { HostSocket, type HostSocketOptions } from './socket.ts';
import { HostUdp, type HostUdpOptions } from './udp.ts';

/** Limits and settings of a host; see {@link StackOptions}. */
export interface HostOptions
  extends Omit<StackOptions, 'secret' | 'now' | 'allocate' | 'packetMemory' | 'release' | 'onWork'> {
  /** Settings of all connections that say nothing else. */
  readonly tcp?: TcpOptions;
}

/** An interface over a {@link HostLink}. */
export interface AttachOptions extends Omit<InterfaceOptions, 'mtu' | 'output' | 'ethernet'> {
  /** Default is the link's. */
  readonly mtu?: number;
  /** Name servers to ask through this interface. */
  readonly dns?: readonly string[];
}

/** An interface whose packets somebody else brings and takes: see {@link HostInterface.input}. */
export interface PlainInterfaceOptions extends InterfaceOptions {
  /** Name servers to ask through this interface. */
  readonly dns?: readonly string[];
}

export interface HostConnectOptions extends HostSocketOptions, TcpOptions {
  /** An IP address; names are resolved first (`host.resolver`). */
  readonly host: string;
  readonly port: number;
  /** Default is the first interface that leads there. */
  readonly interface?: HostInterface;
  readonly localAddress?: string;
  readonly localPort?: number;
  /** Destroys the socket when it is aborted. */
  readonly signal?: AbortSignal;
}

export interface PingOptions {
  /** Default is the first interface that leads there. */
  readonly interface?: HostInterface;
  /** In ms. Default is 2000. */
  readonly timeout?: number;
  /** Bytes of data. Default is 56. */
  readonly bytes?: number;
}

/** Connections that are dealt with before the links are looked at again: what answers them must fit into a queue. */
const AT_ONCE = 256;
/** The longest that a timer of Node's takes, in ms. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * A TCP/IP stack that runs: on the real clock, over real links, with Node's streams as connections.
 *
 * @example
 * const host = new Host();
 * host.attach(new TunLink(device), { addresses: ['192.0.2.2/24'] });
 * const socket = host.connect({ host: '192.0.2.1', port: 80 });
 */
export class Host implements AsyncDisposable {
  readonly stack: NetStack;
  readonly #options: HostOptions;
  readonly #interfaces: Set<HostInterface> = new Set<HostInterface>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt: number = Number.POSITIVE_INFINITY;
  #next: NodeJS.Immediate | undefined;
  /** Whether something waits for the end of the present turn. */
  #woken = false;
  #flushing = false;
  #closed = false;
  readonly #pool: SendPool = new SendPool();
  readonly #echoId: number = randomInt(0x1_0000);
  #echoSequence = 0;

  constructor(options: HostOptions = {}) {
    this.#options = options;
    this.stack = new NetStack({
      ...options,
      secret: randomBytes(16),
      now: performance.now(),
      packetMemory: summedMemory,
      allocate: (size) => Buffer.allocUnsafeSlow(size),
      release: (chunk) => this.#pool.release(chunk),
      onWork: () => this.#wake(),
    });
  }

  get interfaces(): readonly HostInterface[] {
    return [...this.#interfaces];
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Runs an interface over a link, which is closed with it. */
  attach(link: HostLink, options: AttachOptions): HostInterface {
    const { dns = [], ...rest } = options;
    return this.#add(
      {
        ...rest,
        mtu: options.mtu ?? link.mtu,
        output: (bytes, offset, length) => link.send(bytes, offset, length),
        ...(link.address === undefined ? {} : { ethernet: { address: link.address } }),
      },
      dns,
      link,
    );
  }

  /** An interface without a link: its packets come in by `input` and go out by `output`, as those of a session do. */
  addInterface(options: PlainInterfaceOptions): HostInterface {
    const { dns = [], ...rest } = options;
    return this.#add(rest, dns, undefined);
  }

  /**
   * Opens a connection: a `Duplex` that is connecting. What becomes of it `connect` and `error` tell, with Node's codes:
   * ECONNREFUSED, ETIMEDOUT, ECONNRESET, EHOSTUNREACH, ENETDOWN and so on.
   *
   * @throws NetError ENETUNREACH, EADDRNOTAVAIL; ArgumentError when `host` is no IP address.
   */
  connect(options: HostConnectOptions): HostSocket {
    this.#requireOpen();
    const { host, interface: via, signal, allowHalfOpen, ...others } = options;
    const socket = new HostSocket(this.#pool, { ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }) });
    if (signal?.aborted) {
      socket.destroy(signal.reason as Error);
      return socket;
    }
    const connection = this.stack.connect(
      {
        ...this.#options.tcp,
        ...others,
        address: host,
        ...(via === undefined ? {} : { interface: via.stackInterface }),
      },
      socket.handler,
    );
    socket.adopt(connection, 'connecting');
    if (signal !== undefined) {
      const onAbort = (): void => {
        socket.destroy(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('close', () => signal.removeEventListener('abort', onAbort));
    }
    return socket;
  }

  /**
   * Listens for connections.
   *
   * @throws NetError EADDRINUSE.
   */
  listen(options: HostServerOptions, onConnection?: (socket: HostSocket) => void): HostServer {
    this.#requireOpen();
    return new HostServer(this.stack, this.#pool, { ...this.#options.tcp, ...options }, onConnection);
  }

  /** A UDP port. @throws NetError EADDRINUSE. */
  udp(options: HostUdpOptions = {}): HostUdp {
    this.#requireOpen();
    return new HostUdp(this.stack, options);
  }

  /**
   * Looks names up, through the first interface that has name servers.
   *
   * @throws BarewireError `BW_NO_NAME_SERVER` when none has.
   */
  get resolver(): Resolver {
    for (const { dns, resolver } of this.#interfaces) if (dns.length > 0) return resolver;
    throw new BarewireError('BW_NO_NAME_SERVER', 'no interface of the host has a name server', {
      hint: 'Give one when attaching the interface: { dns: [address] }.',
    });
  }

  /**
   * Asks a host whether it is there, by an ICMP or ICMPv6 echo request.
   *
   * @returns The time until the answer, in ms.
   * @throws NetError ETIMEDOUT, ENETUNREACH.
   */
  ping(address: string, options: PingOptions = {}): Promise<number> {
    this.#requireOpen();
    const { interface: via, timeout = 2000, bytes = 56 } = options;
    return new Promise((resolve, reject) => {
      const begun = performance.now();
      const stop = this.stack.echo(
        {
          address,
          id: this.#echoId,
          sequence: this.#echoSequence++ & 0xffff,
          bytes,
          ...(via === undefined ? {} : { interface: via.stackInterface }),
        },
        () => {
          clearTimeout(timer);
          stop();
          resolve(performance.now() - begun);
        },
      );
      const timer = setTimeout(() => {
        stop();
        reject(new NetError('ETIMEDOUT', { syscall: 'ping', address }));
      }, timeout);
    });
  }

  /** Ends every interface, connection and listener. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const links = [...this.#interfaces].map((one) => one.close());
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#next !== undefined) clearImmediate(this.#next);
    await Promise.all(links);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Tells applications what came in and sends what is to be sent; afterwards nothing waits but for time or packets. */
  flush(): void {
    this.#run((now) => this.stack.flush(now, AT_ONCE));
  }

  #requireOpen(): void {
    if (this.#closed) throw new BarewireError('BW_CLOSED', 'the host is closed');
  }

  #add(options: InterfaceOptions, dns: readonly string[], link: HostLink | undefined): HostInterface {
    this.#requireOpen();
    const stackInterface: StackInterface = this.stack.addInterface(options);
    const added = new HostInterface(this, stackInterface, dns, link, () => this.#interfaces.delete(added));
    this.#interfaces.add(added);
    added.start();
    return added;
  }

  /** An application did something outside of a flush: whatever else it does in this turn goes along. */
  #wake(): void {
    if (this.#woken || this.#flushing || this.#closed) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      if (!this.#closed) this.flush();
    });
  }

  #setTimer(now: number): void {
    const { deadline } = this.stack;
    if (deadline >= this.#timerAt || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(LONGEST_TIMER, Math.max(1, deadline - now)));
  }

  #onTimer(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (!this.#closed) this.#run((now) => this.stack.advance(now, AT_ONCE));
  }

  /** Lets the stack work, then the links send, and goes on in the next turn if there is more to do. */
  #run(work: (now: number) => boolean): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const now = performance.now();
    let more = false;
    try {
      more = work(now);
      for (const one of this.#interfaces) one.link?.flush?.();
    } finally {
      this.#flushing = false;
    }
    if (more && !this.#closed) {
      this.#next ??= setImmediate(() => {
        this.#next = undefined;
        if (!this.#closed) this.flush();
      });
    }
    this.#setTimer(now);
  }
}
