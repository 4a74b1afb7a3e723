import { pseudoSum, transportChecksum } from '../packet/checksum.ts';

/**
 * The inner loop of the Internet checksum in WebAssembly, 16 bytes a step: summing a full segment in JavaScript takes as
 * long as everything else that TCP does with it. It sees WebAssembly memory only, so packets must lie in that.
 *
 * (module (import "m" "m" (memory 1))
 *   (func (export "s") (param $at i32) (param $end i32) (result i32) (local $sum v128) …))
 *
 * Adds the little-endian 16-bit words from `at` to `end`, a multiple of 16 bytes, at most 64 KiB of them: each of four
 * lanes then stays below 2^29.
 */
const MODULE: Uint8Array<ArrayBuffer> = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  // Types: (i32, i32) -> i32.
  ...[0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f],
  // Imports: memory m.m.
  ...[0x02, 0x08, 0x01, 0x01, 0x6d, 0x01, 0x6d, 0x02, 0x00, 0x01],
  // Functions: one, of type 0. Exports: "s".
  ...[0x03, 0x02, 0x01, 0x00, 0x07, 0x05, 0x01, 0x01, 0x73, 0x00, 0x00],
  // Code: one body with one local of type v128.
  ...[0x0a, 0x42, 0x01, 0x40, 0x01, 0x01, 0x7b],
  // block loop: local.get at, local.get end, i32.ge_u, br_if 1
  ...[0x02, 0x40, 0x03, 0x40, 0x20, 0x00, 0x20, 0x01, 0x4f, 0x0d, 0x01],
  // sum += extadd_pairwise_i16x8_u(v128.load(at))
  ...[0x20, 0x02, 0x20, 0x00, 0xfd, 0x00, 0x00, 0x00, 0xfd, 0x7f, 0xfd, 0xae, 0x01, 0x21, 0x02],
  // at += 16, br 0, end, end
  ...[0x20, 0x00, 0x41, 0x10, 0x6a, 0x21, 0x00, 0x0c, 0x00, 0x0b, 0x0b],
  // The sum of all four lanes.
  ...[0x20, 0x02, 0xfd, 0x1b, 0x00, 0x20, 0x02, 0xfd, 0x1b, 0x01, 0x6a],
  ...[0x20, 0x02, 0xfd, 0x1b, 0x02, 0x6a, 0x20, 0x02, 0xfd, 0x1b, 0x03, 0x6a, 0x0b],
);

const PAGE = 65536;
/** Below this the call costs more than it saves. */
const WORTH_IT = 256;

/** As much of WebAssembly as is used; the types of Node's own library leave it out. */
interface Wasm {
  readonly Memory: new (size: {
    readonly initial: number;
    readonly maximum: number;
  }) => {
    readonly buffer: ArrayBuffer;
  };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: { readonly s: Sum } };
}

const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: Wasm };

type Sum = (at: number, end: number) => number;

/** Which bytes can be summed that way. */
const sums: WeakMap<Uint8Array, Sum> = new WeakMap<Uint8Array, Sum>();
let compiled: object | undefined;

/**
 * Bytes whose checksums {@link checksumOf} finds quickly, as long as it is given this very array; plain ones where there
 * is no WebAssembly memory left.
 */
export function summedMemory(size: number): Uint8Array {
  try {
    const pages = Math.ceil(size / PAGE);
    const memory = new wasm.Memory({ initial: pages, maximum: pages });
    compiled ??= new wasm.Module(MODULE);
    const { exports } = new wasm.Instance(compiled, { m: { m: memory } });
    const bytes = new Uint8Array(memory.buffer, 0, size);
    sums.set(bytes, exports.s);
    return bytes;
  } catch {
    // An engine without SIMD, or one that has no more address space for guard pages.
    return new Uint8Array(size);
  }
}

/** As `transportChecksum`. */
export function checksumOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  addressSum: number,
  protocol: number,
): number {
  const sum = end - start < WORTH_IT ? undefined : sums.get(bytes);
  if (sum === undefined) return transportChecksum(bytes, start, end, addressSum, protocol);
  const whole = start + ((end - start) & ~15);
  let words = sum(start, whole) >>> 0;
  let at = whole;
  for (; at + 1 < end; at += 2) words += bytes[at]! | (bytes[at + 1]! << 8);
  if (at < end) words += bytes[at]!;
  const little = fold(words);
  const big = ((little & 0xff) << 8) | (little >>> 8);
  return ~fold(pseudoSum(addressSum, protocol, end - start) + big) & 0xffff;
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 65536) + (folded & 0xffff);
  return folded;
}
