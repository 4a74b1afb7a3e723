import { Errno, type Fd, Readiness, rawSyscall, SYS, SystemError } from '../sys/index.ts';
import { InterfaceGoneError } from './error.ts';
import { type OwnPoller, watchAll } from './readable.ts';

/**
 * Who asks for packets, and when.
 *
 * - `nap`: looks a few times, then sleeps for about 100 microseconds, or 200 where so few packets come that there is room
 *   for them meanwhile. As fast as `spin` for a fraction of its CPU time.
 * - `spin`: looks all the time. A core for itself buys some microseconds of latency.
 * - `immediate`: looks once a turn of the event loop.
 * - `event`: sleeps until the kernel says there is something. No CPU time without packets, most CPU time per packet.
 *
 * All of them let the event loop run between slices of about two milliseconds.
 */
export type Driver = 'nap' | 'spin' | 'immediate' | 'event';

/** What is driven. */
export interface Driven {
  /** Receives, forwards or sends some packets and returns how many; 0 when there was nothing to do. */
  work(): number;
  /** The interface's name, for errors. */
  readonly name: string;
  /** Readable when there is work, for `event`. */
  readonly fds: readonly Fd[];
  /** How many packets may wait without any being lost, for `nap` to sleep longer. Default is to tell it nothing. */
  readonly room?: number;
  /** Whether to look again soon although no packet comes: something waits to be sent. Default is never. */
  unfinished?(): boolean;
}

export interface DriveOptions {
  /** Default is `nap`. */
  readonly driver?: Driver;
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
  /** How long `nap` sleeps at least, in microseconds; at most twice as long. Default is 100. */
  readonly nap?: number;
}

/** How much of the room long naps may be expected to fill. */
const ROOM_USED = 0.8;
/** Empty looks before a nap. */
const LOOKS = 20;
/** How long we may work before the event loop has its turn, in microseconds. */
const SLICE = 2000;
/** What is done between two looks at the clock, which cost a system call each, is set so that a slice has eight. */
const LOOK_LEAST = 512;
/** Seventeen batches of 64. Work that takes longer all of a sudden is noticed after so much of it. */
const LOOK_MOST = 8704;
/** What a look at a packet counts; an empty look counts one. */
const PACKET_COUNTS = 8;
/** What the event driver takes in one go, in packets, before other events have their turn. */
const EVENT_BUDGET = 16_384;

/**
 * Works until the signal is aborted. It resolves then, and rejects with what `work` throws; with `event` also with
 * InterfaceGoneError when the interface is deleted.
 */
export async function drive(driven: Driven, options: DriveOptions = {}): Promise<void> {
  const { driver = 'nap', signal } = options;
  if (driver === 'event') return driveByEvents(driven, signal);
  if (driver === 'immediate') return driveByTurns(() => driven.work(), signal);
  const clock = new SliceClock();
  if (driver === 'spin') return driveByTurns(() => spinSlice(driven, clock), signal);
  using sleeper = new Sleeper(options.nap ?? 100);
  await driveByTurns(() => napSlice(driven, sleeper, clock), signal);
}

/**
 * As `drive`, but never lets go of its thread: for workers, which do nothing else.
 *
 * @param stop Ends it when its first element, in shared memory, is no longer 0.
 */
export function driveBlocking(
  driven: Driven,
  stop: Int32Array,
  options: { readonly driver?: 'nap' | 'spin'; readonly nap?: number } = {},
): void {
  if (options.driver === 'spin') {
    while (Atomics.load(stop, 0) === 0) driven.work();
    return;
  }
  using sleeper = new Sleeper(options.nap ?? 100);
  const clock = new SliceClock();
  while (Atomics.load(stop, 0) === 0) napSlice(driven, sleeper, clock);
}

/** Does `slice` once a turn of the event loop. No promise a turn: that would be garbage a thousand times a second. */
function driveByTurns(slice: () => void, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const turn = (): void => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      try {
        slice();
      } catch (error) {
        reject(error as Error);
        return;
      }
      setImmediate(turn);
    };
    setImmediate(turn);
  });
}

/**
 * A nap costs its system call, two switches and a timer, in a virtual machine tens of microseconds: more than a hundred
 * packets do. So naps are twice as long where four fifths of the room suffice for what then comes.
 */
function napSlice(driven: Driven, sleeper: Sleeper, clock: SliceClock): void {
  clock.start();
  // Naps are their own clock.
  let naps = sleeper.perSlice;
  const room = driven.room ?? 0;
  let empty = 0;
  let untilClock = clock.every;
  for (;;) {
    const count = driven.work();
    if (count > 0) {
      empty = 0;
      sleeper.taken += count;
      // It was still coming in when the last nap was over: nothing is gained by waiting for the next one awake.
      if (naps < sleeper.perSlice) empty = LOOKS - 1;
      untilClock -= count * PACKET_COUNTS;
    } else if (++empty >= LOOKS) {
      naps -= sleeper.sleepFor(room);
      if (naps <= 0) return;
      // After a nap one empty look is enough to know that it is quiet.
      empty = LOOKS - 1;
      untilClock = clock.every;
    }
    if (--untilClock > 0) continue;
    if (clock.elapsed() >= SLICE) return;
    untilClock = clock.every;
  }
}

function spinSlice(driven: Driven, clock: SliceClock): void {
  clock.start();
  let untilClock = clock.every;
  for (;;) {
    untilClock -= 1 + driven.work() * PACKET_COUNTS;
    if (untilClock > 0) continue;
    if (clock.elapsed() >= SLICE) return;
    untilClock = clock.every;
  }
}

function driveByEvents(driven: Driven, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let pollers: readonly OwnPoller[] = [];
    let ended = false;
    let again: NodeJS.Immediate | undefined;
    let later: NodeJS.Timeout | undefined;
    const end = (error?: unknown): void => {
      if (ended) return;
      ended = true;
      for (const poller of pollers) poller.close();
      if (again !== undefined) clearImmediate(again);
      if (later !== undefined) clearTimeout(later);
      signal?.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(error as Error);
    };
    const onAbort = (): void => end();
    const slice = (): void => {
      if (ended) return;
      try {
        let budget = EVENT_BUDGET;
        let count = 1;
        while (count > 0 && budget > 0) {
          count = driven.work();
          budget -= count;
        }
        if (ended) return;
        if (count > 0) schedule();
        else if (driven.unfinished?.() === true) later ??= setTimeout(onTimer, 1);
      } catch (error) {
        end(error);
      }
    };
    const schedule = (): void => {
      again ??= setImmediate(() => {
        again = undefined;
        slice();
      });
    };
    const onTimer = (): void => {
      later = undefined;
      slice();
    };
    const onReady = (events: number): void => {
      // An interface that goes away puts its sockets in error, which libuv calls EBADF.
      if (events === -Errno.EBADF) end(new InterfaceGoneError(driven.name));
      else if (events < 0) end(new SystemError('uv_poll', -events, { doing: 'wait for packets' }));
      else slice();
    };
    if (signal?.aborted) return end();
    signal?.addEventListener('abort', onAbort);
    try {
      pollers = watchAll(driven.fds, Readiness.readable, onReady);
      // What came before the pollers did.
      schedule();
    } catch (error) {
      end(error);
    }
  });
}

const CLOCK_MONOTONIC = 1;
const PR_SET_TIMERSLACK = 29;
const PR_GET_TIMERSLACK = 30;

/** Sleeps for microseconds, as exactly as the kernel can: the usual slack of 50 would add half of it again. */
export class Sleeper implements Disposable {
  /** How many sleeps fill a slice. */
  readonly perSlice: number;
  /** Packets since the last sleep, for `sleepFor`. */
  taken = 0;
  #long = false;
  readonly #time: BigInt64Array;
  readonly #longTime: BigInt64Array;
  readonly #slack: number;

  /** @param microseconds How long a sleep is. */
  constructor(microseconds: number) {
    this.perSlice = Math.max(1, Math.floor(SLICE / microseconds));
    this.#time = timespec(microseconds);
    this.#longTime = timespec(2 * microseconds);
    this.#slack = rawSyscall(SYS.prctl, PR_GET_TIMERSLACK);
    rawSyscall(SYS.prctl, PR_SET_TIMERSLACK, 1);
  }

  /** Blocks the thread. */
  sleep(): void {
    rawSyscall(SYS.clock_nanosleep, CLOCK_MONOTONIC, 0, this.#time, null);
  }

  /**
   * Blocks the thread, twice as long where `room` packets may wait and not nearly so many are to be expected.
   *
   * @returns How many sleeps it was worth: 1 or 2.
   */
  sleepFor(room: number): number {
    const expected = this.#long ? this.taken : 2 * this.taken;
    this.taken = 0;
    this.#long = expected < room * ROOM_USED;
    if (!this.#long) {
      this.sleep();
      return 1;
    }
    rawSyscall(SYS.clock_nanosleep, CLOCK_MONOTONIC, 0, this.#longTime, null);
    return 2;
  }

  /** Gives the thread the slack that it had. */
  [Symbol.dispose](): void {
    rawSyscall(SYS.prctl, PR_SET_TIMERSLACK, this.#slack);
  }
}

/** `struct timespec`. */
function timespec(microseconds: number): BigInt64Array {
  return new BigInt64Array([
    BigInt(Math.floor(microseconds / 1e6)),
    BigInt(Math.round((microseconds % 1e6) * 1000)),
  ]);
}

/** How long a slice has lasted, without the heap number that each reading of `performance.now()` is. */
class SliceClock {
  /** `struct timespec`, each half a word: seconds @0, nanoseconds @2. */
  readonly #time: Int32Array = new Int32Array(4);
  /** How much is to be done before `elapsed` is asked again. */
  every: number = LOOK_LEAST;
  #seconds = 0;
  #nanoseconds = 0;
  #last = 0;

  start(): void {
    rawSyscall(SYS.clock_gettime, CLOCK_MONOTONIC, this.#time);
    this.#seconds = this.#time[0]!;
    this.#nanoseconds = this.#time[2]!;
    this.#last = 0;
  }

  /** Microseconds since `start`. */
  elapsed(): number {
    rawSyscall(SYS.clock_gettime, CLOCK_MONOTONIC, this.#time);
    const seconds = (this.#time[0]! - this.#seconds) | 0;
    const now = (seconds * 1_000_000 + (this.#time[2]! - this.#nanoseconds) / 1000) | 0;
    const took = (now - this.#last) | 0;
    this.#last = now;
    if (took > SLICE >> 1) this.every = Math.max(LOOK_LEAST, this.every >> 1);
    else if (took < SLICE >> 3) this.every = Math.min(LOOK_MOST, this.every << 1);
    return now;
  }
}
