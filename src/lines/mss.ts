const PROTOCOL_TCP = 6;
const SYN = 0x02;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;

/**
 * Lowers the maximum segment size that a TCP SYN announces (RFC 9293, section 3.7.1) to what the line carries, and repairs
 * the checksum. Everything else stays as it is.
 *
 * @param offset Where an IPv4 or IPv6 packet begins in `bytes`.
 * @param mtu The line's, in bytes.
 * @returns whether the packet was changed.
 */
export function clampMss(bytes: Uint8Array, offset: number, length: number, mtu: number): boolean {
  const version = bytes[offset]! >>> 4;
  let tcp: number;
  let most: number;
  if (version === 4) {
    // Only a first fragment has the header.
    if (bytes[offset + 9] !== PROTOCOL_TCP || length < 40 || (bytes[offset + 6]! & 0x1f) !== 0) return false;
    if (bytes[offset + 7] !== 0) return false;
    tcp = offset + ((bytes[offset]! & 0x0f) << 2);
    most = mtu - 40;
  } else if (version === 6) {
    if (bytes[offset + 6] !== PROTOCOL_TCP || length < 60) return false;
    tcp = offset + 40;
    most = mtu - 60;
  } else {
    return false;
  }
  const end = offset + length;
  if (tcp + 20 > end || (bytes[tcp + 13]! & SYN) === 0) return false;
  const optionsEnd = Math.min(end, tcp + ((bytes[tcp + 12]! >>> 4) << 2));
  let at = tcp + 20;
  while (at + 1 < optionsEnd) {
    const kind = bytes[at]!;
    if (kind === OPTION_END) return false;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    const size = bytes[at + 1]!;
    if (size < 2 || at + size > optionsEnd) return false;
    if (kind === OPTION_MSS && size === 4) return lower(bytes, tcp, at + 2, most);
    at += size;
  }
  return false;
}

function lower(bytes: Uint8Array, tcp: number, at: number, most: number): boolean {
  const before = (bytes[at]! << 8) | bytes[at + 1]!;
  if (before <= most) return false;
  bytes[at] = most >> 8;
  bytes[at + 1] = most & 0xff;
  // An option at an odd offset lies crosswise in the checksum's words.
  const odd = ((at - tcp) & 1) === 1;
  const from = odd ? swap(before) : before;
  const to = odd ? swap(most) : most;
  // RFC 1624, equation 3.
  const old = (bytes[tcp + 16]! << 8) | bytes[tcp + 17]!;
  let sum = (~old & 0xffff) + (~from & 0xffff) + to;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  bytes[tcp + 16] = (~sum >> 8) & 0xff;
  bytes[tcp + 17] = ~sum & 0xff;
  return true;
}

function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}
