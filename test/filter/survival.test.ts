import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createFilter } from '../../src/filter/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Bed } from './bed.ts';

const stock = takeStock();
const bed = new Bed();
after(() => {
  bed.destroy();
  requireNoLeaks(stock);
});
const filter = bed.filter();
const names = () => [...filter.entries()].map(({ action, prefix }) => `${action} ${prefix}`).sort();

describe('a filter', () => {
  afterEach(() => filter.detach({ forget: true }));

  it('denies by address and by prefix, IPv4 and IPv6, and allows before it denies', async () => {
    await filter.attach();
    assert.equal(bed.reaches(), true);
    assert.equal(bed.reaches('fd00:77:0::2'), true);
    await filter.deny('10.77.0.1', { reason: 'one address' });
    assert.equal(bed.reaches(), false);
    assert.equal(bed.reaches('fd00:77:0::2'), true);
    await filter.deny('fd00:77::/64');
    assert.equal(bed.reaches('fd00:77:0::2'), false);
    await filter.allow('10.77.0.0/16');
    assert.equal(bed.reaches(), true);
    const [entry] = [...filter.entries()].filter(({ prefix }) => prefix === '10.77.0.1/32');
    assert.equal(entry?.hits, 1n);
    assert.equal(entry?.reason, 'one address');
    assert.ok(Date.now() - (entry?.lastSeen?.getTime() ?? 0) < 60_000);
    assert.equal(await filter.remove('deny', 'fd00:77::/64'), true);
    assert.equal(await filter.remove('deny', 'fd00:77::/64'), false);
    assert.equal(bed.reaches('fd00:77:0::2'), true);
  });

  it('keeps its list over kill -9, over detaching, and over a reboot', async () => {
    // Another process attaches, adds, and is killed at once.
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('attach-and-wait.js', import.meta.url)),
      JSON.stringify({ interface: 'eth0', netns: bed.right.namespace, roots: bed.roots }),
    ]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.equal(bed.reaches(), false);
    const before = names();
    assert.deepEqual(before, ['allow 198.51.100.0/24', 'deny 10.77.0.1/32', 'deny 2001:db8::/32']);
    assert.equal(await filter.detach(), true);
    assert.equal(bed.reaches(), true);
    assert.throws(() => names(), { code: 'BW_NOT_ATTACHED' });
    assert.equal((await filter.attach()).restored, 3);
    assert.equal(bed.reaches(), false);
    assert.deepEqual(names(), before);
    await filter.add([{ action: 'deny', prefix: '203.0.113.9', reason: 'after' }]);
    await filter.remove('allow', '198.51.100.0/24');
    bed.reboot();
    assert.equal(filter.attached, false);
    await createFilter({ interface: 'eth0', netns: bed.right.namespace, roots: bed.roots });
    assert.equal(bed.reaches(), false);
    assert.deepEqual(names(), ['deny 10.77.0.1/32', 'deny 2001:db8::/32', 'deny 203.0.113.9/32']);
    const reasons = [...filter.entries()].map(({ reason }) => reason).sort();
    assert.deepEqual(reasons, ['after', 'scan', undefined]);
  });

  it('lets entries end by themselves, without a process, and not before', async () => {
    await filter.attach();
    await filter.deny('10.77.0.0/24', { expires: 86_400_000 });
    await filter.deny('10.77.0.0/28', { expires: 700 });
    await filter.deny('10.77.0.1', { expires: 700 });
    assert.equal(bed.reaches(), false);
    while (names().length > 1) await new Promise((resolve) => setTimeout(resolve, 50));
    // The longer prefix has ended, and does not hide the shorter one that has not.
    assert.equal(bed.reaches(), false);
    assert.equal([...filter.entries()][0]?.hits, 1n);
    await filter.remove('deny', '10.77.0.0/24');
    assert.equal(bed.reaches(), true);
  });

  it('is not attached twice, and leaves another owner’s program alone', async () => {
    await filter.attach();
    await assert.rejects(filter.attach(), { code: 'BW_EXISTS' });
    await filter.detach();
    assert.equal(await filter.detach(), false);
  });
});
