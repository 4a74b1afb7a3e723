import { ArgumentError } from '../error.ts';
import { bitsOf, formatIp, type IpAddress, type IpVersion, tryParseIp } from './ip.ts';

/** An address with a prefix length: a network (`192.0.2.0/24`), or an interface's address in one. */
export interface Prefix {
  readonly version: IpVersion;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array;
  /** In bits, 0 to 32 or 0 to 128. */
  readonly length: number;
}

/**
 * What to do with bits set beyond the prefix length, as in `192.0.2.7/24`: refuse them (a typing error in a list
 * of networks), clear them, or keep them (an interface's own address).
 */
export type HostBits = 'reject' | 'clear' | 'keep';

/**
 * `ADDRESS/LENGTH`; an address alone is a prefix of its full length.
 *
 * @param hostBits What to do with bits beyond the length. Default is `reject`.
 * @throws ArgumentError when the text is no prefix; the message says which part is wrong.
 */
export function parsePrefix(text: string, hostBits: HostBits = 'reject'): Prefix {
  const slash = text.indexOf('/');
  const address = tryParseIp(slash === -1 ? text : text.slice(0, slash));
  if (address === undefined) {
    throw new ArgumentError(
      `'${text}' is not an IP prefix: '${text.split('/', 1)[0]}' is not an IP address`,
      {
        hint: 'Write it as in 192.0.2.0/24 or 2001:db8::/32.',
      },
    );
  }
  const bits = bitsOf(address.version);
  const length = slash === -1 ? bits : parseLength(text, text.slice(slash + 1), bits);
  const network = networkOf({ ...address, length });
  if (hostBits === 'clear') return network;
  if (hostBits === 'reject' && !sameBytes(network.bytes, address.bytes)) {
    throw new ArgumentError(`'${text}' has bits set beyond its prefix length`, {
      hint: `The network is ${formatPrefix(network)}; the single address is ${formatIp(address.bytes)}/${bits}.`,
    });
  }
  return { ...address, length };
}

/** As in `192.0.2.0/24`; always with its length. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.bytes)}/${prefix.length}`;
}

/** The same prefix with every bit beyond its length cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const bytes = new Uint8Array(prefix.bytes.length);
  const whole = prefix.length >> 3;
  bytes.set(prefix.bytes.subarray(0, whole));
  const rest = prefix.length & 7;
  if (rest !== 0) bytes[whole] = prefix.bytes[whole]! & (0xff << (8 - rest));
  return { version: prefix.version, bytes, length: prefix.length };
}

/** Whether the address lies in the prefix; never so between IPv4 and IPv6. */
export function prefixContains(prefix: Prefix, address: IpAddress): boolean {
  if (prefix.version !== address.version) return false;
  const own = networkOf(prefix);
  const other = networkOf({ ...address, length: prefix.length });
  return sameBytes(own.bytes, other.bytes);
}

function parseLength(whole: string, text: string, bits: number): number {
  const length = /^(0|[1-9][0-9]{0,2})$/.test(text) ? Number(text) : -1;
  if (length < 0 || length > bits) {
    throw new ArgumentError(`'${whole}' is not an IP prefix: '${text}' is not a length of 0 to ${bits}`);
  }
  return length;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
