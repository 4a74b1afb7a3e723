import { formatIp, formatMac, type IpAddress, parseIp, parseMac } from '../address/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { type Link, type NeighbourState, Netlink, NetlinkError } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';

/** Where packets go, and what of it was said; the rest is the kernel's to tell. */
export interface PathOptions {
  /** By name or index. */
  readonly interface: string | number;
  /** Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** An IPv4 or IPv6 address. */
  readonly destination: string;
  /** Default is the address that the kernel would send from. */
  readonly source?: string | undefined;
  /** Default is the interface's. */
  readonly sourceMac?: string | undefined;
  /** Default is that of the next hop, which the kernel asks for where it does not know it. */
  readonly destinationMac?: string | undefined;
  /** VLAN tags, the outer one first. Default is none. */
  readonly vlans?: readonly number[] | undefined;
  /** How long to wait for the next hop to tell its MAC, in ms. Default is 2000. */
  readonly timeout?: number;
}

/** All that a frame's headers need. */
export interface Path {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  readonly vlans: readonly number[];
  /** The router on the way, where there is one and the kernel was asked. */
  readonly via: string | undefined;
}

/** Nobody answers for the next hop. `code` is `BW_NO_NEIGHBOUR`. */
export class NoNeighbourError extends BarewireError {
  constructor(name: string, address: string) {
    super('BW_NO_NEIGHBOUR', `nobody on ${name} answers for ${address}, so its MAC is not known`, {
      hint: 'Give the MAC to send to (--dst-mac), or see whether the host is up.',
    });
  }
}

/** The interface is down, or went down meanwhile. `code` is `BW_INTERFACE_DOWN`. */
export class InterfaceDownError extends BarewireError {
  readonly interface: string;

  /** @param when Half a sentence, as in `after 100 packets`, for one that went down meanwhile. */
  constructor(name: string, when?: string) {
    super('BW_INTERFACE_DOWN', when === undefined ? `${name} is down` : `${name} went down ${when}`, {
      hint: `Set it up: ip link set ${name} up`,
    });
    this.interface = name;
  }
}

/** States in which an entry's hardware address may be used (`NUD_VALID`, linux/neighbour.h). */
const USABLE: ReadonlySet<NeighbourState> = new Set([
  'reachable',
  'stale',
  'delay',
  'probe',
  'noarp',
  'permanent',
]);

/**
 * Finds out how packets get to an address by an interface: source, next hop and its MAC.
 *
 * Where tags are given and the machine has that VLAN's interface, its routes and neighbours count.
 *
 * @throws ArgumentError for addresses that are none; NoInterfaceError; NoNeighbourError; BarewireError `BW_NO_ROUTE`.
 */
export async function findPath(options: PathOptions): Promise<Path> {
  const destination = parseIp(options.destination);
  const { vlans = [], timeout = 2000 } = options;
  for (const id of vlans) {
    if (!Number.isInteger(id) || id < 0 || id > 4094)
      throw new ArgumentError(`${id} is not a VLAN ID of 0 to 4094`);
  }
  if (vlans.length > 2) throw new ArgumentError('a frame takes at most two VLAN tags');
  using net = new Netlink({ netns: options.netns });
  const link = net.links.get(options.interface);
  const over = vlanLink(net, link, vlans);
  const route = new Lookup(net, over, destination);
  const sourceMac = macOf(link, options.sourceMac);
  const source = sourceOf(route, over, options.source);
  if (source.version !== destination.version) {
    throw new ArgumentError(
      `the source ${formatIp(source.bytes)} is IPv${source.version}, the destination ${options.destination} IPv${destination.version}`,
    );
  }
  const common = { source, destination, sourceMac, vlans };
  if (options.destinationMac !== undefined) {
    return { ...common, destinationMac: parseMac(options.destinationMac), via: undefined };
  }
  const group = groupMac(route, destination);
  if (group !== undefined) return { ...common, destinationMac: group, via: undefined };
  const via = route.via();
  const destinationMac = await neighbourMac(net, over, via ?? formatIp(destination.bytes), timeout);
  return { ...common, destinationMac, via };
}

/** The route to the destination, asked for when it is first needed: with both MACs and a source given, never. */
class Lookup {
  readonly #net: Netlink;
  readonly #link: Link;
  readonly #destination: IpAddress;
  #route: ReturnType<Netlink['routes']['lookup']> | undefined;

  constructor(net: Netlink, link: Link, destination: IpAddress) {
    this.#net = net;
    this.#link = link;
    this.#destination = destination;
  }

  get(): ReturnType<Netlink['routes']['lookup']> {
    this.#route ??= this.#ask();
    return this.#route;
  }

  via(): string | undefined {
    return this.get().nextHops[0]?.via;
  }

  preferredSource(): string | undefined {
    return this.get().preferredSource ?? this.#firstAddress();
  }

  #firstAddress(): string | undefined {
    const all = this.#net.addresses.list({ link: this.#link.index, version: this.#destination.version });
    return (all.find((address) => address.scope === 'global') ?? all[0])?.address;
  }

  #ask(): ReturnType<Netlink['routes']['lookup']> {
    const address = formatIp(this.#destination.bytes);
    const { name, index } = this.#link;
    try {
      const route = this.#net.routes.lookup(address, { link: index });
      if (route.type === 'local') {
        throw new BarewireError('BW_NO_ROUTE', `${address} is an address of this very host`, {
          hint: 'Packets to it never leave the machine; give the MAC to send to (--dst-mac) to send them all the same.',
        });
      }
      return route;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      throw new BarewireError('BW_NO_ROUTE', `no route leads to ${address} by ${name}`, {
        hint: 'Give the source and the MAC to send to (--src-ip, --dst-mac), or add a route.',
        cause: error,
      });
    }
  }
}

/** The VLAN's own interface, if the machine has one on top of `link`; else `link`. */
function vlanLink(net: Netlink, link: Link, vlans: readonly number[]): Link {
  let at = link;
  for (const id of vlans) {
    const child = net.links
      .list()
      .find(({ link: below, info }) => below === at.index && info?.kind === 'vlan' && info.id === id);
    if (child === undefined) return link;
    at = child;
  }
  return at;
}

function macOf(link: Link, given: string | undefined): Uint8Array {
  if (given !== undefined) return parseMac(given);
  if (link.type !== 'ether' || link.address === undefined) {
    throw new BarewireError('BW_UNSUPPORTED', `${link.name} is no Ethernet interface`, {
      hint: `It is of type ${link.type}; frames are sent on Ethernet interfaces.`,
    });
  }
  return parseMac(link.address);
}

function sourceOf(route: Lookup, link: Link, given: string | undefined): IpAddress {
  const address = given ?? route.preferredSource();
  if (address === undefined) {
    throw new BarewireError('BW_NO_ADDRESS', `${link.name} has no address to send from`, {
      hint: 'Give one (--src-ip).',
    });
  }
  return parseIp(address);
}

/** MACs that follow from the address: broadcast, and groups (RFC 1112, section 6.4; RFC 2464, section 7). */
function groupMac(route: Lookup, { version, bytes }: IpAddress): Uint8Array | undefined {
  if (version === 6) {
    return bytes[0] === 0xff ? Uint8Array.of(0x33, 0x33, ...bytes.subarray(12)) : undefined;
  }
  if (bytes[0]! >>> 4 === 0xe) return Uint8Array.of(0x01, 0x00, 0x5e, bytes[1]! & 0x7f, bytes[2]!, bytes[3]!);
  const everybody = bytes.every((byte) => byte === 0xff);
  return everybody || route.get().type === 'broadcast' ? new Uint8Array(6).fill(0xff) : undefined;
}

async function neighbourMac(net: Netlink, link: Link, address: string, timeout: number): Promise<Uint8Array> {
  const end = performance.now() + timeout;
  for (let asked = false; ; asked = true) {
    const known = net.neighbours
      .list({ link: link.index })
      .find((neighbour) => neighbour.address === address && USABLE.has(neighbour.state));
    if (known?.hardwareAddress !== undefined) return parseMac(known.hardwareAddress);
    if (!asked) net.neighbours.resolve(link.index, address);
    if (performance.now() >= end) throw new NoNeighbourError(link.name, address);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** For messages: `10.77.0.2 (02:77:00:00:00:02)`. */
export function describePath(path: Path): string {
  const mac = formatMac(path.destinationMac);
  return `${formatIp(path.destination.bytes)} (${path.via === undefined ? mac : `via ${path.via}, ${mac}`})`;
}
