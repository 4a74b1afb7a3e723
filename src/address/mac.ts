import { ArgumentError } from '../error.ts';

/** The six bytes of an Ethernet (EUI-48) address. */
export const MAC_BYTES = 6;

/**
 * Six pairs of hexadecimal digits, all parted by `:` or all by `-`.
 *
 * @throws ArgumentError when the text is no such address.
 */
export function parseMac(text: string): Uint8Array {
  const bytes = tryParseMac(text);
  if (bytes === undefined) {
    throw new ArgumentError(`'${text}' is not a MAC address`, {
      hint: 'Six pairs of hexadecimal digits, as in 02:00:5e:00:53:01.',
    });
  }
  return bytes;
}

/** The address at `offset`, as in `02:00:5e:00:53:01`. */
export function formatMac(bytes: Uint8Array, offset = 0): string {
  if (offset < 0 || offset + MAC_BYTES > bytes.length) {
    throw new ArgumentError(`a MAC address takes 6 bytes, ${Math.max(0, bytes.length - offset)} are there`);
  }
  return formatHardwareAddress(bytes.subarray(offset, offset + MAC_BYTES));
}

/** A link-layer address of any length, byte by byte: InfiniBand has 20 of them, a tunnel 4 or 16. */
export function formatHardwareAddress(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** As `parseMac`, but `undefined` when the text is no MAC address. */
export function tryParseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}(?:(?::[0-9a-fA-F]{2}){5}|(?:-[0-9a-fA-F]{2}){5})$/.test(text)) return undefined;
  const bytes = new Uint8Array(MAC_BYTES);
  for (let i = 0; i < MAC_BYTES; i++) bytes[i] = Number.parseInt(text.slice(3 * i, 3 * i + 2), 16);
  return bytes;
}
