import { ArgumentError } from '../error.ts';
import type { Codec } from '../layout/index.ts';
import type { MapSpec } from '../spec/index.ts';
import { Errno, type Fd } from '../sys/index.ts';
import { Attribute } from './attribute.ts';
import { mapRefusal } from './map-error.ts';
import { Command, UPDATE_FLAG, type UpdateMode } from './uapi.ts';

/** Entries that go over bpf(2) at once: large enough to drown the call's cost, small enough to stay in the cache. */
const CHUNK = 4096;

/** This map type, or this kernel, knows no batches: go entry by entry. Never leaves this floor. */
export class BatchUnsupported extends Error {}

/** Entries as the kernel lays them out: keys in a row, and as many values. */
export interface PackedEntries {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly keyView: DataView;
  readonly valueView: DataView;
}

/** Many entries with one system call (`BPF_MAP_*_BATCH`, since Linux 5.6). */
export class MapBatch<K, V, W> {
  readonly #fd: Fd;
  readonly #key: Codec<K>;
  readonly #value: Codec<V & W>;
  readonly #spec: MapSpec;
  #supported = true;

  constructor(fd: Fd, key: Codec<K>, value: Codec<V & W>, spec: MapSpec) {
    this.#fd = fd;
    this.#key = key;
    this.#value = value;
    this.#spec = spec;
  }

  /** Writes all entries; `single` writes one where batches are unknown. */
  set(entries: Iterable<readonly [K, W]>, mode: UpdateMode, single: (key: K, value: W) => void): number {
    const room = this.#room(CHUNK);
    const keySize = this.#key.size;
    const valueSize = this.#value.size;
    const pending: (readonly [K, W])[] = [];
    let written = 0;
    const flush = (): void => {
      if (pending.length === 0) return;
      if (this.#supported) {
        try {
          this.#update(room.keys, room.values, pending.length, mode, written);
          written += pending.length;
          pending.length = 0;
          return;
        } catch (error) {
          if (!(error instanceof BatchUnsupported)) throw error;
        }
      }
      for (const [key, value] of pending) {
        single(key, value);
        written++;
      }
      pending.length = 0;
    };
    for (const entry of entries) {
      const at = pending.length;
      this.#key.write(room.keyView, at * keySize, entry[0]);
      this.#value.write(room.valueView, at * valueSize, entry[1] as V & W);
      pending.push(entry);
      if (pending.length === CHUNK) flush();
    }
    flush();
    return written;
  }

  setPacked(keys: Uint8Array, values: Uint8Array, count: number, mode: UpdateMode): void {
    const keySize = this.#key.size;
    const valueSize = this.#value.size;
    if (keys.length < count * keySize || values.length < count * valueSize) {
      throw new ArgumentError(
        `map ${this.#spec.name}: ${count} entries take ${count * keySize} bytes of keys and ${count * valueSize} of values`,
      );
    }
    for (let at = 0; at < count; at += CHUNK) {
      const length = Math.min(CHUNK, count - at);
      const someKeys = keys.subarray(at * keySize, (at + length) * keySize);
      const someValues = values.subarray(at * valueSize, (at + length) * valueSize);
      try {
        this.#update(someKeys, someValues, length, mode, at);
      } catch (error) {
        if (!(error instanceof BatchUnsupported)) throw error;
        this.#updateSingly(someKeys, someValues, length, mode);
      }
    }
  }

  /** Deletes the keys; `single` deletes one where batches are unknown. */
  delete(keys: Iterable<K>, single: (key: K) => boolean): number {
    const room = this.#room(CHUNK);
    const keySize = this.#key.size;
    let deleted = 0;
    const pending: K[] = [];
    const flush = (): void => {
      let from = 0;
      // The kernel stops at the first absent key: step over it and go on.
      while (this.#supported && from < pending.length) {
        const attribute = this.#attribute(room.keys.subarray(from * keySize), null, pending.length - from, 0);
        const result = attribute.try(Command.mapDeleteBatch);
        const done = attribute.readU32(32);
        if (result >= 0) {
          deleted += pending.length - from;
          from = pending.length;
        } else if (result === -Errno.ENOENT) {
          deleted += done;
          from += done + 1;
        } else if (isUnsupported(-result) && done === pending.length - from) {
          this.#supported = false;
        } else {
          throw mapRefusal(this.#spec, -result, 'delete from');
        }
      }
      for (const key of pending.slice(from)) if (single(key)) deleted++;
      pending.length = 0;
    };
    for (const key of keys) {
      this.#key.write(room.keyView, pending.length * keySize, key);
      pending.push(key);
      if (pending.length === CHUNK) flush();
    }
    flush();
    return deleted;
  }

  /** As `set` of absent keys alone; `present` is told the place of every other one. How many were written. */
  insertPacked(
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
    present: (index: number) => void,
    single: (index: number) => boolean,
  ): number {
    const keySize = this.#key.size;
    const valueSize = this.#value.size;
    let written = 0;
    for (let at = 0; at < count; ) {
      if (!this.#supported) {
        if (single(at)) written++;
        else present(at);
        at++;
        continue;
      }
      const length = Math.min(CHUNK, count - at);
      const attribute = this.#attribute(
        keys.subarray(at * keySize, (at + length) * keySize),
        values.subarray(at * valueSize, (at + length) * valueSize),
        length,
        UPDATE_FLAG.create,
      );
      const result = attribute.try(Command.mapUpdateBatch);
      const done = attribute.readU32(32);
      if (result >= 0) {
        written += length;
        at += length;
      } else if (result === -Errno.EEXIST) {
        written += done;
        present(at + done);
        at += done + 1;
      } else if (isUnsupported(-result) && done === length) {
        this.#supported = false;
      } else {
        throw mapRefusal(this.#spec, -result, `write entry ${at + done} of ${count} to`);
      }
    }
    return written;
  }

  /** Deletes packed keys; how many were there. */
  deletePacked(keys: Uint8Array, count: number, single: (index: number) => boolean): number {
    const keySize = this.#key.size;
    let deleted = 0;
    for (let at = 0; at < count; ) {
      if (!this.#supported) {
        if (single(at)) deleted++;
        at++;
        continue;
      }
      const length = Math.min(CHUNK, count - at);
      const attribute = this.#attribute(
        keys.subarray(at * keySize, (at + length) * keySize),
        null,
        length,
        0,
      );
      const result = attribute.try(Command.mapDeleteBatch);
      const done = attribute.readU32(32);
      if (result >= 0) {
        deleted += length;
        at += length;
      } else if (result === -Errno.ENOENT) {
        deleted += done;
        at += done + 1;
      } else if (isUnsupported(-result) && done === length) {
        this.#supported = false;
      } else {
        throw mapRefusal(this.#spec, -result, 'delete from');
      }
    }
    return deleted;
  }

  /** Walks all entries. @throws BatchUnsupported before the first one where batches are unknown. */
  *entries(): Generator<[K, V]> {
    const keySize = this.#key.size;
    const valueSize = this.#value.size;
    for (const { count, keyView, valueView } of this.packed()) {
      for (let i = 0; i < count; i++) {
        yield [this.#key.read(keyView, i * keySize), this.#value.read(valueView, i * valueSize)];
      }
    }
  }

  /** Walks all entries as they are laid out; what is yielded is overwritten by the next step. */
  *packed(): Generator<PackedEntries> {
    if (!this.#supported) throw new BatchUnsupported();
    const keySize = this.#key.size;
    let size = Math.min(CHUNK, this.#spec.maxEntries);
    let room = this.#room(size);
    // The token is a bucket's number or a key; each call reads one and writes the next.
    let token = new Uint8Array(Math.max(4, keySize));
    let next = new Uint8Array(token.length);
    let first = true;
    for (;;) {
      const attribute = this.#attribute(room.keys, room.values, size, 0)
        .pointer(0, first ? null : token)
        .pointer(8, next);
      const result = attribute.try(Command.mapLookupBatch);
      const count = attribute.readU32(32);
      if (result === -Errno.ENOSPC) {
        // One bucket holds more than the room: make room and ask for the same bucket again.
        size *= 4;
        room = this.#room(size);
        continue;
      }
      if (result < 0 && result !== -Errno.ENOENT) {
        if (first && isUnsupported(-result)) {
          this.#supported = false;
          throw new BatchUnsupported();
        }
        throw mapRefusal(this.#spec, -result, 'walk');
      }
      if (count > 0) yield { count, ...room };
      if (result === -Errno.ENOENT) return;
      first = false;
      [token, next] = [next, token];
    }
  }

  #update(keys: Uint8Array, values: Uint8Array, count: number, mode: UpdateMode, before: number): void {
    if (!this.#supported) throw new BatchUnsupported();
    const attribute = this.#attribute(keys, values, count, UPDATE_FLAG[mode]);
    const result = attribute.try(Command.mapUpdateBatch);
    if (result >= 0) return;
    const done = attribute.readU32(32);
    // An unknown command leaves the count as it was given; a known one writes how far it came.
    if (isUnsupported(-result) && done === count) {
      this.#supported = false;
      throw new BatchUnsupported();
    }
    throw mapRefusal(this.#spec, -result, `write entry ${before + done + 1} to`);
  }

  #updateSingly(keys: Uint8Array, values: Uint8Array, count: number, mode: UpdateMode): void {
    for (let i = 0; i < count; i++) {
      const attribute = new Attribute(32)
        .u32(0, this.#fd.number)
        .pointer(8, keys.subarray(i * this.#key.size))
        .pointer(16, values.subarray(i * this.#value.size))
        .u64(24, BigInt(UPDATE_FLAG[mode]));
      const result = attribute.try(Command.mapUpdate);
      if (result < 0) throw mapRefusal(this.#spec, -result, 'write to');
    }
  }

  #attribute(keys: Uint8Array, values: Uint8Array | null, count: number, elementFlags: number): Attribute {
    // struct { in_batch @0, out_batch @8, keys @16, values @24, count @32, map_fd @36, elem_flags @40, flags @48 }
    return new Attribute(56)
      .pointer(16, keys)
      .pointer(24, values)
      .u32(32, count)
      .u32(36, this.#fd.number)
      .u64(40, BigInt(elementFlags));
  }

  #room(entries: number): { keys: Uint8Array; values: Uint8Array; keyView: DataView; valueView: DataView } {
    const keys = new Uint8Array(entries * this.#key.size);
    const values = new Uint8Array(entries * this.#value.size);
    return { keys, values, keyView: new DataView(keys.buffer), valueView: new DataView(values.buffer) };
  }
}

function isUnsupported(errno: number): boolean {
  return errno === Errno.ENOTSUPP || errno === Errno.EINVAL || errno === Errno.EOPNOTSUPP;
}
