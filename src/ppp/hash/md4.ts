import { digestOf, padded, rotate } from './merkle.ts';

/** Which word each step of a round takes, and by how many bits it turns (RFC 1320, section 3.4). */
const ROUNDS = [
  { add: 0, order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], turns: [3, 7, 11, 19] },
  { add: 0x5a827999, order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], turns: [3, 5, 9, 13] },
  { add: 0x6ed9eba1, order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], turns: [3, 9, 11, 15] },
] as const;

/**
 * MD4 (RFC 1320), which MS-CHAPv2 hashes passwords with. Broken for every other purpose, and no longer in the crypto
 * libraries that Node brings.
 */
export function md4(message: Uint8Array): Uint8Array {
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
  const view = padded(message, 'little-endian');
  for (let block = 0; block < view.byteLength; block += 64) {
    let [a, b, c, d] = [state[0]!, state[1]!, state[2]!, state[3]!];
    for (const [round, { add, order, turns }] of ROUNDS.entries()) {
      for (let step = 0; step < 16; step++) {
        const mixed =
          round === 0 ? (b & c) | (~b & d) : round === 1 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        const sum = (a + mixed + view.getUint32(block + 4 * order[step]!, true) + add) | 0;
        [a, d, c, b] = [d, c, b, rotate(sum, turns[step & 3]!)];
      }
    }
    state[0]! += a;
    state[1]! += b;
    state[2]! += c;
    state[3]! += d;
  }
  return digestOf(state, 'little-endian');
}
