import { OptionCursor } from './option-cursor.ts';
import {
  emitPayload,
  inside,
  PacketView,
  type PayloadFields,
  refusal,
  requireField,
  requireRoom,
} from './view.ts';
import { copyBytes, putU16, u16At } from './wire.ts';

/** PPPoE, discovery and session stage alike (RFC 2516, section 4). */
export const PPPOE_LENGTH = 6;
/** The version and type that every packet carries, one nibble each. */
const VERSION_TYPE = 0x11;

/** PPPoE tag types (RFC 2516, appendix A; RFC 4638 for maxPayload). */
export const PppoeTagType = {
  endOfList: 0x0000,
  serviceName: 0x0101,
  acName: 0x0102,
  hostUniq: 0x0103,
  acCookie: 0x0104,
  vendorSpecific: 0x0105,
  relaySessionId: 0x0110,
  maxPayload: 0x0120,
  serviceNameError: 0x0201,
  acSystemError: 0x0202,
  genericError: 0x0203,
} as const;

export interface PppoeTag {
  /** `PppoeTagType`. */
  readonly type: number;
  /** Text is written as UTF-8. Decoding gives bytes. */
  readonly data: Uint8Array | string;
}

export interface PppoeFields extends PayloadFields {
  /** `PppoeCode`. */
  readonly code: number;
  readonly sessionId: number;
  /** Of a discovery packet. Default is none. */
  readonly tags?: readonly PppoeTag[];
}

export class PppoeView extends PacketView {
  /**
   * A packet whose `length` exceeds the bytes that are there is accepted and says so in `truncated`.
   *
   * @throws CodecError if fewer than 6 bytes are there or version and type are not 1.
   */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      throw refusal('pppoe', bytes, offset, end, PPPOE_LENGTH, 'not version 1 and type 1');
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, PPPOE_LENGTH) || bytes[offset] !== VERSION_TYPE) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the tags of a discovery packet or the PPP frame of a session begin. */
  get payloadOffset(): number {
    return this.offset + PPPOE_LENGTH;
  }

  /** Where they end by `length`, without Ethernet's padding; never past `end`. */
  get payloadEnd(): number {
    return Math.min(this.end, this.offset + PPPOE_LENGTH + this.length);
  }

  /** Whether `length` promises more bytes than are there. */
  get truncated(): boolean {
    return this.offset + PPPOE_LENGTH + this.length > this.end;
  }

  get version(): number {
    return this.bytes[this.offset]! >>> 4;
  }
  set version(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0x0f) | (value << 4);
  }

  get type(): number {
    return this.bytes[this.offset]! & 0x0f;
  }
  set type(value: number) {
    this.bytes[this.offset] = (this.bytes[this.offset]! & 0xf0) | (value & 0x0f);
  }

  get code(): number {
    return this.bytes[this.offset + 1]!;
  }
  set code(value: number) {
    this.bytes[this.offset + 1] = value;
  }

  get sessionId(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set sessionId(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }

  /** Bytes behind this header. */
  get length(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set length(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }
}

/**
 * Walks the tags of a discovery packet without allocating; an end-of-list tag ends them.
 *
 *     cursor.start(view.bytes, view.payloadOffset, view.payloadEnd);
 *     while (cursor.next()) if (cursor.type === PppoeTagType.acCookie) …
 */
export class PppoeTagCursor extends OptionCursor {
  constructor() {
    super('pppoe');
  }

  /** Steps to the next tag; false behind the last. @throws CodecError if a tag runs past the packet. */
  override next(): boolean {
    const { end } = this;
    const offset = this.nextOffset;
    if (offset >= end) return false;
    const after = offset + 4 <= end ? offset + 4 + u16At(this.bytes, offset + 2) : Number.POSITIVE_INFINITY;
    if (after > end) throw this.malformed(offset, 'a tag runs past its packet');
    this.type = u16At(this.bytes, offset);
    if (this.type === PppoeTagType.endOfList) {
      this.nextOffset = end;
      return false;
    }
    this.offset = offset;
    this.dataOffset = offset + 4;
    this.dataEnd = after;
    this.nextOffset = after;
    return true;
  }
}

/** The tags in a range as plain data. @throws CodecError if they are malformed. */
export function decodePppoeTags(
  bytes: Uint8Array,
  offset: number,
  end: number,
): { type: number; data: Uint8Array }[] {
  const cursor = new PppoeTagCursor().start(bytes, offset, end);
  const tags: { type: number; data: Uint8Array }[] = [];
  while (cursor.next()) {
    tags.push({ type: cursor.type, data: copyBytes(bytes, cursor.dataOffset, cursor.dataEnd) });
  }
  return tags;
}

/**
 * Writes a PPPoE header and, for discovery, its tags; or the payload if one is given.
 *
 * @returns the offset behind what was written.
 */
export function emitPppoe(out: Uint8Array, offset: number, fields: PppoeFields): number {
  const payloadLength = emitPayload('pppoe', out, offset, pppoeLength(fields), fields);
  const end = writePppoe(out, offset, fields, payloadLength);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitPppoe}, without the payload. @returns the end of the header and its tags. */
export function writePppoe(
  out: Uint8Array,
  offset: number,
  fields: Omit<PppoeFields, keyof PayloadFields>,
  payloadLength: number,
): number {
  const { code, sessionId, tags = [] } = fields;
  requireRoom('pppoe', out, offset, PPPOE_LENGTH);
  requireField('pppoe code', code, 0xff);
  requireField('pppoe sessionId', sessionId, 0xffff);
  let end = offset + PPPOE_LENGTH;
  for (const tag of tags) end = emitTag(out, end, tag);
  const length = end - offset - PPPOE_LENGTH + payloadLength;
  requireField('pppoe length', length, 0xffff);
  out[offset] = VERSION_TYPE;
  out[offset + 1] = code;
  putU16(out, offset + 2, sessionId);
  putU16(out, offset + 4, length);
  return end;
}

/** Bytes of the header and tags that {@link emitPppoe} would write. */
export function pppoeLength(fields: Pick<PppoeFields, 'tags'>): number {
  return (fields.tags ?? []).reduce((length, tag) => length + 4 + dataOf(tag).length, PPPOE_LENGTH);
}

function emitTag(out: Uint8Array, offset: number, tag: PppoeTag): number {
  const data = dataOf(tag);
  requireRoom('pppoe tag', out, offset, 4 + data.length);
  requireField('pppoe tag type', tag.type, 0xffff);
  requireField('pppoe tag length', data.length, 0xffff);
  putU16(out, offset, tag.type);
  putU16(out, offset + 2, data.length);
  out.set(data, offset + 4);
  return offset + 4 + data.length;
}

function dataOf(tag: PppoeTag): Uint8Array {
  return typeof tag.data === 'string' ? new TextEncoder().encode(tag.data) : tag.data;
}

/** Whether the tags in a range follow each other without an overrun, to their end or an end-of-list; nothing is thrown. */
export function arePppoeTags(bytes: Uint8Array, offset: number, end: number): boolean {
  let at = offset;
  while (at < end) {
    if (at + 4 > end) return false;
    const after = at + 4 + u16At(bytes, at + 2);
    if (after > end) return false;
    if (u16At(bytes, at) === PppoeTagType.endOfList) return true;
    at = after;
  }
  return true;
}
