import type { Duplex } from 'node:stream';
import { Agent, fetch as fetchWith, type RequestInfo, type RequestInit, type Response } from 'undici';
import { deadline } from './deadline.ts';
import { dial } from './dial.ts';
import type { Line } from './line.ts';
import { connectTls } from './tls.ts';

export interface DispatcherOptions {
  /** Connections to one origin at a time. Default is no limit. */
  readonly connections?: number;
  /** HTTP/2 where the server has it. Default is true. */
  readonly allowH2?: boolean;
  /** Certificates to trust beside Node's own, in PEM. */
  readonly ca?: string;
  /** In ms, of a connection's set-up, TLS included. Default is 10 s. */
  readonly connectTimeout?: number;
}

/** An undici dispatcher whose every connection, and every name it looks up, goes through the line. */
export function dispatcherOf(line: Line, options: DispatcherOptions = {}): Agent {
  const { connections, allowH2 = true, ca, connectTimeout = 10_000 } = options;
  return new Agent({
    ...(connections === undefined ? {} : { connections }),
    allowH2,
    connect: ({ hostname, port, protocol, servername }, callback) => {
      const signal = deadline(connectTimeout, 'the connection');
      const secure = protocol === 'https:';
      const target = port === '' ? (secure ? 443 : 80) : Number(port);
      const opening: Promise<Duplex> = secure
        ? connectTls(line, {
            host: hostname,
            port: target,
            signal,
            ...(servername === undefined || servername === null ? {} : { servername }),
            ...(ca === undefined ? {} : { ca }),
            ALPNProtocols: allowH2 ? ['h2', 'http/1.1'] : ['http/1.1'],
          })
        : dial(line, hostname, target, { signal });
      opening.then(
        // undici takes any duplex stream, though its types ask for Node's own socket.
        (stream) => callback(null, stream as Parameters<typeof callback>[1] & object),
        (error: Error) => callback(error, null),
      );
    },
  });
}

export type LineFetch = (input: RequestInfo, init?: RequestInit) => Promise<Response>;

/** `fetch` through the line. Close the dispatcher when its connections are no longer needed. */
export function fetchOf(dispatcher: Agent): LineFetch {
  return (input, init) => fetchWith(input, { ...init, dispatcher });
}
