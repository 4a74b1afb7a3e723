import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { tryParseIp } from '../address/index.ts';
import type { LineUdp } from '../http/index.ts';
import { plainAddress } from './client-address.ts';
import type { Destination } from './destination.ts';
import { ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import { IdleWatch } from './idle.ts';
import type { Job } from './job.ts';
import type { ProxyService } from './service.ts';
import { datagramHeader, parseDatagram } from './socks.ts';

export interface UdpRelay {
  /** Where the client sends its datagrams. */
  readonly address: Destination;
  close(): void;
}

/** Names that one relay remembers. */
const MAX_NAMES = 256;
/** Datagrams of one relay that wait for a name at a time. */
const MAX_WAITING = 64;

/**
 * A SOCKS5 UDP relay: datagrams of one client out by one exit, and answers back. Only from the address that asked for
 * it, and once its first datagram has come, from that port alone.
 *
 * @param onGone Called when the exit's line goes, for what the client would get after that came from another address; and
 *   when nothing was said for too long.
 * @throws ProxyError `BW_PROXY_COMMAND` when the exit carries no UDP.
 */
export async function openUdpRelay(
  service: ProxyService,
  job: Job,
  exit: Exit,
  where: { readonly local: string; readonly client: string },
  onGone: (reason: Error) => void,
): Promise<UdpRelay> {
  const { line } = exit;
  if (line.openUdp === undefined) {
    throw new ProxyError('BW_PROXY_COMMAND', `exit ${exit.name} carries no UDP`);
  }
  const far = await line.openUdp();
  const near = createSocket(where.local.includes(':') ? 'udp6' : 'udp4');
  try {
    near.bind({ address: where.local, port: 0 });
    await once(near, 'listening');
  } catch (error) {
    near.close();
    far.close();
    throw error;
  }
  const forward = forwarder(service, job, exit, far);
  const silent = new IdleWatch(service.timeouts.idle, () =>
    onGone(new ProxyError('BW_PROXY_TIMEOUT', 'no datagram came for too long')),
  );
  let clientPort: number | undefined;
  near.on('message', (message, from) => {
    if (plainAddress(from.address) !== where.client) return;
    clientPort ??= from.port;
    if (from.port !== clientPort) return;
    silent.touch();
    forward(message);
  });
  near.on('error', () => near.close());
  far.onGone = onGone;
  far.onMessage = (payload, host, port) => {
    if (clientPort === undefined) return;
    silent.touch();
    // Over its rate, a datagram is dropped: that is what a full link does.
    if (job.down(payload.length) > 0) return;
    near.send([datagramHeader({ host, port }), payload], clientPort, where.client, () => undefined);
  };
  return {
    address: { host: where.local, port: near.address().port },
    close() {
      silent.stop();
      near.close();
      far.close();
    },
  };
}

/** Takes the client's datagrams; what is malformed, refused or too much is dropped, as UDP's sender must expect. */
function forwarder(
  service: ProxyService,
  job: Job,
  exit: Exit,
  far: LineUdp,
): (datagram: Uint8Array) => void {
  const names = new Map<string, Promise<string>>();
  const resolve = (name: string): Promise<string> => {
    let address = names.get(name);
    if (address === undefined) {
      const [oldest] = names.keys();
      if (names.size >= MAX_NAMES && oldest !== undefined) names.delete(oldest);
      address = exit.line.resolve(name).then(([first = '']) => first);
      address.catch(() => names.delete(name));
      names.set(name, address);
    }
    return address;
  };
  let waiting = 0;
  const lookUp = async (name: string): Promise<string> => {
    if (waiting >= MAX_WAITING) throw new ProxyError('BW_PROXY_LIMIT', 'too many datagrams wait for names');
    waiting++;
    try {
      return await resolve(name);
    } finally {
      waiting--;
    }
  };
  const send = async (datagram: Uint8Array): Promise<void> => {
    const { destination, offset } = parseDatagram(datagram);
    service.judge(destination);
    const { host, port } = destination;
    const address = tryParseIp(host) === undefined ? await lookUp(host) : host;
    service.judgeAddress(address);
    const payload = datagram.subarray(offset);
    if (job.up(payload.length) === 0) far.send(payload, address, port);
  };
  return (datagram) => {
    send(datagram).catch(() => undefined);
  };
}
