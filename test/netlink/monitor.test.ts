import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ArgumentError } from '../../src/error.ts';
import type { Monitor, NetlinkEvent } from '../../src/netlink/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Bed } from './bed.ts';

/** Reads on until an event is the one that is waited for. */
async function until(monitor: Monitor, wanted: (event: NetlinkEvent) => boolean): Promise<NetlinkEvent> {
  for (;;) {
    const { value } = await monitor.next();
    assert.ok(value !== undefined, 'the events ended');
    if (wanted(value)) return value;
  }
}

describe('events', () => {
  it('tell of a link that goes down, with the link as it is then', async () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    await using monitor = bed.net.monitor({ groups: ['link'] });
    bed.net.links.set('bw1', { up: false });
    const down = await until(
      monitor,
      (event) => event.type === 'link' && event.link.name === 'bw1' && !event.link.up,
    );
    assert.ok(down.type === 'link');
    assert.deepEqual([down.action, down.link.operState, down.link.kind], ['set', 'down', 'veth']);
    const other = await until(monitor, (event) => event.type === 'link' && event.link.name === 'bw0');
    assert.ok(other.type === 'link' && other.link.up && !other.link.carrier);
  });

  it('come from every group, set and deleted', async () => {
    using bed = new Bed();
    bed.sysctl('ipv6.conf.default.disable_ipv6', '1');
    bed.veth('bw0', 'bw1');
    await using monitor = bed.net.monitor();
    const { net } = bed;
    net.addresses.add('bw0', '192.0.2.1/24');
    net.routes.add({ destination: '10.0.0.0/8', via: '192.0.2.2' });
    net.rules.add({ fwmark: 5, table: 9 });
    net.neighbours.add('bw0', '192.0.2.3', '02:00:00:00:00:03');
    net.neighbours.delete('bw0', '192.0.2.3');
    net.rules.delete({ fwmark: 5, table: 9 });
    net.routes.delete({ destination: '10.0.0.0/8' });
    net.addresses.delete('bw0', '192.0.2.1/24');
    net.links.delete('bw0');
    const seen: string[] = [];
    await until(monitor, (event) => {
      if (event.type === 'address') seen.push(`${event.action} ${event.address.address}`);
      if (event.type === 'route' && event.route.destination === '10.0.0.0/8')
        seen.push(`${event.action} route`);
      if (event.type === 'rule') seen.push(`${event.action} mark ${event.rule.fwmark}`);
      if (event.type === 'neighbour')
        seen.push(`${event.action} ${event.neighbour.address} ${event.neighbour.state}`);
      return event.type === 'link' && event.action === 'delete' && event.link.name === 'bw0';
    });
    assert.deepEqual(
      seen.filter((line) => !line.includes('failed')),
      [
        'set 192.0.2.1',
        'set route',
        'set mark 5',
        'set 192.0.2.3 permanent',
        'delete mark 5',
        'delete route',
        'delete 192.0.2.1',
      ],
    );
  });

  it('end with break, close and the signal, and give everything back', async () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    // What Node opens for its first poller stays.
    const first = bed.net.monitor();
    bed.net.links.set('bw0', { up: false });
    await first.next();
    first.close();
    await setImmediate();
    const before = takeStock();

    bed.net.links.set('bw0', { up: true });
    const broken = bed.net.monitor({ groups: ['link'] });
    bed.net.links.set('bw0', { up: false });
    let events = 0;
    for await (const event of broken) {
      assert.equal(event.type, 'link');
      events++;
      break;
    }
    assert.equal(events, 1);
    assert.deepEqual(await broken.next(), { done: true, value: undefined });

    const closed = bed.net.monitor();
    const pending = [closed.next(), closed.next()];
    closed.close();
    closed.close();
    assert.deepEqual(await Promise.all(pending), [
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);

    const controller = new AbortController();
    const stopped = bed.net.monitor({ signal: controller.signal, groups: ['rule'] });
    const waiting = stopped.next();
    controller.abort();
    assert.equal((await waiting).done, true);
    assert.equal((await bed.net.monitor({ signal: controller.signal }).next()).done, true);

    // Pollers close on the next turn of the event loop.
    await setImmediate();
    requireNoLeaks(before);
  });

  it('wait for the reader, who finds all of them later', async () => {
    using bed = new Bed();
    await using monitor = bed.net.monitor({ groups: ['link'] });
    for (let i = 0; i < 20; i++) bed.net.links.create({ kind: 'bridge', name: `bwbr${i}` });
    await setImmediate();
    const names = new Set<string>();
    await until(monitor, (event) => {
      if (event.type === 'link') names.add(event.link.name);
      return names.size === 20;
    });
  });

  it('that the queue cannot hold are reported as one overrun, and it goes on', async () => {
    using bed = new Bed();
    await using monitor = bed.net.monitor({ groups: ['rule'], queueBytes: 4096 });
    for (let i = 0; i < 200; i++) bed.net.rules.add({ fwmark: i + 1, table: 9, priority: 100 + i });
    const kept: number[] = [];
    await until(monitor, (event) => {
      if (event.type === 'rule') kept.push(event.rule.fwmark!);
      return event.type === 'overrun';
    });
    assert.ok(kept.length < 200);
    bed.net.rules.add({ fwmark: 9999, table: 9 });
    let overruns = 0;
    await until(monitor, (event) => {
      if (event.type === 'overrun') overruns++;
      return event.type === 'rule' && event.rule.fwmark === 9999;
    });
    assert.equal(overruns, 0);
  });

  it('serve several who wait at once, in order', async () => {
    using bed = new Bed();
    await using monitor = bed.net.monitor({ groups: ['rule'] });
    const waiting = [monitor.next(), monitor.next(), monitor.next()];
    for (const fwmark of [1, 2, 3]) bed.net.rules.add({ fwmark, table: 9 });
    const marks = (await Promise.all(waiting)).map(({ value }) =>
      value?.type === 'rule' ? value.rule.fwmark : 0,
    );
    assert.deepEqual(marks, [1, 2, 3]);
  });

  it('keep the process alive only while somebody waits', async () => {
    using bed = new Bed();
    using elsewhere = new Bed();
    const url = new URL('../../src/netlink/index.js', import.meta.url).href;
    const script = `
      const { Netlink } = await import(${JSON.stringify(url)});
      const net = new Netlink();
      const monitor = net.monitor({ groups: ['rule'] });
      net.rules.add({ fwmark: 1, table: 9 });
      const { value } = await monitor.next();
      console.log(value.rule.fwmark);
      if (process.argv[1] === 'wait') monitor.next();
    `;
    const node = (where: Bed, argument: string): ChildProcessByStdio<null, Readable, null> =>
      where.netns.run(() =>
        spawn(process.execPath, ['--input-type=module', '-e', script, argument], {
          stdio: ['ignore', 'pipe', 'inherit'],
        }),
      );
    const [code] = await once(node(elsewhere, 'leave'), 'exit');
    assert.equal(code, 0);
    const waiting = node(bed, 'wait');
    const ended = once(waiting, 'exit');
    assert.equal(String((await once(waiting.stdout, 'data'))[0]).trim(), '1');
    // As long as another one takes from start to end, it stays.
    elsewhere.net.rules.delete({ fwmark: 1 });
    const other = once(node(elsewhere, 'leave'), 'exit').then(() => 'it waits');
    assert.equal(await Promise.race([ended, other]), 'it waits');
    waiting.kill('SIGKILL');
    await ended;
  });

  it('refuse groups that are none', () => {
    using bed = new Bed();
    assert.throws(
      () => bed.net.monitor({ groups: ['links' as 'link'] }),
      (error) => error instanceof ArgumentError && error.hint!.includes('link, address'),
    );
  });
});
