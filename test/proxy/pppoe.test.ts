import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { connectThrough, datagramThrough } from '../../src/tun/index.ts';
import { MAIN, Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';
import { Isp, WEB } from '../lines/isp.ts';

const SESSIONS = 8;
/** Echoes at TCP port 7 and, with the address it sees, at UDP port 9. */
const ECHO = `
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', (message, peer) => udp.send(peer.address + ' ' + message, peer.port, peer.address));
  require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7, '0.0.0.0', () =>
    udp.bind(9, () => console.log('up')));`;

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-proxy-pppoe-'));
let isp: Isp;
let servers: Running[];

before(async () => {
  isp = await Isp.start({ dns: [WEB] });
  isp.customer.net.links.set('lo', { up: true });
  const web = isp.lab.host('web');
  servers = [
    new Running(web.spawn(process.execPath, ['-e', ECHO])),
    new Running(
      web.spawn(tool('dnsmasq'), [
        ...[
          '--no-daemon',
          '--conf-file=/dev/null',
          '--no-hosts',
          '--no-resolv',
          '--user=root',
          '--pid-file=',
        ],
        ...['--local=/test/', `--address=/site.test/${WEB}`],
      ]),
    ),
  ];
  await servers[0]!.until(({ stdout }) => stdout.includes('up'), 'the echo was up');
  await servers[1]!.until(({ stderr }) => stderr.includes('started'), 'dnsmasq was up');
  writeFileSync(join(folder, 'password'), 'pass7\n', { mode: 0o600 });
});

after(async () => {
  for (const { child } of servers) child.kill();
  await Promise.all(servers.map(({ ended }) => ended));
  await isp[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});

/** A running `barewire proxy` at the customer's, whose exits are PPPoE sessions. */
class Served implements AsyncDisposable {
  readonly file = join(folder, 'proxy.json');
  running!: Running;
  token = '';

  static async start(via: 'tun' | 'stack', sessions = SESSIONS): Promise<Served> {
    const served = new Served();
    served.write(via, sessions);
    served.running = new Running(isp.customer.spawn(process.execPath, [MAIN, 'proxy', 'run', served.file]));
    await served.running.until(({ stderr }) => stderr.includes('Serving'), 'it served');
    served.token = readFileSync(join(folder, 'token'), 'utf8').trim();
    await served.up(sessions);
    return served;
  }

  write(via: 'tun' | 'stack', sessions: number, more: object = {}): void {
    const pppoe = {
      interface: 'eth0',
      user: 'user7',
      'password-file': join(folder, 'password'),
      sessions,
      via,
    };
    const config = {
      users: { local: { from: ['127.0.0.0/8'] } },
      pppoe: [pppoe],
      targets: { allow: [`${WEB}/32`] },
      'rotate-at-most-every': '1s',
      drain: '100ms',
      admin: { 'token-file': join(folder, 'token') },
      log: '-',
      ...more,
    };
    writeFileSync(this.file, JSON.stringify(config));
  }

  async curl(...args: string[]): Promise<string> {
    const child = isp.customer.spawn(tool('curl'), ['--silent', '--show-error', '--max-time', '20', ...args]);
    const { stdout, stderr } = await new Running(child).ended;
    return stdout + stderr;
  }

  /** Through the proxy; `wishes` as behind a user name. */
  async get(url = `http://${WEB}/`, wishes = '', ...more: string[]): Promise<string> {
    const proxy = ['--proxy', 'http://127.0.0.1:8080', '--proxy-user', `local${wishes}:x`];
    return await this.curl(...proxy, ...more, url);
  }

  async admin<T>(path: string, method = 'GET'): Promise<T> {
    const header = `Authorization: Bearer ${this.token}`;
    return JSON.parse(
      await this.curl('--header', header, '--request', method, `http://127.0.0.1:8081${path}`),
    ) as T;
  }

  async exits(): Promise<readonly { name: string; state: string; address?: string }[]> {
    return await this.admin('/exits');
  }

  /** Waits until so many exits are up, and there are no others. */
  async up(count: number): Promise<void> {
    for (;;) {
      const exits = await this.exits();
      if (exits.length === count && exits.every(({ state }) => state === 'up')) return;
    }
  }

  /** A tunnel to the echo, standing. */
  async tunnel(wishes: string): Promise<ReturnType<typeof connectThrough>> {
    const { netns } = isp.customer;
    const socket = connectThrough({ device: 'lo', netns, host: '127.0.0.1', port: 8080 });
    const login = Buffer.from(`local${wishes}:x`).toString('base64');
    socket.write(`CONNECT ${WEB}:7 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${login}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.running.child.kill('SIGTERM');
    await this.running.ended;
  }
}

for (const via of ['tun', 'stack'] as const) {
  describe(`exits that are PPPoE sessions, via ${via}`, () => {
    let served: Served;
    before(async () => {
      served = await Served.start(via);
    });
    after(async () => {
      await served[Symbol.asyncDispose]();
      // Gracefully: the concentrator has none of them left.
      assert.equal(isp.server?.sessions.size, 0);
    });

    it('have an address each, and the site sees that of the exit', async () => {
      const seen = new Map<string, string>();
      for (let i = 0; i < SESSIONS; i++) {
        const answer = await served.get('http://www.site.test/', '', '--include');
        const name = /^X-Exit: (.+)\r$/m.exec(answer)?.[1] ?? '';
        const [, body = ''] = answer.split('\r\n\r\n');
        assert.equal(/^X-Exit-Address: (.+)\r$/m.exec(answer)?.[1], body);
        seen.set(name, body);
      }
      assert.equal(new Set(seen.values()).size, SESSIONS);
      assert.deepEqual(
        [...seen.entries()].sort(),
        (await served.exits()).map(({ name, address }) => [name, address]).sort(),
      );
    });

    it('carry a download whole', async () => {
      assert.equal((await served.get(`http://${WEB}/large`, '', '--proxytunnel')).length, 2_000_000);
    });

    it('carry datagrams', async () => {
      const { netns } = isp.customer;
      const control = connectThrough({ device: 'lo', netns, host: '127.0.0.1', port: 8080 });
      control.write(Buffer.of(5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
      let answer = Buffer.alloc(0);
      while (answer.length < 12) {
        answer = Buffer.concat([answer, ((await once(control, 'data')) as [Buffer])[0]]);
      }
      const udp = await datagramThrough({ device: 'lo', netns });
      const header = Buffer.of(0, 0, 0, 1, ...WEB.split('.').map(Number), 0, 9);
      udp.send(Buffer.concat([header, Buffer.from('hello')]), answer.readUInt16BE(10), '127.0.0.1');
      const [message] = (await once(udp, 'message')) as [Buffer];
      assert.match(message.subarray(10).toString(), /^10\.64\.\d+\.\d+ hello$/);
      control.end();
      await once(control.resume(), 'close');
      await new Promise<void>((resolve) => udp.close(resolve));
    });

    it('change their address when they are told to; hard sessions fail then, soft ones move on', async () => {
      const before = await served.get(`http://${WEB}/`, '-session-soft');
      assert.equal(await served.get(`http://${WEB}/`, '-session-soft'), before);
      const { name } = (await served.exits()).find(({ address }) => address === before)!;
      // Sessions by round robin: one that gets the same exit is found soon.
      let hard = '';
      for (let i = 0; hard === ''; i++) {
        if ((await served.get(`http://${WEB}/`, `-session-h${i}-mode-hard`)) === before)
          hard = `-session-h${i}`;
      }
      const rotation = await served.admin<{ before: string; after: string }>(`/exits/${name}/rotate`, 'POST');
      assert.equal(rotation.before, before);
      assert.notEqual(rotation.after, before);
      assert.equal(await served.get(`http://${WEB}/`, `-exit-${name}`), rotation.after);
      const failed = await served.get(`http://${WEB}/`, `${hard}-mode-hard`, '--include');
      assert.match(failed, /^HTTP\/1\.1 503 /);
      assert.match(failed, /^X-Proxy-Error: BW_PROXY_EXIT_GONE/m);
      const moved = await served.get(`http://${WEB}/`, '-session-soft');
      assert.match(moved, /^10\.64\./);
      assert.equal(await served.get(`http://${WEB}/`, '-session-soft'), moved);
    });

    it('end their connections at once when the session goes, say why, and come back', async () => {
      const [{ name, address } = { name: '', address: '' }] = await served.exits();
      const tunnel = await served.tunnel(`-exit-${name}`);
      const session = [...isp.server!.sessions.values()].find((one) => one.address === address)!;
      const began = served.running.stdout.length;
      isp.server!.terminate(session, 'maintenance');
      await once(
        tunnel.resume().on('error', () => undefined),
        'close',
      );
      await served.running.until(({ stdout }) => stdout.slice(began).includes('"connect"'), 'it was logged');
      assert.match(served.running.stdout.slice(began), /"error":"BW_LINE_DOWN: /);
      await served.up(SESSIONS);
    });

    it('come and go with the file, and those that stay keep their sessions', async () => {
      const before = new Map((await served.exits()).map(({ name, address }) => [name, address]));
      const stays = await served.tunnel('-exit-eth0-1');
      served.write(via, 3);
      assert.deepEqual(await served.admin('/reload', 'POST'), { reloaded: true });
      await served.up(3);
      while (isp.server!.sessions.size !== 3) await new Promise((resolve) => setTimeout(resolve, 10));
      for (const { name, address } of await served.exits()) assert.equal(address, before.get(name));
      served.write(via, 3, { strategy: 'best' });
      assert.match(JSON.stringify(await served.admin('/reload', 'POST')), /strategy/);
      served.write(via, 5);
      await served.admin('/reload', 'POST');
      await served.up(5);
      stays.end('still here');
      assert.equal(await text(stays), 'still here');
    });
  });
}

describe('a configuration of PPPoE exits that is wrong', () => {
  const entry = { interface: 'eth0', user: 'user7', 'password-file': join(folder, 'password') };
  const cases: Readonly<Record<string, readonly [object, RegExp]>> = {
    'a user without a password': [[{ interface: 'eth0', user: 'a' }], /pppoe\[0\]\.password-file: missing/],
    'an interface that is not there': [[{ ...entry, interface: 'eth7' }], /eth7/],
    'a way that is none': [[{ ...entry, via: 'tap' }], /pppoe\[0\]\.via: "tap" is not one of tun, stack/],
    'two of one name': [[entry, entry], /two exits are called eth0-1/],
    'a password that everybody may read': [
      [{ ...entry, 'password-file': join(folder, 'open') }],
      /everybody on this machine may read/,
    ],
  };
  for (const [name, [pppoe, message]] of Object.entries(cases)) {
    it(`${name} is one line`, async () => {
      writeFileSync(join(folder, 'open'), 'x');
      chmodSync(join(folder, 'open'), 0o644);
      const file = join(folder, 'wrong.json');
      writeFileSync(file, JSON.stringify({ users: { a: { from: ['127.0.0.0/8'] } }, pppoe }));
      const { code, stderr } = await new Running(
        isp.customer.spawn(process.execPath, [MAIN, 'proxy', 'run', file]),
      ).ended;
      assert.notEqual(code, 0);
      assert.match(stderr, message);
      assert.ok(!stderr.includes('    at '));
    });
  }
});
