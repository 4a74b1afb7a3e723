import { ArgumentError } from '../error.ts';
import { NetError } from './error.ts';
import { EthernetLink } from './ethernet.ts';
import { type EchoReply, ICMP, ICMPV6, IcmpLayer, type IcmpReport, reportError } from './icmp.ts';
import { type InterfaceOptions, StackInterface } from './interface.ts';
import { Ip } from './ip.ts';
import { FRAGMENT, readFragmentHeader, readIpv4, readIpv6, skipExtensions } from './ip-input.ts';
import { IpOutput } from './ip-output.ts';
import { KeyedHash } from './keyed-hash.ts';
import { IpPacket } from './packet.ts';
import { PathMtus } from './path-mtu.ts';
import { Reassembly } from './reassembly.ts';
import { checksumOf } from './summed-memory.ts';
import { type ConnectOptions, type TcpCounters, TcpLayer } from './tcp/layer.ts';
import type { ListenOptions, TcpListener } from './tcp/listener.ts';
import type { Allocate } from './tcp/receive-buffer.ts';
import type { Release } from './tcp/send-queue.ts';
import type { Tcb, TcpHandler, TcpOptions } from './tcp/tcb.ts';
import { TimerWheel } from './timer-wheel.ts';
import { UDP, type UdpHandler, UdpLayer, type UdpSocket } from './udp.ts';

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
  /** Takes back chunks that were written, once they are acknowledged or given up. Default is nothing. */
  readonly release?: Release;
  /** Memory for the packet that is being written, as `summedMemory`. Default is `new Uint8Array`. */
  readonly packetMemory?: Allocate;
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

/** Where datagrams are received, and sent from. */
export interface StackUdpOptions {
  /** Default is every interface. */
  readonly interface?: StackInterface;
  /** An own address. Default is every one. */
  readonly address?: string;
  /** Default is a free one that nobody can guess. */
  readonly port?: number;
}

/** Whom to ask whether it is there. */
export interface StackEchoOptions {
  readonly address: string;
  /** Default is the first interface that leads there. */
  readonly interface?: StackInterface;
  readonly localAddress?: string;
  /** 0 to 65535. */
  readonly id: number;
  readonly sequence: number;
  /** Bytes of data. Default is 56. */
  readonly bytes?: number;
}

const TCP = 6;
/** RFC 8200, section 4.7. */
const NO_NEXT_HEADER = 59;
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
  readonly udp: UdpLayer;
  readonly reassembly: Reassembly;
  readonly #icmp: IcmpLayer;
  readonly #paths: PathMtus = new PathMtus();
  readonly #random: KeyedHash;
  readonly #wheel: TimerWheel;
  readonly #scratch: Uint8Array;
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
    this.#scratch = options.packetMemory?.(SCRATCH) ?? new Uint8Array(SCRATCH);
    this.#now = now;
    this.#random = new KeyedHash(options.secret);
    this.#wheel = new TimerWheel(now);
    this.#id = this.#random.next();
    const nextId = (): number => {
      this.#id = (this.#id + 1) & 0xffff;
      return this.#id;
    };
    const pathMtu = (via: StackInterface, remote: Ip): number => this.#paths.get(via, remote, this.#now);
    const output = new IpOutput(this.#scratch, nextId, pathMtu);
    this.reassembly = new Reassembly(this.#wheel);
    this.#icmp = new IcmpLayer(output, (report) => this.#onReport(report));
    this.udp = new UdpLayer({
      output,
      random: this.#random,
      route: (remote, via, local) => this.#route(remote, via, local, 'send'),
      wake: () => options.onWork?.(),
    });
    this.tcp = new TcpLayer({
      scratch: this.#scratch,
      wheel: this.#wheel,
      random: this.#random,
      allocate: options.allocate ?? ((size) => new Uint8Array(size)),
      release: options.release,
      memoryLimit,
      maxConnections,
      timeWait,
      now: () => this.#now,
      nextId,
      wake: () => this.#options.onWork?.(),
      pathMtu,
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
    const own = options.ethernet?.address;
    const added = new StackInterface(this.#nextInterface++, {
      ...options,
      addresses: own === undefined ? options.addresses : withLinkLocal(options.addresses, own),
    });
    if (options.ethernet !== undefined) {
      added.ethernet = new EthernetLink(added, options.ethernet.address, {
        wheel: this.#wheel,
        scratch: this.#scratch,
        now: () => this.#now,
        onUnreachable: (via, next) => this.#onUnreachable(via, next),
      });
    }
    this.#interfaces.push(added);
    return added;
  }

  /** Takes an interface away: all its connections fail with ENETDOWN at the next flush. */
  removeInterface(gone: StackInterface): void {
    const index = this.#interfaces.indexOf(gone);
    if (index < 0) return;
    this.#interfaces.splice(index, 1);
    gone.closed = true;
    gone.ethernet?.close();
    this.udp.closeInterface(gone);
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
    const header = via.ethernet?.input(bytes, offset, length) ?? 0;
    if (via.ethernet !== undefined && header === 0) return;
    this.#inputIp(via, bytes, offset + header, length - header);
  }

  /**
   * Tells applications what happened and sends what is to be sent.
   *
   * @param limit Connections that are dealt with at most: who answers thousands at once does well to look in between
   *   what comes in. Default is all.
   * @returns whether some are left for the next time.
   */
  flush(now: number, limit: number = Number.POSITIVE_INFINITY): boolean {
    this.#now = now;
    return this.tcp.flush(now, limit);
  }

  /** Lets time pass: whatever was due by `now` happens, and what follows from it; see {@link flush}. */
  advance(now: number, limit: number = Number.POSITIVE_INFINITY): boolean {
    this.#now = now;
    this.#wheel.advance(now);
    return this.tcp.flush(now, limit);
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
    const wanted = options.localAddress === undefined ? undefined : Ip.parse(options.localAddress);
    const { via, local } = this.#route(remote, options.interface, wanted, 'connect', port);
    const resolved: ConnectOptions = { ...options, interface: via, local, remote, port };
    return this.tcp.connect(resolved, handler);
  }

  /** Listens for connections. @throws NetError EADDRINUSE. */
  listen(options: StackListenOptions): TcpListener {
    const { address, ...others } = options;
    return this.tcp.listen({ ...others, address: address === undefined ? undefined : Ip.parse(address) });
  }

  /** Opens a UDP port. @throws NetError EADDRINUSE. */
  openUdp(options: StackUdpOptions, handler: UdpHandler): UdpSocket {
    const { interface: via, address, port } = options;
    const binding = { interface: via, address: address === undefined ? undefined : Ip.parse(address) };
    return this.udp.open(port === undefined ? binding : { ...binding, port }, handler);
  }

  /**
   * Sends an ICMP or ICMPv6 echo request.
   *
   * @param onReply Called for each answer.
   * @returns what ends listening for answers.
   * @throws NetError ENETUNREACH.
   */
  echo(options: StackEchoOptions, onReply: (reply: EchoReply) => void): () => void {
    const { id, sequence, bytes = 56 } = options;
    const remote = Ip.parse(options.address);
    const wanted = options.localAddress === undefined ? undefined : Ip.parse(options.localAddress);
    const { via, local } = this.#route(remote, options.interface, wanted, 'send');
    this.#icmp.echo(via, local, remote, id, sequence, bytes, onReply);
    this.#options.onWork?.();
    return () => this.#icmp.stopEcho(id, sequence);
  }

  /** What the path to an address takes at present: bytes of an IP packet. */
  pathMtu(via: StackInterface, address: string): number {
    return this.#paths.get(via, Ip.parse(address), this.#now);
  }

  #route(
    remote: Ip,
    wantedInterface: StackInterface | undefined,
    wanted: Ip | undefined,
    syscall: string,
    port?: number,
  ): { via: StackInterface; local: Ip } {
    const candidates =
      wantedInterface !== undefined
        ? [wantedInterface]
        : this.#interfaces.length < 2
          ? this.#interfaces
          : this.#interfaces.toSorted((a, b) => Number(b.isOnLink(remote)) - Number(a.isOnLink(remote)));
    for (const via of candidates) {
      if (via.closed) break;
      const local = wanted ?? via.sourceFor(remote);
      if (local === undefined) continue;
      if (local.version !== remote.version || !via.owns(local.w0, local.w1, local.w2, local.w3)) continue;
      return { via, local };
    }
    const details = { syscall, address: String(remote), ...(port === undefined ? {} : { port }) };
    if (candidates[0]?.closed) throw new NetError('ENETDOWN', details);
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
    if (!good || !this.#isForUs(packet) || !this.#isWhole(packet)) {
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

  /** Goes on to the transport header; false when the packet is malformed, or pieces of it are missing. */
  #isWhole(packet: IpPacket): boolean {
    if (packet.version === 6) {
      if (!skipExtensions(packet)) return false;
      if (packet.protocol !== FRAGMENT) return true;
      if (!readFragmentHeader(packet)) return false;
      // A packet may be a fragment alone (RFC 6946).
      if (packet.fragmentOffset === 0 && !packet.moreFragments) return skipExtensions(packet);
    } else if (packet.fragmentOffset === 0 && !packet.moreFragments) return true;
    return this.reassembly.take(packet, this.#now);
  }

  #inputTransport(packet: IpPacket): void {
    const { bytes, transport, end, addressSum, protocol } = packet;
    if (protocol === TCP) {
      if (checksumOf(bytes, transport, end, addressSum, TCP) === 0) this.tcp.input(packet);
      else packet.interface.counters.dropped++;
    } else if (protocol === UDP) {
      if (!this.udp.input(packet)) this.#icmp.unreachable(packet, 'port', this.#now);
    } else if (protocol === (packet.version === 4 ? ICMP : ICMPV6)) {
      if (!this.#icmp.input(packet, this.#now)) packet.interface.ethernet?.inputDiscovery(packet);
    } else if (packet.version === 4 || protocol !== NO_NEXT_HEADER) {
      this.#icmp.unreachable(packet, 'protocol', this.#now);
    }
  }

  /** An ICMP error quotes a packet of ours. */
  #onReport(report: IcmpReport): void {
    const { interface: via, local, remote, localPort, remotePort, protocol } = report;
    if (protocol === TCP) {
      const tcb = this.tcp.quoted(via, local, remote, localPort, remotePort, report.seq);
      if (tcb === undefined) return;
      if (report.code !== 'EMSGSIZE') this.tcp.onIcmpError(tcb, report.code);
      else if (this.#paths.lower(via, remote, report.mtu, report.length, this.#now))
        this.tcp.onPathChange(via, remote);
      return;
    }
    if (report.code === 'EMSGSIZE') this.#paths.lower(via, remote, report.mtu, report.length, this.#now);
    else if (protocol === UDP) this.udp.onError(via, local, localPort, reportError(report, 'send'));
  }

  /** Nobody on the link answers for an address that packets were to go to. */
  #onUnreachable(via: StackInterface, next: Ip): void {
    this.tcp.onUnreachable(via, (remote) => remote.equals(next) || !via.isOnLink(remote));
  }
}

/** Every interface with IPv6 has a link-local address (RFC 4291, section 2.8), here from the MAC address (appendix A). */
function withLinkLocal(addresses: readonly string[], mac: Uint8Array): readonly string[] {
  if (!addresses.some((text) => text.includes(':'))) return addresses;
  if (addresses.some((text) => Ip.parse(text.split('/')[0]!).isLinkLocal)) return addresses;
  const bytes = new Uint8Array(16);
  bytes.set([0xfe, 0x80]);
  bytes.set([mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!], 8);
  return [...addresses, `${Ip.from(bytes)}/64`];
}
