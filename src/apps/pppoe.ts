import { createServer, type Server } from 'node:http';
import { ArgumentError, BarewireError } from '../error.ts';
import { LinePool, type PoolConfig, type PoolEvent, type PppoeLine, poolMetrics } from '../lines/index.ts';

/** One line as a table shows it. */
export interface LineReport {
  readonly line: string;
  readonly state: string;
  readonly address: string | undefined;
  readonly ipv6: readonly string[];
  readonly delegated: readonly string[];
  readonly concentrator: string | undefined;
  readonly device: string | undefined;
  readonly mtu: number | undefined;
  readonly dns: readonly string[];
  readonly sessionId: number;
  /** In ms; 0 while it is not open. */
  readonly uptime: number;
  /** Until it is dialled again, in ms. */
  readonly retryIn: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly sentPackets: number;
  /** Code and message of the last failure; undefined while open. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** The pool at a moment. */
export interface PoolReport {
  readonly time: Date;
  readonly carrier: boolean;
  readonly open: number;
  readonly lines: readonly LineReport[];
}

/**
 * PPPoE lines as a configuration says, dialled and kept up until it is closed.
 *
 * @example
 * await using app = await PppoeApp.start(await readPoolConfig('/etc/barewire/pppoe-eth1.yaml'));
 * for await (const report of app.reports({ interval: 1000, signal })) console.log(report.open);
 */
export class PppoeApp implements AsyncDisposable {
  readonly pool: LinePool;
  /** Where metrics are served; undefined when they are not. */
  readonly metrics: { readonly address: string; readonly port: number } | undefined;
  readonly #server: Server | undefined;

  private constructor(pool: LinePool, server: Server | undefined) {
    this.pool = pool;
    this.#server = server;
    const address = server?.address();
    if (typeof address === 'object' && address !== null) {
      this.metrics = { address: address.address, port: address.port };
    }
  }

  /** @throws As `LinePool.open`; ArgumentError for a place of metrics that is none. */
  static async start(config: PoolConfig): Promise<PppoeApp> {
    const pool = await LinePool.open(config.interface, config.pool);
    try {
      for (const options of config.lines) pool.add(options);
      const server = config.metrics === undefined ? undefined : await serveMetrics(pool, config.metrics);
      for (const line of pool.lines) line.dial();
      return new PppoeApp(pool, server);
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  events(signal: AbortSignal): AsyncGenerator<PoolEvent, void> {
    return this.pool.events({ signal });
  }

  report(): PoolReport {
    const now = performance.now();
    const lines = this.pool.lines.map((line) => reportOf(line, now));
    const open = lines.filter(({ state }) => state === 'open').length;
    return { time: new Date(), carrier: this.pool.wire.carrier, open, lines };
  }

  /** A report at once and then at intervals, until the signal is aborted. @throws InterfaceGoneError */
  async *reports(options: {
    readonly interval: number;
    readonly signal: AbortSignal;
    readonly count?: number | undefined;
  }): AsyncGenerator<PoolReport, void> {
    const { interval, signal, count = Number.POSITIVE_INFINITY } = options;
    for (let i = 0; i < count && !signal.aborted; i++) {
      if (this.pool.fault !== undefined) throw this.pool.fault;
      yield this.report();
      if (i + 1 < count) await pause(interval, signal);
    }
  }

  /** Ends every session gracefully. */
  async close(): Promise<void> {
    this.#server?.close();
    this.#server?.closeAllConnections();
    await this.pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export function reportOf(line: PppoeLine, now: number): LineReport {
  const { session, given, state } = line;
  const { lastError: error } = line;
  return {
    line: line.name,
    state,
    address: given?.local,
    ipv6: line.ipv6.addresses,
    delegated: line.ipv6.delegated,
    concentrator: given?.acName ?? session.concentrator?.name,
    device: line.device?.name,
    mtu: given?.mtu,
    dns: line.dns,
    sessionId: session.sessionId,
    uptime: state === 'open' ? now - session.openedAt : 0,
    retryIn: state === 'waiting' ? Math.max(0, session.retryAt - now) : undefined,
    receivedBytes: session.receivedBytes,
    sentBytes: session.sentBytes,
    receivedPackets: session.receivedPackets,
    sentPackets: session.sentPackets,
    error:
      state === 'open' || error === undefined
        ? undefined
        : { code: error instanceof BarewireError ? error.code : 'BW_SYSTEM', message: error.message },
  };
}

async function serveMetrics(pool: LinePool, place: string): Promise<Server> {
  const [, host, port] = /^(?:\[?([^\]]*)\]?:)?(\d+)$/.exec(place) ?? [];
  if (port === undefined) {
    throw new ArgumentError(`'${place}' is no place for metrics`, { hint: 'Write it as in 127.0.0.1:9469.' });
  }
  const library = await import('prom-client');
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    poolMetrics(pool, library).then(
      ({ text, contentType }) => response.setHeader('content-type', contentType).end(text),
      () => response.writeHead(500).end(),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(port), host || '127.0.0.1', () => resolve(server));
  });
}

function pause(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, time);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
    signal.addEventListener('abort', end, { once: true });
  });
}
