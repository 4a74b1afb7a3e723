/** PPPoE for clients and concentrators, pure: frames and time in, frames and events out. @module barewire/pppoe */
export { PppoeClient } from './client.ts';
export type {
  FrameSink,
  Ipv6Link,
  PppoeAddresses,
  PppoeClientEvent,
  PppoeClientOptions,
  PppoeConcentratorInfo,
  PppoePacing,
  PppoeSessionOptions,
  PppoeSessionState,
  PppoeTiming,
} from './client-options.ts';
export type { PppoeClientSession } from './client-session.ts';
export { PppoeConcentrator } from './concentrator.ts';
export type {
  PppoeAccount,
  PppoeAccounting,
  PppoeConcentratorEvent,
  PppoeConcentratorOptions,
  PppoeService,
} from './concentrator-options.ts';
export type { PppoeConcentratorSession } from './concentrator-session.ts';
export { PppoeError, type PppoeFailure } from './failure.ts';
export { emitPadt, type PppoeVlan, type PppoeWireIdentity } from './frame.ts';
export { PppoeScan, type PppoeScanOptions } from './scan.ts';
