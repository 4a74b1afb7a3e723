import { setTimeout as sleep } from 'node:timers/promises';
import { BarewireError } from '../error.ts';
import { Filter } from '../filter/index.ts';
import { describePacket } from '../packet/index.ts';

/** How many drops are kept in memory, and how long one reader reads before it looks whether the filter was changed. */
const MOST_LINES = 20;
const TURN = 5000;

/**
 * What the filter on an interface drops, as lines for people: when, by which rule, how many, and the packet.
 *
 * A filter that is changed is another program with events of its own, so it is looked for anew every few seconds; one
 * that is not there is waited for.
 */
export class DropWatch implements AsyncDisposable {
  readonly #filter: Filter;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #lines: string[] = [];
  #drops = 0;

  private constructor(filter: Filter, onDrop: () => void) {
    this.#filter = filter;
    this.#running = this.#run(onDrop);
    // What it throws is thrown where it is awaited.
    this.#running.catch(() => {});
  }

  /** Whether there is a filter now makes no difference. */
  static open(
    place: { readonly interface: string; readonly netns?: string | undefined },
    onDrop: () => void = () => {},
  ): DropWatch {
    return new DropWatch(new Filter({ interface: place.interface, netns: place.netns }), onDrop);
  }

  /** The last drops, newest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Packets that were dropped since this was opened, as far as the filter has told. */
  get drops(): number {
    return this.#drops;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(onDrop: () => void): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#filter.attached)
          await this.#read(AbortSignal.any([signal, AbortSignal.timeout(TURN)]), onDrop);
        else await sleep(TURN, undefined, { signal }).catch(() => {});
      } catch (error) {
        // It went while it was being opened, or another version made it: then there is nothing to be shown.
        if (!(error instanceof BarewireError)) throw error;
        await sleep(TURN, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #read(signal: AbortSignal, onDrop: () => void): Promise<void> {
    for await (const drop of this.#filter.drops({ signal })) {
      this.#drops += drop.stands;
      const times = drop.stands > 1 ? ` x${drop.stands}` : '';
      const line = `${drop.time.toISOString().slice(11, 19)} dropped by ${drop.by}${times}: ${describePacket(drop.head)}`;
      this.#lines.unshift(line);
      this.#lines.length = Math.min(this.#lines.length, MOST_LINES);
      onDrop();
    }
  }
}
