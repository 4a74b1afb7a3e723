import type { HeaderField, HeaderName, headers } from '../packet/headers.ts';
import type { MapSpec, MapType, Prefix } from '../spec/index.ts';

declare const verdictBrand: unique symbol;

/** What a redirect or a tail call gives: a verdict that only they can make. */
export interface RedirectVerdict {
  readonly [verdictBrand]: true;
}

/** The fate of a packet. */
export type Verdict = 'pass' | 'drop' | 'tx' | 'aborted' | RedirectVerdict;

/** What the function sees of an env: maps become their kernel side, everything else stays as it is. */
export type KernelEnv<E> = { readonly [K in keyof E]: KernelValue<E[K]> };

type KernelValue<T> = T extends MapSpec<infer Type, infer K, infer V> ? KernelMap<Type, K, V> : T;

/** A map as a program sees it. */
export type KernelMap<T extends MapType, K, V> = T extends 'array' | 'percpu_array'
  ? ArrayMap<V>
  : T extends 'lpm_trie'
    ? TableMap<K extends Prefix ? PrefixKey : K, V>
    : T extends 'hash' | 'percpu_hash' | 'lru_hash' | 'lru_percpu_hash'
      ? TableMap<K, V>
      : T extends 'ringbuf'
        ? EventMap<V>
        : T extends 'xskmap' | 'devmap' | 'devmap_hash' | 'cpumap'
          ? RedirectMap
          : T extends 'prog_array'
            ? ProgramMap
            : never;

/** The key of an LPM trie; an IPv4 address may be given as its number. */
export interface PrefixKey {
  readonly prefixlen: number;
  readonly address: Uint8Array | number;
}

/** Maps whose entries are all present from the start. */
export interface ArrayMap<V> {
  /** The entry, to be read and written in place; `undefined` beyond the last. */
  get(key: number): View<V> | undefined;
  has(key: number): boolean;
  /** Replaces a whole entry; `false` when there is none. */
  set(key: number, value: Readonly<V>): boolean;
  update(key: number, value: Readonly<V>): boolean;
}

export interface TableMap<K, V> {
  /** The entry, to be read and written in place. */
  get(key: Readonly<K>): View<V> | undefined;
  has(key: Readonly<K>): boolean;
  /** Creates or replaces; `false` when the map is full. */
  set(key: Readonly<K>, value: Readonly<V>): boolean;
  /** Creates; `false` when the key exists or the map is full. */
  insert(key: Readonly<K>, value: Readonly<V>): boolean;
  /** Replaces; `false` when the key does not exist. */
  update(key: Readonly<K>, value: Readonly<V>): boolean;
  /** `false` when there was no such key. */
  delete(key: Readonly<K>): boolean;
}

/** A ring buffer. */
export interface EventMap<V> {
  /** Appends an event; `false` when the reader has fallen behind. */
  output(event: Readonly<V>): boolean;
}

/** Sockets, devices or CPUs. */
export interface RedirectMap {
  /** Sends the packet there; without such an entry, `fallback` (default `'aborted'`). */
  redirect(key: number, fallback?: 'pass' | 'drop' | 'tx' | 'aborted'): RedirectVerdict;
}

/** Programs by index. */
export interface ProgramMap {
  /** Goes on in another program and never comes back; without such an entry, `fallback` (default `'aborted'`). */
  tailCall(index: number, fallback?: 'pass' | 'drop' | 'tx' | 'aborted'): RedirectVerdict;
}

/**
 * A map's value in place: what is read is the entry as it is now, what is written changes it.
 *
 * `entry.field += n` is one atomic addition where CPUs share the value. A value that is no struct is `.value`.
 */
export type View<V> = V extends number | bigint | Uint8Array | readonly unknown[]
  ? { value: Part<V> }
  : { -readonly [K in keyof V]: Part<V[K]> };

type Part<V> = V extends number | bigint | Uint8Array
  ? V
  : V extends readonly (infer T)[]
    ? Part<T>[]
    : { -readonly [K in keyof V]: Part<V[K]> };

type FieldValue<F extends HeaderField> = F['kind'] extends 'flag'
  ? boolean
  : F['kind'] extends 'ipv6'
    ? Uint8Array
    : number;

/** A header in the packet, read and written in place. */
export type HeaderView<H extends HeaderName> = {
  -readonly [K in keyof (typeof headers)[H]['fields']]: (typeof headers)[H]['fields'][K] extends infer F extends
    HeaderField
    ? FieldValue<F>
    : never;
};

/** Reads of numbers; offsets count from the packet's first byte. */
export interface Reader {
  u8(offset: number): number;
  /** Network order. */
  be16(offset: number): number;
  be32(offset: number): number;
  be64(offset: number): bigint;
  /** Little-endian. */
  le16(offset: number): number;
  le32(offset: number): number;
  le64(offset: number): bigint;
}

/** Writes of numbers; what does not fit is cut off, as `DataView` does. */
export interface Writer {
  u8(offset: number, value: number): void;
  be16(offset: number, value: number): void;
  be32(offset: number, value: number): void;
  be64(offset: number, value: bigint): void;
  le16(offset: number, value: number): void;
  le32(offset: number, value: number): void;
  le64(offset: number, value: bigint): void;
}

/** `pkt.ipv4(offset)` and its like, for every header of `barewire/packet`. */
export type HeaderViews = { readonly [H in HeaderName]: (offset?: number) => HeaderView<H> };

/**
 * The packet. An access beyond its end ends the program with the verdict `onShort`.
 */
export interface Packet extends Reader, HeaderViews {
  /** In bytes. */
  readonly length: number;
  /** The receiving interface. */
  readonly ingressIfindex: number;
  /** The receive queue. */
  readonly rxQueue: number;
  readonly store: Writer & {
    /** Copies what `bytes` or a field gave. */
    bytes(offset: number, value: Uint8Array): void;
  };
  /** Access through the kernel wherever in the packet's buffers the bytes lie (`frags`); slower. */
  readonly whole: Reader & { readonly store: Writer };
  /** A copy of `length` bytes, a constant of at most 64. */
  bytes(offset: number, length: number): Uint8Array;
  /** Whether `length` bytes, a constant, lie at an offset: asks where an access would end the program. */
  has(offset: number, length: number): boolean;
  /** The Internet checksum of a range (RFC 1071), as it stands in a header. */
  checksum(offset: number, length: number): number;
  /** Moves the packet's start by `delta` bytes; `false` when the kernel refuses. Views taken before are stale. */
  adjustHead(delta: number): boolean;
  /** Moves the packet's end by `delta` bytes. */
  adjustTail(delta: number): boolean;
  /** Moves the start of the metadata before the packet by `delta` bytes. */
  adjustMeta(delta: number): boolean;
}

/** What a route is looked up for: an IPv4 packet when the addresses are numbers, else an IPv6 one. */
export interface FibQuery {
  readonly source: number | Uint8Array;
  readonly destination: number | Uint8Array;
  /** The receiving interface. */
  readonly ifindex: number;
  /** The transport protocol's number. Default is 0. */
  readonly protocol?: number;
  /** Default is 0. */
  readonly sourcePort?: number;
  /** Default is 0. */
  readonly destinationPort?: number;
  /** The IP packet's length, held against the MTU; 0, the default, asks nothing. */
  readonly length?: number;
}

/** Where the packet should go. */
export interface FibResult {
  /** 0 for a route with a known neighbour; others as in `BPF_FIB_LKUP_RET_*`, negative for errors. */
  readonly code: number;
  /** The interface to send by. */
  readonly ifindex: number;
  /** Its MAC. */
  readonly source: number;
  /** The next hop's MAC. */
  readonly destination: number;
}

/** What the kernel offers beside the packet. */
export interface Kernel {
  /** Nanoseconds since boot, without time asleep. */
  ktime(): bigint;
  /** As {@link ktime}, but of the last timer tick (1 to 10 ms ago), at a tenth of the cost. Since Linux 5.11. */
  coarseTime(): bigint;
  /** Timer ticks, 100 to 1000 a second: one load, to tell whether time has passed at all. Since Linux 5.6. */
  ticks(): bigint;
  /** Nanoseconds since boot. */
  bootTime(): bigint;
  /** 32 random bits. */
  random(): number;
  /** The CPU this runs on. */
  cpu(): number;
  /** Sends the packet out of an interface. */
  redirect(ifindex: number): RedirectVerdict;
  /** The kernel's routing decision for a packet. */
  fibLookup(query: FibQuery): FibResult;
  /** Whether two ranges of bytes of one length are equal. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  /** A checksum after 16 of the bits it covers changed (RFC 1624). */
  csumReplace16(checksum: number, from: number, to: number): number;
  /** A checksum after 32 of the bits it covers changed (RFC 1624). */
  csumReplace32(checksum: number, from: number, to: number): number;
}
