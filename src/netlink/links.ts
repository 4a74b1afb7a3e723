import { ArgumentError } from '../error.ts';
import { Errno } from '../sys/errno.ts';
import { Netns } from '../sys/netns.ts';
import { type Attribute, nestedAttribute, stringAttribute, u32Attribute } from './attribute.ts';
import { NetlinkError, NoInterfaceError } from './error.ts';
import { decodeLink, type Link } from './link.ts';
import { IFLA, IFLA_INFO, linkAttributeNames } from './link-attributes.ts';
import type { BridgeOptions } from './link-info.ts';
import {
  encodeLinkChanges,
  encodeLinkSpec,
  finishingChanges,
  type LinkChanges,
  type LinkMessage,
  type LinkOptions,
  type LinkRef,
  type LinkSpec,
  linkHeader,
  MAX_NAME_BYTES,
  type NetnsRef,
  type Resolved,
} from './link-spec.ts';
import { type Message, NLM_F } from './message.ts';
import { decodeBody, ifinfomsg, RTM } from './rtnetlink.ts';
import { NetlinkSocket } from './socket.ts';

/** Which links to list; without any, all of them. */
export interface LinkFilter {
  /** The driver's name, as in `veth`. */
  readonly kind?: string;
  /** Only the ports of this one. */
  readonly master?: LinkRef;
}

/** `RTEXT_FILTER_` bits (linux/rtnetlink.h). Statistics cost most of a link's answer. */
const SKIP_STATS = 1 << 3;
/**
 * `RTEXT_FILTER_BRVLAN_COMPRESSED`, which changes nothing in a list of links: but only with some bit set does the
 * kernel (6.18) make room for the largest link. Without, it ends the list in front of a link of more than 32 KiB, one
 * with hundreds of alternative names, and calls that success.
 */
const MEASURE_LINKS = 1 << 2;

/** The kernel option behind each kind that can be asked for. */
const CONFIG: Readonly<Record<LinkSpec['kind'], string>> = {
  veth: 'CONFIG_VETH',
  bridge: 'CONFIG_BRIDGE',
  vlan: 'CONFIG_VLAN_8021Q',
  macvlan: 'CONFIG_MACVLAN',
  dummy: 'CONFIG_DUMMY',
  ifb: 'CONFIG_IFB',
};

const BRIDGE_VLAN_HINT = 'VLANs on a bridge take a kernel built with CONFIG_BRIDGE_VLAN_FILTERING.';
const RENAME_HINT = 'Before Linux 6.2 only a link that is down takes another name: take it down first.';

/** The interfaces of one network namespace. */
export class Links {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** @throws NoInterfaceError when the filter's master does not exist. */
  list(filter: LinkFilter = {}): Link[] {
    const attributes: Attribute[] = [];
    const master = filter.master === undefined ? undefined : this.index(filter.master);
    if (master !== undefined) attributes.push(u32Attribute(IFLA.MASTER, master));
    if (filter.kind !== undefined) {
      attributes.push(nestedAttribute(IFLA.LINKINFO, [stringAttribute(IFLA_INFO.KIND, filter.kind)]));
    }
    const links = this.#dump(MEASURE_LINKS, attributes);
    // A kernel that does not know the filters, or not this kind, lists everything.
    return links.filter(
      (link) =>
        (master === undefined || link.master === master) &&
        (filter.kind === undefined || link.kind === filter.kind),
    );
  }

  /** @throws NoInterfaceError, which names the nearest ones. */
  get(ref: LinkRef): Link {
    return this.find(ref) ?? this.#unknown(ref);
  }

  /** As `get`, but `undefined` when there is none. */
  find(ref: LinkRef): Link | undefined {
    const message = this.#query(ref, []);
    return message && decodeLink(message);
  }

  /**
   * The index of an interface; a number is taken as it is.
   *
   * @throws NoInterfaceError, which names the nearest ones.
   */
  index(ref: LinkRef): number {
    if (typeof ref === 'number') return requireIndex(ref);
    const message = this.#query(ref, [u32Attribute(IFLA.EXT_MASK, SKIP_STATS)]);
    return message === undefined ? this.#unknown(ref) : decodeBody(ifinfomsg, message).header.index;
  }

  /** Makes a link and returns it; of a veth pair, the first end. */
  create(spec: LinkSpec): Link {
    const doing = `create the ${spec.kind} link '${spec.name}'`;
    using resolver = this.#resolver();
    const { header, attributes } = encodeLinkSpec(spec, resolver);
    this.#socket.request({
      type: RTM.NEWLINK,
      flags: NLM_F.CREATE | NLM_F.EXCL,
      header,
      attributes,
      doing,
      names: linkAttributeNames(spec.kind),
      hint: (errno, reason) => creationHint(spec, errno, reason),
    });
    try {
      if (spec.kind === 'veth') this.#finish(spec.peer);
      return this.#finish(spec);
    } catch (error) {
      // Half a link is worse than none: nobody knows that it is there.
      this.#in(spec.netns, (links) => {
        if (links.find(spec.name) !== undefined) links.delete(spec.name);
      });
      throw error;
    }
  }

  /**
   * Changes a link. The kernel applies one change after the other: when it refuses one, earlier ones may have
   * been made.
   *
   * @throws NoInterfaceError, NetlinkError.
   */
  set(ref: LinkRef, changes: LinkChanges): void {
    using resolver = this.#resolver();
    const hints: Partial<Record<number, string>> = {};
    if (changes.bridge !== undefined && wantsVlans(changes.bridge))
      hints[Errno.EOPNOTSUPP] = BRIDGE_VLAN_HINT;
    if (changes.name !== undefined) hints[Errno.EBUSY] = RENAME_HINT;
    this.#change(
      RTM.NEWLINK,
      ref,
      `change the link '${ref}'`,
      (index) => encodeLinkChanges(index, changes, resolver),
      (errno) => hints[errno],
    );
  }

  /** Deletes a link; of a veth pair, both ends. */
  delete(ref: LinkRef): void {
    this.#change(RTM.DELLINK, ref, `delete the link '${ref}'`, (index) => ({
      header: linkHeader(index),
      attributes: [],
    }));
  }

  /**
   * Deletes all links of a group at once, which takes the kernel hardly longer than one: each deletion waits for every CPU.
   *
   * @throws NetlinkError `BW_PERMISSION` for group 0, which every link begins in; `BW_NOT_FOUND` when the group has none.
   */
  deleteGroup(group: number): void {
    this.#socket.request({
      type: RTM.DELLINK,
      header: linkHeader(0),
      attributes: [u32Attribute(IFLA.GROUP, group)],
      doing: `delete the links of group ${group}`,
      names: linkAttributeNames(),
    });
  }

  /** Gives a link a further name, of up to 127 bytes. */
  addAltName(ref: LinkRef, name: string): void {
    const doing = `give the link '${ref}' the name '${name}'`;
    this.#change(RTM.NEWLINKPROP, ref, doing, (index) => altNameMessage(index, name));
  }

  removeAltName(ref: LinkRef, name: string): void {
    const doing = `take the name '${name}' off the link '${ref}'`;
    this.#change(RTM.DELLINKPROP, ref, doing, (index) => altNameMessage(index, name));
  }

  /**
   * Runs `task` with the index of an interface; where it fails because that index is nobody's, says so.
   *
   * @throws NoInterfaceError, which names the nearest ones.
   */
  withIndex<T>(ref: LinkRef, task: (index: number) => T): T {
    const index = this.index(ref);
    try {
      return task(index);
    } catch (error) {
      if (isNoDevice(error) && this.find(index) === undefined) this.#unknown(ref);
      throw error;
    }
  }

  #finish(options: LinkOptions & { readonly name: string }): Link {
    return this.#in(options.netns, (links) => {
      const changes = finishingChanges(options);
      if (changes !== undefined) links.set(options.name, changes);
      return links.get(options.name);
    });
  }

  #in<T>(netns: NetnsRef | undefined, task: (links: Links) => T): T {
    if (netns === undefined) return task(this);
    using socket = new NetlinkSocket('route', { netns });
    return task(new Links(socket));
  }

  #change(
    type: number,
    ref: LinkRef,
    doing: string,
    message: (index: number) => LinkMessage,
    hint: (errno: number) => string | undefined = () => undefined,
  ): void {
    const flags = type === RTM.NEWLINKPROP ? NLM_F.CREATE | NLM_F.EXCL | NLM_F.APPEND : 0;
    const names = linkAttributeNames();
    this.withIndex(ref, (index) =>
      this.#socket.request({ type, flags, ...message(index), doing, names, hint }),
    );
  }

  #dump(mask: number, filters: readonly Attribute[]): Link[] {
    const messages = this.#socket.request({
      type: RTM.GETLINK,
      flags: NLM_F.DUMP,
      header: linkHeader(0),
      attributes: [u32Attribute(IFLA.EXT_MASK, mask), ...filters],
      doing: 'list the links',
      names: linkAttributeNames(),
    });
    return messages.filter((message) => message.type === RTM.NEWLINK).map(decodeLink);
  }

  #query(ref: LinkRef, attributes: readonly Attribute[]): Message | undefined {
    const byName = typeof ref === 'string';
    if (byName && (ref === '' || ref.includes('\0'))) return undefined;
    const long = byName && new TextEncoder().encode(ref).length > MAX_NAME_BYTES;
    const name = byName ? [stringAttribute(long ? IFLA.ALT_IFNAME : IFLA.IFNAME, ref)] : [];
    try {
      const [message] = this.#socket.request({
        type: RTM.GETLINK,
        header: linkHeader(byName ? 0 : requireIndex(ref)),
        attributes: [...name, ...attributes],
        doing: `look up the link '${ref}'`,
        names: linkAttributeNames(),
      });
      return message;
    } catch (error) {
      // ERANGE: longer than any name can be.
      if (isNoDevice(error) || (error instanceof NetlinkError && error.errno === Errno.ERANGE)) {
        return undefined;
      }
      throw error;
    }
  }

  #unknown(ref: LinkRef): never {
    const links = this.#dump(SKIP_STATS, []);
    throw new NoInterfaceError(
      ref,
      links.flatMap((link) => [link.name, ...link.altNames]),
    );
  }

  #resolver(): Resolved & Disposable {
    const opened: Netns[] = [];
    return {
      linkIndex: (ref) => this.index(ref),
      netnsFd: (ref) => {
        if (ref instanceof Netns) return ref.fd.number;
        const netns = Netns.open(ref);
        opened.push(netns);
        return netns.fd.number;
      },
      [Symbol.dispose]: () => {
        for (const netns of opened) netns.close();
      },
    };
  }
}

function altNameMessage(index: number, name: string): LinkMessage {
  const property = nestedAttribute(IFLA.PROP_LIST, [stringAttribute(IFLA.ALT_IFNAME, name)]);
  return { header: linkHeader(index), attributes: [property] };
}

function requireIndex(index: number): number {
  if (!Number.isInteger(index) || index < 1 || index >= 2 ** 31) {
    throw new ArgumentError(`${index} is not an interface index`, {
      hint: 'Indexes are whole numbers from 1.',
    });
  }
  return index;
}

function isNoDevice(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === Errno.ENODEV;
}

function creationHint(spec: LinkSpec, errno: number, reason: string | undefined): string | undefined {
  if (errno === Errno.EOPNOTSUPP && reason !== undefined && /unknown device type/i.test(reason)) {
    return `This kernel has no ${spec.kind} links: it takes one built with ${CONFIG[spec.kind]}.`;
  }
  if (errno === Errno.EOPNOTSUPP && spec.kind === 'bridge' && wantsVlans(spec)) {
    return BRIDGE_VLAN_HINT;
  }
  if (errno === Errno.EEXIST) {
    const names = spec.kind === 'veth' ? `'${spec.name}' or '${spec.peer.name}'` : `'${spec.name}'`;
    return `The name ${names} is taken there: choose another, or delete that link.`;
  }
  return undefined;
}

function wantsVlans(options: BridgeOptions): boolean {
  return (
    options.vlanFiltering !== undefined ||
    options.vlanProtocol !== undefined ||
    options.defaultVlan !== undefined
  );
}
