/** Views, emitters, checksums, DNS and capture files: packets as bytes, without a kernel. @module barewire/packet */
export {
  type Ipv4Address,
  type Ipv6Address,
  ipv4Number,
  ipv4Text,
  MAC_BROADCAST,
  type MacAddress,
  macNumber,
  macText,
} from './address.ts';
export { AH_LENGTH, type AhFields, AhView, ahLength, emitAh } from './ah.ts';
export { ARP_LENGTH, type ArpFields, ArpView, emitArp } from './arp.ts';
export { buildPacket, emitPacket, type PacketLayer } from './build.ts';
export { CaptureReader, firstLayer, readCapture } from './capture.ts';
export {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureSection,
  type CaptureStatistics,
  LinkType,
} from './capture-format.ts';
export { ChapAlgorithm, ChapCode, type ChapPacket, decodeChap, emitChap } from './chap.ts';
export {
  addressSum4,
  addressSum6,
  checksum,
  checksumReplace16,
  checksumReplace32,
  onesSum,
  pseudoSum,
  transportChecksum,
  udpChecksumReplace16,
  udpChecksumReplace32,
} from './checksum.ts';
export { LayerKind, type LayerName, type LayerProblem, PacketLayers } from './decode.ts';
export { describeLayers, describePacket, headerFields } from './describe.ts';
export {
  type DecodedDnsMessage,
  DNS_LENGTH,
  type DnsEdns,
  type DnsEdnsOption,
  type DnsMessage,
  type DnsQuestion,
  DnsResponseCode,
  DnsView,
  decodeDns,
  emitDns,
} from './dns.ts';
export { decodeName, emitName, NameTable, skipName } from './dns-name.ts';
export {
  type DnsKnownType,
  type DnsRecord,
  type DnsRecordHead,
  type DnsServiceParameter,
  type DnsType,
  dnsTypeCode,
  dnsTypeName,
} from './dns-record.ts';
export { decodeEap, EapCode, type EapPacket, EapType, emitEap } from './eap.ts';
export { ETHERNET_LENGTH, type EthernetFields, EthernetView, emitEthernet } from './ethernet.ts';
export { type Flow, flowHash, flowOf } from './flow.ts';
export {
  ArpOperation,
  EtherType,
  type FieldKind,
  type FieldName,
  type HeaderField,
  type HeaderLayout,
  type HeaderName,
  headerLayouts,
  headers,
  IcmpType,
  Icmpv6Type,
  IpProtocol,
  PppoeCode,
  PppProtocol,
  TcpFlag,
} from './headers.ts';
export { emitIcmp, ICMP_LENGTH, type IcmpFields, IcmpView } from './icmp.ts';
export { emitIcmpv6, ICMPV6_LENGTH, type Icmpv6Fields, Icmpv6View } from './icmpv6.ts';
export { emitIpv4, IPV4_LENGTH, type Ipv4Fields, Ipv4View, ipv4Length } from './ipv4.ts';
export {
  decodeIpv4Options,
  emitIpv4Options,
  type Ipv4Option,
  Ipv4OptionCursor,
  Ipv4OptionType,
  ipv4OptionsLength,
} from './ipv4-options.ts';
export { emitIpv6, IPV6_LENGTH, type Ipv6Fields, Ipv6View } from './ipv6.ts';
export {
  emitIpv6Fragment,
  emitIpv6OptionsHeader,
  emitIpv6Routing,
  FRAGMENT_LENGTH,
  Ipv6ExtensionCursor,
  Ipv6ExtensionView,
  type Ipv6FragmentFields,
  Ipv6FragmentView,
  type Ipv6OptionsFields,
  type Ipv6RoutingFields,
  Ipv6RoutingView,
  ipv6ExtensionLength,
  ipv6OptionsHeaderLength,
  ipv6RoutingLength,
  isIpv6Extension,
  RoutingType,
} from './ipv6-extension.ts';
export { decodeIpv6Options, type Ipv6Option, Ipv6OptionCursor, Ipv6OptionType } from './ipv6-options.ts';
export { decodeNdp, emitNdp, type NdpMessage, NdpView, ndpLength, type RouterPreference } from './ndp.ts';
export {
  decodeNdpOptions,
  emitNdpOptions,
  type NdpOption,
  NdpOptionCursor,
  NdpOptionType,
  ndpOptionsLength,
} from './ndp-options.ts';
export { decodePap, emitPap, PapCode, type PapPacket } from './pap.ts';
export { type PcapOptions, PcapWriter } from './pcap.ts';
export { type PcapngInterface, type PcapngPacketDetails, PcapngWriter } from './pcapng-writer.ts';
export {
  arePppOptions,
  decodePppOptions,
  emitPpp,
  emitPppControl,
  IpcpOptionType,
  Ipv6cpOptionType,
  LcpOptionType,
  PPP_CONTROL_LENGTH,
  PPP_LENGTH,
  PppCode,
  type PppControlFields,
  PppControlView,
  type PppFields,
  type PppOption,
  PppOptionCursor,
  PppView,
  pppControlLength,
} from './ppp.ts';
export {
  arePppoeTags,
  decodePppoeTags,
  emitPppoe,
  PPPOE_LENGTH,
  type PppoeFields,
  type PppoeTag,
  PppoeTagCursor,
  PppoeTagType,
  PppoeView,
  pppoeLength,
} from './pppoe.ts';
export { emitTcp, TCP_LENGTH, type TcpFields, TcpView, tcpLength } from './tcp.ts';
export {
  decodeTcpOptions,
  emitTcpOptions,
  type SackBlock,
  type TcpOption,
  TcpOptionCursor,
  TcpOptionKind,
  tcpOptionsLength,
} from './tcp-options.ts';
export { emitUdp, UDP_LENGTH, type UdpFields, UdpView } from './udp.ts';
export { PacketView, type PayloadFields } from './view.ts';
export { emitVlan, VLAN_LENGTH, type VlanFields, VlanView } from './vlan.ts';
