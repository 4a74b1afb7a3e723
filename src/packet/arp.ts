import { type Ipv4Address, ipv4Text, type MacAddress, macText, putIpv4, putMac } from './address.ts';
import { EtherType } from './headers.ts';
import { inside, PacketView, refusal, requireField, requireRoom } from './view.ts';
import { putU16, putU32, putU48, u16At, u32At, u48At } from './wire.ts';

/** ARP for IPv4 over Ethernet (RFC 826). Other address lengths are refused: no network carries them any more. */
export const ARP_LENGTH = 28;

export interface ArpFields {
  /** 1 asks, 2 answers: `ArpOperation`. */
  readonly operation: number;
  readonly senderHardwareAddress: MacAddress;
  readonly senderProtocolAddress: Ipv4Address;
  /** Default is zero, as in a request. */
  readonly targetHardwareAddress?: MacAddress;
  readonly targetProtocolAddress: Ipv4Address;
}

export class ArpView extends PacketView {
  /** @throws CodecError if fewer than 28 bytes are there or the addresses are not of 6 and 4 bytes. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      throw refusal('arp', bytes, offset, end, ARP_LENGTH, 'its addresses are not of 6 and 4 bytes');
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, ARP_LENGTH) || u16At(bytes, offset + 4) !== 0x0604) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + ARP_LENGTH;
  }

  /** 1 is Ethernet. */
  get hardwareType(): number {
    return u16At(this.bytes, this.offset);
  }
  set hardwareType(value: number) {
    putU16(this.bytes, this.offset, value);
  }

  /** An EtherType: 0x0800 is IPv4. */
  get protocolType(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set protocolType(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }

  get hardwareLength(): number {
    return this.bytes[this.offset + 4]!;
  }
  set hardwareLength(value: number) {
    this.bytes[this.offset + 4] = value;
  }

  get protocolLength(): number {
    return this.bytes[this.offset + 5]!;
  }
  set protocolLength(value: number) {
    this.bytes[this.offset + 5] = value;
  }

  get operation(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set operation(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  get senderHardwareAddress(): number {
    return u48At(this.bytes, this.offset + 8);
  }
  set senderHardwareAddress(value: number) {
    putU48(this.bytes, this.offset + 8, value);
  }

  get senderProtocolAddress(): number {
    return u32At(this.bytes, this.offset + 14);
  }
  set senderProtocolAddress(value: number) {
    putU32(this.bytes, this.offset + 14, value);
  }

  get targetHardwareAddress(): number {
    return u48At(this.bytes, this.offset + 18);
  }
  set targetHardwareAddress(value: number) {
    putU48(this.bytes, this.offset + 18, value);
  }

  get targetProtocolAddress(): number {
    return u32At(this.bytes, this.offset + 24);
  }
  set targetProtocolAddress(value: number) {
    putU32(this.bytes, this.offset + 24, value);
  }

  get senderHardwareAddressText(): string {
    return macText(this.senderHardwareAddress);
  }

  get senderProtocolAddressText(): string {
    return ipv4Text(this.senderProtocolAddress);
  }

  get targetHardwareAddressText(): string {
    return macText(this.targetHardwareAddress);
  }

  get targetProtocolAddressText(): string {
    return ipv4Text(this.targetProtocolAddress);
  }
}

/** Writes an ARP packet for IPv4 over Ethernet. @returns the offset behind it. */
export function emitArp(out: Uint8Array, offset: number, fields: ArpFields): number {
  requireRoom('arp', out, offset, ARP_LENGTH);
  requireField('arp operation', fields.operation, 0xffff);
  putU16(out, offset, 1);
  putU16(out, offset + 2, EtherType.ipv4);
  putU16(out, offset + 4, 0x0604);
  putU16(out, offset + 6, fields.operation);
  putMac(out, offset + 8, fields.senderHardwareAddress);
  putIpv4(out, offset + 14, fields.senderProtocolAddress);
  putMac(out, offset + 18, fields.targetHardwareAddress ?? 0);
  putIpv4(out, offset + 24, fields.targetProtocolAddress);
  return offset + ARP_LENGTH;
}
