import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { loadOn, onlyOne, unloadFrom } from '../../src/apps/load.ts';
import { status } from '../../src/apps/status.ts';
import { type DispatchedProgram, dispatcherRefusal } from '../../src/bpf/index.ts';
import { compile, program } from '../../src/compiler/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { u64 } from '../../src/layout/index.ts';
import { readObject, runConfigOf, writeObject } from '../../src/object/index.ts';
import { array, type ProgramSpec } from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { PacketLink } from '../../src/xsk/index.ts';
import { type Ended, LAUNCH, Running, run } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';
import { kernelSince } from '../kernel-since.ts';

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-dispatcher-'));
const lab = Lab.create({ hosts: ['here', 'there'], wires: [{ between: ['here', 'there'] }] });
const here = lab.host('here');
const there = lab.host('there');
const netns = here.namespace;
after(() => {
  lab.destroy();
  rmSync(folder, { recursive: true, force: true });
  requireNoLeaks(stock);
});

/** A program that drops marked frames of one kind and passes everything else. */
function dropper(name: string, mark: number, frags = false): Uint8Array {
  const runs = array('runs', u64, 1);
  const dropping = program(
    name,
    { runs, mark },
    ({ runs, mark }, pkt) => {
      const count = runs.get(0);
      if (count) count.value += 1n;
      return pkt.be16(12) === 0x88b5 && pkt.u8(14) === mark ? 'drop' : 'pass';
    },
    { frags },
  );
  return writeObject(compile(dropping) as ProgramSpec);
}

/** The command as it starts fastest: this is also run in an emulated machine. */
function barewire(...args: string[]): Ended {
  return run(process.execPath, LAUNCH, ...args);
}

const one = dropper('drop_one', 1);
const two = dropper('drop_two', 2);
const three = dropper('drop_three', 3);
function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, `${name}.o`);
  writeFileSync(path, bytes);
  return path;
}

/** Debian's, in the interface's network but with everybody's BPF file system, which `ip netns exec` would hide. */
function loader(...args: string[]): string {
  const { code, stdout, stderr } = run(
    tool('nsenter'),
    `--net=/run/netns/${netns}`,
    tool('xdp-loader'),
    ...args,
  );
  assert.equal(code, 0, `xdp-loader ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout + stderr;
}

/** Which of the marks 1 to 4 come through. */
async function passed(): Promise<number[]> {
  const from = PacketLink.open('eth0', { netns: there.netns });
  const to = PacketLink.open('eth0', { netns: here.netns });
  try {
    const seen = new Set<number>();
    const frame = (mark: number) => (bytes: Uint8Array, at: number) => {
      bytes.fill(0, at, at + 60);
      bytes.fill(0xff, at, at + 6);
      bytes.set([0x88, 0xb5, mark], at + 12);
      return 60;
    };
    // The last one passes always, and after it nothing is on its way any more; while programs change, frames get lost.
    while (!seen.has(4)) {
      for (const mark of [1, 2, 3, 4]) assert.equal(from.send(1, frame(mark)), 1);
      const until = AbortSignal.timeout(1000);
      while (!seen.has(4) && !until.aborted) {
        to.receive((bytes, at) => {
          if (bytes[at + 12] === 0x88 && bytes[at + 13] === 0xb5) seen.add(bytes[at + 14] ?? 0);
        });
        if (!seen.has(4)) await to.readable(until);
      }
    }
    return [...seen].sort();
  } finally {
    await from.close();
    await to.close();
  }
}

/** What our status and theirs say of the interface, as `priority name`; they must agree. */
function agreed(): string[] {
  const ours = dispatched().map(({ priority, name }) => `${priority} ${name}`);
  const theirs = [...loader('status', 'eth0').matchAll(/^ => +(\d+) +(\w+)/gm)].map(
    ([, priority, name]) => `${priority} ${name}`,
  );
  assert.deepEqual(theirs, ours);
  return ours;
}

function dispatched(): readonly DispatchedProgram[] {
  const { programs } = status({ netns, interface: 'eth0' });
  assert.ok(programs.length <= 1);
  return programs[0]?.dispatches ?? [];
}

const PINS = '/sys/fs/bpf/xdp';
/** Of everybody's dispatchers those that others than this test made are not ours to look at. */
function pinned(): string[] {
  const { index } = here.net.links.get('eth0');
  return existsSync(PINS) ? readdirSync(PINS).filter((name) => name.startsWith(`dispatch-${index}-`)) : [];
}

const refusal = dispatcherRefusal();

describe('where the kernel runs several programs on one interface', () => {
  it('is known before anything is loaded', () => {
    // Linux 6.18 as it runs here refuses them; that is a decision of whoever configured it, and has one errno.
    if (refusal !== undefined) assert.match(refusal, /freplace: EPERM/);
    else assert.ok(kernelSince('5.10'));
  });
});

const tests = refusal === undefined ? together : alone;
tests(refusal ?? '');

function alone(reason: string): void {
  describe('a kernel that runs one program an interface', () => {
    afterEach(() => unloadFrom({ interface: 'eth0', netns, all: true }));

    it('gets one, and says why there cannot be more and what that means', async () => {
      const placed = loadOn({ interface: 'eth0', netns, object: one, priority: 7 });
      assert.deepEqual([placed.dispatcher, placed.alone], [undefined, reason]);
      assert.deepEqual(await passed(), [2, 3, 4]);
      unloadFrom({ interface: 'eth0', netns });
      const { code, stdout, stderr } = barewire('load', 'eth0', file('one', one), '--netns', netns);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^drop_one \(\d+\) runs on eth0 in driver mode\n/);
      assert.match(
        stderr,
        /^barewire: this kernel runs one program an interface, for it refuses programs that take the place of another one's functions \(freplace: EPERM\); drop_one runs alone on eth0, and nothing can be loaded beside it, by barewire or by libxdp's tools\n$/,
      );
    });

    it('says so as well when somebody else is there', () => {
      loader('load', 'eth0', file('two', two));
      const refused = barewire('load', 'eth0', file('one', one), '--netns', netns);
      assert.equal(refused.code, 1);
      assert.match(
        refused.stderr,
        /another owner's XDP program: \d+ 'drop_two'.*this kernel runs one program/,
      );
      assert.ok(refused.stderr.includes(onlyOne(reason)));
      loader('unload', 'eth0', '--all');
      loadOn({ interface: 'eth0', netns, object: one });
    });

    it('says nothing where nobody else is wanted', () => {
      const { code, stderr } = barewire('load', 'eth0', file('one', one), '--netns', netns, '--alone');
      assert.deepEqual([code, stderr], [0, '']);
    });
  });
}

function together(): void {
  const load = (object: Uint8Array, more: Partial<Parameters<typeof loadOn>[0]> = {}) =>
    loadOn({ interface: 'eth0', netns, object, ...more });
  const unload = (more: Partial<Parameters<typeof unloadFrom>[0]> = {}) =>
    unloadFrom({ interface: 'eth0', netns, ...more });

  describe('several programs on one interface', () => {
    before(() => {
      for (const [name, bytes] of Object.entries({ one, two, three })) file(name, bytes);
    });
    afterEach(async () => {
      // Each test leaves the interface as it was.
      assert.deepEqual(await passed(), [1, 2, 3, 4]);
      assert.deepEqual(dispatched(), []);
      assert.deepEqual(pinned(), []);
      assert.match(loader('status', 'eth0'), /eth0 +<No XDP program loaded!>/);
    });

    it('are run in the order of their priorities, each with its own verdict', async () => {
      load(one, { priority: 30 });
      load(two, { priority: 10 });
      const { dispatcher, mode, alone: why } = load(three, { priority: 20 });
      assert.deepEqual([mode, why], ['driver', undefined]);
      assert.deepEqual(
        dispatcher?.programs?.map(({ name, priority, chain }) => [name, priority, chain]),
        [
          ['drop_two', 10, ['pass']],
          ['drop_three', 20, ['pass']],
          ['drop_one', 30, ['pass']],
        ],
      );
      assert.deepEqual(agreed(), ['10 drop_two', '20 drop_three', '30 drop_one']);
      assert.deepEqual(await passed(), [4]);
      assert.deepEqual(
        unload({ program: 'drop_three' }).programs.map(({ name }) => name),
        ['drop_three'],
      );
      assert.deepEqual(await passed(), [3, 4]);
      const [last] = dispatched();
      assert.equal(unload({ id: last?.id }).left, 1);
      assert.deepEqual(await passed(), [2, 3, 4]);
      assert.equal(unload().left, 0);
      assert.throws(() => unload(), { code: 'BW_NOT_FOUND' });
    });

    it('end the run with a verdict that is not among their chain actions', async () => {
      load(one, { priority: 1, chain: ['drop'] });
      load(two, { priority: 2 });
      // What the first one passes ends there; what it drops the second one passes.
      assert.deepEqual(await passed(), [1, 2, 3, 4]);
      unload({ program: 'drop_one' });
      load(one, { priority: 1, chain: ['drop', 'pass'] });
      assert.deepEqual(await passed(), [1, 3, 4]);
      unload({ all: true });
    });

    it('are joined by ours when theirs is there, and go in either order', async () => {
      for (const first of ['ours', 'theirs']) {
        loader('load', '-P', '20', 'eth0', join(folder, 'one.o'));
        assert.deepEqual(await passed(), [2, 3, 4]);
        load(two, { priority: 10 });
        assert.deepEqual(agreed(), ['10 drop_two', '20 drop_one']);
        assert.deepEqual(await passed(), [3, 4]);
        if (first === 'ours') {
          assert.equal(unload().left, 1);
          assert.deepEqual(agreed(), ['20 drop_one']);
          assert.deepEqual(await passed(), [2, 3, 4]);
          loader('unload', 'eth0', '--all');
        } else {
          const theirs = dispatched().find(({ name }) => name === 'drop_one');
          loader('unload', 'eth0', '--id', `${theirs?.id}`);
          assert.deepEqual(agreed(), ['10 drop_two']);
          assert.deepEqual(await passed(), [1, 3, 4]);
          unload();
        }
      }
    });

    it('are joined by theirs when ours is there, and go in either order', async () => {
      for (const first of ['ours', 'theirs', 'all of theirs']) {
        load(one, { priority: 20 });
        loader('load', '-P', '30', 'eth0', join(folder, 'two.o'));
        assert.deepEqual(agreed(), ['20 drop_one', '30 drop_two']);
        assert.deepEqual(await passed(), [3, 4]);
        // And once more by ours, on top of a dispatcher that theirs made with a program of ours.
        load(three, { priority: 25 });
        assert.deepEqual(agreed(), ['20 drop_one', '25 drop_three', '30 drop_two']);
        assert.deepEqual(await passed(), [4]);
        if (first === 'ours') {
          assert.equal(unload().left, 1);
          assert.deepEqual(await passed(), [1, 3, 4]);
          loader('unload', 'eth0', '--all');
        } else if (first === 'theirs') {
          const theirs = dispatched().find(({ name }) => name === 'drop_two');
          loader('unload', 'eth0', '--id', `${theirs?.id}`);
          assert.deepEqual(await passed(), [2, 4]);
          unload();
        } else {
          loader('unload', 'eth0', '--all');
        }
      }
      // What was kept for programs that theirs took off is gone with the next load.
      load(one);
      unload();
    });

    it('keep their place and their maps while others come and go', async () => {
      const { maps, program: first } = load(one, { priority: 1 });
      await passed();
      const read = (): number => Number(barewire('map', 'get', maps.runs ?? '', '0').stdout.split(': ')[1]);
      const before1 = read();
      assert.ok(before1 >= 4);
      loader('load', 'eth0', join(folder, 'two.o'));
      loader('unload', 'eth0', '--id', `${dispatched()[1]?.id}`);
      await passed();
      assert.ok(read() >= before1 + 4, 'the program that counted goes on counting');
      assert.equal(dispatched()[0]?.id, first.id);
      unload();
    });

    it('change without a moment in which one of them does not run', async () => {
      const udp = program('drop_udp', {}, (_, pkt) =>
        pkt.be16(12) === 0x0800 && pkt.u8(23) === 17 ? 'drop' : 'pass',
      );
      load(writeObject(compile(udp) as ProgramSpec), { priority: 1 });
      const link = PacketLink.open('eth0', { netns: here.netns });
      try {
        let flooding = true;
        const flood = there.flood({ to: '10.77.0.1', packets: 20_000, rate: 5000 }).finally(() => {
          flooding = false;
        });
        let leaked = 0;
        let changes = 0;
        while (flooding) {
          if (changes++ % 2 === 0) load(two);
          else unload({ program: 'drop_two' });
          while (link.receive((bytes, at) => (leaked += bytes[at + 23] === 17 ? 1 : 0)) > 0);
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await flood;
        assert.ok(changes > 5, `${changes} changes`);
        assert.equal(leaked, 0);
      } finally {
        await link.close();
      }
      unload();
    });

    it('may be loaded at the same time', async () => {
      const loads = ['one', 'two', 'three', 'one'].map(
        (name) =>
          new Running(
            spawn(process.execPath, [LAUNCH, 'load', 'eth0', join(folder, `${name}.o`), '--netns', netns]),
          ),
      );
      for (const { ended } of loads) assert.equal((await ended).code, 0, (await ended).stderr);
      assert.deepEqual(agreed(), ['50 drop_one', '50 drop_one', '50 drop_three', '50 drop_two']);
      assert.deepEqual(await passed(), [4]);
      assert.equal(unload().programs.length, 4);
    });

    it('are ten at most', () => {
      for (let n = 0; n < 10; n++) load(one, { priority: n });
      assert.equal(dispatched().length, 10);
      assert.throws(() => load(two), { code: 'BW_LIMIT' });
      assert.equal(dispatched().length, 10);
      assert.equal(unload().programs.length, 10);
    });

    it('take packets in several buffers when all of them do', () => {
      load(dropper('frags_one', 1, true));
      load(dropper('frags_two', 2, true));
      assert.deepEqual(
        dispatched().map(({ frags }) => frags),
        [true, true],
      );
      // Only a dispatcher that takes such packets may be on an interface with so large an MTU.
      const mtu = (value: number): void => {
        for (const host of [here, there]) host.exec('ip', ['link', 'set', 'eth0', 'mtu', `${value}`]);
      };
      mtu(9000);
      assert.throws(() => load(three), { code: 'BW_MODE_REFUSED' });
      assert.equal(dispatched().length, 2, 'those that run go on');
      mtu(1500);
      load(three);
      assert.deepEqual(
        dispatched().map(({ name, frags }) => [name, frags]),
        [
          ['drop_three', false],
          ['frags_one', true],
          ['frags_two', true],
        ],
      );
      unload();
    });

    it('are in the way of what does not share, and the other way round', async () => {
      load(one);
      const refused = barewire('load', 'eth0', join(folder, 'two.o'), '--netns', netns, '--alone');
      assert.match(refused.stderr, /another owner's XDP program: \d+ 'xdp_dispatcher'/);
      load(two, { replace: true });
      assert.deepEqual(await passed(), [1, 3, 4]);
      unload();
      load(one, { alone: true });
      assert.throws(() => load(two), { code: 'BW_EXISTS' });
      load(two, { replace: true });
      assert.deepEqual(await passed(), [1, 3, 4]);
      unload();
    });

    it("are also those of Debian's packages, by what their objects say of themselves", () => {
      const objects = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/bpf`).find(existsSync);
      const bytes = readFileSync(`${objects}/xdpfilt_dny_udp.o`);
      const [name = ''] = Object.keys(readObject(bytes).programs);
      const said = runConfigOf(readObject(bytes), name);
      load(one);
      load(bytes, { program: name });
      assert.deepEqual(
        dispatched().map(({ name: of, priority }) => [of, priority]),
        [
          [name, said.priority],
          ['drop_one', 50],
        ],
      );
      agreed();
      unload();
    });

    it('are shown by the command', () => {
      const put = barewire(
        'load',
        'eth0',
        join(folder, 'one.o'),
        '--netns',
        netns,
        '--priority',
        '5',
        '--chain',
        'pass',
        '--chain',
        'tx',
      );
      assert.match(
        put.stdout,
        /^drop_one \((\d+)\) runs on eth0 in driver mode\n {2}1\. drop_one \(\1, this one\): priority 5, goes on after pass tx\n/,
      );
      barewire('load', 'eth0', join(folder, 'two.o'), '--netns', netns);
      const shown = barewire('status', 'eth0', '--netns', netns).stdout;
      assert.match(
        shown,
        /xdp_dispatcher[\s\S]*drop_one .*priority 5, goes on after pass tx\n[\s\S]*drop_two .*priority 50, goes on after pass\n/,
      );
      assert.match(
        barewire('unload', 'eth0', '--netns', netns, '-p', 'drop_one').stdout,
        /^drop_one \(\d+\) left eth0, where 1 program goes on\n$/,
      );
      assert.equal(barewire('unload', 'eth0', '--netns', netns, '--all').stdout, 'eth0 is free\n');
    });
  });
}
