import type { SourceLine } from '../asm/instruction.ts';
import { BarewireError } from '../error.ts';

/**
 * A function that cannot become an XDP program, with the place and what to write instead.
 *
 * `code` is `BW_COMPILE`. The message shows the line with a caret below the column; `reason` and `instead` are
 * its two sentences alone.
 */
export class CompileError extends BarewireError {
  /** The program's name. */
  readonly program: string;
  /** The offending place; `column` counts from 1. */
  readonly at: SourceLine;
  /** What is wrong, as one sentence. */
  readonly reason: string;
  /** What to write instead, as one sentence. */
  readonly instead: string;

  constructor(program: string, at: SourceLine, caret: number, reason: string, instead: string) {
    const shown = `  ${at.text}\n  ${' '.repeat(caret)}^`;
    super('BW_COMPILE', `${at.file}:${at.line}:${at.column}: ${reason}\n${shown}\n  ${instead}`, {
      hint: instead,
    });
    this.program = program;
    this.at = at;
    this.reason = reason;
    this.instead = instead;
  }
}

/** A fault at a character of the function's text; the driver turns it into a {@link CompileError}. */
export class Fault extends Error {
  readonly position: number;
  readonly instead: string;
  /** Shows its place in the source; set where the sources are known. */
  explain?: () => CompileError;

  constructor(position: number, reason: string, instead: string) {
    super(reason);
    this.position = position;
    this.instead = instead;
  }
}

/** A loop that is longer than a verifier follows, were it to follow each iteration. */
export class TooLong extends Fault {}
