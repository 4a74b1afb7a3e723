import type { Rule } from './rule.ts';

/** What a preset stands for; each is a limit for every source. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  'syn-flood': {
    summary: 'new TCP connections: 50 a second from each source, 100 at once',
    match: { protocol: 6, segment: 'syn' },
    perSecond: 50,
    burst: 100,
  },
  'udp-flood': {
    summary: 'UDP: 5,000 packets a second from each source, 10,000 at once',
    match: { protocol: 17 },
    perSecond: 5000,
    burst: 10_000,
  },
  'icmp-flood': {
    summary: 'ICMP: 50 packets a second from each source, 100 at once',
    match: { protocol: 1 },
    perSecond: 50,
    burst: 100,
  },
};

export interface Preset {
  readonly summary: string;
  readonly match: Pick<Rule, 'protocol' | 'segment'>;
  readonly perSecond: number;
  readonly burst: number;
}

/** The rule of a preset. @param perSecond In place of its own; the burst grows with it. */
export function presetRule(
  preset: Preset,
  perSecond: number | undefined,
): Pick<Rule, 'action' | 'protocol' | 'segment' | 'limit'> {
  const rate = perSecond ?? preset.perSecond;
  const burst = Math.max(1, Math.round((rate * preset.burst) / preset.perSecond));
  return {
    action: 'limit',
    ...preset.match,
    limit: { packets: { perSecond: rate, burst }, per: { ipv4: 32, ipv6: 128 }, within: 'continue' },
  };
}
