import { on, once } from 'node:events';
import { isIP } from 'node:net';
import { BarewireError } from '../error.ts';
import type { DnsTransport, ExchangeOptions } from '../resolver/index.ts';
import { type BoundOptions, connectThrough, datagramThrough } from './bound-socket.ts';

const DNS_PORT = 53;

/**
 * DNS over one device: each query from a socket of its own that is bound to it, so the kernel chooses a fresh port.
 *
 * @param where The device at this moment; throws when there is none.
 */
export function boundDnsTransport(where: () => BoundOptions): DnsTransport {
  return {
    async exchange(server, query, accept, { timeout, signal }) {
      const version = isIP(server) === 6 ? 6 : 4;
      const socket = await datagramThrough({ ...where(), version });
      const over = limit(timeout, signal);
      try {
        return await new Promise<Uint8Array>((resolve, reject) => {
          over.addEventListener('abort', () => reject(over.reason as Error), { once: true });
          socket.on('error', reject);
          socket.on('message', (message, from) => {
            if (from.port === DNS_PORT && sameHost(from.address, server) && accept(message)) resolve(message);
          });
          socket.send(query, DNS_PORT, server, (error) => {
            if (error) reject(error);
          });
        });
      } finally {
        socket.close();
      }
    },

    async exchangeStream(server, query, options: ExchangeOptions) {
      const over = limit(options.timeout, options.signal);
      const socket = connectThrough({ ...where(), host: server, port: DNS_PORT });
      try {
        await once(socket, 'connect', { signal: over });
        const framed = new Uint8Array(2 + query.length);
        framed.set([query.length >> 8, query.length & 0xff]);
        framed.set(query, 2);
        socket.write(framed);
        const chunks: Buffer[] = [];
        for await (const [chunk] of on(socket, 'data', { signal: over, close: ['end', 'close'] })) {
          chunks.push(chunk as Buffer);
          const received = Buffer.concat(chunks);
          if (received.length < 2) continue;
          const length = received.readUInt16BE(0);
          if (received.length >= 2 + length) return received.subarray(2, 2 + length);
        }
        throw new BarewireError(
          'BW_NAME_SERVER',
          `${server} closed the connection before its answer was whole`,
        );
      } finally {
        socket.destroy();
      }
    },
  };
}

function limit(timeout: number, signal: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(timeout);
  return signal === undefined ? late : AbortSignal.any([late, signal]);
}

/** An address with a zone, as in `fe80::1%bwline0`, is the same host without. */
function sameHost(a: string, b: string): boolean {
  return a.split('%', 1)[0] === b.split('%', 1)[0];
}
