import { type Ipv4Address, ipv4Text, putIpv4 } from './address.ts';
import { checksum, checksumReplace16, onesSum } from './checksum.ts';
import { emitIpv4Options, type Ipv4Option, ipv4OptionsLength } from './ipv4-options.ts';
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

/** IPv4 (RFC 791, section 3.1) without options. */
export const IPV4_LENGTH = 20;

export interface Ipv4Fields extends PayloadFields {
  readonly source: Ipv4Address;
  readonly destination: Ipv4Address;
  /** `IpProtocol`. */
  readonly protocol: number;
  /** Default is 64. */
  readonly ttl?: number;
  /** Default is 0. */
  readonly dscp?: number;
  /** Default is 0. */
  readonly ecn?: number;
  /** Default is 0. */
  readonly identification?: number;
  /** Default is false. */
  readonly dontFragment?: boolean;
  /** Default is false. */
  readonly moreFragments?: boolean;
  /** In bytes, a multiple of 8. Default is 0. */
  readonly fragmentOffset?: number;
  /** Default is none. */
  readonly options?: readonly Ipv4Option[];
  /** Default is the header and its payload. */
  readonly totalLength?: number;
  /** Default is the right one. */
  readonly checksum?: number;
}

export class Ipv4View extends PacketView {
  /**
   * A packet whose `totalLength` exceeds the bytes that are there is accepted and says so in `truncated`: captures
   * and ICMP errors hold such packets.
   *
   * @throws CodecError if the header with its options is not there whole, is not version 4 or contradicts itself.
   */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refused(bytes, offset, end);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, IPV4_LENGTH)) return false;
    const first = bytes[offset]!;
    const headerLength = (first & 0x0f) << 2;
    if (first >>> 4 !== 4 || headerLength < IPV4_LENGTH || offset + headerLength > end) return false;
    if (u16At(bytes, offset + 2) < headerLength) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the options begin; they end at `payloadOffset`. */
  get optionsOffset(): number {
    return this.offset + IPV4_LENGTH;
  }

  get payloadOffset(): number {
    return Math.min(this.end, this.offset + this.headerLength);
  }

  /** Where the payload ends by `totalLength`, without Ethernet's padding; never past `end`. */
  get payloadEnd(): number {
    return Math.min(this.end, this.offset + this.totalLength);
  }

  /** Whether `totalLength` promises more bytes than are there. */
  get truncated(): boolean {
    return this.offset + this.totalLength > this.end;
  }

  get version(): number {
    return this.bytes[this.offset]! >>> 4;
  }
  set version(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0x0f) | (value << 4);
  }

  /** In bytes, options included: 20 to 60. */
  get headerLength(): number {
    return (this.bytes[this.offset]! & 0x0f) << 2;
  }
  set headerLength(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0xf0) | ((value >>> 2) & 0x0f);
  }

  get dscp(): number {
    return this.bytes[this.offset + 1]! >>> 2;
  }
  set dscp(value: number) {
    this.bytes[this.offset + 1] = (this.bytes[this.offset + 1]! & 0x03) | (value << 2);
  }

  get ecn(): number {
    return this.bytes[this.offset + 1]! & 0x03;
  }
  set ecn(value: number) {
    this.bytes[this.offset + 1] = (this.bytes[this.offset + 1]! & 0xfc) | (value & 0x03);
  }

  /** In bytes, header and payload. */
  get totalLength(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set totalLength(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }

  get identification(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set identification(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  /** Reserved 4, don't fragment 2, more fragments 1. */
  get flags(): number {
    return this.bytes[this.offset + 6]! >>> 5;
  }
  set flags(value: number) {
    this.bytes[this.offset + 6] = (this.bytes[this.offset + 6]! & 0x1f) | (value << 5);
  }

  get dontFragment(): boolean {
    return (this.bytes[this.offset + 6]! & 0x40) !== 0;
  }
  set dontFragment(value: boolean) {
    this.bytes[this.offset + 6] = (this.bytes[this.offset + 6]! & 0xbf) | (value ? 0x40 : 0);
  }

  get moreFragments(): boolean {
    return (this.bytes[this.offset + 6]! & 0x20) !== 0;
  }
  set moreFragments(value: boolean) {
    this.bytes[this.offset + 6] = (this.bytes[this.offset + 6]! & 0xdf) | (value ? 0x20 : 0);
  }

  /** In bytes, a multiple of 8. */
  get fragmentOffset(): number {
    return (u16At(this.bytes, this.offset + 6) & 0x1fff) << 3;
  }
  set fragmentOffset(value: number) {
    const at = this.offset + 6;
    putU16(this.bytes, at, (u16At(this.bytes, at) & 0xe000) | ((value >>> 3) & 0x1fff));
  }

  /** Whether this is a part of a fragmented packet; only the part at offset 0 holds the transport header. */
  get fragmented(): boolean {
    return (u16At(this.bytes, this.offset + 6) & 0x3fff) !== 0;
  }

  get ttl(): number {
    return this.bytes[this.offset + 8]!;
  }
  set ttl(value: number) {
    this.bytes[this.offset + 8] = value;
  }

  get protocol(): number {
    return this.bytes[this.offset + 9]!;
  }
  set protocol(value: number) {
    this.bytes[this.offset + 9] = value;
  }

  get checksum(): number {
    return u16At(this.bytes, this.offset + 10);
  }
  set checksum(value: number) {
    putU16(this.bytes, this.offset + 10, value);
  }

  get source(): number {
    return u32At(this.bytes, this.offset + 12);
  }
  set source(value: number) {
    putU32(this.bytes, this.offset + 12, value);
  }

  get destination(): number {
    return u32At(this.bytes, this.offset + 16);
  }
  set destination(value: number) {
    putU32(this.bytes, this.offset + 16, value);
  }

  get sourceText(): string {
    return ipv4Text(this.source);
  }

  get destinationText(): string {
    return ipv4Text(this.destination);
  }

  /** What source and destination contribute to a pseudo-header. */
  get addressSum(): number {
    return onesSum(this.bytes, this.offset + 12, this.offset + 20);
  }

  /** Whether the header checksum is right. */
  verifyChecksum(): boolean {
    return checksum(this.bytes, this.offset, this.payloadOffset) === 0;
  }

  /** Computes the header checksum anew. */
  updateChecksum(): void {
    this.checksum = 0;
    this.checksum = checksum(this.bytes, this.offset, this.payloadOffset);
  }

  /**
   * Takes one hop off the TTL and mends the checksum incrementally (RFC 1624).
   *
   * @returns the new TTL; at 0 the packet must not be forwarded. A TTL of 0 stays 0.
   */
  decrementTtl(): number {
    const before = u16At(this.bytes, this.offset + 8);
    if (before < 0x100) return 0;
    putU16(this.bytes, this.offset + 8, before - 0x100);
    this.checksum = checksumReplace16(this.checksum, before, before - 0x100);
    return (before >>> 8) - 1;
  }
}

/**
 * Writes an IPv4 header with its options, and the payload if one is given.
 *
 * @returns the offset behind what was written.
 */
export function emitIpv4(out: Uint8Array, offset: number, fields: Ipv4Fields): number {
  const payloadLength = emitPayload('ipv4', out, offset, ipv4Length(fields), fields);
  const end = writeIpv4(out, offset, fields, fields.protocol, payloadLength);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitIpv4}, without the payload, with what the builder found out. @returns the end of the header. */
export function writeIpv4(
  out: Uint8Array,
  offset: number,
  fields: Omit<Ipv4Fields, 'protocol' | keyof PayloadFields>,
  protocol: number,
  payloadLength: number,
): number {
  const { dscp = 0, ecn = 0, identification = 0, ttl = 64, fragmentOffset = 0, options } = fields;
  const headerLength = ipv4Length(fields);
  requireRoom('ipv4', out, offset, headerLength);
  const start = offset + headerLength;
  const totalLength = fields.totalLength ?? headerLength + payloadLength;
  requireField('ipv4 dscp', dscp, 63);
  requireField('ipv4 ecn', ecn, 3);
  requireField('ipv4 totalLength', totalLength, 0xffff);
  requireField('ipv4 identification', identification, 0xffff);
  requireField('ipv4 fragmentOffset / 8', fragmentOffset / 8, 0x1fff);
  requireField('ipv4 ttl', ttl, 0xff);
  requireField('ipv4 protocol', protocol, 0xff);
  out[offset] = 0x40 | (headerLength >>> 2);
  out[offset + 1] = (dscp << 2) | ecn;
  putU16(out, offset + 2, totalLength);
  putU16(out, offset + 4, identification);
  const flags = (fields.dontFragment === true ? 0x4000 : 0) | (fields.moreFragments === true ? 0x2000 : 0);
  putU16(out, offset + 6, flags | (fragmentOffset >>> 3));
  out[offset + 8] = ttl;
  out[offset + 9] = protocol;
  putU16(out, offset + 10, 0);
  putIpv4(out, offset + 12, fields.source);
  putIpv4(out, offset + 16, fields.destination);
  if (options !== undefined) emitIpv4Options(out, offset + IPV4_LENGTH, options);
  if (fields.checksum === undefined) {
    putU16(out, offset + 10, checksum(out, offset, start));
  } else {
    requireField('ipv4 checksum', fields.checksum, 0xffff);
    putU16(out, offset + 10, fields.checksum);
  }
  return start;
}

/** Bytes of the header that {@link emitIpv4} would write, options and their padding included. */
export function ipv4Length(fields: Pick<Ipv4Fields, 'options'>): number {
  return fields.options === undefined ? IPV4_LENGTH : IPV4_LENGTH + ipv4OptionsLength(fields.options);
}

function refused(bytes: Uint8Array, offset: number, end: number): Error {
  if (!inside(bytes, offset, end, IPV4_LENGTH)) return refusal('ipv4', bytes, offset, end, IPV4_LENGTH);
  const version = bytes[offset]! >>> 4;
  if (version !== 4) return refusal('ipv4', bytes, offset, end, IPV4_LENGTH, `version ${version}`);
  const headerLength = (bytes[offset]! & 0x0f) << 2;
  const problem =
    headerLength < IPV4_LENGTH
      ? `a header length of ${headerLength}`
      : `a total length of ${u16At(bytes, offset + 2)} with a header of ${headerLength}`;
  return refusal('ipv4', bytes, offset, end, Math.max(headerLength, IPV4_LENGTH), problem);
}
