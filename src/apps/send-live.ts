import { type Loaded, load } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import { type LivePatch, type LiveSendMaps, liveSendSpec } from '../programs/live-send.ts';
import { kernelVersion, type Netns, withNetns } from '../sys/index.ts';
import { InterfaceGoneError } from '../xsk/index.ts';
import type { SendEngine } from './send.ts';
import { baseSums, type FramePlan, type FrameSource } from './send-frames.ts';
import { Clock, type Limits } from './send-pace.ts';
import { InterfaceDownError } from './send-path.ts';

/*
 * Setting up a system call with live frames and taking it down costs about 24 ms, so there have to be many runs in
 * each; but nothing else happens in the thread meanwhile, no signal is heard, so there must not be too many.
 */

/** In ms. */
const SET_UP = 24;
/** How long a call is to take, in ms. */
const CALL = 400;
/** With a rate, most runs send nothing and are short; each call is a pause of `SET_UP` in the stream. */
const PACED_CALL = 500;
/** Runs of the first call, which shows how long a run takes. */
const FIRST_RUNS = 100_000;
const MOST_RUNS = 20_000_000;
const BATCH = 64;
/** `XDP_PACKET_HEADROOM` and `struct skb_shared_info` share the page with the frame. */
const LONGEST_FRAME = 3_300;

/** Why the live engine cannot send this, as half a sentence; undefined if it can. */
export function liveObstacle(
  source: FrameSource,
  index: number,
  netns: Netns | string | undefined,
): string | undefined {
  if (source.plans.length > 1) return `it sends one frame, and these are ${source.plans.length}`;
  if (source.longest > LONGEST_FRAME) return `it takes frames of up to ${LONGEST_FRAME} bytes`;
  const { major, minor } = kernelVersion();
  if (major < 5 || (major === 5 && minor < 18)) return 'it takes Linux 5.18 or later';
  using net = new Netlink({ netns });
  const { name, kind } = net.links.get(index);
  let features: readonly string[];
  try {
    ({ features } = net.netdev.xdp(index));
  } catch (error) {
    // Before 6.3 the kernel does not tell; the first packets will show.
    if (error instanceof BarewireError && error.code === 'BW_UNSUPPORTED') return undefined;
    throw error;
  }
  if (features.includes('ndo-xmit')) return undefined;
  return kind === 'veth'
    ? `the other end of ${name} takes redirected frames only with an XDP program or GRO on it (ethtool -K PEER gro on)`
    : `the driver of ${name} takes no redirected frames`;
}

/** Has the kernel repeat one frame, patched by a program each time, and redirect it to the interface. */
export class LiveEngine implements SendEngine {
  readonly kind = 'live';
  readonly description: string;
  readonly remarks: readonly string[] = [];
  readonly refused = 0;
  readonly #loaded: Loaded<LiveSendMaps>;
  readonly #data: Uint8Array;
  readonly #netns: Netns | string | undefined;
  readonly #index: number;
  readonly #name: string;
  readonly #limits: Limits;
  readonly #clock = new Clock();
  #sent = 0;
  #span = 0;

  private constructor(
    loaded: Loaded<LiveSendMaps>,
    plan: FramePlan,
    link: { readonly index: number; readonly name: string },
    netns: Netns | string | undefined,
    limits: Limits,
  ) {
    this.#loaded = loaded;
    this.#data = plan.bytes;
    this.#index = link.index;
    this.#name = link.name;
    this.#netns = netns;
    this.#limits = limits;
    this.description = 'live frames, repeated by the kernel';
  }

  static async open(
    source: FrameSource,
    index: number,
    options: Limits & { readonly netns?: Netns | string | undefined },
  ): Promise<LiveEngine> {
    const plan = source.plans[0]!;
    using net = new Netlink({ netns: options.netns });
    const link = net.links.get(index);
    const patch = plan.ipVersion === 0 ? undefined : patchOf(source, plan);
    const loaded = load(liveSendSpec({ frame: plan.bytes, rate: options.rate, patch }));
    const { count = 2 ** 53 } = options;
    try {
      loaded.maps.state.set(0, { sent: 0n, limit: BigInt(count), start: 0n, next: 0n });
      // The index is looked up in the namespace of the thread.
      withNetns(options.netns, () => loaded.maps.out.set(0, { ifindex: index, prog: 0 }));
    } catch (error) {
      loaded.close();
      throw error;
    }
    return new LiveEngine(loaded, plan, link, options.netns, options);
  }

  get sent(): number {
    return this.#sent;
  }

  get bytes(): number {
    return this.#sent * this.#data.length;
  }

  get span(): number {
    return this.#span;
  }

  answers(): undefined {
    return undefined;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { count = Infinity, duration = Infinity, rate } = this.#limits;
    const start = this.#clock.now();
    let runs = FIRST_RUNS;
    while (!signal.aborted) {
      if (this.#sent >= count) return;
      const from = this.#clock.now();
      const made = rate === undefined ? Math.min(runs, count - this.#sent) : runs;
      this.#repeat(made);
      const now = this.#clock.now();
      this.#span = now - start;
      const left = start + duration - now;
      if (left <= 0) return;
      const perMillisecond = made / Math.max(1, now - from - SET_UP);
      const wanted = Math.min(rate === undefined ? CALL : PACED_CALL, Math.max(left - SET_UP, 1));
      runs = Math.max(1000, Math.min(MOST_RUNS, Math.floor(perMillisecond * wanted)));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async close(): Promise<void> {
    this.#loaded.close();
  }

  #repeat(runs: number): void {
    const { program, maps } = this.#loaded;
    // So that the frames belong to that namespace.
    withNetns(this.#netns, () =>
      program.testRun({ data: this.#data, repeat: runs, liveFrames: true, batchSize: BATCH }),
    );
    this.#sent = Number(maps.state.get(0)?.sent ?? 0n);
    this.#requireLink();
  }

  /** The kernel drops what it cannot redirect and says nothing. */
  #requireLink(): void {
    using net = new Netlink({ netns: this.#netns });
    const link = net.links.find(this.#index);
    if (link === undefined) throw new InterfaceGoneError(this.#name);
    if (!link.up) throw new InterfaceDownError(link.name, 'meanwhile');
  }
}

function patchOf(source: FrameSource, plan: FramePlan): LivePatch {
  const { sources, keys, order, seed } = source;
  const { ip, udp, id, label, ipVersion } = plan;
  const sums = baseSums(plan, sources !== undefined);
  return {
    order,
    seed,
    udp,
    udpSum: sums.udp,
    firstPort: keys.firstPort,
    ports: keys.ports,
    id: id < 0 ? undefined : id,
    label: label < 0 ? undefined : label,
    source:
      sources === undefined
        ? undefined
        : {
            at: ipVersion === 4 ? ip + 12 : ip + 20,
            ...source.addressBits,
            ip: ipVersion === 4 ? { at: ip, sum: sums.ip } : undefined,
          },
  };
}
