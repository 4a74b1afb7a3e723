/** IPv4, IPv6 and MAC addresses and prefixes between text and bytes. Pure. @module barewire/address */
export {
  bitsOf,
  formatIp,
  type IpAddress,
  type IpVersion,
  normalizeIp,
  parseIp,
  tryParseIp,
} from './ip.ts';
export { formatIPv4, IPV4_BYTES, parseIPv4, tryParseIPv4 } from './ipv4.ts';
export { formatIPv6, IPV6_BYTES, parseIPv6, tryParseIPv6 } from './ipv6.ts';
export { formatHardwareAddress, formatMac, MAC_BYTES, parseMac, tryParseMac } from './mac.ts';
export {
  formatPrefix,
  type HostBits,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixContains,
} from './prefix.ts';
