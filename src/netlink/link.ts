import { formatHardwareAddress } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { type Attributes, decodeString } from './attribute.ts';
import { IFLA, IFLA_INFO, IFLA_XDP } from './link-attributes.ts';
import { decodeLinkInfo, type LinkInfo } from './link-info.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';
import { decodeBody, flagNames, ifinfomsg, nameIn } from './rtnetlink.ts';

/** A network interface, as the kernel describes it. */
export interface Link {
  /** The interface index: it stays the same through renames, and is unique within its network namespace. */
  readonly index: number;
  readonly name: string;
  /** Further names it answers to. */
  readonly altNames: readonly string[];
  /** What kind of hardware it is or passes for. */
  readonly type: LinkType;
  /** The driver's name for a virtual link, as in `veth`; absent for hardware and loopback. */
  readonly kind: string | undefined;
  /** What is particular to the kind. */
  readonly info: LinkInfo | undefined;
  readonly flags: readonly LinkFlag[];
  /** Whether it was set up; `operState` tells whether it works. */
  readonly up: boolean;
  readonly operState: OperState;
  /** Whether there is a carrier. A link that is down has none. */
  readonly carrier: boolean | undefined;
  readonly carrierChanges: { readonly total: number; readonly up: number; readonly down: number };
  /** In bytes, as the next two. */
  readonly mtu: number;
  /** Absent where the driver states none. */
  readonly minMtu: number | undefined;
  readonly maxMtu: number | undefined;
  /** As in `02:00:5e:00:53:01`. */
  readonly address: string | undefined;
  readonly broadcast: string | undefined;
  readonly permanentAddress: string | undefined;
  /** Interface index of the bridge or other link that it is a port of. */
  readonly master: number | undefined;
  /** What its master is, as in `bridge`. */
  readonly portOf: string | undefined;
  /** Interface index of the link below, or of a veth's peer. */
  readonly link: number | undefined;
  /** The namespace that `link` is in, where that is another one; an ID of this namespace. */
  readonly linkNetnsId: number | undefined;
  readonly txQueues: number;
  readonly rxQueues: number;
  /** In packets. */
  readonly txQueueLength: number;
  readonly qdisc: string | undefined;
  readonly group: number;
  readonly alias: string | undefined;
  /** How many users want promiscuous mode; more than 0 means it is on. */
  readonly promiscuity: number;
  readonly allMulticast: number | undefined;
  /** Sizes in bytes. Absent where the kernel does not know them yet. */
  readonly offload: {
    readonly gsoMaxSize: number | undefined;
    readonly gsoMaxSegments: number | undefined;
    readonly gsoIpv4MaxSize: number | undefined;
    readonly groMaxSize: number | undefined;
    readonly groIpv4MaxSize: number | undefined;
    readonly tsoMaxSize: number | undefined;
    readonly tsoMaxSegments: number | undefined;
  };
  /** XDP programs on it, at most one a mode. */
  readonly xdp: readonly AttachedXdp[];
  /** Identifiers of a hardware port, as hexadecimal or as the driver's text. */
  readonly physical: {
    readonly portId: string | undefined;
    readonly portName: string | undefined;
    readonly switchId: string | undefined;
  };
  /** The device it is made from, as in `{ bus: 'pci', name: '0000:00:03.0' }`. */
  readonly parent: { readonly bus: string | undefined; readonly name: string } | undefined;
  /** Absent in notifications that leave it out. */
  readonly stats: LinkStats | undefined;
}

/** Where an XDP program runs: in the driver, in the stack, on the card. */
export type XdpMode = 'driver' | 'generic' | 'offload';

export interface AttachedXdp {
  readonly mode: XdpMode;
  readonly programId: number;
}

/** `struct rtnl_link_stats64`: since the link was made. */
export interface LinkStats extends Readonly<Record<(typeof STATS)[number], bigint>> {
  /** Absent before Linux 5.19. */
  readonly rxOtherHostDropped?: bigint;
}

/** `ARPHRD_` numbers (linux/if_arp.h) that still occur. */
const LINK_TYPES = {
  ether: 1,
  infiniband: 32,
  can: 280,
  ppp: 512,
  rawip: 519,
  ipip: 768,
  ip6tnl: 769,
  loopback: 772,
  sit: 776,
  gre: 778,
  ieee80211: 801,
  'ieee80211-radiotap': 803,
  gre6: 823,
  netlink: 824,
  none: 0xfffe,
} as const;

export type LinkType = keyof typeof LINK_TYPES | `type-${number}`;

/** `IFF_` bits (linux/if.h). */
export const LINK_FLAGS = {
  up: 0x1,
  broadcast: 0x2,
  debug: 0x4,
  loopback: 0x8,
  pointopoint: 0x10,
  notrailers: 0x20,
  running: 0x40,
  noarp: 0x80,
  promisc: 0x100,
  allmulti: 0x200,
  master: 0x400,
  slave: 0x800,
  multicast: 0x1000,
  portsel: 0x2000,
  automedia: 0x4000,
  dynamic: 0x8000,
  'lower-up': 0x10000,
  dormant: 0x20000,
  echo: 0x40000,
} as const;

export type LinkFlag = keyof typeof LINK_FLAGS;

/** RFC 2863 states, `IF_OPER_` (linux/if.h). */
const OPER_STATES = {
  unknown: 0,
  'not-present': 1,
  down: 2,
  'lower-layer-down': 3,
  testing: 4,
  dormant: 5,
  up: 6,
} as const;

export type OperState = keyof typeof OPER_STATES | `state-${number}`;

/** In the order of the struct; all are there since Linux 4.6. */
const STATS = [
  'rxPackets',
  'txPackets',
  'rxBytes',
  'txBytes',
  'rxErrors',
  'txErrors',
  'rxDropped',
  'txDropped',
  'multicast',
  'collisions',
  'rxLengthErrors',
  'rxOverErrors',
  'rxCrcErrors',
  'rxFrameErrors',
  'rxFifoErrors',
  'rxMissedErrors',
  'txAbortedErrors',
  'txCarrierErrors',
  'txFifoErrors',
  'txHeartbeatErrors',
  'txWindowErrors',
  'rxCompressed',
  'txCompressed',
  'rxNoHandler',
] as const;

/**
 * The link that a NEWLINK or DELLINK message describes.
 *
 * @throws CodecError when it is cut off or misformed.
 */
export function decodeLink(message: Message): Link {
  const { header, attributes } = decodeBody(ifinfomsg, message);
  const name = attributes.string(IFLA.IFNAME);
  if (name === undefined) throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, 'the link has no name');
  const info = attributes.nested(IFLA.LINKINFO);
  const parent = attributes.string(IFLA.PARENT_DEV_NAME);
  const carrier = attributes.u8(IFLA.CARRIER);
  return {
    index: header.index,
    name,
    altNames: decodeAltNames(attributes),
    type: nameIn(LINK_TYPES, header.type, 'type'),
    kind: info?.string(IFLA_INFO.KIND),
    info: info && decodeLinkInfo(info),
    flags: flagNames(header.flags, LINK_FLAGS),
    up: (header.flags & LINK_FLAGS.up) !== 0,
    operState: nameIn(OPER_STATES, attributes.u8(IFLA.OPERSTATE) ?? 0, 'state'),
    carrier: carrier === undefined ? undefined : carrier !== 0,
    carrierChanges: {
      total: attributes.u32(IFLA.CARRIER_CHANGES) ?? 0,
      up: attributes.u32(IFLA.CARRIER_UP_COUNT) ?? 0,
      down: attributes.u32(IFLA.CARRIER_DOWN_COUNT) ?? 0,
    },
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    minMtu: stated(attributes.u32(IFLA.MIN_MTU)),
    maxMtu: stated(attributes.u32(IFLA.MAX_MTU)),
    address: hardwareAddress(attributes, IFLA.ADDRESS),
    broadcast: hardwareAddress(attributes, IFLA.BROADCAST),
    permanentAddress: hardwareAddress(attributes, IFLA.PERM_ADDRESS),
    master: attributes.u32(IFLA.MASTER),
    portOf: info?.string(IFLA_INFO.SLAVE_KIND),
    link: stated(attributes.u32(IFLA.LINK)),
    linkNetnsId: attributes.i32(IFLA.LINK_NETNSID),
    txQueues: attributes.u32(IFLA.NUM_TX_QUEUES) ?? 1,
    rxQueues: attributes.u32(IFLA.NUM_RX_QUEUES) ?? 1,
    txQueueLength: attributes.u32(IFLA.TXQLEN) ?? 0,
    qdisc: attributes.string(IFLA.QDISC),
    group: attributes.u32(IFLA.GROUP) ?? 0,
    alias: attributes.string(IFLA.IFALIAS),
    promiscuity: attributes.u32(IFLA.PROMISCUITY) ?? 0,
    allMulticast: attributes.u32(IFLA.ALLMULTI),
    offload: {
      gsoMaxSize: attributes.u32(IFLA.GSO_MAX_SIZE),
      gsoMaxSegments: attributes.u32(IFLA.GSO_MAX_SEGS),
      gsoIpv4MaxSize: attributes.u32(IFLA.GSO_IPV4_MAX_SIZE),
      groMaxSize: attributes.u32(IFLA.GRO_MAX_SIZE),
      groIpv4MaxSize: attributes.u32(IFLA.GRO_IPV4_MAX_SIZE),
      tsoMaxSize: attributes.u32(IFLA.TSO_MAX_SIZE),
      tsoMaxSegments: attributes.u32(IFLA.TSO_MAX_SEGS),
    },
    xdp: decodeXdp(attributes.nested(IFLA.XDP)),
    physical: {
      portId: hexadecimal(attributes.bytes(IFLA.PHYS_PORT_ID)),
      portName: attributes.string(IFLA.PHYS_PORT_NAME),
      switchId: hexadecimal(attributes.bytes(IFLA.PHYS_SWITCH_ID)),
    },
    parent:
      parent === undefined ? undefined : { bus: attributes.string(IFLA.PARENT_DEV_BUS_NAME), name: parent },
    stats: decodeStats(attributes),
  };
}

function decodeAltNames(attributes: Attributes): string[] {
  const names: string[] = [];
  for (const property of attributes.nested(IFLA.PROP_LIST)?.list ?? []) {
    if (property.type === IFLA.ALT_IFNAME) names.push(decodeString(property.payload));
  }
  return names;
}

function decodeXdp(xdp: Attributes | undefined): AttachedXdp[] {
  if (xdp === undefined) return [];
  const attached: AttachedXdp[] = [];
  const add = (mode: XdpMode, programId: number | undefined): void => {
    if (programId !== undefined && programId !== 0) attached.push({ mode, programId });
  };
  add('driver', xdp.u32(IFLA_XDP.DRV_PROG_ID));
  add('generic', xdp.u32(IFLA_XDP.SKB_PROG_ID));
  add('offload', xdp.u32(IFLA_XDP.HW_PROG_ID));
  // Before Linux 4.19 there was one program, in the mode that ATTACHED names (XDP_ATTACHED_DRV, _SKB, _HW).
  const mode = ([undefined, 'driver', 'generic', 'offload'] as const)[xdp.u8(IFLA_XDP.ATTACHED) ?? 0];
  if (attached.length === 0 && mode !== undefined) add(mode, xdp.u32(IFLA_XDP.PROG_ID));
  return attached;
}

function decodeStats(attributes: Attributes): LinkStats | undefined {
  const view = attributes.struct(IFLA.STATS64, STATS.length * 8);
  if (view === undefined) return undefined;
  const stats: Record<string, bigint> = {};
  STATS.forEach((name, i) => {
    stats[name] = view.getBigUint64(8 * i, true);
  });
  const next = STATS.length * 8;
  if (view.byteLength >= next + 8) stats.rxOtherHostDropped = view.getBigUint64(next, true);
  return stats as unknown as LinkStats;
}

function hardwareAddress(attributes: Attributes, type: number): string | undefined {
  const bytes = attributes.bytes(type);
  return bytes === undefined || bytes.length === 0 ? undefined : formatHardwareAddress(bytes);
}

function hexadecimal(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString('hex');
}

/** Drivers that have no value to state report 0. */
function stated(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}
