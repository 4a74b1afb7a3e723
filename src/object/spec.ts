import { type Btf, type BtfValue, valueCodec } from '../btf/index.ts';
import { ArgumentError } from '../error.ts';
import type { ProgramKind } from './section-name.ts';

/**
 * What an object file *is*: plain data that knows no kernel. Reading the same bytes twice gives the same spec.
 *
 * Before it is loaded, `maxEntries`, `pinned` and flags of maps, and the values of variables, may be changed.
 */
export interface ObjectSpec {
  readonly byteOrder: 'little' | 'big';
  /** As in `GPL`; empty when the object has no `license` section. */
  readonly license: string;
  /** The kernel version that the `version` section asks for; 0 without one. */
  readonly kernelVersion: number;
  readonly programs: Readonly<Record<string, ObjectProgram>>;
  /** Maps by name, among them the data sections under theirs (`.rodata`, `.bss`). */
  readonly maps: Readonly<Record<string, ObjectMapSpec>>;
  readonly variables: Readonly<Record<string, ObjectVariable>>;
  /** What the object expects of the kernel, by name: configuration, symbols, functions. */
  readonly externs: Readonly<Record<string, ObjectExtern>>;
  /** Every function, also those that programs call. */
  readonly functions: readonly ObjectFunction[];
  readonly btf: ObjectBtf | undefined;
}

export interface ObjectBtf {
  readonly types: Btf;
  /** The `.BTF` section as it stands in the file. */
  readonly bytes: Uint8Array;
  /** Sections that BTF describes, by name: how large they are, and where in them which symbol lies. */
  readonly sections: ReadonlyMap<
    string,
    { readonly size: number; readonly offsets: ReadonlyMap<string, number> }
  >;
}

/** An entry point, and what its section's name says about it. */
export interface ObjectProgram {
  readonly name: string;
  /** The `SEC()` name. */
  readonly section: string;
  /** Undefined where the section's name says nothing. */
  readonly kind: ProgramKind | undefined;
  /** Whether it is loaded unless programs are named. */
  readonly loadedByDefault: boolean;
  readonly entry: ObjectFunction;
}

/** A function as the compiler left it: places that refer to something else are listed, not filled in. */
export interface ObjectFunction {
  readonly name: string;
  readonly section: string;
  /** Index of its section. */
  readonly sectionIndex: number;
  /** In its section, in bytes. */
  readonly offset: number;
  /** Little-endian, whatever the file's order. */
  readonly code: Uint8Array;
  /** Rising by offset. */
  readonly references: readonly Reference[];
  /** Verified on its own (`global`), or as part of its callers. */
  readonly linkage: 'static' | 'global';
  /** ID of its FUNC in BTF; 0 without. */
  readonly type: number;
  /** Line info: four words each, the first the offset in this function, in bytes. */
  readonly lines: Uint32Array;
  /** CO-RE relocations: four words each, the first the offset in this function, in bytes. */
  readonly relocations: Uint32Array;
}

/** A place in a function that something else has to be put into. */
export type Reference = { readonly offset: number } & (
  | { readonly kind: 'map'; readonly map: string }
  /** The address of a byte of a map's first value. */
  | { readonly kind: 'value'; readonly map: string; readonly at: number }
  | { readonly kind: 'call' | 'function'; readonly section: number; readonly at: number }
  | { readonly kind: 'extern'; readonly name: string; readonly call: boolean }
  | { readonly kind: 'unsupported'; readonly problem: string }
);

/** A map as the object defines it; types and sizes in the kernel's numbers, for there are more than this library types. */
export interface ObjectMapSpec {
  readonly name: string;
  /** `enum bpf_map_type`. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  maxEntries: number;
  /** `BPF_F_` bits. */
  flags: number;
  readonly extra: bigint;
  readonly numaNode: number | undefined;
  /** BTF IDs; 0 where the object only tells sizes. */
  readonly keyType: number;
  readonly valueType: number;
  /** Lives on bpffs under its name (`LIBBPF_PIN_BY_NAME`), and is taken from there when it does already. */
  pinned: boolean;
  /** What a map-in-map holds; definitions as before BTF cannot say it, so it may be set. */
  inner: ObjectMapSpec | undefined;
  /** Entries that the object fills: maps, or programs of a program array, by index. */
  readonly initial: readonly { readonly index: number; readonly name: string }[];
  /** The contents of a data section. */
  readonly data: SectionData | undefined;
  /** What about it cannot be loaded, as in `struct_ops`. */
  readonly unsupported: string | undefined;
}

/** The bytes behind a data section's map. */
export class SectionData {
  readonly kind: 'rodata' | 'data' | 'bss' | 'kconfig';
  /** In bytes. */
  readonly size: number;
  #bytes: Uint8Array;
  #own = false;

  /** @param bytes As in the file; what is missing up to `size` is zero. */
  constructor(kind: SectionData['kind'], size: number, bytes: Uint8Array) {
    this.kind = kind;
    this.size = size;
    this.#bytes = bytes;
  }

  /** A copy of the contents. */
  contents(): Uint8Array {
    if (this.size > 0xffff_ffff)
      throw new ArgumentError(`a section of ${this.size} bytes is too large for a map`);
    const copy = new Uint8Array(this.size);
    copy.set(this.#bytes);
    return copy;
  }

  /** Part of the contents, to read from. */
  view(offset: number, length: number): DataView {
    if (offset + length <= this.#bytes.length) {
      return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + offset, length);
    }
    const part = new Uint8Array(length);
    if (offset < this.#bytes.length) part.set(this.#bytes.subarray(offset, offset + length));
    return new DataView(part.buffer);
  }

  /** Part of the contents, to change; the file's bytes stay as they are. */
  change(offset: number, length: number): DataView {
    if (!this.#own) {
      this.#bytes = this.contents();
      this.#own = true;
    }
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + offset, length);
  }
}

/** A global variable of an object. */
export class ObjectVariable {
  readonly name: string;
  /** Name of its section and map, as in `.rodata`. */
  readonly section: string;
  /** In its section, in bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  /** BTF ID of its type; 0 without BTF. */
  readonly type: number;
  readonly linkage: 'static' | 'global';
  readonly #data: SectionData;
  readonly #btf: Btf | undefined;

  constructor(
    place: Pick<ObjectVariable, 'name' | 'section' | 'offset' | 'size' | 'type' | 'linkage'>,
    data: SectionData,
    btf: Btf | undefined,
  ) {
    this.name = place.name;
    this.section = place.section;
    this.offset = place.offset;
    this.size = place.size;
    this.type = place.type;
    this.linkage = place.linkage;
    this.#data = data;
    this.#btf = btf;
  }

  /** Whether programs and, once it is loaded, everybody else can only read it. */
  get constant(): boolean {
    return this.#data.kind === 'rodata' || this.#data.kind === 'kconfig';
  }

  /** What it is loaded with; without BTF its bytes. Setting it changes this spec only. */
  get value(): BtfValue {
    return this.decode(this.#data.view(this.offset, this.size), 0);
  }

  set value(value: unknown) {
    this.encode(this.#data.change(this.offset, this.size), 0, value);
  }

  /** The value in the bytes at `offset`. */
  decode(view: DataView, offset: number): BtfValue {
    const codec = this.#codec();
    if (codec === undefined) return new Uint8Array(view.buffer, view.byteOffset + offset, this.size).slice();
    return codec.read(view, offset);
  }

  /** @throws ArgumentError when the value does not fit the variable. */
  encode(view: DataView, offset: number, value: unknown): void {
    const codec = this.#codec();
    if (codec === undefined || value instanceof Uint8Array) {
      if (!(value instanceof Uint8Array) || value.length !== this.size) {
        throw new ArgumentError(`variable '${this.name}' takes a Uint8Array of ${this.size} bytes`);
      }
      new Uint8Array(view.buffer, view.byteOffset + offset, this.size).set(value);
      return;
    }
    // In bytes of its own first: a value that does not fit must not leave half of itself behind.
    const bytes = new Uint8Array(this.size);
    try {
      codec.write(new DataView(bytes.buffer), 0, value);
    } catch (error) {
      if (error instanceof ArgumentError)
        throw new ArgumentError(`variable '${this.name}': ${error.message}`);
      throw error;
    }
    new Uint8Array(view.buffer, view.byteOffset + offset, this.size).set(bytes);
  }

  #codec(): ReturnType<typeof valueCodec> | undefined {
    if (this.#btf === undefined || this.type === 0) return undefined;
    const codec = valueCodec(this.#btf, this.type);
    return codec.size <= this.size ? codec : undefined;
  }
}

/** Something that only the running kernel can provide. */
export interface ObjectExtern {
  readonly name: string;
  /** A configuration value, a kernel variable, a kernel function; `unknown` without BTF that would tell. */
  readonly kind: 'kconfig' | 'ksym' | 'kfunc' | 'unknown';
  /** Absent is as good as zero. */
  readonly weak: boolean;
  /** BTF ID: of the variable's type, or the FUNC. */
  readonly type: number;
  /** `kconfig`: where it lies in the section that is made for it, in bytes. */
  readonly offset: number;
  /** `kconfig`: in bytes. */
  readonly size: number;
}
