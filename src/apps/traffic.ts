import { setTimeout as sleep } from 'node:timers/promises';
import type { Driver, OwnerName, XskInterface, XskSocket, XskStatistics } from '../xsk/index.ts';

export interface TrafficLimits {
  /** Ends after so many received packets. Default is never. */
  readonly count?: number | undefined;
  /** Ends after so long, in ms. Default is never. */
  readonly duration?: number | undefined;
  /** Time between reports, in ms. Default is 1000. */
  readonly interval?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default is `nap`. */
  readonly driver?: Driver | undefined;
}

/** What went through the sockets of an interface. */
export interface TrafficReport {
  readonly time: Date;
  /** Since the start, in ms. */
  readonly elapsed: number;
  /** Whether it is the last one. */
  readonly done: boolean;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Handed to the driver and not taken. */
  readonly txRefused: number;
  /** Since the report before, as the next. */
  readonly rxPerSecond: number;
  readonly txPerSecond: number;
  readonly rxBitsPerSecond: number;
  /** Packets meant for us that were lost, by all sockets. */
  readonly dropped: bigint;
  /** The kernel's counters. */
  readonly kernel: XskStatistics;
  /** How many frames of memory each owner has; with `checkFrames` only. */
  readonly frames?: Readonly<Record<OwnerName, number>>;
}

/** Packets at once. */
const BATCH = 64;

/**
 * Has `work` done on all sockets of an interface and reports at a fixed pace how it goes.
 *
 * @param work Receives at most `limit` packets and returns how many that were.
 * @throws InterfaceGoneError when the interface is deleted; what `work` throws.
 */
export async function* trafficReports(
  open: XskInterface,
  work: (socket: XskSocket, limit: number) => number,
  limits: TrafficLimits = {},
): AsyncGenerator<TrafficReport, void> {
  const { count = Infinity, duration, interval = 1000, signal, driver = 'nap' } = limits;
  const stop = new AbortController();
  const timer = duration === undefined ? undefined : setTimeout(() => stop.abort(), duration);
  const ended = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let left = count;
  const limited = (socket: XskSocket): number => {
    if (left <= 0) return 0;
    const done = work(socket, Math.min(left, BATCH));
    left -= done;
    if (left <= 0) stop.abort();
    return done;
  };
  const start = performance.now();
  let finished = false;
  const running = open.run(limited, { driver, signal: ended }).finally(() => {
    finished = true;
  });
  // What it throws is thrown where it is awaited.
  running.catch(() => {});
  let before: TrafficReport | undefined;
  try {
    for (let tick = 1; ; tick++) {
      const pausing = new AbortController();
      const pause = sleep(Math.max(0, start + tick * interval - performance.now()), undefined, {
        signal: pausing.signal,
      }).catch(() => {});
      await Promise.race([pause, running.catch(() => {})]);
      pausing.abort();
      if (finished) {
        await running;
        // What is on its way out is sent before the last reading.
        for (const socket of open.sockets) await socket.drain(200);
      }
      before = reportOf(open, performance.now() - start, finished, before);
      yield before;
      if (finished) return;
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
    await running.catch(() => {});
  }
}

function reportOf(
  open: XskInterface,
  elapsed: number,
  done: boolean,
  before: TrafficReport | undefined,
): TrafficReport {
  const sum = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, txRefused: 0 };
  for (const { traffic } of open.sockets) {
    sum.rxPackets += traffic.rxPackets;
    sum.rxBytes += traffic.rxBytes;
    sum.txPackets += traffic.txPackets;
    sum.txBytes += traffic.txBytes;
    sum.txRefused += traffic.txRefused;
  }
  const span = elapsed - (before?.elapsed ?? 0);
  const perSecond = (now: number, then = 0): number => (span <= 0 ? 0 : ((now - then) * 1000) / span);
  const kernel = open.statistics();
  const frames = ownersOf(open);
  return {
    time: new Date(),
    elapsed,
    done,
    ...sum,
    rxPerSecond: perSecond(sum.rxPackets, before?.rxPackets),
    txPerSecond: perSecond(sum.txPackets, before?.txPackets),
    rxBitsPerSecond: 8 * perSecond(sum.rxBytes, before?.rxBytes),
    // A packet for which no frame was free counts under rxDropped as well.
    dropped: kernel.rxDropped + kernel.rxRingFull,
    kernel,
    ...(frames === undefined ? {} : { frames }),
  };
}

function ownersOf({ sockets }: XskInterface): Record<OwnerName, number> | undefined {
  const counts = sockets.map(({ umem }) => umem.owners());
  const [first] = counts;
  if (first === undefined) return undefined;
  const names = Object.keys(first) as OwnerName[];
  const sum = (name: OwnerName): number => counts.reduce((total, count) => total + (count?.[name] ?? 0), 0);
  return Object.fromEntries(names.map((name) => [name, sum(name)])) as Record<OwnerName, number>;
}
