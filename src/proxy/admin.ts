import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BarewireError } from '../error.ts';
import { asProxyError, ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import { proxyMetrics } from './metrics.ts';
import type { ExitProxy, ListenAddress } from './proxy.ts';

export interface AdminOptions {
  readonly listen: ListenAddress;
  /** What `Authorization: Bearer …` must hold. */
  readonly token: string;
  /** Reads the configuration again. Default is that there is none to read. */
  readonly reload?: (() => Promise<void>) | undefined;
}

/** An exit as the admin API and the page show it. */
export interface ExitReport {
  readonly name: string;
  readonly state: string;
  readonly address: string | undefined;
  readonly connections: number;
  readonly requests: number;
  readonly failures: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Of the last check, in ms. */
  readonly latency: number | undefined;
  readonly lastError: string | undefined;
  readonly canRotate: boolean;
}

/** The admin API: exits and users as JSON, `rotate`, `drain`, `resume`, `reload`, metrics, and a page that shows them. */
export class Admin implements AsyncDisposable {
  readonly #proxy: ExitProxy;
  readonly #options: AdminOptions;
  readonly #server: Server;

  private constructor(proxy: ExitProxy, options: AdminOptions) {
    this.#proxy = proxy;
    this.#options = options;
    this.#server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => refuse(response, error));
    });
  }

  static async listen(proxy: ExitProxy, options: AdminOptions): Promise<Admin> {
    const admin = new Admin(proxy, options);
    const { host = '127.0.0.1', port } = options.listen;
    admin.#server.listen({ host, port });
    await once(admin.#server, 'listening');
    return admin;
  }

  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (request.url ?? '').split('?');
    const page = PAGE.get(path);
    if (page !== undefined && request.method === 'GET') {
      // The page itself is no secret; what it shows is, and it asks for that with the token.
      response.writeHead(200, { 'Content-Type': page.type, ...PAGE_HEADERS });
      response.end(readFileSync(new URL(page.file, ROOT)));
      return;
    }
    if (!authorized(request, this.#options.token)) {
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer' });
      response.end();
      return;
    }
    const action = /^\/exits\/([^/]+)\/(rotate|drain|resume)$/.exec(path);
    const route = `${request.method} ${action === null ? path : `/exits/NAME/${action[2]}`}`;
    switch (route) {
      case 'GET /exits':
        return json(response, this.#proxy.exits.map(reportOf));
      case 'GET /users':
        return json(response, [...this.#proxy.service.users].map(userReport));
      case 'GET /metrics': {
        const { text, contentType } = await proxyMetrics(this.#proxy, await import('prom-client'));
        response.writeHead(200, { 'Content-Type': contentType });
        response.end(text);
        return;
      }
      case 'POST /exits/NAME/rotate':
        return json(response, await this.#exit(action).rotate());
      case 'POST /exits/NAME/drain':
        this.#exit(action).drain();
        return json(response, reportOf(this.#exit(action)));
      case 'POST /exits/NAME/resume':
        this.#exit(action).resume();
        return json(response, reportOf(this.#exit(action)));
      case 'POST /reload':
        if (this.#options.reload === undefined)
          throw new ProxyError('BW_PROXY_COMMAND', 'there is no file to read again');
        await this.#options.reload();
        return json(response, { reloaded: true });
      default:
        response.writeHead(404);
        response.end();
    }
  }

  #exit(action: RegExpExecArray | null): Exit {
    const name = decodeURIComponent(action?.[1] ?? '');
    const exit = this.#proxy.exits.find((candidate) => candidate.name === name);
    if (exit === undefined) throw new ProxyError('BW_PROXY_NO_EXIT', `there is no exit '${name}'`);
    return exit;
  }
}

export function reportOf(exit: Exit): ExitReport {
  const { name, state, address, connections, requests, failures, bytesUp, bytesDown, latency, lastError } =
    exit;
  return {
    name,
    state,
    address,
    connections,
    requests,
    failures,
    bytesUp,
    bytesDown,
    latency,
    lastError,
    canRotate: exit.canRotate,
  };
}

function userReport(user: {
  readonly name: string;
  readonly connections: number;
  readonly requests: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}): object {
  const { name, connections, requests, bytesUp, bytesDown } = user;
  return { name, connections, requests, bytesUp, bytesDown };
}

/** In constant time: how much of a token was right is nobody's business. */
function authorized(request: IncomingMessage, token: string): boolean {
  const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // A file that is wrong is the caller's to mend; what a request failed with has its own status.
  const wrongFile = error instanceof BarewireError && !(error instanceof ProxyError);
  const { code, message, hint } = wrongFile ? error : asProxyError(error);
  response.writeHead(wrongFile ? 400 : asProxyError(error).status, { 'Content-Type': 'application/json' });
  response.end(`${JSON.stringify({ code, message, hint })}\n`);
}

/** Pages come from the package's own files, scripts from where they are compiled to. */
const ROOT = new URL('../../../', import.meta.url);
const PAGE = new Map([
  ['/', { file: 'web/proxy/index.html', type: 'text/html; charset=utf-8' }],
  ['/page.css', { file: 'web/proxy/page.css', type: 'text/css; charset=utf-8' }],
  ['/page.js', { file: 'dist/web/proxy/page.js', type: 'text/javascript; charset=utf-8' }],
]);

const PAGE_HEADERS = {
  'Content-Security-Policy': "default-src 'self'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
};
