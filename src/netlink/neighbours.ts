import type { IpVersion } from '../address/index.ts';
import { encode } from '../layout/index.ts';
import { Errno } from '../sys/errno.ts';
import { familyOf, isIpFamily } from './address.ts';
import { u32Attribute } from './attribute.ts';
import type { LinkRef } from './link-spec.ts';
import type { Links } from './links.ts';
import { NLM_F } from './message.ts';
import {
  decodeNeighbour,
  encodeNeighbour,
  NDA,
  NEIGHBOUR_ATTRIBUTE_NAMES,
  type Neighbour,
  type NeighbourOptions,
} from './neighbour.ts';
import { ndmsg, RTM } from './rtnetlink.ts';
import type { NetlinkSocket } from './socket.ts';

export interface NeighbourFilter {
  readonly link?: LinkRef;
  readonly version?: IpVersion;
}

/** The ARP and neighbour discovery entries of one network namespace. */
export class Neighbours {
  readonly #socket: NetlinkSocket;
  readonly #links: Links;

  constructor(socket: NetlinkSocket, links: Links) {
    this.#socket = socket;
    this.#links = links;
  }

  /** @throws NoInterfaceError when the filter's link does not exist. */
  list(filter: NeighbourFilter = {}): Neighbour[] {
    const index = filter.link === undefined ? undefined : this.#links.index(filter.link);
    const header = {
      family: familyOf(filter.version),
      pad1: 0,
      pad2: 0,
      index: 0,
      state: 0,
      flags: 0,
      type: 0,
    };
    return this.#socket
      .request({
        type: RTM.GETNEIGH,
        flags: NLM_F.DUMP,
        header: encode(ndmsg, header),
        attributes: index === undefined ? [] : [u32Attribute(NDA.IFINDEX, index)],
        doing: 'list the neighbours',
        names: NEIGHBOUR_ATTRIBUTE_NAMES,
      })
      .filter((message) => message.type === RTM.NEWNEIGH && isIpFamily(message.payload[0]))
      .map(decodeNeighbour)
      .filter((neighbour) => index === undefined || neighbour.index === index);
  }

  /** @throws NetlinkError `BW_EXISTS` when the address has an entry. */
  add(link: LinkRef, address: string, hardwareAddress: string, options: NeighbourOptions = {}): void {
    this.#put(NLM_F.CREATE | NLM_F.EXCL, link, address, hardwareAddress, options);
  }

  /** Makes an entry, in place of the one that the address has. */
  replace(link: LinkRef, address: string, hardwareAddress: string, options: NeighbourOptions = {}): void {
    this.#put(NLM_F.CREATE | NLM_F.REPLACE, link, address, hardwareAddress, options);
  }

  /** Has the kernel ask for an address, by ARP or neighbour discovery; `list` shows what came of it. */
  resolve(link: LinkRef, address: string): void {
    this.#put(NLM_F.CREATE, link, address, undefined, { state: 'none', use: true });
  }

  /** @throws NetlinkError `BW_NOT_FOUND` when the address has no entry. */
  delete(link: LinkRef, address: string): void {
    this.#links.withIndex(link, (index) =>
      this.#socket.request({
        type: RTM.DELNEIGH,
        ...encodeNeighbour(index, address, undefined, { state: 'none' }),
        doing: `delete the neighbour ${address} on '${link}'`,
        names: NEIGHBOUR_ATTRIBUTE_NAMES,
      }),
    );
  }

  #put(
    flags: number,
    link: LinkRef,
    address: string,
    hardwareAddress: string | undefined,
    options: NeighbourOptions,
  ): void {
    this.#links.withIndex(link, (index) =>
      this.#socket.request({
        type: RTM.NEWNEIGH,
        flags,
        ...encodeNeighbour(index, address, hardwareAddress, options),
        doing: `set the neighbour ${address} on '${link}'`,
        names: NEIGHBOUR_ATTRIBUTE_NAMES,
        hint: (errno) =>
          errno === Errno.EEXIST ? 'The address has an entry already: replace() takes its place.' : undefined,
      }),
    );
  }
}
