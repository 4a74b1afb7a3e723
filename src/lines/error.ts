import { BarewireError, type ErrorDetails } from '../error.ts';

/** A line that has no session: its connections end with this, and new ones fail with it. */
export class LineDownError extends BarewireError {
  /** The line's name. */
  readonly line: string;

  constructor(line: string, details: ErrorDetails = {}) {
    super('BW_LINE_DOWN', `${line} is down`, details);
    this.line = line;
  }
}
