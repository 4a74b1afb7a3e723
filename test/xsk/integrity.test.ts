import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { type Rewrite, startWorkers } from '../../src/xsk/index.ts';
import { reflectBack, requireAllFrames, swapAddresses, Track, toBroadcast } from './integrity.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** Frames of each test: a slice of the ten million of `npm run test:integrity`. */
const FRAMES = Number(process.env.BAREWIRE_INTEGRITY_FRAMES ?? 60_000);
/** Frames on their way: fewer than a veth's own ring of 256 holds. */
const WINDOW = 192;

const WAYS: readonly (readonly [string, boolean, Rewrite])[] = [
  ['by swapping addresses, with checks', true, swapAddresses],
  ['by broadcast, with checks', true, toBroadcast],
  ['by swapping addresses, without checks', false, swapAddresses],
];

for (const [way, debug, rewrite] of WAYS) {
  it(`every frame comes back once and unaltered ${way}`, async () => {
    await using track = await Track.open(FRAMES, { debug });
    await using far = await track.openFar(debug);
    await track.run(FRAMES, WINDOW, () => far.sockets[0]!.forward(rewrite));
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

it('of an interface that flaps, nothing comes back twice or altered, and no frame of memory is lost', async () => {
  await using track = await Track.open(2 * FRAMES, { debug: true });
  await using far = await track.openFar(true);
  const [socket] = far.sockets;
  const events: string[] = [];
  far.on('down', () => events.push('down'));
  far.on('up', () => events.push('up'));
  const flaps = 5;
  for (let flap = 1; flap <= flaps; flap++) {
    // Under load: frames are on their way in both directions when it goes down, and sent while it is.
    for (let i = 0; i < 20; i++) {
      track.send(64, 1e9);
      reflectBack(socket!);
      track.receive();
    }
    track.farNet.links.set('eth0', { up: false });
    for (let i = 0; i < 5; i++) {
      track.send(64, 1e9);
      reflectBack(socket!);
      track.receive();
    }
    track.farNet.links.set('eth0', { up: true });
    while (events.length < 2 * flap) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(events, Array(flaps).fill(['down', 'up']).flat());
  // What had to wait for the interface is sent now; then all is as on any other wire.
  await track.run(track.sent, 1e9, () => reflectBack(socket!));
  const before = track.result();
  assert.ok(before.returned > 0);
  await track.run(before.sent + FRAMES, WINDOW, () => reflectBack(socket!));
  const after = track.result();
  assert.equal(after.sent - before.sent, FRAMES);
  assert.equal(after.returned - before.returned, FRAMES);
  await requireAllFrames(track.near);
  await requireAllFrames(far);
});

it('when the process is killed, nothing stays attached and the next one starts at once', async () => {
  await using track = await Track.open(FRAMES, { debug: true });
  const far = track.lab.host('far');
  const script = fileURLToPath(new URL('./reflect-process.js', import.meta.url));
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [script, far.namespace], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout!, 'data');
    return child;
  };
  const round = Math.floor(FRAMES / 6);
  let child = await start();
  for (let kill = 0; kill < 3; kill++) {
    assert.equal(far.net.links.get('eth0').xdp.length, 1);
    await track.run(track.sent + round, WINDOW, () => {});
    // All of this round came back; only what the last killing cost is missing. Now in the middle of it.
    assert.equal(track.result().missing, track.lost);
    track.send(64, 1e9);
    child.kill('SIGKILL');
    track.send(64, 1e9);
    await once(child, 'exit');
    track.receive();
    track.giveUp();
    child = await start();
  }
  await track.run(track.sent + round, WINDOW, () => {});
  child.kill('SIGKILL');
  await once(child, 'exit');
  while (far.net.links.get('eth0').xdp.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await requireAllFrames(track.near);
});
