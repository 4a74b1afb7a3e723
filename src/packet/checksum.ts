import { type Ipv4Address, type Ipv6Address, ipv4Number, ipv6Bytes } from './address.ts';
import { u16At } from './wire.ts';

/**
 * The Internet checksum (RFC 1071), its pseudo-headers and its incremental update (RFC 1624).
 *
 * Three kinds of numbers, all of 16 bits: a *sum* is a one's complement sum, a *checksum* is the complement of a
 * sum as headers carry it, an *address sum* is what the addresses contribute to a pseudo-header.
 */

/** From here on whole 32-bit words are faster than bytes, in spite of the look-up that they need. */
const WORDS_FROM = 128;

/** Aligned words over whole buffers. Weak: an arena must not live on because it was summed once. */
const wordsOf = new WeakMap<ArrayBufferLike, Int32Array>();

/**
 * The one's complement sum of the 16-bit words in a range, folded to 16 bits.
 *
 * An odd range counts as padded with a zero byte, so of several ranges only the last may be odd.
 *
 * @param initial A sum to start from, as of the ranges before.
 */
export function onesSum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return end - start < WORDS_FROM ? byteSum(bytes, start, end, initial) : wordSum(bytes, start, end, initial);
}

/** The Internet checksum of a range: 0 where the range holds a right checksum already. */
export function checksum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~onesSum(bytes, start, end, initial) & 0xffff;
}

/** What two IPv4 addresses contribute to a pseudo-header. */
export function addressSum4(source: Ipv4Address, destination: Ipv4Address): number {
  const a = ipv4Number(source);
  const b = ipv4Number(destination);
  return fold((a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff));
}

/** What two IPv6 addresses contribute to a pseudo-header. */
export function addressSum6(source: Ipv6Address, destination: Ipv6Address): number {
  return onesSum(ipv6Bytes(destination), 0, 16, onesSum(ipv6Bytes(source), 0, 16));
}

/**
 * The sum of a whole pseudo-header, of IPv4 (RFC 9293, section 3.1) and IPv6 (RFC 8200, section 8.1) alike.
 *
 * @param length Bytes of the transport header and its payload.
 */
export function pseudoSum(addressSum: number, protocol: number, length: number): number {
  return fold(addressSum + protocol + (length >>> 16) + (length & 0xffff));
}

/**
 * The checksum of a TCP segment, UDP datagram or ICMPv6 message in a range, pseudo-header included.
 *
 * 0 where the range holds a right checksum. UDP writes a computed 0 as 0xffff (RFC 768).
 */
export function transportChecksum(
  bytes: Uint8Array,
  start: number,
  end: number,
  addressSum: number,
  protocol: number,
): number {
  return checksum(bytes, start, end, pseudoSum(addressSum, protocol, end - start));
}

/** The checksum after one 16-bit word under it changed (RFC 1624, equation 3). */
export function checksumReplace16(old: number, before: number, after: number): number {
  return ~fold((~old & 0xffff) + (~before & 0xffff) + (after & 0xffff)) & 0xffff;
}

/** The checksum after one 32-bit word under it changed, as an IPv4 address. */
export function checksumReplace32(old: number, before: number, after: number): number {
  const removed = (~before & 0xffff) + (~before >>> 16);
  return ~fold((~old & 0xffff) + removed + (after & 0xffff) + (after >>> 16)) & 0xffff;
}

/** As {@link checksumReplace16} for UDP: 0 means "none" and stays 0, a computed 0 becomes 0xffff. */
export function udpChecksumReplace16(old: number, before: number, after: number): number {
  return old === 0 ? 0 : checksumReplace16(old, before, after) || 0xffff;
}

/** As {@link checksumReplace32} for UDP: 0 means "none" and stays 0, a computed 0 becomes 0xffff. */
export function udpChecksumReplace32(old: number, before: number, after: number): number {
  return old === 0 ? 0 : checksumReplace32(old, before, after) || 0xffff;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return sum;
}

/** For ranges below {@link WORDS_FROM} bytes. */
function byteSum(bytes: Uint8Array, start: number, end: number, initial: number): number {
  let sum = initial;
  let i = start;
  for (; i + 7 < end; i += 8) {
    sum += u16At(bytes, i) + u16At(bytes, i + 2) + u16At(bytes, i + 4) + u16At(bytes, i + 6);
  }
  for (; i + 1 < end; i += 2) sum += u16At(bytes, i);
  if (i < end) sum += bytes[i]! << 8;
  return fold(sum);
}

function wordSum(bytes: Uint8Array, start: number, end: number, initial: number): number {
  const position = bytes.byteOffset + start;
  if (position & 1) {
    // One byte off, every word's sum comes out with its bytes swapped (RFC 1071, section 2 B).
    const rest = wordSum(bytes, start + 1, end, 0);
    return fold(initial + (bytes[start]! << 8) + swap(rest));
  }
  const words = alignedWords(bytes, position + end - start);
  // The sum is of little-endian words until the swap at the end.
  let sum = 0;
  let i = start;
  if (position & 2) {
    sum = bytes[i]! | (bytes[i + 1]! << 8);
    i += 2;
  }
  let word = (bytes.byteOffset + i) >>> 2;
  const count = (end - i) >>> 2;
  i += count * 4;
  const last = word + count;
  while (word < last) {
    // 65,535 words of two halves each stay below 2^33, but must stay below 2^32: hence half of it at a time.
    const stop = Math.min(last, word + 0x7fff);
    let part = 0;
    for (; word + 3 < stop; word += 4) {
      const a = words[word]!;
      const b = words[word + 1]!;
      const c = words[word + 2]!;
      const d = words[word + 3]!;
      part =
        (part +
          (a & 0xffff) +
          (a >>> 16) +
          (b & 0xffff) +
          (b >>> 16) +
          (c & 0xffff) +
          (c >>> 16) +
          (d & 0xffff) +
          (d >>> 16)) |
        0;
    }
    for (; word < stop; word++) part = (part + (words[word]! & 0xffff) + (words[word]! >>> 16)) | 0;
    sum = fold(sum + fold(part >>> 0));
  }
  if (i + 1 < end) {
    sum += bytes[i]! | (bytes[i + 1]! << 8);
    i += 2;
  }
  if (i < end) sum += bytes[i]!;
  return fold(initial + swap(fold(sum)));
}

function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

/** Words over the buffer under `bytes`, at least up to `needed` bytes from its start. */
function alignedWords(bytes: Uint8Array, needed: number): Int32Array {
  const known = wordsOf.get(bytes.buffer);
  // A buffer may have grown, shrunk or moved since; the length of its old words then no longer fits.
  if (known !== undefined && known.byteLength >= needed - 3) return known;
  // The length is explicit: a length-tracking array costs many times more on every access.
  const words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 2);
  wordsOf.set(bytes.buffer, words);
  return words;
}
