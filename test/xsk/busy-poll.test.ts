import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { openInterface, restoreNapiLeftovers } from '../../src/xsk/index.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const stock = takeStock();
let lab: Lab;
before(() => {
  lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'], queues: 2 }] });
  // With it the instances are there without an XDP program as well, and outlive one.
  lab.host('far').exec('ethtool', ['-K', 'eth0', 'gro', 'on']);
});
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

const TIMING = { deferHardIrqs: 3, groFlushTimeout: 150_000 };

/** Of each queue's NAPI instance: polls without packets, and ns. */
function timings(): (readonly [number | undefined, bigint | undefined])[] {
  return lab
    .host('far')
    .net.netdev.napis('eth0')
    .map((napi) => [napi.deferHardIrqs, napi.groFlushTimeout] as const);
}

const SAVED = '/run/barewire/napi';

function saved(): string[] {
  return existsSync(SAVED) ? readdirSync(SAVED) : [];
}

it('changes the timing of the queues it has, and restores it', async () => {
  const files = saved();
  const before = timings();
  assert.equal(before.length, 2);
  const far = await openInterface('eth0', {
    netns: lab.host('far').netns,
    match: { etherTypes: [TEST_ETHER_TYPE] },
    busyPoll: { interrupts: TIMING },
  });
  // A veth does not say which instance serves which queue, so it is all of them.
  assert.deepEqual(timings(), [
    [3, 150_000n],
    [3, 150_000n],
  ]);
  assert.equal(saved().length, files.length + 1);
  await far.close();
  assert.deepEqual(timings(), before);
  assert.deepEqual(saved(), files);
});

it('after a crash the next one restores it', async () => {
  const files = saved();
  const before = timings();
  const script = fileURLToPath(new URL('./busy-poll-process.js', import.meta.url));
  const child = spawn(process.execPath, [script, lab.host('far').namespace, JSON.stringify(TIMING)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  assert.deepEqual(timings(), [
    [3, 150_000n],
    [3, 150_000n],
  ]);
  // The living are left alone.
  assert.deepEqual(restoreNapiLeftovers(lab.host('far').netns), []);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(timings()[0], [3, 150_000n]);
  const far = await openInterface('eth0', {
    netns: lab.host('far').netns,
    match: { etherTypes: [TEST_ETHER_TYPE] },
  });
  assert.deepEqual(timings(), before);
  assert.deepEqual(saved(), files);
  await far.close();
});
