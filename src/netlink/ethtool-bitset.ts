import { CodecError } from '../error.ts';
import {
  type Attribute,
  type Attributes,
  flagAttribute,
  nestedAttribute,
  stringAttribute,
} from './attribute.ts';

const BITSET = { NOMASK: 1, SIZE: 2, BITS: 3, VALUE: 4, MASK: 5 } as const;
const BITS = { BIT: 1 } as const;
const BIT = { INDEX: 1, NAME: 2, VALUE: 3 } as const;

/** No string set of the kernel's comes near it; a hostile size must not become a loop. */
const MAX_BITS = 1 << 16;

/** One bit of an ethtool bitset that the sender speaks of. */
export interface NamedBit {
  readonly index: number;
  readonly name: string;
  readonly value: boolean;
}

/**
 * An ethtool bitset (Documentation/networking/ethtool-netlink.rst), in either of its forms: compact, two bitmaps of
 * 32-bit words; or verbose, a list of bits with their names.
 *
 * Without a mask the set is a plain list: bits that are not in it are false, and are left out.
 *
 * @param names The string set, in order; needed for the compact form.
 * @throws CodecError when the bitset is cut off or contradicts itself.
 */
export function decodeBitset(bitset: Attributes, names: readonly string[]): NamedBit[] {
  const list = bitset.has(BITSET.NOMASK);
  const bits = bitset.nested(BITSET.BITS);
  if (bits !== undefined) {
    return bits.children(BITS.BIT).map((bit) => {
      const index = bit.u32(BIT.INDEX) ?? 0;
      return {
        index,
        name: bit.string(BIT.NAME) ?? names[index] ?? `bit-${index}`,
        value: list || bit.has(BIT.VALUE),
      };
    });
  }
  const size = bitset.u32(BITSET.SIZE) ?? 0;
  if (size > MAX_BITS) throw new CodecError('ethtool bitset', 0, `${size} bits are too many`);
  const value = bitmap(bitset, BITSET.VALUE, size);
  const mask = list ? value : bitmap(bitset, BITSET.MASK, size);
  const named: NamedBit[] = [];
  for (let index = 0; index < size; index++) {
    if (mask(index)) named.push({ index, name: names[index] ?? `bit-${index}`, value: value(index) });
  }
  return named;
}

/** The verbose form, by names: what a request needs, whatever the numbers are on this kernel. */
export function encodeBitset(type: number, values: Readonly<Record<string, boolean>>): Attribute {
  const bits = Object.entries(values).map(([name, value]) =>
    nestedAttribute(BITS.BIT, [
      stringAttribute(BIT.NAME, name),
      ...(value ? [flagAttribute(BIT.VALUE)] : []),
    ]),
  );
  return nestedAttribute(type, [nestedAttribute(BITSET.BITS, bits)]);
}

function bitmap(bitset: Attributes, type: number, size: number): (index: number) => boolean {
  if (size === 0) return () => false;
  const words = bitset.struct(type, Math.ceil(size / 32) * 4);
  if (words === undefined) throw new CodecError('ethtool bitset', 0, `bitmap ${type} is missing`);
  return (index) => ((words.getUint32((index >> 5) * 4, true) >>> (index & 31)) & 1) !== 0;
}
