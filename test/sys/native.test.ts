import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { loadNative, type Native, nativeCandidates, type SyscallArgument } from '../../src/sys/native.ts';
import { SYS } from '../../src/sys/numbers.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const shipped = nativeCandidates().find(
  (path) => path === join(root, `native/prebuilt/linux-${process.arch}/barewire.node`),
);
assert.ok(shipped !== undefined);

const folder = mkdtempSync(join(tmpdir(), 'barewire-native-'));
const builtPath = join(folder, 'barewire.node');
execFileSync(join(root, 'native/build.sh'), [builtPath]);
const addons: [string, Native][] = [
  ['shipped', loadNative(shipped)],
  ['built from source', loadNative(builtPath)],
];
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

for (const [name, native] of addons) {
  describe(`the native part, ${name}`, () => {
    it('makes system calls with numbers, bigints and memory', () => {
      assert.equal(native.syscall(SYS.read, -1, null, 0), -9);
      const fds = new Int32Array(2);
      assert.equal(native.syscall(SYS.pipe2, fds, 0), 0);
      const [readEnd, writeEnd] = fds as unknown as [number, number];
      const text = new TextEncoder().encode('barewire');
      assert.equal(native.syscall(SYS.write, writeEnd, text, BigInt(text.length)), 8);
      const buffer = new Uint8Array(64);
      assert.equal(native.syscall(SYS.read, readEnd, new DataView(buffer.buffer, 8), 56), 8);
      assert.equal(new TextDecoder().decode(buffer.subarray(8, 16)), 'barewire');
      closeSync(readEnd);
      closeSync(writeEnd);
    });

    it('passes 64-bit values whole, signed and unsigned', () => {
      // lseek answers EINVAL to a negative place, so a value that lost its top bit would tell itself.
      const fd = openSync('/proc/self/maps', 'r');
      const lseek = process.arch === 'arm64' ? 62 : 8;
      assert.equal(native.syscall(lseek, fd, 2n ** 40n, 0), 2 ** 40);
      assert.equal(native.syscall(lseek, fd, -1n, 0), -22);
      assert.equal(native.syscall(lseek, fd, 2n ** 64n - 1n, 0), -22);
      closeSync(fd);
    });

    it('tells where memory lies, a view into a buffer included', () => {
      const bytes = new Uint8Array(4096);
      const address = native.addressOf(bytes);
      assert.ok(Number.isSafeInteger(address) && address > 0);
      assert.equal(native.addressOf(new DataView(bytes.buffer, 100)), address + 100);
      assert.equal(native.addressOf(Buffer.from(bytes.buffer, 7, 9)), address + 7);
    });

    it('refuses what is no argument', () => {
      for (const bad of ['x', {}, true, Symbol('s'), () => 0]) {
        assert.throws(() => native.syscall(SYS.close, bad as never), {
          code: 'BW_NATIVE',
          name: 'TypeError',
        });
      }
      assert.throws(() => (native.syscall as () => number)(), { code: 'BW_NATIVE' });
      assert.throws(() => native.syscall(0, 1, 2, 3, 4, 5, 6, 7), { code: 'BW_NATIVE' });
      assert.throws(() => native.syscall(SYS.close, 2n ** 70n), { code: 'BW_NATIVE' });
      assert.throws(() => native.addressOf(7 as never), { code: 'BW_NATIVE' });
      assert.throws(() => native.poll('x' as never, 1, () => {}), { code: 'BW_NATIVE' });
    });

    it('tells when a descriptor is ready, again and again, until it is closed', async () => {
      const fds = new Int32Array(2);
      native.syscall(SYS.pipe2, fds, 0);
      const [readEnd, writeEnd] = fds as unknown as [number, number];
      let calls = 0;
      await new Promise<void>((resolve) => {
        const id = native.poll(readEnd, 1, (events) => {
          assert.equal(events & 1, 1);
          calls++;
          native.syscall(SYS.read, readEnd, new Uint8Array(1), 1);
          if (calls < 3) return void writeSync(writeEnd, 'x');
          assert.equal(native.pollControl(id, 0), 0);
          assert.equal(native.pollControl(id, 1), 0);
          assert.equal(native.pollControl(id, -1), 0);
          assert.equal(native.pollControl(id, 1), -9);
          resolve();
        });
        assert.ok(id > 0);
        writeSync(writeEnd, 'x');
      });
      assert.equal(calls, 3);
      closeSync(readEnd);
      closeSync(writeEnd);
    });

    it('refuses to watch a plain file or a descriptor twice', () => {
      const file = openSync(fileURLToPath(import.meta.url), 'r');
      assert.equal(
        native.poll(file, 1, () => {}),
        -1,
        'EPERM, as epoll has it',
      );
      closeSync(file);
      const fds = new Int32Array(2);
      native.syscall(SYS.pipe2, fds, 0);
      const id = native.poll(fds[0] ?? -1, 1, () => {});
      assert.equal(
        native.poll(fds[0] ?? -1, 1, () => {}),
        -17,
      );
      native.pollControl(id, -1);
    });
  });
}

it('the shipped and the built addon answer alike to random calls', () => {
  const [[, one], [, two]] = addons as [[string, Native], [string, Native]];
  // Calls that change nothing, whatever their arguments are: descriptors are beyond any that is open.
  const harmless = [SYS.close, SYS.fcntl, SYS.ioctl, SYS.getsockname, SYS.setns];
  const value: fc.Arbitrary<SyscallArgument> = fc.oneof(
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.constant(null),
    fc.uint8Array({ maxLength: 64 }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...harmless),
      fc.integer({ min: 1_000_000, max: 2 ** 31 - 1 }),
      fc.array(value, { maxLength: 5 }),
      (nr, fd, args) => assert.equal(one.syscall(nr, fd, ...args), two.syscall(nr, fd, ...args)),
    ),
  );
});

it('the shipped binaries need no library and no version of one', () => {
  for (const arch of ['x64', 'arm64']) {
    const path = join(root, `native/prebuilt/linux-${arch}/barewire.node`);
    const dynamic = execFileSync('readelf', ['-dW', path], { encoding: 'utf8' });
    assert.doesNotMatch(dynamic, /NEEDED|VERNEED|TEXTREL/, path);
    const symbols = execFileSync('readelf', ['--dyn-syms', '-W', path], { encoding: 'utf8' });
    const undefinedNames = [...symbols.matchAll(/ UND (\w+)/g)].map((match) => match[1] ?? '');
    assert.ok(undefinedNames.length > 20);
    for (const name of undefinedNames) assert.match(name, /^(napi_|uv_|calloc$|free$)/, path);
  }
  assert.equal(
    readFileSync(join(root, 'native/prebuilt/linux-arm64/barewire.node')).readUInt16LE(18),
    183,
    'EM_AARCH64',
  );
});

it('a worker that ends with open pollers ends cleanly', async () => {
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    const native = require(workerData.path);
    const fds = new Int32Array(2);
    native.syscall(workerData.pipe2, fds, 0);
    for (const fd of fds) if (native.poll(fd, 1, () => {}) < 0) throw new Error('poll');
    parentPort.postMessage('watching');
  `;
  for (let i = 0; i < 20; i++) {
    const worker = new Worker(code, { eval: true, workerData: { path: shipped, pipe2: SYS.pipe2 } });
    await new Promise((resolve) => worker.once('message', resolve));
    assert.equal(await worker.terminate(), 1);
  }
});
