import { BarewireError } from '../error.ts';

/** Why something on the network did not work, with Node's own code and ours. */
const REASONS = {
  ECONNREFUSED: ['BW_REFUSED', 'the connection was refused'],
  ECONNRESET: ['BW_RESET', 'the connection was reset by the peer'],
  ECONNABORTED: ['BW_ABORTED', 'the connection was aborted'],
  ETIMEDOUT: ['BW_TIMEOUT', 'the peer did not answer in time'],
  EHOSTUNREACH: ['BW_UNREACHABLE', 'the host cannot be reached'],
  ENETUNREACH: ['BW_UNREACHABLE', 'the network cannot be reached'],
  ENETDOWN: ['BW_INTERFACE_CLOSED', 'the interface was taken away'],
  EADDRINUSE: ['BW_ADDRESS_IN_USE', 'the address is in use'],
  EADDRNOTAVAIL: ['BW_ADDRESS_NOT_AVAILABLE', 'the address is not available'],
  EPIPE: ['BW_SHUT_DOWN', 'nothing can be sent any more'],
  EMSGSIZE: ['BW_TOO_LONG', 'the message is too long'],
  ENOBUFS: ['BW_MEMORY', 'the memory set aside for the stack is used up'],
  EPROTO: ['BW_PROTOCOL', 'the answer does not follow its protocol'],
  ENOTFOUND: ['BW_NAME_NOT_FOUND', 'the name does not exist'],
  ENODATA: ['BW_NO_RECORDS', 'the name has no records of that type'],
  ESERVFAIL: ['BW_SERVER_FAILURE', 'the name server failed'],
  EREFUSED: ['BW_QUERY_REFUSED', 'the name server refused the query'],
} as const;

/** What `code` of a {@link NetError} can be: the codes that Node gives for its own sockets and resolver. */
export type NetErrorCode = keyof typeof REASONS;

export interface NetErrorDetails {
  /** What was being done, as in `connect`. */
  readonly syscall?: string;
  /** The peer's address, or the name that was asked for. */
  readonly address?: string;
  readonly port?: number;
  /** More than the code says. */
  readonly reason?: string;
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * Something on the network did not work.
 *
 * `code` is what Node's own sockets would say (`ECONNREFUSED`), so that existing code understands it; `stableCode` is
 * Barewire's (`BW_REFUSED`).
 */
export class NetError extends BarewireError {
  declare readonly code: NetErrorCode;
  /** Starts with `BW_`, and stays the same across releases. */
  readonly stableCode: string;
  readonly syscall: string | undefined;
  readonly address: string | undefined;
  readonly port: number | undefined;

  constructor(code: NetErrorCode, details: NetErrorDetails = {}) {
    const [stable, meaning] = REASONS[code];
    const { syscall, address, port, reason, hint, cause } = details;
    const peer =
      address === undefined
        ? ''
        : ` ${port === undefined ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`}`;
    super(code, `${syscall === undefined ? '' : `${syscall} `}${code}${peer}: ${reason ?? meaning}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(cause === undefined ? {} : { cause }),
    });
    this.stableCode = stable;
    this.syscall = syscall;
    this.address = address;
    this.port = port;
  }
}
