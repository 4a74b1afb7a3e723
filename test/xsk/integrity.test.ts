import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, it } from 'node:test';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { startWorkers } from '../../src/xsk/index.ts';
import { reflectBack, requireAllFrames, Track } from './integrity.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** Frames of each test: a slice of the ten million of `npm run test:integrity`. */
const FRAMES = Number(process.env.BAREWIRE_INTEGRITY_FRAMES ?? 60_000);
/** Frames on their way: fewer than a veth's own ring of 256 holds. */
const WINDOW = 192;

for (const debug of [true, false]) {
  it(`every frame comes back once and unaltered, ${debug ? 'with' : 'without'} checks`, async () => {
    await using track = await Track.open(FRAMES, { debug });
    await using far = await track.openFar(debug);
    await track.run(FRAMES, WINDOW, () => reflectBack(far.sockets[0]!));
    const result = track.result();
    assert.equal(result.sent, FRAMES);
    assert.equal(result.missing, 0, JSON.stringify(result));
    await requireAllFrames(track.near);
    await requireAllFrames(far);
  });
}

it('of more frames than fit, exactly those that the kernel counts as dropped are missing', async () => {
  await using track = await Track.open(FRAMES, { debug: true });
  await using far = await track.openFar(true);
  const [socket] = far.sockets;
  let turn = 0;
  // The far end looks only now and then, so that queues overflow.
  await track.run(FRAMES, 1500, () => {
    if (turn++ % 12 === 0) while (reflectBack(socket!) > 0);
  });
  const result = track.result();
  assert.equal(result.sent, FRAMES);
  assert.ok(result.returned > FRAMES / 10, JSON.stringify(result));
  const { rxDropped, rxRingFull, rxFillRingEmpty } = far.statistics();
  assert.equal(result.missing, result.counted + Number(rxDropped + rxRingFull + rxFillRingEmpty));
  await requireAllFrames(track.near);
  await requireAllFrames(far);
});

it('the same with a worker thread for each queue', async () => {
  await using track = await Track.open(FRAMES, { debug: true, queues: 2 });
  await using far = await track.openFar(true);
  assert.equal(far.sockets.length, 2);
  const workers = startWorkers(far, new URL('./reflect-worker.js', import.meta.url));
  await Promise.all(workers.workers.map((worker) => once(worker, 'message')));
  await track.run(FRAMES, WINDOW, () => {});
  await workers.stop();
  const result = track.result();
  assert.equal(result.sent, FRAMES);
  assert.equal(result.missing, 0, JSON.stringify(result));
  await requireAllFrames(track.near);
  await requireAllFrames(far);
});
