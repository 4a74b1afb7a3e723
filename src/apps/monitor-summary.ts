import { FRAME_KINDS, type FrameKind } from '../programs/counter.ts';
import { type Rate, rateOf } from './counts.ts';
import type { DirectionCounts, MonitorReport } from './monitor.ts';
import type { MonitorFilter } from './monitor-filter.ts';
import { type Talker, talkers } from './monitor-talkers.ts';
import type { MonitorSort, MonitorView } from './monitor-words.ts';

/** What went one way: since the monitor began, and the rate since the reading before. */
export interface DirectionSummary extends Rate {
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Only those that there were. */
  readonly kinds: Readonly<
    Partial<Record<FrameKind, Rate & { readonly packets: bigint; readonly bytes: bigint }>>
  >;
}

/** A talker with rates instead of what it did in the span. */
export interface TalkerSummary {
  readonly name: string;
  readonly flows: number;
  readonly in: Rate;
  readonly out: Rate;
  readonly totalPackets: number;
  readonly totalBytes: number;
}

/** A reading as programs and the browser get it. */
export interface MonitorSummary {
  readonly time: Date;
  readonly elapsedMs: number;
  readonly spanMs: number;
  readonly in: DirectionSummary | undefined;
  readonly out: DirectionSummary | undefined;
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly filter: string;
  readonly talkers: readonly TalkerSummary[];
  /** Conversations that the filter lets through, and all. */
  readonly shownFlows: number;
  readonly flows: number;
  /** How much of the IP traffic of the span the conversations account for: 1 is all of it. */
  readonly coverage: number;
  /** One in so many packets was looked up among them. */
  readonly sample: number;
}

export interface SummaryOptions {
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly filter: MonitorFilter;
  /** Most talkers. */
  readonly top: number;
}

/** Makes a reading short: sums, and the first of the talkers. */
export function summarize(report: MonitorReport, options: SummaryOptions): MonitorSummary {
  const { view, sort, filter, top } = options;
  const shown = report.flows.filter((flow) => filter.matches(flow));
  return {
    time: report.time,
    elapsedMs: Math.round(report.elapsed),
    spanMs: Math.round(report.span),
    in: report.in && direction(report.in, report.span),
    out: report.out && direction(report.out, report.span),
    view,
    sort,
    filter: filter.text,
    talkers: talkers(shown, view, sort)
      .slice(0, top)
      .map((talker) => short(talker, report.span)),
    shownFlows: shown.length,
    flows: report.flows.length,
    coverage: report.coverage,
    sample: report.sample,
  };
}

function direction({ counts, before }: DirectionCounts, span: number): DirectionSummary {
  const kinds = FRAME_KINDS.filter((kind) => counts.kinds[kind].packets > 0n).map((kind) => [
    kind,
    { ...counts.kinds[kind], ...rateOf(before.kinds[kind], counts.kinds[kind], span) },
  ]);
  return { ...counts.total, ...rateOf(before.total, counts.total, span), kinds: Object.fromEntries(kinds) };
}

function short({ name, flows, in: received, out, total }: Talker, span: number): TalkerSummary {
  const rate = ({ packets, bytes }: { readonly packets: number; readonly bytes: number }): Rate => ({
    packetsPerSecond: (packets * 1000) / span,
    bitsPerSecond: (bytes * 8000) / span,
  });
  return {
    name,
    flows,
    in: rate(received),
    out: rate(out),
    totalPackets: total.packets,
    totalBytes: total.bytes,
  };
}
