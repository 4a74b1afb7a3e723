import { type AgentOptions, type ClientRequestArgs, Agent as PlainAgent } from 'node:http';
import { Agent as SecureAgent, type AgentOptions as SecureAgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { deadline } from './deadline.ts';
import { dial } from './dial.ts';
import type { Line } from './line.ts';
import { connectTls } from './tls.ts';

type OnCreate = (error: Error | null, stream: Duplex) => void;

/** Judges every address before a packet leaves for it, by throwing. */
export type Judge = (address: string) => void;

export interface LineAgentOptions extends AgentOptions {
  readonly judge?: Judge | undefined;
  /** How long a connection may take to come about, in ms. Default is 20 s. */
  readonly connectTimeout?: number | undefined;
}

/** An agent for `http.request` whose connections go through the line. */
export class LineHttpAgent extends PlainAgent {
  readonly #line: Line;
  readonly #judge: Judge | undefined;
  readonly #connectTimeout: number;

  constructor(line: Line, options: LineAgentOptions = {}) {
    const { judge, connectTimeout = 20_000, ...rest } = options;
    super(rest);
    this.#line = line;
    this.#judge = judge;
    this.#connectTimeout = connectTimeout;
  }

  override createConnection(options: ClientRequestArgs, callback?: OnCreate): undefined {
    const { host, port } = options;
    answer(
      dial(this.#line, host ?? 'localhost', Number(port ?? 80), {
        // A request's own signal does not reach its agent.
        signal: deadline(this.#connectTimeout, 'the connection'),
        judge: this.#judge,
      }),
      callback,
    );
  }
}

/** An agent for `https.request` whose connections go through the line. */
export class LineHttpsAgent extends SecureAgent {
  readonly #line: Line;
  readonly #connectTimeout: number;

  constructor(line: Line, options: SecureAgentOptions & Pick<LineAgentOptions, 'connectTimeout'> = {}) {
    const { connectTimeout = 20_000, ...rest } = options;
    super(rest);
    this.#line = line;
    this.#connectTimeout = connectTimeout;
  }

  override createConnection(options: ClientRequestArgs, callback?: OnCreate): undefined {
    const { host, port } = options;
    answer(
      connectTls(this.#line, {
        ...this.options,
        host: host ?? 'localhost',
        port: Number(port ?? 443),
        signal: deadline(this.#connectTimeout, 'the connection'),
      }),
      callback,
    );
  }
}

function answer(opening: Promise<Duplex>, callback: OnCreate | undefined): void {
  opening.then(
    (stream) => {
      lendSocketMethods(stream);
      callback?.(null, stream);
    },
    (error: Error) => callback?.(error, undefined as unknown as Duplex),
  );
}

/** What `http.Agent` calls on every socket and a bare duplex stream lacks. */
function lendSocketMethods(stream: Duplex): void {
  const socket = stream as Duplex & Record<string, unknown>;
  for (const name of ['setKeepAlive', 'setNoDelay', 'ref', 'unref']) socket[name] ??= () => socket;
  if (socket.setTimeout === undefined) lendTimeout(stream);
}

/** `setTimeout` that fires: an agent relies on it to drop idle connections, a request to give up. */
function lendTimeout(stream: Duplex): void {
  let timer: NodeJS.Timeout | undefined;
  let span = 0;
  const restart = (): void => {
    clearTimeout(timer);
    if (span > 0 && !stream.destroyed) {
      timer = setTimeout(() => stream.emit('timeout'), span);
      timer.unref();
    }
  };
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  Object.assign(stream, {
    timeout: 0,
    write: (...args: unknown[]) => {
      restart();
      return write(...args);
    },
    setTimeout: (ms: number, listener?: () => void) => {
      span = ms;
      Object.assign(stream, { timeout: ms });
      if (listener !== undefined) {
        if (ms > 0) stream.once('timeout', listener);
        else stream.off('timeout', listener);
      }
      restart();
      return stream;
    },
  });
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    restart();
    return push(chunk, encoding);
  };
  stream.once('close', () => clearTimeout(timer));
}
