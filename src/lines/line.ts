import type { Socket as DatagramSocket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { ArgumentError, BarewireError } from '../error.ts';
import type { PppError } from '../ppp/index.ts';
import type {
  PppoeAddresses,
  PppoeClientEvent,
  PppoeClientSession,
  PppoeConcentratorInfo,
  PppoeError,
  PppoeSessionOptions,
  PppoeSessionState,
} from '../pppoe/index.ts';
import { Resolver } from '../resolver/index.ts';
import {
  type BoundOptions,
  boundDnsTransport,
  connectThrough,
  type DeviceUdp,
  datagramThrough,
  openDeviceUdp,
} from '../tun/index.ts';
import { LineDownError } from './error.ts';
import { type Ipv6Given, Ipv6Setup } from './ipv6-setup.ts';
import { LineDevice, type LineDeviceOptions } from './line-device.ts';
import { clampMss } from './mss.ts';
import type { PppoeWire } from './wire.ts';

/** One line: what its session asks for, and what becomes of its packets. */
export interface LineOptions extends Omit<PppoeSessionOptions, 'mac'> {
  /** Default is `line-1`, `line-2` and so on. */
  readonly name?: string;
  /** Default is the pool's choice. */
  readonly mac?: string;
  /**
   * The kernel's end of the line, made when the session opens for the first time. False makes none: {@link PppoeLine.attach}
   * then takes the packets. Default is one with a name of its own.
   */
  readonly device?: LineDeviceOptions | false;
  /** Asks for a delegated IPv6 prefix (DHCPv6). Default is true where IPv6 is. */
  readonly delegation?: boolean;
}

export interface LineEvents {
  state: [state: PppoeSessionState, previous: PppoeSessionState];
  /** A concentrator has answered. */
  discovered: [concentrator: PppoeConcentratorInfo];
  /** The line carries packets, and its device has its addresses. Again when they change. */
  open: [addresses: PppoeAddresses];
  /** The session failed or ended; `retryAt` is on the clock of `performance.now()`, undefined when it is not dialled again. */
  closed: [error: PppoeError | PppError, retryAt: number | undefined];
  /** What IPv6 has given besides the link-local address. */
  ipv6: [given: Ipv6Given];
}

/** Takes the packets of a line that has no device; they are gone when it returns. */
export type PacketTaker = (bytes: Uint8Array, offset: number, length: number) => void;

/** What a line's address was, and is. */
export interface Redialled {
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What a line needs of the pool it belongs to. */
export interface LineParts {
  readonly wire: PppoeWire;
  readonly name: string;
  readonly session: PppoeClientSession;
  readonly options: LineOptions;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  /** Of the pool's devices. */
  readonly group: number;
  /** Told when `deadline` has changed. */
  readonly scheduled: (line: PppoeLine) => void;
}

/**
 * One PPPoE session with an address of its own, and ways to use it: a device of the kernel's, sockets that leave by it
 * and no other way, names from its own servers.
 */
export class PppoeLine extends EventEmitter<LineEvents> {
  readonly name: string;
  readonly session: PppoeClientSession;
  readonly #wire: PppoeWire;
  readonly #options: LineOptions;
  readonly #group: number;
  readonly #scheduled: (line: PppoeLine) => void;
  readonly #resolver: Resolver;
  /** Ends each connection, because the line is gone. */
  readonly #ends = new Set<(reason: LineDownError) => void>();
  readonly #ipv6: Ipv6Setup | undefined;
  #device: LineDevice | undefined;
  #taker: PacketTaker | undefined;
  #given: PppoeAddresses | undefined;
  #fault: Error | undefined;
  #removed = false;
  readonly #choose = (bytes: Uint8Array, offset: number, length: number): PppoeClientSession => {
    clampMss(bytes, offset, length, this.#segment);
    return this.session;
  };
  /** Largest packet to the concentrator, and from it. */
  #mtu = 1492;
  #segment = 1492;

  constructor(parts: LineParts) {
    super();
    this.name = parts.name;
    this.session = parts.session;
    this.#wire = parts.wire;
    this.#options = parts.options;
    this.#scheduled = parts.scheduled;
    this.#group = parts.group;
    this.#resolver = new Resolver({
      servers: () => this.dns,
      versions: () => (this.addresses.some((address) => address.includes(':')) ? [4, 6] : [4]),
      transport: boundDnsTransport(() => this.#bound()),
      now: () => performance.now(),
      random16: () => crypto.getRandomValues(new Uint16Array(1))[0]!,
    });
    if (parts.options.ipv6 !== false) {
      this.#ipv6 = new Ipv6Setup({
        delegation: parts.options.delegation ?? true,
        mac: parts.mac,
        number: parts.session.index + 1,
        random: (bytes) => void crypto.getRandomValues(bytes),
        send: (packet) => void this.send(packet),
        changed: () => {
          this.#configure();
          this.emit('ipv6', this.ipv6);
        },
      });
    }
  }

  get state(): PppoeSessionState {
    return this.session.state;
  }

  /** What the session has; undefined while it is not open. */
  get given(): PppoeAddresses | undefined {
    return this.#given;
  }

  /** The addresses that others see it by: IPv4, then IPv6. Empty while it is down. */
  get addresses(): readonly string[] {
    if (this.#given === undefined) return [];
    const { local } = this.#given;
    return [...(local === undefined ? [] : [local]), ...this.ipv6.addresses];
  }

  /** What router advertisements and DHCPv6 have given. */
  get ipv6(): Ipv6Given {
    return this.#ipv6?.given ?? { addresses: [], defaultRoute: false, dns: [], delegated: [] };
  }

  /** Name servers, IPv4 ones first. */
  get dns(): readonly string[] {
    return [...new Set([...(this.#given?.dns ?? []), ...this.ipv6.dns])];
  }

  /** The kernel's device; undefined before the first session, and for lines without one. */
  get device(): { readonly name: string; readonly index: number; readonly table: number } | undefined {
    const device = this.#device;
    return device && { name: device.name, index: device.tun.index, table: device.table };
  }

  /** Why the last session failed or ended. */
  get lastError(): Error | undefined {
    return this.#fault ?? this.session.lastError;
  }

  /** When it is next to do something of its own, on the clock of `performance.now()`. */
  get deadline(): number {
    return this.#ipv6?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** Dials, unless it has done so. */
  dial(): void {
    this.#requirePresent();
    this.session.dial(this.#wire.now());
    this.#wire.settle();
  }

  /**
   * Dials if need be, and resolves when the line is open.
   *
   * @throws PppoeError, PppError: why the first attempt failed. The line goes on trying by itself unless its `retry` is
   *   false, and another call waits for that.
   */
  async up(options: { readonly signal?: AbortSignal } = {}): Promise<PppoeAddresses> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#given !== undefined) return this.#given;
    const over = new AbortController();
    const waiting = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
    try {
      const opened = once(this, 'open', { signal: waiting });
      const closed = once(this, 'closed', { signal: waiting });
      for (const promise of [opened, closed]) promise.catch(() => {});
      this.dial();
      const first = await Promise.race([opened, closed.then(([error]) => Promise.reject(error as Error))]);
      return (first as [PppoeAddresses])[0];
    } finally {
      over.abort();
    }
  }

  /** Ends the session gracefully. Resolves when it is ended; a line that is not dialled is. */
  async hangUp(): Promise<void> {
    if (this.state === 'idle') return;
    const closed = once(this, 'closed');
    this.session.hangUp(this.#wire.now());
    this.#wire.settle();
    // A session that waited for its next try has nothing to tell.
    if ((this.state as PppoeSessionState) === 'idle') return;
    await closed;
  }

  /**
   * Hangs up and dials again, not before the line's `minimumRedialInterval`: providers give another address then, or the
   * same.
   *
   * @throws PppoeError, PppError: why dialling failed.
   */
  async redial(options: { readonly signal?: AbortSignal } = {}): Promise<Redialled> {
    this.#requirePresent();
    const { signal } = options;
    const before = this.#given?.local;
    const over = new AbortController();
    const waiting = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
    try {
      const opened = once(this, 'open', { signal: waiting });
      const failed = new Promise<never>((_, reject) => {
        const onClosed = (error: Error): void => {
          // The end of the session before this one was asked for.
          if ((error as PppoeError).failure !== 'closed') reject(error);
        };
        this.on('closed', onClosed);
        waiting.addEventListener('abort', () => this.off('closed', onClosed), { once: true });
      });
      for (const promise of [opened, failed]) promise.catch(() => {});
      this.session.redial(this.#wire.now());
      this.#wire.settle();
      const [addresses] = (await Promise.race([opened, failed])) as [PppoeAddresses];
      this.#resolver.clear();
      return { before, after: addresses.local };
    } finally {
      over.abort();
    }
  }

  /**
   * A TCP connection over this line and no other, with one of its addresses.
   *
   * @returns An ordinary socket, once it is connected. When the session ends it fails with a LineDownError.
   * @throws LineDownError; errors of Node's with their codes, as `ECONNREFUSED`.
   */
  async connect(target: {
    readonly host: string;
    readonly port: number;
    /** Keep the own side open after the peer has ended its. Default is false. */
    readonly allowHalfOpen?: boolean;
    readonly signal?: AbortSignal;
  }): Promise<Socket> {
    const { host, port, allowHalfOpen = false, signal } = target;
    signal?.throwIfAborted();
    const socket = connectThrough({ ...this.#bound(), host, port, allowHalfOpen, noDelay: true });
    const release = this.#hold((reason) => socket.destroy(reason));
    socket.once('close', release);
    const end = (): void => void socket.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', end, { once: true });
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal?.removeEventListener('abort', end);
    }
  }

  /** A UDP socket over this line and no other. */
  async openDatagram(version: 4 | 6 = 4): Promise<DatagramSocket> {
    const socket = await datagramThrough({ ...this.#bound(), version });
    const release = this.#hold((reason) => {
      // Without a listener an error would end the process.
      if (socket.listenerCount('error') > 0) socket.emit('error', reason);
      socket.close();
    });
    socket.once('close', release);
    return socket;
  }

  /** Datagrams of both IP versions over this line and no other; `onGone` tells when the session ends. */
  async openUdp(): Promise<DeviceUdp> {
    const udp = await openDeviceUdp(this.#bound());
    const release = this.#hold((reason) => {
      udp.close();
      udp.onGone?.(reason);
    });
    const { close } = udp;
    udp.close = () => {
      release();
      close();
    };
    return udp;
  }

  /**
   * A name's addresses, asked of the line's own servers over the line.
   *
   * @throws ResolveError `ENOTFOUND`, `EAI_AGAIN` and the like.
   */
  resolve(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    return this.#resolver.resolve(name, options);
  }

  /** Takes the packets that the line receives, in place of a device. */
  attach(taker: PacketTaker | undefined): void {
    if (this.#options.device !== false) {
      throw new ArgumentError(`${this.name} has a device, which takes its packets`, {
        hint: 'Add the line with `device: false`.',
      });
    }
    this.#taker = taker;
  }

  /** Sends an IP packet, its TCP SYNs clamped; false when the line does not carry it or there is no room. */
  send(packet: Uint8Array, offset = 0, length: number = packet.length - offset): boolean {
    clampMss(packet, offset, length, this.#segment);
    const sent = this.#wire.sendPacket(this.session, packet, offset, length, this.session.index);
    this.#wire.settle();
    return sent;
  }

  /** For the pool: a packet came through the session. */
  receive(bytes: Uint8Array, offset: number, length: number): void {
    clampMss(bytes, offset, length, this.#mtu);
    if (this.#ipv6?.input(bytes, offset, length, this.#wire.now()) === true) {
      this.#scheduled(this);
      return;
    }
    const queue = this.#device?.queues[0];
    if (queue !== undefined) queue.write(this.#wire.receiving + offset, length);
    else this.#taker?.(bytes, offset, length);
  }

  /** For the pool: something happened to the session. */
  handle(event: PppoeClientEvent): void {
    switch (event.type) {
      case 'state':
        this.emit('state', event.state, event.previous);
        break;
      case 'discovered':
        this.emit('discovered', event.concentrator);
        break;
      case 'opened':
        this.#open(event);
        break;
      case 'ipv6':
        this.#linkIpv6(event.ipv6?.local);
        this.#configure();
        break;
      case 'interrupted':
        this.#down(undefined);
        break;
      case 'closed':
        this.#down(event.error);
        this.emit('closed', event.error, event.retryAt);
        break;
    }
  }

  /** For the pool: does what is due. */
  advance(now: number): void {
    this.#ipv6?.advance(now);
    this.#scheduled(this);
  }

  /** For the pool: the line is no more. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#down(undefined);
    this.#device?.close();
    this.#device = undefined;
  }

  #open(addresses: PppoeAddresses): void {
    if (this.#given !== undefined && this.#given.local !== addresses.local) this.#down(undefined);
    this.#given = addresses;
    this.#mtu = addresses.mtu;
    this.#segment = Math.min(addresses.mtu, this.#options.mru ?? addresses.mtu);
    this.#fault = undefined;
    this.#linkIpv6(addresses.ipv6?.local);
    try {
      this.#prepareDevice();
      this.#configure();
    } catch (error) {
      // The kernel refuses a device: that is one line's trouble, and no other's.
      this.#fault = error as Error;
      this.#down(error as Error);
      this.session.hangUp(this.#wire.now());
      this.emit('closed', error as never, undefined);
      return;
    }
    this.emit('open', addresses);
  }

  #prepareDevice(): void {
    const { device } = this.#options;
    if (device === false || this.#device !== undefined) return;
    const wire = this.#wire;
    const made = LineDevice.open(device ?? {}, wire.net, wire.netns, this.#group);
    this.#device = made;
    const flow = this.session.index;
    for (const queue of made.queues) {
      queue.watch(() => wire.pull(queue, this.#choose, flow));
    }
  }

  #configure(): void {
    const given = this.#given;
    if (given === undefined) return;
    const { defaultRoute, delegated } = this.ipv6;
    this.#device?.apply({
      addresses: this.addresses,
      linkLocal: given.ipv6?.local,
      mtu: given.mtu,
      ipv6Default: defaultRoute,
      delegated,
    });
  }

  #down(error: Error | undefined): void {
    if (this.#given === undefined) return;
    this.#given = undefined;
    this.#linkIpv6(undefined);
    this.#device?.clear();
    const reason = new LineDownError(this.name, error === undefined ? {} : { cause: error });
    for (const end of this.#ends) end(reason);
    this.#ends.clear();
  }

  #linkIpv6(local: string | undefined): void {
    this.#ipv6?.link(local, this.#wire.now());
    this.#scheduled(this);
  }

  #bound(): BoundOptions {
    if (this.#given === undefined) {
      const cause = this.lastError;
      throw new LineDownError(this.name, {
        hint: cause === undefined ? 'Dial it: `await line.up()`.' : cause.message,
        ...(cause === undefined ? {} : { cause }),
      });
    }
    if (this.#device === undefined) {
      throw new BarewireError('BW_NO_DEVICE', `${this.name} has no device for the kernel's sockets`, {
        hint: 'Connect through the stack that is attached to it.',
      });
    }
    return { device: this.#device.name, netns: this.#wire.netns };
  }

  /** @returns To be called when the connection has ended by itself. */
  #hold(end: (reason: LineDownError) => void): () => void {
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  #requirePresent(): void {
    if (this.#removed) throw new BarewireError('BW_CLOSED', `${this.name} was removed from its pool`);
  }
}
