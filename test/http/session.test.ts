import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { openSession, type Session } from '../../src/http/index.ts';
import type { LinePool } from '../../src/lines/index.ts';
import { Host } from '../../src/nethost/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';
import { Isp, WEB } from '../lines/isp.ts';

/** Echoes at TCP port 7 and, with the address it sees, at UDP port 9. */
const ECHO = `
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', (message, peer) => udp.send(peer.address + ' ' + message, peer.port, peer.address));
  require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7, '0.0.0.0', () =>
    udp.bind(9, () => console.log('up')));`;

const stock = takeStock();
let isp: Isp;
let pool: LinePool;
let servers: Running[];

before(async () => {
  isp = await Isp.start({ dns: [WEB] });
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
  pool = await isp.openPool();
});

after(async () => {
  await pool.close();
  for (const { child } of servers) child.kill();
  await Promise.all(servers.map(({ ended }) => ended));
  await isp[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

for (const via of ['tun', 'stack'] as const) {
  describe(`a PPPoE session via ${via}`, () => {
    let session: Session;
    before(async () => {
      session = await openSession(pool, { user: 'user1', password: 'pass1', via });
    });
    after(async () => {
      await session.close();
      await session.close();
      assert.equal(pool.lines.length, 0);
      assert.equal(isp.server?.sessions.size, 0);
    });

    it('fetches, by name, and is seen by its own address', async () => {
      const response = await session.fetch('http://www.site.test/');
      assert.equal(await response.text(), session.addresses[0]);
      const large = await (await session.fetch(`http://${WEB}/large`)).arrayBuffer();
      assert.equal(large.byteLength, 2_000_000);
    });

    it("serves Node's own client by its agent", async () => {
      for (let i = 0; i < 2; i++) {
        const request = get(`http://${WEB}/`, { agent: session.httpAgent });
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        assert.equal(await text(response), session.addresses[0]);
        assert.equal(request.reusedSocket, i > 0);
      }
    });

    it('connects to names, and keeps what it has half-closed open', async () => {
      const stream = await session.connect({ host: 'site.test', port: 7, allowHalfOpen: true });
      stream.end('hello');
      assert.equal(await text(stream), 'hello');
    });

    it('sends datagrams and asks for names', async () => {
      assert.deepEqual(await session.resolver.resolve('site.test'), [WEB]);
      await assert.rejects(session.resolver.resolve('nowhere.test'), { code: 'ENOTFOUND' });
      const udp = await session.udp();
      const answered = new Promise<string>((resolve) => {
        udp.onMessage = (payload) => resolve(Buffer.from(payload).toString());
      });
      udp.send(Buffer.from('hello'), WEB, 9);
      assert.equal(await answered, `${session.addresses[0]} hello`);
      udp.close();
      udp.close();
      udp.send(Buffer.from('hello'), WEB, 9);
    });

    it("fails with Node's codes", async () => {
      await assert.rejects(session.connect({ host: WEB, port: 81 }), { code: 'ECONNREFUSED' });
      await assert.rejects(session.connect({ host: 'nowhere.test', port: 81 }), { code: 'ENOTFOUND' });
      await assert.rejects(session.fetch(`http://${WEB}:81/`), ({ cause }: Error) => {
        assert.equal((cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
        return true;
      });
    });

    it('ends all it carries at once, with a code of its own, when it changes its address', async () => {
      const streams = await Promise.all(
        Array.from({ length: 20 }, () => session.connect({ host: WEB, port: 7 })),
      );
      const udp = await session.udp();
      const gone = new Promise<Error>((resolve) => {
        udp.onGone = resolve;
      });
      const failures = streams.map(async (stream) => {
        const [error] = (await once(stream.resume(), 'error')) as [NodeJS.ErrnoException];
        return error.code;
      });
      const { before, after } = await session.redial();
      assert.notEqual(before, after);
      assert.deepEqual(new Set(await Promise.all(failures)), new Set(['BW_LINE_DOWN']));
      assert.equal(((await gone) as NodeJS.ErrnoException).code, 'BW_LINE_DOWN');
      assert.equal(await (await session.fetch(`http://${WEB}/`)).text(), after);
    });
  });
}

describe('sessions', () => {
  it('share a stack, and each is seen by its own address', async () => {
    await using host = new Host();
    const sessions = await Promise.all(
      Array.from({ length: 5 }, () =>
        openSession(pool, { user: 'user1', password: 'pass1', via: 'stack', host }),
      ),
    );
    const seen = await Promise.all(
      sessions.map(async (session) => await (await session.fetch(`http://${WEB}/`)).text()),
    );
    assert.equal(new Set(seen).size, 5);
    assert.deepEqual(
      seen,
      sessions.map(({ addresses }) => addresses[0]),
    );
    assert.equal(host.interfaces.length, 5);
    await Promise.all(sessions.map((session) => session.close()));
    assert.equal(host.interfaces.length, 0);
  });

  it('that cannot be opened say why, and leave nothing', async () => {
    for (const via of ['tun', 'stack'] as const) {
      await assert.rejects(openSession(pool, { user: 'user1', password: 'wrong', via, retry: false }), {
        code: 'BW_PPP_AUTHENTICATION',
      });
    }
    assert.equal(pool.lines.length, 0);
  });
});
