/** The tools as functions: what `barewire` does on the command line, for programs. @module barewire */
export {
  type BenchOptions,
  type BenchResult,
  runBench,
  SCENARIOS,
  type Scenario,
  VARIANTS,
  type Variant,
} from './apps/bench.ts';
export { benchChart } from './apps/bench-chart.ts';
export {
  type Capture,
  type CaptureOptions,
  type CaptureRun,
  type CaptureStatistics,
  type CaptureVisit,
  openCapture,
} from './apps/capture.ts';
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
export { Dropper } from './apps/drop.ts';
export {
  type LoadOnOptions,
  loadOn,
  type Placed,
  type Unloaded,
  type UnloadOptions,
  unloadFrom,
} from './apps/load.ts';
export {
  type DirectionCounts,
  Monitor,
  type MonitorOptions,
  type MonitorReport,
  type MonitorReportOptions,
} from './apps/monitor.ts';
export { DropWatch } from './apps/monitor-drops.ts';
export { type Conversation, type MonitorFilter, parseMonitorFilter } from './apps/monitor-filter.ts';
export type { FlowActivity, Volume } from './apps/monitor-flows.ts';
export type { Seen } from './apps/monitor-hooks.ts';
export { Recorder, type RecorderOptions } from './apps/monitor-recorder.ts';
export { type MonitorSummary, type SummaryOptions, summarize } from './apps/monitor-summary.ts';
export { type Talker, talkers } from './apps/monitor-talkers.ts';
export { MonitorWeb, type MonitorWebOptions } from './apps/monitor-web.ts';
export type { MonitorDirection, MonitorHook, MonitorSort, MonitorView } from './apps/monitor-words.ts';
export type { Owner, ProgramDetails } from './apps/ownership.ts';
export { Redirector, type RedirectorOptions, type RedirectorPlace } from './apps/redirect.ts';
export type { PortRedirect } from './apps/redirect-events.ts';
export type { RedirectProtocol, RedirectRule } from './apps/redirect-rule.ts';
export type { RuleStatus } from './apps/redirect-table.ts';
export { type ReflectOptions, Reflector, type TakeOptions } from './apps/reflect.ts';
export type { RewriteName } from './apps/reflect-rewrite.ts';
export {
  type Engine,
  type FramesPayload,
  type Payload,
  Sender,
  type SendOptions,
  type SendReport,
} from './apps/send.ts';
export type { AnswerReport } from './apps/send-answers.ts';
export type { DnsPayload, UdpPayload } from './apps/send-frames.ts';
export type { HistogramBar, Latencies } from './apps/send-histogram.ts';
export { InterfaceDownError, NoNeighbourError } from './apps/send-path.ts';
export { type AttachedProgram, type Status, type StatusOptions, status } from './apps/status.ts';
export type { TrafficLimits, TrafficReport } from './apps/traffic.ts';
export { ArgumentError, BarewireError, CodecError, type ErrorDetails } from './error.ts';
export { FRAME_KINDS, type FrameKind, type Tally } from './programs/counter.ts';
