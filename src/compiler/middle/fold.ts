import type { Node, Op, Type } from './ir.ts';

/** The largest magnitude at which every integer is a JavaScript number: 2^53 - 1. */
export const MAX_SAFE = 9007199254740991n;
const U64 = (1n << 64n) - 1n;

/** The result of an operation on constants, or `undefined` where it is none or would not be exact. */
export function foldConstants(op: Op, type: Type, size: number, args: readonly Node[]): bigint | undefined {
  if (args.length === 0 || args.some((a) => a.op !== 'const')) return undefined;
  const a = args[0]!.value;
  const b = args[1]?.value ?? 0n;
  switch (op) {
    case 'eq':
      return a === b ? 1n : 0n;
    case 'ne':
      return a !== b ? 1n : 0n;
    case 'lt':
      return a < b ? 1n : 0n;
    case 'le':
      return a <= b ? 1n : 0n;
    case 'not':
      return a === 0n ? 1n : 0n;
    case 'wrap':
      return BigInt.asUintN(size, a);
    case 'tobig':
      return a;
    case 'index':
      return undefined;
    case 'tonum':
      return a >= -MAX_SAFE && a <= MAX_SAFE ? a : undefined;
    case 'swap':
      return swapBytes(a, size);
    case 'concat':
      return (a << BigInt(size)) + b;
  }
  if (type === 'num') return foldNumber(op, a, b);
  if (type === 'big') return foldBig(op, a, b);
  return undefined;
}

function foldNumber(op: Op, a: bigint, b: bigint): bigint | undefined {
  let result: bigint;
  switch (op) {
    case 'add':
      result = a + b;
      break;
    case 'sub':
      result = a - b;
      break;
    case 'mul':
      result = a * b;
      break;
    case 'div':
    case 'divfloor':
    case 'divceil':
      return b === 0n ? undefined : divide(op, a, b);
    case 'mod':
      return b === 0n ? undefined : a % b;
    case 'and':
      return BigInt(Number(a) & Number(b));
    case 'or':
      return BigInt(Number(a) | Number(b));
    case 'xor':
      return BigInt(Number(a) ^ Number(b));
    case 'shl':
      return BigInt(Number(a) << Number(b));
    case 'sar':
      return BigInt(Number(a) >> Number(b));
    case 'shr':
      return BigInt(Number(a) >>> Number(b));
    default:
      return undefined;
  }
  return result >= -MAX_SAFE && result <= MAX_SAFE ? result : undefined;
}

function foldBig(op: Op, a: bigint, b: bigint): bigint | undefined {
  let result: bigint;
  switch (op) {
    case 'add':
      result = a + b;
      break;
    case 'sub':
      result = a - b;
      break;
    case 'mul':
      result = a * b;
      break;
    case 'div':
    case 'divfloor':
    case 'divceil':
      return b === 0n ? undefined : divide(op, a, b);
    case 'mod':
      return b === 0n ? undefined : a % b;
    case 'and':
      result = a & b;
      break;
    case 'or':
      result = a | b;
      break;
    case 'xor':
      result = a ^ b;
      break;
    case 'shl':
      if (b < 0n || b > 63n) return undefined;
      result = a << b;
      break;
    case 'sar':
      if (b < 0n || b > 63n) return undefined;
      result = a >> b;
      break;
    default:
      return undefined;
  }
  return result >= -(1n << 63n) && result <= U64 ? result : undefined;
}

/** A quotient, made whole as the operation says. */
export function divide(op: Op, a: bigint, b: bigint): bigint {
  const towardsZero = a / b;
  const rest = a % b;
  if (rest === 0n || op === 'div') return towardsZero;
  const below = rest < 0n !== b < 0n;
  if (op === 'divfloor') return below ? towardsZero - 1n : towardsZero;
  return below ? towardsZero : towardsZero + 1n;
}

/** `value` with its low `bits` bits in reversed byte order; higher bits must be zero. */
export function swapBytes(value: bigint, bits: number): bigint {
  let result = 0n;
  for (let i = 0; i < bits; i += 8) result = (result << 8n) | ((value >> BigInt(i)) & 0xffn);
  return result;
}

/** Identities that need no constants on both sides: the node that stands for `op(a, b)`, if there is one. */
export function simplify(op: Op, type: Type, args: readonly Node[]): Node | undefined {
  const [a, b] = args;
  if (a === undefined) return undefined;
  if (op === 'not' && a.op === 'not') return a.args[0];
  if (b === undefined || b.op !== 'const') return undefined;
  const arithmetic = type === 'num' || type === 'big';
  if (!arithmetic) return undefined;
  if (b.value === 0n && (op === 'add' || op === 'sub')) return a;
  if (b.value === 1n && (op === 'mul' || op === 'div' || op === 'divfloor' || op === 'divceil')) return a;
  if (type === 'big' && b.value === 0n && (op === 'or' || op === 'xor' || op === 'shl' || op === 'sar'))
    return a;
  return undefined;
}
