import { ArgumentError, CodecError } from '../error.ts';

/*
 * struct nlattr (linux/netlink.h): every payload is padded to four bytes, the length counts no padding.
 *
 *   0       2        4                  length    aligned to 4
 *   | length | N O type | payload ......... | padding |
 *              N: the payload is attributes itself     O: the payload is in network order
 */
export const ATTRIBUTE_HEADER_BYTES = 4;

const NESTED = 0x8000;
const NET_BYTE_ORDER = 0x4000;
const TYPE_MASK = 0x3fff;
const MAX_LENGTH = 0xffff;

const FORMAT = 'netlink attribute';

/** One attribute as it travels: its payload is still bytes. */
export interface Attribute {
  /** 14 bits; what it means depends on the message. */
  readonly type: number;
  /** `NLA_F_NESTED`: the payload is attributes. Older kernel code leaves the mark out. */
  readonly nested: boolean;
  /** `NLA_F_NET_BYTEORDER`. Most attributes in network order do without the mark. */
  readonly netByteOrder: boolean;
  readonly payload: Uint8Array;
}

/** A value and which of its bits count, `struct nla_bitfield32`. */
export interface Bitfield32 {
  readonly value: number;
  readonly selector: number;
}

/** An attribute whose payload is `bytes` as they are. */
export function bytesAttribute(type: number, bytes: Uint8Array): Attribute {
  return { type, nested: false, netByteOrder: false, payload: bytes };
}

/** An attribute that says all by being there. */
export function flagAttribute(type: number): Attribute {
  return bytesAttribute(type, new Uint8Array(0));
}

export function u8Attribute(type: number, value: number): Attribute {
  return bytesAttribute(type, Uint8Array.of(unsigned(value, 8)));
}

export function u16Attribute(type: number, value: number): Attribute {
  const view = new DataView(new ArrayBuffer(2));
  view.setUint16(0, unsigned(value, 16), true);
  return bytesAttribute(type, bytesOf(view));
}

/** Network order in the payload. */
export function be16Attribute(type: number, value: number): Attribute {
  const view = new DataView(new ArrayBuffer(2));
  view.setUint16(0, unsigned(value, 16));
  return bytesAttribute(type, bytesOf(view));
}

export function u32Attribute(type: number, value: number): Attribute {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, unsigned(value, 32), true);
  return bytesAttribute(type, bytesOf(view));
}

/** Network order in the payload. */
export function be32Attribute(type: number, value: number): Attribute {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, unsigned(value, 32));
  return bytesAttribute(type, bytesOf(view));
}

export function i32Attribute(type: number, value: number): Attribute {
  if (!Number.isInteger(value) || value < -(2 ** 31) || value >= 2 ** 31) {
    throw new ArgumentError(`${value} is not a whole number of -2^31 to 2^31-1`);
  }
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  return bytesAttribute(type, bytesOf(view));
}

export function u64Attribute(type: number, value: bigint): Attribute {
  if (value < 0n || value >= 1n << 64n) {
    throw new ArgumentError(`${value}n is not a bigint of 0 to 2^64-1`);
  }
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return bytesAttribute(type, bytesOf(view));
}

/**
 * A number that may be left out: one attribute or none.
 *
 * @param name What the caller calls it, for the message when it does not fit.
 */
export function numberOption(
  name: string,
  bits: 8 | 16 | 32,
  type: number,
  value: number | undefined,
): Attribute[] {
  if (value === undefined) return [];
  if (!fits(value, bits)) {
    throw new ArgumentError(`'${name}' is ${value}, it must be a whole number of 0 to ${2 ** bits - 1}`);
  }
  return [{ 8: u8Attribute, 16: u16Attribute, 32: u32Attribute }[bits](type, value)];
}

/** UTF-8 with the closing NUL that the kernel's string policies expect. */
export function stringAttribute(type: number, value: string): Attribute {
  if (value.includes('\0')) throw new ArgumentError(`${JSON.stringify(value)} contains a NUL`);
  return bytesAttribute(type, new TextEncoder().encode(`${value}\0`));
}

export function bitfield32Attribute(type: number, field: Bitfield32): Attribute {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, unsigned(field.value, 32), true);
  view.setUint32(4, unsigned(field.selector, 32), true);
  return bytesAttribute(type, bytesOf(view));
}

/** Attributes within an attribute, marked as nested. */
export function nestedAttribute(type: number, children: readonly Attribute[]): Attribute {
  return { type, nested: true, netByteOrder: false, payload: encodeAttributes(children) };
}

/** The attributes one after the other, each padded to four bytes. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  let size = 0;
  for (const attribute of attributes) size += align4(ATTRIBUTE_HEADER_BYTES + attribute.payload.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const { type, nested, netByteOrder, payload } of attributes) {
    const length = ATTRIBUTE_HEADER_BYTES + payload.length;
    if (!Number.isInteger(type) || type < 0 || type > TYPE_MASK) {
      throw new ArgumentError(`attribute type ${type} is not a whole number of 0 to ${TYPE_MASK}`);
    }
    if (nested && netByteOrder) {
      throw new ArgumentError(`attribute ${type} cannot be nested and in network order at once`);
    }
    if (length > MAX_LENGTH) {
      throw new ArgumentError(`attribute ${type} has ${payload.length} bytes, netlink takes up to 65531`);
    }
    view.setUint16(offset, length, true);
    view.setUint16(offset + 2, type | (nested ? NESTED : 0) | (netByteOrder ? NET_BYTE_ORDER : 0), true);
    bytes.set(payload, offset + ATTRIBUTE_HEADER_BYTES);
    offset += align4(length);
  }
  return bytes;
}

/**
 * The attributes of a message or of one nested attribute, looked up by type.
 *
 * Every reader gives `undefined` for an attribute that is not there, and throws CodecError for one whose payload
 * has the wrong size. Where a type occurs twice the last one counts, as in the kernel; `list` has them all.
 */
export class Attributes {
  /** In the order they travel in. */
  readonly list: readonly Attribute[];
  /** Offset of each one's header, for messages about faults. */
  readonly #offsets: readonly number[];
  readonly #byType: ReadonlyMap<number, number>;

  private constructor(list: readonly Attribute[], offsets: readonly number[]) {
    this.list = list;
    this.#offsets = offsets;
    this.#byType = new Map(list.map((attribute, i) => [attribute.type, i]));
  }

  /**
   * @param base Where `bytes` starts within the message, so that errors name the place in it.
   * @throws CodecError when the bytes are no sequence of attributes.
   */
  static decode(bytes: Uint8Array, base = 0): Attributes {
    const list: Attribute[] = [];
    const offsets: number[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let offset = 0;
    while (offset < bytes.length) {
      if (bytes.length - offset < ATTRIBUTE_HEADER_BYTES) {
        throw new CodecError(
          FORMAT,
          base + offset,
          `${bytes.length - offset} bytes are left, a header takes 4`,
        );
      }
      const length = view.getUint16(offset, true);
      if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - offset) {
        const left = bytes.length - offset;
        throw new CodecError(FORMAT, base + offset, `the length says ${length}, it must be 4 to ${left}`);
      }
      const flagsAndType = view.getUint16(offset + 2, true);
      list.push({
        type: flagsAndType & TYPE_MASK,
        nested: (flagsAndType & NESTED) !== 0,
        netByteOrder: (flagsAndType & NET_BYTE_ORDER) !== 0,
        payload: bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length),
      });
      offsets.push(base + offset);
      // The padding of the last one may be missing.
      offset += align4(length);
    }
    return new Attributes(list, offsets);
  }

  has(type: number): boolean {
    return this.#byType.has(type);
  }

  u8(type: number): number | undefined {
    return this.#view(type, 1)?.getUint8(0);
  }

  u16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, true);
  }

  be16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0);
  }

  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, true);
  }

  be32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0);
  }

  i32(type: number): number | undefined {
    return this.#view(type, 4)?.getInt32(0, true);
  }

  u64(type: number): bigint | undefined {
    return this.#view(type, 8)?.getBigUint64(0, true);
  }

  /** The newer "uint" attributes: four bytes, or eight where the value needs them. */
  uint(type: number): bigint | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    return payload.length === 4 ? BigInt(this.u32(type)!) : this.u64(type);
  }

  bitfield32(type: number): Bitfield32 | undefined {
    const view = this.#view(type, 8);
    return view && { value: view.getUint32(0, true), selector: view.getUint32(4, true) };
  }

  /** Up to the first NUL, or to the end. Bytes that are no UTF-8 become U+FFFD. */
  string(type: number): string | undefined {
    const payload = this.bytes(type);
    return payload && decodeString(payload);
  }

  /** The payload as it is; a view on the received bytes. */
  bytes(type: number): Uint8Array | undefined {
    const index = this.#byType.get(type);
    return index === undefined ? undefined : this.list[index]!.payload;
  }

  /** The payload, which must have at least `size` bytes: structs of the kernel grow at their end. */
  struct(type: number, size: number): DataView | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    if (payload.length < size) throw this.#misfit(type, payload.length, `at least ${size}`);
    return new DataView(payload.buffer, payload.byteOffset, payload.length);
  }

  /** The attributes within, whether or not the sender marked it as nested. */
  nested(type: number): Attributes | undefined {
    const index = this.#byType.get(type);
    return index === undefined ? undefined : this.#decodeWithin(index);
  }

  /** Every attribute decoded as nested, or those of one type, in order. */
  children(type?: number): Attributes[] {
    const children: Attributes[] = [];
    for (const [index, attribute] of this.list.entries()) {
      if (type === undefined || attribute.type === type) children.push(this.#decodeWithin(index));
    }
    return children;
  }

  #decodeWithin(index: number): Attributes {
    return Attributes.decode(this.list[index]!.payload, this.#offsets[index]! + ATTRIBUTE_HEADER_BYTES);
  }

  #view(type: number, size: number): DataView | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    if (payload.length !== size) throw this.#misfit(type, payload.length, `${size}`);
    return new DataView(payload.buffer, payload.byteOffset, size);
  }

  #misfit(type: number, length: number, wanted: string): CodecError {
    const offset = this.#offsets[this.#byType.get(type)!]!;
    return new CodecError(FORMAT, offset, `attribute ${type} has ${length} bytes, expected ${wanted}`);
  }
}

/** Text up to the first NUL, or to the end. */
export function decodeString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
}

/** Netlink pads messages and attributes to four bytes. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

function fits(value: number, bits: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** bits;
}

function unsigned(value: number, bits: number): number {
  if (!fits(value, bits)) {
    throw new ArgumentError(`${value} is not a whole number of 0 to ${2 ** bits - 1}`);
  }
  return value;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}
