import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as requestUpstream,
  type ServerResponse,
} from 'node:http';
import type { Destination } from './destination.ts';
import { ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import type { Job } from './job.ts';
import { pump } from './pump.ts';

/** Where an absolute-form request goes. */
export interface AbsoluteTarget {
  readonly destination: Destination;
  /** As the Host header has it. */
  readonly authority: string;
  readonly path: string;
}

export interface Forwarding {
  readonly agent: Agent;
  readonly exit: Exit;
  readonly job: Job;
  readonly target: AbsoluteTarget;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** How long the answer may take to begin, in ms: while the client's side is open, and once it has closed it. */
  readonly patience: { readonly open: number; readonly closed: number };
  /** What a failed connection means. */
  readonly failure: (error: unknown) => ProxyError;
}

/**
 * Sends a plain HTTP request on by its exit and its answer back.
 *
 * @throws ProxyError; when the answer has begun by then, the response is to be cut off.
 */
export async function forward(forwarding: Forwarding): Promise<void> {
  const { job, request, response, patience } = forwarding;
  let upstream: ClientRequest | undefined;
  let late: NodeJS.Timeout | undefined;
  let closed: (() => void) | undefined;
  let leave: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const wait = (span: number): void => {
        clearTimeout(late);
        late = setTimeout(() => {
          reject(new ProxyError('BW_PROXY_TIMEOUT', `no answer began within ${span / 1000} s`));
        }, span);
      };
      wait(patience.open);
      // Whether a client that has closed its side still listens shows only when it is written to.
      leave = () => {
        if (!response.headersSent) wait(patience.closed);
      };
      request.socket.once('end', leave);
      job.hold(reject);
      closed = () => {
        if (response.writableFinished) resolve();
        else reject(new ProxyError('BW_PROXY_UPSTREAM', 'the client went away'));
      };
      response.once('close', closed);
      response.once('finish', resolve);
      response.once('error', reject);
      request.once('error', reject);
      const send = (mayRepeat: boolean): void => {
        upstream = open(forwarding);
        upstream.once('error', (error: NodeJS.ErrnoException) => {
          // A kept-alive connection that the site closed in the very moment of its use (RFC 9110 section 9.2.2).
          if (mayRepeat && upstream?.reusedSocket === true && error.code === 'ECONNRESET') send(false);
          else reject(forwarding.failure(error));
        });
        upstream.once('response', (answer) => {
          clearTimeout(late);
          answer.once('error', reject);
          if (response.headersSent || response.destroyed) {
            // It was given up in the meantime: the client left, or was told so.
            answer.destroy();
            return;
          }
          try {
            giveBack(answer, forwarding);
          } catch (error) {
            // What Node's parser let in, its writer may refuse.
            reject(forwarding.failure(error));
          }
        });
        if (hasBody(request)) pump(request, upstream, (bytes) => job.up(bytes));
        else upstream.end();
      };
      send(!hasBody(request) && /^(GET|HEAD|OPTIONS|TRACE)$/.test(request.method ?? ''));
    });
    job.finish(response.statusCode);
  } finally {
    clearTimeout(late);
    if (closed !== undefined) response.off('close', closed);
    if (leave !== undefined) request.socket.off('end', leave);
    upstream?.destroy();
  }
}

function open({ agent, target, request }: Forwarding): ClientRequest {
  const { host, port } = target.destination;
  return requestUpstream({
    agent,
    host,
    port,
    method: request.method,
    path: target.path,
    headers: forwardedHeaders(request.rawHeaders, target.authority),
    setHost: false,
  });
}

function giveBack(answer: IncomingMessage, { exit, job, response }: Forwarding): void {
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? '', [
    ...returnedHeaders(answer.rawHeaders),
    ...Object.entries(exitRecord(exit)).flat(),
  ]);
  pump(answer, response, (bytes) => job.down(bytes));
}

function hasBody(request: IncomingMessage): boolean {
  const { 'transfer-encoding': coding, 'content-length': length } = request.headers;
  return coding !== undefined || (length !== undefined && length !== '0');
}

/** The fields that tell a client which exit its request took. */
export function exitRecord(exit: Exit | undefined): Record<string, string> {
  if (exit === undefined) return {};
  return { 'X-Exit': exit.name, ...(exit.address === undefined ? {} : { 'X-Exit-Address': exit.address }) };
}

/** Fields between two hops and not for the next (RFC 9110 section 7.6.1), and those that speak of this proxy. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The client's fields as they go on, in their order and spelling. The Host field is made from the request's target,
 * whatever the client's own said (RFC 9112 section 3.2.2): two opinions about the server are how requests are
 * smuggled. The body's framing is Node's to write: it goes on with the length it came with, or in chunks.
 */
function forwardedHeaders(raw: readonly string[], authority: string): string[] {
  const dropped = new Set(['host', ...namedByConnection(raw)]);
  const chunked = raw.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'transfer-encoding');
  const kept = pairs(raw).filter(
    ([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !dropped.has(name.toLowerCase()),
  );
  return ['Host', authority, ...kept.flat(), ...(chunked ? ['Transfer-Encoding', 'chunked'] : [])];
}

function returnedHeaders(raw: readonly string[]): string[] {
  const dropped = namedByConnection(raw);
  return pairs(raw)
    .filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !dropped.has(name.toLowerCase()))
    .flat();
}

function namedByConnection(raw: readonly string[]): Set<string> {
  return new Set(
    pairs(raw)
      .filter(([name]) => name.toLowerCase() === 'connection')
      .flatMap(([, value]) => value.split(',').map((token) => token.trim().toLowerCase())),
  );
}

function pairs(raw: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i]!, raw[i + 1]!]);
  return list;
}
