import { parseMac } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { encode } from '../layout/index.ts';
import type { Netns } from '../sys/netns.ts';
import {
  type Attribute,
  bytesAttribute,
  nestedAttribute,
  numberOption,
  stringAttribute,
  u32Attribute,
} from './attribute.ts';
import { LINK_FLAGS } from './link.ts';
import { IFLA, IFLA_INFO, VETH_INFO } from './link-attributes.ts';
import {
  type BridgeOptions,
  bridgeAttributes,
  type MacvlanMode,
  macvlanAttributes,
  type VlanProtocol,
  vlanAttributes,
} from './link-info.ts';
import { ifinfomsg } from './rtnetlink.ts';

/** An interface by its name (or one of its alternative names) or by its index. */
export type LinkRef = string | number;

/** A network namespace by object, by name, or by path: `/proc/1234/ns/net` is the one that process is in. */
export type NetnsRef = Netns | string;

/** A link that is to be made. */
export type LinkSpec = VethSpec | BridgeSpec | VlanSpec | MacvlanSpec | PlainSpec;

/** What every link can be given when it is made. */
export interface LinkOptions {
  /** The namespace it shall lie in. Default is the socket's. */
  readonly netns?: NetnsRef;
  /** In bytes. Default is the kind's. */
  readonly mtu?: number;
  /** As in `02:00:5e:00:53:01`. Default is a random one. */
  readonly address?: string;
  /** Default is false. */
  readonly up?: boolean;
  /** Default is 1, or as many as there are CPUs for a veth. */
  readonly txQueues?: number;
  readonly rxQueues?: number;
  /** In packets. */
  readonly txQueueLength?: number;
  readonly group?: number;
  /** Up to 255 bytes. */
  readonly alias?: string;
  /** The bridge, in the same namespace, that it becomes a port of. */
  readonly master?: LinkRef;
}

/** Two interfaces, each the other end of a wire. */
export interface VethSpec extends LinkOptions {
  readonly kind: 'veth';
  readonly name: string;
  readonly peer: VethPeerSpec;
}

/** The other end; it lies in the socket's namespace unless it names another. */
export interface VethPeerSpec extends LinkOptions {
  readonly name: string;
}

export interface BridgeSpec extends LinkOptions, BridgeOptions {
  readonly kind: 'bridge';
  readonly name: string;
}

export interface VlanSpec extends LinkOptions {
  readonly kind: 'vlan';
  readonly name: string;
  /** The link whose tagged frames it carries. */
  readonly link: LinkRef;
  /** 0 to 4095. */
  readonly id: number;
  /** Default is `802.1Q`. */
  readonly protocol?: VlanProtocol;
}

export interface MacvlanSpec extends LinkOptions {
  readonly kind: 'macvlan';
  readonly name: string;
  /** The link it shares. */
  readonly link: LinkRef;
  /** Default is `bridge`. */
  readonly mode?: MacvlanMode;
}

export interface PlainSpec extends LinkOptions {
  readonly kind: 'dummy' | 'ifb';
  readonly name: string;
}

/** What can be changed on a link. What is left out stays as it is. */
export interface LinkChanges {
  /** A new name. Before Linux 6.2 the link must be down for it. */
  readonly name?: string;
  readonly up?: boolean;
  /** In bytes. */
  readonly mtu?: number;
  readonly address?: string;
  readonly broadcast?: string;
  /** The bridge to become a port of; null to leave it. */
  readonly master?: LinkRef | null;
  /** Moves the link there. Its addresses and routes are lost, and it is set down. */
  readonly netns?: NetnsRef;
  readonly promiscuous?: boolean;
  readonly allMulticast?: boolean;
  readonly multicast?: boolean;
  /** False for a link without ARP. */
  readonly arp?: boolean;
  /** In packets. */
  readonly txQueueLength?: number;
  readonly group?: number;
  /** Up to 255 bytes; null takes it away. */
  readonly alias?: string | null;
  /** In bytes, as the following sizes. */
  readonly gsoMaxSize?: number;
  readonly gsoMaxSegments?: number;
  readonly gsoIpv4MaxSize?: number;
  readonly groMaxSize?: number;
  readonly groIpv4MaxSize?: number;
  /** Only for bridges. */
  readonly bridge?: BridgeOptions;
}

type NumberChange =
  | 'mtu'
  | 'txQueueLength'
  | 'group'
  | 'gsoMaxSize'
  | 'gsoMaxSegments'
  | 'gsoIpv4MaxSize'
  | 'groMaxSize'
  | 'groIpv4MaxSize';

/** Names and namespaces turned into what the kernel takes. */
export interface Resolved {
  linkIndex(ref: LinkRef): number;
  /** An open descriptor of the namespace. */
  netnsFd(ref: NetnsRef): number;
}

export interface LinkMessage {
  readonly header: Uint8Array;
  readonly attributes: readonly Attribute[];
}

/** The longest name in bytes: `IFNAMSIZ` less the closing NUL (linux/if.h). */
export const MAX_NAME_BYTES = 15;

/** The kernel's test, `dev_valid_name`, with a message; and no `%`, which it takes for a pattern to fill in. */
export function requireLinkName(name: string): string {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes < 1 || bytes > MAX_NAME_BYTES || name === '.' || name === '..' || /[/:%\s\0]/.test(name)) {
    throw new ArgumentError(`${JSON.stringify(name)} cannot name an interface`, {
      hint: 'A name has 1 to 15 bytes, without blanks, slashes, colons and per cent signs.',
    });
  }
  return name;
}

/** What a NEWLINK message says that makes the link, but for `finishingChanges`. */
export function encodeLinkSpec(spec: LinkSpec, resolved: Resolved): LinkMessage {
  const attributes = optionAttributes(spec.name, spec, resolved);
  if ('link' in spec) attributes.push(u32Attribute(IFLA.LINK, resolved.linkIndex(spec.link)));
  const data = dataAttributes(spec, resolved);
  attributes.push(
    nestedAttribute(IFLA.LINKINFO, [
      stringAttribute(IFLA_INFO.KIND, spec.kind),
      ...(data.length === 0 ? [] : [nestedAttribute(IFLA_INFO.DATA, data)]),
    ]),
  );
  return { header: linkHeader(0), attributes };
}

/** What can only be said once the link is there: a veth cannot be set up before it has its peer, for one. */
export function finishingChanges(options: LinkOptions): LinkChanges | undefined {
  const { up, master, alias } = options;
  if (up !== true && master === undefined && alias === undefined) return undefined;
  return {
    ...(master === undefined ? {} : { master }),
    ...(alias === undefined ? {} : { alias }),
    ...(up === true ? { up } : {}),
  };
}

/** What a NEWLINK message says that changes the link of that index. */
export function encodeLinkChanges(index: number, changes: LinkChanges, resolved: Resolved): LinkMessage {
  const attributes: Attribute[] = [];
  const number = (type: number, name: NumberChange): void => {
    attributes.push(...numberOption(name, 32, type, changes[name]));
  };
  if (changes.netns !== undefined) {
    attributes.push(u32Attribute(IFLA.NET_NS_FD, resolved.netnsFd(changes.netns)));
  }
  if (changes.name !== undefined) {
    attributes.push(stringAttribute(IFLA.IFNAME, requireLinkName(changes.name)));
  }
  number(IFLA.MTU, 'mtu');
  if (changes.address !== undefined) {
    attributes.push(bytesAttribute(IFLA.ADDRESS, parseMac(changes.address)));
  }
  if (changes.broadcast !== undefined) {
    attributes.push(bytesAttribute(IFLA.BROADCAST, parseMac(changes.broadcast)));
  }
  if (changes.master !== undefined) {
    const master = changes.master === null ? 0 : resolved.linkIndex(changes.master);
    attributes.push(u32Attribute(IFLA.MASTER, master));
  }
  number(IFLA.TXQLEN, 'txQueueLength');
  number(IFLA.GROUP, 'group');
  if (changes.alias !== undefined) {
    // Without the closing NUL, which would count towards the 255 bytes it may have; empty takes it away.
    attributes.push(bytesAttribute(IFLA.IFALIAS, new TextEncoder().encode(changes.alias ?? '')));
  }
  number(IFLA.GSO_MAX_SIZE, 'gsoMaxSize');
  number(IFLA.GSO_MAX_SEGS, 'gsoMaxSegments');
  number(IFLA.GSO_IPV4_MAX_SIZE, 'gsoIpv4MaxSize');
  number(IFLA.GRO_MAX_SIZE, 'groMaxSize');
  number(IFLA.GRO_IPV4_MAX_SIZE, 'groIpv4MaxSize');
  if (changes.bridge !== undefined) {
    attributes.push(
      nestedAttribute(IFLA.LINKINFO, [
        stringAttribute(IFLA_INFO.KIND, 'bridge'),
        nestedAttribute(IFLA_INFO.DATA, bridgeAttributes(changes.bridge)),
      ]),
    );
  }
  return { header: linkHeader(index, flagChanges(changes)), attributes };
}

/** `struct ifinfomsg` for a request. */
export function linkHeader(index: number, flags: { bits: number; mask: number } = NO_FLAGS): Uint8Array {
  return encode(ifinfomsg, { family: 0, pad: 0, type: 0, index, flags: flags.bits, change: flags.mask });
}

const NO_FLAGS = { bits: 0, mask: 0 };

function dataAttributes(spec: LinkSpec, resolved: Resolved): Attribute[] {
  switch (spec.kind) {
    case 'veth': {
      return [peerAttribute(linkHeader(0), optionAttributes(spec.peer.name, spec.peer, resolved))];
    }
    case 'bridge':
      return bridgeAttributes(spec);
    case 'vlan':
      return vlanAttributes(spec.id, spec.protocol ?? '802.1Q');
    case 'macvlan':
      return macvlanAttributes(spec.mode ?? 'bridge');
    case 'dummy':
    case 'ifb':
      return [];
    default:
      return unknownKind(spec);
  }
}

/** Types forbid it; plain JavaScript does not. */
function unknownKind(spec: never): never {
  const { kind } = spec as LinkSpec;
  throw new ArgumentError(`links of kind '${kind}' cannot be made`, {
    hint: 'There are: veth, bridge, vlan, macvlan, dummy, ifb.',
  });
}

/** The one nested attribute with a header of its own in front (drivers/net/veth.c). */
function peerAttribute(header: Uint8Array, attributes: readonly Attribute[]): Attribute {
  const nested = nestedAttribute(VETH_INFO.PEER, attributes);
  const payload = new Uint8Array(header.length + nested.payload.length);
  payload.set(header);
  payload.set(nested.payload, header.length);
  return { ...nested, payload };
}

function optionAttributes(name: string, options: LinkOptions, resolved: Resolved): Attribute[] {
  const attributes = [stringAttribute(IFLA.IFNAME, requireLinkName(name))];
  const number = (type: number, name: 'mtu' | 'txQueues' | 'rxQueues' | 'txQueueLength' | 'group'): void => {
    attributes.push(...numberOption(name, 32, type, options[name]));
  };
  if (options.netns !== undefined) {
    attributes.push(u32Attribute(IFLA.NET_NS_FD, resolved.netnsFd(options.netns)));
  }
  number(IFLA.MTU, 'mtu');
  if (options.address !== undefined) {
    attributes.push(bytesAttribute(IFLA.ADDRESS, parseMac(options.address)));
  }
  number(IFLA.NUM_TX_QUEUES, 'txQueues');
  number(IFLA.NUM_RX_QUEUES, 'rxQueues');
  number(IFLA.TXQLEN, 'txQueueLength');
  number(IFLA.GROUP, 'group');
  return attributes;
}

function flagChanges(changes: LinkChanges): { bits: number; mask: number } {
  let bits = 0;
  let mask = 0;
  const set = (flag: number, on: boolean | undefined): void => {
    if (on === undefined) return;
    mask |= flag;
    if (on) bits |= flag;
  };
  set(LINK_FLAGS.up, changes.up);
  set(LINK_FLAGS.promisc, changes.promiscuous);
  set(LINK_FLAGS.allmulti, changes.allMulticast);
  set(LINK_FLAGS.multicast, changes.multicast);
  set(LINK_FLAGS.noarp, changes.arp === undefined ? undefined : !changes.arp);
  return { bits, mask };
}
