import { checksum } from '../packet/checksum.ts';
import { type Ip, putHalf, putWord } from './ip.ts';

/** Room before the IP header in a packet that is being written: an Ethernet header, and words stay aligned. */
export const HEADROOM = 32;
export const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;
const HOPS = 64;
const DONT_FRAGMENT = 0x4000;

/**
 * Writes an IPv4 or IPv6 header for a payload of `length` bytes.
 *
 * @param id IPv4's identification; what is never fragmented needs none that is unique (RFC 6864).
 * @param fragment IPv4's flags and fragment offset. Default is don't fragment.
 */
export function writeIpHeader(
  out: Uint8Array,
  offset: number,
  source: Ip,
  destination: Ip,
  protocol: number,
  length: number,
  id: number,
  hops: number = HOPS,
  fragment: number = DONT_FRAGMENT,
): void {
  if (source.version === 6) {
    putWord(out, offset, 0x6000_0000);
    putHalf(out, offset + 4, length);
    out[offset + 6] = protocol;
    out[offset + 7] = hops;
    source.put(out, offset + 8);
    destination.put(out, offset + 24);
    return;
  }
  putWord(out, offset, 0x4500_0000 | (IPV4_HEADER + length));
  putHalf(out, offset + 4, id);
  putHalf(out, offset + 6, fragment);
  out[offset + 8] = hops;
  out[offset + 9] = protocol;
  putHalf(out, offset + 10, 0);
  putWord(out, offset + 12, source.w3);
  putWord(out, offset + 16, destination.w3);
  putHalf(out, offset + 10, checksum(out, offset, offset + IPV4_HEADER));
}
