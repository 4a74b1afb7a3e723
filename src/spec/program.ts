import type { FunctionSpec } from '../asm/function.ts';
import type { Instruction } from '../asm/instruction.ts';
import type { MapSpec } from './map.ts';

/** Where an XDP program runs: on an interface, or on a frame redirected by a device or CPU map. */
export type XdpAttachType = 'xdp' | 'xdp/devmap' | 'xdp/cpumap';

/** Where a traffic-control program runs: on the frames that come in, or on those that go out (Linux 6.6). */
export type TcxAttachType = 'tcx/ingress' | 'tcx/egress';

/** What hook a program is attached to. */
export type AttachType = XdpAttachType | TcxAttachType;

/** What not every kernel lets programs do: loops that the kernel bounds (`may_goto`, Linux 6.9). */
export type ProgramNeed = 'may-goto';

/** Maps by the name that the program's instructions use. */
export type MapSpecs = Readonly<Record<string, MapSpec>>;

/**
 * What a program *is*: plain data that knows no kernel, whoever made it (assembler, compiler or object file).
 */
export interface ProgramSpec<M extends MapSpecs = MapSpecs> {
  /** A C identifier; the kernel keeps its first 15 bytes. */
  readonly name: string;
  readonly type: 'xdp' | 'sched_cls';
  readonly attachType: AttachType;
  /** XDP only: accepts packets in several buffers (`BPF_F_XDP_HAS_FRAGS`). */
  readonly frags: boolean;
  /** As in `GPL` or `MIT`; some kernel functions want a GPL-compatible one. */
  readonly license: string;
  /** The whole program; functions other than the first follow it. */
  readonly instructions: readonly Instruction[];
  /** What a kernel must have for `instructions`. Default is nothing. */
  readonly needs?: readonly ProgramNeed[];
  /** The same program for kernels that lack what `instructions` need, where there is one. */
  readonly fallback?: readonly Instruction[];
  /** Every map that `instructions` name. */
  readonly maps: M;
  /** The functions in order of their first slot; the first one starts at slot 0. Needed for BTF. */
  readonly functions: readonly FunctionSpec[];
}

export type { FunctionSpec };
