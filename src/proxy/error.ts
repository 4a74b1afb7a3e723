import { BarewireError, type ErrorDetails } from '../error.ts';

/** What a client is told when the proxy cannot or will not serve it. */
export type ProxyErrorCode =
  | 'BW_PROXY_REQUEST'
  | 'BW_PROXY_HEADERS'
  | 'BW_PROXY_AUTHENTICATION'
  | 'BW_PROXY_DESTINATION'
  | 'BW_PROXY_LIMIT'
  | 'BW_PROXY_NO_EXIT'
  | 'BW_PROXY_EXIT_GONE'
  | 'BW_PROXY_NAME'
  | 'BW_PROXY_REFUSED'
  | 'BW_PROXY_UNREACHABLE'
  | 'BW_PROXY_NETWORK'
  | 'BW_PROXY_TIMEOUT'
  | 'BW_PROXY_UPSTREAM'
  | 'BW_PROXY_COMMAND'
  | 'BW_PROXY_ADDRESS_TYPE';

/** A request that a proxy does not serve, with the answer for each of its protocols. */
export class ProxyError extends BarewireError {
  declare readonly code: ProxyErrorCode;

  constructor(
    code: ProxyErrorCode,
    message: string,
    details: { readonly hint?: string | undefined; readonly cause?: unknown } = {},
  ) {
    const given: ErrorDetails = {
      ...(details.hint === undefined ? {} : { hint: details.hint }),
      ...(details.cause === undefined ? {} : { cause: details.cause }),
    };
    super(code, message, given);
  }

  /** HTTP's status code. */
  get status(): number {
    return ANSWERS[this.code].status;
  }

  /** SOCKS5's reply field, RFC 1928 section 6. */
  get reply(): number {
    return ANSWERS[this.code].reply;
  }
}

/** As it is, or for what a connection or a resolver failed with, the proxy's error with that as its cause. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  const code = (error as { code?: unknown } | undefined)?.code;
  const known = typeof code === 'string' ? FAILURES[code] : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return new ProxyError(known ?? 'BW_PROXY_UPSTREAM', message, { cause: error });
}

/** RFC 1928 section 6's replies. */
const GENERAL_FAILURE = 1;
const NOT_ALLOWED = 2;
const NETWORK_UNREACHABLE = 3;
const HOST_UNREACHABLE = 4;
const CONNECTION_REFUSED = 5;
const TTL_EXPIRED = 6;
const COMMAND_NOT_SUPPORTED = 7;
const ADDRESS_TYPE_NOT_SUPPORTED = 8;

const ANSWERS: Readonly<Record<ProxyErrorCode, { readonly status: number; readonly reply: number }>> = {
  BW_PROXY_REQUEST: { status: 400, reply: GENERAL_FAILURE },
  BW_PROXY_HEADERS: { status: 431, reply: GENERAL_FAILURE },
  BW_PROXY_AUTHENTICATION: { status: 407, reply: NOT_ALLOWED },
  BW_PROXY_DESTINATION: { status: 403, reply: NOT_ALLOWED },
  BW_PROXY_LIMIT: { status: 429, reply: NOT_ALLOWED },
  BW_PROXY_NO_EXIT: { status: 503, reply: GENERAL_FAILURE },
  BW_PROXY_EXIT_GONE: { status: 503, reply: GENERAL_FAILURE },
  BW_PROXY_NAME: { status: 502, reply: HOST_UNREACHABLE },
  BW_PROXY_REFUSED: { status: 502, reply: CONNECTION_REFUSED },
  BW_PROXY_UNREACHABLE: { status: 502, reply: HOST_UNREACHABLE },
  BW_PROXY_NETWORK: { status: 502, reply: NETWORK_UNREACHABLE },
  BW_PROXY_TIMEOUT: { status: 504, reply: TTL_EXPIRED },
  BW_PROXY_UPSTREAM: { status: 502, reply: GENERAL_FAILURE },
  BW_PROXY_COMMAND: { status: 501, reply: COMMAND_NOT_SUPPORTED },
  BW_PROXY_ADDRESS_TYPE: { status: 400, reply: ADDRESS_TYPE_NOT_SUPPORTED },
};

/** Node's codes. */
const FAILURES: Readonly<Record<string, ProxyErrorCode>> = {
  ECONNREFUSED: 'BW_PROXY_REFUSED',
  EHOSTUNREACH: 'BW_PROXY_UNREACHABLE',
  EHOSTDOWN: 'BW_PROXY_UNREACHABLE',
  ENETUNREACH: 'BW_PROXY_NETWORK',
  ENETDOWN: 'BW_PROXY_NETWORK',
  ETIMEDOUT: 'BW_PROXY_TIMEOUT',
  ENOTFOUND: 'BW_PROXY_NAME',
  ENODATA: 'BW_PROXY_NAME',
  EAI_AGAIN: 'BW_PROXY_NAME',
  BW_LINE_DOWN: 'BW_PROXY_EXIT_GONE',
};
