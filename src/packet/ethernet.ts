import { type MacAddress, macText, putMac } from './address.ts';
import { inside, PacketView, refusal, requireField, requireRoom } from './view.ts';
import { putU16, putU48, u16At, u48At } from './wire.ts';

/** Ethernet II (IEEE 802.3, clause 3): destination, source, EtherType. No frame check sequence. */
export const ETHERNET_LENGTH = 14;

export interface EthernetFields {
  readonly destination: MacAddress;
  readonly source: MacAddress;
  readonly etherType: number;
}

export class EthernetView extends PacketView {
  /** @throws CodecError if fewer than 14 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('ethernet', bytes, offset, end, ETHERNET_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, ETHERNET_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + ETHERNET_LENGTH;
  }

  /** A 48-bit number. */
  get destination(): number {
    return u48At(this.bytes, this.offset);
  }
  set destination(value: number) {
    putU48(this.bytes, this.offset, value);
  }

  /** A 48-bit number. */
  get source(): number {
    return u48At(this.bytes, this.offset + 6);
  }
  set source(value: number) {
    putU48(this.bytes, this.offset + 6, value);
  }

  get destinationText(): string {
    return macText(this.destination);
  }

  get sourceText(): string {
    return macText(this.source);
  }

  /** Below 0x600 it is the length of an 802.3 frame instead. */
  get etherType(): number {
    return u16At(this.bytes, this.offset + 12);
  }
  set etherType(value: number) {
    putU16(this.bytes, this.offset + 12, value);
  }
}

/** Writes an Ethernet header. @returns the offset behind it. */
export function emitEthernet(out: Uint8Array, offset: number, fields: EthernetFields): number {
  return writeEthernet(out, offset, fields, fields.etherType);
}

/** As {@link emitEthernet}, with what the builder found out. */
export function writeEthernet(
  out: Uint8Array,
  offset: number,
  fields: Omit<EthernetFields, 'etherType'>,
  etherType: number,
): number {
  requireRoom('ethernet', out, offset, ETHERNET_LENGTH);
  requireField('ethernet etherType', etherType, 0xffff);
  putMac(out, offset, fields.destination);
  putMac(out, offset + 6, fields.source);
  putU16(out, offset + 12, etherType);
  return offset + ETHERNET_LENGTH;
}
