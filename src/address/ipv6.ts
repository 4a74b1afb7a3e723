import { ArgumentError } from '../error.ts';
import { formatIPv4, tryParseIPv4 } from './ipv4.ts';

/** The sixteen bytes of an IPv6 address, in network order. */
export const IPV6_BYTES = 16;

const GROUPS = 8;

/**
 * Any text form of RFC 4291 section 2.2: full, with `::`, with an IPv4 tail. No zone (`%eth0`): a zone is not
 * part of the address.
 *
 * @throws ArgumentError when the text is no such address.
 */
export function parseIPv6(text: string): Uint8Array {
  const bytes = tryParseIPv6(text);
  if (bytes === undefined) {
    throw new ArgumentError(`'${text}' is not an IPv6 address`, {
      hint: text.includes('%')
        ? 'Leave the zone (the part from %) out; the interface is named on its own.'
        : 'Up to eight groups of hexadecimal digits with at most one ::, as in 2001:db8::1.',
    });
  }
  return bytes;
}

/**
 * The address at `offset` in the one form of RFC 5952: lower case, no leading zeros, the first longest run of
 * two or more zero groups as `::`, and IPv4-mapped addresses with a dotted tail.
 */
export function formatIPv6(bytes: Uint8Array, offset = 0): string {
  if (offset < 0 || offset + IPV6_BYTES > bytes.length) {
    throw new ArgumentError(
      `an IPv6 address takes 16 bytes, ${Math.max(0, bytes.length - offset)} are there`,
    );
  }
  const groups: number[] = [];
  for (let i = 0; i < GROUPS; i++) {
    groups.push((bytes[offset + 2 * i]! << 8) | bytes[offset + 2 * i + 1]!);
  }
  if (isIPv4Mapped(groups)) return `::ffff:${formatIPv4(bytes, offset + 12)}`;
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

/** As `parseIPv6`, but `undefined` when the text is no IPv6 address. */
export function tryParseIPv6(text: string): Uint8Array | undefined {
  // The longest form is six full groups and a dotted tail: 45 characters.
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const given = head.length + tail.length;
  // `::` stands for at least one group (RFC 4291 section 2.2).
  if (halves.length === 1 ? given !== GROUPS : given > GROUPS - 1) return undefined;
  const bytes = new Uint8Array(IPV6_BYTES);
  const view = new DataView(bytes.buffer);
  head.forEach((group, i) => {
    view.setUint16(2 * i, group);
  });
  tail.forEach((group, i) => {
    view.setUint16(2 * (GROUPS - tail.length + i), group);
  });
  return bytes;
}

/** Groups between colons; the very last one of an address may be a dotted IPv4 tail, which makes two. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const ipv4 = tryParseIPv4(part);
      if (ipv4 === undefined) return undefined;
      groups.push((ipv4[0]! << 8) | ipv4[1]!, (ipv4[2]! << 8) | ipv4[3]!);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function isIPv4Mapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
