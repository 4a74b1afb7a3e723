import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import type { TrafficReport } from '../../src/apps/traffic.ts';
import type { LabHost } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { MAIN, Running } from '../cli/bin.ts';
import { requireAllFrames, Track } from '../xsk/integrity.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** Frames of each test: a slice of the ten million of `npm run test:integrity`. */
const FRAMES = Number(process.env.BAREWIRE_INTEGRITY_FRAMES ?? 40_000);
/** Frames on their way: fewer than a veth's own ring of 256 holds. */
const WINDOW = 192;

/** `barewire reflect` in a process of its own, on the far end. */
async function reflect(far: LabHost, ...more: string[]): Promise<Running> {
  const args = ['reflect', 'eth0', '--check-frames', '--json', '--ether-type', '0x88b5', ...more];
  const running = new Running(far.spawn(process.execPath, [MAIN, ...args]));
  await running.until(({ stderr }) => stderr.includes(' on eth0'), 'it began');
  return running;
}

/** Ends it, and says what it counted. */
async function end(running: Running): Promise<TrafficReport> {
  running.child.kill('SIGTERM');
  const { stdout, stderr } = await running.ended;
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  assert.notEqual(last, '', stderr);
  return JSON.parse(last) as TrafficReport;
}

/** Nothing of the app's memory is anywhere but in the pool or waiting for packets. */
function requireFramesOf({ frames }: TrafficReport, queues: number): void {
  const { pool = 0, fill = 0, ...others } = frames ?? {};
  assert.deepEqual(others, { user: 0, rx: 0, tx: 0, completion: 0 });
  assert.equal(pool + fill, queues * 4096);
}

const WAYS = [
  ['swap-mac', 1],
  ['broadcast', 2],
] as const;
for (const [rewrite, queues] of WAYS) {
  it(`barewire reflect --rewrite ${rewrite}: every frame comes back once and unaltered, queues: ${queues}`, async () => {
    await using track = await Track.open(FRAMES, { debug: true, queues });
    const running = await reflect(track.lab.host('far'), '--rewrite', rewrite);
    await track.run(FRAMES, WINDOW, () => {});
    const last = await end(running);
    const result = track.result();
    assert.equal(result.sent, FRAMES);
    assert.equal(result.missing, 0, JSON.stringify(result));
    const { done, rxPackets, txPackets, txRefused } = last;
    assert.deepEqual(
      { done, rxPackets, txPackets, txRefused },
      { done: true, rxPackets: FRAMES, txPackets: FRAMES, txRefused: 0 },
    );
    requireFramesOf(last, queues);
    await requireAllFrames(track.near);
  });
}

it('barewire reflect, flooded: exactly what the kernel counts as dropped is missing', async () => {
  await using track = await Track.open(FRAMES, { debug: true });
  const running = await reflect(track.lab.host('far'));
  await track.run(FRAMES, 3000, () => {});
  const last = await end(running);
  const result = track.result();
  assert.equal(result.sent, FRAMES);
  assert.ok(result.returned > FRAMES / 10, JSON.stringify(result));
  assert.equal(result.missing, result.byInterfaces, JSON.stringify({ result, last }));
  requireFramesOf(last, 1);
  await requireAllFrames(track.near);
});

it('barewire reflect on an interface that flaps: nothing comes back twice or altered', async () => {
  await using track = await Track.open(2 * FRAMES, { debug: true });
  const running = await reflect(track.lab.host('far'));
  for (let flap = 1; flap <= 4; flap++) {
    const load = (): void => {
      for (let i = 0; i < 20; i++) {
        track.send(64, 1e9);
        track.receive();
      }
    };
    load();
    track.farNet.links.set('eth0', { up: false });
    load();
    const noticed = (word: string): boolean => running.stderr.split(word).length > flap;
    await running.until(() => noticed('went down'), 'it noticed');
    track.farNet.links.set('eth0', { up: true });
    await running.until(() => noticed('is up again'), 'it noticed');
  }
  await track.run(track.sent, 1e9, () => {});
  const before = track.result();
  await track.run(before.sent + FRAMES, WINDOW, () => {});
  const after = track.result();
  assert.deepEqual([after.sent - before.sent, after.returned - before.returned], [FRAMES, FRAMES]);
  requireFramesOf(await end(running), 1);
  await requireAllFrames(track.near);
});

it('barewire reflect, killed in the middle: nothing stays attached, the next start works at once', async () => {
  await using track = await Track.open(2 * FRAMES, { debug: true });
  const far = track.lab.host('far');
  const round = Math.floor(FRAMES / 4);
  for (let kill = 0; kill < 3; kill++) {
    const running = await reflect(far);
    assert.equal(far.net.links.get('eth0').xdp.length, 1);
    await track.run(track.sent + round, WINDOW, () => {});
    // All of this round came back; only what the last killing cost is missing.
    assert.equal(track.result().missing, track.lost);
    track.send(64, 1e9);
    running.child.kill('SIGKILL');
    track.send(64, 1e9);
    await running.ended;
    track.receive();
    track.giveUp();
  }
  const running = await reflect(far);
  await track.run(track.sent + round, WINDOW, () => {});
  assert.equal(track.result().missing, track.lost);
  requireFramesOf(await end(running), 1);
  for (let tries = 0; far.net.links.get('eth0').xdp.length > 0 && tries < 400; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(far.net.links.get('eth0').xdp.length, 0);
  await requireAllFrames(track.near);
});
