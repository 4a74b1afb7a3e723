import { setTimeout as sleep } from 'node:timers/promises';
import {
  attachXdp,
  type Loaded,
  load,
  type ModeRefusal,
  ModeRefusedError,
  probe,
  type XdpAttachment,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import { type CounterMaps, counterSpec } from '../programs/counter.ts';
import { type Counts, sumUp } from './counts.ts';

export interface PacketCounterOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** Where the interface lies, by name or path. Default is the caller's namespace. */
  readonly netns?: string | undefined;
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
}

export interface ReportOptions {
  /** Time between reports, in ms. Default is 1000. */
  readonly interval?: number;
  /** Ends after so many reports. Default is never. */
  readonly count?: number | undefined;
  /** Ends after so long, in ms. Default is never. */
  readonly duration?: number | undefined;
  /** Ends when it is aborted, with one last report. */
  readonly signal?: AbortSignal | undefined;
}

export interface CountReport {
  readonly time: Date;
  /** Since the first moment of `reports`, in ms. */
  readonly elapsed: number;
  /** Since the report before, in ms. */
  readonly span: number;
  /** All that was counted since the counter was attached. */
  readonly counts: Counts;
  /** The same at the report before. */
  readonly before: Counts;
}

/**
 * Counts the frames that an interface receives, by protocol and by CPU.
 *
 * The program dies with its owner: `close()`, the end of the process and its crash all detach it. Frames that leave
 * the interface are not seen by XDP, and so not counted.
 *
 * @example
 * using counter = PacketCounter.open({ interface: 'eth0' });
 * for await (const { counts } of counter.reports({ count: 10 })) console.log(counts.total.packets);
 */
export class PacketCounter implements Disposable {
  readonly #loaded: Loaded<CounterMaps>;
  readonly #attachment: XdpAttachment;
  readonly #net: Netlink;
  readonly #programId: number;

  private constructor(loaded: Loaded<CounterMaps>, attachment: XdpAttachment, net: Netlink) {
    this.#loaded = loaded;
    this.#attachment = attachment;
    this.#net = net;
    this.#programId = loaded.program.info().id;
  }

  /**
   * Loads the counter and attaches it.
   *
   * @throws NoInterfaceError; OccupiedError when another owner's program is there and `replace` is not set;
   *   ModeRefusedError with the driver's own words; SystemError `BW_PERMISSION`.
   */
  static open(options: PacketCounterOptions): PacketCounter {
    const net = new Netlink({ netns: options.netns });
    try {
      // Before anything is loaded: a name that is none is the likeliest mistake.
      const { index, name } = net.links.get(options.interface);
      if (options.mode === 'offload') throw new ModeRefusedError(name, [NO_OFFLOAD]);
      const loaded = load(counterSpec({ frags: probe('xdp-frags') }));
      try {
        const attachment = attachXdp(loaded.program, { ...options, interface: index });
        return new PacketCounter(loaded, attachment, net);
      } catch (error) {
        loaded.close();
        throw error;
      }
    } catch (error) {
      net.close();
      throw error;
    }
  }

  get interface(): { readonly name: string; readonly index: number } {
    return this.#attachment.interface;
  }

  /** The mode that was granted. */
  get mode(): XdpMode {
    return this.#attachment.mode;
  }

  /** Better modes that were refused, and why. */
  get refusals(): readonly ModeRefusal[] {
    return this.#attachment.refusals;
  }

  /** All that was counted up to now. */
  read(): Counts {
    return sumUp(this.#loaded.maps.tallies.entries());
  }

  /**
   * Readings at a fixed pace, until the limits or the signal end it.
   *
   * @throws BarewireError `BW_DETACHED` when the interface has gone, or somebody took the counter off it.
   */
  async *reports(options: ReportOptions = {}): AsyncGenerator<CountReport> {
    const { interval = 1000, count = Infinity, duration = Infinity, signal } = options;
    if (!(interval >= 1))
      throw new ArgumentError(`an interval of ${interval} ms is too short: 1 is the least`);
    const start = performance.now();
    let last = start;
    let before = this.read();
    for (let made = 1; ; made++) {
      // Ticks lie on a grid from the start, so that the pace does not drift with what a report costs.
      const tick = start + Math.ceil((performance.now() - start + 1) / interval) * interval;
      await sleepUntil(Math.min(tick, start + duration), signal);
      const now = performance.now();
      const counts = this.read();
      const stopped = signal?.aborted === true;
      if (!stopped) this.#requireAttached();
      yield { time: new Date(), elapsed: now - start, span: now - last, counts, before };
      if (stopped || made >= count || now >= start + duration) return;
      before = counts;
      last = now;
    }
  }

  /** Detaches and gives everything back. A second call does nothing. */
  close(): void {
    this.#attachment.close();
    this.#loaded.close();
    this.#net.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #requireAttached(): void {
    const { name, index } = this.interface;
    const link = this.#net.links.find(index);
    if (link === undefined) {
      throw new BarewireError('BW_DETACHED', `${name} has gone, and the counter with it`, {
        hint: 'What was counted up to then was reported.',
      });
    }
    if (!link.xdp.some(({ programId }) => programId === this.#programId)) {
      throw new BarewireError('BW_DETACHED', `somebody took the counter off ${name}`, {
        hint: '`barewire status` shows what is on it now.',
      });
    }
  }
}

/** The one family of cards that takes programs (nfp) has arrays and hashes only. */
const NO_OFFLOAD: ModeRefusal = {
  mode: 'offload',
  reason: 'no card that runs XDP programs itself has per-CPU maps, which the counter needs',
  remedy: 'Use the driver or the generic mode.',
};

/** In ms; Node takes a longer one for 1. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Returns early when the signal is aborted, and for nothing else: timers may fire a little before their time. */
async function sleepUntil(time: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    for (let left = time - performance.now(); left > 0; left = time - performance.now()) {
      await sleep(
        Math.min(Math.ceil(left), LONGEST_TIMER),
        undefined,
        signal === undefined ? {} : { signal },
      );
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
