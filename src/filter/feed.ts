import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BarewireError } from '../error.ts';
import { guessFormat } from '../policy/list.ts';
import type { Filter } from './filter.ts';
import type { Imported, ImportOptions } from './import.ts';

export interface FeedOptions extends ImportOptions {
  /** A path, or an http(s) URL. */
  readonly source: string;
  /** The list its entries are put on, so that nobody else's are touched. */
  readonly list: string;
  /** How often to look, in ms. Default is 2 s for a file, 10 s for CrowdSec's stream, 5 min for other URLs. */
  readonly interval?: number | undefined;
  /** CrowdSec's bouncer key, or a token; sent as `X-Api-Key`. */
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a look at a feed came to; a failure does not end the watch, and the list stays as it was. */
export type FeedReport =
  | ({ readonly ok: true } & Imported)
  | { readonly ok: false; readonly error: BarewireError };

/** Of a list over HTTP, in bytes. */
const MOST_BYTES = 512 * 1024 * 1024;
const TIMEOUT = 60_000;

/**
 * Follows a list: what is new on it is added, what is gone is taken off. Only entries on the feed's own list are
 * touched. Yields whenever it has changed, or could not be read.
 */
export async function* followFeed(filter: Filter, options: FeedOptions): AsyncGenerator<FeedReport> {
  const { source, signal } = options;
  const stream = isStream(source);
  const isUrl = /^https?:\/\//.test(source);
  const interval = options.interval ?? (stream ? 10_000 : isUrl ? 300_000 : 2000);
  let tag: string | undefined;
  let startup = true;
  for (;;) {
    let report: FeedReport | undefined;
    try {
      const read = isUrl
        ? await fetchList(startup && stream ? withStartup(source) : source, tag, options)
        : readFile(source, tag);
      if (read !== undefined) {
        const { text } = read;
        // The stream tells differences, but begins with everything; other lists always tell everything.
        const whole = !stream || startup;
        const imported = await filter.import(text, {
          ...options,
          name: source,
          format: options.format ?? (stream ? 'crowdsec' : guessFormat(text)),
          replace: whole,
        });
        tag = read.tag;
        startup = false;
        if (imported.added + imported.changed + imported.removed > 0 || whole)
          report = { ok: true, ...imported };
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof BarewireError)) throw error;
      report = { ok: false, error };
    }
    if (report !== undefined) yield report;
    try {
      await sleep(interval, undefined, signal === undefined ? {} : { signal });
    } catch {
      return;
    }
  }
}

interface Read {
  readonly text: Uint8Array;
  /** What tells this content from the next. */
  readonly tag: string | undefined;
}

function readFile(path: string, tag: string | undefined): Read | undefined {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    const now = `${mtimeMs}-${size}-${ino}`;
    if (now === tag) return undefined;
    return { text: readFileSync(path), tag: now };
  } catch (cause) {
    throw new BarewireError('BW_FEED', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** @throws BarewireError `BW_FEED`; the key is in no message. */
export async function fetchList(
  url: string,
  tag: string | undefined,
  { key, signal }: { readonly key?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<Read | undefined> {
  const timeout = AbortSignal.timeout(TIMEOUT);
  try {
    const answer = await fetch(url, {
      headers: {
        ...(key === undefined ? {} : { 'X-Api-Key': key }),
        ...(tag === undefined ? {} : { 'If-None-Match': tag }),
        'User-Agent': 'barewire',
      },
      // A key must not follow a redirect to somebody else.
      redirect: key === undefined ? 'follow' : 'error',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    if (answer.status === 304) return undefined;
    if (!answer.ok) {
      const hint =
        answer.status === 401 || answer.status === 403
          ? 'Give the key in a file (--key-file) or in BAREWIRE_FEED_KEY.'
          : undefined;
      throw new BarewireError(
        'BW_FEED',
        `${url} answered ${answer.status} ${answer.statusText}`,
        hint === undefined ? {} : { hint },
      );
    }
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of answer.body ?? []) {
      size += (part as Uint8Array).length;
      if (size > MOST_BYTES) throw new BarewireError('BW_FEED', `${url} is longer than ${MOST_BYTES} bytes`);
      parts.push(part as Uint8Array);
    }
    return { text: Buffer.concat(parts), tag: answer.headers.get('etag') ?? undefined };
  } catch (error) {
    if (error instanceof BarewireError) throw error;
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message;
    throw new BarewireError('BW_FEED', `${url} cannot be read: ${reason}`, { cause: error });
  }
}

/** CrowdSec's local API: `/v1/decisions/stream` tells differences from one question to the next. */
function isStream(source: string): boolean {
  return /^https?:\/\/[^?#]*\/decisions\/stream([?#]|$)/.test(source);
}

function withStartup(source: string): string {
  const url = new URL(source);
  url.searchParams.set('startup', 'true');
  return url.href;
}
