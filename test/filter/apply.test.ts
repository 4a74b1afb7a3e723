import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FilterConfig } from '../../src/filter/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Bed } from './bed.ts';

const stock = takeStock();
const bed = new Bed();
after(() => {
  bed.destroy();
  requireNoLeaks(stock);
});
const filter = bed.filter();
const where = { interface: 'eth0', netns: bed.right.namespace, roots: bed.roots };
const names = () =>
  [...filter.entries()].map(({ action, prefix, lists }) => `${action} ${prefix} ${lists.join('+')}`).sort();
const rules = () => filter.rules().map(({ text }) => text);

/** Does something in a process that ends by SIGKILL before its n-th step. Returns the step, or undefined at its end. */
async function dieAt(step: number, task: object): Promise<string | undefined> {
  const child = spawn(process.execPath, [
    fileURLToPath(new URL('die-at-step.js', import.meta.url)),
    JSON.stringify({ where, step, ...task }),
  ]);
  let said = '';
  let complaint = '';
  child.stdout.on('data', (text: Buffer) => {
    said += text.toString();
  });
  child.stderr.on('data', (text: Buffer) => {
    complaint += text.toString();
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === 'SIGKILL') return said.trim().split('\n').at(-1);
  assert.equal(code, 0, complaint);
  return undefined;
}

const OLD: FilterConfig = {
  deny: ['10.77.0.1', '192.0.2.0/24'],
  limits: [{ protocol: 'udp', packets: '100/s' }],
};
const NEW: FilterConfig = {
  deny: ['192.0.2.0/24', '198.51.100.7', { protocol: 'tcp', ports: 23 }],
  allow: [{ source: '203.0.113.0/24', reason: 'office' }],
};

describe('apply', () => {
  beforeEach(() => filter.attach());
  afterEach(() => filter.detach({ forget: true }));

  it('makes the filter what the configuration says, tells what changes, and leaves alone what it does not own', async () => {
    await filter.deny('10.1.2.3', { reason: 'by hand' });
    const first = await filter.apply(OLD);
    assert.deepEqual([first.entries.added, first.entries.removed, first.rules.added.length], [2, 0, 1]);
    assert.deepEqual(names(), [
      'deny 10.1.2.3/32 manual',
      'deny 10.77.0.1/32 config',
      'deny 192.0.2.0/24 config',
    ]);
    assert.equal(bed.reaches(), false);
    assert.equal((await filter.apply(OLD)).any, false);
    const dry = await filter.apply(NEW, { dryRun: true });
    assert.deepEqual(dry.entries.shown.toSorted(), [
      '+ allow 203.0.113.0/24',
      '+ deny 198.51.100.7/32',
      '- deny 10.77.0.1/32',
    ]);
    assert.deepEqual(dry.rules.added, ['deny tcp port 23']);
    assert.deepEqual(dry.rules.removed, ['limit udp per source']);
    assert.equal(bed.reaches(), false, 'a dry run changes nothing');
    await filter.apply(NEW);
    assert.equal(bed.reaches(), true);
    assert.deepEqual(rules(), ['deny tcp port 23']);
    assert.deepEqual(names(), [
      'allow 203.0.113.0/24 config',
      'deny 10.1.2.3/32 manual',
      'deny 192.0.2.0/24 config',
      'deny 198.51.100.7/32 config',
    ]);
    await filter.apply({ allow: ['10.77.0.0/24'], default: 'deny' }, { prune: true });
    assert.deepEqual(names(), ['allow 10.77.0.0/24 config']);
    assert.equal(bed.reaches(), true);
    bed.reboot();
    await filter.attach();
    assert.equal(filter.status().settings.default, 'deny', 'what is kept is not inverted');
    assert.deepEqual(names(), ['allow 10.77.0.0/24 config']);
  });

  it('keeps counts of what stays', async () => {
    await filter.apply(OLD);
    assert.equal(bed.reaches(), false);
    await filter.apply({ deny: ['10.77.0.1', '192.0.2.1'] });
    const hits = [...filter.entries()].find(({ prefix }) => prefix === '10.77.0.1/32')?.hits;
    assert.equal(hits, 1n);
    assert.equal(bed.reaches(), false);
  });

  it('refuses what would lock everybody out', async () => {
    await assert.rejects(filter.apply({ default: 'deny', deny: ['192.0.2.1'] }), { code: 'BW_LOCKED_OUT' });
    assert.deepEqual(names(), []);
    await filter.apply({ default: 'deny', allow: ['10.77.0.1'] });
    await assert.rejects(filter.remove('allow', '10.77.0.1'), { code: 'BW_LOCKED_OUT' });
    await filter.apply({ default: 'deny' }, { peer: { address: '10.77.0.1' } });
    assert.equal(bed.reaches(), true, 'whoever works over SSH stays in');
  });

  it('leaves the old filter or the new one, at whichever step it dies', async () => {
    await filter.apply(OLD);
    const old = [names(), rules()];
    await filter.apply(NEW);
    const fresh = [names(), rules()];
    const steps: string[] = [];
    for (let step = 1; ; step++) {
      await filter.apply(OLD);
      const died = await dieAt(step, { config: NEW });
      // What the kernel does, before anybody puts anything in order.
      const reaches = bed.reaches();
      const state = [names(), rules()];
      assert.deepEqual(state, reaches ? fresh : old, `after death before '${died}'`);
      // The next change finds everything in order, and so does a reboot.
      await filter.deny('10.9.9.9');
      await filter.remove('deny', '10.9.9.9');
      assert.deepEqual([names(), rules()], state);
      bed.reboot();
      await filter.attach();
      assert.deepEqual([names(), rules()], state, `after death before '${died}' and a reboot`);
      if (died === undefined) break;
      steps.push(died);
    }
    assert.ok(steps.includes('switch') && steps.includes('save') && steps.length >= 9, steps.join(', '));
  });

  it('leaves what was saved or what is new, when the machine restarts at whichever step', async () => {
    await filter.apply(OLD);
    const old = [names(), rules()];
    for (let step = 1; ; step++) {
      await filter.apply(OLD);
      const died = await dieAt(step, { config: NEW });
      bed.reboot();
      await filter.attach();
      const state = [names(), rules()];
      if (died === undefined) {
        assert.notDeepEqual(state, old);
        break;
      }
      const isNew = rules().includes('deny tcp port 23');
      assert.equal(names().length, isNew ? 3 : 2, `after death before '${died}' and a reboot`);
      if (!isNew) assert.deepEqual(state, old);
    }
  });
});

describe('the guard', () => {
  afterEach(() => filter.detach({ forget: true }));
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 50));
  };

  it('goes back after kill -9, by itself, unless confirmed', async () => {
    await filter.attach();
    await filter.deny('192.0.2.1');
    // The process dies at its last step: only the kernel is left to keep the promise.
    assert.equal(await dieAt(99, { config: { deny: ['10.77.0.1'] }, confirm: 5000, thenDie: true }), 'done');
    assert.equal(bed.reaches(), false);
    assert.equal(filter.status().guard, 'pending');
    await until(() => bed.reaches());
    assert.equal(filter.status().guard, 'expired');
    await assert.rejects(filter.confirm(), { code: 'BW_NO_GUARD' });
    assert.deepEqual(names(), ['deny 192.0.2.1/32 manual']);
    assert.equal(filter.status().guard, 'none');
  });

  it('passes everything when there was nothing before it', async () => {
    await filter.attach({ confirm: 3000, settings: { default: 'deny' }, peer: { address: '198.51.100.1' } });
    assert.equal(bed.reaches(), false);
    await until(() => bed.reaches());
    await assert.rejects(filter.deny('192.0.2.1'), { code: 'BW_NOT_ATTACHED' });
    assert.equal(filter.attached, false);
    bed.reboot();
    await filter.attach();
    assert.equal(filter.status().settings.default, 'allow', 'what was not confirmed was not saved');
  });

  it('stays once it is confirmed, at whichever step the confirmation dies', async () => {
    for (let step = 1; ; step++) {
      await filter.attach();
      await filter.apply({ deny: ['10.77.0.1'] }, { confirm: 60_000 });
      // What is added meanwhile holds whichever way it ends.
      await filter.deny('10.5.5.5');
      const died = await dieAt(step, { confirmation: true });
      assert.equal(bed.reaches(), false);
      const guard = filter.status().guard;
      assert.equal(guard, step === 1 ? 'pending' : 'none', `after death before '${died}'`);
      if (guard === 'pending') await filter.confirm();
      await filter.deny('10.6.6.6');
      bed.reboot();
      await filter.attach();
      assert.deepEqual(names(), [
        'deny 10.5.5.5/32 manual',
        'deny 10.6.6.6/32 manual',
        'deny 10.77.0.1/32 config',
      ]);
      await filter.detach({ forget: true });
      if (died === undefined) break;
    }
  });
});
