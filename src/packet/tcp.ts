import { transportChecksum } from './checksum.ts';
import { IpProtocol } from './headers.ts';
import { emitTcpOptions, type TcpOption, tcpOptionsLength } from './tcp-options.ts';
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

/** TCP (RFC 9293, section 3.1) without options. */
export const TCP_LENGTH = 20;

export interface TcpFields extends PayloadFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  /** Default is 0. */
  readonly acknowledgment?: number;
  /** `TcpFlag`s in one number. Default is 0; the flags by name below are added to it. */
  readonly flags?: number;
  readonly ae?: boolean;
  readonly cwr?: boolean;
  readonly ece?: boolean;
  readonly urg?: boolean;
  readonly ack?: boolean;
  readonly psh?: boolean;
  readonly rst?: boolean;
  readonly syn?: boolean;
  readonly fin?: boolean;
  /** As the header carries it, not scaled. Default is 65535. */
  readonly window?: number;
  /** Default is 0. */
  readonly urgentPointer?: number;
  /** Default is none. */
  readonly options?: readonly TcpOption[];
  /** Default is the right one, for which `addressSum` is needed. */
  readonly checksum?: number;
  /** Of the IP header: `addressSum4`, `addressSum6`, or the `addressSum` of its view. */
  readonly addressSum?: number;
}

export class TcpView extends PacketView {
  /** @throws CodecError if the header with its options is not there whole, or its length is below 20. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      const there = inside(bytes, offset, end, TCP_LENGTH);
      const headerLength = there ? (bytes[offset + 12]! & 0xf0) >>> 2 : TCP_LENGTH;
      const size = Math.max(headerLength, TCP_LENGTH);
      throw refusal('tcp', bytes, offset, end, size, `a header length of ${headerLength}`);
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, TCP_LENGTH)) return false;
    const headerLength = (bytes[offset + 12]! & 0xf0) >>> 2;
    if (headerLength < TCP_LENGTH || offset + headerLength > end) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the options begin; they end at `payloadOffset`. */
  get optionsOffset(): number {
    return this.offset + TCP_LENGTH;
  }

  /** The payload ends at `end`: TCP has no length of its own. */
  get payloadOffset(): number {
    return Math.min(this.end, this.offset + this.headerLength);
  }

  get sourcePort(): number {
    return u16At(this.bytes, this.offset);
  }
  set sourcePort(value: number) {
    putU16(this.bytes, this.offset, value);
  }

  get destinationPort(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set destinationPort(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }

  get sequence(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set sequence(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }

  get acknowledgment(): number {
    return u32At(this.bytes, this.offset + 8);
  }
  set acknowledgment(value: number) {
    putU32(this.bytes, this.offset + 8, value);
  }

  /** In bytes, options included: 20 to 60. */
  get headerLength(): number {
    return (this.bytes[this.offset + 12]! & 0xf0) >>> 2;
  }
  set headerLength(value: number) {
    this.bytes[this.offset + 12] = (this.bytes[this.offset + 12]! & 0x0f) | ((value << 2) & 0xf0);
  }

  /** Accurate ECN (RFC 9768), formerly NS. */
  get ae(): boolean {
    return (this.bytes[this.offset + 12]! & 0x01) !== 0;
  }
  set ae(value: boolean) {
    this.bytes[this.offset + 12] = (this.bytes[this.offset + 12]! & 0xfe) | (value ? 1 : 0);
  }

  /** The eight bits from CWR (0x80) to FIN (0x01), as in `TcpFlag`. */
  get flags(): number {
    return this.bytes[this.offset + 13]!;
  }
  set flags(value: number) {
    this.bytes[this.offset + 13] = value;
  }

  get cwr(): boolean {
    return (this.flags & 0x80) !== 0;
  }
  set cwr(value: boolean) {
    this.#setFlag(0x80, value);
  }

  get ece(): boolean {
    return (this.flags & 0x40) !== 0;
  }
  set ece(value: boolean) {
    this.#setFlag(0x40, value);
  }

  get urg(): boolean {
    return (this.flags & 0x20) !== 0;
  }
  set urg(value: boolean) {
    this.#setFlag(0x20, value);
  }

  get ack(): boolean {
    return (this.flags & 0x10) !== 0;
  }
  set ack(value: boolean) {
    this.#setFlag(0x10, value);
  }

  get psh(): boolean {
    return (this.flags & 0x08) !== 0;
  }
  set psh(value: boolean) {
    this.#setFlag(0x08, value);
  }

  get rst(): boolean {
    return (this.flags & 0x04) !== 0;
  }
  set rst(value: boolean) {
    this.#setFlag(0x04, value);
  }

  get syn(): boolean {
    return (this.flags & 0x02) !== 0;
  }
  set syn(value: boolean) {
    this.#setFlag(0x02, value);
  }

  get fin(): boolean {
    return (this.flags & 0x01) !== 0;
  }
  set fin(value: boolean) {
    this.#setFlag(0x01, value);
  }

  /** As the header carries it, not scaled. */
  get window(): number {
    return u16At(this.bytes, this.offset + 14);
  }
  set window(value: number) {
    putU16(this.bytes, this.offset + 14, value);
  }

  get checksum(): number {
    return u16At(this.bytes, this.offset + 16);
  }
  set checksum(value: number) {
    putU16(this.bytes, this.offset + 16, value);
  }

  get urgentPointer(): number {
    return u16At(this.bytes, this.offset + 18);
  }
  set urgentPointer(value: number) {
    putU16(this.bytes, this.offset + 18, value);
  }

  /** Whether the checksum is right. @param addressSum Of the IP header. */
  verifyChecksum(addressSum: number): boolean {
    return transportChecksum(this.bytes, this.offset, this.end, addressSum, IpProtocol.tcp) === 0;
  }

  /** Computes the checksum anew. @param addressSum Of the IP header. */
  updateChecksum(addressSum: number): void {
    this.checksum = 0;
    this.checksum = transportChecksum(this.bytes, this.offset, this.end, addressSum, IpProtocol.tcp);
  }

  #setFlag(mask: number, value: boolean): void {
    this.flags = value ? this.flags | mask : this.flags & ~mask;
  }
}

/**
 * Writes a TCP header with its options, and the payload if one is given.
 *
 * @returns the offset behind what was written.
 */
export function emitTcp(out: Uint8Array, offset: number, fields: TcpFields): number {
  const payloadLength = emitPayload('tcp', out, offset, tcpLength(fields), fields);
  const end = writeTcp(out, offset, fields, payloadLength, fields.addressSum);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitTcp}, without the payload, which is in place. @returns the end of the header. */
export function writeTcp(
  out: Uint8Array,
  offset: number,
  fields: Omit<TcpFields, 'addressSum' | keyof PayloadFields>,
  payloadLength: number,
  addressSum: number | undefined,
): number {
  const { sourcePort, destinationPort, sequence, acknowledgment = 0 } = fields;
  const { window = 0xffff, urgentPointer = 0, options } = fields;
  const headerLength = tcpLength(fields);
  requireRoom('tcp', out, offset, headerLength);
  const start = offset + headerLength;
  requireField('tcp sourcePort', sourcePort, 0xffff);
  requireField('tcp destinationPort', destinationPort, 0xffff);
  requireField('tcp sequence', sequence, 0xffffffff);
  requireField('tcp acknowledgment', acknowledgment, 0xffffffff);
  requireField('tcp window', window, 0xffff);
  requireField('tcp urgentPointer', urgentPointer, 0xffff);
  putU16(out, offset, sourcePort);
  putU16(out, offset + 2, destinationPort);
  putU32(out, offset + 4, sequence);
  putU32(out, offset + 8, acknowledgment);
  out[offset + 12] = (headerLength << 2) | (fields.ae === true ? 1 : 0);
  out[offset + 13] = flagsOf(fields);
  putU16(out, offset + 14, window);
  putU16(out, offset + 16, 0);
  putU16(out, offset + 18, urgentPointer);
  if (options !== undefined) emitTcpOptions(out, offset + TCP_LENGTH, options);
  if (fields.checksum === undefined) {
    const sum = requireAddressSum('tcp', addressSum);
    requireRoom('tcp payload', out, start, payloadLength);
    const end = start + payloadLength;
    putU16(out, offset + 16, transportChecksum(out, offset, end, sum, IpProtocol.tcp));
  } else {
    requireField('tcp checksum', fields.checksum, 0xffff);
    putU16(out, offset + 16, fields.checksum);
  }
  return start;
}

/** Bytes of the header that {@link emitTcp} would write, options and their padding included. */
export function tcpLength(fields: Pick<TcpFields, 'options'>): number {
  return fields.options === undefined ? TCP_LENGTH : TCP_LENGTH + tcpOptionsLength(fields.options);
}

function flagsOf(fields: Omit<TcpFields, keyof PayloadFields>): number {
  let flags = fields.flags ?? 0;
  requireField('tcp flags', flags, 0xff);
  if (fields.cwr === true) flags |= 0x80;
  if (fields.ece === true) flags |= 0x40;
  if (fields.urg === true) flags |= 0x20;
  if (fields.ack === true) flags |= 0x10;
  if (fields.psh === true) flags |= 0x08;
  if (fields.rst === true) flags |= 0x04;
  if (fields.syn === true) flags |= 0x02;
  if (fields.fin === true) flags |= 0x01;
  return flags;
}
