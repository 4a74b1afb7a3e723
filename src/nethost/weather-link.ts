import { Path, seededRandom, type Weather } from '../netstack/index.ts';
import type { HostLink, LinkEvents, PacketVisit } from './link.ts';

/** What is read from the link below in one go. */
const READ = 256;

/**
 * A link with weather of one's own making: delay, loss, reordering, duplicates and damage in both directions, for tests
 * and for trying out what a bad line does.
 */
export class WeatherLink implements HostLink {
  readonly mtu: number;
  readonly address?: Uint8Array;
  readonly #below: HostLink;
  readonly #inward: Path;
  readonly #outward: Path;
  #events: LinkEvents | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: number = Number.POSITIVE_INFINITY;
  #closed = false;

  /**
   * @param weather Of both directions, or of packets to the stack and from it.
   * @param seed The same seed gives the same chances.
   */
  constructor(below: HostLink, weather: Weather | readonly [inward: Weather, outward: Weather], seed = 1) {
    const random = seededRandom(seed);
    const [inward, outward] = isPair(weather) ? weather : [weather, weather];
    this.#below = below;
    this.mtu = below.mtu;
    if (below.address !== undefined) this.address = below.address;
    this.#inward = new Path(inward, random);
    this.#outward = new Path(outward, random);
  }

  receive(visit: PacketVisit, limit: number): number {
    const now = performance.now();
    this.#pull(now);
    const count = this.#inward.deliver(now, visit, limit);
    this.#arm(now);
    return count;
  }

  send(bytes: Uint8Array, offset: number, length: number): boolean {
    this.#outward.send(bytes, offset, length, performance.now());
    return true;
  }

  flush(): void {
    const now = performance.now();
    this.#push(now);
    this.#arm(now);
  }

  start(events: LinkEvents): void {
    this.#events = events;
    this.#below.start({
      ...events,
      onReadable: () => {
        this.#pull(performance.now());
        this.#arm(performance.now());
      },
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#below.close();
  }

  #pull(now: number): void {
    const take = (bytes: Uint8Array, offset: number, length: number): void =>
      this.#inward.send(bytes, offset, length, now);
    while (this.#below.receive(take, READ) === READ);
  }

  #push(now: number): void {
    this.#outward.deliver(now, (bytes, offset, length) => this.#below.send(bytes, offset, length));
    this.#below.flush?.();
  }

  /** Timers of Node's count whole milliseconds; what is due earlier waits for the event loop's next turn. */
  #arm(now: number): void {
    const next = Math.min(this.#inward.deadline, this.#outward.deadline);
    if (next >= this.#timerAt || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, next - now));
  }

  #onTimer(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    this.#push(now);
    if (this.#inward.deadline <= now) this.#events?.onReadable();
    if (!this.#closed) this.#arm(performance.now());
  }
}

function isPair(weather: Weather | readonly [Weather, Weather]): weather is readonly [Weather, Weather] {
  return Array.isArray(weather);
}
