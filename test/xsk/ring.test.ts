import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Umem, XskSocket } from '../../src/xsk/index.ts';
import { FakeKernel } from './fake-kernel.ts';

it('passes on every frame once, in order, whatever the indices and batches', () => {
  const starts = [0, 5, 0x7fff_fff0, -16, -1, 0x7fff_ffff];
  fc.assert(
    fc.property(
      fc.constantFrom(...starts),
      fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 60 }),
      fc.boolean(),
      (start, steps, unaligned) => {
        using umem = Umem.create({ frames: 48, debug: true, unaligned, frameSize: unaligned ? 2100 : 2048 });
        const kernel = new FakeKernel(umem, { start, size: 32 });
        const { socket } = kernel;
        let sent = 0;
        let seen = 0;
        for (const [come, limit] of steps) {
          sent += kernel.deliver(come, sent);
          socket.receive((bytes, at, length, more) => {
            assert.equal(length, 60 + (seen % 1000));
            assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true), seen);
            assert.equal(more, seen % 5 === 0);
            seen++;
          }, limit);
          assert.ok(seen <= sent);
        }
        while (socket.receive(() => seen++) > 0);
        assert.equal(seen, sent);
        const { filled, sending } = socket.held;
        assert.equal(sending, 0);
        assert.equal(umem.pool.available + filled, 48);
        assert.deepEqual(umem.owners(), {
          pool: 48 - filled,
          user: 0,
          fill: filled,
          rx: 0,
          tx: 0,
          completion: 0,
        });
      },
    ),
    { numRuns: 300 },
  );
});

it('forwards in place, drops what is rewritten to nothing, and takes every frame back', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 0x7fff_fff0, -16),
      fc.array(fc.tuple(fc.nat(40), fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 60 }),
      (start, steps) => {
        using umem = Umem.create({ frames: 48, debug: true });
        const kernel = new FakeKernel(umem, { start, size: 32 });
        const { socket } = kernel;
        let came = 0;
        let seen = 0;
        const wanted: number[] = [];
        const left: number[] = [];
        for (const [come, limit, complete] of steps) {
          came += kernel.deliver(come, came);
          socket.forward(
            (bytes, at) => {
              const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
              assert.equal(number, seen);
              seen++;
              if (number % 3 === 0) {
                // A packet's later buffers go where its first one went.
                if (number % 5 === 0) seen++;
                return 0;
              }
              wanted.push(number);
              return 64;
            },
            socket,
            limit + 1,
          );
          left.push(...kernel.transmit(complete));
        }
        left.push(...kernel.transmit(1000));
        socket.complete();
        assert.deepEqual(left, wanted);
        const { filled, sending } = socket.held;
        assert.equal(sending, 0);
        assert.equal(umem.owners()?.tx, 0);
        // What waits on the RX ring is still the kernel's.
        assert.equal(umem.pool.available + filled, 48);
      },
    ),
    { numRuns: 300 },
  );
});

it('sends what is built, once and in order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 50 }), (steps) => {
      using umem = Umem.create({ frames: 48, debug: true });
      const kernel = new FakeKernel(umem, { start: -8, size: 32 });
      let built = 0;
      const left: number[] = [];
      for (const [count, complete] of steps) {
        const base = built;
        built += kernel.socket.send(count, (bytes, at, room, index) => {
          assert.equal(room, 2048);
          new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, base + index, true);
          return 64;
        });
        left.push(...kernel.transmit(complete));
      }
      left.push(...kernel.transmit(1000));
      kernel.socket.complete();
      assert.deepEqual(
        left,
        Array.from({ length: built }, (_, i) => i),
      );
      assert.equal(kernel.socket.held.sending, 0);
    }),
    { numRuns: 200 },
  );
});

it('a callback that throws loses its own packet and no frame', () => {
  using umem = Umem.create({ frames: 48, debug: true });
  const kernel = new FakeKernel(umem, { start: 0, size: 32 });
  const { socket } = kernel;
  const numbers: number[] = [];
  const note = (bytes: Uint8Array, at: number): number => {
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
    if (number % 4 === 1) throw new Error(`${number}`);
    numbers.push(number);
    return 64;
  };
  kernel.deliver(8, 0);
  assert.throws(() => socket.receive(note), /^Error: 1$/);
  assert.throws(() => socket.receive(note), /^Error: 5$/);
  assert.equal(socket.receive(note), 2);
  kernel.deliver(8, 8);
  assert.throws(() => socket.forward(note), /^Error: 9$/);
  assert.throws(() => socket.forward(note), /^Error: 13$/);
  assert.equal(socket.forward(note), 2);
  assert.throws(
    () =>
      socket.send(3, (_bytes, _at, _room, index) => {
        if (index === 2) throw new Error('built');
        return 60;
      }),
    /built/,
  );
  assert.equal(kernel.transmit(100).length, 8);
  socket.complete();
  assert.deepEqual(numbers, [0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15]);
  assert.equal(umem.pool.available + socket.held.filled, 48);
});

it('notices a kernel, or a program, that gives a frame twice', () => {
  using umem = Umem.create({ frames: 48, debug: true });
  const kernel = new FakeKernel(umem, { start: 0, size: 32 });
  const { socket } = kernel;
  kernel.deliver(1, 0);
  socket.receive(() => {});
  kernel.repeatLast();
  kernel.repeatLast();
  assert.throws(() => socket.receive(() => {}), { code: 'BW_FRAME_OWNERSHIP' });
});

it('refuses to be called from its own callback', () => {
  using umem = Umem.create({ frames: 48 });
  const kernel = new FakeKernel(umem, { start: 0, size: 32 });
  kernel.deliver(2, 0);
  const { socket } = kernel;
  assert.throws(() => socket.receive(() => socket.receive(() => {})), { code: 'BW_REENTERED' });
  const build = (): number => 64;
  const address = socket.reserve();
  for (const again of [
    () => socket.send(1, build),
    () => socket.enqueue(address, 64),
    () => socket.forward(build),
  ]) {
    kernel.deliver(1, 0);
    const building = (): number => {
      again();
      return 64;
    };
    assert.throws(() => socket.send(4, building), { code: 'BW_REENTERED' });
  }
  socket.release(address);
  assert.equal(kernel.transmit(100).length, 0);
  assert.equal(umem.pool.available + socket.held.filled, 48);
});

it('a callback of send may take frames and give them back', () => {
  using umem = Umem.create({ frames: 48, debug: true });
  const kernel = new FakeKernel(umem, { start: 0, size: 32 });
  const { socket } = kernel;
  const kept: number[] = [];
  const sent = socket.send(8, (bytes, at, _room, index) => {
    if (index % 2 === 0) kept.push(socket.reserve());
    else socket.release(kept.pop()!);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, index, true);
    return index === 3 ? 0 : 60;
  });
  assert.equal(sent, 8);
  assert.deepEqual(kernel.transmit(100), [0, 1, 2, 4, 5, 6, 7]);
  socket.complete();
  assert.equal(umem.pool.available + socket.held.filled, 48);
});

it('frames kept from the caller: each step by its owner only', () => {
  using umem = Umem.create({ frames: 48, debug: true });
  const { socket } = new FakeKernel(umem, { start: 0, size: 32 });
  const address = socket.reserve();
  assert.ok(address >= 0);
  for (const length of [0, -1, 2049]) {
    assert.throws(() => socket.enqueue(address, length), { code: 'BW_ARGUMENT' });
  }
  assert.equal(socket.enqueue(address, 64), true);
  assert.throws(() => socket.enqueue(address, 64), { code: 'BW_FRAME_OWNERSHIP', message: /belongs to tx/ });
  assert.throws(() => socket.release(address), { code: 'BW_FRAME_OWNERSHIP' });
  const other = socket.reserve();
  socket.release(other);
  assert.throws(() => socket.release(other), { code: 'BW_FRAME_OWNERSHIP', message: /belongs to pool/ });
});

it('a socket is adopted with its indices where they are', () => {
  using umem = Umem.create({ frames: 48, debug: true });
  const kernel = new FakeKernel(umem, { start: 100, size: 32 });
  kernel.deliver(10, 0);
  kernel.socket.receive(() => {}, 4);
  const again = XskSocket.adopt(kernel.handleNow());
  const numbers: number[] = [];
  again.receive((bytes, at) =>
    numbers.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)),
  );
  assert.deepEqual(numbers, [4, 5, 6, 7, 8, 9]);
  assert.deepEqual(again.held, { filled: 24, sending: 0 });
});
