import { type Btf, type BtfCodec, type BtfValue, valueCodec } from '../btf/index.ts';
import { ArgumentError } from '../error.ts';
import { Errno, type Fd, possibleCpus } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { type MapInfo, mapInfo, objectIds, openById } from './info.ts';
import { typesById } from './kernel-types.ts';
import type { HasFd } from './map-value.ts';
import { openPinned, pinObject } from './pin.ts';
import { Command, UPDATE_FLAG, type UpdateMode } from './uapi.ts';

/** How the entries of a map read. */
export interface MapTypes {
  readonly btf: Btf;
  /** BTF IDs; 0 for what is not described. */
  readonly key: number;
  readonly value: number;
}

/** Map types with a value for every possible CPU. */
const PER_CPU: ReadonlySet<string> = new Set([
  'percpu_hash',
  'percpu_array',
  'lru_percpu_hash',
  'percpu_cgroup_storage',
]);
/** Map types whose values are descriptors when written and ids when read. */
const REFERENCES: ReadonlySet<string> = new Set([
  'prog_array',
  'array_of_maps',
  'hash_of_maps',
  'xskmap',
  'sockmap',
  'sockhash',
  'perf_event_array',
  'cgroup_array',
  'reuseport_sockarray',
]);
/** Map types without keys. */
const KEYLESS: ReadonlySet<string> = new Set(['queue', 'stack', 'bloom_filter']);

/**
 * A map of any type, its keys and values as its BTF describes them.
 *
 * Without BTF a key or value of 4 bytes is a number, any other its bytes; bytes are always taken. Per-CPU maps have
 * one value for every possible CPU.
 */
export class ObjectMap<K = BtfValue, V = BtfValue, W = V> implements Disposable {
  readonly fd: Fd;
  readonly name: string;
  /** As `bpftool map` names it. */
  readonly type: string;
  readonly keySize: number;
  /** In bytes, of one CPU's value. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly types: MapTypes | undefined;
  readonly #key: BtfCodec;
  readonly #value: BtfCodec;
  readonly #slot: number;
  readonly #cpus: number;

  /** @internal Made by a loader, or by {@link ObjectMap.open}. */
  constructor(fd: Fd, info: MapInfo, name: string, types: MapTypes | undefined) {
    this.fd = fd;
    this.name = name;
    this.type = info.type;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    this.types = types;
    this.#cpus = PER_CPU.has(info.type) ? possibleCpus() : 0;
    // The kernel hands per-CPU values over at multiples of eight bytes.
    this.#slot = this.#cpus > 0 ? Math.ceil(info.valueSize / 8) * 8 : info.valueSize;
    this.#key = codecFor(types?.btf, types?.key ?? 0, info.keySize);
    this.#value = codecFor(types?.btf, types?.value ?? 0, info.valueSize);
  }

  /** Opens a map by its id, its path on bpffs, or a name that only one map in the kernel has. */
  static open(which: number | string): ObjectMap {
    if (typeof which === 'string' && which.startsWith('/'))
      return ObjectMap.fromFd(openPinned(which, `map at ${which}`));
    const fd = typeof which === 'number' ? openById('map', which) : openByName(which);
    if (fd === undefined) {
      throw new ArgumentError(
        `there is no map ${typeof which === 'number' ? `with the id ${which}` : `'${which}'`}`,
        {
          hint: '`bpftool map` lists those in the kernel; the first 15 characters of a name count.',
        },
      );
    }
    return ObjectMap.fromFd(fd);
  }

  /** Takes over a descriptor; names and types are those that the kernel has. */
  static fromFd(fd: Fd): ObjectMap {
    try {
      const info = mapInfo(fd);
      const btf = info.btfId === 0 ? undefined : typesById(info.btfId);
      const types =
        btf === undefined ? undefined : { btf, key: info.btfKeyTypeId, value: info.btfValueTypeId };
      return new ObjectMap(fd, info, info.name, types);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  get perCpu(): boolean {
    return this.#cpus > 0;
  }

  /** The value, or undefined when the key is absent. Per-CPU maps: an array of values. */
  get(key: K): V | undefined {
    const bytes = this.getBytes(this.encodeKey(key));
    return bytes === undefined ? undefined : this.decodeValue(bytes);
  }

  /** The value as it lies in the kernel; of a per-CPU map one after the other, each at a multiple of eight bytes. */
  getBytes(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.#slot * Math.max(1, this.#cpus));
    const result = element(this.fd, key, value, 0).try(Command.mapLookup);
    if (result === -Errno.ENOENT) return undefined;
    if (result < 0) throw this.#refused(-result, 'look up a key in');
    return value;
  }

  /**
   * Writes one entry. A map or program goes into maps that hold such by its descriptor; of a per-CPU map every CPU
   * gets its own value of an array, or all the one given.
   *
   * @param mode Default is `any`.
   * @throws SystemError `BW_EXISTS` or `BW_NOT_FOUND` when the mode says no, `BW_LIMIT` when the map is full.
   */
  set(key: K, value: W | HasFd, mode: UpdateMode = 'any'): void {
    this.setBytes(this.encodeKey(key), this.encodeValue(value), mode);
  }

  setBytes(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
    const result = element(this.fd, key, value, UPDATE_FLAG[mode]).try(Command.mapUpdate);
    if (result < 0) throw this.#refused(-result, 'write to');
  }

  /** Deletes one entry; whether it was there. */
  delete(key: K): boolean {
    const bytes = this.encodeKey(key);
    const result = new Attribute(16).u32(0, this.fd.number).pointer(8, bytes).try(Command.mapDelete);
    if (result === -Errno.ENOENT) return false;
    if (result < 0) throw this.#refused(-result, 'delete a key from');
    return true;
  }

  /** Adds a value to a queue or stack. */
  push(value: W): void {
    this.setBytes(new Uint8Array(0), this.encodeValue(value));
  }

  /** Takes the next value out of a queue or stack; undefined when it is empty. */
  pop(): V | undefined {
    const value = new Uint8Array(this.#slot);
    const result = element(this.fd, new Uint8Array(0), value, 0).try(Command.mapLookupAndDelete);
    if (result === -Errno.ENOENT) return undefined;
    if (result < 0) throw this.#refused(-result, 'take a value from');
    return this.decodeValue(value);
  }

  /** All keys. One that is deleted meanwhile can make the kernel start over; the walk ends all the same. */
  *keys(): Generator<K> {
    for (const key of this.#keyBytes()) yield this.decodeKey(key);
  }

  /** All entries that are there; of maps that hold sockets and events, none can be read. */
  *entries(): Generator<[K, V]> {
    for (const key of this.#keyBytes()) {
      const value = new Uint8Array(this.#slot * Math.max(1, this.#cpus));
      const result = element(this.fd, key, value, 0).try(Command.mapLookup);
      // Deleted meanwhile, or a place of an array of references that is empty.
      if (result === -Errno.ENOENT) continue;
      if (result < 0) throw this.#refused(-result, 'walk');
      yield [this.decodeKey(key), this.decodeValue(value)];
    }
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.entries();
  }

  encodeKey(key: K): Uint8Array {
    const bytes = new Uint8Array(this.keySize);
    if (KEYLESS.has(this.type)) return bytes;
    this.#named('key', () => this.#key.write(new DataView(bytes.buffer), 0, key));
    return bytes;
  }

  decodeKey(bytes: Uint8Array): K {
    return this.#key.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0) as K;
  }

  encodeValue(value: unknown): Uint8Array {
    const bytes = new Uint8Array(this.#slot * Math.max(1, this.#cpus));
    const view = new DataView(bytes.buffer);
    this.#named('value', () => {
      if (this.#cpus > 0) {
        if (Array.isArray(value) && value.length !== this.#cpus) {
          throw new ArgumentError(`expected ${this.#cpus} values, one for every possible CPU`);
        }
        for (let cpu = 0; cpu < this.#cpus; cpu++) {
          this.#value.write(view, cpu * this.#slot, Array.isArray(value) ? value[cpu] : value);
        }
      } else if (REFERENCES.has(this.type) && isReference(value)) {
        view.setUint32(0, value.fd.number, true);
      } else this.#value.write(view, 0, value);
    });
    return bytes;
  }

  decodeValue(bytes: Uint8Array): V {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#cpus === 0) return this.#value.read(view, 0) as V;
    return Array.from({ length: this.#cpus }, (_, cpu) => this.#value.read(view, cpu * this.#slot)) as V;
  }

  /** Makes the map read-only for user space, for ever (`BPF_MAP_FREEZE`). */
  freeze(): void {
    new Attribute(4).u32(0, this.fd.number).run(Command.mapFreeze, `freeze ${this.fd.what}`);
  }

  info(): MapInfo {
    return mapInfo(this.fd);
  }

  /** Gives the map a path on bpffs. */
  pin(path: string): void {
    pinObject(this.fd, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  *#keyBytes(): Generator<Uint8Array> {
    if (KEYLESS.has(this.type)) return;
    let current: Uint8Array | null = null;
    // A walk that keeps starting over is cut where it has seen every slot twice.
    for (let left = 2 * this.maxEntries + 16; left > 0; left--) {
      const next = new Uint8Array(this.keySize);
      const attribute = new Attribute(32).u32(0, this.fd.number).pointer(8, current).pointer(16, next);
      const result = attribute.try(Command.mapGetNextKey);
      if (result === -Errno.ENOENT) return;
      if (result < 0) throw this.#refused(-result, 'walk');
      yield next;
      current = next;
    }
  }

  /** Says which map, and of which side of its entries, a value was refused for. */
  #named(side: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      throw new ArgumentError(`${side} of map '${this.name}': ${error.message}`, { cause: error });
    }
  }

  #refused(errno: number, doing: string): Error {
    const hints: Partial<Record<number, string>> = {
      [Errno.E2BIG]: `It has ${this.maxEntries} entries and is full, or the index lies beyond its end.`,
      [Errno.ENOSPC]: `It is full: it was created for ${this.maxEntries} entries.`,
      [Errno.EPERM]: 'The map is frozen, or was opened read-only.',
      [Errno.EOPNOTSUPP]: `Maps of type ${this.type} do not allow this from user space.`,
      [Errno.ENOTSUPP]: `Maps of type ${this.type} do not allow this from user space.`,
      [Errno.EINVAL]: `Maps of type ${this.type} do not allow this, or the key or value is out of range.`,
    };
    const hint = hints[errno];
    return bpfError(errno, `${doing} the map '${this.name}'`, hint === undefined ? {} : { hint });
  }
}

function isReference(value: unknown): value is HasFd {
  return typeof value === 'object' && value !== null && 'fd' in value;
}

function element(fd: Fd, key: Uint8Array, value: Uint8Array, flags: number): Attribute {
  // struct { map_fd @0, key @8, value @16, flags @24 }; queues and stacks want no key at all.
  return new Attribute(32)
    .u32(0, fd.number)
    .pointer(8, key.length === 0 ? null : key)
    .pointer(16, value)
    .u64(24, BigInt(flags));
}

/** By BTF where it fits; otherwise a number of four bytes, or bytes as they are. */
function codecFor(btf: Btf | undefined, type: number, size: number): BtfCodec {
  if (btf !== undefined && type !== 0) {
    const codec = valueCodec(btf, type);
    if (codec.size === size) return codec;
  }
  return {
    size,
    read: (view, offset) =>
      size === 4
        ? view.getUint32(offset, true)
        : new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
    write(view, offset, value) {
      if (size === 4 && typeof value === 'number' && value >>> 0 === value) {
        view.setUint32(offset, value, true);
      } else if (value instanceof Uint8Array && value.length === size) {
        new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
      } else {
        throw new ArgumentError(`expected ${size === 4 ? 'a number of 32 bits or ' : ''}${size} bytes`);
      }
    },
  };
}

/** @throws ArgumentError when several maps share the name. */
function openByName(name: string): Fd | undefined {
  const found: Fd[] = [];
  for (const id of objectIds('map')) {
    const fd = openById('map', id);
    if (fd === undefined) continue;
    if (mapInfo(fd).name === name.slice(0, 15)) found.push(fd);
    else fd.close();
  }
  if (found.length <= 1) return found[0];
  const ids = found.map((fd) => mapInfo(fd).id);
  for (const fd of found) fd.close();
  throw new ArgumentError(`${ids.length} maps are named '${name}'`, {
    hint: `Give one of their ids: ${ids.join(', ')}.`,
  });
}
