import type { Match, MatchRule } from '../xsk/match.ts';
import { integer, type Kind } from './kinds.ts';
import { addressOrNetwork, asPortRange, etherType, ipProtocol, ports } from './packet-kinds.ts';
import type { OptionValues, ValueOption } from './table.ts';

type Repeated<T> = ValueOption & { readonly kind: Kind<T>; readonly repeated: true };

/** Options that say which frames are meant; a frame must agree with every kind that is given. */
export const matchOptions: {
  readonly [N in 'ether-type' | 'vlan' | 'protocol']: Repeated<number>;
} & {
  readonly [N in 'source' | 'destination']: Repeated<string>;
} & {
  readonly [N in 'source-port' | 'port']: Repeated<readonly [number, number]>;
} = {
  'ether-type': { kind: etherType(), repeated: true, summary: 'Only frames of this type' },
  vlan: {
    kind: integer({ min: 0, max: 4094 }),
    repeated: true,
    summary: 'Only frames with this outer VLAN tag',
  },
  protocol: { kind: ipProtocol(), repeated: true, summary: 'Only packets of this IP protocol' },
  source: { kind: addressOrNetwork(), repeated: true, summary: 'Only packets from there' },
  destination: { kind: addressOrNetwork(), repeated: true, summary: 'Only packets to there' },
  'source-port': { kind: ports(), repeated: true, summary: 'Only TCP, UDP and SCTP from these ports' },
  port: { kind: ports(), repeated: true, summary: 'Only TCP, UDP and SCTP to these ports' },
};

/** The match that the options describe; `all` without any. */
export function matchOf(options: OptionValues<typeof matchOptions>): Match {
  const rule: { -readonly [N in keyof MatchRule]: MatchRule[N] } = {};
  if (options.etherType.length > 0) rule.etherTypes = options.etherType;
  if (options.vlan.length > 0) rule.vlans = options.vlan;
  if (options.protocol.length > 0) rule.protocols = options.protocol;
  if (options.source.length > 0) rule.sources = options.source;
  if (options.destination.length > 0) rule.destinations = options.destination;
  if (options.sourcePort.length > 0) rule.sourcePorts = options.sourcePort.map(asPortRange);
  if (options.port.length > 0) rule.ports = options.port.map(asPortRange);
  return Object.keys(rule).length === 0 ? 'all' : rule;
}
