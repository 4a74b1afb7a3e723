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
import { putU16, u16At } from './wire.ts';

/** UDP (RFC 768). */
export const UDP_LENGTH = 8;

export interface UdpFields extends PayloadFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Default is the header and its payload. */
  readonly length?: number;
  /** 0 is none, which IPv6 forbids. Default is the right one, for which `addressSum` is needed. */
  readonly checksum?: number;
  /** Of the IP header: `addressSum4`, `addressSum6`, or the `addressSum` of its view. */
  readonly addressSum?: number;
}

export class UdpView extends PacketView {
  /**
   * A datagram whose `length` exceeds the bytes that are there is accepted and says so in `truncated`.
   *
   * @throws CodecError if fewer than 8 bytes are there or `length` is below 8.
   */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      throw refusal('udp', bytes, offset, end, UDP_LENGTH, 'a length below 8');
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, UDP_LENGTH) || u16At(bytes, offset + 4) < UDP_LENGTH) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + UDP_LENGTH;
  }

  /** Where the payload ends by `length`; never past `end`. */
  get payloadEnd(): number {
    return Math.min(this.end, this.offset + this.length);
  }

  /** Whether `length` promises more bytes than are there. */
  get truncated(): boolean {
    return this.offset + this.length > this.end;
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

  /** In bytes, header and payload. */
  get length(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set length(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  /** 0 says that none was computed. */
  get checksum(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set checksum(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  /**
   * Whether the checksum is right, or was not computed.
   *
   * @param addressSum Of the IP header.
   */
  verifyChecksum(addressSum: number): boolean {
    return this.checksum === 0 || this.#compute(addressSum) === 0;
  }

  /** Computes the checksum anew. @param addressSum Of the IP header. */
  updateChecksum(addressSum: number): void {
    this.checksum = 0;
    this.checksum = this.#compute(addressSum) || 0xffff;
  }

  #compute(addressSum: number): number {
    return transportChecksum(this.bytes, this.offset, this.payloadEnd, addressSum, IpProtocol.udp);
  }
}

/**
 * Writes a UDP header, and the payload if one is given.
 *
 * @returns the offset behind what was written.
 */
export function emitUdp(out: Uint8Array, offset: number, fields: UdpFields): number {
  const payloadLength = emitPayload('udp', out, offset, UDP_LENGTH, fields);
  const end = writeUdp(out, offset, fields, payloadLength, fields.addressSum);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitUdp}, without the payload, which is in place. @returns the end of the header. */
export function writeUdp(
  out: Uint8Array,
  offset: number,
  fields: Omit<UdpFields, 'addressSum' | keyof PayloadFields>,
  payloadLength: number,
  addressSum: number | undefined,
): number {
  const { sourcePort, destinationPort } = fields;
  requireRoom('udp', out, offset, UDP_LENGTH);
  const start = offset + UDP_LENGTH;
  const length = fields.length ?? UDP_LENGTH + payloadLength;
  requireField('udp sourcePort', sourcePort, 0xffff);
  requireField('udp destinationPort', destinationPort, 0xffff);
  requireField('udp length', length, 0xffff);
  putU16(out, offset, sourcePort);
  putU16(out, offset + 2, destinationPort);
  putU16(out, offset + 4, length);
  if (fields.checksum === undefined) {
    const sum = requireAddressSum('udp', addressSum);
    requireRoom('udp payload', out, start, payloadLength);
    putU16(out, offset + 6, 0);
    const end = start + payloadLength;
    putU16(out, offset + 6, transportChecksum(out, offset, end, sum, IpProtocol.udp) || 0xffff);
  } else {
    requireField('udp checksum', fields.checksum, 0xffff);
    putU16(out, offset + 6, fields.checksum);
  }
  return start;
}
