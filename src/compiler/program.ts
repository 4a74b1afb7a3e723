import { ArgumentError } from '../error.ts';
import type { XdpAttachType } from '../spec/index.ts';
import type { Kernel, KernelEnv, Packet, Verdict } from './view.ts';

/** What may stand in a program's env: maps, constants, arrays and objects of them, and helper functions. */
export type Env = object;

/** A program of any env. */
export interface AnyXdpProgram {
  readonly name: string;
  readonly env: object;
  readonly fn: (...args: never[]) => Verdict;
  readonly options: Required<ProgramOptions>;
  /** The stack when `program` was called: where the function was written. */
  readonly origin: string;
}

/** An XDP program: the function and what it is given. Plain data; nothing is compiled yet. */
export interface XdpProgram<E extends Env = Env> extends AnyXdpProgram {
  readonly env: E;
  readonly fn: XdpFunction<E>;
}

/** The function that decides on one packet. */
export type XdpFunction<E extends Env> = (env: KernelEnv<E>, pkt: Packet, kernel: Kernel) => Verdict;

/** The verdicts that a literal names. */
export type PlainVerdict = 'pass' | 'drop' | 'tx' | 'aborted';

export interface ProgramOptions {
  /** What a packet gets that ends before a byte the function reads or writes. Default is `'pass'`. */
  readonly onShort?: PlainVerdict;
  /** Packets in several buffers are taken too (`xdp.frags`); `pkt.whole` reaches all of them. Default is `false`. */
  readonly frags?: boolean;
  /** Where it runs. Default is `'xdp'`. */
  readonly attachType?: XdpAttachType;
  /** Default is `'GPL'`, which opens all of the kernel's helper functions. */
  readonly license?: string;
  /** Loops of at most this many iterations are unrolled when their bodies are small. Default is 16. */
  readonly unroll?: number;
}

/**
 * An XDP program from one function.
 *
 * The function's text is what is compiled, so it may use nothing from outside but `env`, its parameters and
 * `Math`, `BigInt` and `Number`. Maps in `env` are the very specs that user space loads and reads.
 *
 * @param name A C identifier; the kernel shows its first 15 bytes.
 */
export function program<const E extends Env>(
  name: string,
  env: E,
  fn: XdpFunction<E>,
  options: ProgramOptions = {},
): XdpProgram<E> {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new ArgumentError(`program name '${name}' is not a C identifier`, {
      hint: 'Use letters, digits and underscores.',
    });
  }
  const { onShort = 'pass', frags = false, attachType = 'xdp', license = 'GPL', unroll = 16 } = options;
  return Object.freeze({
    name,
    env,
    fn,
    options: { onShort, frags, attachType, license, unroll },
    origin: new Error().stack ?? '',
  });
}
