import { Addresses } from './addresses.ts';
import { Links } from './links.ts';
import { Neighbours } from './neighbours.ts';
import { NetnsIds } from './netns-ids.ts';
import { Routes } from './routes.ts';
import { Rules } from './rules.ts';
import { NetlinkSocket, type NetlinkSocketOptions } from './socket.ts';
import { XdpAttachments } from './xdp.ts';

/**
 * The network configuration of one network namespace: what `ip` and `ethtool` show and change, as objects.
 *
 * All but `monitor` is synchronous, for the kernel answers at once. It holds a netlink socket, which stays in its
 * namespace wherever the thread goes; `close()` gives it back.
 *
 * @example
 * using net = new Netlink({ netns: 'red' });
 * net.links.create({ kind: 'veth', name: 'bw0', peer: { name: 'bw1' } });
 * net.addresses.add('bw0', '192.0.2.1/24');
 * net.links.set('bw0', { up: true });
 */
export class Netlink implements Disposable {
  readonly #route: NetlinkSocket;
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

  close(): void {
    this.#route.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
