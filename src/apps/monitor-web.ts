import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { type AddressInfo, isIP } from 'node:net';
import { ArgumentError, BarewireError } from '../error.ts';
import { rateOf } from './counts.ts';
import type { DirectionCounts, MonitorReport } from './monitor.ts';
import { type MonitorFilter, NO_FILTER, parseMonitorFilter } from './monitor-filter.ts';
import { summarize } from './monitor-summary.ts';
import { MONITOR_SORTS, MONITOR_VIEWS, type MonitorSort, type MonitorView } from './monitor-words.ts';

export interface MonitorWebOptions {
  /** What the page says above its charts. */
  readonly interface: string;
  readonly seen: string;
  readonly notes: readonly string[];
  /** An IP address to listen on. Default is 127.0.0.1. */
  readonly host?: string;
  /** Default is 0: one that is free. */
  readonly port?: number;
  /** Most talkers that are shown. Default is 30. */
  readonly top?: number;
}

/** Readings that a page gets when it is opened. */
const HISTORY = 600;
/** Pages at once. */
const MOST_CLIENTS = 16;
/** What may wait for a page that reads slowly, in bytes, before it is let go. */
const MOST_WAITING = 1024 * 1024;

/**
 * A page with live charts and talkers for browsers, on the loopback address unless told otherwise.
 *
 * Nobody gets anything but with the token, which is in the address that `url` gives: a new one of 256 random bits for
 * each server. The page takes it once and turns it into a cookie. Everything that it needs comes from here.
 */
export class MonitorWeb implements AsyncDisposable {
  /** Where the page is, the token included. */
  readonly url: string;
  readonly #server: Server;
  readonly #options: MonitorWebOptions;
  readonly #secret: Buffer;
  readonly #token: string;
  readonly #cookie: string;
  readonly #clients = new Set<Client>();
  readonly #history: Point[] = [];
  #latest: MonitorReport | undefined;
  #drops: readonly string[] = [];

  private constructor(server: Server, options: MonitorWebOptions, token: string) {
    this.#server = server;
    this.#options = options;
    this.#token = token;
    this.#secret = digest(token);
    const { address, family, port } = server.address() as AddressInfo;
    // Cookies know no ports: two servers on one address must not overwrite each other's.
    this.#cookie = `barewire-${port}`;
    this.url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/?token=${token}`;
    server.on('request', (request, response) => this.#answer(request, response));
  }

  /** @throws ArgumentError for a host that is no address; BarewireError `BW_LISTEN` when it cannot be listened on. */
  static async open(options: MonitorWebOptions): Promise<MonitorWeb> {
    const { host = '127.0.0.1', port = 0 } = options;
    if (isIP(host) === 0) {
      throw new ArgumentError(`'${host}' is not an IP address to listen on`, {
        hint: 'Write it as in 127.0.0.1 or ::1.',
      });
    }
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 8192 });
    server.maxConnections = 4 * MOST_CLIENTS;
    server.listen(port, host);
    try {
      await once(server, 'listening');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new BarewireError('BW_LISTEN', `cannot listen on ${host} port ${port}: ${message}`, {
        hint: code === 'EADDRINUSE' ? 'Leave the port out: a free one is taken.' : 'Choose another address.',
      });
    }
    return new MonitorWeb(server, options, randomBytes(32).toString('base64url'));
  }

  /** Pages that are open. */
  get clients(): number {
    return this.#clients.size;
  }

  /** Shows a reading on every page. */
  publish(report: MonitorReport): void {
    this.#latest = report;
    this.#history.push(pointOf(report));
    if (this.#history.length > HISTORY) this.#history.shift();
    for (const client of this.#clients) this.#tell(client, 'reading', this.#summary(report, client));
  }

  /** Shows what a filter dropped, the newest first. */
  publishDrops(lines: readonly string[]): void {
    const same = lines.length === this.#drops.length && lines[0] === this.#drops[0];
    this.#drops = [...lines];
    if (same) return;
    for (const client of this.#clients) this.#tell(client, 'drops', lines);
  }

  /** Ends every page's connection and stops listening. */
  async close(): Promise<void> {
    for (const client of this.#clients) client.response.end();
    this.#clients.clear();
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (!isOurHost(request.headers.host)) {
      say(response, 421, 'Open the address that barewire printed.');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      say(response, 405, 'There is only something to look at.');
      return;
    }
    let url: URL;
    try {
      url = new URL(request.url ?? '/', 'http://localhost');
    } catch {
      say(response, 400, 'This is no address.');
      return;
    }
    const given = url.searchParams.get('token');
    if (given !== null && this.#knows(given)) {
      response.setHeader('Set-Cookie', `${this.#cookie}=${this.#token}; Path=/; HttpOnly; SameSite=Strict`);
      response.setHeader('Location', '/');
      say(response, 303, 'Go on to /.');
      return;
    }
    if (!this.#knows(cookieOf(request, this.#cookie))) {
      say(response, 403, 'The address that barewire printed has the token: open that one.');
      return;
    }
    if (url.pathname === '/events') this.#stream(url.searchParams, request, response);
    else serve(url.pathname, request, response);
  }

  /** Takes as long for a wrong one as for the right one, wherever it differs. */
  #knows(token: string): boolean {
    return timingSafeEqual(digest(token), this.#secret);
  }

  #stream(asked: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    if (this.#clients.size >= MOST_CLIENTS) {
      say(response, 503, 'Too many pages are open.');
      return;
    }
    let filter = NO_FILTER;
    let problem: string | undefined;
    try {
      filter = parseMonitorFilter((asked.get('filter') ?? '').slice(0, 200));
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      problem = `${error.message}${error.hint === undefined ? '' : `. ${error.hint}`}`;
    }
    const view = MONITOR_VIEWS.find((name) => name === asked.get('view')) ?? 'flows';
    const sort = MONITOR_SORTS.find((name) => name === asked.get('sort')) ?? 'bits';
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const client: Client = { response, view, sort, filter };
    this.#clients.add(client);
    response.on('close', () => this.#clients.delete(client));
    const { interface: name, seen, notes } = this.#options;
    const before = this.#latest === undefined ? this.#history : this.#history.slice(0, -1);
    this.#tell(client, 'begin', { interface: name, seen, notes, history: before });
    if (problem !== undefined) this.#tell(client, 'problem', problem);
    if (this.#drops.length > 0) this.#tell(client, 'drops', this.#drops);
    if (this.#latest !== undefined) this.#tell(client, 'reading', this.#summary(this.#latest, client));
  }

  #summary(report: MonitorReport, { view, sort, filter }: Client): object {
    return summarize(report, { view, sort, filter, top: this.#options.top ?? 30 });
  }

  #tell(client: Client, event: string, value: unknown): void {
    if (client.response.writableLength > MOST_WAITING) {
      this.#clients.delete(client);
      client.response.destroy();
      return;
    }
    // Counters beyond 2^53 would not survive in a browser's numbers anyway.
    const text = JSON.stringify(value, (_, part: unknown) =>
      typeof part === 'bigint' ? Number(part) : part,
    );
    client.response.write(`event: ${event}\ndata: ${text}\n\n`);
  }
}

/** A page that is open, and what it looks at. */
interface Client {
  readonly response: ServerResponse;
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly filter: MonitorFilter;
}

/** One moment of the charts. */
interface Point {
  /** In seconds since 1970. */
  readonly time: number;
  readonly in: { readonly bits: number; readonly packets: number } | undefined;
  readonly out: { readonly bits: number; readonly packets: number } | undefined;
}

function pointOf({ time, span, in: received, out }: MonitorReport): Point {
  const rates = (direction: DirectionCounts | undefined): Point['in'] => {
    if (direction === undefined) return undefined;
    const { bitsPerSecond, packetsPerSecond } = rateOf(direction.before.total, direction.counts.total, span);
    return { bits: bitsPerSecond, packets: packetsPerSecond };
  };
  return { time: time.getTime() / 1000, in: rates(received), out: rates(out) };
}

/** Nothing from elsewhere, in no frame, and nothing kept. */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** A name that somebody else's DNS may lead here is not ours (DNS rebinding); addresses and localhost are. */
function isOurHost(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || isIP(name) !== 0;
}

function cookieOf(request: IncomingMessage, name: string): string {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name) return value ?? '';
  }
  return '';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

/** Files of the page, by the path they are asked for. */
const ROOT = new URL('../../../', import.meta.url);
const require = createRequire(import.meta.url);
const FILES: Readonly<Record<string, { readonly type: string; read(): Buffer }>> = {
  '/': { type: 'text/html', read: () => readFileSync(new URL('web/monitor/index.html', ROOT)) },
  '/page.css': { type: 'text/css', read: () => readFileSync(new URL('web/monitor/page.css', ROOT)) },
  '/page.js': {
    type: 'text/javascript',
    read: () => readFileSync(new URL('dist/web/monitor/page.js', ROOT)),
  },
  '/uPlot.min.css': {
    type: 'text/css',
    read: () => readFileSync(require.resolve('uplot/dist/uPlot.min.css')),
  },
  '/uPlot.iife.min.js': {
    type: 'text/javascript',
    read: () => readFileSync(require.resolve('uplot/dist/uPlot.iife.min.js')),
  },
};

function serve(path: string, request: IncomingMessage, response: ServerResponse): void {
  const file = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
  if (file === undefined) {
    say(response, 404, 'There is nothing here.');
    return;
  }
  response.writeHead(200, { 'Content-Type': `${file.type}; charset=utf-8` });
  response.end(request.method === 'HEAD' ? undefined : file.read());
}
