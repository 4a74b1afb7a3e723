import type { Host, HostInterface, HostSocket } from '../nethost/index.ts';
import type { DeviceUdp } from '../tun/index.ts';
import { LineDownError } from './error.ts';
import type { PppoeLine, Redialled } from './line.ts';

/**
 * A PPPoE session whose packets a TCP/IP stack in this process takes, in place of a device of the kernel's: nothing of it
 * is seen outside, and no route or rule is touched. One host serves any number of sessions, each by an interface.
 *
 * @example
 * await using host = new Host();
 * const line = new StackLine(pool.add({ user, password, device: false }), host);
 * await line.session.up();
 * const socket = await line.connect({ host: '203.0.113.1', port: 80 });
 */
export class StackLine {
  /** The session; it was added with `device: false`. */
  readonly session: PppoeLine;
  readonly #host: Host;
  /** Ends each connection, because the session is gone. */
  readonly #ends = new Set<(reason: LineDownError) => void>();
  #interface: HostInterface | undefined;
  readonly #onOpen = (): void => this.#open();
  readonly #onIpv6 = (): void => this.#readdress();
  readonly #onState = (_state: string, previous: string): void => {
    if (previous === 'open') this.#down();
  };

  constructor(session: PppoeLine, host: Host) {
    this.session = session;
    this.#host = host;
    session.attach((bytes, offset, length) => this.#interface?.input(bytes, offset, length));
    session.on('open', this.#onOpen).on('ipv6', this.#onIpv6).on('state', this.#onState);
    if (session.given !== undefined) this.#open();
  }

  get name(): string {
    return this.session.name;
  }

  /** The addresses that others see it by: IPv4, then IPv6. Empty while it is down. */
  get addresses(): readonly string[] {
    return this.#interface === undefined ? [] : this.session.addresses;
  }

  /**
   * A TCP connection over this session and no other.
   *
   * @returns The stream, once it is connected. When the session ends it fails with a LineDownError.
   * @throws LineDownError; NetError with Node's codes.
   */
  async connect(target: {
    readonly host: string;
    readonly port: number;
    readonly allowHalfOpen?: boolean;
    readonly signal?: AbortSignal;
  }): Promise<HostSocket> {
    const socket = await this.#present().connect(target);
    socket.setNoDelay();
    const end = (reason: LineDownError): void => void socket.destroy(reason);
    this.#ends.add(end);
    socket.once('close', () => this.#ends.delete(end));
    return socket;
  }

  /** A name's addresses, asked of the session's own servers over the session. @throws LineDownError, ResolveError */
  async resolve(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    return await this.#present().resolve(name, options);
  }

  /** Datagrams over this session and no other; `onGone` tells when it ends. @throws LineDownError */
  async openUdp(): Promise<DeviceUdp> {
    const port = this.#host.udp({ interface: this.#present() });
    let closed = false;
    const close = (): void => {
      closed = true;
      this.#ends.delete(end);
      port.close();
    };
    const end = (reason: LineDownError): void => {
      close();
      udp.onGone?.(reason);
    };
    const udp: DeviceUdp = {
      onMessage: undefined,
      onGone: undefined,
      send(payload, host, to) {
        if (closed) return;
        try {
          port.send(payload, host, to);
        } catch {
          // A datagram that cannot go is a datagram lost, as on any network.
        }
      },
      close,
    };
    port.onMessage = (bytes, host, from) => udp.onMessage?.(bytes, host, from);
    this.#ends.add(end);
    return udp;
  }

  /** Another address, see {@link PppoeLine.redial}. */
  async redial(options: { readonly signal?: AbortSignal } = {}): Promise<Redialled> {
    return await this.session.redial(options);
  }

  /** Takes the stack off the session, which stays with its pool. A second call does nothing. */
  close(): void {
    this.session.off('open', this.#onOpen).off('ipv6', this.#onIpv6).off('state', this.#onState);
    this.session.attach(undefined);
    this.#down();
  }

  #present(): HostInterface {
    if (this.#interface !== undefined) return this.#interface;
    const cause = this.session.lastError;
    throw new LineDownError(this.name, cause === undefined ? {} : { hint: cause.message, cause });
  }

  #open(): void {
    const { given } = this.session;
    if (given === undefined) return;
    // Another address is another host to everybody: what went on under the old one is over.
    this.#down();
    this.#interface = this.#host.addInterface({
      name: this.name,
      mtu: given.mtu,
      addresses: [...this.session.addresses],
      dns: this.session.dns,
      output: (bytes, offset, length) => this.session.send(bytes, offset, length),
    });
  }

  /** IPv6 comes after IPv4, and may change while connections go on. */
  #readdress(): void {
    if (this.#interface === undefined) return;
    this.#interface.stackInterface.setAddresses([...this.session.addresses]);
    this.#interface.dns = this.session.dns;
  }

  #down(): void {
    const gone = this.#interface;
    if (gone === undefined) return;
    this.#interface = undefined;
    const cause = this.session.lastError;
    const reason = new LineDownError(this.name, cause === undefined ? {} : { cause });
    for (const end of this.#ends) end(reason);
    this.#ends.clear();
    void gone.close();
  }
}
