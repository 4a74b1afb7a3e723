import type { Netlink, RouteSpec, RuleSpec } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import { TunDevice, type TunQueue } from '../tun/index.ts';

export interface LineDeviceOptions {
  /** Up to 15 bytes; `%d` in it stands for a number. Default is `bwline%d`. */
  readonly name?: string;
  /** Default is 1. */
  readonly queues?: number;
}

/** What a line has been given, and its device gets. */
export interface LineAddresses {
  /** Without prefix length: the line is its only user. */
  readonly addresses: readonly string[];
  /** IPv6 link-local address. */
  readonly linkLocal: string | undefined;
  /** In bytes. */
  readonly mtu: number;
  /** Whether there is a way to the rest of the IPv6 Internet. */
  readonly ipv6Default: boolean;
  /** IPv6 prefixes that are routed to us, as in `2001:db8:100::/56`. */
  readonly delegated: readonly string[];
}

/** Routing tables of lines: "bw", and the index of the device. */
const TABLES = 0x6277_0000;
/** Before the main table (32766), behind the local one (0). */
const RULE_PRIORITY = 10_000;
/** Of the route that takes what the device does not. */
const LAST_METRIC = 0xffff_fffe;

const NOTHING: LineAddresses = {
  addresses: [],
  linkLocal: undefined,
  mtu: 1492,
  ipv6Default: false,
  delegated: [],
};

/**
 * The kernel's side of a line: a TUN device with the line's addresses, and routing that keeps packets with such a source
 * on it.
 *
 * Each device has a routing table of its own that ends in an unreachable route. Packets from the line's addresses look
 * there, so while the line is down, or its device gone, they go nowhere rather than out of another interface.
 */
export class LineDevice implements Disposable {
  readonly tun: TunDevice;
  /** The number of its routing table. */
  readonly table: number;
  readonly #net: Netlink;
  #has: LineAddresses = NOTHING;
  #rules: readonly RuleSpec[] = [];
  #closed = false;

  private constructor(tun: TunDevice, net: Netlink) {
    this.tun = tun;
    this.table = TABLES | (tun.index & 0xffff);
    this.#net = net;
  }

  /** @param group Of links, which may be deleted together. */
  static open(
    options: LineDeviceOptions,
    net: Netlink,
    netns: Netns | string | undefined,
    group: number,
  ): LineDevice {
    const { name = 'bwline%d', queues = 1 } = options;
    const tun = TunDevice.open({ name, queues, netns, net, up: false });
    const device = new LineDevice(tun, net);
    try {
      net.links.set(tun.index, { group });
      // Strict filtering would drop what comes in by a device that the main table has no route for.
      tun.configure('ipv4', 'rp_filter', 2);
      // Router advertisements are for the session to read, not for the kernel.
      tun.configure('ipv6', 'accept_ra', 0);
      for (const version of [4, 6] as const) {
        device.#replaceRoute({ destination: 'default', version, type: 'unreachable', metric: LAST_METRIC });
      }
      return device;
    } catch (error) {
      device.close();
      throw error;
    }
  }

  get name(): string {
    return this.tun.name;
  }

  get queues(): readonly TunQueue[] {
    return this.tun.queues;
  }

  /** Gives the device what the session has now, and takes away what it had. */
  apply(given: LineAddresses): void {
    const { links, addresses } = this.#net;
    const before = this.#has;
    this.#has = given;
    const index = this.tun.index;
    for (const address of before.addresses) {
      if (!given.addresses.includes(address)) this.#try(() => addresses.delete(index, whole(address)));
    }
    if (before.linkLocal !== undefined && before.linkLocal !== given.linkLocal) {
      this.#try(() => addresses.delete(index, `${before.linkLocal}/64`));
    }
    links.set(index, { mtu: given.mtu, up: true });
    for (const address of given.addresses) {
      const options = { noPrefixRoute: true, ...(address.includes(':') ? { noDad: true } : {}) };
      addresses.replace(index, whole(address), options);
    }
    if (given.linkLocal !== undefined) {
      addresses.replace(index, `${given.linkLocal}/64`, { noDad: true });
    }
    const routes: RouteSpec[] = [];
    if (given.addresses.some((address) => !address.includes(':'))) routes.push({ destination: 'default' });
    if (given.ipv6Default) routes.push({ destination: 'default', version: 6 });
    for (const route of routes) this.#replaceRoute({ ...route, link: index });
    this.#applyRules(given);
  }

  /** Takes everything from the device, which stays: packets from its addresses go nowhere. */
  clear(): void {
    const { links, addresses } = this.#net;
    const index = this.tun.index;
    for (const address of this.#has.addresses) this.#try(() => addresses.delete(index, whole(address)));
    // Down it loses its routes and IPv6 addresses. The rules stay, and lead to the unreachable route.
    this.#try(() => links.set(index, { up: false }));
    this.#has = { ...NOTHING, delegated: this.#has.delegated };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.tun.close();
    this.#setRules([]);
    for (const version of [4, 6] as const) {
      this.#try(() =>
        this.#net.routes.delete({
          destination: 'default',
          version,
          type: 'unreachable',
          metric: LAST_METRIC,
          table: this.table,
        }),
      );
    }
    for (const prefix of this.#has.delegated) {
      this.#try(() => this.#net.routes.delete(unreachable(prefix)));
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #applyRules(given: LineAddresses): void {
    const { table } = this;
    const rule = { table, priority: RULE_PRIORITY };
    const rules: RuleSpec[] = given.addresses.map((address) => ({ ...rule, from: whole(address) }));
    // IPv4 sends what is bound to the device out of it without any route; IPv6 wants to find one.
    if (given.ipv6Default) rules.push({ ...rule, version: 6, oif: this.tun.name });
    for (const prefix of given.delegated) {
      rules.push({ ...rule, from: prefix });
      // What nobody here has taken into use must not go back by another line's default route.
      this.#try(() => this.#net.routes.replace(unreachable(prefix)));
    }
    this.#setRules(rules);
  }

  #setRules(rules: readonly RuleSpec[]): void {
    const old = this.#rules.map((rule) => JSON.stringify(rule));
    const fresh = rules.map((rule) => JSON.stringify(rule));
    // New ones first: an address must not be without its rule for a moment.
    rules.forEach((rule, i) => {
      if (!old.includes(fresh[i]!)) this.#net.rules.add(rule);
    });
    this.#rules.forEach((rule, i) => {
      if (!fresh.includes(old[i]!)) this.#try(() => this.#net.rules.delete(rule));
    });
    this.#rules = rules;
  }

  #replaceRoute(route: RouteSpec): void {
    this.#net.routes.replace({ ...route, table: this.table });
  }

  /** For what may be gone already, as by `ip link delete`. */
  #try(task: () => void): void {
    try {
      task();
    } catch {
      // Nothing of ours is left there then.
    }
  }
}

/**
 * Takes away the rules and routes of lines whose process was killed: their devices went with it.
 *
 * @returns How many rules that were.
 */
export function clearLeftovers(net: Netlink): number {
  const isLeftover = (table: number | undefined): table is number => {
    if (table === undefined || (table & 0xffff_0000) >>> 0 !== TABLES) return false;
    return !indices.has(table & 0xffff);
  };
  const indices = new Set(net.links.list().map((link) => link.index & 0xffff));
  let count = 0;
  for (const rule of net.rules.list()) {
    if (!isLeftover(rule.table)) continue;
    const { version, priority, table, from, oif } = rule;
    const spec = { version, priority, table, ...(from && { from }), ...(oif && { oif }) };
    try {
      net.rules.delete(spec);
      count++;
    } catch {
      // Somebody else was faster.
    }
  }
  for (const route of net.routes.list()) {
    if (!isLeftover(route.table) || route.type !== 'unreachable') continue;
    const { version, table } = route;
    try {
      net.routes.delete({ destination: 'default', version, type: 'unreachable', metric: LAST_METRIC, table });
    } catch {
      // As above.
    }
  }
  return count;
}

function whole(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

function unreachable(prefix: string): RouteSpec {
  return { destination: prefix, type: 'unreachable', metric: LAST_METRIC };
}
