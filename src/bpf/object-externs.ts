import { type Btf, formatDeclaration, valueCodec } from '../btf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import type { LinkedProgram, ObjectExtern, ObjectSpec } from '../object/index.ts';
import { type Fd, kernelVersion } from '../sys/index.ts';
import {
  kernelConfiguration,
  kernelTypes,
  moduleNames,
  moduleTypes,
  openModuleBtf,
  symbolAddress,
} from './kernel-types.ts';

const SLOT = 8;
const PSEUDO_BTF_ID = 3;
const PSEUDO_KFUNC = 2;
/** A call of a helper that no kernel has, for a weak function that is not there. */
const POISON = 0xbad2311;

/** Descriptors of modules' BTF by module, as the programs of one object share them. */
export class ModuleBtfs {
  readonly #fds = new Map<string, Fd>();

  open(module: string): Fd {
    let fd = this.#fds.get(module);
    if (fd === undefined) {
      fd = openModuleBtf(module);
      this.#fds.set(module, fd);
    }
    return fd;
  }

  close(): void {
    for (const fd of this.#fds.values()) fd.close();
    this.#fds.clear();
  }
}

/** What `fillExterns` leaves to the load. */
export interface FilledExterns {
  /** Module descriptors by their index in calls; index 0 stands for the kernel itself. */
  readonly fdArray: readonly Fd[];
  /** Weak functions that this kernel does not have, by the slot of their call. */
  readonly missing: ReadonlyMap<number, string>;
}

/**
 * Puts addresses and numbers of the running kernel where a program names its symbols and functions.
 *
 * @throws BarewireError `BW_UNSUPPORTED` that names what this kernel does not have.
 */
export function fillExterns(
  spec: ObjectSpec,
  linked: LinkedProgram,
  modules: ModuleBtfs,
  configuration: Fd | undefined,
): FilledExterns {
  const view = new DataView(linked.code.buffer, linked.code.byteOffset, linked.code.length);
  const fdArray: Fd[] = [];
  const missing = new Map<number, string>();
  for (const reference of linked.references) {
    if (reference.kind !== 'extern') continue;
    const { offset, call, name } = reference;
    const extern = spec.externs[name];
    if (extern === undefined) continue;
    const load = (pseudo: number, low: number, high: number): void => {
      view.setUint8(offset + 1, (view.getUint8(offset + 1) & 15) | (pseudo << 4));
      view.setInt32(offset + 4, low | 0, true);
      view.setInt32(offset + 12, high | 0, true);
    };
    switch (extern.kind) {
      case 'kconfig': {
        if (configuration === undefined) break;
        load(2, configuration.number, extern.offset);
        break;
      }
      case 'kfunc': {
        const found = findFunction(extern.name);
        if (found === undefined) {
          if (!extern.weak) throw absent(`the kernel function '${name}'`, functionHint(spec, extern));
          missing.set(offset / SLOT, `the kernel function '${name}'`);
          if (call) {
            view.setUint8(offset + 1, 0);
            view.setInt32(offset + 4, POISON, true);
          } else load(0, 0, 0);
          break;
        }
        const fd = found.module === undefined ? undefined : modules.open(found.module);
        if (!call) {
          load(PSEUDO_BTF_ID, found.id, fd?.number ?? 0);
          break;
        }
        let index = 0;
        if (fd !== undefined) {
          if (!fdArray.includes(fd)) fdArray.push(fd);
          index = fdArray.indexOf(fd) + 1;
        }
        view.setUint8(offset + 1, PSEUDO_KFUNC << 4);
        view.setInt16(offset + 2, index, true);
        view.setInt32(offset + 4, found.id, true);
        break;
      }
      case 'ksym': {
        const types = spec.btf?.types;
        const typed = types !== undefined && types.resolve(extern.type) !== 0;
        const id = typed ? kernelTypes().find(essential(name), 'var') : undefined;
        if (id !== undefined) {
          load(PSEUDO_BTF_ID, id, 0);
          break;
        }
        const address = typed ? undefined : symbolAddress(name);
        if (address === undefined && !extern.weak) throw absent(`the kernel symbol '${name}'`);
        const value = BigInt.asIntN(64, address ?? 0n);
        load(0, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
        break;
      }
      case 'unknown':
        throw new BarewireError('BW_UNSUPPORTED', `nothing defines the symbol '${name}'`, {
          hint: 'Declare it with __ksym or __kconfig, compile with -g, or link the object that defines it (bpftool gen object).',
        });
    }
  }
  return { fdArray, missing };
}

/** The name without the flavour that keeps declarations of one function apart: `bpf_dynptr_from_xdp___old`. */
function essential(name: string): string {
  const at = name.indexOf('___');
  return at > 0 ? name.slice(0, at) : name;
}

function findFunction(given: string): { id: number; module: string | undefined } | undefined {
  const name = essential(given);
  const id = kernelTypes().find(name, 'func');
  if (id !== undefined) return { id, module: undefined };
  for (const module of moduleNames()) {
    const btf = moduleTypes(module);
    const own = btf?.find(name, 'func');
    if (own !== undefined) return { id: own, module };
  }
  return undefined;
}

function functionHint(spec: ObjectSpec, extern: ObjectExtern): string {
  const types = spec.btf?.types;
  if (types === undefined || extern.type === 0)
    return 'Declare it __weak and ask bpf_ksym_exists() before the call.';
  const declared = types.type(extern.type);
  const declaration =
    declared.kind === 'func' ? formatDeclaration(types, declared.type, extern.name) : extern.name;
  return `It is declared as ${declaration}; declare it __weak and ask bpf_ksym_exists() before the call.`;
}

function absent(what: string, hint?: string): BarewireError {
  return new BarewireError(
    'BW_UNSUPPORTED',
    `this kernel does not have ${what}`,
    hint === undefined ? {} : { hint },
  );
}

/**
 * The values of `.kconfig`, read from the running kernel's configuration.
 *
 * @throws BarewireError `BW_UNSUPPORTED` for a value that is not set, or not to be had, unless it is declared weak.
 */
export function configurationBytes(spec: ObjectSpec, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const types = spec.btf?.types;
  if (types === undefined) return bytes;
  let configuration: ReadonlyMap<string, string> | undefined;
  let read = false;
  for (const extern of Object.values(spec.externs)) {
    if (extern.kind !== 'kconfig') continue;
    const virtual = VIRTUAL[extern.name];
    if (virtual === undefined && !read) {
      configuration = kernelConfiguration();
      read = true;
    }
    const text = virtual === undefined ? configuration?.get(extern.name) : String(virtual());
    if (text === undefined) {
      if (extern.weak) continue;
      throw absent(
        `the configuration value ${extern.name}`,
        configuration === undefined
          ? 'There is neither /proc/config.gz nor a config file in /boot.'
          : 'It is not set.',
      );
    }
    try {
      writeSetting(view, types, extern, text);
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      throw new BarewireError(
        'BW_UNSUPPORTED',
        `the configuration value ${extern.name}=${text}: ${error.message}`,
      );
    }
  }
  return bytes;
}

/** Values that the configuration does not hold, but loaders provide. */
const VIRTUAL: Readonly<Record<string, () => number>> = {
  LINUX_KERNEL_VERSION: () => {
    const { major, minor, patch } = kernelVersion();
    return major * 65536 + minor * 256 + Math.min(patch, 255);
  },
  LINUX_HAS_BPF_COOKIE: () => {
    const { major, minor } = kernelVersion();
    return major > 5 || (major === 5 && minor >= 15) ? 1 : 0;
  },
  LINUX_HAS_SYSCALL_WRAPPER: () =>
    ['__x64_sys_bpf', '__arm64_sys_bpf'].some((name) => symbolAddress(name) !== undefined) ? 1 : 0,
};

/** `y`, `m` and `n` for bool, char and enum libbpf_tristate; text in quotes; numbers. */
function writeSetting(view: DataView, types: Btf, extern: ObjectExtern, text: string): void {
  const type = types.type(types.resolve(extern.type));
  const codec = valueCodec(types, extern.type);
  if (/^[ymn]$/.test(text)) {
    if (type.kind === 'enum') codec.write(view, extern.offset, { n: 0, y: 1, m: 2 }[text]);
    else if (type.kind === 'int' && type.encoding === 'bool') codec.write(view, extern.offset, text === 'y');
    else if (type.kind === 'int' && type.size === 1) codec.write(view, extern.offset, text.charCodeAt(0));
    else throw new ArgumentError('a tristate takes bool, char or enum libbpf_tristate');
  } else if (text.startsWith('"')) {
    const plain = text.slice(1, -1).replaceAll(/\\(.)/g, '$1');
    codec.write(view, extern.offset, type.kind === 'array' ? plain.slice(0, extern.size - 1) : plain);
  } else {
    if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(text)) throw new ArgumentError('it is no number');
    const number = text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
    codec.write(view, extern.offset, number);
  }
}
