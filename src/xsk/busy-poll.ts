import { ArgumentError } from '../error.ts';
import { callTo, type Fd } from '../sys/index.ts';
import type { NapiTiming } from './napi-settings.ts';
import { SO, SOL_SOCKET } from './uapi.ts';

/** The driver is polled from our own thread instead of by interrupts. */
export interface BusyPollOptions {
  /** How long one wake-up may poll, in microseconds. Default is 20. */
  readonly microseconds?: number;
  /** Packets that one wake-up may take. Default is 64. */
  readonly budget?: number;
  /**
   * Hold the card's interrupts back meanwhile: how many empty polls before they are switched on again, and after how
   * many ns without a poll the kernel polls by itself. Changed for the whole queue, and restored on close, or after a
   * crash by the next run. Of `openInterface` only; Linux 6.13. Default is to change nothing.
   */
  readonly interrupts?: NapiTiming;
}

/** Has the socket prefer busy polling (Linux 5.11). */
export function setBusyPoll(fd: Fd, options: BusyPollOptions): void {
  const { microseconds = 20, budget = 64 } = options;
  for (const [name, value] of Object.entries({ microseconds, budget })) {
    if (!Number.isInteger(value) || value < 1)
      throw new ArgumentError(`busyPoll.${name}: ${value} is not at least 1`);
  }
  for (const [option, value] of [
    [SO.preferBusyPoll, 1],
    [SO.busyPoll, microseconds],
    [SO.busyPollBudget, budget],
  ] as const) {
    const bytes = new Int32Array([value]);
    callTo(`set up busy polling on ${fd.what}`, 'setsockopt', fd.number, SOL_SOCKET, option, bytes, 4);
  }
}
