import { it } from 'node:test';
import { array, hash, program, struct, u32 } from '../../src/compiler/index.ts';
import { agree } from './agree.ts';

const slots = array('slots', u32, 4);
const pairs = hash('pairs', struct('Pair', { a: u32, b: u32 }), u32, 8);
const packet = Uint8Array.from({ length: 64 }, (_, i) => i);

it('arguments are worked out before any of them is laid out in memory', () => {
  agree(
    program('nested', { slots }, ({ slots }) => {
      slots.set(1, slots.has(0) ? 5 : 6);
      slots.set(slots.has(9) ? 2 : 3, slots.update(2, 7) ? 8 : 9);
      return 'pass';
    }),
    [packet],
  );
});

it('reads through the kernel may stand in keys and values', () => {
  agree(
    program('through', { pairs, slots }, ({ pairs, slots }, pkt) => {
      pairs.set({ a: 1, b: pkt.whole.u8(3) }, pkt.whole.u8(4));
      slots.set(0, pkt.whole.be16(5));
      pkt.whole.store.be16(20, pkt.whole.u8(7));
      return 'pass';
    }),
    [packet],
  );
});
