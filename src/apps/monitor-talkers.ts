import type { FlowActivity, Volume } from './monitor-flows.ts';
import type { MonitorSort, MonitorView } from './monitor-words.ts';

/** Conversations that have something in common, as an address, and what they did since the reading before. */
export interface Talker {
  /** What they have in common, for people: `udp 10.0.0.1:53 < 10.0.0.2:4000`, `10.0.0.1`, `tcp 443`, `icmp`. */
  readonly name: string;
  readonly flows: number;
  readonly in: Volume;
  readonly out: Volume;
  /** Since they were first seen, both ways. */
  readonly total: Volume;
}

/** Puts conversations together and sorts them, the most talkative first. */
export function talkers(flows: readonly FlowActivity[], view: MonitorView, sort: MonitorSort): Talker[] {
  const groups = new Map<string, Sum>();
  for (const flow of flows) {
    const name = NAME[view](flow);
    let sum = groups.get(name);
    if (sum === undefined) {
      sum = { name, flows: 0, in: volume(), out: volume(), total: volume() };
      groups.set(name, sum);
    }
    sum.flows++;
    for (const part of ['in', 'out', 'total'] as const) {
      sum[part].packets += flow[part].packets;
      sum[part].bytes += flow[part].bytes;
    }
  }
  const value = VALUE[sort];
  return [...groups.values()].sort(
    (a, b) => value(b) - value(a) || b.total.bytes - a.total.bytes || (a.name < b.name ? -1 : 1),
  );
}

interface Sum {
  readonly name: string;
  flows: number;
  readonly in: { packets: number; bytes: number };
  readonly out: { packets: number; bytes: number };
  readonly total: { packets: number; bytes: number };
}

function volume(): { packets: number; bytes: number } {
  return { packets: 0, bytes: 0 };
}

const VALUE: Readonly<Record<MonitorSort, (sum: Talker) => number>> = {
  bits: (sum) => sum.in.bytes + sum.out.bytes,
  packets: (sum) => sum.in.packets + sum.out.packets,
  total: (sum) => sum.total.bytes,
  flows: (sum) => sum.flows,
};

const NAME: Readonly<Record<MonitorView, (flow: FlowActivity) => string>> = {
  flows: (flow) => {
    const { protocol, local, localPort, remote, remotePort } = flow;
    return `${protocolName(protocol)} ${endpoint(local, localPort)} - ${endpoint(remote, remotePort)}`;
  },
  remote: (flow) => flow.remote,
  local: (flow) => flow.local,
  ports: (flow) => {
    const port = servicePort(flow);
    return port === 0 ? protocolName(flow.protocol) : `${protocolName(flow.protocol)} ${port}`;
  },
  protocols: (flow) => protocolName(flow.protocol),
};

/** The side that was asked most likely: ports below those that clients get are services', else the lower one is. */
function servicePort({ localPort, remotePort }: FlowActivity): number {
  return Math.min(localPort, remotePort);
}

function endpoint(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  4: 'ipip',
  6: 'tcp',
  17: 'udp',
  41: 'ipv6',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  58: 'icmpv6',
  89: 'ospf',
  103: 'pim',
  112: 'vrrp',
  132: 'sctp',
};

/** As in `tcp`; `proto 253` for one without a usual name. */
export function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? `proto ${protocol}`;
}

/** The number of a protocol by its name; undefined for none. */
export function protocolNumber(name: string): number | undefined {
  for (const [number, known] of Object.entries(PROTOCOLS)) if (known === name) return Number(number);
  return undefined;
}

export const PROTOCOL_NAMES: readonly string[] = Object.values(PROTOCOLS);
