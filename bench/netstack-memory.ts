import { Host, type HostInterface } from '../src/nethost/index.ts';

/** What idle things cost, in bytes each. */
export interface Costs {
  readonly connection: number;
  readonly session: number;
}

const CONNECTIONS = 10_000;
const SESSIONS = 1000;

/** Measures with the garbage collector at hand (`--expose-gc`). */
export async function measureMemory(): Promise<Costs> {
  const left = new Host();
  const right = new Host();
  const [a, b] = join(left, right);
  right.listen({ port: 80, backlog: CONNECTIONS }, (socket) => socket.on('error', () => {}));
  await connectAll(left, a, 100);
  const before = used();
  const sockets = await connectAll(left, a, CONNECTIONS);
  // Buffers that a burst left go back after a second of silence.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  const connection = (used() - before) / (2 * CONNECTIONS);
  const beforeSessions = used();
  const sessions = Array.from({ length: SESSIONS }, (_, i) =>
    left.addInterface({
      mtu: 1492,
      addresses: [`10.${i >> 8}.${i & 0xff}.1/32`],
      dns: ['10.255.0.1'],
      output: () => true,
    }),
  );
  const session = (used() - beforeSessions) / SESSIONS;
  if (sessions.length + sockets.length === 0 || b.closed) throw new Error('nothing was measured');
  await left.close();
  await right.close();
  return { connection, session };
}

/** Two hosts whose packets go to each other at the end of each turn. */
function join(left: Host, right: Host): [HostInterface, HostInterface] {
  const ends: HostInterface[] = [];
  for (const [index, host] of [left, right].entries()) {
    let waiting: Uint8Array[] = [];
    ends.push(
      host.addInterface({
        mtu: 1500,
        addresses: [`192.0.2.${index + 1}/24`],
        output: (bytes, offset, length) => {
          if (waiting.length === 0) {
            setImmediate(() => {
              const packets = waiting;
              waiting = [];
              for (const packet of packets) ends[1 - index]!.input(packet, 0, packet.length);
              (index === 0 ? right : left).flush();
            });
          }
          waiting.push(bytes.slice(offset, offset + length));
          return true;
        },
      }),
    );
  }
  return [ends[0]!, ends[1]!];
}

async function connectAll(host: Host, via: HostInterface, count: number): Promise<unknown[]> {
  const sockets: unknown[] = [];
  for (let i = 0; i < count; i += 100) {
    sockets.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(100, count - i) }, () => via.connect({ host: '192.0.2.2', port: 80 })),
      )),
    );
  }
  if (host.closed) throw new Error('the host was closed');
  return sockets;
}

function used(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
