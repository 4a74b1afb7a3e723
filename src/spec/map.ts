import { ArgumentError } from '../error.ts';
import { bytes, type Layout, struct, u32 } from '../layout/index.ts';

/** The map types Barewire creates, by the kernel's (and bpftool's) names. */
export type MapType =
  | 'hash'
  | 'array'
  | 'prog_array'
  | 'percpu_hash'
  | 'percpu_array'
  | 'lru_hash'
  | 'lru_percpu_hash'
  | 'lpm_trie'
  | 'array_of_maps'
  | 'hash_of_maps'
  | 'devmap'
  | 'devmap_hash'
  | 'cpumap'
  | 'xskmap'
  | 'ringbuf';

/** Map types whose value exists once for every possible CPU. */
export type PerCpuMapType = 'percpu_hash' | 'percpu_array' | 'lru_percpu_hash';

/**
 * What a map *is*: plain data that knows no kernel.
 *
 * The same spec names the map in a program, describes its entries to user space and tells the loader what to create.
 */
export interface MapSpec<T extends MapType = MapType, K = unknown, V = unknown> {
  readonly type: T;
  /** A C identifier; the kernel keeps its first 15 bytes. */
  readonly name: string;
  readonly key: Layout<K>;
  readonly value: Layout<V>;
  /** Entries; for a ring buffer its size in bytes. */
  readonly maxEntries: number;
  readonly flags: MapFlags;
  /** What a map-in-map holds. */
  readonly inner?: MapSpec;
}

/** Flags of map creation; each is off unless set. */
export interface MapFlags {
  /** Allocate entries on demand (`BPF_F_NO_PREALLOC`); always on for an LPM trie. */
  readonly noPrealloc?: boolean;
  /** One LRU list per CPU (`BPF_F_NO_COMMON_LRU`). */
  readonly perCpuLru?: boolean;
  /** Programs may only read it (`BPF_F_RDONLY_PROG`). */
  readonly readOnlyForPrograms?: boolean;
  /** Programs may only write it (`BPF_F_WRONLY_PROG`). */
  readonly writeOnlyForPrograms?: boolean;
  /** User space may map it into memory (`BPF_F_MMAPABLE`, arrays only). */
  readonly mmapable?: boolean;
  /** Inner maps may differ in size (`BPF_F_INNER_MAP`). */
  readonly innerMap?: boolean;
}

/** Hash table from `key` to `value`. */
export function hash<K, V>(
  name: string,
  key: Layout<K>,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'hash', K, V> {
  return makeMap('hash', name, key, value, maxEntries, flags);
}

/** Hash table with a value of its own for every CPU. */
export function perCpuHash<K, V>(
  name: string,
  key: Layout<K>,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'percpu_hash', K, V> {
  return makeMap('percpu_hash', name, key, value, maxEntries, flags);
}

/** Hash table that drops the least recently used entry when it is full. */
export function lruHash<K, V>(
  name: string,
  key: Layout<K>,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'lru_hash', K, V> {
  return makeMap('lru_hash', name, key, value, maxEntries, flags);
}

/** Least-recently-used hash table with a value of its own for every CPU. */
export function lruPerCpuHash<K, V>(
  name: string,
  key: Layout<K>,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'lru_percpu_hash', K, V> {
  return makeMap('lru_percpu_hash', name, key, value, maxEntries, flags);
}

/** `maxEntries` values, all present from the start and zero, with indices from 0. */
export function array<V>(
  name: string,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'array', number, V> {
  return makeMap('array', name, u32, value, maxEntries, flags);
}

/** Array with a value of its own for every CPU: counters without lost updates. */
export function perCpuArray<V>(
  name: string,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'percpu_array', number, V> {
  return makeMap('percpu_array', name, u32, value, maxEntries, flags);
}

/** The key of an LPM trie: how many leading bits of `address` count, and the address in network order. */
export interface Prefix {
  /** Leading bits of `address` that must match. */
  prefixlen: number;
  /** Network order. */
  address: Uint8Array;
}

/**
 * Longest-prefix match over addresses of `addressSize` bytes: 4 for IPv4, 16 for IPv6, more for composed keys.
 */
export function lpmTrie<V>(
  name: string,
  addressSize: number,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags = {},
): MapSpec<'lpm_trie', Prefix, V> {
  if (addressSize > 256)
    throw new ArgumentError(`map ${name}: an LPM key holds at most 256 bytes of address`);
  const key = struct(`${name}_key`, { prefixlen: u32, address: bytes(addressSize) });
  return makeMap('lpm_trie', name, key, value, maxEntries, { ...flags, noPrealloc: true });
}

/** A queue of events from the kernel to user space, of `size` bytes: a power of two and whole pages. */
export function ringBuffer<V>(name: string, event: Layout<V>, size: number): MapSpec<'ringbuf', never, V> {
  if (size < 4096 || !Number.isInteger(Math.log2(size))) {
    throw new ArgumentError(`ring buffer ${name}: ${size} bytes is not a power of two of at least 4096`);
  }
  return makeMap('ringbuf', name, u32 as Layout<never>, event, size, {});
}

/** AF_XDP sockets by receive queue, the target of a redirect to user space. */
export function xskMap(name: string, maxEntries: number): MapSpec<'xskmap', number, number> {
  return makeMap('xskmap', name, u32, u32, maxEntries, {});
}

/** A program that runs on a frame after its redirect to a device (`xdp/devmap`) or CPU (`xdp/cpumap`). */
const devmapValue = struct('bpf_devmap_val', { ifindex: u32, prog: u32 });
const cpumapValue = struct('bpf_cpumap_val', { qsize: u32, prog: u32 });
export type DevmapValue = { ifindex: number; prog: number };
export type CpumapValue = { qsize: number; prog: number };

/** Interfaces by index of the map, the target of a redirect to a device. */
export function devMap(name: string, maxEntries: number): MapSpec<'devmap', number, DevmapValue> {
  return makeMap('devmap', name, u32, devmapValue, maxEntries, {});
}

/** Interfaces by any 32-bit key. */
export function devMapHash(name: string, maxEntries: number): MapSpec<'devmap_hash', number, DevmapValue> {
  return makeMap('devmap_hash', name, u32, devmapValue, maxEntries, {});
}

/** CPUs to go on with, the target of a redirect to a CPU. */
export function cpuMap(name: string, maxEntries: number): MapSpec<'cpumap', number, CpumapValue> {
  return makeMap('cpumap', name, u32, cpumapValue, maxEntries, {});
}

/** Programs by index, the target of a tail call. */
export function programArray(name: string, maxEntries: number): MapSpec<'prog_array', number, number> {
  return makeMap('prog_array', name, u32, u32, maxEntries, {});
}

/** Maps by index, all of the inner map's type. */
export function arrayOfMaps<I extends MapSpec>(
  name: string,
  inner: I,
  maxEntries: number,
): MapSpec<'array_of_maps', number, number> & { readonly inner: I } {
  return { ...makeMap('array_of_maps', name, u32, u32, maxEntries, {}), inner };
}

/** Maps by key, all of the inner map's type. */
export function hashOfMaps<K, I extends MapSpec>(
  name: string,
  key: Layout<K>,
  inner: I,
  maxEntries: number,
): MapSpec<'hash_of_maps', K, number> & { readonly inner: I } {
  return { ...makeMap('hash_of_maps', name, key, u32, maxEntries, {}), inner };
}

/** Whether a map of this type holds one value per possible CPU. */
export function isPerCpu(type: MapType): type is PerCpuMapType {
  return type === 'percpu_hash' || type === 'percpu_array' || type === 'lru_percpu_hash';
}

export function makeMap<T extends MapType, K, V>(
  type: T,
  name: string,
  key: Layout<K>,
  value: Layout<V>,
  maxEntries: number,
  flags: MapFlags,
): MapSpec<T, K, V> {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new ArgumentError(`map name '${name}' is not a C identifier`, {
      hint: 'Use letters, digits and underscores.',
    });
  }
  if (!Number.isInteger(maxEntries) || maxEntries < 1 || maxEntries > 0xffff_ffff) {
    throw new ArgumentError(`map ${name}: maxEntries ${maxEntries} is not a whole number of 1 to 2^32-1`);
  }
  return Object.freeze({ type, name, key, value, maxEntries, flags: Object.freeze(flags) });
}
