import type { Layout } from '../../layout/index.ts';
import type { HeaderField, HeaderLayout } from '../../packet/headers.ts';

/** Memory as a program sees it in Node: reads and writes wrap and swap exactly as the compiled program does. */
export interface Memory {
  readonly view: DataView;
  /** Where the value begins. */
  readonly offset: number;
}

/** Thrown by a view whose packet or map has changed under it. */
export class StaleView extends Error {}

/** The live view of a map's value: its fields read and write the bytes. */
export function viewOf(layout: Layout, memory: Memory): unknown {
  if (layout.kind === 'struct') return partOf(layout, memory);
  return accessors({ value: { layout, offset: 0 } }, memory);
}

function partOf(layout: Layout, memory: Memory): unknown {
  if (layout.kind === 'struct') {
    return accessors(
      Object.fromEntries(layout.fields.map((f) => [f.name, { layout: f.layout, offset: f.offset }])),
      memory,
    );
  }
  if (layout.kind === 'array') {
    const items: Record<string, { layout: Layout; offset: number }> = {};
    for (let i = 0; i < layout.length; i++) {
      items[i] = { layout: layout.element, offset: i * layout.element.size };
    }
    return accessors(items, memory);
  }
  return readPart(layout, memory);
}

function accessors(parts: Record<string, { layout: Layout; offset: number }>, memory: Memory): unknown {
  const object = {};
  for (const [name, { layout, offset }] of Object.entries(parts)) {
    const place: Memory = {
      get view(): DataView {
        return memory.view;
      },
      offset: memory.offset + offset,
    };
    Object.defineProperty(object, name, {
      enumerable: true,
      get: () => partOf(layout, place),
      set: (value: unknown) => writePart(layout, place, value),
    });
  }
  return Object.seal(object);
}

function readPart(layout: Layout, { view, offset }: Memory): unknown {
  if (layout.kind === 'bytes') return bytesAt(view, offset, layout.size).slice();
  if (layout.kind !== 'int') return undefined;
  const little = layout.order === 'host';
  switch (layout.size) {
    case 1:
      return layout.signed ? view.getInt8(offset) : view.getUint8(offset);
    case 2:
      return layout.signed ? view.getInt16(offset, little) : view.getUint16(offset, little);
    case 4:
      return layout.signed ? view.getInt32(offset, little) : view.getUint32(offset, little);
    case 8:
      return layout.signed ? view.getBigInt64(offset, little) : view.getBigUint64(offset, little);
  }
}

/** Writes a value in its layout; numbers wrap as `DataView` does. */
export function writePart(layout: Layout, memory: Memory, value: unknown): void {
  const { view, offset } = memory;
  switch (layout.kind) {
    case 'int':
      writeInt(view, offset, layout.size, layout.order === 'host', value);
      return;
    case 'bytes':
      if (typeof value === 'number') writeAddress(view, offset, layout.size, value);
      else bytesAt(view, offset, layout.size).set(value as Uint8Array);
      return;
    case 'array':
      for (let i = 0; i < layout.length; i++) {
        const place = { view, offset: offset + i * layout.element.size };
        writePart(layout.element, place, (value as Record<number, unknown>)[i]);
      }
      return;
    case 'struct': {
      // Read everything before the first write: the value may be a view of the same memory.
      const parts = layout.fields.map((f) => snapshot((value as Record<string, unknown>)[f.name]));
      bytesAt(view, offset, layout.size).fill(0);
      for (const [i, field] of layout.fields.entries()) {
        writePart(field.layout, { view, offset: offset + field.offset }, parts[i]);
      }
      return;
    }
  }
}

function snapshot(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, snapshot(v)]));
}

function writeInt(view: DataView, offset: number, size: number, little: boolean, value: unknown): void {
  if (size === 8) view.setBigUint64(offset, value as bigint, little);
  else if (size === 4) view.setUint32(offset, Number(value), little);
  else if (size === 2) view.setUint16(offset, Number(value), little);
  else view.setUint8(offset, Number(value));
}

/** An IPv4 or MAC address given as its number. */
function writeAddress(view: DataView, offset: number, size: number, value: number): void {
  const big = BigInt.asUintN(size * 8, BigInt(value));
  for (let i = 0; i < size; i++)
    view.setUint8(offset + i, Number((big >> BigInt((size - 1 - i) * 8)) & 0xffn));
}

function bytesAt(view: DataView, offset: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, size);
}

/** How a header view reaches the packet: a check, then the memory. */
export type Reach = (offset: number, size: number) => Memory;

/** The live view of a header. */
export function headerView(layout: HeaderLayout, base: number, reach: Reach): unknown {
  const object = {};
  for (const [name, field] of Object.entries(layout.fields)) {
    const place = (): Memory => {
      // A header never begins before the packet, whatever its fields' offsets.
      reach(base, 0);
      return reach(base + field.offset, field.size);
    };
    Object.defineProperty(object, name, {
      enumerable: true,
      get: () => readField(field, place()),
      set: (value: unknown) => writeField(field, place(), value),
    });
  }
  return Object.seal(object);
}

function readField(field: HeaderField, { view, offset }: Memory): unknown {
  if (field.kind === 'ipv6') return bytesAt(view, offset, field.size).slice();
  const { shift = 0, width = field.size * 8, scale = 1 } = field;
  const raw = readUnsigned(view, offset, field.size);
  const value = Math.floor(raw / 2 ** shift) % 2 ** width;
  return field.kind === 'flag' ? value === 1 : value * scale;
}

function writeField(field: HeaderField, { view, offset }: Memory, value: unknown): void {
  if (field.kind === 'ipv6') {
    bytesAt(view, offset, field.size).set(value as Uint8Array);
    return;
  }
  const { shift = 0, width = field.size * 8, scale = 1 } = field;
  const old = BigInt(readUnsigned(view, offset, field.size));
  const bits =
    field.kind === 'flag' ? (value === true ? 1n : 0n) : BigInt(Math.floor((value as number) / scale));
  const mask = ((1n << BigInt(width)) - 1n) << BigInt(shift);
  const next = (old & ~mask) | ((bits << BigInt(shift)) & mask);
  for (let i = 0; i < field.size; i++) {
    view.setUint8(offset + i, Number((next >> BigInt((field.size - 1 - i) * 8)) & 0xffn));
  }
}

function readUnsigned(view: DataView, offset: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + view.getUint8(offset + i);
  return value;
}
