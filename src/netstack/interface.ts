import { parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import type { EthernetLink } from './ethernet.ts';
import { Ip, Network } from './ip.ts';
import type { Tcb } from './tcp/tcb.ts';

/**
 * Takes a packet from the stack: bytes `offset` to `offset + length - 1` of `bytes`, which are gone when it returns. It
 * must not call the stack.
 *
 * @returns false when nothing can be taken at present; `writable()` says when it can be again. What it took and cannot
 *   send is lost, as on any network.
 */
export type Output = (bytes: Uint8Array, offset: number, length: number) => boolean;

/** An interface of a stack. */
export interface InterfaceOptions {
  /** For messages. Default is `if` and its number. */
  readonly name?: string;
  /** Longest IP packet, in bytes: 576 (1280 with IPv6 addresses) to 65535. Of a PPP session, the negotiated MRU. */
  readonly mtu: number;
  /** As in `192.0.2.1/24` and `2001:db8::1/64`; without a length, the address alone. */
  readonly addresses: readonly string[];
  /**
   * Ethernet with ARP and neighbour discovery, by the own MAC address (6 bytes), or packets without any link header.
   * Default is without.
   */
  readonly ethernet?: { readonly address: Uint8Array };
  /** Where packets for other networks go, one for each IP version; needed on Ethernet only. */
  readonly gateways?: readonly string[];
  readonly output: Output;
}

/** One of an interface's addresses, with the network that is reached without a gateway. */
export interface OwnAddress {
  readonly ip: Ip;
  readonly network: Network;
  readonly broadcast: Ip | undefined;
}

export interface InterfaceCounters {
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
  /** Malformed, of a wrong checksum, or for somebody else. */
  dropped: number;
  /** Refused by `output` for the time being. */
  blocked: number;
}

/** An interface of a stack: made by `NetStack.addInterface`. */
export class StackInterface {
  readonly id: number;
  readonly name: string;
  readonly mtu: number;
  readonly counters: InterfaceCounters = {
    packetsIn: 0,
    bytesIn: 0,
    packetsOut: 0,
    bytesOut: 0,
    dropped: 0,
    blocked: 0,
  };
  /** Set for interfaces on Ethernet. */
  ethernet: EthernetLink | undefined = undefined;
  closed = false;
  #addresses: readonly OwnAddress[] = [];
  #gateways: readonly Ip[] = [];
  readonly #output: Output;
  readonly #blocked: Set<Tcb> = new Set<Tcb>();
  // Most packets are for one address.
  #first: Ip | undefined;

  constructor(id: number, options: InterfaceOptions) {
    const { name = `if${id}`, mtu, output } = options;
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535) {
      throw new ArgumentError(`an MTU of ${mtu}: it lies between 68 and 65535 bytes`);
    }
    this.id = id;
    this.name = name;
    this.mtu = mtu;
    this.#output = output;
    this.setAddresses(options.addresses);
    this.setGateways(options.gateways ?? []);
  }

  get addresses(): readonly OwnAddress[] {
    return this.#addresses;
  }

  get gateways(): readonly Ip[] {
    return this.#gateways;
  }

  /** Other addresses from now on. Connections keep theirs, and hear nothing more. */
  setAddresses(texts: readonly string[]): void {
    const addresses = texts.map((text) => {
      const prefix = parsePrefix(text, 'keep');
      const network = Network.from(prefix);
      return { ip: Ip.from(prefix.bytes), network, broadcast: network.broadcast };
    });
    if (addresses.some(({ ip }) => ip.version === 6) && this.mtu < 1280) {
      throw new ArgumentError(
        `IPv6 needs an MTU of at least 1280 bytes (RFC 8200), ${this.name} has ${this.mtu}`,
      );
    }
    this.#addresses = addresses;
    this.#first = addresses[0]?.ip;
  }

  setGateways(texts: readonly string[]): void {
    this.#gateways = texts.map((text) => Ip.parse(text));
  }

  /** Whether it is one of its own addresses. */
  owns(w0: number, w1: number, w2: number, w3: number): boolean {
    if (this.#first?.is(w0, w1, w2, w3)) return true;
    for (const { ip } of this.#addresses) if (ip.is(w0, w1, w2, w3)) return true;
    return false;
  }

  /** Whether an IPv4 address means all hosts of a network of its. */
  isBroadcast(word: number): boolean {
    if (word === -1) return true;
    for (const { broadcast } of this.#addresses) if (broadcast?.w3 === word) return true;
    return false;
  }

  /** The own address to use towards another: of its network if possible, of its scope in any case. */
  sourceFor(destination: Ip): Ip | undefined {
    let best: Ip | undefined;
    for (const { ip, network } of this.#addresses) {
      if (ip.version !== destination.version) continue;
      if (network.contains(destination)) return ip;
      if (best === undefined || best.isLinkLocal !== destination.isLinkLocal) {
        if (best === undefined || ip.isLinkLocal === destination.isLinkLocal) best = ip;
      }
    }
    return best;
  }

  /** Whether packets get there without a gateway. */
  isOnLink(destination: Ip): boolean {
    if (destination.isLinkLocal) return true;
    for (const { network } of this.#addresses) if (network.contains(destination)) return true;
    return false;
  }

  /**
   * Sends an IP packet that lies in `bytes`, with room before it for a link header.
   *
   * @returns false when the interface takes nothing at present.
   */
  transmit(bytes: Uint8Array, offset: number, length: number, destination: Ip): boolean {
    if (this.closed) return true;
    if (this.ethernet !== undefined) return this.ethernet.transmit(bytes, offset, length, destination);
    return this.put(bytes, offset, length);
  }

  /** Hands bytes to the link as they are. */
  put(bytes: Uint8Array, offset: number, length: number): boolean {
    if (!this.#output(bytes, offset, length)) {
      this.counters.blocked++;
      return false;
    }
    this.counters.packetsOut++;
    this.counters.bytesOut += length;
    return true;
  }

  /** It goes on with this connection once the link takes packets again. */
  block(tcb: Tcb): void {
    this.#blocked.add(tcb);
  }

  unblock(tcb: Tcb): void {
    if (this.#blocked.size > 0) this.#blocked.delete(tcb);
  }

  /** Connections that wait for the link; none from now on. */
  takeBlocked(): Tcb[] {
    if (this.#blocked.size === 0) return [];
    const all = [...this.#blocked];
    this.#blocked.clear();
    return all;
  }

  get waits(): boolean {
    return this.#blocked.size > 0;
  }
}
