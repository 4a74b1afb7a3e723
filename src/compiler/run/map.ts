import { codecOf, type Layout } from '../../layout/index.ts';
import type { MapSpec } from '../../spec/index.ts';
import { type Memory, StaleView, viewOf, writePart } from './views.ts';

/** A map that lives in Node: the same bytes the kernel would hold, without the kernel. */
export class RunMap<K = unknown, V = unknown> {
  readonly spec: MapSpec;
  /** Values by the hexadecimal digits of their keys, in the order of insertion. */
  readonly #entries = new Map<string, { key: Uint8Array; readonly value: DataView }>();
  /** What a ring buffer has been given. */
  readonly #events: V[] = [];
  /** Bytes of a ring buffer that its reader has not come to. */
  #unread = 0;
  /** Counts what the program wrote. */
  #writes = 0;

  constructor(spec: MapSpec) {
    this.spec = spec;
    if (spec.type === 'array' || spec.type === 'percpu_array') {
      for (let i = 0; i < spec.maxEntries; i++) this.#put(this.#key(i), new Uint8Array(spec.value.size));
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A copy of an entry; for an LPM trie, of the longest prefix that matches. */
  get(key: K): V | undefined {
    const entry = this.#find(this.#key(key));
    return entry === undefined ? undefined : this.#decode(this.spec.value, entry.value);
  }

  /** Creates or replaces an entry; values that do not fit are refused, as in the kernel's map. */
  set(key: K, value: V): boolean {
    const bytes = new Uint8Array(this.spec.value.size);
    codecOf(this.spec.value as Layout<V>).write(new DataView(bytes.buffer), 0, value);
    return this.#store(this.#key(key), bytes, 0);
  }

  delete(key: K): boolean {
    return this.#delete(this.#key(key));
  }

  *entries(): Generator<[K, V]> {
    for (const { key, value } of this.#entries.values()) {
      yield [this.#decode(this.spec.key, new DataView(key.buffer)), this.#decode(this.spec.value, value)];
    }
  }

  /** What a ring buffer has been given so far. */
  get events(): readonly V[] {
    return this.#events;
  }

  /** A reader has taken all events: there is room for as many again. */
  catchUp(): void {
    this.#unread = 0;
  }

  /** An entry's bytes; gone when the map was written, for a kernel's entry may be another's then. */
  #memory(value: DataView): Memory {
    if (this.spec.type === 'array' || this.spec.type === 'percpu_array') return { view: value, offset: 0 };
    const writes = this.#writes;
    const check = (): void => {
      if (writes === this.#writes) return;
      throw new StaleView(`this entry of map ${this.spec.name} is from before the map was written`);
    };
    return {
      get view(): DataView {
        check();
        return value;
      },
      offset: 0,
    };
  }

  /** The side that programs see. */
  kernel(redirect: (verdict: 'redirect' | 'tail call', key: number) => unknown): unknown {
    const store = (flags: number) => (key: unknown, value: unknown) => {
      const bytes = new Uint8Array(this.spec.value.size);
      writePart(this.spec.value, { view: new DataView(bytes.buffer), offset: 0 }, value);
      this.#writes++;
      return this.#store(this.#key(key), bytes, flags);
    };
    return {
      get: (key: unknown) => {
        const entry = this.#find(this.#key(key));
        return entry === undefined ? undefined : viewOf(this.spec.value, this.#memory(entry.value));
      },
      has: (key: unknown) => this.#find(this.#key(key)) !== undefined,
      set: store(0),
      insert: store(1),
      update: store(2),
      delete: (key: unknown) => {
        this.#writes++;
        return this.#delete(this.#key(key));
      },
      output: (event: unknown) => {
        const bytes = new Uint8Array(this.spec.value.size);
        writePart(this.spec.value, { view: new DataView(bytes.buffer), offset: 0 }, event);
        // A record has a header of eight bytes and ends at a multiple of eight (kernel/bpf/ringbuf.c).
        const taken = this.#unread + 8 + Math.ceil(bytes.length / 8) * 8;
        if (taken > this.spec.maxEntries - 1) return false;
        this.#unread = taken;
        this.#events.push(this.#decode(this.spec.value, new DataView(bytes.buffer)));
        return true;
      },
      redirect: (key: number, fallback: unknown = 'aborted') =>
        this.#entries.has(hex(this.#key(key))) ? redirect('redirect', key >>> 0) : fallback,
      tailCall: (key: number, fallback: unknown = 'aborted') =>
        this.#entries.has(hex(this.#key(key))) ? redirect('tail call', key >>> 0) : fallback,
    };
  }

  #decode<T>(layout: Layout, view: DataView): T {
    return codecOf(layout as Layout<T>).read(view, 0);
  }

  #key(key: unknown): Uint8Array {
    const bytes = new Uint8Array(this.spec.key.size);
    writePart(this.spec.key, { view: new DataView(bytes.buffer), offset: 0 }, key);
    return bytes;
  }

  #put(key: Uint8Array, value: Uint8Array): void {
    this.#entries.set(this.#id(key), { key, value: new DataView(value.buffer) });
  }

  /** What tells one entry from others: the key's bytes; of a prefix, the bits that count. */
  #id(key: Uint8Array): string {
    if (this.spec.type !== 'lpm_trie') return hex(key);
    const id = key.slice();
    const length = prefixLength(key);
    for (let bit = length; bit < (key.length - 4) * 8; bit++) id[4 + (bit >> 3)]! &= ~(0x80 >> (bit & 7));
    return hex(id);
  }

  /** The kernel takes no prefix that is longer than the address. */
  #isTooLong(key: Uint8Array): boolean {
    return this.spec.type === 'lpm_trie' && prefixLength(key) > (key.length - 4) * 8;
  }

  #delete(key: Uint8Array): boolean {
    return !this.#isTooLong(key) && this.#entries.delete(this.#id(key));
  }

  #find(key: Uint8Array): { value: DataView } | undefined {
    if (this.spec.type !== 'lpm_trie') return this.#entries.get(hex(key));
    if (this.#isTooLong(key)) return undefined;
    let best: { value: DataView } | undefined;
    let longest = -1;
    for (const entry of this.#entries.values()) {
      const length = prefixLength(entry.key);
      if (length > longest && length <= prefixLength(key) && matches(entry.key, key, length)) {
        best = entry;
        longest = length;
      }
    }
    return best;
  }

  #store(key: Uint8Array, value: Uint8Array, flags: number): boolean {
    const { type, maxEntries } = this.spec;
    if (this.#isTooLong(key)) return false;
    const known = this.#entries.get(this.#id(key));
    if (type === 'array' || type === 'percpu_array') {
      if (known === undefined || flags === 1) return false;
    } else if ((flags === 1 && known !== undefined) || (flags === 2 && known === undefined)) {
      return false;
    }
    if (known === undefined && this.#entries.size >= maxEntries) {
      if (!type.startsWith('lru')) return false;
      this.#entries.delete(this.#entries.keys().next().value!);
    }
    if (known === undefined) {
      this.#put(key, value);
    } else {
      new Uint8Array(known.value.buffer).set(value);
      known.key = key;
    }
    return true;
  }
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function prefixLength(key: Uint8Array): number {
  return new DataView(key.buffer).getUint32(0, true);
}

function matches(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let i = 0; i < bits; i++) {
    const mask = 0x80 >> (i & 7);
    if (((a[4 + (i >> 3)]! ^ b[4 + (i >> 3)]!) & mask) !== 0) return false;
  }
  return true;
}
