/**
 * Addresses from the bytes of a text, without a string for each: lists have millions.
 *
 * Takes what `barewire/address` takes and refuses what it refuses; a test holds the two against each other.
 */

/** Reads an address that fills `start` to `end` into `out`. @returns 4 or 6, or 0 when it is none. */
export function readAddress(text: Uint8Array, start: number, end: number, out: Uint8Array): 0 | 4 | 6 {
  for (let i = start; i < end && i < start + 5; i++) {
    const c = text[i]!;
    if (c === COLON) return readIPv6(text, start, end, out) ? 6 : 0;
    if (c === DOT) return readIPv4(text, start, end, out, 0) ? 4 : 0;
  }
  return 0;
}

const DOT = 0x2e;
const COLON = 0x3a;
const ZERO = 0x30;

function readIPv4(text: Uint8Array, start: number, end: number, out: Uint8Array, at: number): boolean {
  let value = 0;
  let digits = 0;
  let part = 0;
  for (let i = start; i < end; i++) {
    const digit = text[i]! - ZERO;
    if (digit >= 0 && digit <= 9) {
      // No leading zeros, which some read as octal.
      if (digits > 0 && value === 0) return false;
      value = value * 10 + digit;
      if (value > 255) return false;
      digits++;
    } else {
      if (text[i] !== DOT || digits === 0 || part === 3) return false;
      out[at + part] = value;
      part++;
      value = 0;
      digits = 0;
    }
  }
  if (part !== 3 || digits === 0) return false;
  out[at + 3] = value;
  return true;
}

function readIPv6(text: Uint8Array, start: number, end: number, out: Uint8Array): boolean {
  let at = 0;
  let gap = -1;
  let value = 0;
  let digits = 0;
  let groupStart = start;
  for (let i = start; i < end; i++) {
    const c = text[i]!;
    const digit = hexValue(c);
    if (digit >= 0) {
      if (digits === 4) return false;
      value = value * 16 + digit;
      digits++;
    } else if (c === COLON) {
      if (digits > 0) {
        if (at > 14) return false;
        out[at++] = value >> 8;
        out[at++] = value & 0xff;
        value = 0;
        digits = 0;
      } else if (i === start) {
        // Begins with a colon: a second one must follow.
        if (text[i + 1] !== COLON || i + 1 >= end) return false;
      }
      if (i + 1 < end && text[i + 1] === COLON) {
        if (gap >= 0) return false;
        gap = at;
        i++;
        if (i + 1 < end && text[i + 1] === COLON) return false;
      } else if (i + 1 === end) {
        return false;
      }
      groupStart = i + 1;
    } else if (c === DOT) {
      if (at > 12 || !readIPv4(text, groupStart, end, out, at)) return false;
      at += 4;
      digits = 0;
      return finish(out, at, gap);
    } else {
      return false;
    }
  }
  if (digits > 0) {
    if (at > 14) return false;
    out[at++] = value >> 8;
    out[at++] = value & 0xff;
  }
  return finish(out, at, gap);
}

/** Puts the zeros in where `::` stood. */
function finish(out: Uint8Array, at: number, gap: number): boolean {
  if (gap < 0) return at === 16;
  // It stands for at least one group.
  if (at > 14) return false;
  out.copyWithin(16 - (at - gap), gap, at);
  out.fill(0, gap, 16 - (at - gap));
  return true;
}

function hexValue(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  if (c >= 0x41 && c <= 0x46) return c - 0x37;
  return -1;
}

/** Whether bits beyond `length` are set. */
export function hasHostBits(address: Uint8Array, size: 4 | 16, length: number): boolean {
  let at = length >> 3;
  const rest = length & 7;
  if (rest !== 0) {
    if ((address[at]! & (0xff >> rest)) !== 0) return true;
    at++;
  }
  for (; at < size; at++) if (address[at] !== 0) return true;
  return false;
}

export function clearHostBits(address: Uint8Array, size: 4 | 16, length: number): void {
  let at = length >> 3;
  const rest = length & 7;
  if (rest !== 0) {
    address[at]! &= ~(0xff >> rest);
    at++;
  }
  address.fill(0, at, size);
}
