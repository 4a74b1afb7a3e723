import { addressOf, Errno, SystemError, type SystemErrorDetails, syscall } from '../sys/index.ts';
import { explainPermission } from './permission.ts';
import { OBJECT_NAME_SIZE } from './uapi.ts';

/**
 * What the command at hand points to. The kernel sees addresses only, and so does the garbage collector: without this
 * it could take memory away between the look at an attribute and the system call.
 */
const inFlight: { pointees: readonly NodeJS.ArrayBufferView[] } = { pointees: [] };

/**
 * The argument of one bpf(2) command: `union bpf_attr` of `linux/bpf.h`, as far as the command uses it.
 *
 * Memory that the attribute points to is kept alive with it.
 */
export class Attribute {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #pointees: NodeJS.ArrayBufferView[] = [];

  /** @param size In bytes; what the kernel knows beyond it counts as zero. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, true);
    return this;
  }

  /** A pointer to the view's bytes; null for none. */
  pointer(offset: number, target: NodeJS.ArrayBufferView | null): this {
    if (target === null) return this.u64(offset, 0n);
    this.#pointees.push(target);
    return this.u64(offset, BigInt(addressOf(target)));
  }

  /** An object's name, cut to what the kernel keeps. */
  name(offset: number, name: string): this {
    for (let i = 0; i < Math.min(name.length, OBJECT_NAME_SIZE - 1); i++) {
      this.bytes[offset + i] = name.charCodeAt(i);
    }
    return this;
  }

  /** What the kernel wrote, or what was set. */
  readU32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  /** Runs the command; the result, or `-errno`. */
  try(command: number): number {
    inFlight.pointees = this.#pointees;
    return syscall('bpf', command, this.bytes, this.bytes.length);
  }

  /** Runs a command that ought to succeed. @throws SystemError that says what was being done. */
  run(command: number, doing: string): number {
    for (;;) {
      const result = this.try(command);
      if (result >= 0) return result;
      if (result !== -Errno.EINTR) throw bpfError(-result, doing);
    }
  }
}

/** A refusal of bpf(2); the reason for EPERM is worked out unless the caller knows it. */
export function bpfError(errno: number, doing: string, details: SystemErrorDetails = {}): SystemError {
  const hint = details.hint ?? (errno === Errno.EPERM ? explainPermission() : undefined);
  return new SystemError('bpf', errno, { ...details, doing, ...(hint === undefined ? {} : { hint }) });
}
