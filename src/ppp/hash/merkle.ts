/**
 * A message as MD4, MD5 and SHA-1 hash it: a 1 bit, zeros to 56 bytes of a block of 64, its length in bits in 8 bytes.
 */
export function padded(message: Uint8Array, lengthOrder: 'little-endian' | 'big-endian'): DataView {
  const blocks = Math.floor((message.length + 8) / 64) + 1;
  const bytes = new Uint8Array(blocks * 64);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  const little = lengthOrder === 'little-endian';
  const [low, high] = [message.length << 3, message.length >>> 29];
  view.setUint32(bytes.length - 8, little ? low : high, little);
  view.setUint32(bytes.length - 4, little ? high : low, little);
  return view;
}

export function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The state's words as the digest. */
export function digestOf(words: Uint32Array, order: 'little-endian' | 'big-endian'): Uint8Array {
  const digest = new Uint8Array(words.length * 4);
  const view = new DataView(digest.buffer);
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, order === 'little-endian');
  });
  return digest;
}

/** Several ranges of bytes as one. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
