import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { formatMac } from '../../src/address/index.ts';
import { type LineOptions, LinePool } from '../../src/lines/index.ts';
import { buildPacket, PppoeCode } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { openXskLink, PacketLink } from '../../src/xsk/index.ts';
import { get, Isp } from './isp.ts';

const stock = takeStock();
let isp: Isp;
before(async () => {
  isp = await Isp.start();
});
after(async () => {
  await isp[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const QUICK: LineOptions = {
  user: 'user1',
  password: 'pass1',
  retry: { initial: 20, maximum: 200 },
  timing: { padi: 100, padiTries: 2 },
};

describe('lines come back by themselves', () => {
  it('when the carrier was lost, and tell of it', async () => {
    await using pool = await isp.openPool();
    const line = pool.add(QUICK);
    await line.up();
    const carriers: boolean[] = [];
    pool.on('event', (event) => {
      if ('carrier' in event) carriers.push(event.carrier);
    });
    const closed = once(line, 'closed');
    isp.isp.net.links.set('eth0', { up: false });
    const [error] = (await closed) as [{ code: string }];
    assert.equal(error.code, 'BW_PPPOE_CARRIER');
    assert.equal(pool.wire.carrier, false);
    await assert.rejects(line.connect({ host: '198.51.100.2', port: 80 }), { code: 'BW_LINE_DOWN' });
    const opened = once(line, 'open');
    isp.isp.net.links.set('eth0', { up: true });
    await opened;
    assert.deepEqual(carriers, [false, true]);
    assert.equal(await get(line), line.given?.local);
  });

  it('when the concentrator was restarted, and hear nothing of the old one', async () => {
    await using pool = await isp.openPool();
    const lines = [1, 2, 3].map((n) => pool.add({ ...QUICK, user: `user${n}`, password: `pass${n}` }));
    await Promise.all(lines.map((line) => line.up()));
    const closed = lines.map((line) => once(line, 'closed'));
    const opened = lines.map((line) => once(line, 'open'));
    await isp.server?.close();
    await Promise.all(closed);
    await isp.serve();
    await Promise.all(opened);
    for (const line of lines) assert.equal(await get(line), line.given?.local);
  });

  it('one after the other: the end of one touches no other', async () => {
    await using pool = await isp.openPool();
    const lines = [1, 2, 3].map((n) => pool.add({ ...QUICK, user: `user${n}`, password: `pass${n}` }));
    await Promise.all(lines.map((line) => line.up()));
    const [first, ...others] = lines;
    let disturbed = 0;
    for (const line of others) line.on('state', () => disturbed++);
    const session = [...isp.server!.sessions.values()].find(({ user }) => user === 'user1');
    const closed = once(first!, 'closed');
    const opened = once(first!, 'open');
    isp.server!.terminate(session!, 'maintenance');
    const [error] = (await closed) as [{ peerMessage?: string }];
    assert.match(error.peerMessage ?? '', /maintenance/);
    await opened;
    assert.equal(disturbed, 0);
  });
});

describe('hostile frames', () => {
  it('with another MAC address or session ID end nothing; noise of every length is survived', async () => {
    await using pool = await isp.openPool();
    const line = pool.add({ ...QUICK, retry: false });
    const { sessionId, peerMac } = await line.up();
    const own = formatMac(pool.wire.interface.address);
    await using stranger = PacketLink.open('eth0', { netns: isp.isp.netns });
    const padt = (source: string, destination: string, id: number): Uint8Array =>
      buildPacket([
        { layer: 'eth', source, destination, etherType: 0x8863 },
        { layer: 'pppoe', code: PppoeCode.padt, sessionId: id },
      ]);
    const frames: Uint8Array[] = [
      padt('02:66:66:66:66:66', own, sessionId),
      padt(peerMac, '02:66:66:66:66:66', sessionId),
      padt(peerMac, own, sessionId + 1),
    ];
    for (let length = 14; length < 120; length++) {
      for (const type of [0x63, 0x64]) {
        const frame = crypto.getRandomValues(new Uint8Array(length));
        frame.set(pool.wire.interface.address, 0);
        frame.set([0x88, type, 0x11].slice(0, length - 12), 12);
        frames.push(frame);
        const close = frame.slice();
        // As near to the real thing as noise can be: right MACs, version, session ID.
        close.set(
          peerMac.split(':').map((part) => Number.parseInt(part, 16)),
          6,
        );
        if (length >= 20) close.set([0, sessionId >> 8, sessionId & 0xff, 0, length - 20], 15);
        if (type === 0x64) frames.push(close);
      }
    }
    const sent = stranger.send(frames.length, (bytes, at, _, i) => {
      bytes.set(frames[i]!, at);
      return frames[i]!.length;
    });
    assert.equal(sent, frames.length);
    while (pool.wire.interface.sockets[0]!.traffic.rxPackets < frames.length) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(await get(line), line.given?.local);
    assert.equal(line.state, 'open');
  });
});

describe('the interface', () => {
  it('is not taken from another owner', async () => {
    await using other = await openXskLink('eth0', {
      netns: isp.customer.netns,
      match: { etherTypes: [0x1234] },
    });
    await assert.rejects(isp.openPool(), { code: 'BW_QUEUE_BUSY' });
    assert.equal(other.closed, false);
  });

  it('that does not exist is told by its name', async () => {
    await assert.rejects(LinePool.open('eth7', { netns: isp.customer.netns }), { code: 'BW_NO_INTERFACE' });
  });

  it('that is deleted ends the pool, and nothing else', async () => {
    const { net } = isp.customer;
    net.links.create({ kind: 'veth', name: 'bwgone0', up: true, peer: { name: 'bwgone1', up: true } });
    const pool = await LinePool.open('bwgone0', { netns: isp.customer.netns });
    const line = pool.add(QUICK);
    line.dial();
    const gone = once(pool, 'gone');
    net.links.delete('bwgone0');
    const [error] = (await gone) as [{ code: string }];
    assert.equal(error.code, 'BW_INTERFACE_GONE');
    assert.notEqual(pool.fault, undefined);
    assert.notEqual(line.state, 'open');
    await pool.close();
  });
});

it('a day of faults leaks no frames, timers, devices and descriptors', async () => {
  const pool = await isp.openPool({ mac: 'per-session' });
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const lines = Array.from({ length: 20 }, (_, i) =>
    pool.add({ ...QUICK, user: `user${i + 1}`, password: `pass${i + 1}` }),
  );
  for (const line of lines) line.dial();
  await Promise.all(lines.map((line) => line.given ?? once(line, 'open')));
  const before = timers();
  const descriptors = takeStock();
  for (let round = 0; round < 6; round++) {
    const some = lines.filter((_, i) => (i + round) % 3 === 0);
    const redialled = some.map((line) => line.redial().catch(() => undefined));
    if (round % 3 === 1) for (const session of isp.server!.sessions.values()) isp.server!.terminate(session);
    if (round % 3 === 2) {
      isp.isp.net.links.set('eth0', { up: false });
      await new Promise((resolve) => setTimeout(resolve, 50));
      isp.isp.net.links.set('eth0', { up: true });
    }
    await Promise.all(redialled);
    while (lines.some((line) => line.state !== 'open'))
      await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual(
    await Promise.all(lines.map((line) => get(line))),
    lines.map((line) => line.given?.local),
  );
  requireNoLeaks(descriptors);
  assert.ok(timers() <= before + 1, `${timers()} timers, ${before} before`);
  const [socket] = pool.wire.interface.sockets;
  await socket!.drain(1000);
  const { filled, sending } = socket!.held;
  assert.equal(
    filled + sending + socket!.umem.pool.available,
    socket!.umem.frames,
    'every frame has an owner',
  );
  await pool.close();
  assert.equal(isp.customer.net.links.list({ kind: 'tun' }).length, 0);
});
