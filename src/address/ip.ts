import { ArgumentError } from '../error.ts';
import { formatIPv4, IPV4_BYTES, tryParseIPv4 } from './ipv4.ts';
import { formatIPv6, IPV6_BYTES, tryParseIPv6 } from './ipv6.ts';

export type IpVersion = 4 | 6;

/** An IPv4 or IPv6 address as bytes: 4 or 16 of them, in network order. */
export interface IpAddress {
  readonly version: IpVersion;
  readonly bytes: Uint8Array;
}

/**
 * An IPv4 or an IPv6 address, told apart by its form.
 *
 * @throws ArgumentError when the text is neither.
 */
export function parseIp(text: string): IpAddress {
  const address = tryParseIp(text);
  if (address === undefined) {
    throw new ArgumentError(`'${text}' is not an IP address`, {
      hint: text.includes('/')
        ? 'Give the address without its prefix length.'
        : 'Write it as in 192.0.2.1 or 2001:db8::1.',
    });
  }
  return address;
}

/** As `parseIp`, but `undefined` when the text is no IP address. */
export function tryParseIp(text: string): IpAddress | undefined {
  const ipv4 = tryParseIPv4(text);
  if (ipv4 !== undefined) return { version: 4, bytes: ipv4 };
  const ipv6 = tryParseIPv6(text);
  return ipv6 === undefined ? undefined : { version: 6, bytes: ipv6 };
}

/** An address of 4 or 16 bytes in its usual text form. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === IPV4_BYTES) return formatIPv4(bytes);
  if (bytes.length === IPV6_BYTES) return formatIPv6(bytes);
  throw new ArgumentError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
}

/** The same address in the form that this library prints: RFC 5952 for IPv6. */
export function normalizeIp(text: string): string {
  return formatIp(parseIp(text).bytes);
}

/** 32 or 128. */
export function bitsOf(version: IpVersion): 32 | 128 {
  return version === 4 ? 32 : 128;
}
