import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { after, before, it } from 'node:test';
import { LinePool, type PppoeLine } from '../../src/lines/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { RealConcentrator } from './real-concentrator.ts';

/** Debian's server takes about a sixth of a second for each: `npm run test:interop:fleet` has it bring up 500. */
const SESSIONS = Number(process.env.BAREWIRE_INTEROP_SESSIONS ?? 50);
const stock = takeStock();
let real: RealConcentrator;

before(async () => {
  real = await RealConcentrator.start();
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

it(`brings ${SESSIONS} sessions up, each with an address of its own that a web server sees`, async (t) => {
  await using pool = await LinePool.open('cpe0', { netns: real.client.netns, mac: 'per-session' });
  const lines = Array.from({ length: SESSIONS }, (_, i) =>
    pool.add({ user: `user${i + 1}`, password: `pass${i + 1}`, retry: { initial: 500 } }),
  );
  const start = performance.now();
  const opened = lines.map((line) => line.given ?? new Promise((resolve) => line.once('open', resolve)));
  for (const line of lines) line.dial();
  await Promise.all(opened);
  t.diagnostic(`${SESSIONS} sessions in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const addresses = lines.map((line) => line.given?.local);
  assert.equal(new Set(addresses).size, SESSIONS);
  const asked = performance.now();
  const seen: (string | undefined)[] = [];
  const left = [...lines.keys()];
  const worker = async (): Promise<void> => {
    for (let i = left.shift(); i !== undefined; i = left.shift()) seen[i] = await whoami(lines[i]!);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  t.diagnostic(`an HTTP request through each in ${((performance.now() - asked) / 1000).toFixed(1)} s`);
  assert.deepEqual(seen, addresses);
  assert.equal(
    lines.every((line) => line.state === 'open'),
    true,
  );
});
