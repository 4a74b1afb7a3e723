import { digestOf, joined, padded, rotate } from './merkle.ts';

const CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6] as const;
const schedule = new Int32Array(80);

/** SHA-1 (RFC 3174), which MS-CHAPv2 makes its challenge and its authenticator response with. */
export function sha1(message: Uint8Array): Uint8Array {
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  const view = padded(message, 'big-endian');
  for (let block = 0; block < view.byteLength; block += 64) {
    for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 80; i++) {
      schedule[i] = rotate(schedule[i - 3]! ^ schedule[i - 8]! ^ schedule[i - 14]! ^ schedule[i - 16]!, 1);
    }
    let [a, b, c, d, e] = [state[0]! | 0, state[1]! | 0, state[2]! | 0, state[3]! | 0, state[4]! | 0];
    for (let i = 0; i < 80; i++) {
      const round = Math.floor(i / 20);
      const mixed = round === 0 ? (b & c) | (~b & d) : round === 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
      const sum = (rotate(a, 5) + mixed + e + CONSTANTS[round]! + schedule[i]!) | 0;
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = sum;
    }
    state[0]! += a;
    state[1]! += b;
    state[2]! += c;
    state[3]! += d;
    state[4]! += e;
  }
  return digestOf(state, 'big-endian');
}

/** HMAC with SHA-1 (RFC 2104). */
export function hmacSha1(key: Uint8Array, message: Uint8Array): Uint8Array {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha1(key) : key);
  const inner = sha1(
    joined(
      block.map((byte) => byte ^ 0x36),
      message,
    ),
  );
  return sha1(
    joined(
      block.map((byte) => byte ^ 0x5c),
      inner,
    ),
  );
}
