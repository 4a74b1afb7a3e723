import { openPinned } from '../bpf/pin.ts';
import { Program } from '../bpf/program.ts';
import type { XdpLink } from '../bpf/xdp-link.ts';
import { BarewireError } from '../error.ts';
import type { Fd } from '../sys/fd.ts';
import { Clock } from './clock.ts';
import { countEntries } from './edit.ts';
import { Generation } from './generation.ts';
import { takeLock } from './lock.ts';
import { Pins } from './pins.ts';
import type { Place } from './place.ts';
import { Saved } from './saved.ts';

/** How a guarded generation stands. */
export type GuardState = 'none' | 'pending' | 'expired';

/** A filter that runs, opened for a moment. */
export interface Live {
  readonly link: XdpLink;
  /** Whose program the link runs. */
  readonly generation: Generation;
  readonly guard: GuardState;
  /** While a guard is pending, the one that takes over otherwise. */
  readonly previous: Generation | undefined;
}

/** What of a place is open. */
export class Session implements Disposable {
  readonly place: Place;
  readonly pins: Pins;
  readonly saved: Saved;
  readonly clock: Clock = new Clock();
  live: Live | undefined;
  #lock: Fd | undefined;

  private constructor(place: Place) {
    this.place = place;
    this.pins = new Pins(place.pins);
    this.saved = new Saved(place.state);
  }

  /** To look at files alone. */
  static peek(place: Place): Session {
    return new Session(place);
  }

  /** To look, without a lock: what is pinned may be replaced meanwhile, which is tried again. */
  static read(place: Place): Session {
    for (let left = 20; ; left--) {
      const session = new Session(place);
      try {
        session.live = openLive(session.pins, session.clock);
        return session;
      } catch (error) {
        session.close();
        if (left === 0 || (error as BarewireError).code !== 'BW_NOT_FOUND') throw error;
      }
    }
  }

  /** To change: alone, and what a death in the middle of an earlier change has left is put in order first. */
  static change(
    place: Place,
    tolerance: 'of this version' | 'of whatever version' = 'of this version',
  ): Session {
    const session = new Session(place);
    session.#lock = takeLock(place.lock);
    try {
      session.#recover();
      return session;
    } catch (error) {
      const { code } = error as BarewireError;
      // What another version pinned can still be taken away.
      if (tolerance === 'of whatever version' && (code === 'BW_PIN_VERSION' || code === 'BW_PIN_MISMATCH'))
        return session;
      session.close();
      throw error;
    }
  }

  /** The filter that runs. @throws BarewireError `BW_NOT_ATTACHED`. */
  require(): Live {
    if (this.live !== undefined) return this.live;
    const saved = this.saved.current !== undefined;
    const { interface: name, netns } = this.place;
    const where = netns === undefined ? '' : ` --netns ${netns}`;
    throw new BarewireError('BW_NOT_ATTACHED', `no filter is attached to ${this.place.key}`, {
      hint: `${saved ? 'Its list is saved: ' : ''}barewire filter attach ${name}${where} attaches one.`,
    });
  }

  close(): void {
    this.live?.generation.close();
    this.live?.previous?.close();
    this.live?.link.close();
    this.live = undefined;
    this.#lock?.close();
    this.#lock = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #recover(): void {
    this.live = openLive(this.pins, this.clock);
    if (this.live === undefined) {
      // Torsos of an attachment that did not come to pass, or of an interface that has gone.
      if (this.pins.generations().length > 0) this.pins.removeAll();
      const { current } = this.saved;
      if (current !== undefined) this.saved.keepOnly([current]);
      return;
    }
    if (this.live.guard === 'expired') {
      this.#goBack(this.live);
      this.#recover();
      return;
    }
    const { generation, previous } = this.live;
    const kept = [generation, ...(previous === undefined ? [] : [previous])];
    this.pins.keepOnly(kept.map(({ number }) => number));
    for (const each of kept) if (each.fill.dirty) this.mend(each);
    // Confirmed in the kernel, and then somebody died.
    if (
      this.live.guard === 'none' &&
      generation.fill.log !== this.saved.current &&
      generation.fill.log !== 0n
    ) {
      this.saved.setCurrent(generation.fill.log);
    }
    this.saved.keepOnly([
      ...kept.map(({ fill }) => fill.log),
      ...(this.saved.current === undefined ? [] : [this.saved.current]),
    ]);
  }

  /** The guard has had its way in the kernel: makes it so here, that the next change starts from what decides. */
  #goBack({ generation, previous, link }: Live): void {
    if (previous === undefined) {
      link.detach();
      this.pins.removeAll();
    } else {
      const path = this.pins.path(previous.number, 'program');
      using program = Program.fromFd(openPinned(path, `the program at ${path}`));
      link.update(program);
      this.pins.removeGeneration(generation.number);
    }
    generation.close();
    previous?.close();
    link.close();
    this.live = undefined;
  }

  /** Counts a generation's tables and writes its file anew: the kernel's side is what holds. */
  mend(generation: Generation): void {
    for (const table of generation.tables) {
      generation.fill.set(table, countEntries(generation.table(table.name)));
    }
    this.save(generation);
  }

  /** Writes a generation's file anew; it is the filter's file unless the generation is still to be confirmed. */
  save(generation: Generation): void {
    const { fill } = generation;
    fill.dirty = true;
    this.saved.write(generation, this.clock);
    if (
      generation.record.guard === undefined ||
      this.live?.guard !== 'pending' ||
      generation === this.live.previous
    )
      this.saved.setCurrent(fill.log);
    fill.dirty = false;
  }
}

function openLive(pins: Pins, clock: Clock): Live | undefined {
  const link = pins.openLink();
  if (link === undefined) return undefined;
  let generation: Generation | undefined;
  try {
    const number = pins.living(link);
    if (number === undefined) {
      throw new BarewireError(
        'BW_PIN_VERSION',
        `the link pinned at ${pins.folder} runs a program that is not pinned beside it`,
        { hint: 'Somebody else put it there; `filter detach` takes it off.' },
      );
    }
    generation = Generation.open(pins, number);
    const guard = guardState(generation, clock);
    const before = generation.record.guard?.previous;
    const previous = guard === 'none' || before === undefined ? undefined : Generation.open(pins, before);
    return { link, generation, guard, previous };
  } catch (error) {
    generation?.close();
    link.close();
    throw error;
  }
}

function guardState(generation: Generation, clock: Clock): GuardState {
  if (generation.record.guard === undefined) return 'none';
  const deadline = generation.guardDeadline();
  if (deadline === 0n) return 'none';
  return clock.monotonic >= deadline ? 'expired' : 'pending';
}
