import { transportChecksum } from './checksum.ts';
import { IpProtocol } from './headers.ts';
import {
  emitPayload,
  inside,
  PacketView,
  type PayloadFields,
  refusal,
  requireAddressSum,
  requireField,
  requireRoom,
} from './view.ts';
import { putU16, putU32, u16At, u32At } from './wire.ts';

/** ICMPv6 (RFC 4443): the four bytes of every message and the four that depend on its type. */
export const ICMPV6_LENGTH = 8;

/** The second four bytes depend on the type; what is not given is 0. */
export interface Icmpv6Fields extends PayloadFields {
  /** `Icmpv6Type`. */
  readonly type: number;
  /** Default is 0. */
  readonly code?: number;
  /** Echo. */
  readonly identifier?: number;
  /** Echo. */
  readonly sequence?: number;
  /** Parameter problem: the byte of the quoted packet that is at fault. */
  readonly pointer?: number;
  /** Packet too big: bytes. */
  readonly mtu?: number;
  /** Default is the right one, for which `addressSum` is needed. */
  readonly checksum?: number;
  /** Of the IPv6 header: `addressSum6`, or the `addressSum` of its view. */
  readonly addressSum?: number;
}

export class Icmpv6View extends PacketView {
  /** @throws CodecError if fewer than 8 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('icmpv6', bytes, offset, end, ICMPV6_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, ICMPV6_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the data of an echo begins, or the packet that an error quotes; it ends at `end`. */
  get payloadOffset(): number {
    return this.offset + ICMPV6_LENGTH;
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

  /** Of an echo message. */
  get identifier(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set identifier(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  /** Of an echo message. */
  get sequence(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set sequence(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  /** Of a parameter problem. */
  get pointer(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set pointer(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }

  /** Of a packet too big message, in bytes. */
  get mtu(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set mtu(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }

  /** Whether the checksum, which covers everything up to `end`, is right. @param addressSum Of the IPv6 header. */
  verifyChecksum(addressSum: number): boolean {
    return transportChecksum(this.bytes, this.offset, this.end, addressSum, IpProtocol.icmpv6) === 0;
  }

  /** Computes the checksum anew. @param addressSum Of the IPv6 header. */
  updateChecksum(addressSum: number): void {
    this.checksum = 0;
    this.checksum = transportChecksum(this.bytes, this.offset, this.end, addressSum, IpProtocol.icmpv6);
  }
}

/** Writes an ICMPv6 message, and the payload if one is given. @returns the offset behind what was written. */
export function emitIcmpv6(out: Uint8Array, offset: number, fields: Icmpv6Fields): number {
  const payloadLength = emitPayload('icmpv6', out, offset, ICMPV6_LENGTH, fields);
  const end = writeIcmpv6(out, offset, fields, payloadLength, fields.addressSum);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitIcmpv6}, without the payload, which is in place. @returns the end of the header. */
export function writeIcmpv6(
  out: Uint8Array,
  offset: number,
  fields: Omit<Icmpv6Fields, 'addressSum' | keyof PayloadFields>,
  payloadLength: number,
  addressSum: number | undefined,
): number {
  const { identifier = 0, sequence = 0 } = fields;
  requireRoom('icmpv6', out, offset, ICMPV6_LENGTH);
  const start = offset + ICMPV6_LENGTH;
  requireField('icmpv6 identifier', identifier, 0xffff);
  requireField('icmpv6 sequence', sequence, 0xffff);
  putU16(out, offset + 4, identifier);
  putU16(out, offset + 6, sequence);
  const word = fields.pointer ?? fields.mtu;
  if (word !== undefined) {
    requireField(fields.pointer === undefined ? 'icmpv6 mtu' : 'icmpv6 pointer', word, 0xffffffff);
    putU32(out, offset + 4, word);
  }
  sealIcmpv6(out, offset, start + payloadLength, fields, addressSum);
  return start;
}

/** Writes type, code and checksum of a message whose body, up to `end`, is in place. */
export function sealIcmpv6(
  out: Uint8Array,
  offset: number,
  end: number,
  seal: Pick<Icmpv6Fields, 'type' | 'code' | 'checksum'>,
  addressSum: number | undefined,
): void {
  const { type, code = 0 } = seal;
  requireField('icmpv6 type', type, 0xff);
  requireField('icmpv6 code', code, 0xff);
  out[offset] = type;
  out[offset + 1] = code;
  if (seal.checksum !== undefined) {
    requireField('icmpv6 checksum', seal.checksum, 0xffff);
    putU16(out, offset + 2, seal.checksum);
    return;
  }
  const sum = requireAddressSum('icmpv6', addressSum);
  requireRoom('icmpv6', out, offset, end - offset);
  putU16(out, offset + 2, 0);
  putU16(out, offset + 2, transportChecksum(out, offset, end, sum, IpProtocol.icmpv6));
}
