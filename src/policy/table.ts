import type { IpVersion } from '../address/index.ts';

/** What an address rule decides, and at which end of the packet it looks. */
export type AddressAction = 'allow' | 'deny';
export type Side = 'source' | 'destination';

/**
 * A table of address rules in the kernel. Whole addresses are looked up in a hash table, prefixes by longest match:
 * the first costs the same with one entry as with a million.
 */
export interface Table {
  /** As in the snapshot's format; never given to another table. */
  readonly id: number;
  /** Of its map: at most 15 bytes. */
  readonly name: TableName;
  readonly action: AddressAction;
  readonly side: Side;
  readonly version: IpVersion;
  readonly form: 'address' | 'prefix';
  /** Of an address, in bytes: 4 or 16. */
  readonly addressSize: 4 | 16;
  /** Of a key of its map, in bytes: a prefix has its length, in 4 bytes, before the address. */
  readonly keySize: 4 | 8 | 16 | 20;
}

type Action = AddressAction;
type End = 'src' | 'dst';
type Form = '' | '_net';
export type TableName = `${Action}_${End}${IpVersion}${Form}`;

/** Every table there can be, by its id. */
export const TABLES: readonly Table[] = (['allow', 'deny'] as const).flatMap((action) =>
  (['source', 'destination'] as const).flatMap((side) =>
    ([4, 6] as const).flatMap((version) =>
      (['address', 'prefix'] as const).map((form) => makeTable(action, side, version, form)),
    ),
  ),
);

export const TABLE_NAMES: readonly TableName[] = TABLES.map(({ name }) => name);

export function tableOf(action: AddressAction, side: Side, version: IpVersion, length: number): Table {
  const whole = length === (version === 4 ? 32 : 128);
  return TABLES[tableId(action, side, version, whole ? 'address' : 'prefix')]!;
}

export function tableNamed(name: TableName): Table {
  return TABLES[TABLE_NAMES.indexOf(name)]!;
}

function tableId(action: AddressAction, side: Side, version: IpVersion, form: Table['form']): number {
  return (
    (action === 'deny' ? 8 : 0) |
    (side === 'destination' ? 4 : 0) |
    (version === 6 ? 2 : 0) |
    (form === 'prefix' ? 1 : 0)
  );
}

function makeTable(action: AddressAction, side: Side, version: IpVersion, form: Table['form']): Table {
  const end = side === 'source' ? 'src' : 'dst';
  const addressSize = version === 4 ? 4 : 16;
  return Object.freeze({
    id: tableId(action, side, version, form),
    name: `${action}_${end}${version}${form === 'prefix' ? '_net' : ''}` as const,
    action,
    side,
    version,
    form,
    addressSize,
    keySize: (addressSize + (form === 'prefix' ? 4 : 0)) as Table['keySize'],
  });
}
