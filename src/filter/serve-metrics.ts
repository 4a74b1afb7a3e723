import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { BarewireError } from '../error.ts';

/** Serves metrics at `/metrics` until the signal aborts. */
export async function serveMetrics(
  registry: Registry,
  options: {
    readonly host: string;
    /** 0 for any that is free. */
    readonly port: number;
    readonly signal: AbortSignal;
    /** Told the URL. */
    readonly onListening?: (url: string) => void;
  },
): Promise<void> {
  const { host, port, signal, onListening } = options;
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end('Metrics are at /metrics.\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'Content-Type': registry.contentType }).end(text),
      (error: Error) => response.writeHead(500).end(`${error.message}\n`),
    );
  });
  server.headersTimeout = 5000;
  server.requestTimeout = 5000;
  server.maxConnections = 64;
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (cause) {
    throw new BarewireError(
      'BW_LISTEN',
      `metrics cannot be served at ${host}:${port}: ${(cause as Error).message}`,
      { cause },
    );
  }
  const { address, port: actual, family } = server.address() as AddressInfo;
  onListening?.(`http://${family === 'IPv6' ? `[${address}]` : address}:${actual}/metrics`);
  if (!signal.aborted) await once(signal, 'abort');
  server.closeAllConnections();
  server.close();
}
