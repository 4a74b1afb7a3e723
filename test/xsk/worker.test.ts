import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, it } from 'node:test';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { openInterface, startWorkers, type XskInterface } from '../../src/xsk/index.ts';
import { reflectBack } from './integrity.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

const REFLECT = new URL('./reflect-worker.js', import.meta.url);
const FAULTY = new URL('./faulty-worker.js', import.meta.url);

function open(lab: Lab, host: string): Promise<XskInterface> {
  const match = { etherTypes: [TEST_ETHER_TYPE] };
  return openInterface('eth0', { netns: lab.host(host).netns, match, umem: { debug: true } });
}

/** Sends frames from all queues of `near` and returns how many of them came back. */
async function bounce(near: XskInterface, count: number): Promise<number> {
  let came = 0;
  for (let tries = 0; tries < 500 && came < count; tries++) {
    for (const socket of near.sockets) {
      if (tries === 0) {
        socket.send(count / near.sockets.length, (bytes, at) => {
          bytes[at + 12] = TEST_ETHER_TYPE >> 8;
          bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
          return 60;
        });
      }
      came += socket.receive(() => {});
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return came;
}

it('sockets go to workers and come back, as often as one likes', async () => {
  using lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'], queues: 2 }] });
  await using near = await open(lab, 'near');
  await using far = await open(lab, 'far');
  for (let round = 0; round < 3; round++) {
    const workers = startWorkers(far, REFLECT);
    await Promise.all(workers.workers.map((worker) => once(worker, 'message')));
    assert.equal(await bounce(near, 64), 64);
    await workers.stop();
    const here = new AbortController();
    const reflecting = far.run(reflectBack, { signal: here.signal });
    assert.equal(await bounce(near, 64), 64);
    here.abort();
    await reflecting;
  }
});

it('an interface that is deleted under its workers ends them, and they end without an error of their own', async () => {
  using lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'], queues: 2 }] });
  const near = await open(lab, 'near');
  const far = await open(lab, 'far');
  const gone = Promise.all([once(near, 'gone'), once(far, 'gone')]);
  const workers = startWorkers(far, REFLECT);
  await Promise.all(workers.workers.map((worker) => once(worker, 'message')));
  assert.equal(await bounce(near, 64), 64);
  const exits = workers.workers.map((worker) => once(worker, 'exit'));
  lab.host('near').net.links.delete('eth0');
  await gone;
  // Nobody has told them to stop.
  assert.deepEqual(await Promise.all(exits), [[0], [0]]);
  await workers.stop();
  assert.deepEqual([near.closed, far.closed], [true, true]);
});

it('what a worker throws is thrown by stop(), and the interface works on', async () => {
  using lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'] }] });
  await using near = await open(lab, 'near');
  await using far = await open(lab, 'far');
  const workers = startWorkers(far, FAULTY, { data: 'a fault of its own' });
  await once(workers.workers[0]!, 'message');
  await bounce(near, 4);
  await assert.rejects(workers.stop(), /a fault of its own/);
  const here = new AbortController();
  const reflecting = far.run(reflectBack, { signal: here.signal });
  assert.equal(await bounce(near, 64), 64);
  here.abort();
  await reflecting;
});
