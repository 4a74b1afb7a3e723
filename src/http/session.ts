import type { Duplex } from 'node:stream';
import type { Agent } from 'undici';
import { ArgumentError } from '../error.ts';
import type { LineOptions, LinePool } from '../lines/index.ts';
import type { Host } from '../nethost/index.ts';
import { LineHttpAgent, LineHttpsAgent } from './agent.ts';
import { deadline } from './deadline.ts';
import { dial } from './dial.ts';
import { type DispatcherOptions, dispatcherOf, fetchOf, type LineFetch } from './dispatcher.ts';
import type { Line, LineTarget, LineUdp } from './line.ts';
import { type ConnectTlsOptions, connectTls } from './tls.ts';

/** A line that can get another address. */
export interface RotatingLine extends Line {
  /** Resolves with the addresses before and after. */
  redial(): Promise<{ readonly before: string | undefined; readonly after: string | undefined }>;
}

/**
 * Everything that a program does with one line: `fetch`, undici's dispatcher, agents for Node's own `http` and `https`,
 * streams, TLS, datagrams, names. All of it leaves by the line and by nothing else.
 *
 * Connections end with the line: when a PPPoE session goes, each fails at once with `BW_LINE_DOWN`.
 *
 * @example
 * const session = new Session(new DeviceLine({ device: 'tun0', dns: ['192.0.2.53'] }));
 * const response = await session.fetch('https://example.com/');
 * await session.close();
 */
export class Session implements AsyncDisposable {
  readonly line: Line | RotatingLine;
  readonly #options: DispatcherOptions;
  readonly #onClose: () => Promise<void>;
  #dispatcher: Agent | undefined;
  #fetch: LineFetch | undefined;
  #httpAgent: LineHttpAgent | undefined;
  #httpsAgent: LineHttpsAgent | undefined;
  #closing: Promise<void> | undefined;

  /** @param onClose Called by `close`, once its connections are closed. */
  constructor(
    line: Line | RotatingLine,
    options: DispatcherOptions = {},
    onClose: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.line = line;
    this.#options = options;
    this.#onClose = onClose;
  }

  get name(): string {
    return this.line.name;
  }

  /** The addresses that others see it by; empty while the line is down. */
  get addresses(): readonly string[] {
    return this.line.addresses;
  }

  /** HTTP/1.1 and HTTP/2, TLS with the certificate checked. */
  get fetch(): LineFetch {
    this.#fetch ??= fetchOf(this.dispatcher);
    return this.#fetch;
  }

  /** For undici's own `request`, `stream`, `pipeline` and `fetch`. */
  get dispatcher(): Agent {
    this.#dispatcher ??= dispatcherOf(this.line, this.#options);
    return this.#dispatcher;
  }

  /** For `http.request`; keeps connections alive. */
  get httpAgent(): LineHttpAgent {
    this.#httpAgent ??= new LineHttpAgent(this.line, { keepAlive: true });
    return this.#httpAgent;
  }

  /** For `https.request`; keeps connections alive. */
  get httpsAgent(): LineHttpsAgent {
    const { ca } = this.#options;
    this.#httpsAgent ??= new LineHttpsAgent(this.line, {
      keepAlive: true,
      ...(ca === undefined ? {} : { ca }),
    });
    return this.#httpsAgent;
  }

  /**
   * A TCP connection to an address or to a name, whose addresses are tried as RFC 8305 says.
   *
   * @throws With Node's codes.
   */
  async connect({ host, port, ...options }: LineTarget): Promise<Duplex> {
    return await dial(this.line, host, port, options);
  }

  /** @throws As `connect`, and Node's codes for certificates. */
  async connectTls(options: ConnectTlsOptions): ReturnType<typeof connectTls> {
    const { ca } = this.#options;
    return await connectTls(this.line, { ...(ca === undefined ? {} : { ca }), ...options });
  }

  /** @throws ArgumentError when the line carries no datagrams. */
  async udp(): Promise<LineUdp> {
    if (this.line.openUdp === undefined) throw new ArgumentError(`${this.name} carries no UDP`);
    return await this.line.openUdp();
  }

  /** Looks names up at the line's own servers, through it. */
  get resolver(): Pick<Line, 'resolve'> {
    return this.line;
  }

  /** Has the line get another address. @throws ArgumentError when it cannot; why it failed. */
  async redial(): ReturnType<RotatingLine['redial']> {
    if (!('redial' in this.line)) throw new ArgumentError(`${this.name} cannot get another address`);
    return await this.line.redial();
  }

  /** Ends its connections; a line that `openSession` made goes too. A second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#httpAgent?.destroy();
    this.#httpsAgent?.destroy();
    await this.#dispatcher?.destroy();
    await this.#onClose();
  }
}

export interface OpenSessionOptions extends Omit<LineOptions, 'device'>, DispatcherOptions {
  /**
   * `tun`: the kernel's sockets, bound to a device of the session's own. `stack`: a TCP/IP stack in this process, and
   * nothing of it is seen outside. Default is `tun`.
   */
  readonly via?: 'stack' | 'tun';
  /** The stack that sessions share. Default is one for this session. */
  readonly host?: Host;
  /** In ms, for dialling. Default is 30 s. */
  readonly timeout?: number;
}

/**
 * Dials a PPPoE session and lends what {@link Session} has.
 *
 * @throws PppoeError, PppError: why dialling failed.
 *
 * @example
 * await using pool = await LinePool.open('eth1');
 * await using session = await openSession(pool, { user: 'alice', password, via: 'stack' });
 * const response = await session.fetch('https://example.com/');
 */
export async function openSession(pool: LinePool, options: OpenSessionOptions = {}): Promise<Session> {
  const { via = 'tun', host, timeout = 30_000, connections, allowH2, ca, connectTimeout, ...rest } = options;
  const added = pool.add(via === 'stack' ? { ...rest, device: false } : rest);
  let line: Line | RotatingLine = added;
  let close = async (): Promise<void> => {
    await added.hangUp();
    pool.remove(added);
  };
  try {
    if (via === 'stack') {
      const { StackLine } = await import('../lines/index.ts');
      const { Host: NewHost } = await import('../nethost/index.ts');
      const stack = host ?? new NewHost();
      const attached = new StackLine(added, stack);
      line = attached;
      const hangUp = close;
      close = async () => {
        attached.close();
        await hangUp();
        if (host === undefined) await stack.close();
      };
    }
    await added.up({ signal: deadline(timeout, 'dialling') });
  } catch (error) {
    await close();
    throw error;
  }
  const http = {
    ...(connections === undefined ? {} : { connections }),
    ...(allowH2 === undefined ? {} : { allowH2 }),
    ...(ca === undefined ? {} : { ca }),
    ...(connectTimeout === undefined ? {} : { connectTimeout }),
  };
  return new Session(line, http, close);
}
