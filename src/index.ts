/** The tools as functions: what `barewire` does on the command line, for programs. @module barewire */
export {
  type CountReport,
  PacketCounter,
  type PacketCounterOptions,
  type ReportOptions,
} from './apps/count.ts';
export type { Counts, Rate } from './apps/counts.ts';
export { type Status, type StatusOptions, status } from './apps/status.ts';
export { ArgumentError, BarewireError, CodecError, type ErrorDetails } from './error.ts';
