import { type Ipv4Address, ipv4Text, putIpv4 } from './address.ts';
import { checksum } from './checksum.ts';
import {
  emitPayload,
  inside,
  PacketView,
  type PayloadFields,
  refusal,
  requireField,
  requireRoom,
} from './view.ts';
import { putU16, putU32, u16At, u32At } from './wire.ts';

/** ICMP for IPv4 (RFC 792): the eight bytes that every message begins with. */
export const ICMP_LENGTH = 8;

/** The second four bytes depend on the type; what is not given is 0. */
export interface IcmpFields extends PayloadFields {
  /** `IcmpType`. */
  readonly type: number;
  /** Default is 0. */
  readonly code?: number;
  /** Echo and timestamp. */
  readonly identifier?: number;
  /** Echo and timestamp. */
  readonly sequence?: number;
  /** Parameter problem: the byte of the quoted packet that is at fault. */
  readonly pointer?: number;
  /** Redirect. */
  readonly gateway?: Ipv4Address;
  /** Destination unreachable, code 4 (RFC 1191): bytes. */
  readonly mtu?: number;
  /** Default is the right one. */
  readonly checksum?: number;
}

export class IcmpView extends PacketView {
  /** @throws CodecError if fewer than 8 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('icmp', bytes, offset, end, ICMP_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, ICMP_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the data of an echo begins, or the packet that an error quotes; it ends at `end`. */
  get payloadOffset(): number {
    return this.offset + ICMP_LENGTH;
  }

  get type(): number {
    return this.bytes[this.offset]!;
  }
  set type(value: number) {
    this.bytes[this.offset] = value;
  }

  get code(): number {
    return this.bytes[this.offset + 1]!;
  }
  set code(value: number) {
    this.bytes[this.offset + 1] = value;
  }

  get checksum(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set checksum(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }

  /** Of an echo or timestamp message. */
  get identifier(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set identifier(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  /** Of an echo or timestamp message. */
  get sequence(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set sequence(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  /** Of a parameter problem. */
  get pointer(): number {
    return this.bytes[this.offset + 4]!;
  }
  set pointer(value: number) {
    this.bytes[this.offset + 4] = value;
  }

  /** Of a redirect. */
  get gateway(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set gateway(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }

  get gatewayText(): string {
    return ipv4Text(this.gateway);
  }

  /** Of a destination unreachable message with code 4, in bytes. */
  get mtu(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set mtu(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  /** Whether the checksum, which covers everything up to `end`, is right. */
  verifyChecksum(): boolean {
    return checksum(this.bytes, this.offset, this.end) === 0;
  }

  /** Computes the checksum anew. */
  updateChecksum(): void {
    this.checksum = 0;
    this.checksum = checksum(this.bytes, this.offset, this.end);
  }
}

/** Writes an ICMP message, and the payload if one is given. @returns the offset behind what was written. */
export function emitIcmp(out: Uint8Array, offset: number, fields: IcmpFields): number {
  const payloadLength = emitPayload('icmp', out, offset, ICMP_LENGTH, fields);
  const end = writeIcmp(out, offset, fields, payloadLength);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitIcmp}, without the payload, which is in place. @returns the end of the header. */
export function writeIcmp(
  out: Uint8Array,
  offset: number,
  fields: Omit<IcmpFields, keyof PayloadFields>,
  payloadLength: number,
): number {
  const { type, code = 0, identifier = 0, sequence = 0 } = fields;
  requireRoom('icmp', out, offset, ICMP_LENGTH);
  const start = offset + ICMP_LENGTH;
  requireField('icmp type', type, 0xff);
  requireField('icmp code', code, 0xff);
  requireField('icmp identifier', identifier, 0xffff);
  requireField('icmp sequence', sequence, 0xffff);
  out[offset] = type;
  out[offset + 1] = code;
  putU16(out, offset + 2, 0);
  putU16(out, offset + 4, identifier);
  putU16(out, offset + 6, sequence);
  if (fields.pointer !== undefined) {
    requireField('icmp pointer', fields.pointer, 0xff);
    out[offset + 4] = fields.pointer;
  }
  if (fields.gateway !== undefined) putIpv4(out, offset + 4, fields.gateway);
  if (fields.mtu !== undefined) {
    requireField('icmp mtu', fields.mtu, 0xffff);
    putU16(out, offset + 6, fields.mtu);
  }
  if (fields.checksum === undefined) {
    requireRoom('icmp payload', out, start, payloadLength);
    putU16(out, offset + 2, checksum(out, offset, start + payloadLength));
  } else {
    requireField('icmp checksum', fields.checksum, 0xffff);
    putU16(out, offset + 2, fields.checksum);
  }
  return start;
}
