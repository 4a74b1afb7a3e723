import {
  assemble,
  call,
  encode,
  exit,
  type HelperName,
  type Item,
  label,
  mayGoto,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
} from '../asm/index.ts';
import { u32 } from '../layout/index.ts';
import type { MapType } from '../spec/index.ts';
import { array, mapTypeNumber } from '../spec/index.ts';
import { cString, Errno, Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { createMap } from './map-create.ts';
import { Command, PROGRAM_TYPE_XDP, TestRunFlag, XDP_HAS_FRAGS } from './uapi.ts';

/**
 * What a kernel may or may not have. Each is found out by a tiny real system call, never by the version number, for
 * vendors port features back.
 */
export type Feature =
  /** XDP programs (4.8). */
  | 'xdp'
  /** Types of maps and programs (4.18). */
  | 'btf'
  /** Many map entries with one call (5.6). */
  | 'map-batch'
  /** An attachment that dies with its owner (5.9). */
  | 'xdp-link'
  /** Frames in several buffers (5.18). */
  | 'xdp-frags'
  /** Test runs that send for real (5.18). */
  | 'live-frames'
  /** Loops with a callback (5.17). */
  | 'bpf-loop'
  /** Loops that the kernel bounds (6.9). */
  | 'may-goto';

/** All features, in the order in which kernels got them. */
export const FEATURES: readonly Feature[] = [
  'xdp',
  'btf',
  'map-batch',
  'xdp-link',
  'bpf-loop',
  'xdp-frags',
  'live-frames',
  'may-goto',
];

/** The kernel version that brought each feature; vendors may have it earlier. */
export const FEATURE_SINCE: Readonly<Record<Feature, string>> = {
  xdp: '4.8',
  btf: '4.18',
  'map-batch': '5.6',
  'xdp-link': '5.9',
  'bpf-loop': '5.17',
  'xdp-frags': '5.18',
  'live-frames': '5.18',
  'may-goto': '6.9',
};

const PROBES: Readonly<Record<Feature, () => boolean>> = {
  xdp: () => loads([]),
  btf: probeBtf,
  'map-batch': probeBatch,
  'xdp-link': probeLink,
  'bpf-loop': () => probeHelper('loop'),
  'xdp-frags': () => loads([], XDP_HAS_FRAGS),
  'live-frames': probeLiveFrames,
  // One that leads nowhere was refused until 6.14.
  'may-goto': () => loads([mayGoto('done'), mov64(r0, 2), label('done')]),
};

// Only conclusive answers are kept: a refusal for want of a right says nothing of the kernel.
const known = new Map<string, boolean>();

/**
 * Whether the kernel has a feature.
 *
 * @throws SystemError `BW_PERMISSION` when this process may not even ask.
 */
export function probe(feature: Feature): boolean {
  return once(`feature ${feature}`, PROBES[feature]);
}

/** Whether the kernel has a map type. */
export function probeMapType(type: MapType): boolean {
  return once(`map ${type}`, () => {
    const shape = MAP_SHAPES[type] ?? { key: 4, value: 4, entries: 1, flags: 0 };
    let inner: Fd | undefined;
    if (type === 'array_of_maps' || type === 'hash_of_maps') {
      inner = createMap(array('inner', u32, 1), undefined);
    }
    const attribute = new Attribute(60)
      .u32(0, mapTypeNumber(type))
      .u32(4, shape.key)
      .u32(8, shape.value)
      .u32(12, shape.entries)
      .u32(16, shape.flags)
      .u32(20, inner?.number ?? 0);
    const result = attribute.try(Command.mapCreate);
    inner?.close();
    return conclude(result, `ask for maps of type ${type}`);
  });
}

const MAP_SHAPES: Partial<Record<MapType, { key: number; value: number; entries: number; flags: number }>> = {
  lpm_trie: { key: 8, value: 4, entries: 1, flags: 1 },
  ringbuf: { key: 0, value: 0, entries: 4096, flags: 0 },
};

/** Whether XDP programs may call a helper function. */
export function probeHelper(name: HelperName): boolean {
  return once(`helper ${name}`, () => {
    // Arguments that no helper takes: one that exists is refused for them, one that does not for its number.
    const items = [...[r1, r2, r3, r4, r5].map((register) => mov64(register, 0)), call(name)];
    const { result, log } = tryLoad(items, 0);
    if (result >= 0) {
      new Fd(result, 'probe').close();
      return true;
    }
    if (result === -Errno.EPERM) throw bpfError(Errno.EPERM, `ask for the helper bpf_${name}`);
    return !/(invalid|unknown) func|cannot use helper/.test(log);
  });
}

function once(key: string, ask: () => boolean): boolean {
  let answer = known.get(key);
  if (answer === undefined) {
    answer = ask();
    known.set(key, answer);
  }
  return answer;
}

/** Turns a result into an answer, closing the descriptor it may be. */
function conclude(result: number, doing: string): boolean {
  if (result === -Errno.EPERM || result === -Errno.EMFILE || result === -Errno.ENOMEM) {
    throw bpfError(-result, doing);
  }
  if (result > 0) new Fd(result, 'probe').close();
  return result >= 0;
}

/** Loads an XDP program of these instructions, then `return XDP_PASS`. */
function tryLoad(items: readonly Item[], flags: number): { result: number; log: string } {
  const { instructions } = assemble([mov64(r0, 2), ...items, mov64(r0, 2), exit()]);
  const code = encode(instructions);
  const log = new Uint8Array(16 * 1024);
  const attribute = new Attribute(72)
    .u32(0, PROGRAM_TYPE_XDP)
    .u32(4, code.length / 8)
    .pointer(8, code)
    .pointer(16, cString('GPL'))
    .u32(24, 1)
    .u32(28, log.length)
    .pointer(32, log)
    .u32(44, flags);
  const result = attribute.try(Command.programLoad);
  return { result, log: new TextDecoder().decode(log.subarray(0, log.indexOf(0))) };
}

function loads(items: readonly Item[], flags = 0): boolean {
  return conclude(tryLoad(items, flags).result, 'load a program');
}

function probeBtf(): boolean {
  // struct btf_header { magic, version, flags, hdr_len, type_off, type_len, str_off, str_len }, one int, two strings.
  const blob = new Uint8Array(24 + 16 + 5);
  const view = new DataView(blob.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  view.setUint32(4, 24, true);
  view.setUint32(12, 16, true);
  view.setUint32(16, 16, true);
  view.setUint32(20, 5, true);
  view.setUint32(24, 1, true);
  view.setUint32(28, 1 << 24, true);
  view.setUint32(32, 4, true);
  view.setUint32(36, 32, true);
  blob.set(new TextEncoder().encode('int'), 41);
  const attribute = new Attribute(28).pointer(0, blob).u32(16, blob.length);
  return conclude(attribute.try(Command.btfLoad), 'load types');
}

function probeBatch(): boolean {
  using map = createMap(array('probe', u32, 1), undefined);
  const attribute = new Attribute(56)
    .pointer(16, new Uint32Array(1))
    .pointer(24, new Uint32Array(1))
    .u32(32, 1)
    .u32(36, map.number);
  return conclude(attribute.try(Command.mapUpdateBatch), 'write a batch');
}

function probeLink(): boolean {
  // An attachment would need an interface. Detaching came with XDP links (5.9) and needs none: asked to detach what is
  // no descriptor, a kernel that knows it says EBADF.
  const result = new Attribute(4).u32(0, 0xffff_ffff).try(Command.linkDetach);
  if (result === -Errno.EBADF) return true;
  return conclude(result, 'ask for links');
}

function probeLiveFrames(): boolean {
  using program = loadPass();
  // A batch beyond the limit is refused for its size (E2BIG) only by a kernel that knows the flag: nothing is sent.
  const frame = new Uint8Array(64);
  const attribute = new Attribute(80)
    .u32(0, program.number)
    .u32(8, frame.length)
    .pointer(16, frame)
    .u32(32, 1)
    .u32(64, TestRunFlag.liveFrames)
    .u32(72, 257);
  const result = attribute.try(Command.programTestRun);
  if (result === -Errno.E2BIG) return true;
  return conclude(result, 'run a program on live frames');
}

function loadPass(): Fd {
  const { result } = tryLoad([], 0);
  if (result < 0) throw bpfError(-result, 'load a program');
  return new Fd(result, 'probe');
}
