import type { IpVersion } from '../address/index.ts';
import { encode } from '../layout/index.ts';
import { Errno } from '../sys/errno.ts';
import {
  ADDRESS_ATTRIBUTE_NAMES,
  type AddressOptions,
  decodeAddress,
  encodeAddress,
  familyOf,
  type InterfaceAddress,
  isIpFamily,
} from './address.ts';
import type { LinkRef } from './link-spec.ts';
import type { Links } from './links.ts';
import { NLM_F } from './message.ts';
import { ifaddrmsg, RTM } from './rtnetlink.ts';
import type { NetlinkSocket } from './socket.ts';

export interface AddressFilter {
  readonly link?: LinkRef;
  readonly version?: IpVersion;
}

/** The IP addresses of the interfaces of one network namespace. */
export class Addresses {
  readonly #socket: NetlinkSocket;
  readonly #links: Links;

  constructor(socket: NetlinkSocket, links: Links) {
    this.#socket = socket;
    this.#links = links;
  }

  /** @throws NoInterfaceError when the filter's link does not exist. */
  list(filter: AddressFilter = {}): InterfaceAddress[] {
    const index = filter.link === undefined ? 0 : this.#links.index(filter.link);
    const header = encode(ifaddrmsg, {
      family: familyOf(filter.version),
      prefixLength: 0,
      flags: 0,
      scope: 0,
      index,
    });
    const messages = this.#socket.request({
      type: RTM.GETADDR,
      flags: NLM_F.DUMP,
      header,
      attributes: [],
      doing: 'list the addresses',
      names: ADDRESS_ATTRIBUTE_NAMES,
    });
    return (
      messages
        .filter((message) => message.type === RTM.NEWADDR && isIpFamily(message.payload[0]))
        .map(decodeAddress)
        // Before Linux 5.0 the kernel lists the addresses of all links.
        .filter((address) => index === 0 || address.index === index)
    );
  }

  /**
   * Puts an address on an interface.
   *
   * @param prefix Address and length, as in `192.0.2.1/24`; without a length it is the full one.
   * @throws NetlinkError `BW_EXISTS` when it is there already.
   */
  add(link: LinkRef, prefix: string, options: AddressOptions = {}): void {
    this.#change(
      RTM.NEWADDR,
      NLM_F.CREATE | NLM_F.EXCL,
      `add the address ${prefix} to`,
      link,
      prefix,
      options,
    );
  }

  /** Puts an address on an interface, or changes the options of the one that is there. */
  replace(link: LinkRef, prefix: string, options: AddressOptions = {}): void {
    const flags = NLM_F.CREATE | NLM_F.REPLACE;
    this.#change(RTM.NEWADDR, flags, `put the address ${prefix} on`, link, prefix, options);
  }

  /** @throws NetlinkError when the interface has no such address. */
  delete(link: LinkRef, prefix: string, options: Pick<AddressOptions, 'peer'> = {}): void {
    this.#change(RTM.DELADDR, 0, `delete the address ${prefix} of`, link, prefix, options);
  }

  #change(
    type: number,
    flags: number,
    doing: string,
    link: LinkRef,
    prefix: string,
    options: AddressOptions,
  ): void {
    this.#links.withIndex(link, (index) =>
      this.#socket.request({
        type,
        flags,
        ...encodeAddress(index, prefix, options),
        doing: `${doing} '${link}'`,
        names: ADDRESS_ATTRIBUTE_NAMES,
        hint: (errno) =>
          errno === Errno.EEXIST ? 'It is there already: replace() changes its options.' : undefined,
      }),
    );
  }
}
