import { createServer, type Server, type Socket } from 'node:net';
import { Lab } from '../../src/lab/index.ts';
import { Host, type HostInterface, type HostOptions, TunLink } from '../../src/nethost/index.ts';
import { WeatherLink } from '../../src/nethost/weather-link.ts';
import type { Weather } from '../../src/netstack/index.ts';
import type { Netns } from '../../src/sys/index.ts';
import { connectThrough, TunDevice } from '../../src/tun/index.ts';

/** A kernel's network behind a TUN device, and a host of ours on the other side of it. */
export class KernelBed implements AsyncDisposable {
  readonly netns: Netns;
  readonly name: string;
  readonly device: TunDevice;
  readonly host: Host;
  readonly interface: HostInterface;
  readonly kernel4 = '10.99.0.1';
  readonly kernel6 = 'fd00:99::1';
  readonly ours4 = '10.99.0.2';
  readonly ours6 = 'fd00:99::2';
  readonly #lab: Lab;
  readonly #servers: Server[] = [];

  constructor(options: { mtu?: number; weather?: Weather; host?: HostOptions; seed?: number } = {}) {
    const { mtu = 1500, weather, seed = 1 } = options;
    this.#lab = Lab.create({ hosts: ['kernel'], wires: [] });
    const { namespace, netns, net } = this.#lab.host('kernel');
    this.name = namespace;
    this.netns = netns;
    this.device = TunDevice.open({
      name: 'bwtun',
      netns: this.netns,
      mtu,
      addresses: [`${this.kernel4}/24`, `${this.kernel6}/64`],
    });
    // 500 packets by default: what ten thousand connections do at once would drown in it.
    net.links.set('bwtun', { txQueueLength: 8192 });
    this.host = new Host(options.host);
    const link = new TunLink(this.device, mtu);
    this.interface = this.host.attach(weather === undefined ? link : new WeatherLink(link, weather, seed), {
      addresses: [`${this.ours4}/24`, `${this.ours6}/64`],
    });
  }

  /** A server on one of the kernel's sockets. */
  serve(onConnection: (socket: Socket) => void, allowHalfOpen = true): number {
    const server = createServer({ allowHalfOpen }, onConnection);
    this.netns.run(() => server.listen({ port: 0, backlog: 4096 }));
    this.#servers.push(server);
    return (server.address() as { port: number }).port;
  }

  /** A client on one of the kernel's sockets. */
  connect(host: string, port: number): Socket {
    return connectThrough({ device: 'bwtun', netns: this.netns, host, port, allowHalfOpen: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
    for (const server of this.#servers) server.close();
    this.#lab.destroy();
  }
}

/** A promise and what settles it. */
export interface Later<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function later<T>(): Later<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
