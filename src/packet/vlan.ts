import { inside, PacketView, refusal, requireField, requireRoom } from './view.ts';
import { putU16, u16At } from './wire.ts';

/**
 * An 802.1Q or 802.1ad tag (IEEE 802.1Q, clause 9.6), as it follows the EtherType that announced it: the tag
 * control information, then the EtherType of what the tag carries.
 */
export const VLAN_LENGTH = 4;

export interface VlanFields {
  /** 0 to 4095; 0 carries a priority only. */
  readonly id: number;
  /** The priority code point, 0 to 7. Default is 0. */
  readonly priority?: number;
  /** Default is false. */
  readonly dropEligible?: boolean;
  readonly etherType: number;
}

export class VlanView extends PacketView {
  /** @throws CodecError if fewer than 4 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('vlan', bytes, offset, end, VLAN_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, VLAN_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + VLAN_LENGTH;
  }

  /** Priority, drop eligible and id in one. */
  get tci(): number {
    return u16At(this.bytes, this.offset);
  }
  set tci(value: number) {
    putU16(this.bytes, this.offset, value);
  }

  get priority(): number {
    return this.bytes[this.offset]! >>> 5;
  }
  set priority(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0x1f) | (value << 5);
  }

  get dropEligible(): boolean {
    return (this.bytes[this.offset]! & 0x10) !== 0;
  }
  set dropEligible(value: boolean) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0xef) | (value ? 0x10 : 0);
  }

  get id(): number {
    return u16At(this.bytes, this.offset) & 0x0fff;
  }
  set id(value: number) {
    putU16(this.bytes, this.offset, (this.tci & 0xf000) | (value & 0x0fff));
  }

  get etherType(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set etherType(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }
}

/** Writes a tag. The header before it carries the tag's own EtherType. @returns the offset behind it. */
export function emitVlan(out: Uint8Array, offset: number, fields: VlanFields): number {
  return writeVlan(out, offset, fields, fields.etherType);
}

/** As {@link emitVlan}, with what the builder found out. */
export function writeVlan(
  out: Uint8Array,
  offset: number,
  fields: Omit<VlanFields, 'etherType'>,
  etherType: number,
): number {
  const { id, priority = 0, dropEligible = false } = fields;
  requireRoom('vlan', out, offset, VLAN_LENGTH);
  requireField('vlan id', id, 0x0fff);
  requireField('vlan priority', priority, 7);
  requireField('vlan etherType', etherType, 0xffff);
  putU16(out, offset, (priority << 13) | (dropEligible ? 0x1000 : 0) | id);
  putU16(out, offset + 2, etherType);
  return offset + VLAN_LENGTH;
}
