/**
 * DES (FIPS 46-3) of one block, which MS-CHAPv2 answers a challenge with (RFC 2759, section 8.6). Bits are kept one a
 * byte, as the standard's tables number them: three blocks a login need no speed.
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
  let left = start.slice(0, 32);
  let right = start.slice(32);
  for (const roundKey of keys) {
    const mixed = feistel(right, roundKey).map((bit, i) => bit ^ left[i]!);
    left = right;
    right = mixed;
  }
  const joined = new Uint8Array(64);
  joined.set(right);
  joined.set(left, 32);
  return packed(permuted(joined, FINAL));
}

function feistel(half: Uint8Array, roundKey: Uint8Array): Uint8Array {
  const wide = permuted(half, EXPANSION).map((bit, i) => bit ^ roundKey[i]!);
  const out = new Uint8Array(32);
  for (let box = 0; box < 8; box++) {
    const six = wide.subarray(6 * box, 6 * box + 6);
    const row = (six[0]! << 1) | six[5]!;
    const column = (six[1]! << 3) | (six[2]! << 2) | (six[3]! << 1) | six[4]!;
    const value = Number.parseInt(BOXES[box]![row]![column]!, 16);
    for (let bit = 0; bit < 4; bit++) out[4 * box + bit] = (value >> (3 - bit)) & 1;
  }
  return permuted(out, PERMUTATION);
}

function roundKeys(key: Uint8Array): Uint8Array[] {
  const chosen = permuted(bitsOf(key), KEY_CHOICE_1);
  let c = chosen.subarray(0, 28);
  let d = chosen.subarray(28);
  return SHIFTS.map((shift) => {
    [c, d] = [turned(c, shift), turned(d, shift)];
    const both = new Uint8Array(56);
    both.set(c);
    both.set(d, 28);
    return permuted(both, KEY_CHOICE_2);
  });
}

function turned(bits: Uint8Array, by: number): Uint8Array {
  return bits.map((_, i) => bits[(i + by) % bits.length]!);
}

/** The standard counts bits from 1. */
function permuted(bits: Uint8Array, table: readonly number[]): Uint8Array {
  return Uint8Array.from(table, (position) => bits[position - 1]!);
}

function bitsOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: 8 * bytes.length }, (_, i) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1);
}

function packed(bits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(bits.length / 8);
  bits.forEach((bit, i) => {
    bytes[i >> 3]! |= bit << (7 - (i & 7));
  });
  return bytes;
}

const SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1] as const;

/** Rows of bit numbers that go down by 8, as IP and its inverse do. */
const INITIAL: readonly number[] = [58, 60, 62, 64, 57, 59, 61, 63].flatMap((first) =>
  Array.from({ length: 8 }, (_, i) => first - 8 * i),
);
const FINAL: readonly number[] = Array.from({ length: 64 }, (_, i) => INITIAL.indexOf(i + 1) + 1);
/** E takes each four bits with a neighbour on either side. */
const EXPANSION: readonly number[] = Array.from(
  { length: 48 },
  (_, i) => ((4 * Math.floor(i / 6) + (i % 6) + 31) % 32) + 1,
);
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
const BOXES = [
  ['e4d12fb83a6c5907', '0f74e2d1a6cb9538', '41e8d62bfc973a50', 'fc8249175b3ea06d'],
  ['f18e6b34972dc05a', '3d47f28ec01a69b5', '0e7ba4d158c6932f', 'd8a13f42b67c05e9'],
  ['a09e63f51dc7b428', 'd709346a285ecbf1', 'd6498f30b12c5ae7', '1ad069874fe3b52c'],
  ['7de3069a1285bc4f', 'd8b56f03472c1ae9', 'a690cb7df13e5284', '3f06a1d8945bc72e'],
  ['2c417ab6853fd0e9', 'eb2c47d150fa3986', '421bad78f9c5630e', 'b8c71e2d6f09a453'],
  ['c1af92680d34e75b', 'af427c9561de0b38', '9ef528c3704a1db6', '432c95fabe17608d'],
  ['4b2ef08d3c975a61', 'd0b7491ae35c2f86', '14bdc37eaf680592', '6bd814a7950fe23c'],
  ['d2846fb1a93e50c7', '1fd8a374c56b0e92', '7b419ce206adf358', '21e74a8dfc90356b'],
] as const;
