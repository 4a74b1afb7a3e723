import fc from 'fast-check';
import type { BtfLinkage, BtfType } from '../../src/btf/index.ts';

/** Ordinary objects, as the decoder makes them. */
function record<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const name: fc.Arbitrary<string> = fc.constantFrom('', '', 'a', 'b', 'node', 'a_longer_name');
const size: fc.Arbitrary<number> = fc.oneof(fc.nat(16), fc.nat(0xffff_ffff));
const int32: fc.Arbitrary<number> = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const linkage: fc.Arbitrary<BtfLinkage> = fc.constantFrom('static', 'global', 'extern');
/** A reference; `within` brings it below the first free ID. */
const type: fc.Arbitrary<number> = fc.nat(0xffff);

const anyType: fc.Arbitrary<BtfType> = fc.oneof<fc.Arbitrary<BtfType>[]>(
  record({
    kind: of('int'),
    name,
    size: fc.constantFrom(1, 2, 4, 8, 16),
    encoding: of('unsigned', 'signed', 'char', 'bool'),
    bits: fc.nat(255),
    bitOffset: fc.nat(255),
  }),
  record({ kind: of('ptr', 'volatile', 'const', 'restrict'), type }) as fc.Arbitrary<BtfType>,
  record({ kind: of('array'), type, indexType: type, length: size }),
  record({
    kind: of('struct', 'union'),
    name,
    size,
    members: fc.oneof(
      list(record({ name, type, bitOffset: size, bitSize: fc.constant(0) })),
      list(record({ name, type, bitOffset: fc.nat(0xff_ffff), bitSize: fc.nat(255) })),
    ),
  }),
  enumOf('enum', true, int32),
  enumOf('enum', false, fc.nat(0xffff_ffff)),
  enumOf('enum64', true, fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
  enumOf('enum64', false, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
  record({ kind: of('fwd'), name, of: of('struct', 'union') }),
  record({ kind: of('typedef'), name, type }),
  record({ kind: of('func'), name, type, linkage }),
  record({ kind: of('func_proto'), type, parameters: list(record({ name, type })) }),
  record({ kind: of('var'), name, type, linkage }),
  record({ kind: of('datasec'), name, size, variables: list(record({ type, offset: size, size })) }),
  record({ kind: of('float'), name, size }),
  record({ kind: of('decl_tag'), name, type, component: int32, attribute: fc.boolean() }),
  record({ kind: of('type_tag'), name, type, attribute: fc.boolean() }),
);

/** Types of every kind that refer to each other at will, also in circles; the first has ID `firstId`. */
export function anyTypes(firstId = 1): fc.Arbitrary<BtfType[]> {
  return fc
    .array(anyType, { minLength: 1, maxLength: 12 })
    .map((types) => types.map((one) => within(one, firstId + types.length)));
}

function within(one: BtfType, nextId: number): BtfType {
  const bounded = (key: string, value: unknown): unknown =>
    (key === 'type' || key === 'indexType') && typeof value === 'number' ? value % nextId : value;
  const entries = Object.entries(one).map(([key, value]) => {
    if (!Array.isArray(value)) return [key, bounded(key, value)];
    const inner = value.map((part: object) =>
      Object.fromEntries(Object.entries(part).map(([k, v]) => [k, bounded(k, v)])),
    );
    return [key, inner];
  });
  return Object.fromEntries(entries);
}

function of<K extends string>(...kinds: K[]): fc.Arbitrary<K> {
  return fc.constantFrom(...kinds);
}

function list<T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.array(item, { maxLength: 5 });
}

function enumOf(
  kind: 'enum' | 'enum64',
  signed: boolean,
  value: fc.Arbitrary<number | bigint>,
): fc.Arbitrary<BtfType> {
  const values = list(record({ name, value }));
  const fields = {
    kind: of(kind),
    name,
    size: fc.constantFrom(1, 2, 4, 8),
    signed: fc.constant(signed),
    values,
  };
  return record(fields) as fc.Arbitrary<BtfType>;
}
