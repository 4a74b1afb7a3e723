import { checksum } from '../packet/checksum.ts';
import { halfAt, MAPPED, wordAt } from './ip.ts';
import { IPV4_HEADER, IPV6_HEADER } from './ip-header.ts';
import type { IpPacket } from './packet.ts';

/** Extension headers of IPv6 (RFC 8200, section 4). */
const HOP_BY_HOP = 0;
const ROUTING = 43;
export const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
/** Extension headers in one packet; more is an attack. */
const MAX_EXTENSIONS = 8;

/** RFC 791, section 3.1; what does not hold is dropped (RFC 1122, section 3.2.1). */
export function readIpv4(packet: IpPacket, bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < IPV4_HEADER) return false;
  const header = (bytes[offset]! & 15) << 2;
  const total = halfAt(bytes, offset + 2);
  if (header < IPV4_HEADER || total < header || total > length) return false;
  if (checksum(bytes, offset, offset + header) !== 0) return false;
  const source = wordAt(bytes, offset + 12);
  const destination = wordAt(bytes, offset + 16);
  // Nobody is many (RFC 1122, section 3.2.1.3).
  if (source >>> 28 >= 14) return false;
  packet.version = 4;
  packet.transport = offset + header;
  packet.end = offset + total;
  packet.hops = bytes[offset + 8]!;
  packet.protocol = bytes[offset + 9]!;
  const fragment = halfAt(bytes, offset + 6);
  packet.fragmentOffset = (fragment & 0x1fff) << 3;
  packet.moreFragments = (fragment & 0x2000) !== 0;
  packet.fragmentId = halfAt(bytes, offset + 4);
  packet.s0 = 0;
  packet.s1 = 0;
  packet.s2 = MAPPED;
  packet.s3 = source;
  packet.d0 = 0;
  packet.d1 = 0;
  packet.d2 = MAPPED;
  packet.d3 = destination;
  packet.addressSum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
  return true;
}

/** RFC 8200, section 3. */
export function readIpv6(packet: IpPacket, bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < IPV6_HEADER) return false;
  const payload = halfAt(bytes, offset + 4);
  if (IPV6_HEADER + payload > length) return false;
  packet.version = 6;
  packet.protocol = bytes[offset + 6]!;
  packet.hops = bytes[offset + 7]!;
  packet.transport = offset + IPV6_HEADER;
  packet.end = packet.transport + payload;
  packet.fragmentOffset = 0;
  packet.moreFragments = false;
  packet.s0 = wordAt(bytes, offset + 8);
  packet.s1 = wordAt(bytes, offset + 12);
  packet.s2 = wordAt(bytes, offset + 16);
  packet.s3 = wordAt(bytes, offset + 20);
  packet.d0 = wordAt(bytes, offset + 24);
  packet.d1 = wordAt(bytes, offset + 28);
  packet.d2 = wordAt(bytes, offset + 32);
  packet.d3 = wordAt(bytes, offset + 36);
  // Multicast sources, and IPv4-mapped addresses, which must not be on a wire (RFC 4942, section 2.2).
  if (packet.s0 >>> 24 === 0xff || isMapped(packet.s0, packet.s1, packet.s2)) return false;
  if (isMapped(packet.d0, packet.d1, packet.d2)) return false;
  let sum = 0;
  for (let at = offset + 8; at < offset + IPV6_HEADER; at += 2) sum += halfAt(bytes, at);
  packet.addressSum = sum;
  return true;
}

/**
 * Goes over IPv6 extension headers to what they carry, or to a fragment header.
 *
 * @returns false when the packet is to be dropped: cut short, an option that asks for it, a source route.
 */
export function skipExtensions(packet: IpPacket): boolean {
  const { bytes, end } = packet;
  for (let count = 0; ; count++) {
    const { protocol, transport: at } = packet;
    if (protocol !== HOP_BY_HOP && protocol !== ROUTING && protocol !== DESTINATION_OPTIONS) return true;
    if (count >= MAX_EXTENSIONS || at + 8 > end) return false;
    const length = (bytes[at + 1]! + 1) << 3;
    if (at + length > end) return false;
    // With segments left we would have to forward it; a host does not (RFC 5095, RFC 8200, section 4.4).
    if (protocol === ROUTING) {
      if (bytes[at + 3]! !== 0) return false;
    } else if (!takesOptions(bytes, at + 2, at + length)) return false;
    packet.protocol = bytes[at]!;
    packet.transport = at + length;
  }
}

/** Reads the fragment header that skipExtensions stopped at (section 4.5), and goes on to what it carries. */
export function readFragmentHeader(packet: IpPacket): boolean {
  const { bytes, transport: at, end } = packet;
  if (at + 8 > end) return false;
  const field = halfAt(bytes, at + 2);
  packet.protocol = bytes[at]!;
  packet.fragmentOffset = field & 0xfff8;
  packet.moreFragments = (field & 1) !== 0;
  packet.fragmentId = wordAt(bytes, at + 4);
  packet.transport = at + 8;
  return true;
}

/** Section 4.2: unknown options whose type begins with anything but 00 drop the packet. */
function takesOptions(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const type = bytes[at]!;
    if (type === 0) {
      at++;
      continue;
    }
    if (at + 2 > end) return false;
    const known = type === 1 || type === 5 || type === 0xc2;
    if (!known && type >>> 6 !== 0) return false;
    at += 2 + bytes[at + 1]!;
  }
  return at === end;
}

function isMapped(w0: number, w1: number, w2: number): boolean {
  return w0 === 0 && w1 === 0 && w2 === MAPPED;
}
