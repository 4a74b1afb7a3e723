import { Errno, type Fd, Readiness, rawSyscall, SYS, SystemError } from '../sys/index.ts';
import { InterfaceGoneError } from './error.ts';
import { type OwnPoller, watchAll } from './readable.ts';

/**
 * Who asks for packets, and when.
 *
 * - `nap`: looks a few times, then sleeps for about 100 microseconds. As fast as `spin` with a tenth of its CPU time.
 * - `spin`: looks all the time. A core for itself buys some microseconds of latency.
 * - `immediate`: looks once a turn of the event loop.
 * - `event`: sleeps until the kernel says there is something. No CPU time without packets, most CPU time per packet.
 *
 * All of them let the event loop run between slices of about a millisecond.
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
  /** Whether to look again soon although no packet comes: something waits to be sent. Default is never. */
  unfinished?(): boolean;
}

export interface DriveOptions {
  /** Default is `nap`. */
  readonly driver?: Driver;
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
  /** How long `nap` sleeps, in microseconds. Default is 100. */
  readonly nap?: number;
}

/** Empty looks before a nap. */
const LOOKS = 20;
/** Looks and packets between two turns of the event loop: 8 of a look and 1 of a packet make about a millisecond. */
const SLICE = 16_384;
const COST_OF_LOOK = 4;
/** A nap is worth this much of a slice. */
const COST_OF_NAP = 2048;

/**
 * Works until the signal is aborted. It resolves then, and rejects with what `work` throws; with `event` also with
 * InterfaceGoneError when the interface is deleted.
 */
export async function drive(driven: Driven, options: DriveOptions = {}): Promise<void> {
  const { driver = 'nap', signal } = options;
  if (driver === 'event') return driveByEvents(driven, signal);
  if (driver === 'nap') {
    using sleeper = new Sleeper(options.nap ?? 100);
    while (!signal?.aborted) {
      napSlice(driven, sleeper);
      await turn();
    }
    return;
  }
  while (!signal?.aborted) {
    if (driver === 'spin') spinSlice(driven);
    else driven.work();
    await turn();
  }
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
  while (Atomics.load(stop, 0) === 0) napSlice(driven, sleeper);
}

function napSlice(driven: Driven, sleeper: Sleeper): void {
  let empty = 0;
  for (let budget = SLICE; budget > 0; ) {
    const count = driven.work();
    budget -= COST_OF_LOOK + count;
    if (count > 0) {
      empty = 0;
    } else if (++empty >= LOOKS) {
      sleeper.sleep();
      budget -= COST_OF_NAP;
      // After a nap one empty look is enough to know that it is quiet.
      empty = LOOKS - 1;
    }
  }
}

function spinSlice(driven: Driven): void {
  for (let budget = SLICE; budget > 0; ) budget -= COST_OF_LOOK + driven.work();
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
        let budget = SLICE;
        let count = 1;
        while (count > 0 && budget > 0) {
          count = driven.work();
          budget -= COST_OF_LOOK + count;
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

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const CLOCK_MONOTONIC = 1;
const PR_SET_TIMERSLACK = 29;
const PR_GET_TIMERSLACK = 30;

/** Sleeps for microseconds, as exactly as the kernel can: the usual slack of 50 would add half of it again. */
export class Sleeper implements Disposable {
  readonly #time: BigInt64Array;
  readonly #slack: number;

  /** @param microseconds How long a sleep is. */
  constructor(microseconds: number) {
    this.#time = new BigInt64Array([
      BigInt(Math.floor(microseconds / 1e6)),
      BigInt(Math.round((microseconds % 1e6) * 1000)),
    ]);
    this.#slack = rawSyscall(SYS.prctl, PR_GET_TIMERSLACK);
    rawSyscall(SYS.prctl, PR_SET_TIMERSLACK, 1);
  }

  /** Blocks the thread. */
  sleep(): void {
    rawSyscall(SYS.clock_nanosleep, CLOCK_MONOTONIC, 0, this.#time, null);
  }

  /** Gives the thread the slack that it had. */
  [Symbol.dispose](): void {
    rawSyscall(SYS.prctl, PR_SET_TIMERSLACK, this.#slack);
  }
}
