import {
  be32,
  type EnvMaps,
  hash,
  type MapSpec,
  program,
  struct,
  u64,
  type XdpProgram,
} from '../compiler/index.ts';

/** What is known of a blocked address. */
export interface BlockRule {
  /** Frames dropped. */
  hits: bigint;
}

export type BlocklistEnv = { readonly blocked: MapSpec<'hash', number, BlockRule> };
export type BlocklistMaps = EnvMaps<BlocklistEnv>;

/** Drops IPv4 frames from listed sources, behind up to two VLAN tags, and counts them. */
export function blocklist(maxEntries = 10_000): XdpProgram<BlocklistEnv> {
  const blocked = hash('blocked', be32, struct('Rule', { hits: u64 }), maxEntries);
  return program('blocklist', { blocked }, ({ blocked }, pkt) => {
    let proto = pkt.be16(12);
    let off = 14;
    for (let i = 0; i < 2; i++) {
      if (proto !== 0x8100 && proto !== 0x88a8) break; // 802.1Q, 802.1ad
      proto = pkt.be16(off + 2);
      off += 4;
    }
    if (proto !== 0x0800) return 'pass';
    const rule = blocked.get(pkt.ipv4(off).source);
    if (!rule) return 'pass';
    rule.hits += 1n;
    return 'drop';
  });
}
