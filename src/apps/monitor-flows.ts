import { formatIPv4, formatIPv6 } from '../address/index.ts';
import type { FlowTally, MonitorFlow } from '../programs/traffic-monitor.ts';

/** What a conversation, or several, came to in one direction. */
export interface Volume {
  readonly packets: number;
  /** Of whole frames. */
  readonly bytes: number;
}

/** A conversation and what it did since the reading before. */
export interface FlowActivity {
  /** As the IP header has it. */
  readonly protocol: number;
  readonly remote: string;
  readonly local: string;
  /** 0 for protocols without ports. */
  readonly remotePort: number;
  readonly localPort: number;
  /** Since the reading before. */
  readonly in: Volume;
  readonly out: Volume;
  /** Since it was first seen, both ways. */
  readonly total: Volume;
}

/** Turns readings of the flow map into what happened between them. */
export class FlowTracker {
  #before: ReadonlyMap<string, FlowTally> = new Map();

  /**
   * @param entries All entries of the map as they are now.
   * @returns Those that were active since the reading before, and those that were not.
   */
  update(entries: Iterable<readonly [MonitorFlow, FlowTally]>): FlowActivity[] {
    const now = new Map<string, FlowTally>();
    const flows: FlowActivity[] = [];
    for (const [flow, tally] of entries) {
      const key = keyOf(flow);
      now.set(key, tally);
      let before = this.#before.get(key) ?? NOTHING;
      // One that was forgotten and came again counts from zero.
      if (tally.inPackets < before.inPackets || tally.outPackets < before.outPackets) before = NOTHING;
      flows.push({
        protocol: flow.protocol,
        remote: addressOf(flow.remote, flow.remoteLow),
        local: addressOf(flow.local, flow.localLow),
        remotePort: flow.remotePort,
        localPort: flow.localPort,
        in: {
          packets: Number(tally.inPackets - before.inPackets),
          bytes: Number(tally.inBytes - before.inBytes),
        },
        out: {
          packets: Number(tally.outPackets - before.outPackets),
          bytes: Number(tally.outBytes - before.outBytes),
        },
        total: {
          packets: Number(tally.inPackets + tally.outPackets),
          bytes: Number(tally.inBytes + tally.outBytes),
        },
      });
    }
    this.#before = now;
    return flows;
  }
}

const NOTHING: FlowTally = { inPackets: 0n, inBytes: 0n, outPackets: 0n, outBytes: 0n };

function keyOf(flow: MonitorFlow): string {
  const { remote, remoteLow, local, localLow, remotePort, localPort, protocol } = flow;
  return `${remote},${remoteLow},${local},${localLow},${remotePort},${localPort},${protocol}`;
}

/** Two halves of 64 bits as text; IPv4 lies in IPv6 as RFC 4291, section 2.5.5.2, says. */
function addressOf(high: bigint, low: bigint): string {
  if (high === 0n && low >> 32n === 0xffffn) {
    const bits = Number(low & 0xffff_ffffn);
    return formatIPv4(Uint8Array.of(bits >>> 24, bits >>> 16, bits >>> 8, bits));
  }
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, high);
  view.setBigUint64(8, low);
  return formatIPv6(bytes);
}
