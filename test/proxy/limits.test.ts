import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { hashPassword } from '../../src/proxy/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { connectThrough, datagramThrough } from '../../src/tun/index.ts';
import type { Running } from '../cli/bin.ts';
import { letGo, PASSWORD, SITE, Street } from './street.ts';

const stock = takeStock();
let street: Street;
let proxy: Running;
let file: string;

before(async () => {
  street = await Street.build();
  const password = await hashPassword(PASSWORD);
  file = await street.configure({
    users: {
      alice: { password },
      slow: { password, rate: '1MB' },
      small: { password, bytes: '2MB' },
      narrow: { password, connections: 2 },
    },
    timeouts: { request: '2s', connect: '5s', idle: '2s' },
    strategy: 'least-used',
  });
  proxy = await street.serve(file);
});

after(async () => {
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const authorization = (user = 'alice'): string =>
  `Proxy-Authorization: Basic ${Buffer.from(`${user}:${PASSWORD}`).toString('base64')}`;
const login = (user: string): string[] => [
  ...['--proxy', 'http://10.77.0.2:8080', '--proxy-user', `${user}:${PASSWORD}`],
];

/** A standing tunnel by CONNECT. */
async function tunnel(port: number, user = 'alice'): Promise<Socket> {
  const socket = street.connect();
  socket.write(`CONNECT ${SITE}:${port} HTTP/1.1\r\nHost: x\r\n${authorization(user)}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  return socket;
}

/** A standing connection by SOCKS5. */
async function socks(port: number): Promise<Socket> {
  const socket = street.connect();
  const credentials = [
    Buffer.of(1, 5),
    Buffer.from('alice'),
    Buffer.of(PASSWORD.length),
    Buffer.from(PASSWORD),
  ];
  const request = Buffer.of(5, 1, 0, 1, ...SITE.split('.').map(Number), port >> 8, port & 0xff);
  socket.write(Buffer.concat([Buffer.of(5, 1, 2), ...credentials, request]));
  for (let had = 0; had < 14; ) had += ((await once(socket, 'data')) as [Buffer])[0].length;
  socket.pause();
  return socket;
}

/** The log's next record that has it. */
async function logged(from: number, word: string): Promise<Record<string, unknown>> {
  const line = (): string | undefined =>
    proxy.stdout
      .slice(from)
      .split('\n')
      .slice(0, -1)
      .find((one) => one.includes(word));
  await proxy.until(() => line() !== undefined, `it logged ${word}`);
  return JSON.parse(line()!) as Record<string, unknown>;
}

/** Resident memory of the proxy, in bytes. */
function memory(): number {
  const status = readFileSync(`/proc/${proxy.child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024;
}

async function admin(path: string, method = 'GET'): Promise<string> {
  const token = readFileSync(join(street.folder, 'token'), 'utf8').trim();
  const header = `Authorization: Bearer ${token}`;
  return (await street.curl('--request', method, '--header', header, `http://10.77.0.2:8081${path}`)).out;
}

async function exits(): Promise<readonly { connections: number; bytesDown: number; bytesUp: number }[]> {
  return JSON.parse(await admin('/exits')) as { connections: number; bytesDown: number; bytesUp: number }[];
}

/** Waits until nothing moves any more; what has moved by then. */
async function atRest(direction: 'bytesUp' | 'bytesDown'): Promise<number> {
  let before = -1;
  for (;;) {
    const now = (await exits()).reduce((sum, exit) => sum + exit[direction], 0);
    if (now === before) return now;
    before = now;
  }
}

describe("a user's limits", () => {
  for (const form of [[], ['--proxytunnel']]) {
    it(`a rate holds, both ways${form.length > 0 ? ', in a tunnel' : ''}`, async () => {
      const began = performance.now();
      const { out } = await street.curl(...form, ...login('slow'), `http://${SITE}/bytes/3000000`);
      assert.equal(out.length, 3_000_000);
      // 3 MB at 1 MB/s, the first second's worth at once at best.
      assert.ok(performance.now() - began > 1_900);
    });
  }

  it('bytes end a connection in the middle, and there are no others', async () => {
    const from = proxy.stdout.length;
    const cut = await street.curl(...login('small'), `http://${SITE}/bytes/20000000`);
    assert.notEqual(cut.code, 0);
    const record = await logged(from, '"small"');
    assert.match(String(record.error), /^BW_PROXY_LIMIT: small has used its 2000000 bytes/);
    assert.ok(Number(record.bytesDown) < 4_000_000);
    const refused = await street.curl('--include', ...login('small'), `http://${SITE}/`);
    assert.match(refused.out, /^HTTP\/1\.1 429 /);
  });

  it('connections: one more is refused, and let in when another has gone', async () => {
    const first = await tunnel(7, 'narrow');
    const second = await tunnel(7, 'narrow');
    const refused = await street.curl('--include', ...login('narrow'), `http://${SITE}/`);
    assert.match(refused.out, /^HTTP\/1\.1 429 /);
    assert.match(refused.out, /^X-Proxy-Error: BW_PROXY_LIMIT: narrow has 2 connections/m);
    const from = proxy.stdout.length;
    first.end();
    await letGo(first);
    await logged(from, '"narrow"');
    assert.equal((await street.curl(...login('narrow'), `http://${SITE}/`)).code, 0);
    second.destroy();
  });
});

describe('a tunnel', () => {
  for (const [form, open] of [
    ['CONNECT', tunnel],
    ['SOCKS5', socks],
  ] as const) {
    it(`by ${form} stays open for the answer when the client has said all`, async () => {
      const socket = await open(7);
      socket.end('the last word');
      assert.equal(await text(socket), 'the last word');
    });

    it(`by ${form} that is silent is closed after a while, and the log says why`, async () => {
      const from = proxy.stdout.length;
      const socket = await open(7);
      await letGo(socket);
      const record = await logged(from, 'neither side said anything for too long');
      assert.equal(record.protocol, form === 'CONNECT' ? 'connect' : 'socks5');
    });
  }
});

describe('a slow reader', () => {
  const SIZE = 100_000_000;
  it('of a fast site costs the proxy no memory, and gets all of it in the end', async () => {
    for (const open of [
      async () => {
        const socket = await tunnel(80);
        socket.write(`GET /bytes/${SIZE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        return socket;
      },
      async () => {
        const socket = street.connect();
        socket.write(
          `GET http://${SITE}/bytes/${SIZE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${authorization()}\r\n\r\n`,
        );
        return socket;
      },
    ]) {
      const before = memory();
      const socket = await open();
      socket.pause();
      const moved = await atRest('bytesDown');
      assert.ok(memory() - before < 32_000_000, `${memory() - before} bytes more`);
      let had = 0;
      for await (const chunk of socket) had += (chunk as Buffer).length;
      assert.ok(had > SIZE && had < SIZE + 1000);
      assert.ok((await atRest('bytesDown')) > moved);
    }
  });

  it('at the far end stops a fast client', async () => {
    // Nobody reads at port 13: what is sent stays where it is.
    const socket = await tunnel(13);
    const before = memory();
    let full = false;
    for (let i = 0; i < 100 && !full; i++) full = !socket.write(Buffer.alloc(1_000_000));
    assert.ok((await atRest('bytesUp')) < 50_000_000);
    assert.ok(memory() - before < 32_000_000);
    socket.destroy();
  });
});

describe('HTTP clients', () => {
  it('may close their side once the request is sent', async () => {
    const socket = street.connect();
    socket.end(`GET http://${SITE}/bytes/100000 HTTP/1.1\r\nHost: x\r\n${authorization()}\r\n\r\n`);
    const answer = await text(socket);
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4).length, 100_000);
  });

  it('with too many header fields are refused, not read in part', async () => {
    const fields = Array.from({ length: 300 }, (_, i) => `X-${i}: y\r\n`).join('');
    const answer = await street.say(
      `GET http://${SITE}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${authorization()}\r\n${fields}\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 431 /);
    assert.match(answer, /BW_PROXY_HEADERS/);
  });

  it('that drip their headers for ever are let go', async () => {
    const socket = street.connect();
    socket.on('error', () => undefined);
    socket.write(`GET http://${SITE}/ HTTP/1.1\r\nHost: x\r\n`);
    const drip = setInterval(() => socket.writable && socket.write('X-More: yes\r\n'), 100);
    const answer = await text(socket);
    clearInterval(drip);
    socket.destroy();
    assert.match(answer, /^HTTP\/1\.1 408 /);
  });

  it('that ask without waiting are answered in order, and let go when they are too many', async () => {
    const one = `GET http://${SITE}/headers HTTP/1.1\r\nHost: x\r\n${authorization()}\r\n`;
    const ten = Array.from({ length: 10 }, (_, i) => `${one}X-Number: ${i}\r\n\r\n`);
    const socket = street.connect();
    socket.end(ten.join(''));
    const answers = await text(socket);
    const numbers = [...answers.matchAll(/"X-Number","(\d)"/g)].map(([, number]) => number);
    assert.deepEqual(numbers, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    const from = proxy.stdout.length;
    const flood = street.connect();
    flood.on('error', () => undefined);
    flood.write(`${one}\r\n`.repeat(500));
    await letGo(flood);
    assert.match(String((await logged(from, 'too many requests')).error), /^BW_PROXY_LIMIT/);
  });
});

describe('log-ins', () => {
  it('at the same time from one address gain nothing over one after another', async () => {
    street.client.net.addresses.add('eth0', '10.77.0.19/24');
    const guess = async (i: number): Promise<string> => {
      const socket = connectThrough({
        device: 'eth0',
        netns: street.client.netns,
        host: '10.77.0.2',
        port: 8080,
        localAddress: '10.77.0.19',
      });
      const words = Buffer.from(`alice:guess-${i}`).toString('base64');
      socket.write(
        `GET http://${SITE}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nProxy-Authorization: Basic ${words}\r\n\r\n`,
      );
      return await text(socket);
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: 6 }, (_, i) => guess(i)));
    // As in a row: 250, 500 and 1000 ms before the fourth, fifth and sixth.
    assert.ok(performance.now() - began >= 1_750);
  });
});

describe('SOCKS5 UDP', () => {
  async function relay(): Promise<{ readonly control: Socket; readonly port: number }> {
    const control = street.connect();
    const credentials = [
      Buffer.of(1, 5),
      Buffer.from('alice'),
      Buffer.of(PASSWORD.length),
      Buffer.from(PASSWORD),
    ];
    control.write(
      Buffer.concat([Buffer.of(5, 1, 2), ...credentials, Buffer.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0)]),
    );
    let answer = Buffer.alloc(0);
    while (answer.length < 14) {
      answer = Buffer.concat([answer, ((await once(control, 'data')) as [Buffer])[0]]);
    }
    return { control, port: answer.readUInt16BE(12) };
  }
  const header = Buffer.of(0, 0, 0, 1, ...SITE.split('.').map(Number), 0, 9);

  it('answers the port that spoke first, and no other', async () => {
    const { control, port } = await relay();
    const mine = await datagramThrough({ device: 'eth0', netns: street.client.netns });
    const other = await datagramThrough({ device: 'eth0', netns: street.client.netns });
    mine.send(Buffer.concat([header, Buffer.from('mine')]), port, '10.77.0.2');
    const [first] = (await once(mine, 'message')) as [Buffer];
    assert.match(first.subarray(10).toString(), / mine$/);
    let stolen = 0;
    other.on('message', () => stolen++);
    other.send(Buffer.concat([header, Buffer.from('theirs')]), port, '10.77.0.2');
    mine.send(Buffer.concat([header, Buffer.from('again')]), port, '10.77.0.2');
    const [second] = (await once(mine, 'message')) as [Buffer];
    assert.match(second.subarray(10).toString(), / again$/);
    assert.equal(stolen, 0);
    control.destroy();
    await Promise.all([mine, other].map((socket) => new Promise<void>((resolve) => socket.close(resolve))));
  });

  it('ends after a silence, and a flood of names costs no memory', async () => {
    const { control, port } = await relay();
    const udp = await datagramThrough({ device: 'eth0', netns: street.client.netns });
    const before = memory();
    for (let i = 0; i < 5_000; i++) {
      const name = Buffer.from(`n${i}.site.test`);
      const flood = Buffer.concat([
        Buffer.of(0, 0, 0, 3, name.length),
        name,
        Buffer.of(0, 9),
        Buffer.alloc(1000),
      ]);
      udp.send(flood, port, '10.77.0.2');
    }
    const from = proxy.stdout.length;
    await letGo(control);
    await logged(from, 'no datagram came for too long');
    assert.ok(memory() - before < 32_000_000);
    await new Promise<void>((resolve) => udp.close(resolve));
  });
});

describe('tunnels', () => {
  before(async () => {
    // Standing tunnels keep what they began with, new ones have their time.
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, timeouts: {} }));
    await admin('/reload', 'POST');
  });

  it('a thousand at a time each carry what is theirs', async () => {
    const sockets = await Promise.all(Array.from({ length: 1000 }, () => tunnel(7)));
    assert.equal(
      (await exits()).reduce((sum, { connections }) => sum + connections, 0),
      1000,
    );
    const echoes = await Promise.all(
      sockets.map(async (socket, i) => {
        socket.end(`number ${i}`);
        return await text(socket);
      }),
    );
    for (const [i, echo] of echoes.entries()) assert.equal(echo, `number ${i}`);
  });
});
