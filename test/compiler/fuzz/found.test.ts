/** What the fuzzer found once, in few lines each. */
import { test } from 'node:test';
import { array, be32, hash, lpmTrie, program, struct, u32, u64 } from '../../../src/compiler/index.ts';
import { agree } from '../agree.ts';

const packets = [
  Uint8Array.from({ length: 60 }, (_, i) => i + 2),
  Uint8Array.from({ length: 60 }, (_, i) => 255 - i),
];

test('a key stays as it is while the value is computed, by whatever needs scratch memory too', () => {
  const counts = array('counts', u64, 4);
  const seen = hash('seen', be32, struct('Seen', { first: u32, second: u32 }), 8);
  agree(
    program('nested', { counts, seen }, ({ counts, seen }, pkt) => {
      counts.set(1, counts.has(3) ? 7n : 8n);
      counts.update(2, BigInt(pkt.whole.be16(0)));
      seen.set(pkt.be32(0), { first: pkt.whole.u8(1), second: counts.has(9) ? 1 : pkt.whole.le32(4) });
      return counts.set(0, 5n) ? 'drop' : 'pass';
    }),
    packets,
  );
});

test('prefixes of a trie are told apart by the bits that count alone', () => {
  const routes = lpmTrie('routes', 4, u32, 8);
  agree(
    program('prefixes', { routes }, ({ routes }, pkt) => {
      routes.set({ prefixlen: 0, address: pkt.be32(0) }, 1);
      routes.set({ prefixlen: 0, address: pkt.be32(4) }, 2);
      routes.set({ prefixlen: 9, address: 0x0a7f_0001 }, 3);
      routes.insert({ prefixlen: 9, address: 0x0a00_0001 }, 4);
      routes.delete({ prefixlen: 9, address: 0x0a01_0203 });
      const tooLong =
        routes.set({ prefixlen: 33, address: 1 }, 5) || routes.delete({ prefixlen: 33, address: 1 });
      if (tooLong || routes.has({ prefixlen: 33, address: 1 })) return 'aborted';
      return routes.has({ prefixlen: 32, address: 0x0a01_0203 }) ? 'drop' : 'pass';
    }),
    packets,
  );
});

test('constant offsets that no instruction holds are read and written all the same', () => {
  const long = program('far', {}, (_env, pkt) => {
    pkt.store.u8(0, 1);
    if (pkt.u8(1) === 3 && pkt.be32(0x7ffd) === 0) return 'drop';
    pkt.store.be16(0xeff0, pkt.be16(0x8000));
    return 'tx';
  });
  agree(long, packets);
});
