import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Netlink } from '../netlink/index.ts';
import { Resolver } from '../resolver/index.ts';
import type { Netns } from '../sys/index.ts';
import { type BoundOptions, connectThrough } from './bound-socket.ts';
import { type DeviceUdp, openDeviceUdp } from './device-udp.ts';
import { boundDnsTransport } from './dns-transport.ts';

export interface DeviceLineOptions {
  /** As people see it. Default is the device's name. */
  readonly name?: string;
  readonly device: string;
  /** Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Name servers to ask through the device. */
  readonly dns: readonly string[];
}

/** In ms. How long addresses that the kernel told are taken as they are. */
const FRESH = 1_000;

/**
 * A device of the kernel's as a way out: connections, datagrams and name queries that leave by it and by nothing else,
 * whatever the routing table says.
 */
export class DeviceLine {
  readonly name: string;
  readonly device: string;
  readonly dns: readonly string[];
  readonly #bound: BoundOptions;
  readonly #resolver: Resolver;
  #addresses: readonly string[] = [];
  #asked = Number.NEGATIVE_INFINITY;

  constructor(options: DeviceLineOptions) {
    const { device, netns, dns } = options;
    this.name = options.name ?? device;
    this.device = device;
    this.dns = dns;
    this.#bound = { device, netns };
    this.#resolver = new Resolver({
      servers: () => dns,
      transport: boundDnsTransport(() => this.#bound),
      now: () => performance.now(),
      random16: () => randomInt(0x1_0000),
      versions: () => (this.addresses.some((address) => address.includes(':')) ? [6, 4] : [4]),
    });
  }

  /** The device's own addresses that reach beyond its link; none while it is down or missing. */
  get addresses(): readonly string[] {
    const now = performance.now();
    if (now - this.#asked > FRESH) {
      this.#asked = now;
      this.#addresses = addressesOf(this.#bound);
    }
    return this.#addresses;
  }

  /** @throws With Node's codes. */
  async connect(target: {
    readonly host: string;
    readonly port: number;
    readonly allowHalfOpen?: boolean;
    readonly signal?: AbortSignal;
  }): Promise<Duplex> {
    const { host, port, allowHalfOpen = false, signal } = target;
    const socket = connectThrough({ ...this.#bound, host, port, allowHalfOpen, noDelay: true });
    return await connected(socket, signal);
  }

  /** @throws ResolveError */
  async resolve(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    return await this.#resolver.resolve(name, options);
  }

  /** Datagrams of both IP versions. @throws SystemError when there is no such device. */
  async openUdp(): Promise<DeviceUdp> {
    return await openDeviceUdp(this.#bound);
  }
}

/** What others can see it by; IPv4 first. A device that is missing has none, which is no error: lines come and go. */
function addressesOf({ device, netns }: BoundOptions): readonly string[] {
  using net = new Netlink(netns === undefined ? {} : { netns });
  const link = net.links.find(device);
  if (link === undefined || !link.up || link.carrier === false) return [];
  return net.addresses
    .list({ link: link.index })
    .filter(({ scope, flags }) => scope === 'global' && !flags.includes('tentative'))
    .sort((a, b) => a.version - b.version)
    .map(({ address }) => address);
}

/** Waits for a connection, or for the reason why there is none. */
async function connected(socket: Socket, signal: AbortSignal | undefined): Promise<Socket> {
  try {
    await once(socket, 'connect', signal === undefined ? {} : { signal });
    return socket;
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw signal?.aborted === true ? signal.reason : error;
  }
}
