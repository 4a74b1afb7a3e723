import { formatIp, type IpVersion, parseIp } from '../address/index.ts';
import { encode } from '../layout/index.ts';
import { Errno } from '../sys/errno.ts';
import { familyOf, isIpFamily, sameVersion } from './address.ts';
import { type Attribute, bytesAttribute, u32Attribute } from './attribute.ts';
import { NetlinkError } from './error.ts';
import type { LinkRef } from './link-spec.ts';
import type { Links } from './links.ts';
import { NLM_F } from './message.ts';
import { decodeRoute, ROUTE_ATTRIBUTE_NAMES, type Route, RTA } from './route.ts';
import { encodeRoute, type RouteSpec, type RouteTable, tableNumber } from './route-spec.ts';
import { RTM, rtmsg } from './rtnetlink.ts';
import type { NetlinkSocket } from './socket.ts';

export interface RouteFilter {
  readonly version?: IpVersion;
  /** Default is every table. */
  readonly table?: RouteTable;
  /** Only routes that leave by this link, over one of their next hops. */
  readonly link?: LinkRef;
}

/** What a packet would look like whose way is asked for. */
export interface RouteQuery {
  readonly from?: string;
  readonly mark?: number;
  /** Bound to that link. */
  readonly link?: LinkRef;
  /** Of that user. */
  readonly uid?: number;
}

/** The routes of one network namespace. */
export class Routes {
  readonly #socket: NetlinkSocket;
  readonly #links: Links;

  constructor(socket: NetlinkSocket, links: Links) {
    this.#socket = socket;
    this.#links = links;
  }

  /** @throws NoInterfaceError when the filter's link does not exist. */
  list(filter: RouteFilter = {}): Route[] {
    const table = filter.table === undefined ? undefined : tableNumber(filter.table);
    const link = filter.link === undefined ? undefined : this.#links.index(filter.link);
    const routes = this.#dump(filter.version, table);
    // Before Linux 5.0 the kernel lists all tables; a filter by link would leave out multipath routes.
    return routes.filter(
      (route) =>
        (table === undefined || route.table === table) &&
        (link === undefined || route.nextHops.some((hop) => hop.link === link)),
    );
  }

  /** The route that the kernel would take to an address. */
  lookup(address: string, query: RouteQuery = {}): Route {
    const { version, bytes } = parseIp(address);
    const attributes: Attribute[] = [bytesAttribute(RTA.DST, bytes)];
    let sourceLength = 0;
    if (query.from !== undefined) {
      const from = sameVersion(query.from, version, 'source');
      sourceLength = from.length * 8;
      attributes.push(bytesAttribute(RTA.SRC, from));
    }
    if (query.mark !== undefined) attributes.push(u32Attribute(RTA.MARK, query.mark));
    if (query.link !== undefined) attributes.push(u32Attribute(RTA.OIF, this.#links.index(query.link)));
    if (query.uid !== undefined) attributes.push(u32Attribute(RTA.UID, query.uid));
    const [message] = this.#socket.request({
      type: RTM.GETROUTE,
      header: encode(rtmsg, {
        ...EMPTY,
        family: familyOf(version),
        destinationLength: bytes.length * 8,
        sourceLength,
        // So that the answer tells the table it comes from; IPv6 does so by itself and takes no flags.
        flags: version === 4 ? LOOKUP_TABLE : 0,
      }),
      attributes,
      doing: `find the route to ${formatIp(bytes)}`,
      names: ROUTE_ATTRIBUTE_NAMES,
    });
    return decodeRoute(message!);
  }

  /** @throws NetlinkError `BW_EXISTS` when there is one to that destination with that metric. */
  add(spec: RouteSpec): void {
    this.#change(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.EXCL, 'add', spec);
  }

  /** Makes a route, in place of the one to that destination with that metric if there is one. */
  replace(spec: RouteSpec): void {
    this.#change(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.REPLACE, 'replace', spec);
  }

  /** Makes a route after those to that destination: a further way for IPv6, a spare one for IPv4. */
  append(spec: RouteSpec): void {
    this.#change(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.APPEND, 'append', spec);
  }

  /**
   * Deletes the first route that has everything the spec states.
   *
   * @throws NetlinkError when there is none.
   */
  delete(spec: RouteSpec): void {
    this.#change(RTM.DELROUTE, 0, 'delete', spec);
  }

  #change(type: number, flags: number, verb: string, spec: RouteSpec): void {
    const purpose = type === RTM.DELROUTE ? 'delete' : 'make';
    this.#socket.request({
      type,
      flags,
      ...encodeRoute(spec, purpose, (ref) => this.#links.index(ref)),
      doing: `${verb} the route to ${spec.destination}`,
      names: ROUTE_ATTRIBUTE_NAMES,
      hint: (errno) => changeHint(errno, purpose, spec),
    });
  }

  #dump(version: IpVersion | undefined, table: number | undefined): Route[] {
    const attributes = table === undefined ? [] : [u32Attribute(RTA.TABLE, table)];
    try {
      return this.#socket
        .request({
          type: RTM.GETROUTE,
          flags: NLM_F.DUMP,
          header: encode(rtmsg, { ...EMPTY, family: familyOf(version) }),
          attributes,
          doing: 'list the routes',
          names: ROUTE_ATTRIBUTE_NAMES,
        })
        .filter((message) => message.type === RTM.NEWROUTE && isIpFamily(message.payload[0]))
        .map(decodeRoute);
    } catch (error) {
      // A table without routes does not exist.
      if (table !== undefined && error instanceof NetlinkError && error.errno === Errno.ENOENT) return [];
      throw error;
    }
  }
}

/** `RTM_F_LOOKUP_TABLE`. */
const LOOKUP_TABLE = 0x1000;

const EMPTY = {
  family: 0,
  destinationLength: 0,
  sourceLength: 0,
  tos: 0,
  table: 0,
  protocol: 0,
  scope: 0,
  type: 0,
  flags: 0,
};

function changeHint(errno: number, purpose: 'make' | 'delete', spec: RouteSpec): string | undefined {
  switch (errno) {
    case Errno.EEXIST:
      return 'There is a route to it with that metric: replace() takes its place, another metric puts it beside.';
    case Errno.ESRCH:
      return purpose === 'delete'
        ? 'No route has all that was stated; list() shows those there are.'
        : undefined;
    case Errno.ENETUNREACH:
      return spec.via === undefined
        ? undefined
        : `No link reaches ${spec.via}: add an address of its network first, or set onLink.`;
    case Errno.ENETDOWN:
      return 'Set the link up first.';
    default:
      return undefined;
  }
}
