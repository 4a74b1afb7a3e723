import { program, type XdpProgram } from '../compiler/index.ts';

/** From which port to which. */
export interface PortRewrite {
  readonly from: number;
  readonly to: number;
}

/**
 * Sends UDP over IPv4 for one destination port to another, the checksum repaired (RFC 1624) and a checksum of zero,
 * which says that there is none (RFC 768), left alone.
 */
export function portRewrite({ from, to }: PortRewrite): XdpProgram<PortRewrite> {
  return program('port_rewrite', { from, to }, ({ from, to }, pkt, kernel) => {
    const eth = pkt.eth();
    if (eth.etherType !== 0x0800) return 'pass';
    const ip = pkt.ipv4(14);
    if (ip.protocol !== 17 || ip.moreFragments || ip.fragmentOffset !== 0) return 'pass';
    const udp = pkt.udp(14 + ip.headerLength);
    if (udp.destinationPort !== from) return 'pass';
    const before = udp.checksum;
    if (before !== 0) {
      const after = kernel.csumReplace16(before, from, to);
      udp.checksum = after === 0 ? 0xffff : after;
    }
    udp.destinationPort = to;
    return 'pass';
  });
}
