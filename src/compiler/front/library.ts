/**
 * Functions of the language itself, written in it: the compiler puts them in place of their calls, and Node runs
 * them as they stand. Being read with `toString`, each must do without names from outside.
 */

interface Bytes {
  u8(offset: number): number;
  be16(offset: number): number;
}

/** The Internet checksum of a range of bytes (RFC 1071), as it stands in a header. */
export const CHECKSUM = (pkt: Bytes, offset: number, length: number): number => {
  let sum = 0;
  const last = length - 1;
  for (let i = 0; i < last; i += 2) sum += pkt.be16(offset + i);
  if ((length & 1) === 1) sum += pkt.u8(offset + last) << 8;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
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
