import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { type LineOptions, LinePool, type PppoeLine } from '../../src/lines/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { RealConcentrator } from './real-concentrator.ts';

const stock = takeStock();
let real: RealConcentrator;
let pool: LinePool;

before(async () => {
  real = await RealConcentrator.start({ vlans: [100] });
  pool = await LinePool.open('cpe0', { netns: real.client.netns });
});

after(async () => {
  await pool.close();
  await real[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

/** What the web server behind the concentrator says of who asks. */
async function whoami(line: PppoeLine, host = '203.0.113.1'): Promise<string> {
  const socket = await line.connect({ host, port: 80 });
  socket.write('GET /cgi-bin/whoami HTTP/1.0\r\n\r\n');
  const answer = await text(socket);
  return answer.split('\r\n\r\n')[1]?.trim() ?? answer;
}

/** Runs with a line that is removed afterwards. */
async function withLine(options: LineOptions, use: (line: PppoeLine) => Promise<void>): Promise<void> {
  const line = pool.add({ user: 'user7', password: 'pass7', retry: false, ...options });
  try {
    await use(line);
  } finally {
    pool.remove(line);
  }
}

describe('one session', () => {
  it('comes up, is seen by its own address, and gets another one', async () => {
    await withLine({}, async (line) => {
      const first = await line.up();
      assert.match(first.local ?? '', /^10\.64\.1\.\d+$/);
      assert.equal(first.peer, '10.64.0.1');
      assert.equal(first.acName, 'lab-ac');
      assert.equal(first.mtu, 1492);
      assert.deepEqual(first.dns, ['198.51.100.2', '203.0.113.1']);
      assert.equal(await whoami(line), first.local);
      const { before, after } = await line.redial();
      assert.equal(before, first.local);
      assert.notEqual(after, undefined);
      assert.equal(await whoami(line), after);
      await line.hangUp();
      assert.equal(line.state, 'idle');
      assert.deepEqual(line.addresses, []);
    });
  });
});
