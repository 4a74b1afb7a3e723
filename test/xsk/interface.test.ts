import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, it } from 'node:test';
import { assemble, call, exit, func, ldx, mapByName, mov64, r1, r2, r3 } from '../../src/asm/index.ts';
import { xskMap } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { type Driver, openInterface, RxHints, type XskInterface } from '../../src/xsk/index.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const MATCH = { etherTypes: [TEST_ETHER_TYPE] };
const stock = takeStock();
let lab: Lab;
before(() => {
  lab = Lab.create({
    hosts: ['near', 'far'],
    wires: [{ between: ['near', 'far'] }, { between: ['near', 'far'], queues: 2 }],
  });
});
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

const open = (
  host: 'near' | 'far',
  options: Partial<Parameters<typeof openInterface>[1]> = {},
  name = 'eth0',
) => openInterface(name, { netns: lab.host(host).netns, match: MATCH, umem: { debug: true }, ...options });

function sendMarks(from: XskInterface, count: number, first = 0): void {
  const sent = from.sockets[0]!.send(count, (bytes, at, _room, index) => {
    bytes.fill(first + index, at, at + 60);
    bytes[at + 12] = TEST_ETHER_TYPE >> 8;
    bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
    return 60;
  });
  assert.equal(sent, count);
}

it('opens every queue, says what was granted, and leaves other traffic alone', async () => {
  await using near = await open('near', {}, 'eth1');
  await using far = await open('far', {}, 'eth1');
  assert.equal(far.sockets.length, 2);
  assert.deepEqual(
    far.sockets.map((socket) => socket.queue),
    [0, 1],
  );
  assert.equal(far.mode, 'driver');
  assert.equal(far.copy, 'copy');
  assert.equal(far.up, true);
  assert.equal(far.mtu, 1500);
  assert.deepEqual(
    far.refusals.map(({ what }) => what),
    ['zero copy'],
  );
  assert.equal(lab.host('far').net.links.get('eth1').xdp.length, 1);
  // The kernel's own stack still answers.
  lab.host('near').exec('ping', ['-c', '1', '-W', '2', '10.77.1.2']);
  let seen = 0;
  sendMarks(near, 4);
  near.sockets[1]!.send(3, (bytes, at) => {
    bytes[at + 12] = TEST_ETHER_TYPE >> 8;
    bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
    return 60;
  });
  const perQueue = [0, 0];
  const stop = new AbortController();
  await far.run(
    (socket) => {
      const count = socket.receive(() => {});
      perQueue[socket.queue]! += count;
      seen += count;
      if (seen === 7) stop.abort();
      return count;
    },
    { driver: 'event', signal: stop.signal },
  );
  assert.deepEqual(perQueue, [4, 3]);
});

it('opens some queues only; frames of the others go to the kernel', async () => {
  await using near = await open('near', {}, 'eth1');
  await using far = await open('far', { queues: [1] }, 'eth1');
  assert.deepEqual(
    far.sockets.map((socket) => socket.queue),
    [1],
  );
  const statsBefore = lab.host('far').net.links.get('eth1').stats!.rxPackets;
  sendMarks(near, 5);
  for (const end = Date.now() + 5000; Date.now() < end; ) {
    if (lab.host('far').net.links.get('eth1').stats!.rxPackets - statsBefore >= 5n) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(
    far.sockets[0]!.receive(() => {}),
    0,
  );
  assert.deepEqual(await rejection(open('far', { queues: [5] }, 'eth1')), 'BW_QUEUE_BUSY or BW_NO_QUEUE');
});

/** Which of the two comes first is the kernel's affair: the queue is not there, and the interface has a program. */
async function rejection(promise: Promise<XskInterface>): Promise<string> {
  const error = (await promise.then(
    () => assert.fail('it opened'),
    (reason: unknown) => reason,
  )) as { code: string };
  return ['BW_NO_QUEUE', 'BW_QUEUE_BUSY'].includes(error.code) ? 'BW_QUEUE_BUSY or BW_NO_QUEUE' : error.code;
}

for (const driver of ['nap', 'spin', 'immediate', 'event'] as Driver[]) {
  it(`the ${driver} driver works until its signal, and timers go on meanwhile`, async () => {
    await using near = await open('near');
    await using far = await open('far');
    const stop = new AbortController();
    let seen = 0;
    let ticks = 0;
    const ticking = setInterval(() => {
      ticks++;
      if (ticks <= 20) sendMarks(near, 10);
    }, 1);
    await far.run(
      (socket) => {
        const count = socket.receive(() => seen++);
        if (seen === 200) stop.abort();
        return count;
      },
      { driver, signal: stop.signal },
    );
    clearInterval(ticking);
    assert.equal(seen, 200);
    assert.ok(ticks >= 20);
    await far.run(() => assert.fail('worked after the end'), { driver, signal: AbortSignal.abort() });
  });

  it(`batches with the ${driver} driver: give back, send on, end with the signal`, async () => {
    await using near = await open('near');
    await using far = await open('far');
    const stop = new AbortController();
    setImmediate(() => sendMarks(near, 30));
    const marks: number[] = [];
    for await (const batch of far.batches({ driver, signal: stop.signal, limit: 8 })) {
      assert.ok(batch.count > 0 && batch.count <= 8);
      batch.forEach((bytes, address, _length, i) => {
        marks.push(bytes[address + 20]!);
        if (marks.length % 2 === 0) assert.equal(batch.send(i), true);
      });
      if (marks.length === 30) stop.abort();
    }
    assert.deepEqual(
      marks,
      Array.from({ length: 30 }, (_, i) => i),
    );
    assert.ok(await far.sockets[0]!.drain());
    const { pool, user } = far.sockets[0]!.umem.owners()!;
    assert.equal(user, 0);
    assert.equal(pool + far.sockets[0]!.held.filled, far.sockets[0]!.umem.frames);
    let back = 0;
    while (back < 15) back += near.sockets[0]!.receive(() => {});
  });
}

it('takes a program of one’s own in place of a match', async () => {
  const assembly = assemble([
    func('mine', 1),
    ldx('u32', r2, r1, 16),
    mapByName(r1, 'mine'),
    mov64(r3, 2),
    call('redirect_map'),
    exit(),
  ]);
  const match = {
    name: 'mine',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: { mine: xskMap('mine', 4) },
    ...assembly,
  } as const;
  await using near = await open('near');
  await using far = await open('far', { match });
  sendMarks(near, 1);
  let mark: number | undefined;
  for await (const batch of far.batches()) {
    batch.forEach((bytes, address) => {
      if (bytes[address + 13] === (TEST_ETHER_TYPE & 0xff)) mark = bytes[address + 20];
    });
    if (mark !== undefined) break;
  }
  assert.equal(mark, 0);
  await assert.rejects(open('near', { match: { ...match, maps: {} } }), {
    code: 'BW_ARGUMENT',
    message: /0 maps of sockets/,
  });
});

it('evicts nobody unless told to', async () => {
  await using far = await open('far');
  const again = { busyTimeout: 1 };
  await assert.rejects(open('far', again), { code: 'BW_QUEUE_BUSY' });
  await far.close();
  await far.close();
  assert.equal(far.closed, true);
  assert.throws(() => far.sockets[0]!.receive(() => {}), { code: 'BW_CLOSED' });
  await assert.rejects(
    far.run(() => 0),
    { code: 'BW_CLOSED' },
  );
  await using next = await open('far');
  assert.equal(next.mode, 'driver');
});

it('an interface that goes down says so, and works on when it is up again', async () => {
  await using near = await open('near');
  await using far = await open('far');
  const { net } = lab.host('far');
  const down = once(far, 'down');
  net.links.set('eth0', { up: false });
  await down;
  assert.equal(far.up, false);
  far.sockets[0]!.send(1, () => 60);
  assert.equal(far.sockets[0]!.state, 'down');
  const up = once(far, 'up');
  net.links.set('eth0', { up: true });
  await up;
  assert.ok(await far.sockets[0]!.drain());
  assert.equal(far.sockets[0]!.state, 'up');
  sendMarks(near, 2);
  let seen = 0;
  for await (const batch of far.batches({ signal: AbortSignal.timeout(5000) })) {
    seen += batch.count;
    if (seen >= 2) break;
  }
  assert.ok(seen >= 2);
});

for (const driver of ['nap', 'event'] as Driver[]) {
  it(`an interface that is deleted under load ends it with a typed error (${driver})`, async () => {
    using other = Lab.create({ hosts: ['a', 'b'], wires: [{ between: ['a', 'b'] }] });
    const at = (host: string) =>
      openInterface('eth0', { netns: other.host(host).netns, match: MATCH, umem: { debug: true } });
    await using a = await at('a');
    await using b = await at('b');
    const gone = once(b, 'gone');
    const loads = [a, b].map((end) =>
      end.run(
        (socket) => {
          socket.send(16, (bytes, at) => {
            bytes[at + 12] = TEST_ETHER_TYPE >> 8;
            bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
            return 60;
          });
          return socket.receive(() => {});
        },
        { driver },
      ),
    );
    const iterating = (async () => {
      for await (const batch of b.batches({ driver })) batch.release();
    })();
    setTimeout(() => other.host('a').net.links.delete('eth0'), 30);
    const ends = await Promise.allSettled([...loads, iterating]);
    for (const end of ends) {
      assert.equal(end.status, 'rejected');
      assert.equal((end.reason as { code: string }).code, 'BW_INTERFACE_GONE');
    }
    const [error] = await gone;
    assert.equal(error.message, 'the interface eth0 went away');
    assert.equal(a.closed, true);
    assert.equal(b.closed, true);
  });
}

it('has the driver say more of received packets', async () => {
  const { net } = lab.host('far');
  assert.ok(net.netdev.xdp('eth0').rxMetadata.includes('hash'), 'a veth has hashes');
  await using near = await open('near');
  await using far = await open('far', { hints: true });
  assert.equal(far.mode, 'driver');
  const { umem } = far.sockets[0]!;
  const hints = new RxHints(umem);
  sendMarks(near, 3);
  const hashes: (number | undefined)[] = [];
  for await (const batch of far.batches({ signal: AbortSignal.timeout(5000) })) {
    batch.forEach((bytes, address, length, i) => {
      assert.equal(length, 60);
      assert.equal(bytes[address + 20], hashes.length);
      hashes.push(hints.hashOf(address));
      assert.equal(typeof hints.hashTypeOf(address), 'number');
      // Nobody took a tag out, and a veth has no clock.
      assert.equal(hints.vlanTagOf(address), undefined);
      const timestamp = hints.timestampOf(address);
      assert.ok(timestamp === undefined || timestamp === 0n, `${timestamp}`);
      assert.equal(batch.send(i), true);
    });
    if (hashes.length === 3) break;
  }
  assert.ok(
    hashes.every((hash) => hash !== undefined && hash === hashes[0]),
    `${hashes}`,
  );
  assert.ok(await far.sockets[0]!.drain());
  // A program for one interface does not run outside of its driver.
  await near.close();
  await assert.rejects(open('near', { hints: true, mode: 'generic' }), { code: 'BW_MODE_REFUSED' });
});
