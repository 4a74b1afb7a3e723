import { parseIPv4, parseIPv6, parseMac } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { putU32, putU48, u32At, u48At } from './wire.ts';

/**
 * Addresses as headers hold them: MAC and IPv4 addresses are unsigned numbers here, which views read and compare
 * without allocating; IPv6 addresses stay ranges of bytes. Text and its rules are `barewire/address`.
 */

/** What emitters take as a MAC address: a number below 2^48, `02:00:00:00:00:01`, or 6 bytes. */
export type MacAddress = number | string | Uint8Array;
/** What emitters take as an IPv4 address: an unsigned 32-bit number, `192.0.2.1`, or 4 bytes. */
export type Ipv4Address = number | string | Uint8Array;
/** What emitters take as an IPv6 address: `2001:db8::1`, or 16 bytes. */
export type Ipv6Address = string | Uint8Array;

/** ff:ff:ff:ff:ff:ff */
export const MAC_BROADCAST: number = 2 ** 48 - 1;

/** `02:00:00:00:00:01` of a 48-bit number. */
export function macText(address: number): string {
  const hex = address.toString(16).padStart(12, '0');
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`;
}

/** `192.0.2.1` of an unsigned 32-bit number. */
export function ipv4Text(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** The 48-bit number of a MAC address in any form. @throws ArgumentError if it is none. */
export function macNumber(address: MacAddress): number {
  if (typeof address === 'number') {
    if (address >= 0 && address <= MAC_BROADCAST && Math.floor(address) === address) return address;
    throw new ArgumentError(`a MAC address is a whole number below 2^48, not ${address}`);
  }
  const bytes = typeof address === 'string' ? parseMac(address) : address;
  if (bytes.length !== 6) throw new ArgumentError(`a MAC address has 6 bytes, not ${bytes.length}`);
  return u48At(bytes, 0);
}

/** The unsigned 32-bit number of an IPv4 address in any form. @throws ArgumentError if it is none. */
export function ipv4Number(address: Ipv4Address): number {
  if (typeof address === 'number') {
    if (address >>> 0 === address) return address;
    throw new ArgumentError(`an IPv4 address is an unsigned 32-bit number, not ${address}`);
  }
  const bytes = typeof address === 'string' ? parseIPv4(address) : address;
  if (bytes.length !== 4) throw new ArgumentError(`an IPv4 address has 4 bytes, not ${bytes.length}`);
  return u32At(bytes, 0);
}

/** The 16 bytes of an IPv6 address in any form. @throws ArgumentError if it is none. */
export function ipv6Bytes(address: Ipv6Address): Uint8Array {
  const bytes = typeof address === 'string' ? parseIPv6(address) : address;
  if (bytes.length !== 16) throw new ArgumentError(`an IPv6 address has 16 bytes, not ${bytes.length}`);
  return bytes;
}

/** Writes a MAC address in any form. */
export function putMac(out: Uint8Array, offset: number, address: MacAddress): void {
  putU48(out, offset, macNumber(address));
}

/** Writes an IPv4 address in any form. */
export function putIpv4(out: Uint8Array, offset: number, address: Ipv4Address): void {
  putU32(out, offset, ipv4Number(address));
}

/** Writes an IPv6 address in any form. */
export function putIpv6(out: Uint8Array, offset: number, address: Ipv6Address): void {
  const bytes = ipv6Bytes(address);
  for (let i = 0; i < 16; i++) out[offset + i] = bytes[i]!;
}
