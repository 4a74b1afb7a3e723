import { EventEmitter } from 'node:events';
import { parseMac } from '../address/index.ts';
import { attachXdp, type BpfMap, type LiveMaps, load, type XdpAttachment } from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { type Monitor, Netlink, type XdpMode } from '../netlink/index.ts';
import type { MapSpecs, ProgramSpec } from '../spec/index.ts';
import { type Netns, withNetns } from '../sys/index.ts';
import type { CopyMode, Refusal, RingSizes } from './bind.ts';
import type { BusyPollOptions } from './busy-poll.ts';
import { type DriveOptions, type Driver, drive, Sleeper } from './driver.ts';
import { InterfaceGoneError } from './error.ts';
import type { Match } from './match.ts';
import { NapiSettings, restoreNapiLeftovers } from './napi-settings.ts';
import { PacketBatch } from './packet-batch.ts';
import { discoverQueues, type InterfaceQueues } from './queues.ts';
import { Readable } from './readable.ts';
import { redirectSpec } from './redirect.ts';
import { findHintFunctions } from './rx-hints.ts';
import { XskSocket } from './socket.ts';
import type { XskStatistics } from './statistics.ts';
import { Umem, type UmemOptions } from './umem.ts';

export interface InterfaceOptions {
  /**
   * Which frames to take from the kernel; all others go their usual way, so that a host keeps its connections. Or an
   * XDP program of one's own that redirects to the only `xskmap` among its maps.
   */
  readonly match: Match | ProgramSpec;
  /** By name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Default is `auto`: driver mode, else generic. */
  readonly mode?: 'auto' | Exclude<XdpMode, 'offload'>;
  /** Default is `auto`: zero copy where the driver has it, else copy. */
  readonly copy?: 'auto' | CopyMode;
  /** Which queues to open. Default is all: the packets of other queues go their usual way. */
  readonly queues?: readonly number[];
  /** Evict another owner's XDP program. Default is false. */
  readonly replace?: boolean;
  /** Memory of each queue. Frames of 4096 bytes where the MTU wants them and nothing is said. */
  readonly umem?: UmemOptions;
  readonly rings?: Partial<RingSizes>;
  readonly fillTarget?: number;
  readonly txBudget?: number;
  readonly multiBuffer?: boolean;
  /**
   * Has the driver say more of each received packet, as far as it can: `RxHints` reads it. Driver mode only (Linux 6.3);
   * not with a program of one's own. Default is false.
   */
  readonly hints?: boolean;
  readonly busyPoll?: BusyPollOptions;
  readonly busyTimeout?: number;
}

/** What becomes of the interface; `gone` is the last one. */
export interface InterfaceEvents {
  up: [];
  down: [];
  gone: [InterfaceGoneError];
}

export interface BatchOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Packets at most in one batch. Default is 64. */
  readonly limit?: number;
  /** Default is `event`. */
  readonly driver?: Driver;
}

/**
 * Opens all queues of an interface, and has the packets that `match` means sent to them.
 *
 * Every queue has a socket and memory of its own.
 *
 * @throws NoInterfaceError, NoQueueError, QueueBusyError, OccupiedError, ModeRefusedError, ArgumentError, SystemError.
 */
export async function openInterface(ref: string | number, options: InterfaceOptions): Promise<XskInterface> {
  const { netns, multiBuffer = false } = options;
  restoreNapiLeftovers(netns);
  const found = discoverQueues(ref, netns);
  const numbers = options.queues ?? Array.from({ length: found.queues }, (_, queue) => queue);
  const hints = options.hints === true ? findHintFunctions() : undefined;
  const spec = isProgram(options.match)
    ? options.match
    : redirectSpec(options.match, {
        queues: found.queues,
        frags: multiBuffer,
        ...(hints === undefined ? {} : { hints }),
      });
  const mapName = socketMapOf(spec);
  const undo: (() => void)[] = [];
  try {
    const sockets: XskSocket[] = [];
    for (const queue of numbers) {
      const umem = Umem.create({ ...frameSizeFor(found.mtu, options), ...options.umem });
      undo.push(() => umem.close());
      const socket = await XskSocket.open({ ...options, umem, interface: found.index, queue });
      undo.push(() => socket.close());
      sockets.push(socket);
    }
    const loaded = withNetns(netns, () => load(spec, hints === undefined ? {} : { boundTo: found.index }));
    undo.push(() => loaded.close());
    const map = loaded.maps[mapName] as unknown as BpfMap<number, number, XskSocket>;
    // Every socket is in place before the first packet is redirected.
    for (const socket of sockets) map.set(socket.queue, socket);
    const attachment = attachXdp(loaded.program, {
      interface: found.index,
      netns,
      mode: options.mode ?? (hints === undefined ? 'auto' : 'driver'),
      replace: options.replace ?? false,
    });
    undo.push(() => attachment.close());
    const timing = options.busyPoll?.interrupts;
    const settings =
      timing === undefined ? undefined : NapiSettings.apply(found.index, numbers, timing, netns);
    if (settings !== undefined) undo.push(() => settings.close());
    return new XskInterface({ found, sockets, attachment, map, loaded, settings, netns });
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

/** What `openInterface` has made. */
interface InterfaceParts {
  readonly found: InterfaceQueues;
  readonly sockets: readonly XskSocket[];
  readonly attachment: XdpAttachment;
  readonly map: BpfMap<number, number, XskSocket>;
  readonly loaded: Disposable & { readonly maps: LiveMaps<MapSpecs> };
  readonly settings: NapiSettings | undefined;
  readonly netns: Netns | string | undefined;
}

/** All (or some) queues of an interface, as `openInterface` gives it. */
export class XskInterface extends EventEmitter<InterfaceEvents> implements AsyncDisposable {
  readonly name: string;
  readonly index: number;
  /** In bytes, without the Ethernet header. */
  readonly mtu: number;
  /** MAC address, 6 bytes. */
  readonly address: Uint8Array;
  readonly sockets: readonly XskSocket[];
  /** Where the program runs. */
  readonly mode: XdpMode;
  /** Whether packets are copied. */
  readonly copy: CopyMode;
  /** What was asked for and not granted, with the reasons. */
  readonly refusals: readonly Refusal[];
  /** The program's maps, for a program of one's own to be told what to do. Closed with the interface. */
  readonly maps: LiveMaps<MapSpecs>;
  readonly #attachment: XdpAttachment;
  readonly #map: BpfMap<number, number, XskSocket>;
  readonly #loaded: Disposable;
  readonly #settings: NapiSettings | undefined;
  readonly #ending = new AbortController();
  readonly #net: Netlink;
  readonly #monitor: Monitor;
  readonly #watching: Promise<void>;
  #up: boolean;
  /** Why it ended by itself. */
  #fault: unknown;

  constructor(parts: InterfaceParts) {
    const { found, sockets, attachment } = parts;
    super();
    this.name = found.name;
    this.index = found.index;
    this.mtu = found.mtu;
    this.address = found.address === undefined ? new Uint8Array(6) : parseMac(found.address);
    this.sockets = sockets;
    this.mode = attachment.mode;
    this.copy = sockets.some((socket) => socket.mode === 'copy') ? 'copy' : 'zero-copy';
    this.refusals = [
      ...attachment.refusals.map(({ mode, reason }) => ({ what: `${mode} mode`, reason })),
      ...(sockets[0]?.refusals ?? []),
    ];
    this.#attachment = attachment;
    this.#map = parts.map;
    this.#loaded = parts.loaded;
    this.maps = parts.loaded.maps;
    this.#settings = parts.settings;
    this.#net = new Netlink({ netns: parts.netns });
    this.#monitor = this.#net.monitor({ groups: ['link'] });
    this.#up = this.#net.links.find(found.index)?.up ?? false;
    this.#watching = this.#watch().catch((error: unknown) => {
      this.#fault ??= error;
      void this.close();
    });
  }

  /** Whether the interface is set up. */
  get up(): boolean {
    return this.#up;
  }

  get closed(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Why it ended by itself, an InterfaceGoneError for the most part; undefined while it works and after `close()`. */
  get fault(): unknown {
    return this.#fault;
  }

  /** The kernel's counters of all sockets, summed. */
  statistics(): XskStatistics {
    const sum: Record<string, bigint> = {};
    for (const socket of this.sockets) {
      for (const [name, count] of Object.entries(socket.statistics())) sum[name] = (sum[name] ?? 0n) + count;
    }
    return sum as unknown as XskStatistics;
  }

  /**
   * Has `work` done for each socket, again and again, until the signal is aborted or the interface is closed.
   *
   * @param work Receives, forwards or sends, and returns how many packets that were.
   * @throws InterfaceGoneError when the interface was deleted; what `work` throws.
   */
  async run(work: (socket: XskSocket) => number, options: DriveOptions = {}): Promise<void> {
    const { sockets } = this;
    const [only] = sockets;
    const driven = {
      work:
        sockets.length === 1 && only !== undefined
          ? () => work(only)
          : () => {
              let count = 0;
              for (let i = 0; i < sockets.length; i++) count += work(sockets[i]!);
              return count;
            },
      name: this.name,
      fds: sockets.map((socket) => socket.fd),
      // All may come by one queue.
      room: Math.min(...sockets.map((socket) => socket.fillTarget)),
      unfinished: () => sockets.some((socket) => socket.unsent > 0),
    };
    const signal = this.#endWith(options.signal);
    try {
      if (!signal.aborted) await drive(driven, { ...options, signal });
    } catch (error) {
      if (error instanceof InterfaceGoneError) this.#vanish();
      else throw error;
    }
    this.#throwFault();
  }

  /**
   * Received packets in batches, from all queues in turn. A batch is given back when the next one is asked for.
   *
   * It ends with the signal or with `close()`.
   *
   * @throws InterfaceGoneError when the interface was deleted.
   */
  async *batches(options: BatchOptions = {}): AsyncGenerator<PacketBatch, void> {
    const signal = this.#endWith(options.signal);
    const batches = this.sockets.map((socket) => new PacketBatch(socket, options.limit));
    const wait = this.#waiting(options.driver ?? 'event', signal);
    try {
      while (!signal.aborted) {
        let count = 0;
        for (const batch of batches) {
          if (signal.aborted || batch.socket.take(batch) === 0) continue;
          count += batch.count;
          yield batch;
          if (batch.socket.closed) break;
          batch.release();
          if (batch.socket.unsent > 0) batch.socket.flush();
        }
        if (count === 0 && !signal.aborted) await wait();
      }
    } catch (error) {
      if (error instanceof InterfaceGoneError) this.#vanish();
      else throw error;
    } finally {
      for (const batch of batches) if (!batch.socket.closed) batch.release();
      wait.end();
    }
    this.#throwFault();
  }

  /** Detaches the program, takes the sockets out of its map, closes them and gives their memory back. */
  async close(): Promise<void> {
    if (!this.#ending.signal.aborted) {
      this.#ending.abort();
      // Settings first: detaching may take the queue's NAPI instance away.
      this.#settings?.close();
      this.#attachment.close();
      for (const socket of this.sockets) {
        this.#map.delete(socket.queue);
        socket.close();
        socket.umem.close();
      }
      this.#loaded[Symbol.dispose]();
      this.#monitor.close();
      this.#net.close();
    }
    await this.#watching;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What to do between two looks at empty rings. */
  #waiting(driver: Driver, signal: AbortSignal): { (): Promise<void>; end(): void } {
    if (driver === 'event') {
      const readable = new Readable(
        this.name,
        this.sockets.map((socket) => socket.fd),
      );
      // Pollers go before the sockets do, which close() closes right after.
      const end = (): void => readable.close();
      signal.addEventListener('abort', end, { once: true });
      return Object.assign(() => readable.wait(), { end });
    }
    const sleeper = driver === 'nap' ? new Sleeper(100) : undefined;
    const turn = async (): Promise<void> => {
      sleeper?.sleep();
      await new Promise((resolve) => setImmediate(resolve));
    };
    return Object.assign(turn, { end: () => sleeper?.[Symbol.dispose]() });
  }

  #endWith(signal: AbortSignal | undefined): AbortSignal {
    if (this.closed && this.#fault === undefined)
      throw new BarewireError('BW_CLOSED', `${this.name} is closed`);
    return signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
  }

  async #watch(): Promise<void> {
    for await (const event of this.#monitor) {
      if (event.type === 'overrun') {
        const link = this.#net.links.find(this.index);
        if (link === undefined) this.#vanish();
        else this.#turn(link.up);
      } else if (event.type === 'link' && event.link.index === this.index) {
        if (event.action === 'delete') this.#vanish();
        else this.#turn(event.link.up);
      }
      if (this.closed) return;
    }
  }

  #throwFault(): void {
    if (this.#fault !== undefined) throw this.#fault;
  }

  #turn(up: boolean): void {
    if (up === this.#up) return;
    this.#up = up;
    this.emit(up ? 'up' : 'down');
  }

  #vanish(): void {
    if (this.closed) return;
    const gone = new InterfaceGoneError(this.name);
    this.#up = false;
    this.#fault = gone;
    void this.close();
    this.emit('gone', gone);
  }
}

function isProgram(match: Match | ProgramSpec): match is ProgramSpec {
  return typeof match === 'object' && 'instructions' in match;
}

function socketMapOf(spec: ProgramSpec): string {
  const names = Object.keys(spec.maps).filter((name) => spec.maps[name]?.type === 'xskmap');
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new ArgumentError(
      `program ${spec.name} has ${names.length} maps of sockets (xskmap) instead of one`,
    );
  }
  return name;
}

/** Frames large enough for the MTU, an Ethernet header and two tags, where they can be. */
function frameSizeFor(mtu: number, options: InterfaceOptions): UmemOptions {
  if (options.multiBuffer === true || mtu + 22 + 256 <= 2048) return {};
  return { frameSize: 4096 };
}
