import { program, type XdpProgram } from '../compiler/index.ts';

/** The largest maximum segment size to let through, in bytes. */
export interface MssClamp {
  readonly mss: number;
}

/**
 * Lowers the MSS option of TCP SYNs over IPv4 (RFC 9293, section 3.7.1), the checksum repaired.
 *
 * The option may stand at an odd offset; then its bytes lie crosswise in the checksum's words.
 */
export function mssClamp({ mss }: MssClamp): XdpProgram<MssClamp> {
  return program('mss_clamp', { mss }, ({ mss }, pkt, kernel) => {
    if (pkt.eth().etherType !== 0x0800) return 'pass';
    const ip = pkt.ipv4(14);
    if (ip.protocol !== 6 || ip.fragmentOffset !== 0) return 'pass';
    const start = 14 + ip.headerLength;
    const tcp = pkt.tcp(start);
    if (!tcp.syn) return 'pass';
    const end = start + tcp.headerLength;
    let at = start + 20;
    for (let i = 0; i < 20 && at < end; i++) {
      const kind = pkt.u8(at);
      if (kind === 0) break;
      let length = 1;
      if (kind !== 1) {
        length = pkt.u8(at + 1);
        if (length < 2) break;
        if (kind === 2 && length === 4) {
          const before = pkt.be16(at + 2);
          if (before <= mss) break;
          pkt.store.be16(at + 2, mss);
          // The header begins at an even offset.
          const odd = (at & 1) === 1;
          const from = odd ? ((before & 0xff) << 8) | (before >> 8) : before;
          const to = odd ? ((mss & 0xff) << 8) | (mss >> 8) : mss;
          tcp.checksum = kernel.csumReplace16(tcp.checksum, from, to);
          break;
        }
      }
      at += length;
    }
    return 'pass';
  });
}
