import type { Socket } from 'node:net';
import { CodecError } from '../error.ts';
import { plainAddress } from './client-address.ts';
import type { Destination } from './destination.ts';
import { asProxyError, ProxyError } from './error.ts';
import type { Job } from './job.ts';
import type { ProxyService } from './service.ts';
import {
  NO_ACCEPTABLE_METHOD,
  NO_AUTHENTICATION,
  type Parsed,
  parseCredentials,
  parseGreeting,
  parseRequest,
  replyMessage,
  SOCKS_VERSION,
  type SocksRequest,
  USER_PASSWORD,
} from './socks.ts';
import { tunnel } from './tunnel.ts';
import { openUdpRelay } from './udp-relay.ts';
import type { Admission } from './users.ts';

/** In bytes. The longest message, user name and password, has 513. */
const MAX_MESSAGE = 1024;
const SUCCEEDED = 0;

/** SOCKS5 towards one client: greeting, authentication, request, then a tunnel or a UDP relay. */
export class SocksSide {
  readonly #service: ProxyService;

  constructor(service: ProxyService) {
    this.#service = service;
  }

  async take(socket: Socket): Promise<void> {
    const client = plainAddress(socket.remoteAddress);
    const reader = new MessageReader(socket, this.#service.timeouts.request);
    let job: Job | undefined;
    let stage: 'greeting' | 'request' = 'greeting';
    try {
      const admission = await this.#admit(socket, reader, client);
      stage = 'request';
      const request = await reader.read(parseRequest);
      // From here on the client has said what it wants, and may be silent.
      reader.release();
      if (request.command === 'udp-associate') {
        await this.#relayUdp(socket, client, admission);
        return;
      }
      job = this.#service.begin(client, 'socks5', admission, request.destination);
      if (request.command !== 'connect') throw unsupported(request);
      await this.#connect(socket, job);
    } catch (error) {
      const failure = error instanceof CodecError ? malformed(error) : asProxyError(error);
      if (job !== undefined) job.finish(failure.reply, failure);
      else if (failure.code !== 'BW_PROXY_LIMIT') {
        this.#service.reject(client, 'socks5', failure.reply, failure);
      }
      if (stage === 'request' && socket.writable) socket.write(replyMessage(failure.reply));
      socket.on('error', () => socket.destroy());
      socket.end();
    } finally {
      reader.release();
    }
  }

  async #admit(socket: Socket, reader: MessageReader, client: string): Promise<Admission> {
    const methods = await reader.read(parseGreeting);
    const byAddress = this.#service.users.byAddress(client);
    // A user name is worth asking for even of a client that is known by its address: it says which session it means.
    if (!methods.includes(USER_PASSWORD)) {
      if (byAddress !== undefined && methods.includes(NO_AUTHENTICATION)) {
        socket.write(Uint8Array.of(SOCKS_VERSION, NO_AUTHENTICATION));
        return byAddress;
      }
      socket.write(Uint8Array.of(SOCKS_VERSION, NO_ACCEPTABLE_METHOD));
      throw new ProxyError('BW_PROXY_AUTHENTICATION', 'this proxy asks for a user name and a password');
    }
    socket.write(Uint8Array.of(SOCKS_VERSION, USER_PASSWORD));
    const { user, password } = await reader.read(parseCredentials);
    try {
      const nameless = user === '' ? byAddress : undefined;
      const admission = nameless ?? (await this.#service.users.byPassword(client, user, password));
      socket.write(Uint8Array.of(1, 0));
      return admission;
    } catch (error) {
      // RFC 1929 section 2: a failure, and the connection is closed.
      socket.write(Uint8Array.of(1, 1));
      throw error;
    }
  }

  async #connect(socket: Socket, job: Job): Promise<void> {
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    socket.once('close', leave);
    const upstream = await this.#service.connect(job, gone.signal);
    socket.off('close', leave);
    job.hold((reason) => upstream.destroy(reason));
    const { address } = job.exit ?? {};
    socket.write(replyMessage(SUCCEEDED, address === undefined ? undefined : { host: address, port: 0 }));
    const failure = await tunnel(socket, upstream, {
      up: (bytes) => job.up(bytes),
      down: (bytes) => job.down(bytes),
      idle: this.#service.timeouts.idle,
    });
    job.finish(SUCCEEDED, failure);
  }

  /** RFC 1928 section 7: the relay lives as long as the connection that asked for it. */
  async #relayUdp(socket: Socket, client: string, admission: Admission): Promise<void> {
    const job = this.#service.begin(client, 'socks5-udp', admission, undefined);
    try {
      const exit = this.#service.route(job);
      let failure: Error | undefined;
      const where = { local: plainAddress(socket.localAddress), client };
      const end = (reason: Error): void => {
        failure = reason;
        socket.destroy();
      };
      const relay = await openUdpRelay(this.#service, job, exit, where, end);
      job.hold(end);
      const bound: Destination = relay.address;
      socket.write(replyMessage(SUCCEEDED, bound));
      await new Promise<void>((resolve) => {
        socket.on('error', () => socket.destroy());
        socket.once('end', () => socket.end());
        socket.once('close', () => resolve());
        socket.resume();
        if (socket.destroyed) resolve();
      });
      relay.close();
      job.finish(SUCCEEDED, failure);
    } catch (error) {
      job.finish(asProxyError(error).reply, error);
      if (socket.writable) socket.end(replyMessage(asProxyError(error).reply));
    }
  }
}

/** Reads messages of unknown length from a stream, with an end to its patience and its memory. */
class MessageReader {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #released = false;

  constructor(socket: Socket, timeout: number) {
    this.#socket = socket;
    this.#timer = setTimeout(() => socket.destroy(new Error('the greeting took too long')), timeout);
    // A client may fail at any time; whoever reads hears of it by the close.
    socket.on('error', ignore);
  }

  /** @throws CodecError for what is no such message; ProxyError when the client leaves in the middle. */
  async read<T>(parse: (bytes: Uint8Array) => Parsed<T>): Promise<T> {
    let bytes: Buffer = Buffer.alloc(0);
    while (true) {
      const chunk = (this.#socket.read() ?? (await this.#more())) as Buffer | null;
      if (chunk === null) continue;
      bytes = Buffer.concat([bytes, chunk]);
      const parsed = parse(bytes);
      if (parsed !== undefined) {
        if (parsed.length < bytes.length) this.#socket.unshift(bytes.subarray(parsed.length));
        return parsed.value;
      }
      if (bytes.length > MAX_MESSAGE) throw new ProxyError('BW_PROXY_REQUEST', 'the message is too long');
    }
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    clearTimeout(this.#timer);
  }

  async #more(): Promise<null> {
    const socket = this.#socket;
    await new Promise<void>((resolve, reject) => {
      const settle = (done: () => void) => (): void => {
        socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
        done();
      };
      const onReadable = settle(resolve);
      const onEnd = settle(() =>
        reject(new ProxyError('BW_PROXY_REQUEST', 'the client left in mid-message')),
      );
      socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd);
      if (socket.destroyed || socket.readableEnded) onEnd();
    });
    return null;
  }
}

function ignore(): void {}

function unsupported(request: SocksRequest): ProxyError {
  return new ProxyError('BW_PROXY_COMMAND', `SOCKS command ${request.command} is not served`);
}

function malformed(error: CodecError): ProxyError {
  if (/address type/.test(error.message)) return new ProxyError('BW_PROXY_ADDRESS_TYPE', error.message);
  if (/command/.test(error.message)) return new ProxyError('BW_PROXY_COMMAND', error.message);
  return new ProxyError('BW_PROXY_REQUEST', error.message, { cause: error });
}
