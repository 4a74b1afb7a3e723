import { ArgumentError } from '../error.ts';
import { checksum, transportChecksum } from '../packet/checksum.ts';
import { NetError } from './error.ts';
import { type InterfaceOptions, StackInterface } from './interface.ts';
import { halfAt, Ip, MAPPED, wordAt } from './ip.ts';
import { IPV4_HEADER, IPV6_HEADER } from './ip-header.ts';
import { KeyedHash } from './keyed-hash.ts';
import { IpPacket } from './packet.ts';
import { type ConnectOptions, type TcpCounters, TcpLayer } from './tcp/layer.ts';
import type { ListenOptions, TcpListener } from './tcp/listener.ts';
import type { Allocate } from './tcp/receive-buffer.ts';
import type { Tcb, TcpHandler, TcpOptions } from './tcp/tcb.ts';
import { TimerWheel } from './timer-wheel.ts';

export interface StackOptions {
  /** 16 bytes that nobody can guess: whatever must be unpredictable follows from them. */
  readonly secret: Uint8Array;
  /** The time at the beginning, in ms on any scale that does not go back. Default is 0. */
  readonly now?: number;
  /** Bytes that all connections may hold together. Default is 256 MiB. */
  readonly memoryLimit?: number;
  /** Connections at once, those in TIME-WAIT included. Default is 1,000,000. */
  readonly maxConnections?: number;
  /** How long TIME-WAIT lasts, in ms. Default is 60,000. */
  readonly timeWait?: number;
  /** Memory for received bytes; need not be zeroed. Default is `new Uint8Array`. */
  readonly allocate?: Allocate;
  /** Called when something that an application did waits for `flush`. Default is nothing. */
  readonly onWork?: () => void;
}

/** Where a connection goes. */
export interface StackConnectOptions extends TcpOptions {
  /** As in `192.0.2.1` or `2001:db8::1`. */
  readonly address: string;
  readonly port: number;
  /** Default is the first interface that leads there. */
  readonly interface?: StackInterface;
  /** Default is the interface's address that fits. */
  readonly localAddress?: string;
  /** Default is one that nobody can guess. */
  readonly localPort?: number;
}

export interface StackListenOptions extends Omit<ListenOptions, 'address'> {
  /** Default is every address. */
  readonly address?: string;
}

const TCP = 6;
/** The longest packet, and room before it. */
const SCRATCH = 65536 + 128;

/**
 * A TCP/IP stack: bytes and time go in, bytes and events come out.
 *
 * It has no clock, no sockets and no randomness of its own. Packets go in with `input`; `flush` tells applications what
 * came, and sends what is to be sent; `advance` lets time pass up to `deadline` and beyond.
 */
export class NetStack {
  readonly tcp: TcpLayer;
  readonly #random: KeyedHash;
  readonly #wheel: TimerWheel;
  readonly #scratch: Uint8Array = new Uint8Array(SCRATCH);
  readonly #packet: IpPacket = new IpPacket();
  readonly #interfaces: StackInterface[] = [];
  readonly #options: StackOptions;
  #now: number;
  #nextInterface = 1;
  #id: number;

  constructor(options: StackOptions) {
    if (options.secret.length < 16) {
      throw new ArgumentError(`a secret of ${options.secret.length} bytes: 16 are needed`);
    }
    const { now = 0, memoryLimit = 256 << 20, maxConnections = 1_000_000, timeWait = 60_000 } = options;
    this.#options = options;
    this.#now = now;
    this.#random = new KeyedHash(options.secret);
    this.#wheel = new TimerWheel(now);
    this.#id = this.#random.next();
    this.tcp = new TcpLayer({
      scratch: this.#scratch,
      wheel: this.#wheel,
      random: this.#random,
      allocate: options.allocate ?? ((size) => new Uint8Array(size)),
      memoryLimit,
      maxConnections,
      timeWait,
      now: () => this.#now,
      nextId: () => {
        this.#id = (this.#id + 1) & 0xffff;
        return this.#id;
      },
      wake: () => this.#options.onWork?.(),
      pathMtu: (via) => via.mtu,
    });
  }

  get interfaces(): readonly StackInterface[] {
    return this.#interfaces;
  }

  /** When `advance` is to be called next, in ms; Infinity for never. */
  get deadline(): number {
    return this.#wheel.deadline;
  }

  /** What TCP has seen so far. */
  get counters(): Readonly<TcpCounters> {
    return this.tcp.counters;
  }

  addInterface(options: InterfaceOptions): StackInterface {
    const added = new StackInterface(this.#nextInterface++, options);
    this.#interfaces.push(added);
    return added;
  }

  /** Takes an interface away: all its connections fail with ENETDOWN at the next flush. */
  removeInterface(gone: StackInterface): void {
    const index = this.#interfaces.indexOf(gone);
    if (index < 0) return;
    this.#interfaces.splice(index, 1);
    gone.closed = true;
    this.tcp.closeInterface(gone);
  }

  /**
   * Takes a packet that came in on an interface. What follows from it happens in `flush`, which is best called once for
   * all packets that are there.
   *
   * @param now In ms.
   */
  input(via: StackInterface, bytes: Uint8Array, offset: number, length: number, now: number): void {
    this.#now = now;
    if (via.closed) return;
    via.counters.packetsIn++;
    via.counters.bytesIn += length;
    this.#inputIp(via, bytes, offset, length);
  }

  /** Tells applications what happened and sends what is to be sent. */
  flush(now: number): void {
    this.#now = now;
    this.tcp.flush(now);
  }

  /** Lets time pass: whatever was due by `now` happens, and what follows from it. */
  advance(now: number): void {
    this.#now = now;
    this.#wheel.advance(now);
    this.tcp.flush(now);
  }

  /** The interface's link takes packets again. */
  writable(via: StackInterface): void {
    for (const tcb of via.takeBlocked()) this.tcp.touch(tcb);
  }

  /**
   * Opens a connection; the SYN goes with the next flush.
   *
   * @throws NetError ENETUNREACH when no interface leads there, EADDRNOTAVAIL when the local address is none of its.
   */
  connect(options: StackConnectOptions, handler: TcpHandler): Tcb {
    const remote = Ip.parse(options.address);
    const { port } = options;
    if (!Number.isInteger(port) || port < 1 || port > 0xffff) throw new ArgumentError(`${port} is no port`);
    const { via, local } = this.#route(remote, options, 'connect', port);
    const resolved: ConnectOptions = { ...options, interface: via, local, remote, port };
    return this.tcp.connect(resolved, handler);
  }

  /** Listens for connections. @throws NetError EADDRINUSE. */
  listen(options: StackListenOptions): TcpListener {
    const { address, ...others } = options;
    return this.tcp.listen({ ...others, address: address === undefined ? undefined : Ip.parse(address) });
  }

  #route(
    remote: Ip,
    options: { readonly interface?: StackInterface; readonly localAddress?: string },
    syscall: string,
    port?: number,
  ): { via: StackInterface; local: Ip } {
    const details = { syscall, address: String(remote), ...(port === undefined ? {} : { port }) };
    const wanted = options.localAddress === undefined ? undefined : Ip.parse(options.localAddress);
    const candidates =
      options.interface === undefined
        ? this.#interfaces.toSorted((a, b) => Number(b.isOnLink(remote)) - Number(a.isOnLink(remote)))
        : [options.interface];
    for (const via of candidates) {
      if (via.closed) throw new NetError('ENETDOWN', details);
      const local = wanted ?? via.sourceFor(remote);
      if (local === undefined) continue;
      if (local.version !== remote.version || !via.owns(local.w0, local.w1, local.w2, local.w3)) continue;
      return { via, local };
    }
    if (wanted !== undefined) {
      throw new NetError('EADDRNOTAVAIL', { ...details, reason: `${wanted} is no address of the interface` });
    }
    throw new NetError('ENETUNREACH', {
      ...details,
      reason: `no interface has an IPv${remote.version} address`,
    });
  }

  #inputIp(via: StackInterface, bytes: Uint8Array, offset: number, length: number): void {
    const version = length > 0 ? bytes[offset]! >>> 4 : 0;
    const packet = this.#packet;
    packet.interface = via;
    packet.bytes = bytes;
    packet.start = offset;
    const good =
      version === 4
        ? readIpv4(packet, bytes, offset, length)
        : version === 6 && readIpv6(packet, bytes, offset, length);
    if (!good || !this.#isForUs(packet)) {
      via.counters.dropped++;
      return;
    }
    this.#inputTransport(packet);
  }

  #isForUs(packet: IpPacket): boolean {
    const { interface: via, d0, d1, d2, d3 } = packet;
    packet.unicast = via.owns(d0, d1, d2, d3);
    if (packet.unicast) return true;
    return packet.version === 4 ? d3 >>> 28 === 14 || via.isBroadcast(d3) : d0 >>> 24 === 0xff;
  }

  #inputTransport(packet: IpPacket): void {
    const { bytes, transport, end, addressSum } = packet;
    if (packet.protocol === TCP) {
      if (transportChecksum(bytes, transport, end, addressSum, TCP) !== 0) {
        packet.interface.counters.dropped++;
        return;
      }
      this.tcp.input(packet);
    }
  }
}

/** RFC 791, section 3.1; what does not hold is dropped (RFC 1122, section 3.2.1). */
function readIpv4(packet: IpPacket, bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < IPV4_HEADER) return false;
  const header = (bytes[offset]! & 15) << 2;
  const total = halfAt(bytes, offset + 2);
  if (header < IPV4_HEADER || total < header || total > length) return false;
  if (checksum(bytes, offset, offset + header) !== 0) return false;
  const source = wordAt(bytes, offset + 12);
  const destination = wordAt(bytes, offset + 16);
  // Nobody is many (RFC 1122, section 3.2.1.3).
  if (source >>> 28 >= 14) return false;
  packet.version = 4;
  packet.transport = offset + header;
  packet.end = offset + total;
  packet.hops = bytes[offset + 8]!;
  packet.protocol = bytes[offset + 9]!;
  packet.s0 = 0;
  packet.s1 = 0;
  packet.s2 = MAPPED;
  packet.s3 = source;
  packet.d0 = 0;
  packet.d1 = 0;
  packet.d2 = MAPPED;
  packet.d3 = destination;
  packet.addressSum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
  return true;
}

/** RFC 8200, section 3. */
function readIpv6(packet: IpPacket, bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < IPV6_HEADER) return false;
  const payload = halfAt(bytes, offset + 4);
  if (IPV6_HEADER + payload > length) return false;
  packet.version = 6;
  packet.protocol = bytes[offset + 6]!;
  packet.hops = bytes[offset + 7]!;
  packet.transport = offset + IPV6_HEADER;
  packet.end = packet.transport + payload;
  packet.s0 = wordAt(bytes, offset + 8);
  packet.s1 = wordAt(bytes, offset + 12);
  packet.s2 = wordAt(bytes, offset + 16);
  packet.s3 = wordAt(bytes, offset + 20);
  packet.d0 = wordAt(bytes, offset + 24);
  packet.d1 = wordAt(bytes, offset + 28);
  packet.d2 = wordAt(bytes, offset + 32);
  packet.d3 = wordAt(bytes, offset + 36);
  // Multicast sources, and IPv4-mapped addresses, which must not be on a wire (RFC 4942, section 2.2).
  if (packet.s0 >>> 24 === 0xff || isMapped(packet.s0, packet.s1, packet.s2)) return false;
  if (isMapped(packet.d0, packet.d1, packet.d2)) return false;
  let sum = 0;
  for (let at = offset + 8; at < offset + IPV6_HEADER; at += 2) sum += halfAt(bytes, at);
  packet.addressSum = sum;
  return true;
}

function isMapped(w0: number, w1: number, w2: number): boolean {
  return w0 === 0 && w1 === 0 && w2 === MAPPED;
}
