import { ArgumentError } from '../error.ts';

/** The four bytes of an IPv4 address, in network order. */
export const IPV4_BYTES = 4;

/**
 * Four decimal numbers and three dots, nothing else: no leading zeros (which some read as octal), no short
 * forms as in `10.1`.
 *
 * @throws ArgumentError when the text is no such address.
 */
export function parseIPv4(text: string): Uint8Array {
  const bytes = tryParseIPv4(text);
  if (bytes === undefined) {
    throw new ArgumentError(`'${text}' is not an IPv4 address`, {
      hint: 'Four numbers from 0 to 255 without leading zeros, as in 192.0.2.1.',
    });
  }
  return bytes;
}

/** The address at `offset`, as in `192.0.2.1`. */
export function formatIPv4(bytes: Uint8Array, offset = 0): string {
  if (offset < 0 || offset + IPV4_BYTES > bytes.length) {
    throw new ArgumentError(`an IPv4 address takes 4 bytes, ${Math.max(0, bytes.length - offset)} are there`);
  }
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** As `parseIPv4`, but `undefined` when the text is no IPv4 address. */
export function tryParseIPv4(text: string): Uint8Array | undefined {
  // Longer than 255.255.255.255 cannot be one: hostile input is not split first.
  if (text.length > 15) return undefined;
  const parts = text.split('.');
  if (parts.length !== IPV4_BYTES) return undefined;
  const bytes = new Uint8Array(IPV4_BYTES);
  for (let i = 0; i < IPV4_BYTES; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[i] = value;
  }
  return bytes;
}
