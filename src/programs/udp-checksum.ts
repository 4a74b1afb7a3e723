import { array, type MapSpec, program, struct, u64, type XdpProgram } from '../compiler/index.ts';

export type UdpChecksumEnv = { readonly verdicts: MapSpec<'array', number, { good: bigint; bad: bigint }> };

/** Drops UDP datagrams over IPv4 (without options, up to an Ethernet frame) whose checksum is wrong (RFC 768). */
export function udpChecksum(): XdpProgram<UdpChecksumEnv> {
  const verdicts = array('verdicts', struct('Checked', { good: u64, bad: u64 }), 1);
  return program('udp_checksum', { verdicts }, ({ verdicts }, pkt) => {
    if (pkt.eth().etherType !== 0x0800) return 'pass';
    const ip = pkt.ipv4(14);
    if (ip.headerLength !== 20 || ip.protocol !== 17) return 'pass';
    const udp = pkt.udp(34);
    const length = udp.length;
    if (udp.checksum === 0 || length < 8 || length > 1480) return 'pass';
    // The sum is the same in either byte order (RFC 1071, section 2): little-endian, the order of most machines.
    let sum = (17 << 8) + pkt.le16(38);
    for (let i = 26; i < 34; i += 2) sum += pkt.le16(i);
    const last = 34 + length - 1;
    for (let i = 34; i < last; i += 2) sum += pkt.le16(i);
    if ((length & 1) === 1) sum += pkt.u8(last);
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = (sum & 0xffff) + (sum >>> 16);
    const counts = verdicts.get(0);
    if (!counts) return 'pass';
    if (sum === 0xffff) {
      counts.good += 1n;
      return 'pass';
    }
    counts.bad += 1n;
    return 'drop';
  });
}
