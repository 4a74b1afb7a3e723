import { Addresses } from './addresses.ts';
import { Ethtool } from './ethtool.ts';
import { GenericNetlink } from './generic.ts';
import { Links } from './links.ts';
import { Monitor, type MonitorOptions } from './monitor.ts';
import { Neighbours } from './neighbours.ts';
import { Netdev } from './netdev.ts';
import { NetnsIds } from './netns-ids.ts';
import { Routes } from './routes.ts';
import { Rules } from './rules.ts';
import { NetlinkSocket, type NetlinkSocketOptions } from './socket.ts';
import { XdpAttachments } from './xdp.ts';

/** What goes over the second socket, which is opened on first use. */
interface Generic {
  readonly socket: NetlinkSocket;
  readonly ethtool: Ethtool;
  readonly netdev: Netdev;
}

/**
 * The network configuration of one network namespace: what `ip` and `ethtool` show and change, as objects.
 *
 * All but `monitor` is synchronous, for the kernel answers at once. It holds one or two netlink sockets, which stay
 * in their namespace wherever the thread goes; `close()` gives them back.
 *
 * @example
 * using net = new Netlink({ netns: 'red' });
 * net.links.create({ kind: 'veth', name: 'bw0', peer: { name: 'bw1' } });
 * net.addresses.add('bw0', '192.0.2.1/24');
 * net.links.set('bw0', { up: true });
 */
export class Netlink implements Disposable {
  readonly #route: NetlinkSocket;
  #generic: Generic | undefined;
  readonly links: Links;
  readonly addresses: Addresses;
  readonly routes: Routes;
  readonly rules: Rules;
  readonly neighbours: Neighbours;
  readonly netnsIds: NetnsIds;
  readonly xdp: XdpAttachments;

  /** @throws SystemError; BarewireError `BW_NO_NETNS` when there is no such namespace. */
  constructor(options: NetlinkSocketOptions = {}) {
    this.#route = new NetlinkSocket('route', options);
    this.links = new Links(this.#route);
    this.addresses = new Addresses(this.#route, this.links);
    this.routes = new Routes(this.#route, this.links);
    this.rules = new Rules(this.#route);
    this.neighbours = new Neighbours(this.#route, this.links);
    this.netnsIds = new NetnsIds(this.#route);
    this.xdp = new XdpAttachments(this.#route, this.links);
  }

  /** Queues, rings and offloads. */
  get ethtool(): Ethtool {
    return this.#openGeneric().ethtool;
  }

  /** XDP capabilities, queues and NAPI instances. */
  get netdev(): Netdev {
    return this.#openGeneric().netdev;
  }

  /**
   * Follows changes from now on. The monitor is the caller's to close, by `close()`, `break` or the signal; it
   * outlives this object.
   */
  monitor(options: MonitorOptions = {}): Monitor {
    return this.#route.within(() => new Monitor(options));
  }

  close(): void {
    this.#generic?.socket.close();
    this.#route.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #openGeneric(): Generic {
    if (this.#generic === undefined) {
      const socket = this.#route.within(() => new NetlinkSocket('generic'));
      const generic = new GenericNetlink(socket);
      this.#generic = {
        socket,
        ethtool: new Ethtool(generic, this.links, socket.fd),
        netdev: new Netdev(generic, this.links),
      };
    }
    return this.#generic;
  }
}
