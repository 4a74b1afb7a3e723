import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { hashPassword } from '../../src/proxy/index.ts';
import { connectThrough } from '../../src/tun/index.ts';
import { MAIN, Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';

/** What the web server on the Internet's side does; it answers at every address of its host. */
const SITES = `
  const { createServer } = require('node:http');
  const { createServer: listen } = require('node:net');
  const { createSocket } = require('node:dgram');
  const { createHash } = require('node:crypto');
  const from = (socket) => socket.remoteAddress.replace('::ffff:', '');
  createServer((request, response) => {
    if (request.url === '/headers') return response.end(JSON.stringify(request.rawHeaders));
    if (request.url === '/slow') return;
    if (request.url === '/cut') { response.writeHead(200, { 'content-length': 100 }); response.write('ten bytes.'); return setTimeout(() => response.destroy(), 20); }
    if (request.url.startsWith('/bytes/')) {
      const size = Number(request.url.slice(7));
      response.writeHead(200, { 'content-length': size });
      return response.end(Buffer.alloc(size, 'x'));
    }
    if (request.method === 'POST') {
      const hash = createHash('sha256');
      request.on('data', (chunk) => hash.update(chunk));
      return request.on('end', () => response.end(hash.digest('hex')));
    }
    response.end(from(request.socket) + '\\n');
  }).listen(80, '::', () => {
    listen({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket)).listen(7, '::', () => {
      listen({ pauseOnConnect: true }, (socket) => socket.on('error', () => {})).listen(13, '::');
      const udp = createSocket('udp4');
      udp.on('message', (message, peer) => udp.send(peer.address + ' ' + message, peer.port, peer.address));
      udp.bind(9, () => console.log('up'));
    });
  });`;

export const LINES = 3;
export const PASSWORD = 'correct horse';
/** The site's address; names ending in `site.test` lead there. */
export const SITE = '203.0.113.1';
/** A second address of the same host that no configuration lets through. */
export const HIDDEN = '10.99.0.1';

/** A client, a proxy with three lines, and the Internet with a web server and a name server. */
export class Street implements AsyncDisposable {
  readonly lab: Lab;
  readonly client: LabHost;
  readonly proxy: LabHost;
  readonly internet: LabHost;
  readonly folder: string;
  readonly #running: Running[] = [];

  private constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'barewire-proxy-'));
    this.lab = Lab.create({
      hosts: ['client', 'proxy', 'internet'],
      wires: [
        { between: ['client', 'proxy'] },
        ...Array.from({ length: LINES }, (_, i) => ({
          between: [
            { host: 'proxy', interface: `line${i}`, addresses: [`100.64.${i}.2/24`] },
            { host: 'internet', interface: `isp${i}`, addresses: [`100.64.${i}.1/24`] },
          ] as const,
        })),
      ],
    });
    this.client = this.lab.host('client');
    this.proxy = this.lab.host('proxy');
    this.internet = this.lab.host('internet');
  }

  static async build(): Promise<Street> {
    const street = new Street();
    const { proxy, internet } = street;
    for (const host of [proxy, internet]) {
      host.sysctl('net.ipv4.conf.all.rp_filter', 2);
      host.net.links.set('lo', { up: true });
    }
    for (const address of [SITE, HIDDEN]) internet.net.addresses.add('lo', `${address}/32`);
    for (let i = 0; i < LINES; i++) {
      proxy.net.routes.add({
        destination: 'default',
        via: `100.64.${i}.1`,
        link: `line${i}`,
        metric: 10 + i,
      });
    }
    await street.#start(internet, process.execPath, ['-e', SITES], (out) => out.stdout.includes('up'));
    await street.#start(
      internet,
      tool('dnsmasq'),
      [
        '--no-daemon',
        '--conf-file=/dev/null',
        '--no-hosts',
        '--no-resolv',
        '--user=root',
        '--pid-file=',
        '--local=/test/',
        `--address=/site.test/${SITE}`,
        `--address=/inside.test/${HIDDEN}`,
        '--address=/loop.test/127.0.0.1',
        '--host-record=both.test,203.0.113.1',
        `--host-record=both.test,${HIDDEN}`,
        '--host-record=six.test,2001:db8:99::1',
        `--host-record=dual.test,${SITE},2001:db8:99::1`,
        `--host-record=half.test,${SITE},2001:db8:99::dead`,
        '--host-record=inner6.test,fd00:77::2',
      ],
      (out) => out.stderr.includes('started'),
    );
    return street;
  }

  /** Writes a configuration with the users, exits and site of the street; `more` is put over it. */
  async configure(more: object = {}): Promise<string> {
    const password = await hashPassword(PASSWORD);
    const config = {
      listen: '10.77.0.2:8080',
      users: { alice: { password }, 'web-team': { password }, bob: { password, exits: ['line1'] } },
      exits: Object.fromEntries(
        Array.from({ length: LINES }, (_, i) => [`line${i}`, { device: `line${i}`, dns: [`100.64.${i}.1`] }]),
      ),
      targets: { allow: ['203.0.113.0/24'] },
      admin: { listen: '10.77.0.2:8081', 'token-file': join(this.folder, 'token') },
      log: '-',
      ...more,
    };
    const file = join(this.folder, `proxy-${this.#running.length}.json`);
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  /** Starts the proxy; its access log is what it prints. */
  async serve(file: string): Promise<Running> {
    return await this.#start(this.proxy, process.execPath, [MAIN, 'proxy', 'run', file], (out) =>
      out.stderr.includes('Serving'),
    );
  }

  /** Runs curl at the client's; gives its output and exit code. */
  async curl(...args: string[]): Promise<{ readonly out: string; readonly code: number | null }> {
    const running = new Running(
      this.client.spawn(tool('curl'), ['--silent', '--show-error', '--max-time', '20', ...args]),
    );
    const { code, stdout, stderr } = await running.ended;
    return { out: stdout + stderr, code };
  }

  /** A connection from the client to the proxy. */
  connect(port = 8080): Socket {
    return connectThrough({
      device: 'eth0',
      netns: this.client.netns,
      host: '10.77.0.2',
      port,
      allowHalfOpen: true,
    });
  }

  /** Sends bytes to the proxy and gives all it says until it closes. */
  async say(bytes: string | Uint8Array): Promise<string> {
    const socket = this.connect();
    socket.write(bytes);
    const answer = await text(socket);
    socket.destroy();
    return answer;
  }

  async stop(running: Running): Promise<void> {
    running.child.kill('SIGTERM');
    await running.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running) running.child.kill('SIGKILL');
    await Promise.all(this.#running.map(({ ended }) => ended));
    this.lab.destroy();
    rmSync(this.folder, { recursive: true });
  }

  async #start(
    host: LabHost,
    program: string,
    args: readonly string[],
    isUp: (running: Running) => boolean,
  ): Promise<Running> {
    const running = new Running(host.spawn(program, args));
    this.#running.push(running);
    await running.until(isUp, 'it was up');
    return running;
  }
}

/** Waits until the proxy has closed the connection, in whatever way. */
export async function letGo(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.on('error', () => resolve());
    socket.once('end', () => resolve());
    socket.once('close', () => resolve());
    socket.resume();
  });
  socket.destroy();
}
