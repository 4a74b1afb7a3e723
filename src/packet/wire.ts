/**
 * Unsigned big-endian numbers in bytes: network order as it is read and written by every codec here.
 *
 * Plain byte loads instead of a `DataView`: they need no second object per buffer and compile to as few
 * instructions. Nothing is checked; the callers have checked their range.
 */
export function u16At(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

export function u32At(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0
  );
}

/** 48 bits are exact in a double; a MAC address is read this way. */
export function u48At(bytes: Uint8Array, offset: number): number {
  return u16At(bytes, offset) * 0x1_0000_0000 + u32At(bytes, offset + 2);
}

export function putU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function putU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

export function putU48(bytes: Uint8Array, offset: number, value: number): void {
  putU16(bytes, offset, Math.floor(value / 0x1_0000_0000));
  // The shifts in there take the number modulo 2^32.
  putU32(bytes, offset + 2, value);
}

/**
 * The bytes from `start` to `end`, as a copy in a plain `Uint8Array`: `slice` of a `Buffer` would be a view of it, and
 * change with it.
 */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}
