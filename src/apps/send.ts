import { setTimeout as sleep } from 'node:timers/promises';
import { type Prefix, parsePrefix } from '../address/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import type { Driver } from '../xsk/index.ts';
import type { AnswerReport } from './send-answers.ts';
import {
  type DnsPayload,
  dnsPlans,
  type FramePlan,
  FrameSource,
  plainPlan,
  type UdpPayload,
  udpPlan,
} from './send-frames.ts';
import type { Order } from './send-keys.ts';
import { LiveEngine, liveObstacle } from './send-live.ts';
import { type Limits, wasHeld } from './send-pace.ts';
import { findPath, InterfaceDownError, type Path } from './send-path.ts';
import { XskEngine } from './send-xsk.ts';

/** Frames that go out as they are, one after the other, and from the beginning again. */
export interface FramesPayload {
  readonly kind: 'frames';
  readonly frames: readonly Uint8Array[];
}

export type Payload = DnsPayload | UdpPayload | FramesPayload;

/**
 * - `xsk`: an AF_XDP socket. Sends any frames, and receives the answers.
 * - `live`: the kernel repeats one frame itself (`BPF_PROG_TEST_RUN` with live frames), patched by an XDP program. Many
 *   times as fast; it sends one kind of frame and receives nothing.
 */
export type Engine = 'xsk' | 'live';

export interface SendOptions extends Limits {
  /** Name or index. */
  readonly interface: string | number;
  /** Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  readonly payload: Payload;
  /** Where to; all but `frames` need it. */
  readonly destination?: string | undefined;
  /** An address, or a network to send from all of whose addresses. Default is the address that the kernel would use. */
  readonly source?: string | undefined;
  readonly sourceMac?: string | undefined;
  readonly destinationMac?: string | undefined;
  /** VLAN tags, the outer one first. */
  readonly vlans?: readonly number[] | undefined;
  /** Source ports. Default is 61440 to 65535, which the kernel gives to nobody by itself. */
  readonly ports?: readonly [first: number, last: number] | undefined;
  /** Of IDs, ports and addresses. Default is `random`. */
  readonly order?: Order | undefined;
  /** Makes `random` come out the same again. Default is chance. */
  readonly seed?: number | undefined;
  /**
   * Default is `auto`: `live` where it can do what is asked, else `xsk`; and `xsk` for rates that it can hold, which it
   * does more evenly and with less of a core.
   */
  readonly engine?: Engine | 'auto' | undefined;
  /** The queue to send on. Default is 0. */
  readonly queue?: number | undefined;
  /** Receive the answers of DNS and match them. Default is true for DNS. */
  readonly answers?: boolean | undefined;
  /** How long an answer may take, in ms. Default is 2000. */
  readonly timeout?: number | undefined;
  /** Where the program that fetches the answers runs. Default is `auto`. */
  readonly mode?: Exclude<XdpMode, 'offload'> | 'auto' | undefined;
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean | undefined;
  /** Default is `spin` with answers, so that latencies are right, else `nap`. */
  readonly driver?: Driver | undefined;
}

export interface SendReport {
  readonly time: Date;
  /** Since the start, in ms. */
  readonly elapsed: number;
  /** Whether it is the last one. */
  readonly done: boolean;
  /** Handed over and not refused. A full queue on the way may still drop some: count where they arrive. */
  readonly sent: number;
  readonly bytes: number;
  /** Refused by the driver, as without a carrier. */
  readonly refused: number;
  /** Since the report before. */
  readonly packetsPerSecond: number;
  /** Since the report before. */
  readonly bitsPerSecond: number;
  /** Over all, from the first packet to the last. */
  readonly averagePerSecond: number;
  /** The rate that was asked for. */
  readonly rate: number | undefined;
  /** Whether it was held so far; undefined when none was asked for. */
  readonly held: boolean | undefined;
  readonly answers: AnswerReport | undefined;
}

/** What sends. */
export interface SendEngine {
  readonly kind: Engine;
  /** What it is, for people. */
  readonly description: string;
  /** What was asked for and is not done, with the reasons. */
  readonly remarks: readonly string[];
  readonly sent: number;
  readonly bytes: number;
  readonly refused: number;
  /** From the first packet to the last, in ms. */
  readonly span: number;
  /** Sends until the limits or the signal end it, and waits for answers. */
  run(signal: AbortSignal): Promise<void>;
  answers(ended: boolean): AnswerReport | undefined;
  close(): Promise<void>;
}

const DEFAULT_PORTS = [61_440, 65_535] as const;
/** Packets per second that AF_XDP sends in copy mode nearly anywhere. */
const EASY_RATE = 400_000;

/**
 * Sends prepared frames, and for DNS receives and matches the answers.
 *
 * @example
 * await using sender = await Sender.open({
 *   interface: 'eth0',
 *   destination: '192.0.2.53',
 *   payload: { kind: 'dns', questions: [{ name: 'example.org', type: 'A' }] },
 *   rate: 10_000,
 *   count: 100_000,
 * });
 * for await (const report of sender.reports()) console.log(report.sent, report.answers?.answered);
 */
export class Sender implements AsyncDisposable {
  readonly interface: string;
  /** How the packets get there; undefined for frames that go out as they are. */
  readonly path: Path | undefined;
  readonly source: FrameSource;
  readonly engine: SendEngine;
  readonly #rate: number | undefined;

  private constructor(
    name: string,
    path: Path | undefined,
    source: FrameSource,
    engine: SendEngine,
    rate?: number,
  ) {
    this.interface = name;
    this.path = path;
    this.source = source;
    this.engine = engine;
    this.#rate = rate;
  }

  /**
   * Finds the way, builds the frames and opens the engine.
   *
   * @throws ArgumentError; NoInterfaceError, NoQueueError, QueueBusyError, NoNeighbourError, OccupiedError,
   *   ModeRefusedError; BarewireError `BW_NO_ROUTE`, `BW_INTERFACE_DOWN`, `BW_UNSUPPORTED` for an engine that cannot.
   */
  static async open(options: SendOptions): Promise<Sender> {
    const { payload, interface: ref, netns } = options;
    const answers = options.answers ?? payload.kind === 'dns';
    if (answers && payload.kind !== 'dns') throw new ArgumentError('only the answers of DNS can be matched');
    const link = withLink(ref, netns);
    const sources = sourceNetwork(options.source);
    const path = payload.kind === 'frames' ? undefined : await findPath(pathOptions(options));
    const source = new FrameSource(plansFor(payload, path), {
      ports: options.ports ?? DEFAULT_PORTS,
      sources,
      ...(options.order === undefined ? {} : { order: options.order }),
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    });
    requireFits(source, link.mtu, link.name);
    const engine = await openEngine(options, source, path, answers, link.index);
    return new Sender(link.name, path, source, engine, options.rate);
  }

  /**
   * Sends, and tells how it goes at a fixed pace; the last report comes when everything is sent and the answers are
   * there or overdue.
   *
   * @param interval In ms. Default is 1000.
   * @throws InterfaceGoneError, BarewireError `BW_INTERFACE_DOWN` when the interface goes meanwhile.
   */
  async *reports(interval = 1000, signal?: AbortSignal): AsyncGenerator<SendReport, void> {
    const start = performance.now();
    const stop = new AbortController();
    const ended = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    let finished = false;
    const running = this.engine.run(ended).finally(() => {
      finished = true;
    });
    // What it throws is thrown where it is awaited.
    running.catch(() => {});
    let last = start;
    let sent = 0;
    let bytes = 0;
    try {
      for (let tick = 1; ; tick++) {
        const timer = new AbortController();
        const pause = sleep(Math.max(0, start + tick * interval - performance.now()), undefined, {
          signal: timer.signal,
        }).catch(() => {});
        await Promise.race([pause, running.catch(() => {})]);
        timer.abort();
        if (finished) await running;
        const now = performance.now();
        const report = this.#report(now - start, now - last, sent, bytes, finished);
        [last, sent, bytes] = [now, report.sent, report.bytes];
        yield report;
        if (finished) return;
      }
    } finally {
      stop.abort();
      await running.catch(() => {});
    }
  }

  async close(): Promise<void> {
    await this.engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #report(elapsed: number, span: number, sentBefore: number, bytesBefore: number, done: boolean): SendReport {
    const { engine } = this;
    const { sent, bytes, refused } = engine;
    const perSecond = (difference: number): number => (span <= 0 ? 0 : (difference * 1000) / span);
    const rate = this.#rate;
    return {
      time: new Date(),
      elapsed,
      done,
      sent,
      bytes,
      refused,
      packetsPerSecond: perSecond(sent - sentBefore),
      bitsPerSecond: 8 * perSecond(bytes - bytesBefore),
      averagePerSecond: engine.span <= 0 ? 0 : ((sent - 1) * 1000) / engine.span,
      rate,
      held: rate === undefined ? undefined : wasHeld(rate, sent, engine.span),
      answers: engine.answers(done),
    };
  }
}

async function openEngine(
  options: SendOptions,
  source: FrameSource,
  path: Path | undefined,
  answers: boolean,
  index: number,
): Promise<SendEngine> {
  const { engine = 'auto', queue } = options;
  const xsk = (): Promise<XskEngine> => XskEngine.open(options, source, path, answers);
  if (engine === 'xsk' || (engine === 'auto' && (options.rate ?? Infinity) < EASY_RATE)) return xsk();
  const obstacle = answers
    ? 'it receives nothing, so it cannot match answers'
    : queue !== undefined && queue !== 0
      ? 'it cannot choose the queue'
      : liveObstacle(source, index, options.netns);
  if (obstacle === undefined) return LiveEngine.open(source, index, options);
  if (engine === 'auto') return xsk();
  throw new BarewireError('BW_UNSUPPORTED', `the live engine cannot do this: ${obstacle}`, {
    hint: answers ? 'Leave the answers out (--no-answers), or take --engine xsk.' : 'Take --engine xsk.',
  });
}

function plansFor(payload: Payload, path: Path | undefined): FramePlan[] {
  if (payload.kind === 'frames') return payload.frames.map(plainPlan);
  if (path === undefined) throw new ArgumentError('a destination is needed');
  return payload.kind === 'dns' ? dnsPlans(path, payload) : [udpPlan(path, payload.port, payload.payload)];
}

function pathOptions(options: SendOptions): Parameters<typeof findPath>[0] {
  const { destination, source } = options;
  if (destination === undefined) throw new ArgumentError('a destination is needed');
  const { sourceMac, destinationMac, vlans, netns } = options;
  return {
    interface: options.interface,
    netns,
    destination,
    source: source?.split('/')[0],
    sourceMac,
    destinationMac,
    vlans,
  };
}

/** The network to send from, where the source is one and not a single address. */
function sourceNetwork(source: string | undefined): Prefix | undefined {
  return source?.includes('/') === true ? parsePrefix(source) : undefined;
}

function withLink(
  ref: string | number,
  netns: Netns | string | undefined,
): { name: string; index: number; mtu: number } {
  using net = new Netlink({ netns });
  const link = net.links.get(ref);
  if (!link.up) throw new InterfaceDownError(link.name);
  return link;
}

/** The kernel would take longer frames and drop them on the way. */
function requireFits(source: FrameSource, mtu: number, name: string): void {
  const room = mtu + 14 + 4 * 2;
  const short = source.plans.findIndex(({ bytes }) => bytes.length < 14);
  if (short >= 0) {
    throw new ArgumentError(
      `frame ${short + 1} has ${source.plans[short]!.bytes.length} bytes, less than an Ethernet header (14)`,
    );
  }
  const long = source.plans.findIndex(({ bytes }) => bytes.length > room);
  if (long < 0 && source.longest <= 4096) return;
  const at = long < 0 ? source.plans.findIndex(({ bytes }) => bytes.length === source.longest) : long;
  throw new ArgumentError(
    `frame ${at + 1} has ${source.plans[at]!.bytes.length} bytes; ${name} takes at most ${Math.min(room, 4096)}`,
  );
}
