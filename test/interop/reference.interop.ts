import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { RealConcentrator } from './real-concentrator.ts';

const stock = takeStock();
let real: RealConcentrator;
before(async () => {
  real = await RealConcentrator.start();
});
after(async () => {
  await real[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

it('the standard Linux client reaches the web through the standard server: the lab itself is sound', async () => {
  const said = await real.runClient(
    ['user user7', 'password pass7'],
    'wget -qO- http://203.0.113.1/cgi-bin/whoami\n',
  );
  assert.match(said, /^10\.64\.1\.\d+$/m);
});
