import type { MapSpec, MapType } from './map.ts';

/** `enum bpf_map_type` in `linux/bpf.h`. */
const MAP_TYPE: Readonly<Record<MapType, number>> = {
  hash: 1,
  array: 2,
  prog_array: 3,
  percpu_hash: 5,
  percpu_array: 6,
  lru_hash: 9,
  lru_percpu_hash: 10,
  lpm_trie: 11,
  array_of_maps: 12,
  hash_of_maps: 13,
  devmap: 14,
  cpumap: 16,
  xskmap: 17,
  devmap_hash: 25,
  ringbuf: 27,
};

/** `BPF_F_` bits of map creation. */
const MapFlag = {
  noPrealloc: 0x1,
  noCommonLru: 0x2,
  readOnlyForPrograms: 0x80,
  writeOnlyForPrograms: 0x100,
  mmapable: 0x400,
  innerMap: 0x1000,
} as const;

/** Every map type. */
export const MAP_TYPES: readonly MapType[] = Object.keys(MAP_TYPE) as MapType[];

/** The kernel's number of a map type. */
export function mapTypeNumber(type: MapType): number {
  return MAP_TYPE[type];
}

/** Flags of creation, in the kernel's bits. */
export function mapFlagBits(spec: MapSpec): number {
  const { flags } = spec;
  return (
    (flags.noPrealloc ? MapFlag.noPrealloc : 0) |
    (flags.perCpuLru ? MapFlag.noCommonLru : 0) |
    (flags.readOnlyForPrograms ? MapFlag.readOnlyForPrograms : 0) |
    (flags.writeOnlyForPrograms ? MapFlag.writeOnlyForPrograms : 0) |
    (flags.mmapable ? MapFlag.mmapable : 0) |
    (flags.innerMap ? MapFlag.innerMap : 0)
  );
}
