import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assemble, exit, func, mov64, r0 } from '../../src/asm/index.ts';
import {
  attachXdp,
  BPFFS,
  ensureBpffs,
  load,
  ModeRefusedError,
  OccupiedError,
  type ProgramSpec,
  remedyFor,
  unpin,
  XdpLink,
} from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
after(() => {
  lab.destroy();
  requireNoLeaks(before);
});
const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
const left = lab.host('left');
const where = { interface: 'eth0', netns: left.netns };
const attached = () => left.net.links.get('eth0').xdp;

/** Returns one verdict: 1 drops, 2 passes. */
function verdict(name: string, action: number): ProgramSpec {
  const assembly = assemble([func(name, 1), mov64(r0, action), exit()]);
  return { name, type: 'xdp', attachType: 'xdp', frags: false, license: 'MIT', maps: {}, ...assembly };
}

const reaches = (): boolean => {
  try {
    lab.host('right').exec('ping', ['-c', '1', '-W', '1', '10.77.0.1']);
    return true;
  } catch {
    return false;
  }
};

describe('attaching', () => {
  for (const mode of ['driver', 'generic'] as const) {
    it(`in ${mode} mode acts on packets, reads the mode back, and ends with close`, () => {
      using drop = load(verdict('drop', 1));
      const attachment = attachXdp(drop.program, { ...where, mode });
      assert.equal(attachment.mode, mode);
      assert.equal(attachment.method, 'link');
      assert.deepEqual(attachment.refusals, []);
      assert.deepEqual(attached(), [{ mode, programId: drop.program.info().id }]);
      assert.equal(reaches(), false);
      using pass = load(verdict('pass', 2));
      attachment.update(pass.program);
      assert.equal(reaches(), true);
      attachment.close();
      attachment.close();
      assert.deepEqual(attached(), []);
    });
  }

  it('automatically takes driver mode where the driver has it', () => {
    using pass = load(verdict('pass', 2));
    using attachment = attachXdp(pass.program, where);
    assert.equal(attachment.mode, 'driver');
  });

  it("falls back to generic mode and says, in the driver's words, why", () => {
    // The loopback interface of our own namespace has no XDP in its driver.
    using pass = load(verdict('pass', 2));
    using attachment = attachXdp(pass.program, { ...where, interface: 'lo' });
    assert.equal(attachment.mode, 'generic');
    const [refusal] = attachment.refusals;
    assert.equal(refusal?.mode, 'driver');
    assert.match(refusal?.reason ?? '', /support/);
  });

  it("fails with the driver's reason and the remedy when the mode was demanded", () => {
    left.net.links.set('eth0', { mtu: 9000 });
    lab.host('right').net.links.set('eth0', { mtu: 9000 });
    try {
      using pass = load(verdict('pass', 2));
      assert.throws(
        () => attachXdp(pass.program, { ...where, mode: 'driver' }),
        (error: unknown) => {
          assert.ok(error instanceof ModeRefusedError);
          assert.match(error.message, /eth0 .*driver mode: .*MTU/i);
          assert.match(error.hint ?? '', /ip link set dev .* mtu 1500/);
          return true;
        },
      );
      assert.deepEqual(attached(), [], 'asking for the reason leaves nothing attached');
      using attachment = attachXdp(pass.program, where);
      assert.equal(attachment.mode, 'generic');
      assert.match(attachment.refusals[0]?.reason ?? '', /MTU/i);
    } finally {
      for (const host of lab.hosts) host.net.links.set('eth0', { mtu: 1500 });
    }
  });

  it('refuses offload where there is no such card', () => {
    using pass = load(verdict('pass', 2));
    assert.throws(() => attachXdp(pass.program, { ...where, mode: 'offload' }), { code: 'BW_MODE_REFUSED' });
    assert.deepEqual(attached(), []);
  });

  it('names an interface that is none, and near ones', () => {
    using pass = load(verdict('pass', 2));
    assert.throws(() => attachXdp(pass.program, { ...where, interface: 'eht0' }), {
      code: 'BW_NO_INTERFACE',
      hint: /eth0/,
    });
  });
});

describe("another owner's program", () => {
  for (const method of ['link', 'netlink'] as const) {
    it(`attached by ${method} is never evicted silently, and on demand`, () => {
      using theirs = load(verdict('theirs', 2));
      using ours = load(verdict('ours', 2));
      using standing = attachXdp(theirs.program, { ...where, method });
      assert.throws(
        () => attachXdp(ours.program, where),
        (error: unknown) => {
          assert.ok(error instanceof OccupiedError);
          assert.equal(error.programId, theirs.program.info().id);
          assert.equal(error.programName, 'theirs');
          assert.match(error.message, new RegExp(`${error.programId} 'theirs'`));
          assert.match(error.hint ?? '', /barewire status eth0.*--replace/);
          return true;
        },
      );
      assert.equal(attached()[0]?.programId, theirs.program.info().id);
      using evicting = attachXdp(ours.program, { ...where, replace: true });
      assert.equal(attached()[0]?.programId, ours.program.info().id);
      standing.close();
      assert.equal(
        attached()[0]?.programId,
        ours.program.info().id,
        'the evicted owner does not detach ours',
      );
      evicting.close();
      assert.deepEqual(attached(), []);
    });
  }

  it('is found when our own link is taken by netlink: the two cannot replace each other', () => {
    using one = load(verdict('one', 2));
    using two = load(verdict('two', 2));
    using held = attachXdp(one.program, where);
    assert.throws(() => attachXdp(two.program, { ...where, method: 'netlink' }), { code: 'BW_OCCUPIED' });
    assert.equal(held.mode, 'driver');
  });
});

it('a netlink attachment is replaced atomically and detached by its owner only', () => {
  using one = load(verdict('one', 2));
  using two = load(verdict('two', 1));
  const attachment = attachXdp(one.program, { ...where, method: 'netlink' });
  attachment.update(two.program);
  assert.equal(attached()[0]?.programId, two.program.info().id);
  assert.throws(() => attachment.pin(`${BPFFS}/x`), { code: 'BW_UNSUPPORTED' });
  attachment.close();
  assert.deepEqual(attached(), []);
});

it('a pinned link outlives its owner and is picked up again', () => {
  ensureBpffs();
  const path = `${BPFFS}/barewire-link-${process.pid}`;
  using drop = load(verdict('drop', 1));
  using pass = load(verdict('pass', 2));
  const attachment = attachXdp(drop.program, where);
  attachment.pin(path);
  attachment.close();
  assert.equal(attached().length, 1);
  using link = XdpLink.openPinned(path);
  assert.equal(link.info().programId, drop.program.info().id);
  assert.throws(() => link.update(pass.program, pass.program), { code: 'BW_PERMISSION', hint: /expected/ });
  link.update(pass.program, drop.program);
  link.close();
  unpin(path);
  // The kernel lets go of an unpinned link a moment later; whoever attaches next does not have to know.
  using next = attachXdp(pass.program, where);
  assert.equal(attached()[0]?.programId, pass.program.info().id);
  next.close();
  assert.deepEqual(attached(), []);
});

it('kill -9 leaves nothing attached', async () => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('attach-and-wait.js', import.meta.url)), left.namespace],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(child.stdout, 'data');
  assert.equal(attached().length, 1);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(attached(), []);
});

it('remedies are commands for the interface', () => {
  assert.match(remedyFor('Peer MTU is too large to set XDP', 'veth0') ?? '', /other end/);
  assert.match(remedyFor('MTU is too large for single buffer XDP', 'eth9') ?? '', /dev eth9 mtu/);
  assert.match(remedyFor("can't use XDP with LRO", 'eth9') ?? '', /ethtool -K eth9 lro off/);
  assert.match(remedyFor('not enough queues for XDP', 'eth9') ?? '', /ethtool -L eth9/);
  assert.equal(remedyFor('some unheard-of trouble', 'eth9'), undefined);
});
