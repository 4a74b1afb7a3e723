import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readlinkSync, writeFileSync } from 'node:fs';
import { after, it } from 'node:test';
import { BarewireError } from '../../src/error.ts';
import {
  Arena,
  addressOf,
  call,
  Errno,
  effectiveCapabilities,
  errnoMeaning,
  errnoName,
  Fd,
  kernelVersion,
  leaksSince,
  NETNS_DIRECTORY,
  Netns,
  O_RDONLY,
  openPath,
  PAGE_SIZE,
  Poller,
  PROT_READ,
  PROT_WRITE,
  possibleCpus,
  Readiness,
  requireNoLeaks,
  SystemError,
  syscall,
  takeStock,
  withNetns,
} from '../../src/sys/index.ts';

const namespaceOf = () => readlinkSync('/proc/thread-self/ns/net');
const before = takeStock();
after(() => requireNoLeaks(before));

it('names errors as the C library does', () => {
  assert.equal(errnoName(Errno.ENOENT), 'ENOENT');
  assert.equal(errnoMeaning(2), 'no such file or directory');
  assert.equal(errnoName(4000), 'E4000');
  const table = execFileSync('python3', ['-c', 'import errno,json;print(json.dumps(errno.errorcode))'], {
    encoding: 'utf8',
  });
  const theirs = JSON.parse(table) as Record<string, string>;
  const ours: Record<string, number> = Errno;
  for (const [number, name] of Object.entries(theirs)) {
    assert.notEqual(errnoName(Number(number)), `E${number}`, `${name} is missing`);
    // Two names of one number (ENOTSUP, EOPNOTSUPP) are the same error.
    assert.equal(ours[name] ?? Number(number), Number(number), name);
  }
});

it('a failed call says what it was, why, and what to do', () => {
  assert.throws(
    () => openPath('/nowhere/at/all', O_RDONLY),
    (error: unknown) =>
      error instanceof SystemError &&
      error.code === 'BW_NOT_FOUND' &&
      error.errno === Errno.ENOENT &&
      error.syscall === 'openat' &&
      error.message === 'could not open /nowhere/at/all: no such file or directory (ENOENT)',
  );
  assert.match(new SystemError('bpf', Errno.EPERM).hint ?? '', /root|capabilities/);
});

it('a descriptor has one owner, and closing is idempotent', () => {
  const fd = openPath('/dev/null', O_RDONLY);
  const copy = fd.duplicate();
  const number = fd.number;
  fd.close();
  fd.close();
  assert.throws(() => fd.number, { code: 'BW_CLOSED' });
  assert.equal(syscall('fcntl', number, 1), -Errno.EBADF);
  assert.ok(syscall('fcntl', copy.number, 1) >= 0, 'the duplicate lives on');
  const released = new Fd(copy.release(), 'released');
  assert.ok(copy.closed);
  released[Symbol.dispose]();
});

it('takes stock: finds the descriptor and the mapping that leaked', () => {
  const stock = takeStock();
  const fd = openPath('/dev/null', O_RDONLY);
  assert.deepEqual(leaksSince(stock), [`descriptor ${fd.number}: /dev/null`]);
  assert.throws(() => requireNoLeaks(stock), { code: 'BW_LEAK' });
  fd.close();
  assert.deepEqual(leaksSince(stock), []);
});

it('watches descriptors on the event loop', async () => {
  const pipe = new Int32Array(2);
  call('pipe2', pipe, 0);
  using readEnd = new Fd(pipe[0] ?? -1, 'pipe');
  using writeEnd = new Fd(pipe[1] ?? -1, 'pipe');
  const events = await new Promise((resolve) => {
    const poller = new Poller(readEnd, Readiness.readable, (bits) => {
      poller.close();
      poller.close();
      poller.watch(Readiness.readable);
      resolve(bits);
    });
    assert.throws(() => new Poller(readEnd, Readiness.readable, () => {}), {
      code: 'BW_EXISTS',
      hint: /duplicate/,
    });
    call('write', writeEnd.number, new Uint8Array(1), 1);
  });
  assert.equal(events, Readiness.readable);
});

it('an arena is page-aligned, shared with the kernel, and outlives its mappings', () => {
  const arena = new Arena(3 * PAGE_SIZE + 1);
  assert.equal(arena.size, 4 * PAGE_SIZE);
  assert.equal(arena.address % PAGE_SIZE, 0);
  const all = new Uint8Array(arena.buffer, 0, arena.size).fill(7);
  assert.equal(addressOf(all), arena.address);
  using file = openPath('/proc/self/exe', O_RDONLY);
  arena.map(file, PAGE_SIZE, PAGE_SIZE, PROT_READ, 0);
  assert.deepEqual([...all.subarray(PAGE_SIZE, PAGE_SIZE + 4)], [0x7f, 0x45, 0x4c, 0x46], 'an ELF file');
  assert.equal(all[PAGE_SIZE - 1], 7);
  assert.equal(all[2 * PAGE_SIZE], 7);
  assert.throws(() => arena.map(file, PAGE_SIZE + 1, PAGE_SIZE, PROT_READ, 0), { code: 'BW_ARGUMENT' });
  assert.throws(() => arena.map(file, 4 * PAGE_SIZE, PAGE_SIZE, PROT_READ, 0), { code: 'BW_ARGUMENT' });
  // A file opened for reading cannot be shared for writing; the pages stay usable.
  assert.throws(() => arena.map(file, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, 0), { code: 'BW_PERMISSION' });
  assert.equal(all[0], 0);
  arena.close();
  assert.equal(all[PAGE_SIZE], 0);
  all[PAGE_SIZE] = 1;
  assert.equal(all[PAGE_SIZE], 1);
});

it('enters namespaces and comes back, also when the task throws', () => {
  const home = namespaceOf();
  using other = Netns.createAnonymous();
  assert.equal(namespaceOf(), home);
  const inside = other.run(namespaceOf);
  assert.notEqual(inside, home);
  assert.throws(
    () =>
      other.run(() => {
        throw new Error('inside');
      }),
    /inside/,
  );
  assert.equal(namespaceOf(), home);
  assert.throws(() => other.run(async () => {}), { code: 'BW_ARGUMENT' });
  assert.equal(withNetns(undefined, namespaceOf), home);
});

it('makes named namespaces that ip netns knows', () => {
  const name = `bwsys-${process.pid}`;
  using made = Netns.create(name);
  try {
    assert.ok(Netns.names().includes(name));
    assert.match(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }), new RegExp(name));
    assert.equal(withNetns(name, namespaceOf), made.run(namespaceOf));
    const seen = execFileSync('ip', ['netns', 'exec', name, 'readlink', '/proc/self/ns/net'], {
      encoding: 'utf8',
    });
    assert.equal(seen.trim(), made.run(namespaceOf));
    assert.throws(() => Netns.create(name), { code: 'BW_EXISTS' });
  } finally {
    assert.equal(Netns.remove(name), true);
  }
  assert.equal(Netns.remove(name), false);
  assert.throws(
    () => Netns.open(name),
    (error: unknown) => error instanceof BarewireError && error.code === 'BW_NO_NETNS',
  );
  // What is left for a moment while a name is removed: a file without a mount.
  writeFileSync(`${NETNS_DIRECTORY}/${name}`, '');
  assert.throws(() => Netns.open(name), { code: 'BW_NO_NETNS' });
  assert.equal(Netns.remove(name), true);
  for (const bad of ['', '..', 'a/b', 'a b']) assert.throws(() => Netns.create(bad), { code: 'BW_ARGUMENT' });
});

it('knows the machine', () => {
  assert.ok(possibleCpus() >= 1);
  assert.ok(kernelVersion().major >= 4);
  assert.ok(effectiveCapabilities().has('CAP_NET_ADMIN'));
});
