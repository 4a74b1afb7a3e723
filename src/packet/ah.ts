import { inside, PacketView, refusal, requireField, requireRoom } from './view.ts';
import { putU16, putU32, u16At, u32At } from './wire.ts';

/** The IP authentication header (RFC 4302, section 2) without its integrity check value. */
export const AH_LENGTH = 12;

export interface AhFields {
  readonly nextHeader: number;
  /** The security parameters index. */
  readonly spi: number;
  readonly sequence: number;
  /** The integrity check value; a multiple of 4 bytes, in IPv6 with the 12 before it a multiple of 8. */
  readonly icv: Uint8Array;
}

export class AhView extends PacketView {
  /** @throws CodecError if the header with its check value is not there whole. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      const size = inside(bytes, offset, end, AH_LENGTH) ? (bytes[offset + 1]! + 2) * 4 : AH_LENGTH;
      throw refusal('ah', bytes, offset, end, size, `a header length of ${size}`);
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, AH_LENGTH)) return false;
    const length = (bytes[offset + 1]! + 2) * 4;
    if (length < AH_LENGTH || offset + length > end) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return Math.min(this.end, this.offset + this.headerLength);
  }

  get nextHeader(): number {
    return this.bytes[this.offset]!;
  }
  set nextHeader(value: number) {
    this.bytes[this.offset] = value;
  }

  /** In bytes, the check value included. */
  get headerLength(): number {
    return (this.bytes[this.offset + 1]! + 2) * 4;
  }
  set headerLength(value: number) {
    this.bytes[this.offset + 1] = (value >>> 2) - 2;
  }

  get spi(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set spi(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }

  get sequence(): number {
    return u32At(this.bytes, this.offset + 8);
  }
  set sequence(value: number) {
    putU32(this.bytes, this.offset + 8, value);
  }

  /** Where the integrity check value begins; it ends at `payloadOffset`. */
  get icvOffset(): number {
    return this.offset + AH_LENGTH;
  }

  /** The two reserved bytes, which the check value covers. */
  get reserved(): number {
    return u16At(this.bytes, this.offset + 2);
  }
}

/** Writes an authentication header with a check value computed elsewhere. @returns the offset behind it. */
export function emitAh(out: Uint8Array, offset: number, fields: AhFields): number {
  return writeAh(out, offset, fields, fields.nextHeader);
}

/** As {@link emitAh}, with what the builder found out. */
export function writeAh(
  out: Uint8Array,
  offset: number,
  fields: Omit<AhFields, 'nextHeader'>,
  nextHeader: number,
): number {
  const length = ahLength(fields);
  requireRoom('ah', out, offset, length);
  requireField('ah nextHeader', nextHeader, 0xff);
  requireField('ah icv length / 4', fields.icv.length / 4, 0xff - 1);
  requireField('ah spi', fields.spi, 0xffffffff);
  requireField('ah sequence', fields.sequence, 0xffffffff);
  out[offset] = nextHeader;
  out[offset + 1] = length / 4 - 2;
  putU16(out, offset + 2, 0);
  putU32(out, offset + 4, fields.spi);
  putU32(out, offset + 8, fields.sequence);
  out.set(fields.icv, offset + AH_LENGTH);
  return offset + length;
}

/** Bytes of the header that {@link emitAh} would write. */
export function ahLength(fields: Pick<AhFields, 'icv'>): number {
  return AH_LENGTH + fields.icv.length;
}
