import { ArgumentError, CodecError } from '../error.ts';
import type { Btf } from './decode.ts';
import type { BtfMember, BtfSectionVariable } from './type.ts';

/**
 * What a C value becomes in TypeScript.
 *
 * Integers and enumerations of up to 32 bits are numbers, wider ones and pointers bigints, `bool` a boolean. A `char`
 * array is text up to its first zero, an array of other bytes a `Uint8Array`, every other array an array. Structs and
 * unions are objects; the members of anonymous ones belong to the one around them.
 */
export type BtfValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly BtfValue[]
  | { readonly [member: string]: BtfValue };

/** Reads and writes values of one type. */
export interface BtfCodec {
  /** In bytes. */
  readonly size: number;
  read(view: DataView, offset: number): BtfValue;
  /**
   * Members that an object leaves out become zero; of a union the last one given counts. Where bytes are wanted, a
   * `Uint8Array` of the type's size is always taken as it is.
   *
   * @throws ArgumentError when the value does not fit; the message names the member.
   */
  write(view: DataView, offset: number, value: unknown): void;
}

/** Structs deeper than this are refused; the kernel takes 32 levels as well. */
const MAX_DEPTH = 32;
/** Codecs that one type may need in all, so that types that grow exponentially end. */
const MAX_PARTS = 25_000;
const INTEGER_SIZES: ReadonlySet<number> = new Set([1, 2, 4, 8, 16]);
/** Values that one type may come to, beside those that its bytes account for: empty and overlapping ones multiply. */
const MAX_VALUES = 100_000;
/** How many members of unions may look at the same byte, on the average. */
const VALUES_A_BYTE = 64;

/**
 * The codec of a type: little-endian, as on every machine Barewire runs on.
 *
 * @throws CodecError for a type without values (`void`, a function, a forward) or one without measure.
 */
export function valueCodec(btf: Btf, type: number): BtfCodec {
  return new CodecBuilder(btf).build(type, '', 0);
}

class CodecBuilder {
  readonly #btf: Btf;
  #parts = 0;
  /** How many values one reading gives, where that is not one. */
  readonly #values = new Map<BtfCodec, number>();

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  build(id: number, path: string, depth: number): BtfCodec {
    if (depth > MAX_DEPTH || ++this.#parts > MAX_PARTS) {
      throw new CodecError('btf', 0, `type ${id} nests too deeply or is too large to read values of`);
    }
    const resolved = this.#btf.resolve(id);
    if (resolved === 0) throw new CodecError('btf', 0, `type ${id} is void, which has no values`);
    const type = this.#btf.type(resolved);
    switch (type.kind) {
      case 'int':
        if (!INTEGER_SIZES.has(type.size))
          throw new CodecError('btf', 0, `type ${id} is an integer of ${type.size} bytes`);
        if (type.encoding === 'bool') return boolCodec(type.size, path);
        return integerCodec(type.size, type.encoding === 'signed', path);
      case 'enum':
      case 'enum64':
        if (!INTEGER_SIZES.has(type.size))
          throw new CodecError('btf', 0, `type ${id} is an enum of ${type.size} bytes`);
        return integerCodec(type.size, type.signed, path);
      case 'ptr':
        return integerCodec(8, false, path);
      case 'float':
        return floatCodec(type.size, path);
      case 'array':
        return this.#array(type.type, type.length, path, depth);
      case 'struct':
      case 'union':
        return this.#composite(type.members, type.size, path === '' ? type.name : path, depth);
      case 'var':
        return this.build(type.type, path, depth + 1);
      case 'datasec':
        return this.#section(type.variables, type.size, depth);
      default:
        throw new CodecError('btf', 0, `type ${id} is a ${type.kind}, which has no values`);
    }
  }

  #array(elementId: number, length: number, path: string, depth: number): BtfCodec {
    const resolved = this.#btf.resolve(elementId);
    const element = resolved === 0 ? undefined : this.#btf.type(resolved);
    if (element?.kind === 'int' && element.size === 1 && element.encoding !== 'bool') {
      return element.name === 'char' ? textCodec(length, path) : bytesCodec(length, path);
    }
    const inner = this.build(elementId, `${path}[]`, depth + 1);
    const size = inner.size * length;
    return this.#counted(length * this.#valuesOf(inner), {
      size,
      read: (view, offset) => Array.from({ length }, (_, i) => inner.read(view, offset + i * inner.size)),
      write(view, offset, value) {
        if (asIs(view, offset, size, value)) return;
        if (!Array.isArray(value) || value.length !== length) {
          throw new ArgumentError(`${at(path)}expected an array of ${length} elements`);
        }
        for (let i = 0; i < length; i++) inner.write(view, offset + i * inner.size, value[i]);
      },
    });
  }

  #valuesOf(codec: BtfCodec): number {
    return this.#values.get(codec) ?? 1;
  }

  #counted(values: number, codec: BtfCodec): BtfCodec {
    if (values > MAX_VALUES + codec.size * VALUES_A_BYTE) {
      throw new CodecError('btf', 0, `a type of ${codec.size} bytes that comes to ${values} values`);
    }
    this.#values.set(codec, values);
    return codec;
  }

  #composite(members: readonly BtfMember[], size: number, path: string, depth: number): BtfCodec {
    const parts: { name: string; offset: number; codec: BtfCodec }[] = [];
    for (const member of members) {
      const named = `${path}.${member.name}`;
      const codec = this.#member(member, named, depth);
      if (codec === undefined) continue;
      const offset = member.bitSize > 0 ? 0 : Math.floor(member.bitOffset / 8);
      if (offset + codec.size > size) {
        throw new CodecError('btf', 0, `member '${named}' passes the end of its struct`);
      }
      parts.push({ name: member.name, offset, codec });
    }
    const known = new Set(this.#names(members, 0));
    const values = parts.reduce((sum, { codec }) => sum + this.#valuesOf(codec), 1);
    return this.#counted(values, {
      size,
      read(view, offset) {
        const value: Record<string, BtfValue> = {};
        for (const part of parts) {
          const read = part.codec.read(view, offset + part.offset);
          if (part.name === '') Object.assign(value, read);
          else value[part.name] = read;
        }
        return value;
      },
      write(view, offset, value) {
        if (asIs(view, offset, size, value)) return;
        if (typeof value !== 'object' || value === null || Array.isArray(value)) {
          throw new ArgumentError(`${at(path)}expected an object, got ${shown(value)}`);
        }
        new Uint8Array(view.buffer, view.byteOffset + offset, size).fill(0);
        for (const name of Object.keys(value)) {
          if (!known.has(name)) throw new ArgumentError(`${at(path)}there is no member '${name}'`);
        }
        writeMembers(view, offset, value as Record<string, unknown>, parts);
      },
    });
  }

  /** A data section: an object of its variables. */
  #section(variables: readonly BtfSectionVariable[], size: number, depth: number): BtfCodec {
    const parts = variables.map(({ type, offset }) => {
      const name = this.#btf.name(type);
      return { name, offset, codec: this.build(type, name, depth + 1) };
    });
    for (const { name, offset, codec } of parts) {
      if (offset + codec.size > size) throw new CodecError('btf', 0, `variable '${name}' passes its section`);
    }
    const values = parts.reduce((sum, { codec }) => sum + this.#valuesOf(codec), 1);
    return this.#counted(values, {
      size,
      read: (view, offset) =>
        Object.fromEntries(parts.map((part) => [part.name, part.codec.read(view, offset + part.offset)])),
      write(view, offset, value) {
        if (asIs(view, offset, size, value)) return;
        if (typeof value !== 'object' || value === null) {
          throw new ArgumentError(`expected an object of variables, got ${shown(value)}`);
        }
        writeMembers(view, offset, value as Record<string, unknown>, parts);
      },
    });
  }

  #member(member: BtfMember, path: string, depth: number): BtfCodec | undefined {
    if (member.bitSize > 0) {
      const resolved = this.#btf.resolve(member.type);
      const type = resolved === 0 ? undefined : this.#btf.type(resolved);
      const signed =
        type?.kind === 'int' ? type.encoding === 'signed' : type?.kind === 'enum' ? type.signed : false;
      return bitFieldCodec(member.bitOffset, member.bitSize, signed, path);
    }
    const resolved = this.#btf.resolve(member.type);
    if (resolved !== 0) {
      const type = this.#btf.type(resolved);
      if (member.name === '' && (type.kind === 'struct' || type.kind === 'union')) {
        if (depth > MAX_DEPTH) throw new CodecError('btf', 0, `type ${resolved} nests too deeply`);
        return this.#anonymous(type.members, type.size, path, depth + 1);
      }
      if (member.name === '') return undefined;
      // A flexible array at the end has no bytes of its own.
      if (type.kind === 'array' && type.length === 0) return undefined;
    }
    return this.build(member.type, path, depth + 1);
  }

  /** Its members are written among those of the struct around it, so absent ones must not be taken for zeros. */
  #anonymous(members: readonly BtfMember[], size: number, path: string, depth: number): BtfCodec {
    const codec = this.#composite(members, size, path, depth);
    const names = this.#names(members, 0);
    return this.#counted(this.#valuesOf(codec), {
      ...codec,
      write(view, offset, value) {
        const own = value as Record<string, unknown>;
        const given = names.filter((name) => own[name] !== undefined);
        if (given.length > 0) {
          codec.write(view, offset, Object.fromEntries(given.map((name) => [name, own[name]])));
        }
      },
    });
  }

  #names(members: readonly BtfMember[], depth: number): string[] {
    if (depth > MAX_DEPTH) throw new CodecError('btf', 0, 'a struct nests too deeply');
    return members.flatMap((member) => {
      if (member.name !== '') return [member.name];
      if (++this.#parts > MAX_PARTS) throw new CodecError('btf', 0, 'a struct is too large');
      const resolved = this.#btf.resolve(member.type);
      const type = resolved === 0 ? undefined : this.#btf.type(resolved);
      return type?.kind === 'struct' || type?.kind === 'union' ? this.#names(type.members, depth + 1) : [];
    });
  }
}

function writeMembers(
  view: DataView,
  offset: number,
  value: Readonly<Record<string, unknown>>,
  parts: readonly { readonly name: string; readonly offset: number; readonly codec: BtfCodec }[],
): void {
  for (const { name, offset: within, codec } of parts) {
    if (name === '') codec.write(view, offset + within, value);
    else if (value[name] !== undefined) codec.write(view, offset + within, value[name]);
  }
}

function integerCodec(size: number, signed: boolean, path: string): BtfCodec {
  const bits = size * 8;
  const min = signed ? -(2n ** BigInt(bits - 1)) : 0n;
  const max = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  const check = (value: unknown): bigint => {
    const whole =
      typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
        ? BigInt(value)
        : undefined;
    if (whole === undefined || whole < min || whole > max) {
      const name = `${signed ? 'a signed' : 'an unsigned'} integer of ${bits} bits`;
      throw new ArgumentError(`${at(path)}${shown(value)} does not fit ${name}`);
    }
    return whole;
  };
  const put = (view: DataView, offset: number, value: bigint): void => {
    for (let i = 0; i < size; i++) view.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
  };
  const write = (view: DataView, offset: number, value: unknown): void => {
    if (!asIs(view, offset, size, value)) put(view, offset, BigInt.asUintN(bits, check(value)));
  };
  switch (size) {
    case 1:
      return { size, write, read: signed ? (v, o) => v.getInt8(o) : (v, o) => v.getUint8(o) };
    case 2:
      return { size, write, read: signed ? (v, o) => v.getInt16(o, true) : (v, o) => v.getUint16(o, true) };
    case 4:
      return { size, write, read: signed ? (v, o) => v.getInt32(o, true) : (v, o) => v.getUint32(o, true) };
    case 8:
      return {
        size,
        write,
        read: signed ? (v, o) => v.getBigInt64(o, true) : (v, o) => v.getBigUint64(o, true),
      };
    default:
      return {
        size,
        write,
        read(view, offset) {
          let value = 0n;
          for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(offset + i));
          return signed ? BigInt.asIntN(bits, value) : value;
        },
      };
  }
}

function boolCodec(size: number, path: string): BtfCodec {
  const integer = integerCodec(size, false, path);
  return {
    size,
    read: (view, offset) => Number(integer.read(view, offset)) !== 0,
    write: (view, offset, value) =>
      integer.write(view, offset, typeof value === 'boolean' ? Number(value) : value),
  };
}

function floatCodec(size: number, path: string): BtfCodec {
  if (size !== 4 && size !== 8) return bytesCodec(size, path);
  return {
    size,
    read: (view, offset) => (size === 4 ? view.getFloat32(offset, true) : view.getFloat64(offset, true)),
    write(view, offset, value) {
      if (typeof value !== 'number') throw new ArgumentError(`${at(path)}${shown(value)} is no number`);
      if (size === 4) view.setFloat32(offset, value, true);
      else view.setFloat64(offset, value, true);
    },
  };
}

function bytesCodec(size: number, path: string): BtfCodec {
  return {
    size,
    read: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
    write(view, offset, value) {
      if (asIs(view, offset, size, value)) return;
      const bytes = Array.isArray(value) ? Uint8Array.from(value as number[]) : undefined;
      if (bytes?.length !== size)
        throw new ArgumentError(`${at(path)}expected ${size} bytes, got ${shown(value)}`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(bytes);
    },
  };
}

/** `char` arrays: text, as C writes it. */
function textCodec(size: number, path: string): BtfCodec {
  const bytes = bytesCodec(size, path);
  return {
    size,
    read(view, offset) {
      const all = new Uint8Array(view.buffer, view.byteOffset + offset, size);
      const end = all.indexOf(0);
      // A copy: decoders refuse memory that is shared with the kernel.
      return utf8.decode(all.slice(0, end < 0 ? size : end));
    },
    write(view, offset, value) {
      if (typeof value !== 'string') return bytes.write(view, offset, value);
      const encoded = new TextEncoder().encode(value);
      if (encoded.length > size) {
        throw new ArgumentError(`${at(path)}a text of ${encoded.length} bytes does not fit ${size}`);
      }
      const target = new Uint8Array(view.buffer, view.byteOffset + offset, size);
      target.fill(0);
      target.set(encoded);
    },
  };
}

/** Bit fields are counted from the start of the struct, the least significant bit first. */
function bitFieldCodec(bitOffset: number, bitSize: number, signed: boolean, path: string): BtfCodec {
  const first = Math.floor(bitOffset / 8);
  const shift = BigInt(bitOffset % 8);
  const span = Math.ceil(((bitOffset % 8) + bitSize) / 8);
  const gather = (view: DataView, offset: number): bigint => {
    let word = 0n;
    for (let i = span - 1; i >= 0; i--) word = (word << 8n) | BigInt(view.getUint8(offset + first + i));
    return word;
  };
  return {
    size: first + span,
    read(view, offset) {
      const raw = BigInt.asUintN(bitSize, gather(view, offset) >> shift);
      const value = signed ? BigInt.asIntN(bitSize, raw) : raw;
      return bitSize > 32 ? value : Number(value);
    },
    write(view, offset, value) {
      const whole = typeof value === 'boolean' ? Number(value) : value;
      const given =
        typeof whole === 'bigint' || (typeof whole === 'number' && Number.isSafeInteger(whole))
          ? BigInt(whole)
          : undefined;
      const fits =
        given !== undefined &&
        (signed ? BigInt.asIntN(bitSize, given) === given : BigInt.asUintN(bitSize, given) === given);
      if (given === undefined || !fits) {
        throw new ArgumentError(`${at(path)}${shown(value)} does not fit a field of ${bitSize} bits`);
      }
      const mask = ((1n << BigInt(bitSize)) - 1n) << shift;
      const word = (gather(view, offset) & ~mask) | ((given << shift) & mask);
      for (let i = 0; i < span; i++)
        view.setUint8(offset + first + i, Number((word >> BigInt(8 * i)) & 0xffn));
    },
  };
}

/** Bytes of the type's size are taken for any type. */
function asIs(view: DataView, offset: number, size: number, value: unknown): boolean {
  if (!(value instanceof Uint8Array)) return false;
  if (value.length !== size) throw new ArgumentError(`expected ${size} bytes, got ${value.length}`);
  new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
  return true;
}

const utf8 = new TextDecoder();

function shown(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === 'object') return value === null ? 'null' : 'an object';
  return typeof value === 'bigint' ? `${value}n` : String(value);
}

function at(path: string): string {
  return path === '' ? '' : `${path}: `;
}
