import type { Duplex } from 'node:stream';
import { tryParseIp } from '../address/index.ts';
import type { Line, LineTarget } from './line.ts';

export interface DialOptions {
  readonly signal?: AbortSignal | undefined;
  /** Judges every address before a packet leaves for it, by throwing. Default is that all will do. */
  readonly judge?: ((address: string) => void) | undefined;
  /** Keep the own side open after the peer has ended its. Default is false. */
  readonly allowHalfOpen?: boolean;
}

/** How long an address has before the next is tried beside it, in ms: RFC 8305 section 5. */
const ATTEMPT_DELAY = 250;

/**
 * A connection through a line to a name or an address. Of several addresses each is tried after the last has failed
 * or kept silent for a while; the first that answers is taken, the others are closed (RFC 8305, all on one line).
 *
 * @throws With Node's codes, the first attempt's when all fail.
 */
export async function dial(
  line: Line,
  host: string,
  port: number,
  options: DialOptions = {},
): Promise<Duplex> {
  const { signal, judge, allowHalfOpen = false } = options;
  const given = signal === undefined ? {} : { signal };
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  const addresses = tryParseIp(bare) === undefined ? await line.resolve(bare, given) : [bare];
  // All of them, before a packet leaves: a name with one public and one private address is a way to probe the latter.
  for (const address of addresses) judge?.(address);
  const [only] = addresses;
  if (only !== undefined && addresses.length === 1) {
    return await line.connect({ host: only, port, allowHalfOpen, ...given });
  }
  return await race(line, addresses, { port, allowHalfOpen, ...given });
}

async function race(
  line: Line,
  addresses: readonly string[],
  target: Omit<LineTarget, 'host'>,
): Promise<Duplex> {
  const over = new AbortController();
  const signal = target.signal === undefined ? over.signal : AbortSignal.any([over.signal, target.signal]);
  const failures: unknown[] = [];
  let won = false;
  let next = 0;
  return await new Promise<Duplex>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const attempt = (): void => {
      clearTimeout(timer);
      const host = addresses[next++];
      if (host === undefined || won) return;
      if (next < addresses.length) timer = setTimeout(attempt, ATTEMPT_DELAY);
      line.connect({ ...target, host, signal }).then(
        (stream) => {
          if (won) {
            stream.destroy();
            return;
          }
          won = true;
          clearTimeout(timer);
          resolve(stream);
          over.abort();
        },
        (error: unknown) => {
          if (won) return;
          failures.push(error);
          if (failures.length === addresses.length) reject(failures[0]);
          else attempt();
        },
      );
    };
    attempt();
  });
}
