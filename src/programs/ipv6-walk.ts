import { type MapSpec, perCpuArray, program, u64, type XdpProgram } from '../compiler/index.ts';

export type Ipv6WalkEnv = { readonly protocols: MapSpec<'percpu_array', number, bigint> };

/** Counts IPv6 frames by the protocol behind their extension headers (RFC 8200, section 4), up to eight of them. */
export function ipv6Walk(): XdpProgram<Ipv6WalkEnv> {
  const protocols = perCpuArray('protocols', u64, 256);
  return program(
    'ipv6_walk',
    { protocols },
    ({ protocols }, pkt) => {
      if (pkt.eth().etherType !== 0x86dd) return 'pass';
      let next = pkt.ipv6(14).nextHeader;
      let off = 54;
      for (let i = 0; i < 8; i++) {
        if (next === 44) {
          next = pkt.u8(off);
          off += 8;
        } else if (next === 0 || next === 43 || next === 60) {
          next = pkt.u8(off);
          off += (pkt.u8(off + 1) + 1) * 8;
        } else {
          break;
        }
      }
      const count = protocols.get(next);
      if (count) count.value += 1n;
      return 'pass';
    },
    { unroll: 4 },
  );
}
