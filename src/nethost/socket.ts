import { Duplex } from 'node:stream';
import { NetError, type TcpConnection, type TcpHandler, TcpState } from '../netstack/index.ts';

import type { SendPool } from './send-pool.ts';

export interface HostSocketOptions {
  /** Keep the own side open after the peer has ended its. Default is false, as for sockets of Node's. */
  readonly allowHalfOpen?: boolean;
}

export interface HostSocketAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

/** What a stream takes before it says that it is full, in bytes. */
const HIGH_WATER = 128 << 10;

/**
 * A TCP connection of a {@link Host} as a stream, with what else a socket of Node's has: HTTP, TLS and undici take it
 * for one.
 *
 * Events beside those of a `Duplex`: `connect`, `ready`, `timeout`.
 */
export class HostSocket extends Duplex {
  connecting = true;
  /** Bytes that came. */
  bytesRead = 0;
  timeout = 0;
  #connection: TcpConnection | undefined;
  #waiting: ((error?: Error | null) => void) | undefined;
  #wanted = false;
  #finished = false;
  #timer: NodeJS.Timeout | undefined;
  #written = 0;
  /** For `connect` and `listen` of the stack. */
  readonly handler: TcpHandler = {
    onConnect: () => this.#onConnect(),
    onReadable: () => this.#onReadable(),
    onWritable: () => this.#onWritable(),
    onClose: (_connection, error) => this.#onClose(error),
  };

  readonly #pool: SendPool;

  constructor(pool: SendPool, options: HostSocketOptions = {}) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      readableHighWaterMark: HIGH_WATER,
      writableHighWaterMark: HIGH_WATER,
    });
    this.#pool = pool;
  }

  /** Its connection from now on. */
  adopt(connection: TcpConnection, state: 'connecting' | 'connected'): void {
    this.#connection = connection;
    this.connecting = state === 'connecting';
  }

  /** Not connected yet, or no more. */
  get pending(): boolean {
    return this.#connection === undefined || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesWritten(): number {
    return this.#written;
  }

  get remoteAddress(): string | undefined {
    return this.#connection === undefined ? undefined : String(this.#connection.remote);
  }

  get remotePort(): number | undefined {
    return this.#connection?.remotePort;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    return this.#connection === undefined ? undefined : familyOf(this.#connection);
  }

  get localAddress(): string | undefined {
    return this.#connection === undefined ? undefined : String(this.#connection.local);
  }

  get localPort(): number | undefined {
    return this.#connection?.localPort;
  }

  get localFamily(): 'IPv4' | 'IPv6' | undefined {
    return this.remoteFamily;
  }

  /** The own end. */
  address(): HostSocketAddress | Record<string, never> {
    const connection = this.#connection;
    if (connection === undefined) return {};
    return {
      address: String(connection.local),
      family: familyOf(connection),
      port: connection.localPort,
    };
  }

  /** Whether small segments wait for the ACK of what is in flight. */
  setNoDelay(noDelay = true): this {
    const connection = this.#connection;
    if (connection !== undefined) connection.options = { ...connection.options, noDelay };
    return this;
  }

  /** @param initialDelay Silence before the first probe, in ms. Default is two hours. */
  setKeepAlive(enable = false, initialDelay = 0): this {
    const connection = this.#connection;
    if (connection === undefined) return this;
    const keepAlive = initialDelay > 0 ? { idle: initialDelay } : {};
    connection.layer.setKeepAlive(connection, enable ? keepAlive : undefined);
    return this;
  }

  /** Emits `timeout` after so many ms without any data, in either direction; 0 never. */
  setTimeout(ms: number, listener?: () => void): this {
    this.timeout = ms;
    if (listener !== undefined) {
      if (ms > 0) this.once('timeout', listener);
      else this.removeListener('timeout', listener);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (ms > 0 && !this.destroyed) {
      this.#timer = setTimeout(() => this.emit('timeout'), ms);
      this.#timer.unref();
    }
    return this;
  }

  /** The links keep the process alive, not the sockets. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** Destroys the stream once everything that was written has been handed to the connection. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Resets the connection. */
  resetAndDestroy(): this {
    this.#connection?.abort();
    return this.destroy();
  }

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#send(chunk, callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#connection?.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    const connection = this.#connection;
    if (connection !== undefined && !this.#finished) {
      if (this.connecting || error !== null) connection.abort();
      else {
        // As close(2) does it: what was written still goes out, and nothing more is taken.
        connection.end();
        connection.ignore();
      }
    }
    this.connecting = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(error ?? new NetError('ECONNABORTED', { syscall: 'write' }));
    callback(error);
  }

  #send(bytes: Buffer, callback: (error?: Error | null) => void): void {
    const connection = this.#connection;
    if (connection === undefined) {
      callback(new NetError('EPIPE', { syscall: 'write' }));
      return;
    }
    this.#written += bytes.length;
    if (this.#timer !== undefined) this.#timer.refresh();
    let room = true;
    try {
      for (const piece of this.#pool.copy(bytes)) room = connection.write(piece);
    } catch (error) {
      callback(error as Error);
      return;
    }
    if (room) callback();
    else this.#waiting = callback;
  }

  #onConnect(): void {
    // An accepted connection stands from the beginning.
    if (this.destroyed || !this.connecting) return;
    this.connecting = false;
    this.emit('connect');
    this.emit('ready');
    if (this.#wanted) this.#pull();
  }

  #onReadable(): void {
    if (this.#timer !== undefined) this.#timer.refresh();
    if (this.#wanted) this.#pull();
  }

  #onWritable(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (this.#timer !== undefined) this.#timer.refresh();
    waiting?.();
  }

  #onClose(error: NetError | undefined): void {
    this.#finished = true;
    this.connecting = false;
    if (error !== undefined) {
      // What came before it broke is the reader's still, if the reader takes it now.
      if (!this.destroyed) this.destroy(error);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    if (this.#wanted) this.#pull();
  }

  /** Hands over what is there, for as long as it is wanted. */
  #pull(): void {
    const connection = this.#connection;
    if (connection === undefined || this.destroyed) return;
    for (;;) {
      const bytes = connection.read();
      if (bytes === undefined) break;
      this.bytesRead += bytes.length;
      if (!this.push(bytes)) {
        this.#wanted = false;
        if (!connection.ended) return;
        break;
      }
    }
    if (connection.ended && !this.readableEnded && connection.state !== TcpState.synSent) {
      this.#wanted = false;
      this.push(null);
    }
  }
}

function familyOf(connection: TcpConnection): 'IPv4' | 'IPv6' {
  return connection.local.version === 4 ? 'IPv4' : 'IPv6';
}
