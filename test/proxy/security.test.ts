import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import type { Running } from '../cli/bin.ts';
import { HIDDEN, letGo, PASSWORD, SITE, Street } from './street.ts';

const stock = takeStock();
const AUTHORIZATION = `Proxy-Authorization: Basic ${Buffer.from(`alice:${PASSWORD}`).toString('base64')}`;
let street: Street;
let proxy: Running;

before(async () => {
  street = await Street.build();
  proxy = await street.serve(
    await street.configure({ timeouts: { request: '1s', connect: '5s', idle: '10m' }, 'max-clients': 300 }),
  );
});

after(async () => {
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

/** Ways of writing an address inside the operator's network, or the proxy's own. */
const INSIDE = [
  '127.0.0.1:8081',
  '127.1:8081',
  '2130706433:8081',
  '0x7f000001:8081',
  '0177.0.0.1:8081',
  '0.0.0.0:8081',
  'localhost:8081',
  'a.localhost:8081',
  '10.77.0.2:8081',
  '100.64.0.2:80',
  `${HIDDEN}:80`,
  '169.254.169.254:80',
  '192.168.1.1:80',
  '[::1]:8081',
  '[::]:8081',
  '[::ffff:127.0.0.1]:8081',
  '[::ffff:7f00:1]:8081',
  `[::ffff:${HIDDEN}]:80`,
  '[64:ff9b::10.99.0.1]:80',
  '[64:ff9b:1::a63:1]:80',
  '[2002:a63:1::]:80',
  '[fe80::1]:80',
  '[fd00:77::2]:8081',
  '[fc00::1]:80',
  'inside.test:80',
  'www.inside.test:80',
  'loop.test:8081',
  // One address that may be reached, one that may not: none is.
  'both.test:80',
];

describe('what is not on the public Internet', () => {
  for (const target of INSIDE) {
    it(`${target} is refused in every form`, async () => {
      const connect = await street.say(
        `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${AUTHORIZATION}\r\n\r\n`,
      );
      assert.match(connect, /^HTTP\/1\.1 403 /);
      const absolute = await street.say(
        `GET http://${target}/ HTTP/1.1\r\nHost: ${target}\r\nConnection: close\r\n${AUTHORIZATION}\r\n\r\n`,
      );
      assert.match(absolute, /^HTTP\/1\.1 403 /);
      const port = Number(target.slice(target.lastIndexOf(':') + 1));
      const host = target.slice(0, target.lastIndexOf(':')).replace(/^\[|\]$/g, '');
      const name = Buffer.from(host);
      const reply = await street.say(
        Buffer.concat([
          Buffer.of(5, 1, 2),
          Buffer.of(1, 5),
          Buffer.from('alice'),
          Buffer.of(PASSWORD.length),
          Buffer.from(PASSWORD),
          Buffer.of(5, 1, 0, 3, name.length),
          name,
          Buffer.of(port >> 8, port & 0xff),
        ]),
      );
      // Method 2 chosen, log-in good, reply 2: not allowed by ruleset.
      assert.equal(Buffer.from(reply, 'utf8').subarray(0, 6).toString('hex'), '050201000502');
    });
  }

  it('and what is lets itself be reached', async () => {
    const answer = await street.say(
      `GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nConnection: close\r\n${AUTHORIZATION}\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });
});

describe('requests that mean two things', () => {
  const smuggled: Readonly<Record<string, string>> = {
    'a length and chunks': 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /',
    'two lengths': 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    'a length that is none': 'Content-Length: +5\r\n\r\nhello',
    'an unknown coding': 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'a coding in disguise': 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'chunked, but not last': 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'a broken chunk': 'Transfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n',
    'a folded field': 'X: a\r\n b\r\nContent-Length: 0\r\n\r\n',
    'a bare line feed': 'X: a\nContent-Length: 5\r\n\r\nhello',
    'a zero byte': 'X: a\0b\r\n\r\n',
  };
  for (const [name, rest] of Object.entries(smuggled)) {
    it(`${name}: never two requests at the site`, async () => {
      const answer = await street.say(
        `POST http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nConnection: close\r\n${AUTHORIZATION}\r\n${rest}`,
      );
      // Refused by status, or, where chunks broke in the middle, by a cut connection.
      assert.doesNotMatch(answer, /^HTTP\/1\.1 200 /);
    });
  }

  it('the server is the one of the request line, whatever Host says', async () => {
    const answer = await street.say(
      `GET http://${SITE}/headers HTTP/1.1\r\nHost: inside.test\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n` +
        `Proxy-Connection: keep-alive\r\nTE: trailers\r\nX-Kept: yes\r\n${AUTHORIZATION}\r\n\r\n`,
    );
    const seen = JSON.parse(answer.slice(answer.indexOf('['), answer.lastIndexOf(']') + 1)) as string[];
    const names = seen.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    assert.deepEqual(seen.slice(0, 2), ['Host', SITE]);
    assert.ok(names.includes('x-kept'));
    for (const gone of ['proxy-authorization', 'proxy-connection', 'te', 'x-secret'])
      assert.ok(!names.includes(gone), gone);
    assert.equal(names.filter((name) => name === 'host').length, 1);
  });
});

describe('who costs too much', () => {
  it('a wrong password waits longer each time, until it is not looked at', async () => {
    const guess = Buffer.from('alice:guess').toString('base64');
    const answers: string[] = [];
    // From another address than the other tests use.
    street.client.net.addresses.add('eth0', '10.77.0.9/24');
    const { connectThrough } = await import('../../src/tun/index.ts');
    const began = performance.now();
    for (let i = 0; i < 6; i++) {
      const socket = connectThrough({
        device: 'eth0',
        netns: street.client.netns,
        host: '10.77.0.2',
        port: 8080,
        localAddress: '10.77.0.9',
      });
      socket.write(
        `GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nConnection: close\r\nProxy-Authorization: Basic ${guess}\r\n\r\n`,
      );
      answers.push(await text(socket));
    }
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 407 /);
    // 250, 500 and 1000 ms before the fourth, fifth and sixth: what a guesser pays is the point of it.
    assert.ok(performance.now() - began >= 1_750);
    const served = await street.say(
      `GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nConnection: close\r\n${AUTHORIZATION}\r\n\r\n`,
    );
    assert.match(served, /^HTTP\/1\.1 200 /, 'others are served meanwhile');
  });

  it('headers beyond their size are refused', async () => {
    const answer = await street.say(
      `GET http://${SITE}/ HTTP/1.1\r\nHost: ${SITE}\r\nX: ${'x'.repeat(20_000)}\r\n${AUTHORIZATION}\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 431 /);
  });

  it('a client that says nothing, or not enough, is let go', async () => {
    for (const bytes of ['', 'GET http://', '\u0005', '\u0005\u0002\u0000']) {
      const socket = street.connect();
      if (bytes !== '') socket.write(bytes);
      await letGo(socket);
    }
  });

  it('endless SOCKS messages, unknown commands and address types are answered and closed', async () => {
    const login = Buffer.concat([
      Buffer.of(5, 1, 2, 1, 5),
      Buffer.from('alice'),
      Buffer.of(PASSWORD.length),
      Buffer.from(PASSWORD),
    ]);
    for (const [request, reply] of [
      [Buffer.of(5, 9, 0, 1, 1, 2, 3, 4, 0, 80), 7],
      [Buffer.of(5, 2, 0, 1, 203, 0, 113, 1, 0, 80), 7],
      [Buffer.of(5, 1, 0, 2, 1, 2, 3, 4, 0, 80), 8],
      [Buffer.of(5, 1, 7, 1, 1, 2, 3, 4, 0, 80), 1],
      [Buffer.of(4, 1, 0, 80, 1, 2, 3, 4, 0), 1],
    ] as const) {
      const socket = street.connect();
      socket.write(Buffer.concat([login, request]));
      const answer = Buffer.concat((await socket.toArray()) as Buffer[]);
      socket.destroy();
      // Version 4 gets no method chosen; the others have logged in, and then their reply.
      assert.equal(answer[5], reply);
    }
  });

  it('more clients than there may be wait or are refused, and the rest goes on', async () => {
    const sockets = Array.from({ length: 320 }, () => street.connect());
    await Promise.all(sockets.map((socket) => letGo(socket)));
    const { out } = await street.curl(
      '--proxy',
      'http://10.77.0.2:8080',
      '--proxy-user',
      `alice:${PASSWORD}`,
      `http://${SITE}/`,
    );
    assert.match(out, /^100\.64\./);
    assert.equal(proxy.child.exitCode, null);
  });
});
