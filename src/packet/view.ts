import { ArgumentError, CodecError } from '../error.ts';

const NOTHING = new Uint8Array(0);

/**
 * A header at an offset in somebody else's bytes.
 *
 * One view object serves any number of packets: `at` points it at the next one without allocating, after
 * checking that the header lies within `end`. Getters and setters then read and write the bytes in place; they
 * check nothing, and setters keep the low bits of what they are given, as typed arrays do. A view that `at`
 * refused keeps pointing where it pointed before.
 */
export abstract class PacketView {
  bytes: Uint8Array = NOTHING;
  /** Where the header begins, in bytes from the start of `bytes`. */
  offset = 0;
  /** Where the bytes of this header and its payload end at the latest; nothing at or past it is read. */
  end = 0;
}

/** Whether `size` bytes lie between `offset` and `end`, and both within `bytes`. */
export function inside(bytes: Uint8Array, offset: number, end: number, size: number): boolean {
  // The unsigned shift refuses negative offsets, fractions and NaN in one step.
  return offset >>> 0 === offset && offset + size <= end && end <= bytes.length;
}

/** Refuses a range that is not within `bytes`: past its end typed arrays give `undefined`, and loops no end. */
export function requireRange(format: string, bytes: Uint8Array, offset: number, end: number): void {
  if (!inside(bytes, offset, end, 0)) throw refusal(format, bytes, offset, end, 0);
}

/** The error for bytes that a view refused: too short for `size` bytes, or else `problem`. */
export function refusal(
  format: string,
  bytes: Uint8Array,
  offset: number,
  end: number,
  size: number,
  problem = 'malformed',
): CodecError {
  if (inside(bytes, offset, end, size)) return new CodecError(format, offset, problem);
  if (offset >>> 0 !== offset || end > bytes.length) {
    return new CodecError(
      format,
      offset,
      `the range ${offset} to ${end} is not within ${bytes.length} bytes`,
    );
  }
  return new CodecError(format, offset, `needs ${size} bytes, ${Math.max(0, end - offset)} are there`);
}

/** Refuses an emitter's field that is no whole number from 0 to `maximum`, which has at most 32 bits. */
export function requireField(name: string, value: number, maximum: number): void {
  // The unsigned shift refuses negative numbers, fractions and NaN in one step.
  if (value >>> 0 !== value || value > maximum) {
    throw new ArgumentError(`${name} must be a whole number from 0 to ${maximum}, not ${value}`);
  }
}

/** Refuses to emit `size` bytes at `offset` where they do not fit. */
export function requireRoom(name: string, out: Uint8Array, offset: number, size: number): void {
  if (!inside(out, offset, out.length, size)) {
    throw new ArgumentError(`${name} needs ${size} bytes at ${offset}; the buffer has ${out.length}`);
  }
}

/** How an emitter learns what comes behind its header, for lengths and checksums. */
export interface PayloadFields {
  /** Copied behind the header. */
  readonly payload?: Uint8Array;
  /**
   * Bytes of payload that the caller puts behind the header himself. Where a checksum covers them they must be
   * there already. Default is 0.
   */
  readonly payloadLength?: number;
}

/**
 * Copies the payload behind a header of `headerLength` bytes at `offset`, if one is given.
 *
 * @returns its length in bytes, given or only announced.
 */
export function emitPayload(
  name: string,
  out: Uint8Array,
  offset: number,
  headerLength: number,
  fields: PayloadFields,
): number {
  const { payload } = fields;
  if (payload === undefined) return fields.payloadLength ?? 0;
  requireRoom(name, out, offset, headerLength + payload.length);
  out.set(payload, offset + headerLength);
  return payload.length;
}

/** The address sum that a checksum over a pseudo-header needs. */
export function requireAddressSum(name: string, addressSum: number | undefined): number {
  if (addressSum === undefined) {
    throw new ArgumentError(`${name} needs the address sum of its IP header for the checksum`, {
      hint: "Give `addressSum` (`addressSum4`, `addressSum6`, or the view's), or the checksum itself.",
    });
  }
  requireField(`${name} addressSum`, addressSum, 0xffff);
  return addressSum;
}
