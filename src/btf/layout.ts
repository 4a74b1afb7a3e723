import type { IntLayout, IntName, Layout } from '../layout/index.ts';
import type { MapSpec, MapType } from '../spec/index.ts';
import { BtfBuilder } from './builder.ts';

/** BTF of a map: what makes `bpftool map dump` show field names. */
export interface MapBtf {
  /** The `.BTF` blob to load. */
  readonly btf: Uint8Array;
  readonly keyTypeId: number;
  readonly valueTypeId: number;
}

/** Map types whose creation fails with EINVAL or ENOTSUPP when key and value are described. */
const withoutBtf: ReadonlySet<MapType> = new Set([
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'devmap_hash',
  'cpumap',
  'xskmap',
  'ringbuf',
]);

/** BTF for a map's key and value; `undefined` for map types that the kernel makes only without. */
export function mapBtf(spec: MapSpec): MapBtf | undefined {
  if (withoutBtf.has(spec.type)) return undefined;
  const builder = new BtfBuilder();
  const keyTypeId = btfOf(spec.key, builder);
  const valueTypeId = btfOf(spec.value, builder);
  return { btf: builder.encode(), keyTypeId, valueTypeId };
}

/**
 * Adds the C type of a layout to `builder` and gives its ID.
 *
 * Integers become the kernel's typedefs (`__u32`, `__be16`, `__s64`), bytes `__u8[n]`, structs keep their names.
 */
export function btfOf(layout: Layout, builder: BtfBuilder): number {
  switch (layout.kind) {
    case 'int':
      return addInt(layout.name, builder);
    case 'bytes':
      return addArray(addInt('u8', builder), layout.size, builder);
    case 'array':
      return addArray(btfOf(layout.element, builder), layout.length, builder);
    case 'struct': {
      const members = layout.fields.map((field) => ({
        name: field.name,
        type: btfOf(field.layout, builder),
        bitOffset: field.offset * 8,
        bitSize: 0,
      }));
      return builder.add({ kind: 'struct', name: layout.name, size: layout.size, members });
    }
  }
}

interface CInt {
  readonly name: string;
  readonly size: IntLayout['size'];
  readonly encoding: 'unsigned' | 'signed';
}

/** The C types behind the kernel's typedefs, as in `asm-generic/int-ll64.h`. */
const cInts: Readonly<Record<Exclude<IntName, `be${string}`>, CInt>> = {
  u8: { name: 'unsigned char', size: 1, encoding: 'unsigned' },
  u16: { name: 'unsigned short', size: 2, encoding: 'unsigned' },
  u32: { name: 'unsigned int', size: 4, encoding: 'unsigned' },
  u64: { name: 'unsigned long long', size: 8, encoding: 'unsigned' },
  i8: { name: 'signed char', size: 1, encoding: 'signed' },
  i16: { name: 'short', size: 2, encoding: 'signed' },
  i32: { name: 'int', size: 4, encoding: 'signed' },
  i64: { name: 'long long', size: 8, encoding: 'signed' },
};

/** The ID of the kernel's typedef for an integer. */
export function addInt(name: IntName, builder: BtfBuilder): number {
  if (name === 'be16' || name === 'be32' || name === 'be64') {
    const host = name === 'be16' ? 'u16' : name === 'be32' ? 'u32' : 'u64';
    return builder.add({ kind: 'typedef', name: `__${name}`, type: addInt(host, builder) });
  }
  const typedef = `__${name.replace('i', 's')}`;
  return builder.add({ kind: 'typedef', name: typedef, type: addCInt(name, builder) });
}

/** The ID of the plain C integer, as in `int`. */
export function addCInt(name: keyof typeof cInts, builder: BtfBuilder): number {
  const { size, ...rest } = cInts[name];
  return builder.add({ kind: 'int', ...rest, size, bits: size * 8, bitOffset: 0 });
}

function addArray(type: number, length: number, builder: BtfBuilder): number {
  // Compilers give every array this index type of their own making.
  const indexType = builder.add({
    kind: 'int',
    name: '__ARRAY_SIZE_TYPE__',
    size: 4,
    encoding: 'unsigned',
    bits: 32,
    bitOffset: 0,
  });
  return builder.add({ kind: 'array', type, indexType, length });
}
