import { checksumReplace16 } from '../packet/checksum.ts';
import { EtherType, IcmpType, Icmpv6Type, IpProtocol } from '../packet/headers.ts';
import type { Rewrite } from '../xsk/index.ts';

/**
 * What becomes of a frame before it goes back:
 *
 * - `broadcast`: it goes to everybody.
 * - `swap-mac`: it goes back to whom it came from, on the link.
 * - `swap-ip`: so it does on the network, with ports swapped as well; checksums stay right by themselves.
 * - `echo`: ICMP and ICMPv6 echo requests are answered.
 */
export type RewriteName = 'broadcast' | 'swap-mac' | 'swap-ip' | 'echo';

export const REWRITES: readonly RewriteName[] = ['broadcast', 'swap-mac', 'swap-ip', 'echo'];

/** Bytes to send of a frame that was rewritten in place; 0 for one that is not to go back. */
export const rewrites: Readonly<Record<RewriteName, Rewrite>> = {
  broadcast(bytes, at, length) {
    if (length < ETHERNET) return 0;
    for (let i = at; i < at + 6; i++) bytes[i] = 0xff;
    return length;
  },
  'swap-mac': (bytes, at, length) => {
    if (length < ETHERNET) return 0;
    swap(bytes, at, at + 6, 6);
    return length;
  },
  'swap-ip': (bytes, at, length) => {
    if (length < ETHERNET) return 0;
    swap(bytes, at, at + 6, 6);
    swapAddresses(bytes, at, at + length);
    return length;
  },
  echo: (bytes, at, length) => (answerEcho(bytes, at, at + length) ? length : 0),
};

const ETHERNET = 14;
/** More fragments, or an offset: what is behind the header is no header then. */
const FRAGMENTED = 0x3fff;

function swapAddresses(bytes: Uint8Array, start: number, end: number): void {
  const ip = networkHeader(bytes, start, end);
  if (ip < 0) return;
  const version = bytes[ip]! >>> 4;
  let protocol: number;
  let transport: number;
  if (version === 4) {
    swap(bytes, ip + 12, ip + 16, 4);
    if ((u16(bytes, ip + 6) & FRAGMENTED) !== 0) return;
    protocol = bytes[ip + 9]!;
    transport = ip + 4 * (bytes[ip]! & 0x0f);
  } else {
    swap(bytes, ip + 8, ip + 24, 16);
    protocol = bytes[ip + 6]!;
    transport = ip + 40;
  }
  const ported = protocol === IpProtocol.tcp || protocol === IpProtocol.udp || protocol === IpProtocol.sctp;
  if (ported && transport + 4 <= end) swap(bytes, transport, transport + 2, 2);
}

/** Whether it was an echo request. */
function answerEcho(bytes: Uint8Array, start: number, end: number): boolean {
  const ip = networkHeader(bytes, start, end);
  if (ip < 0) return false;
  const version = bytes[ip]! >>> 4;
  const icmp = version === 4 ? ip + 4 * (bytes[ip]! & 0x0f) : ip + 40;
  const protocol = bytes[ip + (version === 4 ? 9 : 6)]!;
  const [wanted, request, reply] = version === 4 ? ECHO4 : ECHO6;
  if (protocol !== wanted || icmp + 8 > end || bytes[icmp] !== request) return false;
  if (version === 4 && (u16(bytes, ip + 6) & FRAGMENTED) !== 0) return false;
  // Nobody answers for a group.
  if ((bytes[start]! & 1) !== 0) return false;
  const before = u16(bytes, icmp);
  bytes[icmp] = reply;
  const checksum = checksumReplace16(u16(bytes, icmp + 2), before, u16(bytes, icmp));
  bytes[icmp + 2] = checksum >>> 8;
  bytes[icmp + 3] = checksum;
  swap(bytes, start, start + 6, 6);
  if (version === 4) swap(bytes, ip + 12, ip + 16, 4);
  else swap(bytes, ip + 8, ip + 24, 16);
  return true;
}

const ECHO4 = [IpProtocol.icmp, IcmpType.echoRequest, IcmpType.echoReply] as const;
const ECHO6 = [IpProtocol.icmpv6, Icmpv6Type.echoRequest, Icmpv6Type.echoReply] as const;

/** Where the IP header begins, which is there whole; -1 without one. */
function networkHeader(bytes: Uint8Array, start: number, end: number): number {
  let at = start + ETHERNET;
  if (at > end) return -1;
  let type = u16(bytes, at - 2);
  for (let tags = 0; tags < 2 && (type === EtherType.vlan || type === EtherType.qinq); tags++) {
    if (at + 4 > end) return -1;
    type = u16(bytes, at + 2);
    at += 4;
  }
  if (type === EtherType.ipv4) {
    const length = at + 20 <= end && bytes[at]! >>> 4 === 4 ? 4 * (bytes[at]! & 0x0f) : 0;
    return length >= 20 && at + length <= end ? at : -1;
  }
  return type === EtherType.ipv6 && at + 40 <= end && bytes[at]! >>> 4 === 6 ? at : -1;
}

function swap(bytes: Uint8Array, a: number, b: number, length: number): void {
  for (let i = 0; i < length; i++) {
    const byte = bytes[a + i]!;
    bytes[a + i] = bytes[b + i]!;
    bytes[b + i] = byte;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
