import { load } from '../src/bpf/index.ts';
import { buildPacket, type PacketLayer } from '../src/packet/index.ts';
import { counterSpec } from '../src/programs/counter.ts';
import { monitorMaps, monitorSpec } from '../src/programs/traffic-monitor.ts';
import { type Bench, compare, interleave, type Row } from './row.ts';
import { nanosecondsPerRun } from './run-program.ts';

export const bench: Bench = {
  summary:
    'the monitor, ns a frame by BPF_PROG_TEST_RUN, beside the packet counter, which tells no conversations apart',
  *run(): Generator<Row> {
    const spec = monitorSpec(monitorMaps(16_384), { direction: 'in', frags: false, hook: 'xdp' });
    using monitor = load(spec);
    using counter = load(counterSpec({ frags: false }));
    for (const [name, layers, sample] of CASES) {
      monitor.maps.settings.set(0, { sample });
      const data = buildPacket([ETH, ...layers, new Uint8Array(18)]);
      const timed = interleave(9, {
        monitor: () => nanosecondsPerRun(monitor.program, data),
        counter: () => nanosecondsPerRun(counter.program, data),
      });
      yield compare(name, 'ns/packet', timed.monitor, timed.counter, 'packet counter', {
        more: { 'machine code bytes': monitor.program.info().jitedSize },
      });
    }
  },
};

const ETH = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
const V4 = { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' } as const;
const V6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' } as const;
const UDP = { layer: 'udp', sourcePort: 4000, destinationPort: 53 } as const;
const TCP = { layer: 'tcp', sourcePort: 4000, destinationPort: 443, sequence: 1 } as const;

/** Layers, and of how many packets one is looked up among the conversations. */
const CASES: readonly (readonly [string, readonly PacketLayer[], number])[] = [
  ['ipv4-udp', [V4, UDP], 1],
  ['ipv4-udp, one in 100', [V4, UDP], 100],
  ['ipv4-tcp in a VLAN', [{ layer: 'vlan', id: 7 }, V4, TCP], 1],
  ['ipv6-tcp', [V6, TCP], 1],
];
