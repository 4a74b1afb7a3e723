import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { describePacket } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { datagramThrough } from '../../src/tun/index.ts';
import { PacketLink } from '../../src/xsk/index.ts';
import { errorLine, MAIN, Running as Program, type Running } from '../cli/bin.ts';
import { LINES, PASSWORD, SITE, Street } from './street.ts';

const stock = takeStock();
let street: Street;
let proxy: Running;
let file: string;
let token: string;

before(async () => {
  street = await Street.build();
  file = await street.configure({ 'rotate-at-most-every': '1s', timeouts: { connect: '3s' } });
  proxy = await street.serve(file);
  token = readFileSync(join(street.folder, 'token'), 'utf8').trim();
});

after(async () => {
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const login = (user = 'alice'): string[] => [
  '--proxy',
  'http://10.77.0.2:8080',
  '--proxy-user',
  `${user}:${PASSWORD}`,
];
const admin = async (...args: string[]) =>
  await street.curl('--header', `Authorization: Bearer ${token}`, ...args);

// First, while no connection is kept alive on the other lines.
describe('no packet leaves by another line', () => {
  it('whatever is asked for: names, addresses, refused ports, silent hosts', async () => {
    const captures = Array.from({ length: LINES }, (_, i) =>
      PacketLink.open(`isp${i}`, { netns: street.internet.netns }),
    );
    const seen = (): string[][] =>
      captures.map((capture) => {
        const found: string[] = [];
        let count = 1;
        while (count > 0) {
          count = capture.receive((bytes, at, length) => {
            const type = (bytes[at + 12]! << 8) | bytes[at + 13]!;
            if (type === 0x0800) found.push(describePacket(bytes.slice(at, at + length)));
          });
        }
        return found;
      });
    seen();
    const user = ['--max-time', '2', ...login('alice-exit-line2')];
    await street.curl(...user, 'http://site.test/');
    await street.curl(...user, '--proxytunnel', `http://${SITE}/`);
    await street.curl(...user, 'http://nowhere.test/');
    await street.curl(...user, `http://${SITE}:81/`);
    await street.curl(...user, 'http://203.0.113.77/');
    const [first, second, third] = seen();
    assert.deepEqual([first, second], [[], []]);
    assert.ok((third?.length ?? 0) > 10);
    for (const capture of captures) await capture.close();
  });
});

describe('SOCKS5 UDP', () => {
  it('carries datagrams by the exit, names included, and stops with its connection', async () => {
    const control = street.connect();
    const head = Buffer.concat([
      Buffer.of(5, 1, 2, 1, 'alice-exit-line1'.length),
      Buffer.from('alice-exit-line1'),
      Buffer.of(PASSWORD.length),
      Buffer.from(PASSWORD),
      Buffer.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0),
    ]);
    control.write(head);
    let answer = Buffer.alloc(0);
    while (answer.length < 14) {
      const [chunk] = (await once(control, 'data')) as [Buffer];
      answer = Buffer.concat([answer, chunk]);
    }
    assert.equal(answer.subarray(0, 8).toString('hex'), '0502010005000001');
    const relay = { host: answer.subarray(8, 12).join('.'), port: answer.readUInt16BE(12) };
    assert.equal(relay.host, '10.77.0.2');

    const udp = await datagramThrough({ device: 'eth0', netns: street.client.netns });
    const ask = async (header: Buffer): Promise<string> => {
      udp.send(Buffer.concat([header, Buffer.from('hello')]), relay.port, relay.host);
      const [message] = (await once(udp, 'message')) as [Buffer];
      return message.subarray(10).toString();
    };
    assert.equal(await ask(Buffer.of(0, 0, 0, 1, 203, 0, 113, 1, 0, 9)), '100.64.1.2 hello');
    const name = Buffer.from('site.test');
    const byName = Buffer.concat([Buffer.of(0, 0, 0, 3, name.length), name, Buffer.of(0, 9)]);
    assert.equal(await ask(byName), '100.64.1.2 hello');
    // A fragment, a private address and a malformed header are dropped; the next datagram still arrives.
    for (const bad of [
      Buffer.of(0, 0, 1, 1, 203, 0, 113, 1, 0, 9),
      Buffer.of(0, 0, 0, 1, 10, 99, 0, 1, 0, 9),
      Buffer.of(0, 0, 0, 9),
    ]) {
      udp.send(Buffer.concat([bad, Buffer.from('never')]), relay.port, relay.host);
    }
    assert.equal(await ask(byName), '100.64.1.2 hello');

    const before = proxy.stdout.length;
    control.end();
    await proxy.until(({ stdout }) => stdout.slice(before).includes('socks5-udp'), 'the relay ended');
    const record = JSON.parse(proxy.stdout.slice(before).split('\n')[0] ?? '') as Record<string, unknown>;
    assert.deepEqual([record.bytesUp, record.exit, record.status], [15, 'line1', 0]);
    await new Promise<void>((resolve) => udp.close(resolve));
  });
});

describe('an exit that is down', () => {
  it('is passed over at once, and comes back with its link', async () => {
    street.proxy.net.links.set('line0', { up: false });
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const { out, code } = await street.curl(...login(), `http://${SITE}/`);
      assert.equal(code, 0);
      seen.add(out.trim());
    }
    assert.deepEqual([...seen].sort(), ['100.64.1.2', '100.64.2.2']);
    const gone = await street.curl('--include', ...login('alice-exit-line0'), `http://${SITE}/`);
    assert.match(gone.out, /^HTTP\/1\.1 503 /);
    assert.match(gone.out, /^X-Proxy-Error: BW_PROXY_NO_EXIT: exit line0 is down\r$/m);
    street.proxy.net.links.set('line0', { up: true });
    street.proxy.net.routes.add({ destination: 'default', via: '100.64.0.1', link: 'line0', metric: 10 });
    let back = '';
    while (!back.startsWith('100.64.0.2')) {
      back = (await street.curl(...login('alice-exit-line0'), `http://${SITE}/`)).out;
    }
  });
});

describe('what goes wrong at the far end', () => {
  const cases: Readonly<Record<string, readonly [string, RegExp, RegExp]>> = {
    'a refused connection': [`http://${SITE}:81/`, /^HTTP\/1\.1 502 /, /BW_PROXY_REFUSED/],
    'a name that does not exist': ['http://nowhere.test/', /^HTTP\/1\.1 502 /, /BW_PROXY_NAME/],
    'a URL without a server': ['/', /^HTTP\/1\.1 400 /, /BW_PROXY_REQUEST/],
  };
  for (const [name, [target, status, code]] of Object.entries(cases)) {
    it(`${name} has its status and its reason`, async () => {
      const authorization = Buffer.from(`alice:${PASSWORD}`).toString('base64');
      const answer = await street.say(
        `GET ${target} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${authorization}\r\n\r\n`,
      );
      assert.match(answer, status);
      assert.match(answer, code);
    });
  }

  it('an answer that breaks off is not passed on as whole', async () => {
    const { code } = await street.curl(...login(), `http://${SITE}/cut`);
    assert.equal(code, 18);
  });
});

describe('the admin API', () => {
  const url = 'http://10.77.0.2:8081';

  it('makes its own token, which nobody else reads, and answers to nothing else', async () => {
    assert.equal(statSync(join(street.folder, 'token')).mode & 0o777, 0o600);
    for (const header of ['Authorization: Bearer wrong', 'Authorization: Basic eDp5', 'X: y']) {
      const { out } = await street.curl('--include', '--header', header, `${url}/exits`);
      assert.match(out, /^HTTP\/1\.1 401 /);
    }
    assert.match((await admin('--include', `${url}/nothing`)).out, /^HTTP\/1\.1 404 /);
  });

  it('shows exits and users', async () => {
    const exits = JSON.parse((await admin(`${url}/exits`)).out) as {
      name: string;
      state: string;
      address: string;
    }[];
    assert.deepEqual(
      exits.map(({ name, state, address }) => [name, state, address]),
      Array.from({ length: LINES }, (_, i) => [`line${i}`, 'up', `100.64.${i}.2`]),
    );
    let users: { name: string; connections: number }[];
    do {
      // Who closed before an answer came is waited for as long as a connection may take.
      users = JSON.parse((await admin(`${url}/users`)).out) as typeof users;
    } while (users.some(({ connections }) => connections > 0));
    assert.deepEqual(
      users.map(({ name, connections }) => [name, connections]),
      [
        ['alice', 0],
        ['web-team', 0],
        ['bob', 0],
      ],
    );
  });

  it('drains and resumes an exit, and says why one cannot change its address', async () => {
    assert.match((await admin('--request', 'POST', `${url}/exits/line1/drain`)).out, /"state":"draining"/);
    const refused = await street.curl('--include', ...login('alice-exit-line1'), `http://${SITE}/`);
    assert.match(refused.out, /exit line1 is draining/);
    assert.match((await admin('--request', 'POST', `${url}/exits/line1/resume`)).out, /"state":"up"/);
    assert.match(
      (await admin('--request', 'POST', `${url}/exits/line1/rotate`)).out,
      /cannot get another address/,
    );
    assert.match((await admin('--request', 'POST', `${url}/exits/none/rotate`)).out, /no exit 'none'/);
  });

  it('gives metrics in the text format', async () => {
    const { out } = await admin(`${url}/metrics`);
    assert.match(out, /^barewire_proxy_exit_state\{exit="line0",state="up"\} 1$/m);
    assert.match(out, /^barewire_proxy_user_bytes_total\{user="alice",direction="down"\} [1-9]/m);
    assert.match(out, /^barewire_proxy_requests_total\{protocol="http",status="200"\} [1-9]/m);
  });

  it('reads the file again without dropping a tunnel, and changes nothing for one that is wrong', async () => {
    const tunnel = street.connect();
    const authorization = Buffer.from(`alice:${PASSWORD}`).toString('base64');
    tunnel.write(
      `CONNECT ${SITE}:7 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${authorization}\r\n\r\n`,
    );
    await once(tunnel, 'data');
    const original = readFileSync(file, 'utf8');
    const config = JSON.parse(original) as { users: Record<string, unknown>; exits: Record<string, unknown> };

    writeFileSync(file, original.replace('"users"', '"usrs"'));
    const wrong = await admin('--include', '--request', 'POST', `${url}/reload`);
    assert.match(wrong.out, /no such key.*Did you mean users\?/);
    assert.match((await street.curl(...login(), `http://${SITE}/`)).out, /^100\.64/);

    delete config.users.alice;
    delete config.exits.line0;
    writeFileSync(file, JSON.stringify(config));
    assert.match((await admin('--request', 'POST', `${url}/reload`)).out, /"reloaded":true/);
    assert.match((await street.curl(...login(), `http://${SITE}/`)).out, /password is wrong/);
    assert.match(
      (await street.curl(...login('web-team-exit-line0'), `http://${SITE}/`)).out,
      /no exit 'line0'/,
    );
    tunnel.write('still here');
    const [echo] = (await once(tunnel, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'still here');
    tunnel.end();
    await once(tunnel.resume(), 'end');
    writeFileSync(file, original);
    assert.match((await admin('--request', 'POST', `${url}/reload`)).out, /"reloaded":true/);
  });
});

describe('a configuration that is wrong', () => {
  const cases: Readonly<Record<string, readonly [object, RegExp]>> = {
    'an unknown key': [{ exit: {} }, /exit: there is no such key/],
    'a strategy that is none': [{ strategy: 'rond-robin' }, /strategy: "rond-robin" is not one of/],
    'a port that is none': [{ listen: '10.77.0.2:80800' }, /listen: '10\.77\.0\.2:80800' is not HOST:PORT/],
    'a rate without a number': [
      { users: { a: { from: ['10.0.0.0/8'], rate: 'fast' } } },
      /users\.a\.rate: 'fast'/,
    ],
    'a user anybody could be': [{ users: { a: {} } }, /users\.a: neither a password nor addresses/],
    'a password in the clear': [
      { users: { a: { password: 'secret' } } },
      /users\.a\.password: this is no password hash/,
    ],
    'a prefix with host bits': [
      { targets: { allow: ['10.0.0.1/8'] } },
      /targets\.allow\[0\]: .*bits set beyond its prefix length/,
    ],
    'no exits': [{ exits: {} }, /exits: there is none/],
  };
  for (const [name, [more, message]] of Object.entries(cases)) {
    it(`${name} is one line that names the key`, async () => {
      const wrong = await street.configure(more);
      const ended = await new Program(street.proxy.spawn(process.execPath, [MAIN, 'proxy', 'run', wrong]))
        .ended;
      assert.notEqual(ended.code, 0);
      assert.match(ended.stderr, message);
      assert.ok(!ended.stderr.includes('    at '));
      assert.ok(errorLine({ ...ended, stderr: `${ended.stderr.split('\n')[0]}\n` }).length > 0);
    });
  }
});
