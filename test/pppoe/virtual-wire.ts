import { Random } from '../packet/random.ts';

/** Somebody on a {@link VirtualWire}. */
export interface Station {
  readonly deadline: number;
  input(bytes: Uint8Array, offset: number, length: number, now: number): unknown;
  advance(now: number): void;
}

/** What the wire does to frames; each a share of them, from 0 to 1. Default is nothing. */
export interface Weather {
  readonly loss?: number;
  readonly duplication?: number;
  /** Frames that come up to 50 ms late, behind others. */
  readonly reorder?: number;
  /** Frames with some bytes changed. */
  readonly damage?: number;
  /** Frames of random bytes beside the real ones. */
  readonly noise?: number;
}

interface Transit {
  readonly at: number;
  readonly order: number;
  readonly to: Station;
  readonly bytes: Uint8Array;
}

/** A wire with a clock of its own: every frame of one reaches all others, and nobody waits for real time to pass. */
export class VirtualWire {
  now = 0;
  weather: Weather = {};
  up = true;
  /** Frames sent so far. */
  sent = 0;
  /** Hears every frame as it is sent. */
  tap: ((bytes: Uint8Array, from: Station | undefined) => void) | undefined;
  /** Lets frames pass or not. */
  filter: ((bytes: Uint8Array, from: Station | undefined, to: Station) => boolean) | undefined;
  readonly random: Random;
  readonly #stations: Set<Station> = new Set();
  readonly #latency: number;
  #transit: Transit[] = [];
  #order = 0;

  constructor(seed: number, latency = 0.2) {
    this.random = new Random(seed);
    this.#latency = latency;
  }

  /** Random bytes for automata, from the wire's seed. */
  readonly fill = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.random.below(256);
  };

  join<T extends Station>(station: T): T {
    this.#stations.add(station);
    return station;
  }

  leave(station: Station): void {
    this.#stations.delete(station);
    this.#transit = this.#transit.filter(({ to }) => to !== station);
  }

  /** Sends a frame of `from` to all others. */
  send(from: Station | undefined, bytes: Uint8Array, offset = 0, length: number = bytes.length): void {
    if (!this.up) return;
    const frame = bytes.slice(offset, offset + length);
    this.sent++;
    this.tap?.(frame, from);
    for (const to of this.#stations) {
      if (to === from || this.filter?.(frame, from, to) === false) continue;
      this.#carry(to, frame);
    }
  }

  #carry(to: Station, frame: Uint8Array): void {
    const { loss = 0, duplication = 0, reorder = 0, damage = 0, noise = 0 } = this.weather;
    if (this.#chance(noise)) this.#arrive(to, this.#noise(frame), 0);
    if (this.#chance(loss)) return;
    const copies = this.#chance(duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = this.#chance(reorder) ? this.random.below(50) : 0;
      this.#arrive(to, this.#chance(damage) ? this.#damaged(frame) : frame, late);
    }
  }

  #arrive(to: Station, bytes: Uint8Array, late: number): void {
    const transit = { at: this.now + this.#latency + late, order: this.#order++, to, bytes };
    // Kept in the order of arrival; nearly all go to the end.
    let i = this.#transit.length;
    while (i > 0 && this.#transit[i - 1]!.at > transit.at) i--;
    this.#transit.splice(i, 0, transit);
  }

  #chance(share: number): boolean {
    return share > 0 && this.random.below(10_000) < share * 10_000;
  }

  /** A frame whose headers lead to somebody's session, with something else inside, or not even that. */
  #noise(frame: Uint8Array): Uint8Array {
    const keep = Math.min(frame.length, [0, 14, 20, 22, 26][this.random.below(5)]!);
    const bytes = this.random.bytes(keep + this.random.below(80));
    bytes.set(frame.subarray(0, Math.min(keep, bytes.length)));
    return bytes;
  }

  #damaged(frame: Uint8Array): Uint8Array {
    const bytes = frame.slice(
      0,
      this.random.below(4) === 0 ? this.random.below(frame.length + 1) : frame.length,
    );
    for (let i = this.random.below(4); i >= 0 && bytes.length > 0; i--) {
      bytes[this.random.below(bytes.length)] = this.random.below(256);
    }
    return bytes;
  }

  /** When something happens next; Infinity if nothing ever does. */
  get next(): number {
    let next = this.#transit[0]?.at ?? Number.POSITIVE_INFINITY;
    for (const station of this.#stations) next = Math.min(next, station.deadline);
    return next;
  }

  /** Lets time pass until `until`, or until `done` says so. @returns whether it said so. */
  run(until: number, done: () => boolean = () => false): boolean {
    while (!done()) {
      const { next } = this;
      if (next > until) {
        this.now = Math.max(this.now, until);
        return done();
      }
      this.now = Math.max(this.now, next);
      const transit = this.#transit[0];
      if (transit !== undefined && transit.at <= this.now) {
        this.#transit.shift();
        transit.to.input(transit.bytes, 0, transit.bytes.length, this.now);
        continue;
      }
      for (const station of this.#stations) if (station.deadline <= this.now) station.advance(this.now);
    }
    return true;
  }
}
