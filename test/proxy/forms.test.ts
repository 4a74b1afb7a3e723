import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import type { Running } from '../cli/bin.ts';
import { PASSWORD, SITE, Street } from './street.ts';

const stock = takeStock();
let street: Street;
let proxy: Running;

before(async () => {
  street = await Street.build();
  proxy = await street.serve(await street.configure());
});

after(async () => {
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const FORMS = {
  CONNECT: ['--proxytunnel', '--proxy', 'http://10.77.0.2:8080'],
  'absolute-form HTTP': ['--proxy', 'http://10.77.0.2:8080'],
  'SOCKS5, name resolved by the proxy': ['--proxy', 'socks5h://10.77.0.2:8080'],
} as const;

const login = (user = 'alice') => ['--proxy-user', `${user}:${PASSWORD}`];

describe('curl through the proxy', () => {
  for (const [form, options] of Object.entries(FORMS)) {
    it(`by ${form}: each request leaves by the next exit, and the site sees that exit's address`, async () => {
      const seen = new Set<string>();
      for (let i = 0; i < 3; i++) {
        const { out, code } = await street.curl(...options, ...login(), 'http://www.site.test/');
        assert.equal(code, 0, out);
        seen.add(out.trim());
      }
      assert.deepEqual([...seen].sort(), ['100.64.0.2', '100.64.1.2', '100.64.2.2']);
    });

    it(`by ${form}: an upload and a download arrive whole`, async () => {
      const file = join(street.folder, 'upload');
      const bytes = randomBytes(3_000_000);
      writeFileSync(file, bytes);
      const upload = await street.curl(
        ...options,
        ...login(),
        '--data-binary',
        `@${file}`,
        `http://${SITE}/`,
      );
      assert.equal(upload.out, createHash('sha256').update(bytes).digest('hex'));
      const download = await street.curl(...options, ...login(), `http://${SITE}/bytes/3000000`);
      assert.equal(download.out.length, 3_000_000);
    });

    it(`by ${form}: a wrong password is refused`, async () => {
      const { out, code } = await street.curl(...options, '--proxy-user', 'alice:wrong', `http://${SITE}/`);
      assert.ok(
        code === 0 ? /user name or the password/.test(out) : code === 56 || code === 97,
        `${code}: ${out}`,
      );
    });

    it(`by ${form}: a session keeps its exit`, async () => {
      const seen = new Set<string>();
      for (let i = 0; i < 4; i++) {
        const { out } = await street.curl(
          ...options,
          ...login('alice-session-a1-lifetime-5m'),
          `http://${SITE}/`,
        );
        seen.add(out.trim());
      }
      assert.equal(seen.size, 1);
    });

    it(`by ${form}: an exit can be named, and a user held to some`, async () => {
      const named = await street.curl(...options, ...login('web-team-exit-line2'), `http://${SITE}/`);
      assert.equal(named.out.trim(), '100.64.2.2');
      for (let i = 0; i < 3; i++) {
        const held = await street.curl(...options, ...login('bob'), `http://${SITE}/`);
        assert.equal(held.out.trim(), '100.64.1.2');
      }
    });
  }

  it('tells the exit in its headers', async () => {
    const { out } = await street.curl(
      '--include',
      ...FORMS['absolute-form HTTP'],
      ...login('alice-exit-line1'),
      `http://${SITE}/`,
    );
    assert.match(out, /^X-Exit: line1\r$/m);
    assert.match(out, /^X-Exit-Address: 100\.64\.1\.2\r$/m);
    const tunnel = await street.curl(
      '--include',
      ...FORMS.CONNECT,
      ...login('alice-exit-line0'),
      `http://${SITE}/`,
    );
    assert.match(tunnel.out, /^X-Exit: line0\r$/m);
  });

  it('logs who went where by which exit, and no password', async () => {
    const before = proxy.stdout.length;
    await street.curl(...FORMS.CONNECT, ...login('alice-session-zz'), `http://${SITE}/bytes/1000`);
    // The one before may be logged a moment later than its client was done.
    const line = (): string | undefined =>
      proxy.stdout
        .slice(before)
        .split('\n')
        .slice(0, -1)
        .find((one) => one.includes('"zz"'));
    await proxy.until(() => line() !== undefined, 'it logged');
    const record = JSON.parse(line() ?? '') as Record<string, unknown>;
    assert.equal(record.user, 'alice');
    assert.equal(record.session, 'zz');
    assert.equal(record.destination, `${SITE}:80`);
    assert.equal(record.protocol, 'connect');
    assert.equal(record.client, '10.77.0.1');
    assert.equal(record.status, 200);
    assert.ok(Number(record.bytesDown) > 1000);
    assert.ok(!proxy.stdout.includes(PASSWORD));
  });
});
