import { NetError } from '../netstack/index.ts';
import type { DnsTransport } from '../resolver/index.ts';
import type { HostInterface } from './host-interface.ts';

const PORT = 53;
/** A message has at most so many bytes, for its length has two. */
const LONGEST = 65535;

/** Name queries that leave by one interface of a host: each from a port of its own, that nobody can foresee. */
export function queryTransport(via: HostInterface): DnsTransport {
  return {
    exchange: (server, query, accept, { timeout, signal }) =>
      new Promise((resolve, reject) => {
        const udp = via.host.udp({ interface: via });
        const end = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          udp.close();
        };
        const fail = (error: Error): void => {
          end();
          reject(error);
        };
        const onAbort = (): void => fail(signal!.reason as Error);
        const timer = setTimeout(
          () => fail(new NetError('ETIMEDOUT', { syscall: 'query', address: server, port: PORT })),
          timeout,
        );
        signal?.addEventListener('abort', onAbort, { once: true });
        udp.onMessage = (bytes, host, port) => {
          if (host !== server || port !== PORT || !accept(bytes)) return;
          const answer = bytes.slice();
          end();
          resolve(answer);
        };
        udp.on('error', fail);
        try {
          udp.send(query, server, PORT);
        } catch (error) {
          fail(error as Error);
        }
      }),
    exchangeStream: async (server, query, { timeout, signal }) => {
      const late = AbortSignal.timeout(timeout);
      const socket = via.host.connect({
        host: server,
        port: PORT,
        interface: via,
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
      });
      const message = new Uint8Array(2 + query.length);
      message.set([query.length >>> 8, query.length & 0xff]);
      message.set(query, 2);
      socket.write(message);
      try {
        return await readMessage(socket);
      } finally {
        socket.destroy();
      }
    },
  };
}

/** One message behind its two bytes of length (RFC 7766, section 8). */
async function readMessage(stream: AsyncIterable<Buffer>): Promise<Uint8Array> {
  let bytes: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk]);
    const length = bytes.length < 2 ? LONGEST : bytes.readUInt16BE(0);
    if (bytes.length >= 2 + length) return bytes.subarray(2, 2 + length);
  }
  throw new NetError('EPROTO', {
    syscall: 'query',
    reason: 'the name server ended the connection in an answer',
  });
}
