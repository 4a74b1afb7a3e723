import { BarewireError } from '../error.ts';

/** What `code` of a {@link ResolveError} can be: the codes of Node's own resolver. */
export type ResolveErrorCode = keyof typeof MEANINGS;

/** A name that could not be resolved. `code` is what Node's resolver would say, `stableCode` is Barewire's. */
export class ResolveError extends BarewireError {
  declare readonly code: ResolveErrorCode;
  /** Starts with `BW_`, and stays the same across releases. */
  readonly stableCode: string;
  readonly syscall: string = 'query';
  readonly hostname: string;

  constructor(code: ResolveErrorCode, hostname: string, cause?: unknown) {
    const [stable, meaning] = MEANINGS[code];
    super(code, `${code} ${hostname}: ${meaning}`, cause === undefined ? {} : { cause });
    this.stableCode = stable;
    this.hostname = hostname;
  }
}

const MEANINGS: {
  readonly [code in 'ENOTFOUND' | 'ENODATA' | 'EAI_AGAIN' | 'EBADNAME']: readonly [string, string];
} = {
  ENOTFOUND: ['BW_NAME_NOT_FOUND', 'the name does not exist'],
  ENODATA: ['BW_NO_RECORDS', 'the name has no address'],
  EAI_AGAIN: ['BW_NAME_SERVER', 'no name server gave an answer'],
  EBADNAME: ['BW_NAME', 'this cannot be the name of a host'],
};
