import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attachXdp, load } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { type Netns, requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import {
  DescriptorOption,
  PacketBatch,
  redirectSpec,
  TxMetadata,
  Umem,
  XskSocket,
  type XskSocketOptions,
} from '../../src/xsk/index.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const stock = takeStock();
let lab: Lab;
let near: Netns;
let far: Netns;
before(() => {
  lab = Lab.create({
    hosts: ['near', 'far'],
    wires: [{ between: ['near', 'far'] }, { between: ['near', 'far'], mtu: 9000 }],
  });
  near = lab.host('near').netns;
  far = lab.host('far').netns;
});
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

/** A socket that receives the test's frames, and nothing else. */
async function open(
  netns: Netns,
  umem: Umem,
  options: Partial<XskSocketOptions> = {},
): Promise<{ socket: XskSocket; close(): void }> {
  const name = options.interface ?? 'eth0';
  const socket = await XskSocket.open({ ...options, umem, netns, interface: name });
  const match = { etherTypes: [TEST_ETHER_TYPE] };
  const loaded = load(redirectSpec(match, { queues: 1, frags: options.multiBuffer ?? false }));
  loaded.maps.sockets.set(0, socket);
  const attached = attachXdp(loaded.program, { interface: name, netns });
  const close = (): void => {
    attached.close();
    loaded.maps.sockets.delete(0);
    loaded.close();
    socket.close();
  };
  return { socket, close };
}

function writeTestFrame(bytes: Uint8Array, at: number, length: number, mark: number): number {
  bytes.fill(mark, at, at + length);
  bytes[at + 12] = TEST_ETHER_TYPE >> 8;
  bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
  return length;
}

/** Receives until `done` says so; fails after five seconds. */
async function until(step: () => void, done: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 5000; !done(); ) {
    assert.ok(Date.now() < end, `${what} did not happen`);
    step();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it('says what was granted, and why not more', async () => {
  using umem = Umem.create();
  using socket = await XskSocket.open({ umem, interface: 'eth0', netns: near });
  assert.equal(socket.mode, 'copy');
  assert.equal(socket.refusals.length, 1);
  assert.match(socket.refusals[0]!.what, /zero copy/);
  using other = Umem.create({ frames: 64 });
  await assert.rejects(XskSocket.open({ umem: other, interface: 'eth0', netns: far, copy: 'zero-copy' }), {
    code: 'BW_UNSUPPORTED',
    message: /bind the AF_XDP socket of eth0, queue 0/,
  });
});

it('refuses what cannot be, each with a clear line', async () => {
  const umem = Umem.create({ frames: 64 });
  const at = { umem, netns: near, interface: 'eth0' };
  await assert.rejects(XskSocket.open({ ...at, interface: 'eth7' }), { code: 'BW_NO_INTERFACE' });
  await assert.rejects(XskSocket.open({ ...at, queue: 1 }), {
    code: 'BW_NO_QUEUE',
    message: 'eth0 has no queue 1',
    hint: 'It has one, number 0.',
  });
  await assert.rejects(XskSocket.open({ ...at, queue: -1 }), { code: 'BW_NO_QUEUE' });
  for (const rings of [{ rx: 100 }, { tx: 0 }, { fill: 3.5 }, { completion: 2 ** 21 }]) {
    await assert.rejects(XskSocket.open({ ...at, rings }), {
      code: 'BW_ARGUMENT',
      message: /not a power of two/,
    });
  }
  umem.close();
  await assert.rejects(XskSocket.open(at), { code: 'BW_CLOSED' });
  const cases: [object, RegExp][] = [
    [{ frames: 0 }, /0 frames/],
    [{ frameSize: 1024 }, /1024 bytes: the kernel takes 2048 to 4096/],
    [{ frameSize: 3000 }, /3000 bytes: not a power of two/],
    [{ headroom: 1792 }, /headroom of 1792/],
    [{ headroom: -1 }, /headroom/],
    [{ headroom: 4, txMetadata: true }, /multiple of 8/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => Umem.create(options), { code: 'BW_ARGUMENT', message });
  }
  assert.throws(() => Umem.create({ frames: 1 << 20, frameSize: 4096 }), { code: 'BW_LIMIT' });
});

it('a UMEM beyond the limit of locked memory says so', () => {
  const script = fileURLToPath(new URL('./locked-memory.js', import.meta.url));
  const result = spawnSync(
    'setpriv',
    [
      '--bounding-set=-ipc_lock',
      '--inh-caps=-ipc_lock',
      process.execPath,
      script,
      lab.host('near').namespace,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(result.status, 0, result.stderr);
  assert.deepEqual(JSON.parse(result.stdout), {
    code: 'BW_LIMIT',
    message: 'could not register a UMEM of 268435456 bytes: no buffer space available (ENOBUFS)',
    hint: 'It exceeds the limit of locked memory: raise it (ulimit -l), grant CAP_IPC_LOCK, or take fewer frames.',
  });
});

it('a queue has one owner, and is free again at once when that closes', async () => {
  for (let i = 0; i < 10; i++) {
    using umem = Umem.create({ frames: 64 });
    using other = Umem.create({ frames: 64 });
    const at = { netns: near, interface: 'eth0' };
    const first = await XskSocket.open({ ...at, umem });
    await assert.rejects(XskSocket.open({ ...at, umem: other, busyTimeout: 5 }), {
      code: 'BW_QUEUE_BUSY',
      message: 'queue 0 of eth0 belongs to another AF_XDP socket',
    });
    assert.throws(() => umem.close(), { code: 'BW_BUSY' });
    first.close();
    first.close();
    const second = await XskSocket.open({ ...at, umem: other });
    second.close();
    assert.throws(() => second.receive(() => {}), { code: 'BW_CLOSED' });
  }
});

it('counts what the kernel drops, in 64 bits', async () => {
  using umemA = Umem.create({ debug: true });
  using umemB = Umem.create({ frames: 64, debug: true });
  const a = await open(near, umemA);
  const b = await open(far, umemB, { rings: { rx: 16, fill: 64 }, fillTarget: 48 });
  assert.deepEqual(Object.values(b.socket.statistics()), [0n, 0n, 0n, 0n, 0n, 0n]);
  for (let i = 0; i < 4; i++) a.socket.send(25, (bytes, at) => writeTestFrame(bytes, at, 60, 7));
  await until(
    () => {},
    () => b.socket.statistics().rxRingFull === 84n,
    'a full RX ring',
  );
  assert.equal(
    b.socket.receive(() => {}),
    16,
  );
  a.close();
  b.close();
});

it('frames may be taken for as long as one likes, kept, sent and given back', async () => {
  using umemA = Umem.create({ frames: 128, debug: true });
  using umemB = Umem.create({ frames: 128, debug: true });
  const a = await open(near, umemA);
  const b = await open(far, umemB);
  a.socket.send(6, (bytes, at, _room, index) => writeTestFrame(bytes, at, 60 + index, index));
  const batch = new PacketBatch(b.socket, 32);
  await until(
    () => b.socket.waiting(6),
    () => b.socket.waiting(6) === 6,
    'six frames',
  );
  assert.equal(b.socket.take(batch), 6);
  assert.equal(umemB.owners()?.user, 6);
  assert.deepEqual([...batch.lengths.subarray(0, 6)], [60, 61, 62, 63, 64, 65]);
  assert.deepEqual(batch.copy(2).length, 62);
  assert.equal(batch.send(0), true);
  assert.equal(batch.send(1, 100), true);
  b.socket.flush();
  const kept = batch.keep(2);
  assert.throws(() => batch.keep(2), { code: 'BW_ARGUMENT' });
  const rest: number[] = [];
  batch.forEach((_bytes, _address, length) => {
    rest.push(length);
  });
  assert.deepEqual(rest, [63, 64, 65]);
  batch.release();
  assert.deepEqual(umemB.owners()?.user, 1);
  b.socket.release(kept);
  const back: number[] = [];
  await until(
    () => a.socket.receive((_bytes, _at, length) => back.push(length)),
    () => back.length === 2,
    'two frames',
  );
  assert.deepEqual(back, [60, 100]);
  assert.ok(await b.socket.drain());
  assert.equal(umemB.owners()?.user, 0);
  a.close();
  b.close();
});

it('sockets of two interfaces share a UMEM, and forward from one to the other without a copy', async () => {
  using source = Umem.create({ frames: 128 });
  using shared = Umem.create({ frames: 512, debug: true });
  const sender = await open(near, source);
  const into = await open(far, shared, { fillTarget: 64 });
  const out = await open(far, shared, { interface: 'eth1', fillTarget: 64 });
  using sinkUmem = Umem.create({ frames: 128 });
  const sink = await open(near, sinkUmem, { interface: 'eth1' });
  let forwarded = 0;
  let arrived = 0;
  for (let i = 0; i < 50; i++) {
    sender.socket.send(20, (bytes, at) => writeTestFrame(bytes, at, 100, i));
    await until(
      () => {
        forwarded += into.socket.forward((_bytes, _at, length) => length, out.socket);
        sink.socket.receive((bytes, at, length) => {
          assert.equal(length, 100);
          assert.equal(bytes[at + 50], i);
          arrived++;
        });
      },
      () => arrived === 20 * (i + 1),
      `round ${i}`,
    );
  }
  assert.equal(forwarded, 1000);
  assert.ok(await out.socket.drain());
  const held = into.socket.held.filled + out.socket.held.filled;
  assert.equal(shared.pool.available + held, 512);
  for (const end of [sender, into, out, sink]) end.close();
  assert.equal(shared.pool.available, 512);
});

it('two sockets of one queue share its fill and completion rings', async () => {
  using umemA = Umem.create({ frames: 128 });
  using umem = Umem.create({ frames: 256, debug: true });
  const a = await open(near, umemA);
  const b = await open(far, umem, { fillTarget: 64 });
  const second = await XskSocket.open({
    umem,
    netns: far,
    interface: 'eth0',
    fillTarget: 64,
    sameQueueAs: b.socket,
  });
  const seen: number[] = [];
  second.send(3, (bytes, at) => writeTestFrame(bytes, at, 80, 2));
  b.socket.send(3, (bytes, at) => writeTestFrame(bytes, at, 81, 1));
  await until(
    () => a.socket.receive((_bytes, _at, length) => seen.push(length)),
    () => seen.length === 6,
    'six frames',
  );
  assert.deepEqual(seen, [80, 80, 80, 81, 81, 81]);
  assert.ok(await b.socket.drain());
  assert.deepEqual(second.held, b.socket.held);
  second.close();
  b.close();
  a.close();
});

it('packets longer than a frame come and go in several', async () => {
  using umemA = Umem.create({ frames: 256, debug: true });
  using umemB = Umem.create({ frames: 256, debug: true });
  const a = await open(near, umemA, { interface: 'eth1', multiBuffer: true });
  const b = await open(far, umemB, { interface: 'eth1', multiBuffer: true });
  const packet = Uint8Array.from({ length: 7000 }, (_, i) => (i * 13) & 0xff);
  packet[12] = TEST_ETHER_TYPE >> 8;
  packet[13] = TEST_ETHER_TYPE & 0xff;
  for (let round = 0; round < 20; round++) {
    for (let at = 0; at < packet.length; at += 2000) {
      const part = packet.subarray(at, at + 2000);
      const address = a.socket.reserve();
      umemA.bytes.set(part, address);
      const more = at + 2000 < packet.length ? DescriptorOption.continued : 0;
      assert.equal(a.socket.enqueue(address, part.length, more), true);
    }
    a.socket.flush();
    let parts = 0;
    let echoed: number[] = [];
    let whole = false;
    await until(
      () => {
        parts += b.socket.forward((_bytes, _at, length) => length);
        a.socket.receive((bytes, at, length, more) => {
          echoed.push(...bytes.subarray(at, at + length));
          whole = !more;
        });
      },
      () => whole,
      'a long packet',
    );
    assert.ok(parts > 1, `${parts} parts`);
    assert.deepEqual(Uint8Array.from(echoed), packet);
    echoed = [];
  }
  assert.ok((await a.socket.drain()) && (await b.socket.drain()));
  assert.deepEqual(umemA.owners()?.tx, 0);
  assert.deepEqual(umemB.owners()?.tx, 0);
  a.close();
  b.close();
});

it('has the kernel compute checksums and note when packets were sent', async () => {
  using umemA = Umem.create({ frames: 128, txMetadata: 'software', debug: true });
  using umemB = Umem.create({ frames: 128 });
  const a = await open(near, umemA);
  const b = await open(far, umemB);
  const metadata = new TxMetadata(a.socket, { netns: near });
  assert.equal(metadata.checksumOffload, true);
  const address = a.socket.reserve();
  writeTestFrame(umemA.bytes, address, 101, 0x31);
  // From byte 20 to the end, at byte 30; what stands there beforehand is part of the sum.
  umemA.bytes.set([0x12, 0x34], address + 30);
  let sum = 0;
  for (let i = 20; i < 101; i += 2) {
    sum += (umemA.bytes[address + i]! << 8) | (i + 1 < 101 ? umemA.bytes[address + i + 1]! : 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const options = metadata.request(address, 101, { checksum: { start: 20, offset: 10 }, timestamp: true });
  assert.equal(options, DescriptorOption.txMetadata);
  assert.throws(() => metadata.request(address, 101, { checksum: { start: 99, offset: 1 } }), {
    code: 'BW_ARGUMENT',
  });
  a.socket.enqueue(address, 101, options);
  a.socket.flush();
  let got: number | undefined;
  let sentAt: bigint | undefined;
  await until(
    () => {
      b.socket.receive((bytes, at) => {
        got = (bytes[at + 30]! << 8) | bytes[at + 31]!;
      });
      a.socket.complete((_bytes, completed) => {
        assert.equal(completed, address);
        sentAt = metadata.timestampOf(completed);
      });
    },
    () => got !== undefined && sentAt !== undefined,
    'the packet and its completion',
  );
  assert.equal(got, ~sum & 0xffff);
  const clock = BigInt(Date.now()) * 1_000_000n;
  // CLOCK_TAI is UTC and leap seconds, where somebody has told the kernel of them.
  assert.ok(
    sentAt! > clock - 120_000_000_000n && sentAt! < clock + 120_000_000_000n,
    `${sentAt} at ${clock}`,
  );
  a.close();
  b.close();
});

it('takes huge pages where the machine has them, and says what it got', async () => {
  const reserved = '/proc/sys/vm/nr_hugepages';
  const before = readFileSync(reserved, 'utf8');
  const lastFree = (): number =>
    Number(/HugePages_Free:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0);
  try {
    writeFileSync(reserved, String(Number(before) + 4));
    const free = lastFree();
    assert.ok(free >= 4, 'the machine reserves huge pages');
    {
      using umem = Umem.create({ frames: 4096, hugePages: true });
      assert.equal(umem.pages, 'huge');
      using socket = await XskSocket.open({ umem, interface: 'eth0', netns: near });
      assert.equal(
        socket.send(4, () => 64),
        4,
      );
      assert.equal(lastFree(), free - 4);
    }
    await until(
      () => {},
      () => lastFree() === free,
      'giving them back',
    );
  } finally {
    writeFileSync(reserved, before);
  }
  using umem = Umem.create({ frames: 1 << 18, hugePages: true });
  assert.notEqual(umem.pages, 'huge');
  using socket = await XskSocket.open({ umem, interface: 'eth0', netns: near });
  assert.ok(socket.fd.number > 0);
});

it('prefers busy polling when asked to', async () => {
  using umemA = Umem.create({ frames: 128 });
  using umemB = Umem.create({ frames: 128 });
  const a = await open(near, umemA);
  const b = await open(far, umemB, { busyPoll: { microseconds: 10, budget: 32 } });
  a.socket.send(5, (bytes, at) => writeTestFrame(bytes, at, 64, 1));
  let seen = 0;
  await until(
    () => {
      seen += b.socket.receive(() => {});
    },
    () => seen === 5,
    'five frames',
  );
  await assert.rejects(
    XskSocket.open({ umem: umemA, netns: near, interface: 'eth1', busyPoll: { budget: 0 } }),
    {
      code: 'BW_ARGUMENT',
    },
  );
  a.close();
  b.close();
});

it('closes under load, again and again, and gives everything back', async () => {
  using umemA = Umem.create();
  const a = await open(near, umemA);
  const before = takeStock();
  for (let i = 0; i < 20; i++) {
    using umem = Umem.create();
    const b = await open(far, umem);
    for (let k = 0; k < 8; k++) {
      a.socket.send(64, (bytes, at) => writeTestFrame(bytes, at, 64, k));
      if (k < i % 8) b.socket.forward((_bytes, _at, length) => length);
    }
    b.close();
    assert.equal(umem.pool.available, umem.frames);
    a.socket.receive(() => {});
  }
  requireNoLeaks(before);
  a.close();
});
