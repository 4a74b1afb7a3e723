import assert from 'node:assert/strict';
import { it } from 'node:test';
import { seededRandom } from '../../src/netstack/index.ts';
import { checksumOf, summedMemory } from '../../src/netstack/summed-memory.ts';
import { transportChecksum } from '../../src/packet/index.ts';

it('checksums by WebAssembly are those of JavaScript, wherever the bytes begin and end', () => {
  const random = seededRandom(1);
  const bytes = summedMemory(70_000);
  assert.notEqual(bytes.buffer.byteLength, 70_000, 'it lies in WebAssembly memory');
  for (let tries = 0; tries < 2000; tries++) {
    const start = Math.floor(random() * 64);
    const end = start + Math.floor(random() ** 2 * 65_500);
    const fill = random() < 0.1 ? 0xff : -1;
    if (tries % 20 === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = fill < 0 ? random() * 256 : fill;
    const address = Math.floor(random() * 0x3fffc);
    assert.equal(checksumOf(bytes, start, end, address, 6), transportChecksum(bytes, start, end, address, 6));
  }
});
