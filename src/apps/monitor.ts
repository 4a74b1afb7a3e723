import { setTimeout as sleep } from 'node:timers/promises';
import { ArgumentError, BarewireError } from '../error.ts';
import { FRAME_KINDS } from '../programs/counter.ts';
import { type Counts, sumUp } from './counts.ts';
import { type FlowActivity, FlowTracker } from './monitor-flows.ts';
import { attachHooks, type HookOptions, type Hooks, type Seen } from './monitor-hooks.ts';

export interface MonitorOptions extends HookOptions {
  /** Conversations to remember; the least recently active go first. Default is 16384, which takes some 2 MB. */
  readonly flows?: number;
  /**
   * One in so many packets is looked up among the conversations, and counts for as many there; totals and protocols
   * are of all packets always. Default is 1: every packet.
   */
  readonly sample?: number;
}

export interface MonitorReportOptions {
  /** Time between readings, in ms. Default is 1000. */
  readonly interval?: number;
  /** Ends after so many readings. Default is never. */
  readonly count?: number | undefined;
  /** Ends after so long, in ms. Default is never. */
  readonly duration?: number | undefined;
  /** Ends when it is aborted, with one last reading. */
  readonly signal?: AbortSignal | undefined;
}

/** What one direction came to since the monitor began, and what it was at the reading before. */
export interface DirectionCounts {
  readonly counts: Counts;
  readonly before: Counts;
}

export interface MonitorReport {
  readonly time: Date;
  /** Since the first moment of `reports`, in ms. */
  readonly elapsed: number;
  /** Since the reading before, in ms. */
  readonly span: number;
  /** Frames that came in; undefined where they are not seen. */
  readonly in: DirectionCounts | undefined;
  /** Frames that went out; undefined where they are not seen. */
  readonly out: DirectionCounts | undefined;
  /** Conversations, also those without packets in this span. */
  readonly flows: readonly FlowActivity[];
  /** How much of the IP traffic of this span the conversations account for, in bytes: 1 is all of it. */
  readonly coverage: number;
  /** One in so many packets was looked up among them. */
  readonly sample: number;
}

/**
 * Watches what goes through an interface: exact sums of all frames by protocol, and who talks to whom.
 *
 * Counting is done in the kernel, in maps of fixed size, by programs that let every frame go on; they die with their
 * owner.
 *
 * @example
 * using monitor = Monitor.open({ interface: 'eth0' });
 * for await (const report of monitor.reports()) console.log(talkers(report.flows, 'remote', 'bits')[0]);
 */
export class Monitor implements Disposable {
  readonly #hooks: Hooks;
  readonly #tracker = new FlowTracker();

  private constructor(hooks: Hooks) {
    this.#hooks = hooks;
  }

  /**
   * Attaches the programs.
   *
   * @throws NoInterfaceError; OccupiedError for `xdp` where another program is; ModeRefusedError; ArgumentError for
   *   an interface without Ethernet headers; BarewireError `BW_UNSUPPORTED` for `tcx` before Linux 6.6.
   */
  static open(options: MonitorOptions): Monitor {
    const { flows = 16_384, sample = 1 } = options;
    if (!Number.isInteger(flows) || flows < 16 || flows > 4_194_304) {
      throw new ArgumentError(`${flows} conversations cannot be remembered: 16 to 4194304 can`);
    }
    if (!Number.isInteger(sample) || sample < 1 || sample > 1_000_000) {
      throw new ArgumentError(`one packet in ${sample} cannot be looked up: 1 to 1000000 can`);
    }
    const hooks = attachHooks(options, flows);
    hooks.settings.set(0, { sample });
    return new Monitor(hooks);
  }

  get interface(): { readonly name: string; readonly index: number } {
    return this.#hooks.interface;
  }

  /** Where frames that come in are read; undefined when they are not. */
  get incoming(): Seen | undefined {
    return this.#hooks.incoming;
  }

  get outgoing(): Seen | undefined {
    return this.#hooks.outgoing;
  }

  /** What is not seen, or counted otherwise than one may think. */
  get notes(): readonly string[] {
    return this.#hooks.notes;
  }

  get sample(): number {
    return this.#hooks.settings.get(0)?.sample ?? 1;
  }

  /** Frames up to now. */
  read(): { readonly in: Counts | undefined; readonly out: Counts | undefined } {
    const { inTallies, outTallies } = this.#hooks;
    return {
      in: inTallies && sumUp(inTallies.entries()),
      out: outTallies && sumUp(outTallies.entries()),
    };
  }

  /**
   * Readings at a fixed pace, until the limits or the signal end it. The first one is made after one interval.
   *
   * @throws BarewireError `BW_DETACHED` when the interface has gone, or somebody took the monitor off it.
   */
  async *reports(options: MonitorReportOptions = {}): AsyncGenerator<MonitorReport> {
    const { interval = 1000, count = Infinity, duration = Infinity, signal } = options;
    if (!(interval >= 10))
      throw new ArgumentError(`an interval of ${interval} ms is too short: 10 is the least`);
    const start = performance.now();
    let last = start;
    let before = this.read();
    this.#tracker.update(this.#hooks.flows.entries());
    for (let made = 1; ; made++) {
      const tick = start + Math.ceil((performance.now() - start + 1) / interval) * interval;
      await pause(Math.min(tick, start + duration), signal);
      const now = performance.now();
      const counts = this.read();
      const flows = this.#tracker.update(this.#hooks.flows.entries());
      const stopped = signal?.aborted === true;
      if (!stopped) this.#requireAttached();
      const directions = {
        in: counts.in && before.in && { counts: counts.in, before: before.in },
        out: counts.out && before.out && { counts: counts.out, before: before.out },
      };
      yield {
        time: new Date(),
        elapsed: now - start,
        span: now - last,
        ...directions,
        flows,
        coverage: coverageOf(directions, flows),
        sample: this.sample,
      };
      if (stopped || made >= count || now >= start + duration) return;
      before = counts;
      last = now;
    }
  }

  /** Detaches and gives everything back. A second call does nothing. */
  close(): void {
    this.#hooks[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #requireAttached(): void {
    const what = this.#hooks.lost();
    if (what === undefined) return;
    throw new BarewireError('BW_DETACHED', what, { hint: '`barewire status` shows what is on it now.' });
  }
}

const IP_KINDS = FRAME_KINDS.filter((kind) => kind.startsWith('ip'));

function coverageOf(directions: Pick<MonitorReport, 'in' | 'out'>, flows: readonly FlowActivity[]): number {
  let all = 0;
  for (const direction of [directions.in, directions.out]) {
    if (direction === undefined) continue;
    for (const kind of IP_KINDS) {
      all += Number(direction.counts.kinds[kind].bytes - direction.before.kinds[kind].bytes);
    }
  }
  const known = flows.reduce((sum, flow) => sum + flow.in.bytes + flow.out.bytes, 0);
  return all === 0 ? 1 : known / all;
}

/** In ms; Node takes a longer one for 1. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Returns early when the signal is aborted, and for nothing else: timers may fire a little before their time. */
async function pause(until: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    for (let left = until - performance.now(); left > 0; left = until - performance.now()) {
      const options = signal === undefined ? {} : { signal };
      await sleep(Math.min(Math.ceil(left), LONGEST_TIMER), undefined, options);
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
