/**
 * What RFC 9669 says instructions compute, in arbitrary precision: written from the standard, sharing nothing with
 * the assembler. Values are unsigned 64-bit bigints.
 */

export const u = (bits: number, value: bigint): bigint => BigInt.asUintN(bits, value);
export const s = (bits: number, value: bigint): bigint => BigInt.asIntN(bits, value);

type Operation = (a: bigint, b: bigint, bits: number) => bigint;

/** Section 4.1: operands of `bits` bits, given unsigned; the result is cut to `bits` by the caller. */
const operations: Readonly<Record<string, Operation>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => (b === 0n ? 0n : a / b),
  sdiv: (a, b, bits) => (b === 0n ? 0n : s(bits, a) / s(bits, b)),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  lsh: (a, b, bits) => a << (b & BigInt(bits - 1)),
  rsh: (a, b, bits) => a >> (b & BigInt(bits - 1)),
  mod: (a, b) => (b === 0n ? a : a % b),
  smod: (a, b, bits) => (b === 0n ? a : s(bits, a) % s(bits, b)),
  xor: (a, b) => a ^ b,
  mov: (_, b) => b,
  arsh: (a, b, bits) => s(bits, a) >> (b & BigInt(bits - 1)),
};

/** `add64`, `sdiv32` and so on; the upper half of 32-bit results is zero. */
export function arithmetic(name: string, a: bigint, b: bigint): bigint {
  const bits = name.endsWith('64') ? 64 : 32;
  const operation = operations[name.slice(0, -2)];
  if (operation === undefined) throw new Error(`the model has no ${name}`);
  return u(bits, operation(u(bits, a), u(bits, b), bits));
}

const conditions: Readonly<Record<string, Operation>> = {
  jeq: (a, b) => BigInt(a === b),
  jne: (a, b) => BigInt(a !== b),
  jgt: (a, b) => BigInt(a > b),
  jge: (a, b) => BigInt(a >= b),
  jlt: (a, b) => BigInt(a < b),
  jle: (a, b) => BigInt(a <= b),
  jsgt: (a, b, bits) => BigInt(s(bits, a) > s(bits, b)),
  jsge: (a, b, bits) => BigInt(s(bits, a) >= s(bits, b)),
  jslt: (a, b, bits) => BigInt(s(bits, a) < s(bits, b)),
  jsle: (a, b, bits) => BigInt(s(bits, a) <= s(bits, b)),
  jset: (a, b) => BigInt((a & b) !== 0n),
};

/** Section 4.3: 1 if the jump is taken; `jeq` compares 64 bits, `jeq32` the lower 32. */
export function taken(name: string, a: bigint, b: bigint): bigint {
  const bits = name.endsWith('32') ? 32 : 64;
  const condition = conditions[name.replace(/32$/, '')];
  if (condition === undefined) throw new Error(`the model has no ${name}`);
  return condition(u(bits, a), u(bits, b), bits);
}

/** Section 4.2: the low `bits` with their bytes reversed. */
export function reversed(value: bigint, bits: number): bigint {
  let out = 0n;
  for (let at = 0; at < bits; at += 8) out = (out << 8n) | ((value >> BigInt(at)) & 0xffn);
  return out;
}

/** Section 5.3: memory and register (`src`, or r0 for cmpxchg) after an atomic operation of `bits` bits. */
export function atomically(
  name: string,
  bits: number,
  memory: bigint,
  src: bigint,
  r0: bigint,
): { memory: bigint; src: bigint; r0: bigint } {
  const old = u(bits, memory);
  const operand = u(bits, src);
  const put = (value: bigint): bigint => memory - old + u(bits, value);
  const results: Readonly<Record<string, bigint>> = {
    Add: old + operand,
    And: old & operand,
    Or: old | operand,
    Xor: old ^ operand,
  };
  const [, fetch, operation] = /^atomic(Fetch)?(.*)$/.exec(name)!;
  if (operation === 'Xchg') return { memory: put(operand), src: old, r0 };
  if (operation === 'Cmpxchg') {
    return { memory: old === u(bits, r0) ? put(operand) : memory, src, r0: old };
  }
  const result = results[operation!];
  if (result === undefined) throw new Error(`the model has no ${name}`);
  return { memory: put(result), src: fetch === undefined ? src : old, r0 };
}
