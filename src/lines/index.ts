/** PPPoE lines on an interface: sessions over AF_XDP, each with a device, sockets and names of its own. @module barewire/lines */

export {
  AccessConcentrator,
  type AccessConcentratorEvents,
  type AccessConcentratorOptions,
} from './concentrator.ts';
export { type LineSettings, linesOf, type PoolConfig, readPoolConfig } from './config.ts';
export { type DiscoverOptions, discoverConcentrators } from './discover.ts';
export { LineDownError } from './error.ts';
export type { Ipv6Given } from './ipv6-setup.ts';
export { type LineEvents, type LineOptions, type PacketTaker, PppoeLine, type Redialled } from './line.ts';
export { poolMetrics } from './metrics.ts';
export { LinePool, type PoolEvent, type PoolEvents, type PoolOptions } from './pool.ts';
export { parseSecrets, readPassword, readSecrets } from './secrets.ts';
export { StackLine } from './stack-line.ts';
export { PppoeWire, type WireOptions } from './wire.ts';
