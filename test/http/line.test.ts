import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { Agent } from 'undici';
import {
  connectTls,
  dial,
  dispatcherOf,
  fetchOf,
  LineHttpAgent,
  LineHttpsAgent,
} from '../../src/http/index.ts';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { DeviceLine } from '../../src/tun/index.ts';
import { Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';

/** HTTP at 80, HTTPS with HTTP/2 at 443, HTTPS without at 444, silence at 81. */
const SERVERS = `
  const { createServer } = require('node:http');
  const { createSecureServer } = require('node:http2');
  const https = require('node:https');
  const { createServer: listen } = require('node:net');
  const { readFileSync } = require('node:fs');
  const tls = { key: readFileSync(process.argv[1]), cert: readFileSync(process.argv[2]) };
  const answer = (request, response) => {
    if (request.url === '/stall') return;
    response.end(request.httpVersion + ' ' + request.socket.remoteAddress.replace('::ffff:', ''));
  };
  createServer(answer).listen(80, '::', () =>
    createSecureServer({ ...tls, allowHTTP1: true }, answer).listen(443, '::', () =>
      https.createServer(tls, answer).listen(444, '::', () =>
        listen(() => {}).listen(81, '::', () => console.log('up')))));`;

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-http-'));
let lab: Lab;
let client: LabHost;
let line: DeviceLine;
let running: Running[];
let ca: string;

before(async () => {
  lab = Lab.create({
    hosts: ['client', 'server'],
    wires: [
      { between: ['client', 'server'] },
      {
        between: [
          { host: 'client', interface: 'line', addresses: ['192.0.2.1/24'] },
          { host: 'server', addresses: ['192.0.2.2/24'] },
        ],
      },
    ],
  });
  client = lab.host('client');
  const server = lab.host('server');
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    tool('openssl'),
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert],
      ...['-subj', '/CN=site.test', '-addext', 'subjectAltName=DNS:site.test,DNS:www.site.test'],
    ],
    { stdio: 'ignore' },
  );
  ca = readFileSync(cert, 'utf8');
  running = [
    new Running(server.spawn(process.execPath, ['-e', SERVERS, key, cert])),
    new Running(
      server.spawn(tool('dnsmasq'), [
        ...[
          '--no-daemon',
          '--conf-file=/dev/null',
          '--no-hosts',
          '--no-resolv',
          '--user=root',
          '--pid-file=',
        ],
        ...['--local=/test/', '--address=/site.test/192.0.2.2'],
      ]),
    ),
  ];
  await running[0]!.until(({ stdout }) => stdout.includes('up'), 'the servers were up');
  await running[1]!.until(({ stderr }) => stderr.includes('started'), 'dnsmasq started');
  line = new DeviceLine({ device: 'line', netns: client.netns, dns: ['192.0.2.2'] });
});

after(async () => {
  for (const { child } of running) child.kill();
  await Promise.all(running.map(({ ended }) => ended));
  lab.destroy();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});

/** Through a dispatcher that is closed afterwards. */
async function fetched(
  url: string,
  options: Parameters<typeof dispatcherOf>[1] = {},
  init: RequestInit = {},
): Promise<string> {
  const dispatcher: Agent = dispatcherOf(line, { ca, ...options });
  try {
    const response = await fetchOf(dispatcher)(url, init as never);
    return await response.text();
  } finally {
    await dispatcher.destroy();
  }
}

describe('fetch through a line', () => {
  it('reaches a server by name in the clear, and is seen from the line', async () => {
    assert.equal(await fetched('http://www.site.test/'), '1.1 192.0.2.1');
  });

  it('speaks HTTP/2 where the server does, and HTTP/1.1 where it does not or may not', async () => {
    assert.equal(await fetched('https://site.test/'), '2.0 192.0.2.1');
    assert.equal(await fetched('https://site.test:444/'), '1.1 192.0.2.1');
    assert.equal(await fetched('https://site.test/', { allowH2: false }), '1.1 192.0.2.1');
  });

  it('checks certificates', async () => {
    const wrongName = fetched('https://192.0.2.2/');
    await assert.rejects(wrongName, ({ cause }: Error) => {
      assert.equal((cause as NodeJS.ErrnoException).code, 'ERR_TLS_CERT_ALTNAME_INVALID');
      return true;
    });
    const dispatcher = dispatcherOf(line);
    await assert.rejects(fetchOf(dispatcher)('https://site.test/'), ({ cause }: Error) => {
      assert.equal((cause as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
      return true;
    });
    await dispatcher.destroy();
  });

  it("fails with Node's codes", async () => {
    const code = async (url: string, options = {}): Promise<unknown> => {
      try {
        return await fetched(url, options);
      } catch (error) {
        return (error as { cause?: { code?: unknown } }).cause?.code;
      }
    };
    assert.equal(await code('http://nowhere.test/'), 'ENOTFOUND');
    assert.equal(await code('http://site.test:82/'), 'ECONNREFUSED');
    assert.equal(await code('https://site.test:81/', { connectTimeout: 300 }), 'ETIMEDOUT');
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const pending = fetched('http://site.test/stall', {}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await assert.rejects(pending, { name: 'AbortError' });
  });
});

describe("Node's own clients through a line", () => {
  const answer = async (request: ReturnType<typeof get>): Promise<string> => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject);
    });
    return await text(response);
  };

  it('http.get by agent, one connection for several requests', async () => {
    const agent = new LineHttpAgent(line, { keepAlive: true });
    for (let i = 0; i < 3; i++) {
      const request = get('http://site.test/', { agent });
      assert.equal(await answer(request), '1.1 192.0.2.1');
      assert.equal(request.reusedSocket, i > 0);
    }
    agent.destroy();
  });

  it('https.get by agent', async () => {
    const agent = new LineHttpsAgent(line, { ca });
    assert.equal(await answer(getSecure('https://site.test/', { agent })), '1.1 192.0.2.1');
    await assert.rejects(answer(getSecure('https://192.0.2.2/', { agent })), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    agent.destroy();
  });

  it("a request's time-out fires", async () => {
    const agent = new LineHttpAgent(line);
    const request = get('http://site.test/stall', { agent, timeout: 100 });
    request.on('timeout', () => request.destroy(new Error('too late')));
    await assert.rejects(answer(request), /too late/);
    agent.destroy();
  });
});

describe('connections through a line', () => {
  it('are refused by the judge before a packet leaves', async () => {
    const judge = (address: string): void => {
      throw new Error(`not to ${address}`);
    };
    await assert.rejects(dial(line, 'site.test', 80, { judge }), /not to 192\.0\.2\.2/);
  });

  it('take the address that answers when the first keeps silent', async () => {
    const several = Object.assign(Object.create(line) as DeviceLine, {
      connect: line.connect.bind(line),
      // Nobody has the first; nothing answers for it.
      resolve: async () => ['192.0.2.77', '192.0.2.2'],
    });
    const stream = await dial(several, 'site.test', 80);
    stream.end('GET / HTTP/1.0\r\n\r\n');
    assert.match(await text(stream), /1\.0 192\.0\.2\.1$/);
  });

  it('carry TLS with a name of their own', async () => {
    const socket = await connectTls(line, { host: '192.0.2.2', port: 443, ca, servername: 'www.site.test' });
    assert.equal(socket.authorized, true);
    socket.destroy();
  });
});
