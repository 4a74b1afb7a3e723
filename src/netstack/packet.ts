import type { IpVersion } from '../address/index.ts';
import type { StackInterface } from './interface.ts';
import { Ip, MAPPED } from './ip.ts';

/** The IP packet that is being dealt with. One object serves all of them, so that none is made per packet. */
export class IpPacket {
  interface!: StackInterface;
  version: IpVersion = 4;
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the IP header begins. */
  start = 0;
  /** Where the transport header begins, and where the packet ends. */
  transport = 0;
  end = 0;
  protocol = 0;
  /** Where a fragment belongs, in bytes; with `moreFragments` false and 0, the packet is whole. */
  fragmentOffset = 0;
  moreFragments = false;
  fragmentId = 0;
  /** TTL or hop limit. */
  hops = 0;
  /** Source and destination, as {@link Ip} keeps them. */
  s0 = 0;
  s1 = 0;
  s2: number = MAPPED;
  s3 = 0;
  d0 = 0;
  d1 = 0;
  d2: number = MAPPED;
  d3 = 0;
  /** What both addresses add to a pseudo-header, unfolded. */
  addressSum = 0;
  /** Sent to one host, not to many. */
  unicast = true;

  get source(): Ip {
    return new Ip(this.version, this.s0, this.s1, this.s2, this.s3);
  }

  get destination(): Ip {
    return new Ip(this.version, this.d0, this.d1, this.d2, this.d3);
  }
}
