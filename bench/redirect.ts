import { load } from '../src/bpf/index.ts';
import { compile } from '../src/compiler/index.ts';
import { buildPacket, type PacketLayer } from '../src/packet/index.ts';
import { portRewrite } from '../src/programs/port-rewrite.ts';
import { redirectMaps, redirectSpec } from '../src/programs/redirect-ports.ts';
import { type Bench, compare, interleave, type Row } from './row.ts';
import { nanosecondsPerRun } from './run-program.ts';

export const bench: Bench = {
  summary:
    'redirected ports, ns a packet by BPF_PROG_TEST_RUN, beside a program that rewrites one port of UDP over IPv4 and nothing else',
  *run(): Generator<Row> {
    const specs = redirectMaps({ flows: 65_536 });
    using redirect = load(redirectSpec(specs, { frags: true }));
    // A packet is changed in place and comes again: there and back, and for the plain one to where it is.
    using plain = load(compile(portRewrite({ from: 7999, to: 7999 })));
    let slot = 0;
    for (const protocol of [6, 17]) {
      for (const [from, to] of [
        [7999, 7998],
        [7998, 7999],
      ] as const) {
        redirect.maps.rules.set({ protocol, port: from }, { to, slot: slot++ });
        redirect.maps.targets.set({ protocol, port: to }, 1);
      }
    }
    for (const [name, layers, replies] of CASES) {
      redirect.maps.settings.set(0, { until: 0n, replies });
      const data = buildPacket([ETH, ...layers, new Uint8Array(18)]);
      const timed = interleave(9, {
        ours: () => nanosecondsPerRun(redirect.program, data),
        plain: () => nanosecondsPerRun(plain.program, data),
      });
      yield compare(name, 'ns/packet', timed.ours, timed.plain, 'port rewrite', {
        more: { 'verified instructions': redirect.program.info().verifiedInstructions },
      });
    }
  },
};

const ETH = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
const V4 = { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' } as const;
const V6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' } as const;
const udp = (port: number): PacketLayer => ({ layer: 'udp', sourcePort: 4000, destinationPort: port });
const TCP = { layer: 'tcp', sourcePort: 4000, destinationPort: 7999, sequence: 1 } as const;

/** Layers, and whether replies are to come from the port that was asked. */
const CASES: readonly (readonly [string, readonly PacketLayer[], number])[] = [
  ['no rule', [V4, udp(53)], 0],
  ['udp', [V4, udp(7999)], 0],
  ['udp with replies', [V4, udp(7999)], 1],
  ['tcp over IPv6 with replies', [V6, TCP], 1],
];
