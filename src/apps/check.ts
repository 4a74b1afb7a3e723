/**
 * How one finding bears on what one wants to do:
 * - `ok`: as it should be;
 * - `fact`: neither good nor bad;
 * - `warning`: works, with a limit;
 * - `blocks`: keeps the driver mode from an interface, the generic mode works;
 * - `fails`: nothing works before it is mended.
 */
export type CheckState = 'ok' | 'fact' | 'warning' | 'blocks' | 'fails';

export interface Check {
  /** Stable, for programs, as in `bpffs`. */
  readonly id: string;
  readonly state: CheckState;
  readonly finding: string;
  /** What mends it: a command where there is one. */
  readonly remedy?: string;
}

export function check(id: string, state: CheckState, finding: string, remedy?: string): Check {
  return { id, state, finding, ...(remedy === undefined ? {} : { remedy }) };
}
