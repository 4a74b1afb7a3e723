import { FUNC_INFO_SIZE, LINE_INFO_SIZE } from '../btf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { nearest } from '../nearest.ts';
import {
  kernelBtf,
  type LinkedProgram,
  linkProgram,
  type ObjectMapSpec,
  type ObjectProgram,
  type ObjectSpec,
  readObject,
  relocateCore,
} from '../object/index.ts';
import { cString, Errno, Fd, PAGE_SIZE, possibleCpus } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { loadBtf } from './btf-object.ts';
import { mapInfo, programInfo } from './info.ts';
import { allKernelTypes, kernelTypes, typesById } from './kernel-types.ts';
import type { HasFd } from './map-value.ts';
import { configurationBytes, fillExterns, ModuleBtfs } from './object-externs.ts';
import { ObjectMap } from './object-map.ts';
import { type LiveVariable, liveVariable, SectionMemory } from './object-variable.ts';
import { BPFFS, ensureBpffs, openPinned } from './pin.ts';
import { loadWithLog, Program, tryLoad } from './program.ts';
import { Command, MAP_TYPE_NAMES, XDP_DEVICE_BOUND } from './uapi.ts';
import { VerifierError } from './verifier.ts';

export interface LoadObjectOptions {
  /** Only these programs, by name. Default is every one whose section does not begin with a question mark. */
  readonly programs?: readonly string[] | undefined;
  /** Maps that exist already, used instead of new ones and left to their owner. */
  readonly maps?: Readonly<Record<string, HasFd>>;
  /** Where maps that the object wants pinned by name lie. Default is `/sys/fs/bpf`. */
  readonly pinFolder?: string;
  /** For programs that extend or trace another: which, and which function of it. Default is what `SEC()` says. */
  readonly targets?: Readonly<Record<string, { readonly program?: HasFd; readonly function: string }>>;
  /** Keep the verifier's log also on success, in `program.log`: 1 as on failure, 2 every state. Default is 0. */
  readonly logLevel?: 0 | 1 | 2;
  /** Load XDP programs for this interface only; as `boundTo` of `ProgramOptions`. */
  readonly boundTo?: number;
}

/** A spec that knows how to get into the kernel. */
export interface LoadableObject extends ObjectSpec {
  /** As {@link loadObjectSpec} with this spec. */
  load(options?: LoadObjectOptions): LoadedObject;
}

/** The programs, maps and variables of an object in the kernel. Closing it closes what it made. */
export interface LoadedObject extends Disposable {
  readonly programs: Readonly<Record<string, Program>>;
  readonly maps: Readonly<Record<string, ObjectMap>>;
  readonly variables: Readonly<Record<string, LiveVariable>>;
  close(): void;
}

/**
 * Reads an object file that a C compiler made.
 *
 * @example
 * const object = loadObject(readFileSync('filter.o'));
 * object.maps.flows.maxEntries = 100_000;
 * object.variables.port.value = 8080;
 * using live = object.load();
 * attachXdp(live.programs.filter, { interface: 'eth0' });
 *
 * @throws CodecError when the file is no such object, is truncated or contradicts itself.
 */
export function loadObject(bytes: Uint8Array): LoadableObject {
  const spec = readObject(bytes);
  const loadable: LoadableObject = { ...spec, load: (options) => loadObjectSpec(loadable, options) };
  return loadable;
}

/**
 * Creates an object's maps and loads its programs; nothing is attached.
 *
 * When anything fails, what was made is closed again. What this library cannot load is refused by its name.
 *
 * @throws VerifierError when the verifier refuses a program; BarewireError `BW_UNSUPPORTED` for what is not supported,
 *   here or by this kernel; `BW_RELOCATION` when the kernel's types contradict the program; `BW_PIN_MISMATCH` for a pinned map
 *   of another shape; SystemError otherwise.
 */
export function loadObjectSpec(spec: ObjectSpec, options: LoadObjectOptions = {}): LoadedObject {
  if (spec.byteOrder === 'big') {
    throw unsupported('an object for big-endian machines', 'Compile it with -target bpfel.');
  }
  const loader = new ObjectLoader(spec, options);
  try {
    return loader.load();
  } catch (error) {
    loader.close();
    throw error;
  }
}

class ObjectLoader {
  readonly #spec: ObjectSpec;
  readonly #options: LoadObjectOptions;
  readonly #own: { close(): void }[] = [];
  readonly #maps: Record<string, ObjectMap> = Object.create(null);
  readonly #programs: Record<string, Program> = Object.create(null);
  readonly #modules = new ModuleBtfs();
  #btf: Fd | undefined;
  #btfTried = false;

  constructor(spec: ObjectSpec, options: LoadObjectOptions) {
    this.#spec = spec;
    this.#options = options;
  }

  load(): LoadedObject {
    const spec = this.#spec;
    const chosen = this.#choose();
    const linked = chosen.map((program) => ({ program, linked: linkProgram(spec, program) }));
    const used = new Set(
      linked.flatMap(({ linked: { references } }) =>
        references.map((reference) => ('map' in reference ? reference.map : '')),
      ),
    );
    for (const map of Object.values(spec.maps)) {
      const problem = this.#problemOf(map);
      if (problem === undefined) this.#createMap(map);
      else if (used.has(map.name)) {
        throw unsupported(`map '${map.name}': ${problem}`, 'docs/objects.md lists what is supported.');
      }
    }
    for (const name of Object.keys(this.#options.maps ?? {})) {
      if (spec.maps[name] === undefined) throw new ArgumentError(`the object has no map '${name}'`);
    }
    this.#fill('maps');
    for (const { program, linked: code } of linked) {
      const loaded = this.#loadProgram(program, code);
      this.#own.push(loaded);
      this.#programs[program.name] = loaded;
    }
    this.#fill('programs');
    // The kernel holds what the programs need.
    this.#modules.close();
    this.#btf?.close();
    const variables: Record<string, LiveVariable> = Object.create(null);
    const memory = new Map<string, SectionMemory>();
    for (const variable of Object.values(spec.variables)) {
      const map = this.#maps[variable.section];
      if (map === undefined) continue;
      let section = memory.get(variable.section);
      if (section === undefined) {
        section = new SectionMemory(map, variable.constant);
        memory.set(variable.section, section);
        this.#own.push(section);
      }
      variables[variable.name] = liveVariable(variable, section);
    }
    const close = (): void => this.close();
    return { programs: this.#programs, maps: this.#maps, variables, close, [Symbol.dispose]: close };
  }

  close(): void {
    this.#modules.close();
    this.#btf?.close();
    for (const object of this.#own.splice(0).reverse()) object.close();
  }

  #choose(): ObjectProgram[] {
    const { programs } = this.#spec;
    const names = this.#options.programs;
    if (names === undefined) return Object.values(programs).filter((program) => program.loadedByDefault);
    return names.map((name) => {
      const program = programs[name];
      if (program !== undefined) return program;
      const [near] = nearest(name, Object.keys(programs));
      throw new ArgumentError(`the object has no program '${name}'`, {
        hint:
          near === undefined
            ? `It has: ${Object.keys(programs).join(', ') || 'none'}.`
            : `Did you mean '${near}'?`,
      });
    });
  }

  /** Why a map cannot be made; only for programs that use it that is a reason not to load them. */
  #problemOf(map: ObjectMapSpec): string | undefined {
    if (map.unsupported !== undefined || this.#options.maps?.[map.name] !== undefined) return map.unsupported;
    const holdsMaps = map.type === ARRAY_OF_MAPS || map.type === HASH_OF_MAPS;
    return holdsMaps && map.inner === undefined
      ? 'it holds maps, but the object does not say which: set `inner`'
      : undefined;
  }

  #createMap(map: ObjectMapSpec): void {
    const given = this.#options.maps?.[map.name];
    if (given !== undefined) {
      const fd = given.fd.duplicate();
      this.#own.push(fd);
      requireShape(map, mapInfo(fd), `maps.${map.name}`);
      this.#maps[map.name] = this.#wrap(map, fd);
      return;
    }
    const pin = map.pinned ? `${this.#options.pinFolder ?? BPFFS}/${map.name}` : undefined;
    if (pin !== undefined) {
      ensureBpffs();
      const fd = openExisting(pin);
      if (fd !== undefined) {
        this.#own.push(fd);
        requireShape(map, mapInfo(fd), pin);
        this.#maps[map.name] = this.#wrap(map, fd);
        return;
      }
    }
    let inner: Fd | undefined;
    if (map.inner !== undefined) inner = this.#makeMap(map.inner, undefined);
    let fd: Fd;
    try {
      fd = this.#makeMap(map, inner);
    } finally {
      inner?.close();
    }
    this.#own.push(fd);
    const live = this.#wrap(map, fd);
    this.#maps[map.name] = live;
    if (map.data !== undefined) {
      const { kind } = map.data;
      const contents =
        kind === 'kconfig' ? configurationBytes(this.#spec, map.data.size) : map.data.contents();
      if (kind !== 'bss' || contents.some((byte) => byte !== 0)) live.setBytes(new Uint8Array(4), contents);
      // Frozen before any program is loaded: only then the verifier takes the values for constants.
      if (kind === 'rodata' || kind === 'kconfig') freeze(live);
    }
    if (pin !== undefined) live.pin(pin);
  }

  #wrap(map: ObjectMapSpec, fd: Fd): ObjectMap {
    const btf = this.#spec.btf?.types;
    // Compilers leave open where in a section its variables lie, so `variables` is the way to those.
    const value = map.data === undefined ? map.valueType : 0;
    const types = btf === undefined ? undefined : { btf, key: map.keyType, value };
    return new ObjectMap(fd, mapInfo(fd), map.name, types);
  }

  #makeMap(map: ObjectMapSpec, inner: Fd | undefined): Fd {
    const type = MAP_TYPE_NAMES[map.type] ?? `type ${map.type}`;
    const maxEntries = entriesOf(map);
    const doing = `create the map '${map.name}' (${type}, ${maxEntries} entries)`;
    const build = (): Attribute => {
      // As in map-create.ts; btf_vmlinux_value_type_id @60, map_extra @64.
      const attribute = new Attribute(72)
        .u32(0, map.type)
        .u32(4, map.keySize)
        .u32(8, map.valueSize)
        .u32(12, maxEntries)
        .u32(16, map.numaNode === undefined ? map.flags : map.flags | NUMA_NODE)
        .u32(20, inner?.number ?? 0)
        .u32(24, map.numaNode ?? 0)
        .name(28, kernelName(map.name))
        .u64(64, map.extra);
      return attribute;
    };
    const describes = (map.keyType !== 0 || map.valueType !== 0) && !WITHOUT_BTF.has(type);
    const btf = describes ? this.#loadBtf() : undefined;
    if (btf !== undefined) {
      const result = build()
        .u32(48, btf.number)
        .u32(52, map.keyType)
        .u32(56, map.valueType)
        .try(Command.mapCreate);
      if (result >= 0) return new Fd(result, `map '${map.name}'`);
      // Types only describe; what does need them (locks, timers) the verifier then refuses.
      if (result === -Errno.EPERM) throw bpfError(-result, doing);
    }
    const result = build().try(Command.mapCreate);
    if (result >= 0) return new Fd(result, `map '${map.name}'`);
    const hints: Partial<Record<number, string>> = {
      [Errno.EINVAL]: `This kernel has no maps of type ${type}, or not with a key of ${map.keySize}, a value of ${map.valueSize} bytes and flags 0x${map.flags.toString(16)}.`,
      [Errno.E2BIG]: 'The map is larger than the kernel allows.',
      [Errno.ENOMEM]: 'There is not enough memory for so many entries.',
    };
    const hint = hints[-result];
    throw bpfError(-result, doing, hint === undefined ? {} : { hint });
  }

  /** Entries that the object fills: maps before programs are loaded, programs afterwards. */
  #fill(what: 'maps' | 'programs'): void {
    for (const map of Object.values(this.#spec.maps)) {
      const live = this.#maps[map.name];
      // A map that somebody else made has its entries already.
      if (live === undefined || this.#options.maps?.[map.name] !== undefined) continue;
      if ((map.type === PROG_ARRAY) !== (what === 'programs')) continue;
      for (const { index, name } of map.initial) {
        const target = what === 'maps' ? this.#maps[name] : this.#programs[name];
        if (target === undefined) {
          if (what === 'programs' && this.#spec.programs[name] !== undefined) continue;
          throw unsupported(
            `map '${map.name}' holds '${name}' at ${index}, which is no ${what.slice(0, -1)} of the object`,
          );
        }
        const key = new Uint8Array(map.keySize);
        new DataView(key.buffer).setUint32(0, index, true);
        const value = new Uint8Array(4);
        new DataView(value.buffer).setUint32(0, target.fd.number, true);
        live.setBytes(key, value);
      }
    }
  }

  #loadProgram(program: ObjectProgram, linked: LinkedProgram): Program {
    const spec = this.#spec;
    const { name, kind } = program;
    if (kind === undefined) {
      throw unsupported(
        `program '${name}': its section '${program.section}' names no program type`,
        'Use SEC("xdp") or another name of libbpf\'s conventions.',
      );
    }
    const missing = new Map<number, string>();
    if (linked.relocations.length > 0 && spec.btf !== undefined) {
      const result = relocateCore(linked.code, linked.relocations, spec.btf.types, allKernelTypes);
      for (const [slot, what] of result.missing) missing.set(slot, what);
    }
    this.#putMaps(linked);
    const externs = fillExterns(spec, linked, this.#modules, this.#maps['.kconfig']?.fd);
    for (const [slot, what] of externs.missing) missing.set(slot, what);
    const target = this.#target(program);
    const btf = linked.functionInfo === undefined ? undefined : this.#loadBtf();
    const license = cString(spec.license);
    const boundTo = kind.xdp === undefined ? undefined : this.#options.boundTo;
    const build = (withAttachType: boolean): Attribute => {
      // As in program.ts; kern_version @40, attach_btf_id @108, attach_prog_fd @112, fd_array @120.
      const attribute = new Attribute(144)
        .u32(0, kind.number)
        .u32(4, linked.code.length / 8)
        .pointer(8, linked.code)
        .pointer(16, license)
        .u32(40, spec.kernelVersion)
        .u32(44, boundTo === undefined ? kind.flags : kind.flags | XDP_DEVICE_BOUND)
        .name(48, kernelName(name))
        .u32(64, boundTo ?? 0)
        .u32(68, withAttachType ? kind.attachType : 0)
        .u32(108, target.type)
        .u32(112, target.program?.number ?? 0);
      if (btf !== undefined && linked.functionInfo !== undefined) {
        attribute
          .u32(72, btf.number)
          .u32(76, FUNC_INFO_SIZE)
          .pointer(80, linked.functionInfo)
          .u32(88, (linked.functionInfo.length * 4) / FUNC_INFO_SIZE);
        if (linked.lineInfo !== undefined) {
          attribute
            .u32(92, LINE_INFO_SIZE)
            .pointer(96, linked.lineInfo)
            .u32(104, (linked.lineInfo.length * 4) / LINE_INFO_SIZE);
        }
      }
      if (externs.fdArray.length > 0) {
        attribute.pointer(120, Int32Array.from([0, ...externs.fdArray.map((fd) => fd.number)]));
      }
      return attribute;
    };
    const what = `program '${name}'`;
    const level = this.#options.logLevel ?? 0;
    if (level !== 0) {
      const { result, log } = loadWithLog(build(true), level);
      if (result >= 0) return Program.fromFd(new Fd(result, what), name, log);
    }
    let result = tryLoad(build(true));
    if (result >= 0) return Program.fromFd(new Fd(result, what), name);
    const { log, result: again } = loadWithLog(build(true), 1);
    if (again >= 0) return Program.fromFd(new Fd(again, what), name, log);
    if (result === -Errno.EINVAL && log === '' && kind.xdp === 'xdp') {
      // Kernels before 5.9 do not know XDP's attach type, which is then implied.
      result = tryLoad(build(false));
      if (result >= 0) return Program.fromFd(new Fd(result, what), name);
    }
    if (log !== '' && result !== -Errno.EPERM) throw refused(spec, name, linked, -result, log, missing);
    const hint =
      kind.type === 'ext' && result === -Errno.EPERM
        ? 'This kernel refuses programs that extend others.'
        : undefined;
    throw bpfError(-result, `load the ${kind.type} program '${name}'`, hint === undefined ? {} : { hint });
  }

  #putMaps(linked: LinkedProgram): void {
    const view = new DataView(linked.code.buffer, linked.code.byteOffset, linked.code.length);
    for (const reference of linked.references) {
      if (reference.kind === 'extern') continue;
      const { offset, kind } = reference;
      const map = this.#maps[reference.map];
      if (map === undefined) throw new BarewireError('BW_UNSUPPORTED', `map '${reference.map}' was not made`);
      const pseudo = kind === 'map' ? 1 : 2;
      view.setUint8(offset + 1, (view.getUint8(offset + 1) & 15) | (pseudo << 4));
      view.setInt32(offset + 4, map.fd.number, true);
      view.setInt32(offset + 12, kind === 'map' ? 0 : reference.at, true);
    }
  }

  /** For programs that attach to something with a type: its BTF ID, and the program it is in. */
  #target(program: ObjectProgram): { type: number; program?: Fd } {
    const { kind, name } = program;
    const given = this.#options.targets?.[name];
    const needs = kind?.needs;
    if (needs === undefined) return { type: 0 };
    const wanted = given?.function ?? kind?.target;
    if (needs === 'struct_ops') throw unsupported(`program '${name}': struct_ops`);
    if (given?.program !== undefined && wanted !== undefined) {
      const types = typesById(programInfo(given.program.fd).btfId);
      const type = types?.find(wanted, 'func');
      if (type === undefined) throw unsupported(`program '${name}': its target has no function '${wanted}'`);
      return { type, program: given.program.fd };
    }
    if (needs === 'program') {
      throw unsupported(
        `program '${name}' replaces a function of another program`,
        'Say which, in `targets`.',
      );
    }
    if (wanted === undefined) {
      throw unsupported(
        `program '${name}': its section '${program.section}' names no ${needs}`,
        'Say which, in `targets`.',
      );
    }
    const [prefix, kindOf] = TARGET_TYPES[needs];
    const type = kernelTypes().find(`${prefix}${wanted}`, kindOf);
    if (type === undefined) throw unsupported(`program '${name}': this kernel has no ${needs} '${wanted}'`);
    return { type };
  }

  #loadBtf(): Fd | undefined {
    if (this.#btfTried) return this.#btf;
    this.#btfTried = true;
    const blob = kernelBtf(this.#spec);
    if (blob === undefined) return undefined;
    try {
      this.#btf = loadBtf(blob, 'the object');
    } catch (error) {
      // An older kernel that does not know a kind of type; without types most programs load all the same.
      if ((error as { errno?: number }).errno === Errno.EPERM) throw error;
    }
    return this.#btf;
  }
}

const PROG_ARRAY = 3;
const PERF_EVENT_ARRAY = 4;
const ARRAY_OF_MAPS = 12;
const HASH_OF_MAPS = 13;
const RINGBUF = 27;
const USER_RINGBUF = 31;
/** `BPF_F_NUMA_NODE`. */
const NUMA_NODE = 4;

/** Map types whose creation the kernel refuses when key and value are described. */
const WITHOUT_BTF: ReadonlySet<string> = new Set([
  'perf_event_array',
  'cgroup_array',
  'stack_trace',
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'devmap_hash',
  'cpumap',
  'xskmap',
  'sockmap',
  'sockhash',
  'ringbuf',
  'user_ringbuf',
]);

const TARGET_TYPES = {
  function: ['', 'func'],
  'lsm hook': ['bpf_lsm_', 'func'],
  'raw tracepoint': ['btf_trace_', 'typedef'],
  iterator: ['bpf_iter_', 'func'],
} as const;

/** The kernel takes letters, digits, underscores and dots. */
function kernelName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_.]/g, '_');
}

/** What a definition may leave to the machine: one perf buffer a CPU, whole pages for a ring. */
function entriesOf(map: ObjectMapSpec): number {
  if (map.type === PERF_EVENT_ARRAY && map.maxEntries === 0) return possibleCpus();
  if ((map.type === RINGBUF || map.type === USER_RINGBUF) && map.maxEntries > 0) {
    return Math.max(PAGE_SIZE, 2 ** Math.ceil(Math.log2(map.maxEntries)));
  }
  return map.maxEntries;
}

function freeze(map: ObjectMap): void {
  try {
    map.freeze();
  } catch (error) {
    // Kernels before 5.2 do not know it, and do not look into constants either.
    if ((error as { errno?: number }).errno !== Errno.EINVAL) throw error;
  }
}

function openExisting(path: string): Fd | undefined {
  try {
    return openPinned(path, `map at ${path}`);
  } catch (error) {
    if ((error as { errno?: number }).errno === Errno.ENOENT) return undefined;
    throw error;
  }
}

/** The kernel sets BPF_F_RDONLY_PROG on device and CPU maps by itself. */
const KERNEL_OWN_FLAGS = 0x80;

function requireShape(map: ObjectMapSpec, info: ReturnType<typeof mapInfo>, where: string): void {
  const wanted: readonly [string, string | number, string | number][] = [
    ['type', info.type, MAP_TYPE_NAMES[map.type] ?? `type ${map.type}`],
    ['key size', info.keySize, map.keySize],
    ['value size', info.valueSize, map.valueSize],
    ['max entries', info.maxEntries, entriesOf(map)],
    ['flags', info.flags & ~KERNEL_OWN_FLAGS, map.flags & ~KERNEL_OWN_FLAGS],
  ];
  const differences = wanted.filter(([, found, expected]) => found !== expected);
  if (differences.length === 0) return;
  const words = differences
    .map(([field, found, expected]) => `${field} is ${found} instead of ${expected}`)
    .join(', ');
  throw new BarewireError('BW_PIN_MISMATCH', `the map at ${where} is not the map '${map.name}': ${words}`, {
    hint: 'Remove the pin if its content can go, or use the object that made it.',
  });
}

/** The verifier's words; where it stumbled over something that this kernel does not have, what that is. */
function refused(
  spec: ObjectSpec,
  name: string,
  linked: LinkedProgram,
  errno: number,
  log: string,
  missing: ReadonlyMap<number, string>,
): VerifierError {
  const program = { name, sourceAt: (slot: number) => lineAt(spec, linked, slot) };
  // Numbers of the calls that stand where nothing can (core.ts, object-externs.ts).
  const poisoned = /unknown#19589608[01]|invalid func unknown#19589608[01]/.test(log.slice(-4096));
  if (!poisoned || missing.size === 0) return new VerifierError(program, errno, log);
  const at = [...log.slice(-4096).matchAll(/^(\d+): /gm)].at(-1)?.[1];
  const what = missing.get(Number(at)) ?? [...missing.values()].join(', ');
  return new VerifierError(program, errno, log, {
    hint: `This kernel does not have ${what}, which the program uses without asking first whether it is there.`,
  });
}

/** The line of source behind a slot: that of the last record at or before it. */
function lineAt(spec: ObjectSpec, linked: LinkedProgram, slot: number): string | undefined {
  const { lineInfo } = linked;
  const types = spec.btf?.types;
  if (lineInfo === undefined || types === undefined) return undefined;
  let found: number | undefined;
  for (let i = 0; i < lineInfo.length && (lineInfo[i] ?? 0) <= slot; i += 4) found = i;
  if (found === undefined) return undefined;
  const [, file = 0, text = 0, place = 0] = lineInfo.subarray(found, found + 4);
  const name = types.text(file).split('/').at(-1);
  return `${types.text(text).trim()} @ ${name}:${place >>> 10}`;
}

function unsupported(what: string, hint?: string): BarewireError {
  return new BarewireError('BW_UNSUPPORTED', `not supported: ${what}`, hint === undefined ? {} : { hint });
}
