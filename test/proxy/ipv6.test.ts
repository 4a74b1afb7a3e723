import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { connectThrough, datagramThrough } from '../../src/tun/index.ts';
import { HIDDEN, LINES, SITE, Street } from './street.ts';

const SITE6 = '2001:db8:99::1';
const PROXY6 = 'fd00:77::2';
const stock = takeStock();
let street: Street;

before(async () => {
  street = await Street.build();
  const { proxy, internet } = street;
  internet.net.addresses.add('lo', `${SITE6}/128`, { noDad: true });
  for (let i = 0; i < LINES; i++) {
    internet.net.addresses.add(`isp${i}`, `2001:db8:1${i}::1/64`, { noDad: true });
    proxy.net.addresses.add(`line${i}`, `2001:db8:1${i}::2/64`, { noDad: true });
    proxy.net.routes.add({
      destination: '::/0',
      via: `2001:db8:1${i}::1`,
      link: `line${i}`,
      metric: 10 + i,
    });
  }
  await street.serve(
    await street.configure({
      listen: '[::]:8080',
      users: { six: { from: ['fd00:77::/64'] }, four: { from: ['10.77.0.0/16'] } },
      targets: { allow: ['203.0.113.0/24', '2001:db8:99::/64'] },
    }),
  );
});

after(async () => {
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const FORMS: Readonly<Record<string, readonly string[]>> = {
  'absolute-form': ['--proxy'],
  CONNECT: ['--proxytunnel', '--proxy'],
};

describe('IPv6', () => {
  for (const [form, options] of Object.entries(FORMS)) {
    for (const [client, proxy] of [
      ['IPv6', `http://[${PROXY6}]:8080`],
      ['IPv4', 'http://10.77.0.2:8080'],
    ] as const) {
      it(`destinations by ${form} of ${client} clients, by address and by name`, async () => {
        for (const url of [`http://[${SITE6}]/`, 'http://six.test/', 'http://dual.test/']) {
          const { out } = await street.curl(...options, proxy, url);
          assert.match(out, /^2001:db8:1[012]::2\n$/, url);
        }
        assert.match((await street.curl(...options, proxy, `http://${SITE}/`)).out, /^100\.64\.[012]\.2\n$/);
      });
    }
  }

  it('destinations by SOCKS5', async () => {
    for (const host of [`[${SITE6}]`, 'six.test']) {
      const { out } = await street.curl('--proxy', `socks5h://[${PROXY6}]:8080`, `http://${host}/`);
      assert.match(out, /^2001:db8:1[012]::2\n$/);
    }
  });

  it('that keeps silent does not keep a name with an IPv4 address waiting', async () => {
    // Nobody has the IPv6 address, and nothing answers for it.
    const { out, code } = await street.curl('--proxy', `http://[${PROXY6}]:8080`, 'http://half.test/');
    assert.equal(code, 0, out);
    assert.match(out, /^100\.64\.[012]\.2\n$/);
  });

  it('carries datagrams of IPv6 clients', async () => {
    const { netns } = street.client;
    const control = connectThrough({ device: 'eth0', netns, host: PROXY6, port: 8080 });
    control.write(Buffer.of(5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
    let answer = Buffer.alloc(0);
    while (answer.length < 24) {
      answer = Buffer.concat([answer, ((await once(control, 'data')) as [Buffer])[0]]);
    }
    assert.equal(answer[5], 4);
    const udp = await datagramThrough({ device: 'eth0', netns, version: 6 });
    const header = Buffer.of(0, 0, 0, 1, ...SITE.split('.').map(Number), 0, 9);
    udp.send(Buffer.concat([header, Buffer.from('hello')]), answer.readUInt16BE(22), PROXY6);
    const [message] = (await once(udp, 'message')) as [Buffer];
    assert.match(message.subarray(10).toString(), /^100\.64\.[012]\.2 hello$/);
    control.destroy();
    await new Promise<void>((resolve) => udp.close(resolve));
  });

  it('is no way to what is not let through', async () => {
    for (const host of [
      '[fe80::1]',
      `[${PROXY6}]:8081`,
      '[2001:db8:10::2]',
      '[::1]:8081',
      `[::ffff:${HIDDEN}]`,
      `[64:ff9b::${HIDDEN}]`,
      'inner6.test',
    ]) {
      const { out } = await street.curl(
        ...['--include', '--globoff', '--proxy', `http://[${PROXY6}]:8080`, `http://${host}/`],
      );
      assert.match(out, /^HTTP\/1\.1 403 /, host);
    }
  });
});
