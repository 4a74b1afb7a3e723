import { formatMac } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import {
  type Attribute,
  type Attributes,
  be16Attribute,
  numberOption,
  u8Attribute,
  u16Attribute,
  u32Attribute,
} from './attribute.ts';
import { IFLA_BR, IFLA_INFO, IFLA_MACVLAN, IFLA_TUN, IFLA_VLAN } from './link-attributes.ts';
import { nameIn, numberIn } from './rtnetlink.ts';

/** What is particular to a link's kind, told apart by `kind`. */
export type LinkInfo =
  | { readonly kind: 'veth' | 'dummy' | 'ifb' }
  | BridgeInfo
  | VlanInfo
  | MacvlanInfo
  | TunInfo
  /** A kind this library does not look into; the link's own `kind` has its name. */
  | { readonly kind: 'other' };

export interface BridgeInfo {
  readonly kind: 'bridge';
  /** As in `8000.02:00:5e:00:53:01`. */
  readonly id: string | undefined;
  readonly rootId: string | undefined;
  readonly stp: boolean;
  readonly priority: number;
  /** In ms, as the following times. */
  readonly forwardDelay: number;
  readonly helloTime: number;
  readonly maxAge: number;
  /** In ms; after that long without a frame an address is forgotten. */
  readonly ageingTime: number;
  readonly vlanFiltering: boolean;
  readonly vlanProtocol: VlanProtocol;
  /** 0 is none. */
  readonly defaultVlan: number;
  /** Bit n lets frames to 01:80:c2:00:00:0n through. */
  readonly groupForwardMask: number;
  readonly multicastSnooping: boolean;
}

export interface VlanInfo {
  readonly kind: 'vlan';
  readonly id: number;
  readonly protocol: VlanProtocol;
}

export interface MacvlanInfo {
  readonly kind: 'macvlan';
  readonly mode: MacvlanMode | `mode-${number}`;
}

export interface TunInfo {
  readonly kind: 'tun';
  /** IP packets or Ethernet frames. */
  readonly layer: 'tun' | 'tap';
  readonly packetInformation: boolean;
  readonly vnetHeader: boolean;
  readonly persistent: boolean;
  readonly multiQueue: boolean;
  readonly queues: number | undefined;
  readonly disabledQueues: number | undefined;
  /** User and group IDs that may open it. */
  readonly owner: number | undefined;
  readonly group: number | undefined;
}

export type VlanProtocol = '802.1Q' | '802.1ad';
export type MacvlanMode = keyof typeof MACVLAN_MODES;

/** What can be asked of a bridge, when it is made and later. */
export interface BridgeOptions {
  readonly stp?: boolean;
  readonly priority?: number;
  /** In ms, as the following times; the kernel keeps them in steps of 10. */
  readonly forwardDelay?: number;
  readonly helloTime?: number;
  readonly maxAge?: number;
  readonly ageingTime?: number;
  readonly vlanFiltering?: boolean;
  readonly vlanProtocol?: VlanProtocol;
  readonly defaultVlan?: number;
  readonly groupForwardMask?: number;
  readonly multicastSnooping?: boolean;
}

/** `enum macvlan_mode`. */
const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;

/** EtherTypes of VLAN tags. */
const VLAN_PROTOCOLS: Readonly<Record<VlanProtocol, number>> = { '802.1Q': 0x8100, '802.1ad': 0x88a8 };

/** Times of bridges count in `USER_HZ`: hundredths of a second, whatever the kernel's own tick. */
const MS_PER_TICK = 10;

export function decodeLinkInfo(info: Attributes): LinkInfo | undefined {
  const kind = info.string(IFLA_INFO.KIND);
  const data = info.has(IFLA_INFO.DATA);
  switch (kind) {
    case undefined:
      return undefined;
    case 'veth':
    case 'dummy':
    case 'ifb':
      return { kind };
    case 'bridge':
      return data ? decodeBridge(info.nested(IFLA_INFO.DATA)!) : { kind: 'other' };
    case 'vlan':
      return data ? decodeVlan(info.nested(IFLA_INFO.DATA)!) : { kind: 'other' };
    case 'macvlan':
      return data ? decodeMacvlan(info.nested(IFLA_INFO.DATA)!) : { kind: 'other' };
    case 'tun':
      return data ? decodeTun(info.nested(IFLA_INFO.DATA)!) : { kind: 'other' };
    default:
      return { kind: 'other' };
  }
}

export function bridgeAttributes(options: BridgeOptions): Attribute[] {
  const attributes: Attribute[] = [];
  const ticks = (type: number, name: 'forwardDelay' | 'helloTime' | 'maxAge' | 'ageingTime'): void => {
    const ms = options[name];
    if (ms === undefined) return;
    if (!(ms >= 0 && ms < 2 ** 32)) throw new ArgumentError(`'${name}' is ${ms}, which is no time in ms`);
    attributes.push(u32Attribute(type, Math.round(ms / MS_PER_TICK)));
  };
  const flag = (type: number, on: boolean | undefined): void => {
    if (on !== undefined) attributes.push(u8Attribute(type, on ? 1 : 0));
  };
  ticks(IFLA_BR.FORWARD_DELAY, 'forwardDelay');
  ticks(IFLA_BR.HELLO_TIME, 'helloTime');
  ticks(IFLA_BR.MAX_AGE, 'maxAge');
  ticks(IFLA_BR.AGEING_TIME, 'ageingTime');
  if (options.stp !== undefined) attributes.push(u32Attribute(IFLA_BR.STP_STATE, options.stp ? 1 : 0));
  attributes.push(...numberOption('priority', 16, IFLA_BR.PRIORITY, options.priority));
  flag(IFLA_BR.VLAN_FILTERING, options.vlanFiltering);
  if (options.vlanProtocol !== undefined) {
    attributes.push(be16Attribute(IFLA_BR.VLAN_PROTOCOL, vlanEtherType(options.vlanProtocol)));
  }
  attributes.push(...numberOption('groupForwardMask', 16, IFLA_BR.GROUP_FWD_MASK, options.groupForwardMask));
  flag(IFLA_BR.MCAST_SNOOPING, options.multicastSnooping);
  attributes.push(...numberOption('defaultVlan', 16, IFLA_BR.VLAN_DEFAULT_PVID, options.defaultVlan));
  return attributes;
}

export function vlanAttributes(id: number, protocol: VlanProtocol): Attribute[] {
  if (!Number.isInteger(id) || id < 0 || id > 4095) {
    throw new ArgumentError(`${id} is not a VLAN ID of 0 to 4095`);
  }
  return [u16Attribute(IFLA_VLAN.ID, id), be16Attribute(IFLA_VLAN.PROTOCOL, vlanEtherType(protocol))];
}

export function macvlanAttributes(mode: MacvlanMode): Attribute[] {
  return [u32Attribute(IFLA_MACVLAN.MODE, numberIn('macvlan mode', MACVLAN_MODES, mode))];
}

function decodeBridge(data: Attributes): BridgeInfo {
  const ms = (type: number): number => (data.u32(type) ?? 0) * MS_PER_TICK;
  return {
    kind: 'bridge',
    id: bridgeId(data, IFLA_BR.BRIDGE_ID),
    rootId: bridgeId(data, IFLA_BR.ROOT_ID),
    stp: (data.u32(IFLA_BR.STP_STATE) ?? 0) !== 0,
    priority: data.u16(IFLA_BR.PRIORITY) ?? 0,
    forwardDelay: ms(IFLA_BR.FORWARD_DELAY),
    helloTime: ms(IFLA_BR.HELLO_TIME),
    maxAge: ms(IFLA_BR.MAX_AGE),
    ageingTime: ms(IFLA_BR.AGEING_TIME),
    vlanFiltering: (data.u8(IFLA_BR.VLAN_FILTERING) ?? 0) !== 0,
    vlanProtocol: vlanProtocol(data.be16(IFLA_BR.VLAN_PROTOCOL)),
    defaultVlan: data.u16(IFLA_BR.VLAN_DEFAULT_PVID) ?? 0,
    groupForwardMask: data.u16(IFLA_BR.GROUP_FWD_MASK) ?? 0,
    multicastSnooping: (data.u8(IFLA_BR.MCAST_SNOOPING) ?? 0) !== 0,
  };
}

/** `struct ifla_bridge_id`: two bytes of priority, then a MAC address. */
function bridgeId(data: Attributes, type: number): string | undefined {
  const view = data.struct(type, 8);
  if (view === undefined) return undefined;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, 8);
  return `${view.getUint16(0).toString(16).padStart(4, '0')}.${formatMac(bytes, 2)}`;
}

function decodeVlan(data: Attributes): VlanInfo {
  return {
    kind: 'vlan',
    id: data.u16(IFLA_VLAN.ID) ?? 0,
    protocol: vlanProtocol(data.be16(IFLA_VLAN.PROTOCOL)),
  };
}

function vlanEtherType(protocol: VlanProtocol): number {
  return numberIn('VLAN protocol', VLAN_PROTOCOLS, protocol);
}

function vlanProtocol(etherType: number | undefined): VlanProtocol {
  return etherType === VLAN_PROTOCOLS['802.1ad'] ? '802.1ad' : '802.1Q';
}

function decodeMacvlan(data: Attributes): MacvlanInfo {
  return { kind: 'macvlan', mode: nameIn(MACVLAN_MODES, data.u32(IFLA_MACVLAN.MODE) ?? 0, 'mode') };
}

function decodeTun(data: Attributes): TunInfo {
  const flag = (type: number): boolean => (data.u8(type) ?? 0) !== 0;
  return {
    kind: 'tun',
    // IFF_TUN is 1, IFF_TAP is 2 (linux/if_tun.h).
    layer: data.u8(IFLA_TUN.TYPE) === 2 ? 'tap' : 'tun',
    packetInformation: flag(IFLA_TUN.PI),
    vnetHeader: flag(IFLA_TUN.VNET_HDR),
    persistent: flag(IFLA_TUN.PERSIST),
    multiQueue: flag(IFLA_TUN.MULTI_QUEUE),
    queues: data.u32(IFLA_TUN.NUM_QUEUES),
    disabledQueues: data.u32(IFLA_TUN.NUM_DISABLED_QUEUES),
    owner: data.u32(IFLA_TUN.OWNER),
    group: data.u32(IFLA_TUN.GROUP),
  };
}
