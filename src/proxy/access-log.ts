/** One served or refused request, as the access log has it. Neither passwords nor what was said appear in it. */
export interface AccessRecord {
  /** ISO 8601, when it began. */
  readonly time: string;
  readonly client: string;
  readonly protocol: 'connect' | 'http' | 'socks5' | 'socks5-udp';
  readonly user?: string | undefined;
  readonly session?: string | undefined;
  /** `host:port`. */
  readonly destination?: string | undefined;
  readonly exit?: string | undefined;
  /** The address that the destination saw. */
  readonly address?: string | undefined;
  /** HTTP's status towards the client, for SOCKS its reply. */
  readonly status: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** In ms. */
  readonly duration: number;
  /** A stable code and what happened, when it went wrong. */
  readonly error?: string | undefined;
}

export type AccessLog = (record: AccessRecord) => void;

/** An error as the log has it. */
export function describeError(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  const message = error instanceof Error ? error.message : String(error);
  return typeof code === 'string' ? `${code}: ${message}` : message;
}
