import { type IpVersion, tryParseIp } from '../address/index.ts';
import { type DnsQuestion, emitDns } from '../packet/index.ts';
import { answers, judge, type Verdict } from './answer.ts';
import { AnswerCache, type CachedAnswer } from './cache.ts';
import { ResolveError } from './error.ts';

/** How queries travel: over a line, a stack of one's own, a bound socket. It has the clock, too. */
export interface DnsTransport {
  /**
   * Sends a query as a datagram from a port of its own that nobody can foresee (RFC 5452 section 9.2).
   *
   * @param accept Told of every datagram from that server; the one it accepts is the answer, others are not.
   * @returns The accepted datagram.
   * @throws When none came in time, or nothing can be sent.
   */
  exchange(
    server: string,
    query: Uint8Array,
    accept: (answer: Uint8Array) => boolean,
    options: ExchangeOptions,
  ): Promise<Uint8Array>;
  /** The same over TCP (RFC 7766), without its two bytes of length. */
  exchangeStream(server: string, query: Uint8Array, options: ExchangeOptions): Promise<Uint8Array>;
}

export interface ExchangeOptions {
  /** In ms. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ResolverOptions {
  /** Addresses of the name servers at this moment; a line's may change with its address. */
  readonly servers: () => readonly string[];
  readonly transport: DnsTransport;
  /** In ms, of a clock that never goes back. */
  readonly now: () => number;
  /** Sixteen unforeseeable bits. */
  readonly random16: () => number;
  /** Which addresses are of use at this moment, those to try first in front. Default is IPv4 alone. */
  readonly versions?: () => readonly IpVersion[];
  /** For one server's answer, in ms. Default is 2 s. */
  readonly timeout?: number;
  /** Rounds over all servers. Default is 2. */
  readonly rounds?: number;
  /** Answers that are remembered. Default is 1,000. */
  readonly cacheSize?: number;
}

/** In bytes. What crosses the Internet unfragmented: DNS Flag Day 2020. */
const UDP_PAYLOAD = 1232;
/** Aliases that lead from answer to answer. */
const MAX_HOPS = 8;

/**
 * Looks names up at given servers over a given transport, and nowhere else: no hosts file, no search list, no server
 * of the machine's. What the machine itself would do is how lookups leave by another line.
 */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #cache: AnswerCache;
  readonly #pending = new Map<string, Promise<CachedAnswer>>();

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.cacheSize ?? 1000);
  }

  /**
   * A host's addresses, those to try first in front. An address is its own answer.
   *
   * @throws ResolveError
   */
  async resolve(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    if (tryParseIp(name) !== undefined) return [name];
    const host = name.toLowerCase().replace(/\.$/, '');
    if (!isHostName(host)) throw new ResolveError('EBADNAME', name);
    const versions = this.#options.versions?.() ?? [4];
    const found = await Promise.allSettled(
      versions.map((version) => this.#lookUp(host, version === 4 ? 'A' : 'AAAA', options.signal)),
    );
    const lists = found.map((one) => (one.status === 'fulfilled' ? [...one.value.addresses] : []));
    const addresses = interleave(lists);
    if (addresses.length > 0) return addresses;
    const failure = found.find((one) => one.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
    const missing = found.some((one) => one.status === 'fulfilled' && one.value.missing);
    throw new ResolveError(missing ? 'ENOTFOUND' : 'ENODATA', name);
  }

  /** Forgets every answer, as after a change of line. */
  clear(): void {
    this.#cache.clear();
  }

  /** Several who ask the same at a time share one query. */
  async #lookUp(host: string, type: 'A' | 'AAAA', signal: AbortSignal | undefined): Promise<CachedAnswer> {
    const key = `${type} ${host}`;
    const known = this.#cache.get(key, this.#options.now());
    if (known !== undefined) return known;
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      pending = this.#follow(host, type).finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    return await abortable(pending, signal);
  }

  async #follow(host: string, type: 'A' | 'AAAA'): Promise<CachedAnswer> {
    let name = host;
    let ttl = Number.POSITIVE_INFINITY;
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const verdict = await this.#ask({ name, type }, host);
      if (verdict.kind === 'alias') {
        name = verdict.name.toLowerCase().replace(/\.$/, '');
        ttl = Math.min(ttl, verdict.ttl);
        continue;
      }
      if (verdict.kind !== 'addresses' && verdict.kind !== 'none') break;
      const answer = {
        addresses: verdict.kind === 'addresses' ? verdict.addresses : [],
        missing: verdict.kind === 'none' && verdict.missing,
      };
      const now = this.#options.now();
      this.#cache.put(`${type} ${host}`, answer, Math.min(ttl, verdict.ttl), now);
      return { ...answer, until: now };
    }
    throw new ResolveError('EAI_AGAIN', host);
  }

  async #ask(question: DnsQuestion, host: string): Promise<Verdict> {
    const { servers, rounds = 2 } = this.#options;
    let cause: unknown = new Error('there is no name server');
    for (let round = 0; round < rounds; round++) {
      for (const server of servers()) {
        try {
          const verdict = await this.#askServer(server, question);
          if (verdict.kind !== 'failed') return verdict;
          cause = new Error(`${server} answered with response code ${verdict.responseCode}`);
        } catch (error) {
          cause = error;
        }
      }
    }
    throw new ResolveError('EAI_AGAIN', host, cause);
  }

  async #askServer(server: string, question: DnsQuestion): Promise<Verdict> {
    const { transport, timeout = 2000, random16 } = this.#options;
    const id = random16();
    const buffer = new Uint8Array(512);
    const length = emitDns(buffer, 0, {
      id,
      recursionDesired: true,
      questions: [question],
      edns: { udpPayloadSize: UDP_PAYLOAD },
    });
    const query = buffer.subarray(0, length);
    const accept = (bytes: Uint8Array): boolean => answers(bytes, id, question) !== undefined;
    const verdict = this.#judge(await transport.exchange(server, query, accept, { timeout }), id, question);
    if (verdict.kind !== 'truncated') return verdict;
    return this.#judge(await transport.exchangeStream(server, query, { timeout }), id, question);
  }

  #judge(bytes: Uint8Array, id: number, question: DnsQuestion): Verdict {
    const message = answers(bytes, id, question);
    return message === undefined ? { kind: 'failed', responseCode: 1 } : judge(message, question);
  }
}

/** Letters, digits, hyphens and, as names in use have them, underscores (RFC 1123 section 2.1). */
function isHostName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name);
}

/** One of each list in turn, so that a version that does not work costs one attempt (RFC 8305 section 4). */
function interleave(lists: readonly (readonly string[])[]): string[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
