/** What every Barewire error carries beside its message. */
export interface ErrorDetails {
  /** What the caller can do about it, as one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The base of every error that Barewire throws on purpose.
 *
 * `code` is stable across releases and starts with `BW_`; the message is for people and may change.
 */
export class BarewireError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
  }
}

/**
 * Bytes that do not follow their format: truncated, contradictory or hostile.
 *
 * Decoders throw this and nothing else, whatever they are fed.
 */
export class CodecError extends BarewireError {
  /** The format that was being read, as in `netlink` or `btf`. */
  readonly format: string;
  /** Where in the given bytes the fault lies, in bytes. */
  readonly offset: number;

  constructor(format: string, offset: number, problem: string, details: ErrorDetails = {}) {
    super('BW_CODEC', `${format}: ${problem} (at byte ${offset})`, details);
    this.format = format;
    this.offset = offset;
  }
}

/** An argument that cannot be what was meant: out of range, of the wrong shape, contradictory. */
export class ArgumentError extends BarewireError {
  constructor(message: string, details: ErrorDetails = {}) {
    super('BW_ARGUMENT', message, details);
  }
}
