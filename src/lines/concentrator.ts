import { EventEmitter } from 'node:events';
import {
  formatMac,
  formatPrefix,
  type Prefix,
  parseIPv4,
  parsePrefix,
  prefixContains,
  tryParseIp,
} from '../address/index.ts';
import { ipv4Text } from '../packet/index.ts';
import {
  PppoeConcentrator,
  type PppoeConcentratorEvent,
  type PppoeConcentratorOptions,
  type PppoeConcentratorSession,
} from '../pppoe/index.ts';
import { TunDevice } from '../tun/index.ts';
import type { InterfaceGoneError } from '../xsk/index.ts';
import { clampMss } from './mss.ts';
import { type Encapsulation, PppoeWire, type WireOptions } from './wire.ts';

export interface AccessConcentratorOptions
  extends WireOptions,
    Omit<PppoeConcentratorOptions, 'mac' | 'random' | 'transmit' | 'receive' | 'event'> {
  /** Of the device behind which all customers are, up to 15 bytes. Default is `bwac%d`; false makes none. */
  readonly device?: string | false;
}

export interface AccessConcentratorEvents {
  event: [session: PppoeConcentratorSession, event: PppoeConcentratorEvent];
  /** The interface was deleted. */
  gone: [error: InterfaceGoneError];
}

/** How long customers have to say goodbye, in ms. */
const FAREWELL = 500;

/**
 * A PPPoE access concentrator on an interface: customers dial it, and are hosts behind its device.
 *
 * The kernel routes between that device and the rest: that, and translation of addresses where they are private, is its
 * usual configuration (`net.ipv4.ip_forward`). Packets that bear another source than the customer's address are dropped.
 *
 * @example
 * const accounts = readSecrets('/etc/barewire/secrets');
 * await using server = await AccessConcentrator.open('eth1', {
 *   pool: '10.64.0.0/16',
 *   account: (user) => accounts.get(user),
 * });
 */
export class AccessConcentrator extends EventEmitter<AccessConcentratorEvents> implements AsyncDisposable {
  readonly wire: PppoeWire;
  readonly core: PppoeConcentrator;
  /** The device's name; undefined without one. */
  readonly device: string | undefined;
  readonly #tun: TunDevice | undefined;
  readonly #alone = new Map<PppoeConcentratorSession, string>();
  #networks: readonly Prefix[] = [];
  #closing: Promise<void> | undefined;
  /** Packets from customers with a source address that is not theirs. */
  spoofed = 0;

  private constructor(wire: PppoeWire, core: PppoeConcentrator, tun: TunDevice | undefined) {
    super();
    this.wire = wire;
    this.core = core;
    this.#tun = tun;
    this.device = tun?.name;
  }

  /** @throws As `PppoeWire.open`; ArgumentError for a pool that is none. */
  static async open(ref: string | number, options: AccessConcentratorOptions): Promise<AccessConcentrator> {
    let server: AccessConcentrator | undefined;
    let tun: TunDevice | undefined;
    try {
      const { device = 'bwac%d', netns, mru = 1492 } = options;
      tun = device === false ? undefined : TunDevice.open({ name: device, netns, mtu: mru });
      await PppoeWire.open(ref, options, (wire) => {
        const core = new PppoeConcentrator({
          ...options,
          mac: formatMac(wire.interface.address),
          ipv6: options.ipv6 ?? false,
          random: (bytes) => void crypto.getRandomValues(bytes),
          transmit: (bytes, offset, length) => wire.transmit(bytes, offset, length),
          receive: (session, bytes, offset, length) => server!.#receive(session, bytes, offset, length),
          event: (session, event) => server!.#handle(session, event),
        });
        const made = new AccessConcentrator(wire, core, tun);
        server = made;
        return {
          get deadline() {
            return core.deadline;
          },
          input: (bytes, offset, length, now) => core.input(bytes, offset, length, now),
          advance: (now) => core.advance(now),
          gone: (error) => void made.emit('gone', error),
        };
      });
      server!.#routeCustomers(options.pool);
      return server!;
    } catch (error) {
      await server?.wire.close();
      tun?.close();
      throw error;
    }
  }

  get sessions(): ReadonlyMap<number, PppoeConcentratorSession> {
    return this.core.sessions;
  }

  /** Ends a session with a reason of one's own. */
  terminate(session: PppoeConcentratorSession, reason?: string): void {
    session.terminate(this.wire.now(), reason);
    this.wire.settle();
  }

  /** Ends every session, takes the device away and gives the interface back. A second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { wire, core } = this;
    core.close(wire.now());
    wire.settle();
    const end = wire.now() + FAREWELL;
    while (core.sessions.size > 0 && wire.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    await wire.close();
    this.#tun?.close();
  }

  /** The kernel reaches customers by the device, which has the concentrator's own address. */
  #routeCustomers(pool: string): void {
    const tun = this.#tun;
    if (tun === undefined) return;
    const { net } = this.wire;
    const networks = networksOf(pool);
    const own = ipv4Text(this.core.address);
    this.#networks = networks.map((network) => parsePrefix(network));
    net.addresses.add(tun.index, `${own}/32`);
    for (const destination of networks)
      net.routes.add({ destination, link: tun.index, preferredSource: own });
    tun.configure('ipv4', 'rp_filter', 2);
    const [queue] = tun.queues;
    const choose = (bytes: Uint8Array, offset: number, length: number): Encapsulation | undefined => {
      if (bytes[offset]! >>> 4 !== 4) return undefined;
      const session = this.core.sessionOf(ipv4At(bytes, offset + 16));
      if (session !== undefined) clampMss(bytes, offset, length, session.mtu);
      return session;
    };
    queue?.watch(() => this.wire.pull(queue, choose, 0));
  }

  #handle(session: PppoeConcentratorSession, event: PppoeConcentratorEvent): void {
    if (event.type === 'opened') this.#routeAlone(session, event.address);
    if (event.type === 'closed') this.#routeAlone(session, undefined);
    this.emit('event', session, event);
  }

  /** A customer whose own address lies outside the pool has a route of its own. */
  #routeAlone(session: PppoeConcentratorSession, address: string | undefined): void {
    const { net } = this.wire;
    const link = this.#tun?.index;
    const before = this.#alone.get(session);
    if (link === undefined || before === address) return;
    if (before !== undefined) {
      this.#alone.delete(session);
      net.routes.delete({ destination: before, link });
    }
    const parsed = address === undefined ? undefined : tryParseIp(address);
    if (address === undefined || parsed === undefined) return;
    if (this.#networks.some((network) => prefixContains(network, parsed))) return;
    this.#alone.set(session, address);
    net.routes.replace({ destination: address, link, preferredSource: ipv4Text(this.core.address) });
  }

  #receive(session: PppoeConcentratorSession, bytes: Uint8Array, offset: number, length: number): void {
    if (bytes[offset]! >>> 4 !== 4) return;
    if (this.core.sessionOf(ipv4At(bytes, offset + 12)) !== session) {
      this.spoofed++;
      return;
    }
    clampMss(bytes, offset, length, session.mtu);
    this.#tun?.queues[0]?.write(this.wire.receiving + offset, length);
  }
}

/** An unsigned 32-bit number. */
function ipv4At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** A prefix itself; of a range the prefixes that make it up. */
function networksOf(pool: string): string[] {
  const [first, last] = pool.split('-').map((part) => part.trim());
  if (last === undefined) return [formatPrefix(parsePrefix(pool, 'clear'))];
  let from = ipv4At(parseIPv4(first!), 0);
  const to = ipv4At(parseIPv4(last), 0);
  const found: string[] = [];
  while (from <= to) {
    // The largest block that begins here and does not reach beyond the end.
    let bits = 0;
    while (bits < 32 && from % 2 ** (bits + 1) === 0 && from + 2 ** (bits + 1) - 1 <= to) bits++;
    found.push(`${ipv4Text(from)}/${32 - bits}`);
    from += 2 ** bits;
  }
  return found;
}
