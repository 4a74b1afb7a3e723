import { rotate } from './merkle.ts';

/**
 * DES (FIPS 46-3) of one block, which MS-CHAPv2 answers a challenge with (RFC 2759, section 8.6). Bits are kept one a
 * byte, as the standard's tables number them, but for the rounds.
 */

/** The 64 bits of a key from its 56, without meaningful parity bits. */
export function desKey(bytes: Uint8Array): Uint8Array {
  const bits = bitsOf(bytes);
  const key = new Uint8Array(64);
  for (let i = 0; i < 56; i++) key[i + Math.floor(i / 7)] = bits[i]!;
  return packed(key);
}

/** Encrypts 8 bytes under a key of 8. */
export function desEncrypt(key: Uint8Array, block: Uint8Array): Uint8Array {
  const keys = roundKeys(key);
  const start = permuted(bitsOf(block), INITIAL);
  let left = wordOf(start, 0);
  let right = wordOf(start, 32);
  for (const roundKey of keys) {
    let mixed = left;
    for (let box = 0; box < 8; box++) {
      // E: the box's four bits with a neighbour on either side.
      const six = rotate(right, (4 * box + 5) % 32) & 0x3f;
      mixed ^= BOXES[64 * box + (six ^ roundKey[box]!)]!;
    }
    left = right;
    right = mixed;
  }
  const joined = new Uint8Array(64);
  for (let i = 0; i < 32; i++) {
    joined[i] = (right >>> (31 - i)) & 1;
    joined[32 + i] = (left >>> (31 - i)) & 1;
  }
  return packed(permuted(joined, FINAL));
}

/** Sixteen round keys of eight times six bits. */
function roundKeys(key: Uint8Array): Uint8Array[] {
  const chosen = permuted(bitsOf(key), KEY_CHOICE_1);
  let c = chosen.subarray(0, 28);
  let d = chosen.subarray(28);
  const both = new Uint8Array(56);
  return SHIFTS.map((shift) => {
    [c, d] = [turned(c, shift), turned(d, shift)];
    both.set(c);
    both.set(d, 28);
    const bits = permuted(both, KEY_CHOICE_2);
    const sixes = new Uint8Array(8);
    for (let i = 0; i < 48; i++) sixes[Math.floor(i / 6)]! |= bits[i]! << (5 - (i % 6));
    return sixes;
  });
}

function turned(bits: Uint8Array, by: number): Uint8Array {
  const out = new Uint8Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[(i + by) % bits.length]!;
  return out;
}

function wordOf(bits: Uint8Array, from: number): number {
  let word = 0;
  for (let i = 0; i < 32; i++) word = (word << 1) | bits[from + i]!;
  return word;
}

/** The standard counts bits from 1. */
function permuted(bits: Uint8Array, table: readonly number[]): Uint8Array {
  const out = new Uint8Array(table.length);
  for (let i = 0; i < table.length; i++) out[i] = bits[table[i]! - 1]!;
  return out;
}

function bitsOf(bytes: Uint8Array): Uint8Array {
  const bits = new Uint8Array(8 * bytes.length);
  for (let i = 0; i < bits.length; i++) bits[i] = (bytes[i >> 3]! >> (7 - (i & 7))) & 1;
  return bits;
}

function packed(bits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(bits.length / 8);
  for (let i = 0; i < bits.length; i++) bytes[i >> 3]! |= bits[i]! << (7 - (i & 7));
  return bytes;
}

const SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1] as const;

/** Rows of bit numbers that go down by 8, as IP and its inverse do. */
const INITIAL: readonly number[] = [58, 60, 62, 64, 57, 59, 61, 63].flatMap((first) =>
  Array.from({ length: 8 }, (_, i) => first - 8 * i),
);
const FINAL: readonly number[] = Array.from({ length: 64 }, (_, i) => INITIAL.indexOf(i + 1) + 1);
const PERMUTATION = [
  16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22,
  11, 4, 25,
] as const;
const KEY_CHOICE_1 = [
  57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
  63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
] as const;
const KEY_CHOICE_2 = [
  14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47,
  55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
] as const;

/** S1 to S8; each row is 16 hexadecimal digits. */
const SUBSTITUTION = [
  ['e4d12fb83a6c5907', '0f74e2d1a6cb9538', '41e8d62bfc973a50', 'fc8249175b3ea06d'],
  ['f18e6b34972dc05a', '3d47f28ec01a69b5', '0e7ba4d158c6932f', 'd8a13f42b67c05e9'],
  ['a09e63f51dc7b428', 'd709346a285ecbf1', 'd6498f30b12c5ae7', '1ad069874fe3b52c'],
  ['7de3069a1285bc4f', 'd8b56f03472c1ae9', 'a690cb7df13e5284', '3f06a1d8945bc72e'],
  ['2c417ab6853fd0e9', 'eb2c47d150fa3986', '421bad78f9c5630e', 'b8c71e2d6f09a453'],
  ['c1af92680d34e75b', 'af427c9561de0b38', '9ef528c3704a1db6', '432c95fabe17608d'],
  ['4b2ef08d3c975a61', 'd0b7491ae35c2f86', '14bdc37eaf680592', '6bd814a7950fe23c'],
  ['d2846fb1a93e50c7', '1fd8a374c56b0e92', '7b419ce206adf358', '21e74a8dfc90356b'],
] as const;

/** Each box with the permutation P behind it: 64 words a box, by its six bits. */
const BOXES: Int32Array = Int32Array.from({ length: 8 * 64 }, (_, i) => {
  const box = i >> 6;
  const six = i & 0x3f;
  const row = ((six >> 4) & 2) | (six & 1);
  const value = Number.parseInt(SUBSTITUTION[box]![row]![(six >> 1) & 0xf]!, 16);
  const bits = new Uint8Array(32);
  for (let bit = 0; bit < 4; bit++) bits[4 * box + bit] = (value >> (3 - bit)) & 1;
  return wordOf(permuted(bits, PERMUTATION), 0);
});
