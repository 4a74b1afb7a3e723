import { setTimeout as sleep } from 'node:timers/promises';
import {
  attachXdp,
  type Loaded,
  load,
  type ModeRefusal,
  probe,
  probeHelper,
  type XdpAttachment,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import { InterfaceGoneError, type Match, openInterface, type XskInterface } from '../xsk/index.ts';
import { type CaptureMaps, captureSpec, HEAD, MOST_CAPTURED } from './capture-program.ts';

export interface CaptureOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Default is all. */
  readonly match?: Match;
  /** Most bytes of a packet to keep. Default is 16384, which is the most. */
  readonly snapLength?: number;
  /** Bytes of the ring that packets wait in, a power of two. Default is 16 MiB. */
  readonly ringSize?: number;
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: Exclude<XdpMode, 'offload'> | 'auto';
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
  /** Take the packets from the host, over AF_XDP, instead of copying them on their way. Default is false. */
  readonly steal?: boolean;
}

/**
 * Gets one packet: bytes `start` to `start + captured - 1` of `bytes`, which are gone when it returns.
 *
 * @param length Bytes that the packet had.
 * @param time In ns since 1970 (UTC).
 */
export type CaptureVisit = (
  bytes: Uint8Array,
  start: number,
  captured: number,
  length: number,
  time: bigint,
) => void;

export interface CaptureStatistics {
  /** Packets that were meant, captured or not. */
  readonly received: bigint;
  /** Of them, those that were lost, for the reader was too slow. */
  readonly dropped: bigint;
}

export interface CaptureRun {
  /** Ends after so many packets. Default is never. */
  readonly count?: number | undefined;
  /** Ends after so long, in ms. Default is never. */
  readonly duration?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called between packets, some hundred times a second. */
  readonly idle?: () => void;
}

/**
 * Packets that an interface receives, with their times.
 *
 * Either an XDP program copies them into a ring buffer and lets them pass, so that the host gets all its packets; or
 * (`steal`) AF_XDP sockets take them, and the host never sees them.
 */
export interface Capture extends AsyncDisposable {
  readonly interface: string;
  readonly mode: XdpMode;
  /** Better modes that were refused, and why. */
  readonly refusals: readonly string[];
  readonly steals: boolean;
  readonly snapLength: number;
  /**
   * Hands over packets until a limit or the signal ends it.
   *
   * @throws InterfaceGoneError when the interface is deleted meanwhile.
   */
  run(visit: CaptureVisit, options?: CaptureRun): Promise<void>;
  statistics(): CaptureStatistics;
  close(): Promise<void>;
}

const DEFAULT_RING = 16 * 1024 * 1024;

/** @throws NoInterfaceError, OccupiedError, ModeRefusedError, QueueBusyError, ArgumentError, SystemError. */
export async function openCapture(options: CaptureOptions): Promise<Capture> {
  const { snapLength = MOST_CAPTURED } = options;
  if (!Number.isInteger(snapLength) || snapLength < 1 || snapLength > MOST_CAPTURED) {
    throw new ArgumentError(`a snap length of ${snapLength} bytes: 1 to ${MOST_CAPTURED} can be kept`);
  }
  return options.steal === true
    ? StealingCapture.open(options, snapLength)
    : CopyingCapture.open(options, snapLength);
}

/** How long the reader sleeps when the ring is empty, in ms; the ring holds what comes meanwhile. */
const PAUSE = 3;
/** Packets between two looks at the clock and the signal. */
const SLICE = 4096;

class CopyingCapture implements Capture {
  readonly interface: string;
  readonly mode: XdpMode;
  readonly refusals: readonly string[];
  readonly steals = false;
  readonly snapLength: number;
  readonly #loaded: Loaded<CaptureMaps>;
  readonly #attachment: XdpAttachment;
  readonly #net: Netlink;
  readonly #clock = new WallClock();
  #bytes: Uint8Array = new Uint8Array(0);

  private constructor(
    loaded: Loaded<CaptureMaps>,
    attachment: XdpAttachment,
    net: Netlink,
    snapLength: number,
  ) {
    this.#loaded = loaded;
    this.#attachment = attachment;
    this.#net = net;
    this.interface = attachment.interface.name;
    this.mode = attachment.mode;
    this.refusals = attachment.refusals.map(refusal);
    this.snapLength = snapLength;
  }

  static open(options: CaptureOptions, snapLength: number): CopyingCapture {
    const { netns, match = 'all', ringSize = DEFAULT_RING } = options;
    const net = new Netlink({ netns });
    try {
      const { index } = net.links.get(options.interface);
      if (!probeHelper('xdp_load_bytes')) {
        throw new BarewireError(
          'BW_UNSUPPORTED',
          'copying packets from an XDP program takes Linux 5.18 or later',
          {
            hint: 'Take them from the host with --steal (steal: true).',
          },
        );
      }
      const loaded = load(captureSpec(match, { snapLength, ringSize, frags: probe('xdp-frags') }));
      try {
        const attachment = attachXdp(loaded.program, {
          interface: index,
          netns,
          mode: options.mode ?? 'auto',
          replace: options.replace ?? false,
        });
        return new CopyingCapture(loaded, attachment, net, snapLength);
      } catch (error) {
        loaded.close();
        throw error;
      }
    } catch (error) {
      net.close();
      throw error;
    }
  }

  async run(visit: CaptureVisit, options: CaptureRun = {}): Promise<void> {
    const { count = Infinity, duration = Infinity, signal, idle } = options;
    const { ring } = this.#loaded.maps;
    const end = performance.now() + duration;
    let left = count;
    let looked = performance.now();
    const show = (view: DataView, offset: number): void => {
      // One view on the ring for all packets.
      if (this.#bytes.buffer !== view.buffer) {
        this.#bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      }
      const captured = view.getUint32(offset + HEAD.captured, true);
      const length = view.getUint32(offset + HEAD.length, true);
      const time = this.#clock.wall(view.getBigUint64(offset + HEAD.time, true));
      visit(this.#bytes, offset + HEAD.size, captured, length, time);
    };
    for (;;) {
      const over = signal?.aborted === true || performance.now() >= end;
      // What came before the end is still captured: one go takes all that is there when it begins.
      const got = ring.drain(show, over ? left : Math.min(left, SLICE));
      left -= got;
      idle?.();
      if (left <= 0 || over) return;
      if (got === SLICE) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      if (performance.now() - looked > 500) {
        looked = performance.now();
        this.#clock.adjust();
        this.#requireLink();
      }
      await sleep(Math.min(PAUSE, Math.max(0, end - performance.now())));
    }
  }

  statistics(): CaptureStatistics {
    let received = 0n;
    let dropped = 0n;
    for (const tally of this.#loaded.maps.tallies.get(0) ?? []) {
      received += tally.packets;
      dropped += tally.dropped;
    }
    return { received, dropped };
  }

  async close(): Promise<void> {
    this.#attachment.close();
    this.#loaded.close();
    this.#net.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireLink(): void {
    const { name, index } = this.#attachment.interface;
    if (this.#net.links.find(index) === undefined) throw new InterfaceGoneError(name);
  }
}

class StealingCapture implements Capture {
  readonly interface: string;
  readonly mode: XdpMode;
  readonly refusals: readonly string[];
  readonly steals = true;
  readonly snapLength: number;
  readonly #open: XskInterface;
  readonly #clock = new WallClock();

  private constructor(open: XskInterface, snapLength: number) {
    this.#open = open;
    this.interface = open.name;
    this.mode = open.mode;
    this.refusals = open.refusals.map(({ what, reason }) => `${what} was refused: ${reason}`);
    this.snapLength = snapLength;
  }

  static async open(options: CaptureOptions, snapLength: number): Promise<StealingCapture> {
    const { netns, match = 'all', mode = 'auto', replace = false } = options;
    const open = await openInterface(options.interface, { match, netns, mode, replace });
    return new StealingCapture(open, snapLength);
  }

  async run(visit: CaptureVisit, options: CaptureRun = {}): Promise<void> {
    const { count = Infinity, duration, signal, idle } = options;
    const stop = new AbortController();
    const timer = duration === undefined ? undefined : setTimeout(() => stop.abort(), duration);
    let left = count;
    let time = 0n;
    const show = (bytes: Uint8Array, start: number, length: number): void => {
      visit(bytes, start, Math.min(length, this.snapLength), length, time);
    };
    const work = (socket: XskInterface['sockets'][number]): number => {
      if (left <= 0) return 0;
      time = this.#clock.wall(process.hrtime.bigint());
      const got = socket.receive(show, Math.min(left, 64));
      left -= got;
      if (left <= 0) stop.abort();
      return got;
    };
    const ticker = setInterval(() => {
      this.#clock.adjust();
      idle?.();
    }, 100);
    try {
      const ended = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
      await this.#open.run(work, { signal: ended });
      idle?.();
    } finally {
      clearInterval(ticker);
      clearTimeout(timer);
    }
  }

  statistics(): CaptureStatistics {
    const { rxDropped, rxRingFull } = this.#open.statistics();
    const taken = this.#open.sockets.reduce((sum, { traffic }) => sum + traffic.rxPackets, 0);
    const dropped = rxDropped + rxRingFull;
    return { received: BigInt(taken) + dropped, dropped };
  }

  async close(): Promise<void> {
    await this.#open.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** From the monotonic clock, which the kernel stamps packets with, to the time of day. */
class WallClock {
  #offset = 0n;

  constructor() {
    this.adjust();
  }

  /** Follows the time of day where it was set or slewed. */
  adjust(): void {
    const milliseconds = performance.timeOrigin + performance.now();
    const offset = BigInt(Math.round(milliseconds * 1000)) * 1000n - process.hrtime.bigint();
    const difference = offset - this.#offset;
    // Below a millisecond it is the reading of two clocks that differs, and times must not jump back and forth.
    if (difference > 1_000_000n || difference < -1_000_000n) this.#offset = offset;
  }

  wall(monotonic: bigint): bigint {
    return monotonic + this.#offset;
  }
}

function refusal({ mode, reason, remedy }: ModeRefusal): string {
  return `${mode} mode was refused: ${reason}${remedy === undefined ? '' : ` (${remedy})`}`;
}
