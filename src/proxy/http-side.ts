import { type Agent, createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { LineHttpAgent } from '../http/index.ts';
import { plainAddress } from './client-address.ts';
import type { Destination } from './destination.ts';
import { asProxyError, ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import { type AbsoluteTarget, exitRecord, forward } from './forward.ts';
import type { Job } from './job.ts';
import type { ProxyService } from './service.ts';
import { tunnel } from './tunnel.ts';
import type { Admission } from './users.ts';

/** In bytes, of a request's line and headers together. */
const MAX_HEADER = 16_384;
const MAX_HEADERS = 200;
/** Requests of one connection at a time. */
const MAX_PIPELINED = 16;

/** HTTP as clients of a proxy speak it: CONNECT (RFC 9110 section 9.3.6) and absolute-form (RFC 9112 section 3.2.2). */
export class HttpSide {
  readonly server: Server;
  readonly #service: ProxyService;
  readonly #agents = new WeakMap<Exit, Agent>();
  readonly #waiting = new WeakMap<Duplex, number>();
  /** Who a connection's client is, so that a kept-alive one proves it once. */
  readonly #admissions = new WeakMap<Duplex, { readonly given: string; readonly admission: Admission }>();

  constructor(service: ProxyService) {
    this.#service = service;
    this.server = createServer({
      maxHeaderSize: MAX_HEADER,
      headersTimeout: service.timeouts.request,
      // A body may take its time; the tunnel's idle time-out watches it.
      requestTimeout: 0,
      keepAliveTimeout: 15_000,
      connectionsCheckingInterval: 2_000,
      insecureHTTPParser: false,
      requireHostHeader: true,
    });
    // Fields beyond a count would be left out silently; what is too much is refused instead.
    this.server.maxHeadersCount = 0;
    // A client that has sent all of its request may close its side, and still waits for the answer.
    Object.assign(this.server, { httpAllowHalfOpen: true });
    // It never listens, for the front does; but it is from then on that it looks after slow headers.
    this.server.emit('listening');
    this.server.on('request', (request, response) => void this.#request(request, response));
    this.server.on('connect', (request, socket, head) => void this.#connect(request, socket, head));
    this.server.on('clientError', (error, socket) => this.#garbled(error, socket));
  }

  /** Takes a client's connection over; `first` is what has been read of it. */
  take(socket: Socket): void {
    this.server.emit('connection', socket);
  }

  async #connect(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const client = clientOf(request);
    // Until the tunnel stands somebody has to hear that the client is gone.
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    socket.on('error', leave).on('close', leave);
    let job: Job | undefined;
    try {
      const admission = await this.#admit(request, client);
      const destination = parseAuthority(request.url ?? '', undefined);
      job = this.#service.begin(client, 'connect', admission, destination);
      const upstream = await this.#service.connect(job, gone.signal);
      socket.off('error', leave).off('close', leave);
      job.hold((reason) => upstream.destroy(reason));
      socket.write(`HTTP/1.1 200 Connection established\r\n${exitHeaders(job.exit)}\r\n`);
      const charged = job;
      if (head.length > 0) {
        charged.up(head.length);
        upstream.write(head);
      }
      const failure = await tunnel(socket, upstream, {
        up: (bytes) => charged.up(bytes),
        down: (bytes) => charged.down(bytes),
        idle: this.#service.timeouts.idle,
      });
      job.finish(200, failure);
    } catch (error) {
      const failure = asProxyError(error);
      if (job !== undefined) job.finish(failure.status, failure);
      else if (failure.code !== 'BW_PROXY_LIMIT')
        this.#service.reject(client, 'connect', failure.status, failure);
      const body = `${failure.message}${failure.hint === undefined ? '' : `\n${failure.hint}`}\n`;
      socket.end(
        `HTTP/1.1 ${failure.status} ${reason(failure.status)}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n` +
          `${headerLines(errorHeaders(failure))}${exitHeaders(job?.exit)}\r\n${body}`,
      );
      socket.on('error', () => socket.destroy());
    }
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = clientOf(request);
    if (!this.#enter(request, response, client)) return;
    let job: Job | undefined;
    try {
      const admission = await this.#admit(request, client);
      const target = parseAbsolute(request.url ?? '');
      job = this.#service.begin(client, 'http', admission, target.destination);
      this.#service.judge(target.destination);
      const exit = this.#service.route(job);
      await forward({
        agent: this.#agentOf(exit),
        exit,
        job,
        target,
        request,
        response,
        // A site may think for as long as a tunnel may be silent.
        patience: {
          open: this.#service.timeouts.connect + this.#service.timeouts.idle,
          closed: this.#service.timeouts.connect,
        },
        failure: (error) => this.#service.failure(error, exit),
      });
    } catch (error) {
      const failure = asProxyError(error);
      if (job !== undefined) job.finish(failure.status, failure);
      else if (failure.code !== 'BW_PROXY_LIMIT')
        this.#service.reject(client, 'http', failure.status, failure);
      if (response.headersSent) {
        // The status is out already: a cut connection is the only honest way to say that the rest is missing.
        response.destroy();
        return;
      }
      const body = `${failure.message}${failure.hint === undefined ? '' : `\n${failure.hint}`}\n`;
      response.writeHead(failure.status, {
        'Content-Type': 'text/plain; charset=utf-8',
        'Content-Length': Buffer.byteLength(body),
        // The body of a refused request is not read: what follows on this connection could be anything.
        Connection: 'close',
        ...errorHeaders(failure),
        ...exitRecord(job?.exit),
      });
      response.end(body);
    }
  }

  /** Requests that came before the one in front of them was answered. @returns false when there are too many. */
  #enter(request: IncomingMessage, response: ServerResponse, client: string): boolean {
    const { socket } = request;
    const waiting = (this.#waiting.get(socket) ?? 0) + 1;
    this.#waiting.set(socket, waiting);
    response.once('close', () => this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1));
    if (waiting <= MAX_PIPELINED) return true;
    if (!socket.destroyed) {
      const failure = new ProxyError('BW_PROXY_LIMIT', 'too many requests at once on one connection');
      this.#service.reject(client, 'http', failure.status, failure);
    }
    socket.destroy();
    return false;
  }

  async #admit(request: IncomingMessage, client: string): Promise<Admission> {
    if (request.rawHeaders.length / 2 > MAX_HEADERS) {
      throw new ProxyError('BW_PROXY_HEADERS', `the request has more than ${MAX_HEADERS} header fields`);
    }
    const given = request.headers['proxy-authorization'];
    if (given === undefined) {
      const admission = this.#service.users.byAddress(client);
      if (admission !== undefined) return admission;
      throw new ProxyError('BW_PROXY_AUTHENTICATION', 'this proxy asks for a user name and a password');
    }
    const known = this.#admissions.get(request.socket);
    if (known?.given === given) return known.admission;
    const [scheme = '', encoded = ''] = given.split(' ', 2);
    const plain = Buffer.from(encoded, 'base64').toString();
    const colon = plain.indexOf(':');
    if (scheme.toLowerCase() !== 'basic' || colon === -1) {
      throw new ProxyError('BW_PROXY_AUTHENTICATION', 'only Basic authentication is understood');
    }
    const admission = await this.#service.users.byPassword(
      client,
      plain.slice(0, colon),
      plain.slice(colon + 1),
    );
    this.#admissions.set(request.socket, { given, admission });
    return admission;
  }

  #agentOf(exit: Exit): Agent {
    let agent = this.#agents.get(exit);
    if (agent === undefined) {
      agent = new LineHttpAgent(exit.line, {
        keepAlive: true,
        maxFreeSockets: 64,
        // Upstream connections are shared between a user's requests only as far as they leave by the same address.
        timeout: 30_000,
        judge: (address) => this.#service.judgeAddress(address),
        connectTimeout: this.#service.timeouts.connect,
      });
      this.#agents.set(exit, agent);
    }
    return agent;
  }

  #garbled(error: Error & { readonly code?: string }, socket: Duplex): void {
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    const client = (socket as Socket).remoteAddress ?? '';
    if (error.code !== 'ECONNRESET') this.#service.reject(client, 'http', status, error);
    if (!socket.writable || (socket as Socket).bytesWritten > 0) socket.destroy();
    else socket.end(`HTTP/1.1 ${status} ${reason(status)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
}

/** @throws ProxyError `BW_PROXY_REQUEST` unless it is `http://HOST[:PORT]/…`. */
function parseAbsolute(url: string): AbsoluteTarget {
  const match = /^(https?):\/\/([^/?#]*)([^#]*)$/i.exec(url);
  if (match === null) {
    throw new ProxyError('BW_PROXY_REQUEST', 'this is a proxy, and the request names no server', {
      hint: 'Set it as the proxy of your client, as in curl --proxy.',
    });
  }
  const [, scheme = '', authority = '', rest = ''] = match;
  if (scheme.toLowerCase() !== 'http') {
    throw new ProxyError('BW_PROXY_REQUEST', 'https is tunnelled with CONNECT, not asked for in the clear');
  }
  if (authority.includes('@')) throw new ProxyError('BW_PROXY_REQUEST', 'the URL holds a user name');
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return { destination: parseAuthority(authority, 80), authority, path };
}

/** `HOST:PORT`, IPv6 in brackets. @throws ProxyError `BW_PROXY_REQUEST` */
function parseAuthority(text: string, defaultPort: number | undefined): Destination {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/\s]+))(?::(\d{1,5}))?$/i.exec(text);
  const [, ipv6, plain, digits] = match ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  const host = ipv6 ?? plain;
  if (
    host === undefined ||
    port === undefined ||
    port < 1 ||
    port > 65_535 ||
    (ipv6 !== undefined && isIP(ipv6) !== 6)
  ) {
    throw new ProxyError('BW_PROXY_REQUEST', 'the destination is not HOST:PORT');
  }
  return { host, port };
}

function errorHeaders(failure: ProxyError): Record<string, string> {
  return {
    ...(failure.status === 407 ? { 'Proxy-Authenticate': 'Basic realm="barewire"' } : {}),
    'X-Proxy-Error': `${failure.code}: ${failure.message.replaceAll(/[^\x20-\x7e]/g, '?')}`,
  };
}

function exitHeaders(exit: Exit | undefined): string {
  return headerLines(exitRecord(exit));
}

function headerLines(record: Readonly<Record<string, string>>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

function reason(status: number): string {
  return REASONS[status] ?? 'Error';
}

function clientOf(request: IncomingMessage): string {
  return plainAddress(request.socket.remoteAddress);
}
