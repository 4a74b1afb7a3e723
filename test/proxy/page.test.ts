import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import type { Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';
import { CHROMIUM } from '../monitor/chromium.ts';
import { PASSWORD, SITE, Street } from './street.ts';

const URL_OF_PAGE = 'http://10.77.0.2:8081/';
const stock = takeStock();
let street: Street;
let proxy: Running;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

before(async () => {
  street = await Street.build();
  proxy = await street.serve(await street.configure());
  // The browser is the client: it has no network but the lab's.
  const wrapper = join(street.folder, 'chromium');
  writeFileSync(
    wrapper,
    `#!/bin/sh\nexec ${tool('ip')} netns exec ${street.client.namespace} ${CHROMIUM.executablePath} "$@"\n`,
  );
  chmodSync(wrapper, 0o755);
  browser = await chromium.launch({ ...CHROMIUM, executablePath: wrapper });
  page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // A refused token is the one thing that the page lets fail.
    if (message.type() === 'error' && !message.text().includes('401')) complaints.push(message.text());
  });
});

after(async () => {
  await browser.close();
  await street[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const row = (exit: string) => page.getByRole('row').filter({ hasText: exit });

describe('the page with the exits', () => {
  it('shows nothing without the token, and says so when it is wrong', async () => {
    await page.goto(URL_OF_PAGE);
    await page.getByLabel('Token').fill('not the one, by far');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByRole('alert').filter({ hasText: 'This token is not the one.' }).waitFor();
    assert.equal(await page.getByRole('table').first().isVisible(), false);
  });

  it('shows exits and users with it, and keeps up', async () => {
    const token = readFileSync(join(street.folder, 'token'), 'utf8').trim();
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Show' }).click();
    await row('line1').filter({ hasText: '100.64.1.2' }).waitFor();
    assert.match((await page.getByRole('status').textContent()) ?? '', /^3 of 3 up, 0 connections open$/);
    const login = ['--proxy', 'http://10.77.0.2:8080', '--proxy-user', `alice-exit-line1:${PASSWORD}`];
    await street.curl(...login, `http://${SITE}/bytes/2500000`);
    await row('line1').filter({ hasText: '2.50 MB' }).waitFor();
    await row('alice').filter({ hasText: '2.50 MB' }).waitFor();
  });

  it('drains an exit and takes it back', async () => {
    await row('line2').getByRole('button', { name: 'Drain' }).click();
    await row('line2').filter({ hasText: 'draining' }).waitFor();
    const login = ['--proxy', 'http://10.77.0.2:8080', '--proxy-user', `alice-exit-line2:${PASSWORD}`];
    assert.match((await street.curl(...login, `http://${SITE}/`)).out, /exit line2 is draining/);
    await row('line2').getByRole('button', { name: 'Resume' }).click();
    await row('line2').getByRole('button', { name: 'Drain' }).waitFor();
    assert.equal((await street.curl(...login, `http://${SITE}/`)).out, '100.64.2.2\n');
    // No line here can dial again, so none offers to.
    assert.equal(await page.getByRole('button', { name: 'New address' }).count(), 0);
  });

  it('keeps the token while the tab is open, and tells when the proxy is gone', async () => {
    await page.reload();
    await row('line0').filter({ hasText: '100.64.0.2' }).waitFor();
    assert.deepEqual(complaints, []);
    await street.stop(proxy);
    await page.getByRole('status').filter({ hasText: 'The proxy does not answer.' }).waitFor();
  });
});
