import { formatIPv6 } from '../address/index.ts';
import { type Ipv6Address, putIpv6 } from './address.ts';
import { onesSum } from './checksum.ts';
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

/** IPv6 (RFC 8200, section 3) without extension headers. */
export const IPV6_LENGTH = 40;

export interface Ipv6Fields extends PayloadFields {
  readonly source: Ipv6Address;
  readonly destination: Ipv6Address;
  /** `IpProtocol`. */
  readonly nextHeader: number;
  /** Default is 64. */
  readonly hopLimit?: number;
  /** DSCP and ECN in one. Default is 0. */
  readonly trafficClass?: number;
  /** Default is 0. */
  readonly flowLabel?: number;
}

export class Ipv6View extends PacketView {
  /**
   * A packet whose `payloadLength` exceeds the bytes that are there is accepted and says so in `truncated`:
   * captures and ICMPv6 errors hold such packets.
   *
   * @throws CodecError if fewer than 40 bytes are there or they are not of version 6.
   */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      throw refusal('ipv6', bytes, offset, end, IPV6_LENGTH, 'not version 6');
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, IPV6_LENGTH) || bytes[offset]! >>> 4 !== 6) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the first extension header or the payload begins. */
  get payloadOffset(): number {
    return this.offset + IPV6_LENGTH;
  }

  /** Where the payload ends by `payloadLength`, without Ethernet's padding; never past `end`. */
  get payloadEnd(): number {
    return Math.min(this.end, this.offset + IPV6_LENGTH + this.payloadLength);
  }

  /** Whether `payloadLength` promises more bytes than are there. */
  get truncated(): boolean {
    return this.offset + IPV6_LENGTH + this.payloadLength > this.end;
  }

  get version(): number {
    return this.bytes[this.offset]! >>> 4;
  }
  set version(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0x0f) | (value << 4);
  }

  /** DSCP and ECN in one. */
  get trafficClass(): number {
    return (u16At(this.bytes, this.offset) >>> 4) & 0xff;
  }
  set trafficClass(value: number) {
    putU16(this.bytes, this.offset, (u16At(this.bytes, this.offset) & 0xf00f) | ((value & 0xff) << 4));
  }

  get dscp(): number {
    return this.trafficClass >>> 2;
  }
  set dscp(value: number) {
    this.trafficClass = (value << 2) | this.ecn;
  }

  get ecn(): number {
    return (this.bytes[this.offset + 1]! >>> 4) & 0x03;
  }
  set ecn(value: number) {
    this.bytes[this.offset + 1] = (this.bytes[this.offset + 1]! & 0xcf) | ((value & 0x03) << 4);
  }

  get flowLabel(): number {
    return u32At(this.bytes, this.offset) & 0xfffff;
  }
  set flowLabel(value: number) {
    putU32(this.bytes, this.offset, (u32At(this.bytes, this.offset) & 0xfff00000) | (value & 0xfffff));
  }

  /** Bytes behind this header, extension headers included. */
  get payloadLength(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set payloadLength(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  /** What follows this header: an extension header, or the upper layer. */
  get nextHeader(): number {
    return this.bytes[this.offset + 6]!;
  }
  set nextHeader(value: number) {
    this.bytes[this.offset + 6] = value;
  }

  get hopLimit(): number {
    return this.bytes[this.offset + 7]!;
  }
  set hopLimit(value: number) {
    this.bytes[this.offset + 7] = value;
  }

  /** Where the 16 bytes of the source address lie in `bytes`. */
  get sourceOffset(): number {
    return this.offset + 8;
  }

  /** Where the 16 bytes of the destination address lie in `bytes`. */
  get destinationOffset(): number {
    return this.offset + 24;
  }

  /** The 16 bytes in place: a small object each time. Hot code reads at `sourceOffset` instead. */
  get source(): Uint8Array {
    return this.bytes.subarray(this.offset + 8, this.offset + 24);
  }
  set source(value: Uint8Array) {
    putIpv6(this.bytes, this.offset + 8, value);
  }

  /** The 16 bytes in place: a small object each time. Hot code reads at `destinationOffset` instead. */
  get destination(): Uint8Array {
    return this.bytes.subarray(this.offset + 24, this.offset + 40);
  }
  set destination(value: Uint8Array) {
    putIpv6(this.bytes, this.offset + 24, value);
  }

  get sourceText(): string {
    return formatIPv6(this.bytes, this.offset + 8);
  }

  get destinationText(): string {
    return formatIPv6(this.bytes, this.offset + 24);
  }

  /** What source and destination contribute to a pseudo-header. */
  get addressSum(): number {
    return onesSum(this.bytes, this.offset + 8, this.offset + 40);
  }
}

/** Writes an IPv6 header, and the payload if one is given. @returns the offset behind what was written. */
export function emitIpv6(out: Uint8Array, offset: number, fields: Ipv6Fields): number {
  const payloadLength = emitPayload('ipv6', out, offset, IPV6_LENGTH, fields);
  const end = writeIpv6(out, offset, fields, fields.nextHeader, payloadLength);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitIpv6}, without the payload, with what the builder found out. @returns the end of the header. */
export function writeIpv6(
  out: Uint8Array,
  offset: number,
  fields: Omit<Ipv6Fields, 'nextHeader' | keyof PayloadFields>,
  nextHeader: number,
  payloadLength: number,
): number {
  const { hopLimit = 64, trafficClass = 0, flowLabel = 0 } = fields;
  requireRoom('ipv6', out, offset, IPV6_LENGTH);
  requireField('ipv6 payloadLength', payloadLength, 0xffff);
  requireField('ipv6 nextHeader', nextHeader, 0xff);
  requireField('ipv6 hopLimit', hopLimit, 0xff);
  requireField('ipv6 trafficClass', trafficClass, 0xff);
  requireField('ipv6 flowLabel', flowLabel, 0xfffff);
  putU32(out, offset, 0x60000000 | (trafficClass << 20) | flowLabel);
  putU16(out, offset + 4, payloadLength);
  out[offset + 6] = nextHeader;
  out[offset + 7] = hopLimit;
  putIpv6(out, offset + 8, fields.source);
  putIpv6(out, offset + 24, fields.destination);
  return offset + IPV6_LENGTH;
}
