import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { type LineOptions, LinePool, type PppoeLine } from '../../src/lines/index.ts';
import type { PppoeAddresses } from '../../src/pppoe/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { RealConcentrator } from './real-concentrator.ts';

const stock = takeStock();
let real: RealConcentrator;

before(async () => {
  real = await RealConcentrator.start({ maxPerMac: 3, pool: 4 });
});

after(async () => {
  await real[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

async function whoami(line: PppoeLine): Promise<string> {
  const socket = await line.connect({ host: '203.0.113.1', port: 80 });
  socket.write('GET /cgi-bin/whoami HTTP/1.0\r\n\r\n');
  return (await text(socket)).split('\r\n\r\n')[1]?.trim() ?? '';
}

const QUICK: LineOptions = {
  user: 'user7',
  password: 'pass7',
  retry: { initial: 50, maximum: 500 },
  timing: { padi: 200, padiTries: 2 },
};

async function withPool(use: (pool: LinePool) => Promise<void>): Promise<void> {
  await using pool = await LinePool.open('cpe0', { netns: real.client.netns });
  await use(pool);
}

/** Does `task` to an open line, and returns the code of what it ended with, when it is open again. */
async function survives(options: LineOptions, task: () => void): Promise<string> {
  let code = '';
  await withPool(async (pool) => {
    const line = pool.add({ ...QUICK, ...options });
    await line.up();
    assert.equal(await whoami(line), line.given?.local);
    const closed = once(line, 'closed');
    const opened = once(line, 'open');
    task();
    const [error] = (await closed) as [{ code: string }];
    code = error.code;
    const [again] = (await opened) as [PppoeAddresses];
    assert.equal(await whoami(line), again.local);
  });
  return code;
}

/** Why a line does not come up. */
async function fails(options: LineOptions): Promise<{ code: string; peerMessage?: string }> {
  let failure: unknown;
  await withPool(async (pool) => {
    const line = pool.add({ ...QUICK, retry: false, ...options });
    await line.up().catch((error: unknown) => {
      failure = error;
    });
    assert.equal(line.state, 'idle');
    assert.deepEqual(line.addresses, []);
  });
  return failure as { code: string; peerMessage?: string };
}

describe('an open line comes back', () => {
  it('when the server ends its session', async () => {
    const code = await survives({}, () => void real.run('killall pppd'));
    assert.match(code, /^BW_PPP(OE)?_TERMINATED$/);
  });

  it("when the server's daemon is killed", async () => {
    const code = await survives({}, () => void real.run('killall -9 pppd'));
    assert.equal(code, 'BW_PPPOE_TERMINATED');
  });

  it('when the session has reached its time', async () => {
    const code = await survives({ serviceName: 'short' }, () => {});
    assert.match(code, /^BW_PPP(OE)?_TERMINATED$/);
  });

  it('when the server falls silent', async () => {
    const code = await survives({ echo: { interval: 200, failures: 2 } }, () => {
      real.run('killall -STOP pppd');
    });
    assert.equal(code, 'BW_PPP_ECHO');
    real.run('killall -9 pppd');
  });

  it('when the carrier was lost', async () => {
    const isp = real.lab.host('isp');
    const code = await survives({}, () => {
      isp.net.links.set('isp0', { up: false });
      setTimeout(() => isp.net.links.set('isp0', { up: true }), 300);
    });
    assert.equal(code, 'BW_PPPOE_CARRIER');
    real.run('killall -9 pppd');
  });

  it('when the server is started anew', async () => {
    const servers = real.run(
      "for p in $(pidof pppoe-server); do tr '\\0' ' ' < /proc/$p/cmdline; echo; done",
    );
    await withPool(async (pool) => {
      const line = pool.add(QUICK);
      await line.up();
      const closed = once(line, 'closed');
      real.run('killall -9 pppoe-server; killall -9 pppd');
      // Nobody is left to say goodbye, so the kernel of the guest takes the session away and echoes are lost.
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 300))]);
      const opened = once(line, 'open');
      void line.redial().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.notEqual(line.state, 'open');
      real.run(servers);
      const [again] = (await opened) as [PppoeAddresses];
      assert.equal(await whoami(line), again.local);
    });
  });
});

describe('a line that cannot come up says why', () => {
  it('with a wrong password', async () => {
    const { code, peerMessage } = await fails({ password: 'wrong' });
    assert.equal(code, 'BW_PPP_AUTHENTICATION');
    assert.match(peerMessage ?? '', /\w/);
  });

  for (const serviceName of ['pap', 'mschapv2']) {
    it(`with a wrong password, asked by ${serviceName}`, async () => {
      assert.equal((await fails({ password: 'wrong', serviceName })).code, 'BW_PPP_AUTHENTICATION');
    });
  }

  it('with a service that nobody has', async () => {
    assert.equal((await fails({ serviceName: 'gold' })).code, 'BW_PPPOE_SERVICE_NAME');
  });

  it('with a concentrator that is not there', async () => {
    assert.equal((await fails({ acName: 'nobody' })).code, 'BW_PPPOE_AC_NAME');
  });

  it('with a VLAN that nobody serves', async () => {
    assert.equal((await fails({ vlans: [{ id: 7 }] })).code, 'BW_PPPOE_NO_CONCENTRATOR');
  });

  it('with methods that the server does not take', async () => {
    const { code, peerMessage } = await fails({ serviceName: 'mschapv2', authentication: ['pap'] });
    // Either side may be the first to give up.
    if (code !== 'BW_PPP_AUTHENTICATION_METHOD') assert.equal(code, 'BW_PPP_TERMINATED');
    if (code === 'BW_PPP_TERMINATED') assert.match(peerMessage ?? '', /authenticat/);
  });

  it('with more sessions than the server lets one station have', async () => {
    await withPool(async (pool) => {
      const lines = [1, 2, 3].map(() => pool.add(QUICK));
      await Promise.all(lines.map((line) => line.up()));
      const one = pool.add({ ...QUICK, retry: false });
      await assert.rejects(one.up(), {
        code: /^BW_PPPOE_(AC_SYSTEM_ERROR|GENERIC_ERROR|SERVICE_NAME|NO_SESSION|NO_CONCENTRATOR)$/,
      });
      assert.equal(await whoami(lines[0]!), lines[0]!.given?.local);
    });
  });
});
