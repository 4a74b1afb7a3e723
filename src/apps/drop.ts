import type { XskInterface } from '../xsk/index.ts';
import { type TakeOptions, take } from './reflect.ts';
import { type TrafficLimits, type TrafficReport, trafficReports } from './traffic.ts';

/**
 * Takes frames from the host, counts them and forgets them.
 *
 * @example
 * await using dropper = await Dropper.open({ interface: 'eth0', match: { protocols: [17], ports: [9] } });
 * for await (const report of dropper.reports()) console.log(report.rxPackets);
 */
export class Dropper implements AsyncDisposable {
  readonly open: XskInterface;

  private constructor(open: XskInterface) {
    this.open = open;
  }

  /** @throws As `openInterface`. */
  static async open(options: TakeOptions): Promise<Dropper> {
    return new Dropper(await take(options, options.match ?? 'all', RECEIVE_ONLY));
  }

  reports(limits: TrafficLimits = {}): AsyncGenerator<TrafficReport, void> {
    return trafficReports(this.open, (socket, limit) => socket.receive(nothing, limit), limits);
  }

  async close(): Promise<void> {
    await this.open.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Nothing is sent, so nearly all of the 4096 frames may wait for packets: room for longer naps. */
const RECEIVE_ONLY = { rings: { rx: 4096 }, fillTarget: 3584 } as const;

function nothing(): void {}
