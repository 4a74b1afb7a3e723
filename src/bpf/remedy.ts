/**
 * What to do about a driver's reason for refusing a mode, or undefined when its words say nothing known.
 *
 * Drivers word their extended acks as they like; what stands here are the causes that most of them share.
 */
export function remedyFor(reason: string, interfaceName: string): string | undefined {
  for (const [pattern, remedy] of REMEDIES) {
    if (pattern.test(reason)) return remedy(interfaceName);
  }
  return undefined;
}

const REMEDIES: readonly (readonly [RegExp, (name: string) => string])[] = [
  [
    /\bpeer\b.*\bmtu\b/i,
    (name) =>
      `Lower the MTU of the other end of the veth pair (ip link set dev PEER mtu 1500); ${name} is limited by it.`,
  ],
  [/\bmtu\b|too large|page size/i, (name) => `Lower the MTU: ip link set dev ${name} mtu 1500`],
  [/\blro\b|large receive/i, (name) => `Switch large receive offload off: ethtool -K ${name} lro off`],
  [
    /\bgro[_ -]?hw\b|hw[_ -]gro|rsc\b/i,
    (name) => `Switch hardware GRO off: ethtool -K ${name} rx-gro-hw off`,
  ],
  [
    /channel|queue|ring|tx_pending|not enough|insufficient/i,
    (name) =>
      `Leave queues for XDP: ethtool -L ${name} combined N, with N at most half of what ethtool -l ${name} shows`,
  ],
  [
    /header.?split|tcp-data-split/i,
    (name) => `Switch header split off: ethtool -G ${name} tcp-data-split off`,
  ],
  [
    /not support|unsupported|no.*ndo/i,
    () => 'The driver has no XDP of its own: use the generic mode, which runs in the stack.',
  ],
];
