/**
 * Functions of the language itself, as Node runs them. Where the compiler puts one in place of its calls, it is read
 * with `toString` and must do without names from outside.
 */

interface Bytes {
  u8(offset: number): number;
  le16(offset: number): number;
}

/**
 * The Internet checksum of a range of bytes (RFC 1071), as it stands in a header.
 *
 * The sum is the same in either byte order (section 2), so it is made in the order of the machine and swapped once.
 */
export const CHECKSUM = (pkt: Bytes, offset: number, length: number): number => {
  let sum = 0;
  const last = length - 1;
  for (let i = 0; i < last; i += 2) sum += pkt.le16(offset + i);
  if ((length & 1) === 1) sum += pkt.u8(offset + last);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = ~sum & 0xffff;
  return ((sum & 0xff) << 8) | (sum >> 8);
};

/** A checksum after 16 of the bits it covers change (RFC 1624, equation 3). */
export const CSUM_REPLACE_16 = (checksum: number, from: number, to: number): number => {
  let sum = (~checksum & 0xffff) + (~from & 0xffff) + (to & 0xffff);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
};

/** A checksum after 32 of the bits it covers change (RFC 1624, equation 3). */
export const CSUM_REPLACE_32 = (checksum: number, from: number, to: number): number => {
  let sum =
    (~checksum & 0xffff) +
    (~from & 0xffff) +
    ((~from >>> 16) & 0xffff) +
    (to & 0xffff) +
    ((to >>> 16) & 0xffff);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
};
