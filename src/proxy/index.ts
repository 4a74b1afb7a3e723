/** An HTTP and SOCKS5 proxy whose exits are lines. @module barewire/proxy */
export type { AccessLog, AccessRecord } from './access-log.ts';
export { Admin, type AdminOptions, type ExitReport, reportOf } from './admin.ts';
export { STRATEGIES, type Strategy } from './choice.ts';
export {
  type AdminConfig,
  type DeviceExit,
  type PppoeExits,
  type ProxyConfig,
  readConfig,
} from './config.ts';
export { type Destination, DestinationPolicy, type DestinationRules } from './destination.ts';
export { ProxyError, type ProxyErrorCode } from './error.ts';
export { Exit, type ExitOptions, type ExitState, type Rotation } from './exit.ts';
export { HealthChecks, type HealthOptions } from './health.ts';
export { proxyMetrics } from './metrics.ts';
export { hashPassword } from './password.ts';
export { ExitProxy, type ListenAddress, type ProxyOptions, type ProxySettings } from './proxy.ts';
export type { RotateEvery, RoutingOptions } from './router.ts';
export type { Timeouts } from './service.ts';
export { specialPurpose } from './special.ts';
export type { User, UserSpec } from './users.ts';
