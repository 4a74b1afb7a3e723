import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Isp, WEB } from '../lines/isp.ts';
import { runStandardClient } from './real-concentrator.ts';

const stock = takeStock();
let isp: Isp;
before(async () => {
  isp = await Isp.start({
    mru: 1500,
    services: [
      { name: 'pap', authentication: ['pap'] },
      { name: 'chap', authentication: ['chap-md5'] },
      { name: 'mschapv2', authentication: ['mschapv2'] },
      { name: 'open', authentication: [] },
    ],
  });
});
after(async () => {
  await isp[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

describe('the standard Linux client dials our concentrator', () => {
  for (const service of ['pap', 'chap', 'mschapv2', 'open']) {
    it(`with the service '${service}', and is seen by the address it was given`, async () => {
      const opened: (string | undefined)[] = [];
      const note = (_: unknown, event: { type: string; address?: string | undefined }): void => {
        if (event.type === 'opened') opened.push(event.address);
      };
      isp.server!.on('event', note);
      const options = ['user user7', 'password pass7', `pppoe-service ${service}`];
      const said = await runStandardClient(
        isp.customer,
        'eth0',
        options,
        `echo "seen as $(wget -qO- http://${WEB}/)"\n`,
      );
      isp.server!.off('event', note);
      assert.equal(opened.length, 1);
      assert.match(said, new RegExp(`^seen as ${opened[0]}$`, 'm'));
    });
  }

  it('with 1,500 bytes by RFC 4638', async () => {
    const options = ['user user7', 'password pass7', 'pppoe-service chap', 'mtu 1500', 'mru 1500'];
    const said = await runStandardClient(
      isp.customer,
      'eth0',
      options,
      'echo "mtu $(cat /sys/class/net/ppp0/mtu)"\n',
    );
    assert.match(said, /^mtu 1500$/m);
  });

  it('and is told of a wrong password', async () => {
    const wrong = ['user user7', 'password wrong', 'pppoe-service chap', 'maxfail 1'];
    const refused = await runStandardClient(isp.customer, 'eth0', wrong, 'cat /run/pppd.log\n');
    assert.match(refused, /authentication failed/i);
  });
});
