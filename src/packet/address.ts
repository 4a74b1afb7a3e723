import { ArgumentError } from '../error.ts';
import { putU16, putU32, putU48, u16At, u48At } from './wire.ts';

/** What emitters take as a MAC address: a number below 2^48, `02:00:00:00:00:01`, or 6 bytes. */
export type MacAddress = number | string | Uint8Array;
/** What emitters take as an IPv4 address: an unsigned 32-bit number, `192.0.2.1`, or 4 bytes. */
export type Ipv4Address = number | string | Uint8Array;
/** What emitters take as an IPv6 address: `2001:db8::1`, or 16 bytes. */
export type Ipv6Address = string | Uint8Array;

/** ff:ff:ff:ff:ff:ff */
export const MAC_BROADCAST: number = 2 ** 48 - 1;

/** @throws ArgumentError unless `text` is six hexadecimal bytes separated by `:` or `-`. */
export function parseMac(text: string): number {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) {
    throw new ArgumentError(`'${text}' is not a MAC address`, {
      hint: 'A MAC address is six hexadecimal bytes, as in 02:00:00:00:00:01.',
    });
  }
  return Number.parseInt(text.replace(/[:-]/g, ''), 16);
}

/** `02:00:00:00:00:01` of a 48-bit number. */
export function formatMac(address: number): string {
  const hex = address.toString(16).padStart(12, '0');
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`;
}

/** @throws ArgumentError unless `text` is four decimal numbers up to 255, without leading zeros. */
export function parseIpv4(text: string): number {
  const address = ipv4Of(text);
  if (address < 0) {
    throw new ArgumentError(`'${text}' is not an IPv4 address`, {
      hint: 'An IPv4 address is four decimal numbers, as in 192.0.2.1.',
    });
  }
  return address;
}

/** `192.0.2.1` of an unsigned 32-bit number. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/**
 * The 16 bytes of an IPv6 address, in any form of RFC 4291, section 2.2; no zone.
 *
 * @throws ArgumentError if it is none.
 */
export function parseIpv6(text: string): Uint8Array {
  const bytes = ipv6Of(text);
  if (bytes === undefined) {
    throw new ArgumentError(`'${text}' is not an IPv6 address`, {
      hint: 'An IPv6 address is written as in 2001:db8::1, without a prefix length or a zone.',
    });
  }
  return bytes;
}

/** The text of the 16 bytes at `offset`, in the canonical form of RFC 5952. */
export function formatIpv6(bytes: Uint8Array, offset = 0): string {
  let runStart = -1;
  let runLength = 1; // a single zero group is not shortened (section 4.2.2)
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && u16At(bytes, offset + 2 * j) === 0) j++;
    if (j - i > runLength) {
      runStart = i;
      runLength = j - i;
    }
    i = j + 1;
  }
  // IPv4-mapped addresses keep their dotted form (section 5).
  if (runStart === 0 && runLength === 5 && u16At(bytes, offset + 10) === 0xffff) {
    return `::ffff:${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`;
  }
  let text = '';
  for (let i = 0; i < 8; ) {
    if (i === runStart) {
      text += '::';
      i += runLength;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += u16At(bytes, offset + 2 * i).toString(16);
    i++;
  }
  return text;
}

/** Writes a MAC address in any form that {@link MacAddress} allows. */
export function putMac(out: Uint8Array, offset: number, address: MacAddress): void {
  putU48(out, offset, macNumber(address));
}

/** Writes an IPv4 address in any form that {@link Ipv4Address} allows. */
export function putIpv4(out: Uint8Array, offset: number, address: Ipv4Address): void {
  putU32(out, offset, ipv4Number(address));
}

/** Writes an IPv6 address in any form that {@link Ipv6Address} allows. */
export function putIpv6(out: Uint8Array, offset: number, address: Ipv6Address): void {
  const bytes = typeof address === 'string' ? parseIpv6(address) : address;
  if (bytes.length !== 16) {
    throw new ArgumentError(`an IPv6 address has 16 bytes, not ${bytes.length}`);
  }
  for (let i = 0; i < 16; i++) out[offset + i] = bytes[i]!;
}

/** The 48-bit number of a MAC address in any form. */
export function macNumber(address: MacAddress): number {
  if (typeof address === 'string') return parseMac(address);
  if (typeof address === 'number') {
    if (address >= 0 && address <= MAC_BROADCAST && address % 1 === 0) return address;
    throw new ArgumentError(`a MAC address is a whole number below 2^48, not ${address}`);
  }
  if (address.length !== 6) throw new ArgumentError(`a MAC address has 6 bytes, not ${address.length}`);
  return u48At(address, 0);
}

/** The unsigned 32-bit number of an IPv4 address in any form. */
export function ipv4Number(address: Ipv4Address): number {
  if (typeof address === 'string') return parseIpv4(address);
  if (typeof address === 'number') {
    if (address >>> 0 === address) return address;
    throw new ArgumentError(`an IPv4 address is an unsigned 32-bit number, not ${address}`);
  }
  if (address.length !== 4) throw new ArgumentError(`an IPv4 address has 4 bytes, not ${address.length}`);
  return ((address[0]! << 24) | (address[1]! << 16) | (address[2]! << 8) | address[3]!) >>> 0;
}

/** The number, or -1 where `text` is no address. */
function ipv4Of(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return -1;
  let address = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match[i]!;
    // A leading zero reads as octal elsewhere: it is refused rather than guessed at.
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return -1;
    address = address * 256 + Number(part);
  }
  return address;
}

function ipv6Of(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const count = head.length + tail.length;
  if (halves.length === 1 ? count !== 8 : count > 7) return undefined;
  const bytes = new Uint8Array(16);
  head.forEach((group, i) => {
    putU16(bytes, 2 * i, group);
  });
  tail.forEach((group, i) => {
    putU16(bytes, 16 - 2 * (tail.length - i), group);
  });
  return bytes;
}

/** The 16-bit groups of one side of `::`; only the last may be a dotted IPv4 address, and only at the end. */
function groupsOf(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      const address = atEnd && i === parts.length - 1 ? ipv4Of(part) : -1;
      if (address < 0) return undefined;
      groups.push(address >>> 16, address & 0xffff);
    }
  }
  return groups;
}
