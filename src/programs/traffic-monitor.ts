import { compile, type Packet, program, type XdpProgram } from '../compiler/index.ts';
import { be16, be64, type Layout, struct, u8, u32, u64 } from '../layout/index.ts';
import { array, lruHash, type MapSpec, type ProgramSpec, perCpuArray } from '../spec/index.ts';
import { FRAME_KINDS, MAX_EXTENSION_HEADERS, MAX_VLAN_TAGS, type Tally } from './counter.ts';
import { asTrafficControl } from './traffic-control.ts';

/**
 * One conversation, seen from the interface: what comes in is from `remote`, what goes out to it. Addresses are 128
 * bits in two halves, those of IPv4 as IPv6 maps them (::ffff:192.0.2.1, RFC 4291).
 */
export interface MonitorFlow {
  readonly remote: bigint;
  readonly remoteLow: bigint;
  readonly local: bigint;
  readonly localLow: bigint;
  /** 0 for protocols without ports, and for fragments that do not tell. */
  readonly remotePort: number;
  readonly localPort: number;
  /** As the IP header has it, of IPv6 behind the extension headers. */
  readonly protocol: number;
}

/** What a conversation came to. */
export interface FlowTally {
  readonly inPackets: bigint;
  /** Of whole frames. */
  readonly inBytes: bigint;
  readonly outPackets: bigint;
  readonly outBytes: bigint;
}

/** What may change while the programs run. */
export interface MonitorSettings {
  /** One in so many packets is looked up among the flows, and counts for as many there. */
  readonly sample: number;
}

const tally: Layout<Tally> = struct('tally', { packets: u64, bytes: u64 });
const flow: Layout<MonitorFlow> = struct('monitor_flow', {
  remote: be64,
  remoteLow: be64,
  local: be64,
  localLow: be64,
  remotePort: be16,
  localPort: be16,
  protocol: u8,
});
const flowTally: Layout<FlowTally> = struct('flow_tally', {
  inPackets: u64,
  inBytes: u64,
  outPackets: u64,
  outBytes: u64,
});
const monitorSettings: Layout<MonitorSettings> = struct('monitor_settings', { sample: u32 });

export type MonitorMaps = {
  /** Index: the place in `FRAME_KINDS`, and as much again for frames with a VLAN tag. */
  readonly tallies: MapSpec<'percpu_array', number, Tally>;
  readonly flows: MapSpec<'lru_hash', MonitorFlow, FlowTally>;
  readonly settings: MapSpec<'array', number, MonitorSettings>;
};

/** The maps of one direction; `flows` and `settings` are shared between both. */
export function monitorMaps(flows: number): MonitorMaps {
  return {
    tallies: perCpuArray('tallies', tally, 2 * FRAME_KINDS.length),
    flows: lruHash('flows', flow, flowTally, flows),
    settings: array('settings', monitorSettings, 1),
  };
}

export interface MonitorProgramOptions {
  /** Which way the frames go that it sees. */
  readonly direction: 'in' | 'out';
  /** Takes frames in several buffers (Linux 5.18). */
  readonly frags: boolean;
}

/** {@link monitor}, for XDP, or for traffic control where frames that go out are seen. */
export function monitorSpec(
  maps: MonitorMaps,
  options: MonitorProgramOptions & { readonly hook: 'xdp' | 'tcx' },
): ProgramSpec<MonitorMaps> {
  const spec: ProgramSpec<MonitorMaps> = { ...compile(monitor(maps, options)), maps };
  if (options.hook === 'xdp') return spec;
  return asTrafficControl(spec, options.direction === 'in' ? 'tcx/ingress' : 'tcx/egress');
}

type MonitorEnv = MonitorMaps & {
  readonly protocolOf: ProtocolOf;
  readonly kindOf: KindOf;
  readonly incoming: boolean;
  readonly tags: number;
  readonly extensions: number;
};

/** Counts every frame by kind and by conversation, and lets it go on. What ends early counts as what it is so far. */
export function monitor(
  maps: MonitorMaps,
  { direction, frags }: MonitorProgramOptions,
): XdpProgram<MonitorEnv> {
  const env: MonitorEnv = {
    ...maps,
    protocolOf,
    kindOf,
    incoming: direction === 'in',
    tags: MAX_VLAN_TAGS,
    extensions: MAX_EXTENSION_HEADERS,
  };
  return program(
    direction === 'in' ? 'monitor_in' : 'monitor_out',
    env,
    (env, pkt, kernel) => {
      const { tallies, flows, settings, incoming } = env;
      let tagged = 0;
      let ip = 0;
      let type = 0;
      if (pkt.has(0, 14)) {
        type = pkt.be16(12);
        ip = 14;
        for (let i = 0; i < env.tags; i++) {
          if (type !== 0x8100 && type !== 0x88a8 && type !== 0x9100) break;
          tagged = 10;
          if (!pkt.has(ip, 4)) {
            type = 0;
            break;
          }
          type = pkt.be16(ip + 2);
          ip += 4;
        }
      }
      // Of the protocol, 255 (reserved) stands for one that nobody can read.
      const found = type === 0x0800 || type === 0x86dd ? env.protocolOf(pkt, ip, type, env.extensions) : 255;
      const protocol = found & 0xff;
      const start = found >>> 8;
      const bytes = BigInt(pkt.length);
      const tally = tallies.get(env.kindOf(type, protocol) + tagged);
      if (tally) {
        tally.packets += 1n;
        tally.bytes += bytes;
      }
      if (type === 0x0800) {
        if (!pkt.has(ip, 20)) return 'pass';
      } else if (type === 0x86dd) {
        if (!pkt.has(ip, 40)) return 'pass';
      } else {
        return 'pass';
      }
      const wanted = settings.get(0);
      if (!wanted) return 'pass';
      let weight = 1n;
      const sample = wanted.sample;
      if (sample > 1) {
        if (kernel.random() % sample !== 0) return 'pass';
        weight = BigInt(sample);
      }
      let source = 0n;
      let sourceLow = 0n;
      let destination = 0n;
      let destinationLow = 0n;
      if (type === 0x0800) {
        sourceLow = 0xffff_0000_0000n + BigInt(pkt.be32(ip + 12));
        destinationLow = 0xffff_0000_0000n + BigInt(pkt.be32(ip + 16));
      } else {
        source = pkt.be64(ip + 8);
        sourceLow = pkt.be64(ip + 16);
        destination = pkt.be64(ip + 24);
        destinationLow = pkt.be64(ip + 32);
      }
      let sourcePort = 0;
      let destinationPort = 0;
      if (start !== 0 && pkt.has(start, 4)) {
        sourcePort = pkt.be16(start);
        destinationPort = pkt.be16(start + 2);
      }
      if (incoming) {
        const key = {
          remote: source,
          remoteLow: sourceLow,
          local: destination,
          localLow: destinationLow,
          remotePort: sourcePort,
          localPort: destinationPort,
          protocol,
        };
        const known = flows.get(key);
        if (known) {
          known.inPackets += weight;
          known.inBytes += bytes * weight;
        } else {
          // Another CPU may be faster: whoever makes the entry, both add to it.
          flows.insert(key, { inPackets: 0n, inBytes: 0n, outPackets: 0n, outBytes: 0n });
          const fresh = flows.get(key);
          if (fresh) {
            fresh.inPackets += weight;
            fresh.inBytes += bytes * weight;
          }
        }
      } else {
        const key = {
          remote: destination,
          remoteLow: destinationLow,
          local: source,
          localLow: sourceLow,
          remotePort: destinationPort,
          localPort: sourcePort,
          protocol,
        };
        const known = flows.get(key);
        if (known) {
          known.outPackets += weight;
          known.outBytes += bytes * weight;
        } else {
          flows.insert(key, { inPackets: 0n, inBytes: 0n, outPackets: 0n, outBytes: 0n });
          const fresh = flows.get(key);
          if (fresh) {
            fresh.outPackets += weight;
            fresh.outBytes += bytes * weight;
          }
        }
      }
      return 'pass';
    },
    { frags },
  );
}

/** The place in `FRAME_KINDS`. */
type KindOf = (type: number, protocol: number) => number;

const kindOf: KindOf = (type, protocol) => {
  if (type === 0x0800) {
    if (protocol === 6) return 0;
    if (protocol === 17) return 1;
    return protocol === 1 ? 2 : 3;
  }
  if (type === 0x86dd) {
    if (protocol === 6) return 4;
    if (protocol === 17) return 5;
    return protocol === 58 ? 6 : 7;
  }
  return type === 0x0806 ? 8 : 9;
};

/**
 * The protocol of an IP packet, and 256 times the offset of its TCP, UDP or SCTP header; without that where it has
 * none or a fragment does not show it. 255 for what ends before it tells.
 */
type ProtocolOf = (pkt: Packet, ip: number, type: number, extensions: number) => number;

const protocolOf: ProtocolOf = (pkt, ip, type, extensions) => {
  if (type === 0x0800) {
    if (!pkt.has(ip, 20)) return 255;
    const header = pkt.ipv4(ip);
    const protocol = header.protocol;
    const ports = protocol === 6 || protocol === 17 || protocol === 132;
    return ports && header.fragmentOffset === 0 ? (ip + header.headerLength) * 256 + protocol : protocol;
  }
  if (!pkt.has(ip, 40)) return 255;
  let next = pkt.ipv6(ip).nextHeader;
  let off = ip + 40;
  let first = true;
  for (let i = 0; i < extensions; i++) {
    if (next === 44) {
      if (!pkt.has(off, 8)) return 255;
      if ((pkt.be16(off + 2) & 0xfff8) !== 0) first = false;
      next = pkt.u8(off);
      off += 8;
    } else if (next === 51) {
      if (!pkt.has(off, 2)) return 255;
      next = pkt.u8(off);
      off += (pkt.u8(off + 1) + 2) * 4;
    } else if (next === 0 || next === 43 || next === 60 || next === 135 || next === 139 || next === 140) {
      if (!pkt.has(off, 2)) return 255;
      next = pkt.u8(off);
      off += (pkt.u8(off + 1) + 1) * 8;
    } else {
      break;
    }
  }
  const ports = next === 6 || next === 17 || next === 132;
  return ports && first ? off * 256 + next : next;
};
