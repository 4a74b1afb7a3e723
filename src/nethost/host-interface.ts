import { randomInt } from 'node:crypto';
import type { IpVersion } from '../address/index.ts';
import type { StackInterface } from '../netstack/index.ts';
import { Resolver } from '../resolver/index.ts';
import type { Host } from './host.ts';
import type { HostLink } from './link.ts';
import { queryTransport } from './name-query.ts';
import type { HostSocket } from './socket.ts';
import type { HostUdp } from './udp.ts';

/** Where a connection over one interface goes. */
export interface LineTarget {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /** Keep the own side open after the peer has ended its. Default is false. */
  readonly allowHalfOpen?: boolean;
  readonly signal?: AbortSignal;
}

/** Packets between two flushes: enough to make ACKs and system calls few, few enough to keep round trips short. */
const BATCH = 64;
/** Batches before other events of the process have their turn. */
const BATCHES = 16;

/**
 * An interface of a host, and a line: a way out with addresses of its own. What `connect`, `resolve` and `openUdp` send
 * leaves by this interface and by no other.
 */
export class HostInterface implements AsyncDisposable {
  readonly host: Host;
  readonly stackInterface: StackInterface;
  /** Name servers to ask through it. */
  dns: readonly string[];
  readonly link: HostLink | undefined;
  /** Looks names up at `dns`, through this interface. */
  readonly resolver: Resolver;
  readonly #onClose: () => void;
  #pending: NodeJS.Immediate | undefined;
  #closed = false;
  readonly #take = (bytes: Uint8Array, offset: number, length: number): void => {
    this.host.stack.input(this.stackInterface, bytes, offset, length, this.#now);
  };
  #now = 0;

  constructor(
    host: Host,
    stackInterface: StackInterface,
    dns: readonly string[],
    link: HostLink | undefined,
    onClose: () => void,
  ) {
    this.host = host;
    this.stackInterface = stackInterface;
    this.dns = dns;
    this.link = link;
    this.#onClose = onClose;
    this.resolver = new Resolver({
      servers: () => this.dns,
      transport: queryTransport(this),
      now: () => performance.now(),
      random16: () => randomInt(0x1_0000),
      versions: () => this.#versions(),
    });
  }

  get name(): string {
    return this.stackInterface.name;
  }

  /** Own addresses, without their lengths. */
  get addresses(): readonly string[] {
    return this.stackInterface.addresses.map(({ ip }) => String(ip));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * A connection that leaves by this interface, once it stands.
   *
   * @throws NetError with Node's codes; what the signal was aborted with.
   */
  connect(target: LineTarget): Promise<HostSocket> {
    return new Promise((resolve, reject) => {
      const socket = this.host.connect({ ...target, interface: this });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(socket);
      });
    });
  }

  /**
   * A name's addresses, asked of `dns` through this interface.
   *
   * @throws ResolveError ENOTFOUND, ENODATA, EAI_AGAIN.
   */
  async resolve(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    return await this.resolver.resolve(name, options);
  }

  /** A UDP port of this interface. */
  async openUdp(): Promise<HostUdp> {
    return this.host.udp({ interface: this });
  }

  start(): void {
    this.link?.start({
      onReadable: () => this.#pull(),
      onWritable: () => this.writable(),
      onGone: () => void this.close(),
    });
  }

  /** Takes a packet that came in. What follows from it happens at `host.flush()`, or at the end of this turn. */
  input(bytes: Uint8Array, offset: number, length: number): void {
    this.host.stack.input(this.stackInterface, bytes, offset, length, performance.now());
  }

  /** `output` takes packets again. */
  writable(): void {
    this.host.stack.writable(this.stackInterface);
    this.host.flush();
  }

  /** Takes the interface away: its connections fail with ENETDOWN. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pending !== undefined) clearImmediate(this.#pending);
    this.host.stack.removeInterface(this.stackInterface);
    this.host.flush();
    this.#onClose();
    await this.link?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Versions that lead beyond the link; IPv6 first where there is any (RFC 6724). */
  #versions(): readonly IpVersion[] {
    const own = this.stackInterface.addresses.filter(({ ip }) => !ip.isLinkLocal).map(({ ip }) => ip.version);
    return ([6, 4] as const).filter((version) => own.includes(version));
  }

  /** Reads what is there, batch by batch, and answers each batch at once. */
  #pull(): void {
    const link = this.link!;
    for (let batch = 0; batch < BATCHES; batch++) {
      if (this.#closed) return;
      this.#now = performance.now();
      const count = link.receive(this.#take, BATCH);
      if (count > 0) this.host.flush();
      if (count < BATCH) return;
    }
    // There may be more; not every link says so again.
    this.#pending ??= setImmediate(() => {
      this.#pending = undefined;
      this.#pull();
    });
  }
}
