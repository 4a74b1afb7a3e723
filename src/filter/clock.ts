import { hrtime } from 'node:process';
import { LAST_SEEN_SHIFT } from '../policy/entry.ts';

/**
 * What CLOCK_MONOTONIC, by which the kernel's side goes, says at moments of the calendar. Taken once: a deadline and
 * what it was made from belong together even when somebody sets the calendar.
 */
export class Clock {
  /** In ms since 1970. */
  readonly now: number = Date.now();
  /** CLOCK_MONOTONIC at `now`, in ns; libuv's high-resolution time is that clock. */
  readonly monotonic: bigint = hrtime.bigint();

  /** A moment in ms since 1970 as a deadline in ns; never 0, which stands for none. */
  deadline(time: number): bigint {
    const deadline = this.monotonic + BigInt(Math.round((time - this.now) * 1000)) * 1000n;
    return deadline > 0n ? deadline : 1n;
  }

  /** A deadline in ms since 1970; undefined for none. */
  time(deadline: bigint): number | undefined {
    if (deadline === 0n) return undefined;
    return Math.round(this.now + Number((deadline - this.monotonic) / 1000n) / 1000);
  }

  /** An entry's `lastSeen` in ms since 1970; undefined for never. */
  lastSeen(steps: number): number | undefined {
    if (steps === 0) return undefined;
    return this.now + Number((BigInt(steps) << BigInt(LAST_SEEN_SHIFT)) - this.monotonic) / 1e6;
  }
}
