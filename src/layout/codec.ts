import { ArgumentError } from '../error.ts';
import { describe, type IntLayout, type Layout } from './layout.ts';

/** Reads and writes values of one layout. Made once per layout, used for every entry. */
export interface Codec<T> {
  readonly size: number;
  read(view: DataView, offset: number): T;
  /** @throws ArgumentError when the value does not fit; the message names the field. */
  write(view: DataView, offset: number, value: T): void;
}

const codecs = new WeakMap<Layout, Codec<unknown>>();

/** The codec of a layout; the same object each time. */
export function codecOf<T>(layout: Layout<T>): Codec<T> {
  let codec = codecs.get(layout);
  if (codec === undefined) {
    codec = build(layout, '');
    codecs.set(layout, codec);
  }
  return codec as Codec<T>;
}

/** One value as fresh bytes. */
export function encode<T>(layout: Layout<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  codecOf(layout).write(new DataView(bytes.buffer), 0, value);
  return bytes;
}

/** The value at the start of `bytes`. */
export function decode<T>(layout: Layout<T>, bytes: Uint8Array): T {
  if (bytes.length < layout.size) {
    throw new ArgumentError(`${describe(layout)} takes ${layout.size} bytes, ${bytes.length} were given`);
  }
  return codecOf(layout).read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
}

function build(layout: Layout, path: string): Codec<unknown> {
  switch (layout.kind) {
    case 'int':
      return buildInt(layout, path);
    case 'bytes':
      return buildBytes(layout.size, path);
    case 'array':
      return buildArray(layout.element, layout.length, path);
    case 'struct':
      return buildStruct(layout, path);
  }
}

function buildInt(layout: IntLayout, path: string): Codec<unknown> {
  const little = layout.order === 'host';
  const { size, signed } = layout;
  if (size === 8) {
    const min = signed ? -(1n << 63n) : 0n;
    const max = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n;
    return {
      size,
      read: signed ? (v, o) => v.getBigInt64(o, little) : (v, o) => v.getBigUint64(o, little),
      write(v, o, value) {
        if (typeof value !== 'bigint' || value < min || value > max) throw misfit(layout, path, value);
        if (signed) v.setBigInt64(o, value, little);
        else v.setBigUint64(o, value, little);
      },
    };
  }
  const min = signed ? -(2 ** (size * 8 - 1)) : 0;
  const max = 2 ** (size * 8 - (signed ? 1 : 0)) - 1;
  const check = (value: unknown): number => {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw misfit(layout, path, value);
    }
    return value as number;
  };
  if (size === 4) {
    return {
      size,
      read: signed ? (v, o) => v.getInt32(o, little) : (v, o) => v.getUint32(o, little),
      write: (v, o, value) => v.setUint32(o, check(value), little),
    };
  }
  if (size === 2) {
    return {
      size,
      read: signed ? (v, o) => v.getInt16(o, little) : (v, o) => v.getUint16(o, little),
      write: (v, o, value) => v.setUint16(o, check(value), little),
    };
  }
  return {
    size,
    read: signed ? (v, o) => v.getInt8(o) : (v, o) => v.getUint8(o),
    write: (v, o, value) => v.setUint8(o, check(value)),
  };
}

function buildBytes(size: number, path: string): Codec<unknown> {
  return {
    size,
    read: (v, o) => new Uint8Array(v.buffer, v.byteOffset + o, size).slice(),
    write(v, o, value) {
      if (!(value instanceof Uint8Array) || value.length !== size) {
        const got = value instanceof Uint8Array ? `${value.length} bytes` : typeof value;
        throw new ArgumentError(`${at(path)}expected a Uint8Array of ${size} bytes, got ${got}`);
      }
      new Uint8Array(v.buffer, v.byteOffset + o, size).set(value);
    },
  };
}

function buildArray(element: Layout, length: number, path: string): Codec<unknown> {
  const inner = build(element, `${path}[]`);
  const step = element.size;
  return {
    size: step * length,
    read(v, o) {
      const values = new Array<unknown>(length);
      for (let i = 0; i < length; i++) values[i] = inner.read(v, o + i * step);
      return values;
    },
    write(v, o, value) {
      if (!Array.isArray(value) || value.length !== length) {
        throw new ArgumentError(`${at(path)}expected an array of ${length} elements`);
      }
      for (let i = 0; i < length; i++) inner.write(v, o + i * step, value[i]);
    },
  };
}

function buildStruct(layout: Extract<Layout, { kind: 'struct' }>, path: string): Codec<unknown> {
  const fields = layout.fields.map((field) => ({
    name: field.name,
    offset: field.offset,
    codec: build(field.layout, `${path === '' ? layout.name : path}.${field.name}`),
  }));
  const { size } = layout;
  const padded = layout.fields.reduce((sum, field) => sum + field.layout.size, 0) !== size;
  return {
    size,
    read(v, o) {
      const value: Record<string, unknown> = {};
      for (const field of fields) value[field.name] = field.codec.read(v, o + field.offset);
      return value;
    },
    write(v, o, value) {
      if (typeof value !== 'object' || value === null) {
        throw new ArgumentError(
          `${at(path)}expected an object for struct ${layout.name}, got ${typeof value}`,
        );
      }
      if (padded) new Uint8Array(v.buffer, v.byteOffset + o, size).fill(0);
      for (const field of fields) {
        field.codec.write(v, o + field.offset, (value as Record<string, unknown>)[field.name]);
      }
    },
  };
}

function misfit(layout: IntLayout, path: string, value: unknown): ArgumentError {
  const bits = layout.size * 8;
  const range = layout.signed ? `-2^${bits - 1} to 2^${bits - 1}-1` : `0 to 2^${bits}-1`;
  const kind = layout.size === 8 ? 'a bigint' : 'a whole number';
  const shown = typeof value === 'bigint' ? `${value}n` : String(value);
  return new ArgumentError(`${at(path)}${shown} does not fit ${layout.name}: ${kind} of ${range} is needed`);
}

function at(path: string): string {
  return path === '' ? '' : `${path}: `;
}
