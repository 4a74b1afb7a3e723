import { encode, type Instruction, slotsOf } from '../asm/index.ts';
import { FUNC_INFO_SIZE, LINE_INFO_SIZE, programBtf } from '../btf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import type { ProgramSpec } from '../spec/index.ts';
import { cString, Errno, Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { loadBtf } from './btf-object.ts';
import { type ProgramInfo, programInfo } from './info.ts';
import { openPinned, pinObject } from './pin.ts';
import { FEATURE_SINCE, probe } from './probe.ts';
import { type TestRun, type TestRunOptions, testRun } from './test-run.ts';
import { ATTACH_TYPE, Command, PROGRAM_TYPE, XDP_DEVICE_BOUND, XDP_HAS_FRAGS } from './uapi.ts';
import { refusedProgram, VerifierError } from './verifier.ts';

export interface ProgramOptions {
  /** Keep the verifier's log also on success, in `program.log`: 1 as on failure, 2 every state. Default is 0. */
  readonly logLevel?: 0 | 1 | 2;
  /** Load for this interface's hardware (`offload` mode): its ifindex. */
  readonly offloadTo?: number;
  /**
   * Load for this interface only, its ifindex in the namespace of the calling thread: for kernel functions that ask its
   * driver, as those for hints of received packets do (Linux 6.3). Such a program runs in driver mode only.
   */
  readonly boundTo?: number;
}

/** A program in the kernel. */
export class Program implements Disposable {
  readonly fd: Fd;
  readonly name: string;
  /** The verifier's log, where `logLevel` asked for it. */
  readonly log: string | undefined;

  private constructor(fd: Fd, name: string, log: string | undefined) {
    this.fd = fd;
    this.name = name;
    this.log = log;
  }

  /**
   * Loads a program whose maps exist.
   *
   * @param mapFds For each map that the instructions name, its descriptor.
   * @throws VerifierError when the verifier refuses it; SystemError otherwise.
   */
  static load(of: ProgramSpec, mapFds: Readonly<Record<string, Fd>>, options: ProgramOptions = {}): Program {
    const spec = fitting(of);
    const instructions = encode(relocate(spec, mapFds));
    const debug = programBtf(spec);
    using btf = debug === undefined ? undefined : loadBtfIfKnown(debug.btf, spec.name);
    const license = cString(spec.license);
    const build = (withAttachType: boolean): Attribute => {
      // struct { prog_type @0, insn_cnt @4, insns @8, license @16, log_level @24, log_size @28, log_buf @32,
      //   prog_flags @44, prog_name @48, prog_ifindex @64, expected_attach_type @68, prog_btf_fd @72,
      //   func_info_rec_size @76, func_info @80, func_info_cnt @88, line_info_rec_size @92, line_info @96,
      //   line_info_cnt @104, …, log_true_size @140 }
      const attribute = new Attribute(144)
        .u32(0, PROGRAM_TYPE[spec.type])
        .u32(4, instructions.length / 8)
        .pointer(8, instructions)
        .pointer(16, license)
        .u32(44, (spec.frags ? XDP_HAS_FRAGS : 0) | (options.boundTo === undefined ? 0 : XDP_DEVICE_BOUND))
        .name(48, spec.name)
        .u32(64, options.boundTo ?? options.offloadTo ?? 0);
      if (withAttachType) attribute.u32(68, ATTACH_TYPE[spec.attachType]);
      if (btf !== undefined && debug !== undefined) {
        attribute
          .u32(72, btf.number)
          .u32(76, FUNC_INFO_SIZE)
          .pointer(80, debug.funcInfo)
          .u32(88, debug.funcInfo.length / FUNC_INFO_SIZE);
        if (debug.lineInfo.length > 0) {
          attribute
            .u32(92, LINE_INFO_SIZE)
            .pointer(96, debug.lineInfo)
            .u32(104, debug.lineInfo.length / LINE_INFO_SIZE);
        }
      }
      return attribute;
    };
    const level = options.logLevel ?? 0;
    if (level !== 0) {
      const { result, log } = loadWithLog(build(true), level);
      if (result >= 0) return new Program(new Fd(result, what(spec)), spec.name, log);
    }
    let result = tryLoad(build(true));
    if (result === -Errno.EINVAL && spec.attachType === 'xdp') {
      // Kernels before 5.9 do not know XDP's attach type, which is then implied.
      const { log } = loadWithLog(build(true), 1);
      if (log === '') result = tryLoad(build(false));
    }
    if (result >= 0) return new Program(new Fd(result, what(spec)), spec.name, undefined);
    throw explainRefusal(spec, -result, build(true));
  }

  /** Opens a pinned program. */
  static openPinned(path: string): Program {
    return Program.fromFd(openPinned(path, `program at ${path}`));
  }

  /**
   * Takes over a program's descriptor.
   *
   * @param name Default is what the kernel keeps, its first 15 bytes.
   */
  static fromFd(fd: Fd, name?: string, log?: string): Program {
    return new Program(fd, name ?? programInfo(fd).name, log);
  }

  info(): ProgramInfo {
    return programInfo(this.fd);
  }

  /** Runs the program on given bytes, without an interface (`BPF_PROG_TEST_RUN`). */
  testRun(options: TestRunOptions): TestRun {
    return testRun(this.fd, options);
  }

  /** Gives the program a path on bpffs. */
  pin(path: string): void {
    pinObject(this.fd, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function what(spec: ProgramSpec): string {
  return `program '${spec.name}'`;
}

/** Puts descriptors where the instructions name maps. */
function relocate(spec: ProgramSpec, mapFds: Readonly<Record<string, Fd>>): Instruction[] {
  return spec.instructions.map((instruction) => {
    const { map, ...rest } = instruction;
    if (map === undefined) return instruction;
    const fd = mapFds[map];
    if (fd === undefined) {
      throw new ArgumentError(`program ${spec.name} uses the map '${map}', which was not given`);
    }
    return { ...rest, imm: fd.number };
  });
}

/** A kernel without BTF loads programs all the same. */
function loadBtfIfKnown(blob: Uint8Array, name: string): Fd | undefined {
  try {
    return loadBtf(blob, `program '${name}'`);
  } catch (error) {
    const { errno } = error as { errno?: number };
    if (errno === Errno.EINVAL && (error as Error).message.endsWith('(EINVAL)')) return undefined;
    throw error;
  }
}

/** Memory that the kernel does not write to costs nothing, and a second try may take seconds. */
const FIRST_LOG_SIZE = 0x40_0000;
/** Half of what a JavaScript string holds; a program of a million steps logs some hundred MiB. */
const LAST_LOG_SIZE = 0x1000_0000;
/** A kernel that does not tell the size verifies anew for each guess, so there must be few: 4, 64, 256 MiB. */
const LOG_GROWTH = 16;

/** Tries again when a signal came while the verifier was at work, for which it gives up (EAGAIN). */
const PATIENCE = 16;

/** @internal Loads without a log; the descriptor, or `-errno`. */
export function tryLoad(attribute: Attribute): number {
  let result = attribute.try(Command.programLoad);
  for (let left = PATIENCE; result === -Errno.EAGAIN && left > 0; left--) {
    result = attribute.try(Command.programLoad);
  }
  return result;
}

/** @internal Loads with a log, grown until it fits. */
export function loadWithLog(attribute: Attribute, level: 1 | 2): { result: number; log: string } {
  for (let size = FIRST_LOG_SIZE; ; ) {
    const buffer = new Uint8Array(size);
    attribute.u32(24, level).u32(28, size).pointer(32, buffer).u32(140, 0);
    const result = tryLoad(attribute);
    // Since 6.4 the kernel tells the true size; before, ENOSPC is all it says.
    const trueSize = attribute.readU32(140);
    const wanted = Math.min(trueSize > 0 ? trueSize : size * LOG_GROWTH, LAST_LOG_SIZE);
    if (result === -Errno.ENOSPC && wanted > size) {
      size = wanted;
      continue;
    }
    const end = buffer.indexOf(0);
    return { result, log: new TextDecoder().decode(buffer.subarray(0, end < 0 ? size : end)) };
  }
}

/**
 * The instructions that this kernel can take.
 *
 * @throws BarewireError `BW_UNSUPPORTED` where the program needs what the kernel lacks.
 */
function fitting(spec: ProgramSpec): ProgramSpec {
  const missing = (spec.needs ?? []).filter((need) => !probe(need));
  if (missing.length === 0) return spec;
  if (spec.fallback !== undefined) return { ...spec, instructions: spec.fallback, needs: [] };
  const what = missing.map((need) => `${need} (Linux ${FEATURE_SINCE[need]})`).join(', ');
  throw new BarewireError(
    'BW_UNSUPPORTED',
    `the program '${spec.name}' needs ${what}, which this kernel lacks`,
    {
      hint: 'Its loops are too long for this verifier: bound them more tightly, or use a newer kernel.',
    },
  );
}

function explainRefusal(spec: ProgramSpec, errno: number, attribute: Attribute): Error {
  if (errno !== Errno.EPERM) {
    const { log } = loadWithLog(attribute, 1);
    if (log !== '') return new VerifierError(refusedProgram(spec), errno, log);
  }
  const slots = spec.instructions.reduce((sum, instruction) => sum + slotsOf(instruction), 0);
  const hints: Partial<Record<number, string>> = {
    [Errno.E2BIG]: `The program has ${slots} instructions; the kernel takes a million (4096 without CAP_BPF).`,
    [Errno.EINVAL]: 'This kernel does not know the program type, a flag or the attach type.',
  };
  const hint = hints[errno];
  return bpfError(errno, `load the program '${spec.name}'`, hint === undefined ? {} : { hint });
}
