import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { type Btf, decodeKernelBtf } from '../btf/index.ts';
import { BarewireError } from '../error.ts';
import type { Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { openById } from './info.ts';
import { Command } from './uapi.ts';

const BTF_FOLDER = '/sys/kernel/btf';

let vmlinux: Btf | undefined;
const modules = new Map<string, Btf>();

/**
 * The running kernel's types, read once.
 *
 * @throws BarewireError `BW_UNSUPPORTED` when the kernel does not tell them (`CONFIG_DEBUG_INFO_BTF`).
 */
export function kernelTypes(): Btf {
  if (vmlinux !== undefined) return vmlinux;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(`${BTF_FOLDER}/vmlinux`);
  } catch (cause) {
    throw new BarewireError(
      'BW_UNSUPPORTED',
      `this kernel does not tell its types: ${BTF_FOLDER}/vmlinux is missing`,
      {
        hint: 'It takes a kernel built with CONFIG_DEBUG_INFO_BTF.',
        cause,
      },
    );
  }
  vmlinux = decodeKernelBtf(bytes);
  return vmlinux;
}

/** Names of the loaded modules that tell their types. */
export function moduleNames(): string[] {
  try {
    return readdirSync(BTF_FOLDER).filter((name) => name !== 'vmlinux');
  } catch {
    return [];
  }
}

/** A module's types, which build on the kernel's; undefined when it has gone. */
export function moduleTypes(name: string): Btf | undefined {
  let btf = modules.get(name);
  if (btf !== undefined) return btf;
  try {
    btf = decodeKernelBtf(readFileSync(`${BTF_FOLDER}/${name}`), kernelTypes());
  } catch (error) {
    if (error instanceof BarewireError) throw error;
    return undefined;
  }
  modules.set(name, btf);
  return btf;
}

/** The kernel's types, then those of one module after the other, each read when it is asked for. */
export function* allKernelTypes(): Generator<Btf> {
  yield kernelTypes();
  for (const name of moduleNames()) {
    const btf = moduleTypes(name);
    if (btf !== undefined) yield btf;
  }
}

/** The descriptor of a module's BTF, which programs that use its functions hold. */
export function openModuleBtf(name: string): Fd {
  let id = 0;
  for (;;) {
    const attribute = new Attribute(12).u32(0, id);
    const result = attribute.try(Command.btfGetNextId);
    if (result < 0) throw bpfError(-result, `find the BTF of the module ${name}`);
    id = attribute.readU32(4);
    const fd = openById('btf', id);
    if (fd === undefined) continue;
    if (btfName(fd) === name) return fd;
    fd.close();
  }
}

/** `struct bpf_btf_info`: btf @0, btf_size @8, id @12, name @16, name_len @24, kernel_btf @28. */
function btfName(fd: Fd): string {
  const name = new Uint8Array(64);
  const info = new Attribute(32).pointer(16, name).u32(24, name.length);
  const result = new Attribute(16)
    .u32(0, fd.number)
    .u32(4, info.bytes.length)
    .pointer(8, info.bytes)
    .try(Command.objectGetInfo);
  return result < 0 ? '' : new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
}

/** The types that a map or program was loaded with, by their number; undefined when they are gone. */
export function typesById(id: number): Btf | undefined {
  using fd = openById('btf', id);
  if (fd === undefined) return undefined;
  const size = new Attribute(32);
  new Attribute(16)
    .u32(0, fd.number)
    .u32(4, 32)
    .pointer(8, size.bytes)
    .run(Command.objectGetInfo, `ask about ${fd.what}`);
  const blob = new Uint8Array(size.readU32(8));
  const info = new Attribute(32).pointer(0, blob).u32(8, blob.length);
  new Attribute(16)
    .u32(0, fd.number)
    .u32(4, 32)
    .pointer(8, info.bytes)
    .run(Command.objectGetInfo, `read ${fd.what}`);
  return decodeKernelBtf(blob);
}

/** Addresses of kernel symbols; undefined where there is none, or this process may not see them. */
export function symbolAddress(name: string): bigint | undefined {
  symbols ??= readFileSync('/proc/kallsyms', 'latin1');
  const at = new RegExp(`^([0-9a-f]+) \\w ${name.replaceAll(/[^\w.]/g, '')}(?=[\\t\\n])`, 'm').exec(symbols);
  const address = at === null ? 0n : BigInt(`0x${at[1]}`);
  return address === 0n ? undefined : address;
}

let symbols: string | undefined;

/** How the kernel was configured, as `CONFIG_HZ` to `250`; undefined where nothing tells. */
export function kernelConfiguration(): ReadonlyMap<string, string> | undefined {
  for (const [path, read] of [
    // Loaded when it is needed: few objects ask, and it takes longer than most of them.
    [
      '/proc/config.gz',
      (bytes: Buffer) => process.getBuiltinModule('node:zlib').gunzipSync(bytes).toString(),
    ],
    [`/boot/config-${release()}`, (bytes: Buffer) => bytes.toString()],
  ] as const) {
    try {
      const lines = read(readFileSync(path)).matchAll(/^(CONFIG_\w+)=(.*)$/gm);
      return new Map([...lines].map(([, name = '', value = '']) => [name, value]));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}
