import { formatIp } from '../address/index.ts';
import {
  type Driver,
  drive,
  InterfaceGoneError,
  NoQueueError,
  openInterface,
  Umem,
  type XskInterface,
  XskSocket,
} from '../xsk/index.ts';
import type { SendEngine, SendOptions } from './send.ts';
import { AnswerBook, type AnswerReport } from './send-answers.ts';
import type { FrameSource } from './send-frames.ts';
import { Clock, Pace } from './send-pace.ts';
import { InterfaceDownError, type Path } from './send-path.ts';

/** How long an answer may take, in ms. */
const DEFAULT_TIMEOUT = 2000;
/** Packets that are built and handed over at once. */
const BATCH = 64;

/** Sends by an AF_XDP socket, and receives by one on each queue where answers are wanted. */
export class XskEngine implements SendEngine {
  readonly kind = 'xsk';
  readonly description: string;
  readonly remarks: readonly string[];
  readonly #socket: XskSocket;
  readonly #interface: XskInterface | undefined;
  readonly #source: FrameSource;
  readonly #pace: Pace;
  readonly #driver: Driver;
  readonly #clock: Clock;
  readonly #book: AnswerBook | undefined;
  readonly #timeout: number;
  #bytes = 0;

  private constructor(
    socket: XskSocket,
    open: XskInterface | undefined,
    source: FrameSource,
    book: AnswerBook | undefined,
    clock: Clock,
    options: SendOptions,
  ) {
    this.#socket = socket;
    this.#interface = open;
    this.#source = source;
    this.#book = book;
    this.#clock = clock;
    this.#pace = new Pace(options, clock.reading);
    this.#timeout = options.timeout ?? DEFAULT_TIMEOUT;
    this.#driver = options.driver ?? (book === undefined ? 'nap' : 'spin');
    const program = open === undefined ? '' : `, answers by a program in ${open.mode} mode`;
    this.description = `AF_XDP, queue ${socket.queue}, ${socket.mode}${program}`;
    const refusals = open?.refusals ?? socket.refusals;
    this.remarks = refusals.map(({ what, reason }) => `${what} was refused: ${reason}`);
  }

  static async open(
    options: SendOptions,
    source: FrameSource,
    path: Path | undefined,
    answers: boolean,
  ): Promise<XskEngine> {
    const { interface: ref, netns, queue = 0, payload } = options;
    const clock = new Clock();
    const frameSize = source.longest > 2048 ? 4096 : 2048;
    if (!answers || path === undefined || payload.kind !== 'dns') {
      const umem = Umem.create({ frameSize });
      try {
        const socket = await XskSocket.open({ umem, interface: ref, netns, queue });
        return new XskEngine(socket, undefined, source, undefined, clock, options);
      } catch (error) {
        umem.close();
        throw error;
      }
    }
    const server = formatIp(path.destination.bytes);
    const port = payload.port ?? 53;
    const { firstPort, ports } = source.keys;
    const open = await openInterface(ref, {
      // Nothing but the answers is taken from the host.
      match: {
        protocols: [17],
        sources: [server],
        sourcePorts: [port],
        ports: [[firstPort, firstPort + ports - 1]],
      },
      netns,
      mode: options.mode ?? 'auto',
      replace: options.replace ?? false,
    });
    const socket = open.sockets.find((one) => one.queue === queue);
    if (socket === undefined) {
      await open.close();
      throw new NoQueueError(open.name, queue, open.sockets.length);
    }
    const timeout = options.timeout ?? DEFAULT_TIMEOUT;
    const book = new AnswerBook(source.keys, path.destination, port, timeout, clock.reading);
    return new XskEngine(socket, open, source, book, clock, options);
  }

  get sent(): number {
    return this.#pace.taken - this.#socket.traffic.txRefused;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get refused(): number {
    return this.#socket.traffic.txRefused;
  }

  get span(): number {
    return this.#pace.span;
  }

  answers(ended: boolean): AnswerReport | undefined {
    this.#clock.tick();
    return this.#book?.report(this.sent, ended);
  }

  async run(signal: AbortSignal): Promise<void> {
    const sending = new AbortController();
    const stop = AbortSignal.any([signal, sending.signal]);
    const work = (): number => {
      this.#clock.tick();
      const received = this.#receive();
      const sent = this.#send();
      if (this.#pace.ended()) sending.abort();
      return received + sent;
    };
    await this.#drive(work, stop);
    if (!this.#socket.closed) await this.#socket.drain();
    this.#requireUp();
    if (this.#book === undefined || signal.aborted) return;
    await this.#awaitAnswers(signal);
  }

  async close(): Promise<void> {
    await this.#interface?.close();
    this.#socket.close();
    this.#socket.umem.close();
  }

  async #awaitAnswers(signal: AbortSignal): Promise<void> {
    const book = this.#book!;
    const end = this.#clock.now() + this.#timeout;
    const waiting = new AbortController();
    const work = (): number => {
      this.#clock.tick();
      const received = this.#receive();
      if (book.waiting === 0 || this.#clock.reading[0]! >= end) waiting.abort();
      return received;
    };
    await this.#drive(work, AbortSignal.any([signal, waiting.signal]));
  }

  async #drive(work: () => number, signal: AbortSignal): Promise<void> {
    const driver = this.#driver === 'event' ? 'nap' : this.#driver;
    const open = this.#interface;
    if (open !== undefined) {
      // Once a round, whichever socket it is asked for.
      const first = open.sockets[0];
      await open.run((socket) => (socket === first ? work() : 0), { driver, signal });
      return;
    }
    const socket = this.#socket;
    await drive({ work, name: socket.interface, fds: [socket.fd] }, { driver, signal });
  }

  #receive(): number {
    if (this.#book === undefined) return 0;
    let count = 0;
    for (const socket of this.#interface!.sockets) count += socket.receive(this.#take, BATCH);
    return count;
  }

  #send(): number {
    const due = this.#pace.due();
    if (due === 0) return 0;
    const sent = this.#socket.send(Math.min(due, BATCH), this.#build);
    this.#pace.took(sent);
    if (this.#socket.state !== 'up') this.#requireUp();
    return sent;
  }

  readonly #take = (bytes: Uint8Array, address: number, length: number): void => {
    this.#book!.received(bytes, address, length);
  };

  readonly #build = (bytes: Uint8Array, address: number): number => {
    this.#book?.sent(this.#source.place);
    const length = this.#source.write(bytes, address);
    this.#bytes += length;
    return length;
  };

  #requireUp(): void {
    const { state, interface: name } = this.#socket;
    if (state === 'gone') throw new InterfaceGoneError(name);
    if (state === 'down') throw new InterfaceDownError(name, `after ${this.sent} packets`);
  }
}
