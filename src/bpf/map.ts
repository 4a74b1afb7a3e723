import { type Codec, codecOf } from '../layout/index.ts';
import type { MapSpec } from '../spec/index.ts';
import { Errno, type Fd, type SystemError } from '../sys/index.ts';
import { Attribute } from './attribute.ts';
import { type MapInfo, mapInfo } from './info.ts';
import { BatchUnsupported, MapBatch, type PackedEntries } from './map-batch.ts';
import { createMap } from './map-create.ts';
import { mapRefusal } from './map-error.ts';
import { type ReadValue, valueCodec, type WriteValue } from './map-value.ts';
import { openPinned, pinObject, requireSame } from './pin.ts';
import { Command, UPDATE_FLAG, type UpdateMode } from './uapi.ts';

/** The live map of a spec. */
export type MapOf<S extends MapSpec> =
  S extends MapSpec<infer T, infer K, infer V> ? BpfMap<K, ReadValue<T, V>, WriteValue<T, V>> : never;

/**
 * A map in the kernel.
 *
 * @typeParam K Key.
 * @typeParam V Value as it is read.
 * @typeParam W Value as it is written; differs from `V` only where descriptors go in and ids come out.
 */
export class BpfMap<K = unknown, V = unknown, W = V> implements Disposable {
  readonly spec: MapSpec;
  readonly fd: Fd;
  readonly #key: Codec<K>;
  readonly #value: Codec<V & W>;
  // One buffer each for key, next key and value, and one attribute that points to them: a call allocates nothing.
  readonly #keyBytes: Uint8Array;
  readonly #nextBytes: Uint8Array;
  readonly #valueBytes: Uint8Array;
  readonly #keyView: DataView;
  readonly #nextView: DataView;
  readonly #valueView: DataView;
  readonly #element: Attribute;
  readonly #deletion: Attribute;
  readonly #iteration: Attribute;
  readonly #batch: MapBatch<K, V, W>;

  private constructor(spec: MapSpec, fd: Fd) {
    this.spec = spec;
    this.fd = fd;
    this.#key = codecOf(spec.key) as Codec<K>;
    this.#value = valueCodec(spec) as Codec<V & W>;
    this.#keyBytes = new Uint8Array(this.#key.size);
    this.#nextBytes = new Uint8Array(this.#key.size);
    this.#valueBytes = new Uint8Array(this.#value.size);
    this.#keyView = new DataView(this.#keyBytes.buffer);
    this.#nextView = new DataView(this.#nextBytes.buffer);
    this.#valueView = new DataView(this.#valueBytes.buffer);
    // struct { map_fd @0, key @8, value or next_key @16, flags @24 }
    this.#element = new Attribute(32).pointer(8, this.#keyBytes).pointer(16, this.#valueBytes);
    // Deleting refuses an attribute with anything behind the key.
    this.#deletion = new Attribute(16).pointer(8, this.#keyBytes);
    this.#iteration = new Attribute(32).pointer(16, this.#nextBytes);
    this.#batch = new MapBatch(fd, this.#key, this.#value, spec);
  }

  /**
   * Creates the map.
   *
   * @param inner For a map-in-map without one, a map of the inner spec is made for the creation and closed again.
   */
  static create<S extends MapSpec>(spec: S): MapOf<S> {
    if (spec.inner !== undefined) {
      using inner = BpfMap.create(spec.inner) as BpfMap;
      return new BpfMap(spec, createMap(spec, inner.fd)) as MapOf<S>;
    }
    return new BpfMap(spec, createMap(spec, undefined)) as MapOf<S>;
  }

  /** Opens a pinned map. @throws BarewireError `BW_PIN_MISMATCH` that names the field in which it differs from the spec. */
  static openPinned<S extends MapSpec>(spec: S, path: string): MapOf<S> {
    const fd = openPinned(path, `map '${spec.name}'`);
    try {
      requireSame(spec, mapInfo(fd), path);
      return new BpfMap(spec, fd) as MapOf<S>;
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** Takes over a descriptor of a map that has the spec's shape. */
  static fromFd<S extends MapSpec>(spec: S, fd: Fd): MapOf<S> {
    requireSame(spec, mapInfo(fd), fd.what);
    return new BpfMap(spec, fd) as MapOf<S>;
  }

  get name(): string {
    return this.spec.name;
  }

  /** The value, or undefined when the key is absent. */
  get(key: K): V | undefined {
    this.#key.write(this.#keyView, 0, key);
    const result = this.#element.u32(0, this.fd.number).u64(24, 0n).try(Command.mapLookup);
    if (result === -Errno.ENOENT) return undefined;
    if (result < 0) throw this.#refused(-result, 'look up a key in');
    return this.#value.read(this.#valueView, 0);
  }

  has(key: K): boolean {
    this.#key.write(this.#keyView, 0, key);
    const result = this.#element.u32(0, this.fd.number).u64(24, 0n).try(Command.mapLookup);
    if (result < 0 && result !== -Errno.ENOENT) throw this.#refused(-result, 'look up a key in');
    return result >= 0;
  }

  /**
   * Writes one entry.
   *
   * @param mode Default is `any`.
   * @throws SystemError `BW_EXISTS` or `BW_NOT_FOUND` when the mode says no, `BW_LIMIT` when the map is full.
   */
  set(key: K, value: W, mode: UpdateMode = 'any'): void {
    this.#key.write(this.#keyView, 0, key);
    this.#value.write(this.#valueView, 0, value as V & W);
    const flags = BigInt(UPDATE_FLAG[mode]);
    const result = this.#element.u32(0, this.fd.number).u64(24, flags).try(Command.mapUpdate);
    if (result < 0) throw this.#refused(-result, 'write to');
  }

  /** Deletes one entry; whether it was there. */
  delete(key: K): boolean {
    this.#key.write(this.#keyView, 0, key);
    const result = this.#deletion.u32(0, this.fd.number).try(Command.mapDelete);
    if (result === -Errno.ENOENT) return false;
    if (result < 0) throw this.#refused(-result, 'delete a key from');
    return true;
  }

  /** Reads and deletes one entry in one step. */
  take(key: K): V | undefined {
    this.#key.write(this.#keyView, 0, key);
    const result = this.#element.u32(0, this.fd.number).u64(24, 0n).try(Command.mapLookupAndDelete);
    if (result === -Errno.ENOENT) return undefined;
    if (result < 0) throw this.#refused(-result, 'take a key from');
    return this.#value.read(this.#valueView, 0);
  }

  /**
   * All keys. A key that is deleted meanwhile can make the kernel start over; each key is still yielded at least
   * once if it stays, and the walk ends.
   */
  *keys(): Generator<K> {
    let result = this.#iteration.u32(0, this.fd.number).pointer(8, null).try(Command.mapGetNextKey);
    const current = new Uint8Array(this.#key.size);
    // A walk that keeps starting over is cut where it has seen every slot twice.
    for (let left = 2 * this.spec.maxEntries + 16; result >= 0 && left > 0; left--) {
      const key = this.#key.read(this.#nextView, 0);
      current.set(this.#nextBytes);
      yield key;
      this.#nextBytes.set(current);
      this.#keyBytes.set(current);
      result = new Attribute(32)
        .u32(0, this.fd.number)
        .pointer(8, this.#keyBytes)
        .pointer(16, this.#nextBytes)
        .try(Command.mapGetNextKey);
    }
    if (result < 0 && result !== -Errno.ENOENT) throw this.#refused(-result, 'walk');
  }

  /** All entries, in batches where the map type has them. */
  *entries(): Generator<[K, V]> {
    try {
      yield* this.#batch.entries();
      return;
    } catch (error) {
      if (!(error instanceof BatchUnsupported)) throw error;
    }
    for (const key of this.keys()) {
      const value = this.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.entries();
  }

  /**
   * Writes many entries with few system calls; one by one where the map type knows no batches.
   *
   * @returns How many were written: all, or an error is thrown that says how many were.
   */
  setMany(entries: Iterable<readonly [K, W]>, mode: UpdateMode = 'any'): number {
    return this.#batch.set(entries, mode, (key, value) => this.set(key, value, mode));
  }

  /**
   * Writes entries that are already laid out: `count` keys in a row, and as many values.
   *
   * For bulk loads that cannot afford an object per entry. Per-CPU values take 8-byte-rounded sizes, one per
   * possible CPU.
   */
  setPacked(keys: Uint8Array, values: Uint8Array, count: number, mode: UpdateMode = 'any'): void {
    this.#batch.setPacked(keys, values, count, mode);
  }

  /**
   * Writes those packed entries whose keys are absent.
   *
   * @param present Told the place of every entry whose key is there already, and is left as it is.
   * @returns How many were written.
   */
  insertPacked(
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
    present: (index: number) => void = () => {},
  ): number {
    return this.#batch.insertPacked(keys, values, count, present, (index) => {
      this.#keyBytes.set(this.#part(keys, index, this.#keyBytes.length));
      this.#valueBytes.set(this.#part(values, index, this.#valueBytes.length));
      const flags = BigInt(UPDATE_FLAG.create);
      const result = this.#element.u32(0, this.fd.number).u64(24, flags).try(Command.mapUpdate);
      if (result < 0 && result !== -Errno.EEXIST) throw this.#refused(-result, 'write to');
      return result >= 0;
    });
  }

  /** Deletes packed keys; how many were there. */
  deletePacked(keys: Uint8Array, count: number): number {
    return this.#batch.deletePacked(keys, count, (index) => {
      this.#keyBytes.set(this.#part(keys, index, this.#keyBytes.length));
      const result = this.#deletion.u32(0, this.fd.number).try(Command.mapDelete);
      if (result < 0 && result !== -Errno.ENOENT) throw this.#refused(-result, 'delete a key from');
      return result >= 0;
    });
  }

  /**
   * All entries as the kernel lays them out, some thousand at a time, without an object for each. What is yielded is
   * overwritten by the next step.
   */
  *packedEntries(): Generator<PackedEntries> {
    try {
      yield* this.#batch.packed();
      return;
    } catch (error) {
      if (!(error instanceof BatchUnsupported)) throw error;
    }
    for (const key of this.keys()) {
      this.#key.write(this.#keyView, 0, key);
      const result = this.#element.u32(0, this.fd.number).u64(24, 0n).try(Command.mapLookup);
      if (result === -Errno.ENOENT) continue;
      if (result < 0) throw this.#refused(-result, 'look up a key in');
      yield {
        count: 1,
        keys: this.#keyBytes,
        values: this.#valueBytes,
        keyView: this.#keyView,
        valueView: this.#valueView,
      };
    }
  }

  /** Deletes many entries; how many were there. */
  deleteMany(keys: Iterable<K>): number {
    return this.#batch.delete(keys, (key) => this.delete(key));
  }

  /** Deletes every entry (arrays: leaves them, for their entries always exist). How many there were. */
  clear(): number {
    return this.deleteMany([...this.keys()]);
  }

  /** Makes the map read-only for user space, for ever (`BPF_MAP_FREEZE`). Programs still follow their own flags. */
  freeze(): void {
    new Attribute(4).u32(0, this.fd.number).run(Command.mapFreeze, `freeze ${this.fd.what}`);
  }

  info(): MapInfo {
    return mapInfo(this.fd);
  }

  /** Gives the map a path on bpffs; it lives as long as the path, whatever happens to this process. */
  pin(path: string): void {
    pinObject(this.fd, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #part(bytes: Uint8Array, index: number, size: number): Uint8Array {
    return bytes.subarray(index * size, (index + 1) * size);
  }

  #refused(errno: number, doing: string): SystemError {
    return mapRefusal(this.spec, errno, doing);
  }
}
