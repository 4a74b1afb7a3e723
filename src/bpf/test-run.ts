import { ArgumentError } from '../error.ts';
import { Errno, type Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { Command, TestRunFlag, XDP_ACTIONS, type XdpAction } from './uapi.ts';

export interface TestRunOptions {
  /** The frame, of at least 14 bytes. */
  readonly data: Uint8Array;
  /** How often the program runs. Default is 1. */
  readonly repeat?: number;
  /** The context to run with. */
  readonly context?: XdpContext;
  /** Room for the frame afterwards, in bytes. Default is the frame's length and 512 more. */
  readonly room?: number;
  /** Send the frames for real: PASS enters the stack, TX and REDIRECT leave (since Linux 5.18). Default is false. */
  readonly liveFrames?: boolean;
  /** Live frames: how many go at once. Default is the kernel's, 64. */
  readonly batchSize?: number;
}

/** What `struct xdp_md` says beside the frame. */
export interface XdpContext {
  /** Bytes of the data that are metadata before the frame. Default is 0. */
  readonly metadataLength?: number;
  /** The interface the frame came in by. Default is the loopback interface of the caller's namespace. */
  readonly ingressIfindex?: number;
  /** Default is 0. */
  readonly rxQueueIndex?: number;
}

export interface TestRun {
  /** What the program returned, as a name; undefined for a number beyond the actions. */
  readonly action: XdpAction | undefined;
  /** What the program returned. */
  readonly returned: number;
  /** The frame afterwards; empty for live frames. */
  readonly data: Uint8Array;
  /** Mean duration of one run, in ns, as the kernel measured it. */
  readonly duration: number;
}

/** Runs a program on given bytes. */
export function testRun(program: Fd, options: TestRunOptions): TestRun {
  const { data, liveFrames = false, repeat = 1 } = options;
  if (data.length < 14) {
    throw new ArgumentError(`a frame of ${data.length} bytes is shorter than an Ethernet header (14)`);
  }
  const out = new Uint8Array(liveFrames ? 0 : (options.room ?? data.length + 512));
  // struct { prog_fd @0, retval @4, data_size_in @8, data_size_out @12, data_in @16, data_out @24, repeat @32,
  //   duration @36, ctx_size_in @40, ctx_size_out @44, ctx_in @48, ctx_out @56, flags @64, cpu @68, batch_size @72 }
  const attribute = new Attribute(80)
    .u32(0, program.number)
    .u32(8, data.length)
    .pointer(16, data)
    .u32(32, repeat)
    .u32(64, liveFrames ? TestRunFlag.liveFrames : 0)
    .u32(72, liveFrames ? (options.batchSize ?? 0) : 0);
  if (!liveFrames) attribute.u32(12, out.length).pointer(24, out);
  if (options.context !== undefined) {
    const context = contextBytes(options.context, data.length);
    attribute.u32(40, context.length).pointer(48, context);
  }
  let result: number;
  do {
    result = attribute.try(Command.programTestRun);
  } while (result === -Errno.EINTR);
  if (result < 0) {
    const hint = HINTS[-result];
    throw bpfError(-result, 'run the program on a given frame', hint === undefined ? {} : { hint });
  }
  const returned = attribute.readU32(4);
  return {
    action: XDP_ACTIONS[returned],
    returned,
    data: out.subarray(0, liveFrames ? 0 : attribute.readU32(12)),
    duration: attribute.readU32(36),
  };
}

const HINTS: Readonly<Record<number, string>> = {
  [Errno.ENOSPC]: 'The frame grew beyond the room for it: set a larger `room`.',
  [Errno.EINVAL]: 'The frame is too long for one buffer, or the context does not fit it.',
  [Errno.ENODEV]: 'There is no interface with the ifindex of the context.',
};

/** `struct xdp_md { data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex }`, as offsets. */
function contextBytes(context: XdpContext, length: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, context.metadataLength ?? 0, true);
  view.setUint32(4, length, true);
  view.setUint32(12, context.ingressIfindex ?? 0, true);
  view.setUint32(16, context.rxQueueIndex ?? 0, true);
  return bytes;
}
