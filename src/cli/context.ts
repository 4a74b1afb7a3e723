import type { Output } from './output.ts';
import type { CommandGroup } from './table.ts';

/** What a handler gets beside its arguments. */
export interface Context {
  readonly output: Output;
  /**
   * Aborted by SIGINT, SIGTERM and SIGHUP, and when nobody reads the output any more. A handler then lets go of
   * what it holds and returns.
   */
  readonly signal: AbortSignal;
  readonly verbose: boolean;
  /** The whole table, for `help` and `completion`. */
  readonly root: CommandGroup;
}
