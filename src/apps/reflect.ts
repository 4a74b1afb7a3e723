import { ArgumentError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import { type InterfaceOptions, type Match, openInterface, type XskInterface } from '../xsk/index.ts';
import { echoSpec } from './reflect-program.ts';
import { REWRITES, type RewriteName, rewrites } from './reflect-rewrite.ts';
import { type TrafficLimits, type TrafficReport, trafficReports } from './traffic.ts';

export interface TakeOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Which frames to take from the host. Default is all. */
  readonly match?: Match;
  /** Which queues. Default is all of them; packets of others go to the host. */
  readonly queues?: readonly number[] | undefined;
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: Exclude<XdpMode, 'offload'> | 'auto';
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
  /** Check at every step who owns each frame, and tell in the reports who owns how many. Default is false. */
  readonly checkFrames?: boolean;
}

export interface ReflectOptions extends TakeOptions {
  readonly rewrite: RewriteName;
}

/**
 * Sends the frames that an interface receives back by the same queue, rewritten in place, without a copy.
 *
 * With `echo` it takes echo requests only, and leaves everything else to the host.
 *
 * @example
 * await using reflector = await Reflector.open({ interface: 'eth0', rewrite: 'swap-mac' });
 * for await (const report of reflector.reports()) console.log(report.txPackets);
 */
export class Reflector implements AsyncDisposable {
  readonly open: XskInterface;
  readonly rewrite: RewriteName;

  private constructor(open: XskInterface, rewrite: RewriteName) {
    this.open = open;
    this.rewrite = rewrite;
  }

  /** @throws As `openInterface`. */
  static async open(options: ReflectOptions): Promise<Reflector> {
    const { rewrite, match = 'all' } = options;
    if (!REWRITES.includes(rewrite)) {
      throw new ArgumentError(`'${rewrite}' is no way to rewrite frames`, {
        hint: `There are: ${REWRITES.join(', ')}.`,
      });
    }
    const program = rewrite === 'echo' ? echoSpec(match, mostQueues(options)) : match;
    return new Reflector(await take(options, program), rewrite);
  }

  reports(limits: TrafficLimits = {}): AsyncGenerator<TrafficReport, void> {
    const rewrite = rewrites[this.rewrite];
    return trafficReports(this.open, (socket, limit) => socket.forward(rewrite, socket, limit), limits);
  }

  async close(): Promise<void> {
    await this.open.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Opens an interface's queues with the options that all takers of packets share. */
export function take(
  options: TakeOptions,
  match: InterfaceOptions['match'],
  more: Pick<InterfaceOptions, 'rings' | 'fillTarget'> = {},
): Promise<XskInterface> {
  const { netns, queues, mode = 'auto', replace = false, checkFrames = false } = options;
  return openInterface(options.interface, {
    match,
    netns,
    mode,
    replace,
    ...more,
    ...(checkFrames ? { umem: { debug: true } } : {}),
    ...(queues === undefined ? {} : { queues }),
  });
}

/** As many as the interface may ever have: the size of the socket map. */
function mostQueues({ interface: ref, netns }: TakeOptions): number {
  using net = new Netlink({ netns });
  return net.links.get(ref).rxQueues;
}
