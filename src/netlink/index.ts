/** Links, addresses, routes and device settings from the kernel, over netlink. @module barewire/netlink */
export type {
  AddressFlag,
  AddressOptions,
  InterfaceAddress,
  Scope,
} from './address.ts';
export { Addresses, type AddressFilter } from './addresses.ts';
export {
  type Attribute,
  Attributes,
  type Bitfield32,
  be16Attribute,
  be32Attribute,
  bitfield32Attribute,
  bytesAttribute,
  encodeAttributes,
  flagAttribute,
  i32Attribute,
  nestedAttribute,
  stringAttribute,
  u8Attribute,
  u16Attribute,
  u32Attribute,
  u64Attribute,
} from './attribute.ts';
export { NetlinkError, NoInterfaceError } from './error.ts';
export {
  Ethtool,
  type Feature,
  type FeatureChanges,
} from './ethtool.ts';
export type { DriverInfo } from './ethtool-ioctl.ts';
export type {
  ChannelCounts,
  Channels,
  Coalesce,
  LinkSettings,
  Port,
  RingOptions,
  RingSizes,
  Rings,
} from './ethtool-settings.ts';
export type { EventAction, NetlinkEvent } from './event.ts';
export type { AttributeNames } from './fault.ts';
export { type GenericFamily, GenericNetlink, type GenericRequest } from './generic.ts';
export type {
  AttachedXdp,
  Link,
  LinkFlag,
  LinkStats,
  LinkType,
  OperState,
  XdpMode,
} from './link.ts';
export type {
  BridgeInfo,
  BridgeOptions,
  LinkInfo,
  MacvlanInfo,
  MacvlanMode,
  TunInfo,
  VlanInfo,
  VlanProtocol,
} from './link-info.ts';
export type {
  BridgeSpec,
  LinkChanges,
  LinkOptions,
  LinkRef,
  LinkSpec,
  MacvlanSpec,
  NetnsRef,
  PlainSpec,
  VethPeerSpec,
  VethSpec,
  VlanSpec,
} from './link-spec.ts';
export { type LinkFilter, Links } from './links.ts';
export {
  type Acknowledgement,
  type AttributePolicy,
  type AttributePolicyType,
  decodeAcknowledgement,
  decodeMessages,
  type ExtendedAck,
  encodeMessage,
  MESSAGE_HEADER_BYTES,
  type Message,
  NLM_F,
  NLMSG,
} from './message.ts';
export { Monitor, type MonitorGroup, type MonitorOptions } from './monitor.ts';
export type { Neighbour, NeighbourFlag, NeighbourOptions, NeighbourState } from './neighbour.ts';
export { type NeighbourFilter, Neighbours } from './neighbours.ts';
export {
  type Napi,
  type NapiChanges,
  Netdev,
  type Queue,
  type XdpCapabilities,
  type XdpFeature,
  type XdpRxMetadata,
  type XskFeature,
} from './netdev.ts';
export { Netlink } from './netlink.ts';
export { NetnsIds } from './netns-ids.ts';
export type {
  NextHop,
  NextHopFlag,
  Route,
  RouteFlag,
  RouteMetrics,
  RouteProtocol,
  RouteType,
} from './route.ts';
export type { NextHopSpec, RouteSpec, RouteTable } from './route-spec.ts';
export { type RouteFilter, type RouteQuery, Routes } from './routes.ts';
export type { Rule, RuleAction, RuleRange, RuleSpec } from './rule.ts';
export { Rules } from './rules.ts';
export {
  type NetlinkProtocol,
  type NetlinkRequest,
  NetlinkSocket,
  type NetlinkSocketOptions,
} from './socket.ts';
export { XdpAttachments, type XdpAttachOptions, type XdpDetachOptions } from './xdp.ts';
