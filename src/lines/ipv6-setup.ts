import { formatIPv6, parseIPv6 } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { buildPacket, decodeNdp, Icmpv6Type, IpProtocol, type NdpMessage } from '../packet/index.ts';
import { PrefixDelegation } from './prefix-delegation.ts';

/** What IPv6 has given a line besides its link-local address. */
export interface Ipv6Given {
  /** From the prefixes of router advertisements. */
  readonly addresses: readonly string[];
  /** Whether the concentrator is a router to the rest of the Internet. */
  readonly defaultRoute: boolean;
  /** Name servers, from router advertisements and DHCPv6. */
  readonly dns: readonly string[];
  /** Prefixes that are routed to us, as in `2001:db8:100::/56`. */
  readonly delegated: readonly string[];
}

export interface Ipv6SetupOptions {
  /** Asks for a delegated prefix. */
  readonly delegation: boolean;
  /** 6 bytes, of which the DHCPv6 identity is made. */
  readonly mac: Uint8Array;
  /** Tells lines with the same MAC address apart. */
  readonly number: number;
  readonly random: (bytes: Uint8Array) => void;
  /** Sends an IPv6 packet. */
  readonly send: (packet: Uint8Array) => void;
  readonly changed: () => void;
}

const ALL_ROUTERS = 'ff02::2';
const ALL_DHCP_SERVERS = 'ff02::1:2';
const CLIENT_PORT = 546;
const SERVER_PORT = 547;
/** Between solicitations, in ms (RFC 4861, section 10), doubled each time as RFC 7559 wants it. */
const FIRST_SOLICITATION = 4000;
const LAST_SOLICITATION = 3_600_000;
/** How long a router may take before prefixes are asked for all the same, in ms. */
const PATIENCE = 3000;
const FOREVER = 0xffff_ffff;

/** Something that ends by itself. */
interface Lease {
  readonly value: string;
  readonly until: number;
}

/**
 * Addresses, routes and name servers of IPv6 on a point-to-point link: router advertisements (RFC 4861, RFC 4862, RFC 8106)
 * and delegated prefixes. Packets and time in, packets and settings out.
 */
export class Ipv6Setup {
  readonly #options: Ipv6SetupOptions;
  readonly #delegation: PrefixDelegation;
  #local: string | undefined;
  #solicitAt = Number.POSITIVE_INFINITY;
  #interval = FIRST_SOLICITATION;
  #delegateAt = Number.POSITIVE_INFINITY;
  #addresses: readonly Lease[] = [];
  #dns: readonly Lease[] = [];
  #routerUntil = 0;
  #now = 0;

  constructor(options: Ipv6SetupOptions) {
    this.#options = options;
    // DUID-LL of an Ethernet card (RFC 8415, section 11.4).
    const clientId = Uint8Array.of(0, 3, 0, 1, ...options.mac);
    this.#delegation = new PrefixDelegation({
      clientId,
      iaid: options.number,
      random: options.random,
      send: (message) => this.#sendDhcp(message),
      changed: options.changed,
    });
  }

  get given(): Ipv6Given {
    const values = (leases: readonly Lease[]): string[] => leases.map(({ value }) => value);
    return {
      addresses: values(this.#addresses),
      defaultRoute: this.#routerUntil > this.#now,
      dns: [...new Set([...values(this.#dns), ...this.#delegation.dns])],
      delegated: this.#delegation.prefixes,
    };
  }

  get deadline(): number {
    const leases = [...this.#addresses, ...this.#dns].map(({ until }) => until);
    const router = this.#routerUntil > this.#now ? this.#routerUntil : Number.POSITIVE_INFINITY;
    return Math.min(this.#solicitAt, this.#delegateAt, router, this.#delegation.deadline, ...leases);
  }

  /** IPv6 is up with this link-local address, or down. */
  link(local: string | undefined, now: number): void {
    if (local === this.#local) return;
    this.#local = local;
    this.#now = now;
    this.#addresses = [];
    this.#dns = [];
    this.#routerUntil = 0;
    this.#delegation.stop();
    this.#interval = FIRST_SOLICITATION;
    // The other side may not listen yet when it has said yes: the first question goes out with the timer.
    this.#solicitAt = local === undefined ? Number.POSITIVE_INFINITY : now;
    const delegate = local !== undefined && this.#options.delegation;
    this.#delegateAt = delegate ? now + PATIENCE : Number.POSITIVE_INFINITY;
  }

  /** Whether the packet was for us: router advertisements and DHCPv6 answers are. */
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean {
    if (this.#local === undefined || length < 48 || bytes[offset]! >>> 4 !== 6) return false;
    const next = bytes[offset + 6]!;
    const end = offset + length;
    const body = offset + 40;
    try {
      if (next === IpProtocol.icmpv6 && bytes[body] === Icmpv6Type.routerAdvertisement) {
        // Sent by the link's other end itself (RFC 4861, section 6.1.2).
        if (bytes[offset + 7] !== 255 || bytes[offset] === undefined || !linkLocal(bytes, offset + 8))
          return true;
        this.#now = now;
        this.#advertised(decodeNdp(bytes.subarray(body, end)), now);
        return true;
      }
      const port = (bytes[body + 2]! << 8) | bytes[body + 3]!;
      if (next !== IpProtocol.udp || port !== CLIENT_PORT) return false;
      this.#now = now;
      this.#delegation.input(bytes.subarray(body + 8, end), now);
    } catch (error) {
      // What cannot be read is as if it had not come.
      if (!(error instanceof CodecError)) throw error;
    }
    return true;
  }

  advance(now: number): void {
    this.#now = now;
    if (now >= this.#solicitAt) this.#solicit(now);
    if (now >= this.#delegateAt) {
      this.#delegateAt = Number.POSITIVE_INFINITY;
      this.#delegation.start(now);
    }
    if (now >= this.#delegation.deadline) this.#delegation.advance(now);
    const over = (lease: Lease): boolean => lease.until <= now;
    const router = this.#routerUntil > 0 && this.#routerUntil <= now;
    if (!router && !this.#addresses.some(over) && !this.#dns.some(over)) return;
    if (router) this.#routerUntil = 0;
    this.#addresses = this.#addresses.filter((lease) => !over(lease));
    this.#dns = this.#dns.filter((lease) => !over(lease));
    this.#options.changed();
  }

  #advertised(message: NdpMessage, now: number): void {
    if (message.kind !== 'routerAdvertisement') return;
    const before = JSON.stringify(this.given);
    const until = (seconds: number): number =>
      seconds === FOREVER ? Number.POSITIVE_INFINITY : now + seconds * 1000;
    this.#solicitAt = Number.POSITIVE_INFINITY;
    this.#routerUntil = message.routerLifetime === 0 ? 0 : until(message.routerLifetime);
    for (const option of message.options) {
      if (option.kind === 'prefix' && option.autonomous && option.prefixLength === 64) {
        const address = this.#addressIn(option.prefix as string);
        if (address !== undefined)
          this.#addresses = renew(this.#addresses, address, until(option.validLifetime), now);
      } else if (option.kind === 'rdnss') {
        for (const server of option.addresses) {
          this.#dns = renew(this.#dns, server as string, until(option.lifetime), now);
        }
      }
    }
    if (this.#options.delegation && this.#delegateAt !== Number.POSITIVE_INFINITY) this.#delegateAt = now;
    if (JSON.stringify(this.given) !== before) this.#options.changed();
  }

  /** The prefix and our interface identifier (RFC 4862, section 5.5.3). */
  #addressIn(prefix: string): string | undefined {
    const network = parseIPv6(prefix);
    // No link-local or multicast prefix makes an address.
    if (network[0] === 0xff || (network[0] === 0xfe && (network[1]! & 0xc0) === 0x80)) return undefined;
    network.set(parseIPv6(this.#local!).subarray(8), 8);
    return formatIPv6(network);
  }

  #solicit(now: number): void {
    this.#solicitAt = now + this.#interval;
    this.#interval = Math.min(LAST_SOLICITATION, 2 * this.#interval);
    this.#options.send(
      buildPacket([
        { layer: 'ipv6', source: this.#local!, destination: ALL_ROUTERS, hopLimit: 255 },
        { layer: 'ndp', message: { kind: 'routerSolicitation', options: [] } },
      ]),
    );
  }

  #sendDhcp(message: Uint8Array): void {
    if (this.#local === undefined) return;
    this.#options.send(
      buildPacket([
        { layer: 'ipv6', source: this.#local, destination: ALL_DHCP_SERVERS, hopLimit: 1 },
        { layer: 'udp', sourcePort: CLIENT_PORT, destinationPort: SERVER_PORT },
        message,
      ]),
    );
  }
}

/** With `value` good until then; one that is over goes. */
function renew(leases: readonly Lease[], value: string, until: number, now: number): readonly Lease[] {
  const others = leases.filter((lease) => lease.value !== value);
  return until <= now ? others : [...others, { value, until }];
}

function linkLocal(bytes: Uint8Array, offset: number): boolean {
  return bytes[offset] === 0xfe && (bytes[offset + 1]! & 0xc0) === 0x80;
}
