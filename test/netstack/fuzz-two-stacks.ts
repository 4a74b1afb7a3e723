import {
  type NetError,
  seededRandom,
  type TcpConnection,
  type TcpHandler,
  type Weather,
} from '../../src/netstack/index.ts';
import type { FuzzResult, FuzzTarget } from '../fuzz-target.ts';
import { TwoStacks } from './two-stacks.ts';

/** One connection's end, as an application that writes and reads in its own way. */
class End implements TcpHandler {
  readonly name: string;
  /** Bytes to send; each follows from its place. */
  readonly total: number;
  readonly #salt: number;
  readonly #peerSalt: number;
  readonly #random: () => number;
  /** Reads only now and then. */
  readonly #lazy: boolean;
  readonly #largest: number;
  sent = 0;
  received = 0;
  connected = false;
  ended = false;
  over = false;
  error: NetError | undefined;
  fault: string | undefined;
  connection: TcpConnection | undefined;

  constructor(name: string, total: number, salt: number, peerSalt: number, random: () => number) {
    this.name = name;
    this.total = total;
    this.#salt = salt;
    this.#peerSalt = peerSalt;
    this.#random = random;
    this.#lazy = random() < 0.3;
    this.#largest = 1 + Math.floor(random() ** 3 * 40_000);
  }

  onConnect(connection: TcpConnection): void {
    if (this.connected) this.fault ??= 'connected twice';
    this.connected = true;
    this.connection = connection;
    this.write();
  }

  onWritable(): void {
    this.write();
  }

  onReadable(connection: TcpConnection): void {
    this.connection = connection;
    if (!this.#lazy) this.read();
  }

  onClose(_connection: TcpConnection, error: NetError | undefined): void {
    if (this.over) this.fault ??= 'closed twice';
    this.over = true;
    this.error = error;
    this.read();
  }

  /** Called now and then. */
  poll(): void {
    if (this.connection !== undefined && this.#random() < 0.5) this.read();
  }

  write(): void {
    const connection = this.connection!;
    while (this.sent < this.total && connection.canSend) {
      const length = Math.min(this.total - this.sent, 1 + Math.floor(this.#random() * this.#largest));
      const chunk = new Uint8Array(length);
      for (let i = 0; i < length; i++) chunk[i] = pattern(this.#salt, this.sent + i);
      this.sent += length;
      if (!connection.write(chunk)) return;
    }
    if (this.sent === this.total && connection.canSend) connection.end();
  }

  read(): void {
    const { connection } = this;
    if (connection === undefined) return;
    for (let bytes = connection.read(); bytes !== undefined; bytes = connection.read()) {
      for (let i = 0; i < bytes.length; i++) {
        if (bytes[i] !== pattern(this.#peerSalt, this.received + i)) {
          this.fault ??= `${this.name}: byte ${this.received + i} is wrong`;
          break;
        }
      }
      this.received += bytes.length;
    }
    if (connection.ended) this.ended = true;
  }
}

function pattern(salt: number, at: number): number {
  return (Math.imul(at ^ salt, 0x9e37_79b1) >>> 23) & 0xff;
}

/** What a seed stands for: a network, applications, and how it ends. */
export function tryTwoStacks(seed: number): FuzzResult {
  const random = seededRandom(seed);
  const chance = (share: number): boolean => random() < share;
  const size = (most: number): number => Math.floor(random() ** 4 * most);
  const weather = (): Weather => ({
    delay: random() ** 2 * 200,
    jitter: chance(0.3) ? random() * 50 : 0,
    loss: chance(0.6) ? random() * 0.15 : 0,
    duplicate: chance(0.3) ? random() * 0.2 : 0,
    reorder: chance(0.3) ? random() * 0.3 : 0,
    corrupt: chance(0.3) ? random() * 0.05 : 0,
    ...(chance(0.3) ? { rate: 20_000 + random() * 2e6, queue: 3000 + random() * 60_000 } : {}),
  });
  const options = () => ({
    ...(chance(0.3) ? { receiveBuffer: 1 + size(20_000) } : {}),
    ...(chance(0.3) ? { sendBuffer: 1 + size(20_000) } : {}),
    ...(chance(0.3) ? { noDelay: false } : {}),
    ...(chance(0.3) ? { congestion: 'reno' as const } : {}),
    ...(chance(0.2) ? { keepAlive: { idle: 5000, interval: 1000, count: 20 } } : {}),
    sack: chance(0.8),
    timestamps: chance(0.8),
    windowScaling: chance(0.8),
    userTimeout: 1e9,
    connectTimeout: 1e9,
  });
  const ipv6 = chance(0.3);
  const two = new TwoStacks(seed, [weather(), weather()], {
    ipv6,
    mtu: ipv6 ? 1280 + size(3000) : 100 + size(4000),
    ...(chance(0.2) ? { a: { memoryLimit: 30_000 }, b: { memoryLimit: 30_000 } } : {}),
  });
  const ofClient = options();
  const ofServer = options();
  // A byte a round trip is right for a window of a byte, and takes its time.
  const buffers = [ofClient, ofServer].flatMap((one) => [one.receiveBuffer ?? 1e9, one.sendBuffer ?? 1e9]);
  const least = Math.min(...buffers);
  const most = Math.min(300_000, 100 * least);
  const client = new End('client', size(most), 1, 2, random);
  const server = new End('server', size(most), 2, 1, random);
  two.b.listen({ port: 80, ...ofServer, onConnection: () => server });
  client.connection = two.a.connect({ address: two.addressB, port: 80, ...ofClient }, client);
  const violent = chance(0.15);
  const fail = (what: string): FuzzResult => ({
    kind: 'failed',
    failure: { what, explain: () => `${what}\n${describe(client)}\n${describe(server)}` },
  });
  let steps = 0;
  const end = two.now + 40 * 24 * 3600 * 1000;
  while (!(client.over && server.over)) {
    if (++steps > 400_000) return fail('too many steps');
    if (two.now > end) return fail('it takes more than a month');
    if (steps % 20 === 0) {
      client.poll();
      server.poll();
    }
    if (violent && random() < 0.002) {
      const who = chance(0.5) ? client : server;
      who.connection?.abort();
    }
    const going = two.step();
    const fault = client.fault ?? server.fault;
    if (fault !== undefined) return fail(fault.replace(/\d+/, 'N'));
    if (!going) {
      client.read();
      server.read();
      if (client.over && server.over) break;
      if (violent && (client.over || server.over || !server.connected)) return finished(two, 'half-open');
      // A lazy reader opened the window: that goes on.
      if (two.wake()) continue;
      return fail('stalled');
    }
  }
  if (violent) return finished(two, 'aborted');
  const all = client.received === server.total && server.received === client.total;
  const codes = [client.error?.code, server.error?.code];
  // The very last ACK was lost again and again, for longer than TIME-WAIT lasts.
  if (all && codes.includes('ECONNRESET') && codes.includes(undefined)) return { kind: 'last ACK lost' };
  if (client.error !== undefined || server.error !== undefined) {
    return fail(`unexpected ${(client.error ?? server.error)?.code}`);
  }
  if (client.received !== server.total) return fail('bytes are missing at the client');
  if (server.received !== client.total) return fail('bytes are missing at the server');
  return finished(two, 'complete');

  /** Nothing is held that belongs to nobody. */
  function finished(stacks: TwoStacks, kind: string): FuzzResult {
    if (kind !== 'complete') return { kind };
    while (stacks.step());
    for (const stack of [stacks.a, stacks.b]) {
      if (stack.tcp.connections !== 0) return fail('a connection is never forgotten');
      if (stack.tcp.memory !== 0) return fail('memory is miscounted');
    }
    return { kind };
  }
}

function describe(end: End): string {
  const { connection } = end;
  return (
    `${end.name}: sent ${end.sent} of ${end.total}, received ${end.received}, ended ${end.ended}, over ${end.over}, ` +
    `${end.error?.message ?? 'no error'}; state ${connection?.state}, queue ${connection?.unsent}, ` +
    `window ${connection?.sndWnd}, probe ${connection?.probe} at ${connection?.probeAt}, timer ${connection?.timer.at}, in flight ${connection?.inFlight}, rtt ${connection?.rtt.smoothed} ${connection?.rtt.variation} ${connection?.rtt.rto} ts ${connection?.timestamps} sack ${connection?.sack} mss ${connection?.mss} cwnd ${connection?.congestion?.window}, readable ${connection?.received.readable}`
  );
}

export const target: FuzzTarget = {
  summary: 'two TCP/IP stacks on a network with weather',
  try: tryTwoStacks,
};
