import { once } from 'node:events';
import { isIP } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsOverStream } from 'node:tls';
import { dial } from './dial.ts';
import type { Line } from './line.ts';

export interface ConnectTlsOptions
  extends Pick<
    ConnectionOptions,
    'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'ALPNProtocols' | 'servername' | 'session' | 'minVersion'
  > {
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A TLS connection through a line, its certificate checked as Node does for its own.
 *
 * @throws As `dial`, and Node's codes for certificates: `ERR_TLS_CERT_ALTNAME_INVALID`, …
 */
export async function connectTls(line: Line, options: ConnectTlsOptions): Promise<TLSSocket> {
  const { host, port, signal, ...tls } = options;
  const socket = await dial(line, host, port, { signal });
  // RFC 6066 section 3: server names are names, not addresses.
  const servername = tls.servername ?? (isIP(host) === 0 ? host : '');
  const secure = tlsOverStream({ ...tls, socket, servername, host });
  try {
    await once(secure, 'secureConnect', signal === undefined ? {} : { signal });
  } catch (error) {
    secure.destroy();
    socket.destroy();
    throw signal?.aborted === true ? signal.reason : error;
  }
  return secure;
}
