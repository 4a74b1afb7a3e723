/** Private networks in namespaces, to try things in. @module barewire/lab */
export { LabHost } from './host.ts';
export { Lab } from './lab.ts';
export { type LabRecord, namespacePath, type ProcessId } from './record.ts';
export type { HostSpec, LabSpec, WireEndSpec, WireSpec } from './spec.ts';
export type { FloodOrder } from './udp-flood.ts';
