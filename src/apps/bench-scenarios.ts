import type { Driver } from '../xsk/index.ts';

/** Receive and forget, send as fast as it goes, receive and send back. */
export const SCENARIOS = ['rxdrop', 'txpush', 'l2fwd'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** One way to get at packets. */
export interface Variant {
  readonly id: string;
  readonly name: string;
  readonly over: 'xdp' | 'packet-rings' | 'packet-plain';
  readonly mode?: 'driver' | 'generic';
  readonly driver: Driver;
}

export const VARIANTS: readonly Variant[] = [
  { id: 'xdp-spin', name: 'AF_XDP, busy polling', over: 'xdp', mode: 'driver', driver: 'spin' },
  { id: 'xdp-nap', name: 'AF_XDP, short naps', over: 'xdp', mode: 'driver', driver: 'nap' },
  { id: 'xdp-event', name: 'AF_XDP, event loop', over: 'xdp', mode: 'driver', driver: 'event' },
  { id: 'xdp-generic', name: 'AF_XDP, generic mode', over: 'xdp', mode: 'generic', driver: 'spin' },
  { id: 'packet-rings', name: 'AF_PACKET, mmap rings', over: 'packet-rings', driver: 'spin' },
  { id: 'packet-plain', name: 'AF_PACKET, plain', over: 'packet-plain', driver: 'spin' },
];

/** What the others are held against. */
export const YARDSTICK = 'packet-rings';
