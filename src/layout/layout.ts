import { ArgumentError } from '../error.ts';

/**
 * How one value lies in memory: the C layout of the kernel's side, seen from TypeScript.
 *
 * A layout is plain data. Values of up to 32 bits are numbers, 64-bit values are bigints, byte ranges are
 * `Uint8Array`s. Host order is little-endian on every machine Barewire runs on (x64, arm64); what is in network
 * order says so in its name (`be16`, `be32`, `be64`) and reads as an ordinary number all the same.
 */
export type Layout<T = unknown> = {
  /** Only for inference; never present at run time. */
  readonly __value?: T;
} & (IntLayout | BytesLayout | ArrayLayout | StructLayout);

/** The TypeScript value that a layout describes. */
export type Value<L> = L extends { readonly __value?: infer T } ? Exclude<T, undefined> : never;

/** An integer of 8 to 64 bits. */
export interface IntLayout {
  readonly kind: 'int';
  readonly name: IntName;
  /** In bytes; an integer is aligned to its size. */
  readonly size: 1 | 2 | 4 | 8;
  readonly align: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  /** `big` is network order. */
  readonly order: 'host' | 'big';
}

export type IntName = 'u8' | 'u16' | 'u32' | 'u64' | 'i8' | 'i16' | 'i32' | 'i64' | 'be16' | 'be32' | 'be64';

/** A fixed range of bytes without inner structure, as in a MAC or an IPv6 address. */
export interface BytesLayout {
  readonly kind: 'bytes';
  readonly size: number;
  readonly align: 1;
}

export interface ArrayLayout {
  readonly kind: 'array';
  readonly element: Layout;
  readonly length: number;
  readonly size: number;
  readonly align: number;
}

export interface StructLayout {
  readonly kind: 'struct';
  /** A C identifier: it appears in BTF, and so in `bpftool map dump`. */
  readonly name: string;
  readonly fields: readonly FieldLayout[];
  readonly size: number;
  readonly align: number;
}

export interface FieldLayout {
  readonly name: string;
  /** In bytes from the start of the struct. */
  readonly offset: number;
  readonly layout: Layout;
}

function int<T>(name: IntName, size: 1 | 2 | 4 | 8): Layout<T> {
  const layout: IntLayout = {
    kind: 'int',
    name,
    size,
    align: size,
    signed: name.startsWith('i'),
    order: name.startsWith('be') ? 'big' : 'host',
  };
  return Object.freeze(layout);
}

export const u8: Layout<number> = int('u8', 1);
export const u16: Layout<number> = int('u16', 2);
export const u32: Layout<number> = int('u32', 4);
export const u64: Layout<bigint> = int('u64', 8);
export const i8: Layout<number> = int('i8', 1);
export const i16: Layout<number> = int('i16', 2);
export const i32: Layout<number> = int('i32', 4);
export const i64: Layout<bigint> = int('i64', 8);
/** Network order in memory, an ordinary number in TypeScript. */
export const be16: Layout<number> = int('be16', 2);
/** Network order in memory, an ordinary number in TypeScript; an IPv4 address, for one. */
export const be32: Layout<number> = int('be32', 4);
/** Network order in memory, an ordinary bigint in TypeScript. */
export const be64: Layout<bigint> = int('be64', 8);

/** `size` bytes without inner structure. */
export function bytes(size: number): Layout<Uint8Array> {
  requireCount('bytes', size);
  return Object.freeze({ kind: 'bytes', size, align: 1 } satisfies BytesLayout);
}

/** `length` elements one after the other, as a C array. */
export function array<T>(element: Layout<T>, length: number): Layout<T[]> {
  requireCount('array', length);
  const layout: ArrayLayout = {
    kind: 'array',
    element,
    length,
    size: element.size * length,
    align: element.align,
  };
  return Object.freeze(layout);
}

/** The object type that a struct's fields describe. */
export type StructValue<F extends Record<string, Layout>> = { -readonly [K in keyof F]: Value<F[K]> };

/**
 * A C struct: fields in the given order, each at its natural alignment, padded to the largest.
 *
 * Padding is written as zeros, so that a struct can be a hash key.
 *
 * @param name A C identifier; it names the type in BTF.
 */
export function struct<const F extends Record<string, Layout>>(
  name: string,
  fields: F,
): Layout<StructValue<F>> {
  requireIdentifier('struct name', name);
  let offset = 0;
  let align = 1;
  const placed: FieldLayout[] = [];
  for (const [field, layout] of Object.entries(fields)) {
    requireIdentifier(`field of struct ${name}`, field);
    offset = roundUp(offset, layout.align);
    placed.push(Object.freeze({ name: field, offset, layout }));
    offset += layout.size;
    align = Math.max(align, layout.align);
  }
  if (placed.length === 0) throw new ArgumentError(`struct ${name} has no fields`);
  const layout: StructLayout = {
    kind: 'struct',
    name,
    fields: Object.freeze(placed),
    size: roundUp(offset, align),
    align,
  };
  return Object.freeze(layout);
}

/** The layout in one word or a few, as in `u32`, `bytes(6)`, `array(u64, 4)`, `struct Rule`. */
export function describe(layout: Layout): string {
  switch (layout.kind) {
    case 'int':
      return layout.name;
    case 'bytes':
      return `bytes(${layout.size})`;
    case 'array':
      return `array(${describe(layout.element)}, ${layout.length})`;
    case 'struct':
      return `struct ${layout.name}`;
  }
}

/** Whether two layouts put the same values at the same places. */
export function sameLayout(a: Layout, b: Layout): boolean {
  if (a === b) return true;
  if (a.kind === 'int' && b.kind === 'int') return a.name === b.name;
  if (a.kind === 'bytes' && b.kind === 'bytes') return a.size === b.size;
  if (a.kind === 'array' && b.kind === 'array') {
    return a.length === b.length && sameLayout(a.element, b.element);
  }
  if (a.kind !== 'struct' || b.kind !== 'struct' || a.fields.length !== b.fields.length) return false;
  return a.fields.every((field, i) => {
    const other = b.fields[i];
    return (
      other !== undefined &&
      other.name === field.name &&
      other.offset === field.offset &&
      sameLayout(field.layout, other.layout)
    );
  });
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function requireCount(what: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new ArgumentError(`${what}: the length ${count} is not a whole number of at least 1`);
  }
}

function requireIdentifier(what: string, name: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,126}$/.test(name)) {
    throw new ArgumentError(`${what}: '${name}' is not a C identifier`, {
      hint: 'Use letters, digits and underscores; BTF, which names it in the kernel, takes nothing else.',
    });
  }
}
