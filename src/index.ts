/** The tools as functions: what `barewire` does on the command line, for programs. @module barewire */
export {
  type CountReport,
  PacketCounter,
  type PacketCounterOptions,
  type ReportOptions,
} from './apps/count.ts';
export { type Counts, type Rate, rateOf } from './apps/counts.ts';
export {
  type Check,
  type CheckState,
  type Diagnosis,
  type DiagnosisOptions,
  diagnose,
} from './apps/doctor.ts';
export type { Owner, ProgramDetails } from './apps/ownership.ts';
export { type AttachedProgram, type Status, type StatusOptions, status } from './apps/status.ts';
export { ArgumentError, BarewireError, CodecError, type ErrorDetails } from './error.ts';
export { FRAME_KINDS, type FrameKind, type Tally } from './programs/counter.ts';
