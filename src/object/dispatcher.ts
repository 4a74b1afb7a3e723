import {
  and32,
  assemble,
  callFunction,
  exit,
  func,
  type Instruction,
  type Item,
  jeq32,
  jlt,
  label,
  ldx,
  mapValueByName,
  mov32,
  mov64,
  r0,
  r1,
  r2,
  r6,
  r7,
  r8,
  rsh32,
} from '../asm/index.ts';
import { addFunction, type Btf, BtfBuilder } from '../btf/index.ts';
import { CodecError } from '../error.ts';
import type { RunConfig } from './run-config.ts';
import { numberIn } from './run-config.ts';

/**
 * The program that runs several others on one interface, as libxdp's protocol describes it (protocol.org of xdp-tools,
 * version 2): it calls the functions `prog0` to `prog9`, which loaders replace by programs of type `ext`, one after the
 * other, and goes on as long as their results are among each one's chain actions.
 *
 *     eth0 ── xdp_dispatcher ─┬─ prog0 ── replaced by the program that runs first
 *                             ├─ prog1 ── replaced by the next one
 *                             └─ …
 */
export const DISPATCHER_NAME = 'xdp_dispatcher';
export const DISPATCHER_VERSION = 2;
/** How many programs one dispatcher runs. */
export const MAX_DISPATCHED = 10;
const MAGIC = 236;
/** What a function returns that nobody has replaced, so that the next one runs. */
const UNREPLACED = 31;
/** `BPF_F_XDP_HAS_FRAGS`. */
const HAS_FRAGS = 0x20;

/** One program of a dispatcher. */
export interface DispatcherEntry extends RunConfig {
  /** It takes packets in several buffers. */
  readonly frags: boolean;
}

/** What a dispatcher is told, and tells whoever reads its map. */
export interface DispatcherConfig {
  readonly version: number;
  /** It takes packets in several buffers, because all of its programs do. */
  readonly frags: boolean;
  /** In the order in which they run. */
  readonly entries: readonly DispatcherEntry[];
}

/**
 * `struct xdp_dispatcher_config`: magic @0, dispatcher_version @1, num_progs_enabled @2, is_xdp_frags @3,
 * chain_call_actions[10] @4, run_prios[10] @44, program_flags[10] @84.
 */
export const DISPATCHER_CONFIG_SIZE = 124;
const CHAIN = 4;
const PRIORITY = 44;
const FLAGS = 84;
/** The first version has no head and no flags: num_progs_enabled @0, chain_call_actions[10] @4, run_prios[10] @44. */
const FIRST_CONFIG_SIZE = 84;

export function encodeDispatcherConfig({ frags, entries }: DispatcherConfig): Uint8Array {
  const bytes = new Uint8Array(DISPATCHER_CONFIG_SIZE);
  bytes.set([MAGIC, DISPATCHER_VERSION, entries.length, frags ? 1 : 0]);
  const view = new DataView(bytes.buffer);
  for (const [i, entry] of entries.entries()) {
    view.setUint32(CHAIN + 4 * i, (entry.chain | (1 << UNREPLACED)) >>> 0, true);
    view.setUint32(PRIORITY + 4 * i, entry.priority, true);
    view.setUint32(FLAGS + 4 * i, entry.frags ? HAS_FRAGS : 0, true);
  }
  return bytes;
}

/** @throws CodecError for what is no configuration of a version that is known. */
export function decodeDispatcherConfig(bytes: Uint8Array): DispatcherConfig {
  const first = bytes.length === FIRST_CONFIG_SIZE;
  if (!first && bytes.length !== DISPATCHER_CONFIG_SIZE) {
    throw new CodecError('dispatcher', bytes.length, `a configuration of ${bytes.length} bytes`);
  }
  if (!first && bytes[0] !== MAGIC) {
    throw new CodecError('dispatcher', 0, `the magic number ${bytes[0]} instead of ${MAGIC}`);
  }
  const count = bytes[first ? 0 : 2] ?? 0;
  if (count > MAX_DISPATCHED) {
    throw new CodecError('dispatcher', 2, `${count} programs, more than ${MAX_DISPATCHED}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    version: first ? 1 : (bytes[1] ?? 0),
    frags: !first && bytes[3] === 1,
    entries: Array.from({ length: count }, (_, i) => ({
      chain: view.getUint32(CHAIN + 4 * i, true) & ~(1 << UNREPLACED),
      priority: view.getUint32(PRIORITY + 4 * i, true),
      frags: !first && (view.getUint32(FLAGS + 4 * i, true) & HAS_FRAGS) !== 0,
    })),
  };
}

/** Which version of the protocol a program's types announce; undefined for what is no dispatcher. */
export function dispatcherVersionOf(types: Btf): number | undefined {
  const id = types.find('xdp_metadata', 'datasec');
  const section = id === undefined ? undefined : types.type(id);
  if (section?.kind !== 'datasec') return undefined;
  for (const { type } of section.variables) {
    const variable = type === 0 ? undefined : types.type(type);
    if (variable?.kind === 'var' && variable.name === 'dispatcher_version')
      return numberIn(types, variable.type);
  }
  return undefined;
}

/** What the kernel is given as a dispatcher. */
export interface DispatcherCode {
  readonly instructions: readonly Instruction[];
  /** The `.BTF` blob. */
  readonly btf: Uint8Array;
  /** The type of the configuration's map value: the section that it lies in. */
  readonly configType: number;
  /** `struct bpf_func_info`: slot and FUNC of every function. */
  readonly functionInfo: Uint32Array;
}

/** The function that a program replaces. */
export function slotFunction(position: number): string {
  return `prog${position}`;
}

const POSITIONS: readonly number[] = Array.from({ length: MAX_DISPATCHED }, (_, i) => i);

/** The map that holds the configuration, as the instructions name it. */
export const DISPATCHER_MAP = '.rodata';

/**
 * The dispatcher. Its configuration lies in a map of one value; where that is frozen, the verifier leaves out what it
 * does not enable.
 */
export function dispatcherCode(): DispatcherCode {
  const items: Item[] = [
    func(DISPATCHER_NAME, 1),
    mov64(r6, r1),
    mapValueByName(r7, DISPATCHER_MAP, 0),
    ldx('u8', r8, r7, 2),
    ...POSITIONS.flatMap((position) => [
      jlt(r8, position + 1, 'end'),
      mov64(r1, r6),
      callFunction(slotFunction(position)),
      // Whether the bit of its result is among its chain actions.
      ldx('u32', r1, r7, CHAIN + 4 * position),
      mov32(r2, r0),
      rsh32(r1, r2),
      and32(r1, 1),
      jeq32(r1, 0, 'return'),
    ]),
    label('end'),
    mov64(r0, 2),
    label('return'),
    exit(),
    ...POSITIONS.flatMap((position) => [func(slotFunction(position), 1), mov64(r0, UNREPLACED), exit()]),
  ];
  const { instructions, functions } = assemble(items);
  const builder = new BtfBuilder();
  const functionInfo = functions.flatMap((entry) => [entry.slot, addFunction(entry, true, builder)]);
  const configType = addData(builder);
  return { instructions, btf: builder.encode(), configType, functionInfo: Uint32Array.from(functionInfo) };
}

/** The configuration in its section, and the version as readers look for it; the ID of the configuration's section. */
function addData(builder: BtfBuilder): number {
  const byte = builder.add({
    kind: 'int',
    name: 'unsigned char',
    size: 1,
    encoding: 'unsigned',
    bits: 8,
    bitOffset: 0,
  });
  const word = builder.add({
    kind: 'int',
    name: 'unsigned int',
    size: 4,
    encoding: 'unsigned',
    bits: 32,
    bitOffset: 0,
  });
  const words = builder.add({ kind: 'array', type: word, indexType: word, length: MAX_DISPATCHED });
  const heads = ['magic', 'dispatcher_version', 'num_progs_enabled', 'is_xdp_frags'];
  const arrays = ['chain_call_actions', 'run_prios', 'program_flags'];
  const config = builder.add({
    kind: 'struct',
    name: 'xdp_dispatcher_config',
    size: DISPATCHER_CONFIG_SIZE,
    members: [
      ...heads.map((name, i) => ({ name, type: byte, bitOffset: 8 * i, bitSize: 0 })),
      ...arrays.map((name, i) => ({ name, type: words, bitOffset: 8 * (CHAIN + 40 * i), bitSize: 0 })),
    ],
  });
  const constant = builder.add({ kind: 'const', type: builder.add({ kind: 'volatile', type: config }) });
  const section = (
    name: string,
    variable: string,
    type: number,
    size: number,
    linkage: 'static' | 'global',
  ): number => {
    const id = builder.add({ kind: 'var', name: variable, type, linkage });
    return builder.add({ kind: 'datasec', name, size, variables: [{ type: id, offset: 0, size }] });
  };
  const version = builder.add({ kind: 'array', type: word, indexType: word, length: DISPATCHER_VERSION });
  section('xdp_metadata', 'dispatcher_version', builder.add({ kind: 'ptr', type: version }), 8, 'global');
  return section(DISPATCHER_MAP, 'conf', constant, DISPATCHER_CONFIG_SIZE, 'static');
}
