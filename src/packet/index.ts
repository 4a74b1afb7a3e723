/** Views, emitters, checksums, DNS and capture files: packets as bytes, without a kernel. @module barewire/packet */
export * from './address.ts';
export * from './ah.ts';
export * from './arp.ts';
export * from './build.ts';
export { CaptureReader, firstLayer, readCapture } from './capture.ts';
export {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureSection,
  type CaptureStatistics,
  LinkType,
} from './capture-format.ts';
export * from './chap.ts';
export * from './checksum.ts';
export * from './decode.ts';
export * from './describe.ts';
export * from './dns.ts';
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
export * from './eap.ts';
export * from './ethernet.ts';
export * from './flow.ts';
export * from './headers.ts';
export * from './icmp.ts';
export { emitIcmpv6, ICMPV6_LENGTH, type Icmpv6Fields, Icmpv6View } from './icmpv6.ts';
export * from './ipv4.ts';
export * from './ipv4-options.ts';
export * from './ipv6.ts';
export * from './ipv6-extension.ts';
export * from './ipv6-options.ts';
export * from './ndp.ts';
export * from './ndp-options.ts';
export * from './pap.ts';
export { type PcapOptions, PcapWriter } from './pcap.ts';
export { type PcapngInterface, type PcapngPacketDetails, PcapngWriter } from './pcapng-writer.ts';
export * from './ppp.ts';
export * from './pppoe.ts';
export * from './tcp.ts';
export * from './tcp-options.ts';
export * from './udp.ts';
export { PacketView, type PayloadFields } from './view.ts';
export * from './vlan.ts';
