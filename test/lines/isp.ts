import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import {
  AccessConcentrator,
  type AccessConcentratorOptions,
  LinePool,
  type PoolOptions,
  type PppoeLine,
} from '../../src/lines/index.ts';

/** The web server behind the provider. */
export const WEB = '198.51.100.2';

const WEB_SERVER = `
  require('node:http').createServer((request, response) => {
    if (request.url === '/large') response.end(Buffer.alloc(2_000_000, 'x'));
    else response.end(request.socket.remoteAddress);
  }).listen(80, '0.0.0.0', () => console.log('up'));`;

export interface IspOptions extends Partial<AccessConcentratorOptions> {
  readonly queues?: number;
  /** Of the wire between customer and provider. Default is 1508. */
  readonly wireMtu?: number;
  /** Whether there is a concentrator on the wire. Default is true. */
  readonly served?: boolean;
}

/**
 * A customer, a provider with a concentrator of ours, and a web server behind it that tells whose request it got.
 *
 *     customer: eth0 ---- eth0: isp: eth1 ---- eth0: web
 */
export class Isp implements AsyncDisposable {
  readonly lab: Lab;
  readonly customer: LabHost;
  readonly isp: LabHost;
  readonly #web: ChildProcess;
  readonly #options: IspOptions;
  server: AccessConcentrator | undefined;

  private constructor(lab: Lab, web: ChildProcess, options: IspOptions) {
    this.lab = lab;
    this.customer = lab.host('customer');
    this.isp = lab.host('isp');
    this.#web = web;
    this.#options = options;
  }

  static async start(options: IspOptions = {}): Promise<Isp> {
    const { queues = 1, wireMtu = 1508, served = true } = options;
    const lab = Lab.create({
      hosts: ['customer', { name: 'isp', forwarding: true }, { name: 'web', gateway: '198.51.100.1' }],
      wires: [
        {
          between: [
            { host: 'customer', addresses: [] },
            { host: 'isp', addresses: [] },
          ],
          mtu: wireMtu,
          queues,
        },
        {
          between: [
            { host: 'isp', addresses: ['198.51.100.1/24'] },
            { host: 'web', addresses: [`${WEB}/24`] },
          ],
        },
      ],
    });
    const web = lab
      .host('web')
      .spawn(process.execPath, ['-e', WEB_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const made = new Isp(lab, web, options);
    try {
      await once(web.stdout!, 'data');
      if (served) await made.serve();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the concentrator, with `userN` and `passN` for accounts. */
  async serve(options: Partial<AccessConcentratorOptions> = {}): Promise<AccessConcentrator> {
    this.server = await AccessConcentrator.open('eth0', {
      netns: this.isp.netns,
      pool: '10.64.0.0/16',
      dns: ['198.51.100.2'],
      account: (user) => {
        const number = /^user(\d+)$/.exec(user)?.[1];
        return number === undefined ? undefined : { password: `pass${number}` };
      },
      ...this.#options,
      ...options,
    });
    return this.server;
  }

  openPool(options: PoolOptions = {}): Promise<LinePool> {
    return LinePool.open('eth0', { netns: this.customer.netns, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server?.close();
    const ended = once(this.#web, 'exit');
    this.#web.kill();
    await ended;
    this.lab.destroy();
  }
}

/** The body of an HTTP answer over a line. */
export async function get(line: PppoeLine, path = '/', host: string = WEB): Promise<string> {
  const socket = await line.connect({ host, port: 80 });
  socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
  const answer = await text(socket);
  const [, ...body] = answer.split('\r\n\r\n');
  return body.join('\r\n\r\n').trim();
}
