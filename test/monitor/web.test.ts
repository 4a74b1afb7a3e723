import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { Monitor } from '../../src/apps/monitor.ts';
import { MonitorWeb } from '../../src/apps/monitor-web.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { MAIN, Running } from '../cli/bin.ts';
import { refusalOf } from '../cli/in-process.ts';
import { CHROMIUM } from './chromium.ts';

const stock = takeStock();
const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
const left = lab.host('left');
const right = lab.host('right');
const place = { interface: 'eth0', netns: right.namespace };
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

const ping = (count: number): string => left.exec('ping', ['-c', String(count), '-i', '0.01', '10.77.0.2']);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** An ordinary request, without a browser's manners. */
function get(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { headers, method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    });
    request.on('error', reject);
    request.end();
  });
}

describe('the page’s server', () => {
  const page = { interface: 'eth0', seen: 'in by XDP', notes: [] };

  it('gives nothing away without the token, in whatever shape', async () => {
    await using web = await MonitorWeb.open(page);
    const url = new URL(web.url);
    const token = url.searchParams.get('token')!;
    assert.match(token, /^[\w-]{43}$/);
    assert.equal(url.hostname, '127.0.0.1');
    const cookie = `barewire-${url.port}=`;
    for (const path of [
      '/',
      '/page.js',
      '/events',
      '/uPlot.min.css',
      '/nothing',
      '/?token=',
      '/?token=wrong',
      `/?token=${token.slice(1)}`,
    ]) {
      const { status, body, headers } = await get(`${url.origin}${path}`);
      assert.equal(status, 403, path);
      assert.ok(!body.includes(token) && headers['set-cookie'] === undefined);
    }
    for (const wrong of [`${cookie}`, `${cookie}wrong`, `barewire=${token}`, `${cookie}${token}x`]) {
      assert.equal((await get(`${url.origin}/`, { cookie: wrong })).status, 403, wrong);
    }
    assert.equal(
      (await get(`${url.origin}/`, { cookie: `${cookie}${token}`, host: 'evil.example' })).status,
      421,
    );
    assert.equal((await get(`${url.origin}/`, { cookie: `${cookie}${token}` }, 'POST')).status, 405);
    const entered = await get(web.url);
    assert.deepEqual([entered.status, entered.headers.location], [303, '/']);
    assert.deepEqual(entered.headers['set-cookie'], [`${cookie}${token}; Path=/; HttpOnly; SameSite=Strict`]);
    const inside = await get(`${url.origin}/`, { cookie: `other=1; ${cookie}${token}` });
    assert.equal(inside.status, 200);
    assert.match(String(inside.headers['content-security-policy']), /^default-src 'none'; script-src 'self'/);
    assert.equal(
      (await get(`${url.origin}/../../package.json`, { cookie: `${cookie}${token}` })).status,
      404,
    );
    assert.equal((await get(`${url.origin}/__proto__`, { cookie: `${cookie}${token}` })).status, 404);
  });

  it('has another token each time, and says where it cannot listen', async () => {
    await using first = await MonitorWeb.open(page);
    await using second = await MonitorWeb.open({ ...page, host: '::1' });
    assert.notEqual(
      new URL(first.url).searchParams.get('token'),
      new URL(second.url).searchParams.get('token'),
    );
    assert.equal(new URL(second.url).hostname, '[::1]');
    const taken = Number(new URL(first.url).port);
    await assert.rejects(MonitorWeb.open({ ...page, port: taken }), {
      code: 'BW_LISTEN',
      message: /EADDRINUSE/,
    });
    await assert.rejects(MonitorWeb.open({ ...page, host: 'example.org' }), { code: 'BW_ARGUMENT' });
  });

  it('opens for so many pages and no more', async () => {
    await using web = await MonitorWeb.open(page);
    const url = new URL(web.url);
    const headers = { cookie: `barewire-${url.port}=${url.searchParams.get('token')}` };
    const open = Array.from({ length: 16 }, () =>
      httpRequest(`${url.origin}/events`, { headers, agent: false }),
    );
    for (const request of open) {
      request.on('error', () => {});
      request.end();
      await new Promise((resolve) => request.on('response', resolve));
    }
    assert.equal(web.clients, 16);
    assert.equal((await get(`${url.origin}/events`, headers)).status, 503);
    for (const request of open) request.destroy();
  });
});

describe('the page in a browser', () => {
  let browser: Browser;
  before(async () => {
    browser = await chromium.launch(CHROMIUM);
  });
  after(() => browser.close());

  async function visit(url: string, complaints: string[]): Promise<Page> {
    const page = await browser.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith('data:')) {
        complaints.push(`asks elsewhere: ${request.url()}`);
      }
    });
    await page.goto(url);
    return page;
  }

  it('shows live charts and talkers, follows view, sort and filter, freezes, and notices the end', async () => {
    using monitor = Monitor.open(place);
    const { notes } = monitor;
    await using web = await MonitorWeb.open({ interface: 'eth0', seen: 'in by XDP in driver mode', notes });
    const stop = new AbortController();
    const publishing = (async () => {
      for await (const report of monitor.reports({ interval: 100, signal: stop.signal })) web.publish(report);
    })();
    const complaints: string[] = [];
    const page = await visit(web.url, complaints);
    // The token is gone from the address, so that nobody reads it over a shoulder or copies it along.
    assert.equal(page.url(), `${new URL(web.url).origin}/`);
    ping(5);
    const first = page.locator('#talkers tr', { hasText: 'icmp 10.77.0.2 - 10.77.0.1' });
    await first.waitFor();
    assert.equal(await page.title(), 'eth0 - barewire monitor');
    assert.equal(await page.locator('#seen').textContent(), 'in by XDP in driver mode');
    assert.equal(await page.locator('#notes li').count(), notes.length);
    assert.match((await first.textContent())!, /980 B/);
    assert.equal(await page.locator('.uplot canvas').count(), 2);
    // The charts hold what was counted: a line is painted in the colour of what goes out.
    await page.waitForFunction(() => {
      const { document } = globalThis as never as {
        document: { querySelector(selector: string): CanvasLike };
      };
      const canvas = document.querySelector('#packets canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let orange = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i]! > data[i + 2]! + 60 && data[i + 3]! > 200) orange++;
      return orange > 50;
    });

    await page.selectOption('#view', 'remote');
    await page.locator('#talkers tr td:first-child', { hasText: /^10\.77\.0\.1$/ }).waitFor();
    assert.equal(await page.locator('#subject').textContent(), 'Address there');
    await page.fill('#filter', 'tcp');
    await page.press('#filter', 'Enter');
    await page.locator('#coverage', { hasText: /^0 of \d+ conversations/ }).waitFor();
    assert.equal(await page.locator('#talkers tr').count(), 0);
    await page.fill('#filter', 'tpc');
    await page.press('#filter', 'Enter');
    await page.locator('#problem', { hasText: "'tpc' is no word of a filter. Did you mean tcp?" }).waitFor();
    await page.fill('#filter', '');
    await page.press('#filter', 'Enter');
    await page.selectOption('#view', 'flows');
    await first.waitFor();

    await page.click('#freeze');
    const shown = await page.locator('#state').textContent();
    ping(3);
    await page.waitForTimeout(1200);
    assert.equal(await page.locator('#state').textContent(), shown);
    await page.click('#freeze');
    await page.locator('#talkers tr', { hasText: '1.57 kB' }).waitFor();

    web.publishDrops(['<b>10.0.0.1</b> by rule 3']);
    await page.locator('#drops li', { hasText: '<b>10.0.0.1</b> by rule 3' }).waitFor();
    assert.deepEqual(complaints, []);
    stop.abort();
    await publishing;
    await web.close();
    await page.locator('#state', { hasText: 'connection lost' }).waitFor();
    await page.close();
  });

  it('is what the command prints the address of, once', async () => {
    const running = new Running(
      right.spawn(process.execPath, [
        MAIN,
        'monitor',
        'eth0',
        '--web',
        '-i',
        '50ms',
        '--listen',
        '127.0.0.1',
      ]),
    );
    await running.until(({ stdout }) => stdout.includes('\n'), 'it listened');
    assert.match(running.stdout, /^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}\n$/);
    // It listens in the lab's own network; so does whoever asks.
    const answer = right.exec('curl', [
      '-sS',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      running.stdout.trim(),
    ]);
    assert.equal(answer, '303');
    running.child.kill('SIGTERM');
    const { stdout, signal } = await running.ended;
    assert.deepEqual([stdout.split('\n').length, signal], [2, 'SIGTERM']);
    for (const [args, expected] of [
      [
        ['--web', '--listen', 'example.org'],
        /^--listen: 'example\.org' is not an IP address to listen on; write 127/,
      ],
      [['--web', '--listen', '127.0.0.1:99999'], /^--listen: '127\.0\.0\.1:99999' is not an IP address/],
      [['--listen', '127.0.0.1'], /^--listen is for --web$/],
      [['--web', '--json'], /^--web and --json exclude each other$/],
    ] as const) {
      const line = ['monitor', 'eth0', '-n', '1', '-i', '10ms', '--netns', right.namespace, ...args];
      assert.match(await refusalOf(...line), expected);
    }
  });
});

/** As much of a canvas as is looked at; the browser's types are not among ours. */
interface CanvasLike {
  readonly width: number;
  readonly height: number;
  getContext(kind: '2d'): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}
