import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AttachedProgram } from '../../src/apps/status.ts';
import { attachXdp, load } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { counterSpec } from '../../src/programs/counter.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { barewire, errorLine, MAIN, Running, run } from './bin.ts';

const stock = takeStock();
const lab = Lab.create({
  hosts: ['here', 'there'],
  wires: [{ between: ['here', 'there'] }, { between: ['here', 'there'] }],
});
const here = lab.host('here');
const there = lab.host('there');
const loaded = load(counterSpec({ frags: true }));
const { id } = loaded.program.info();
const bpffs = mkdtempSync(join(tmpdir(), 'bw-status-'));

before(() => {
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
});
after(() => {
  loaded.close();
  lab.destroy();
  execFileSync('umount', [bpffs]);
  rmdirSync(bpffs);
  requireNoLeaks(stock);
});

/** What it says of this test's own program; others may run at the same time. */
function ours(...args: string[]): AttachedProgram[] {
  const { code, stdout, stderr } = barewire('status', '--json', ...args);
  assert.deepEqual([code, stderr], [0, '']);
  const all = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AttachedProgram);
  return all.filter(({ program }) => program.id === id);
}

describe('barewire status', () => {
  it('shows programs in every namespace, with link and process, mode, tag and maps', () => {
    using first = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns });
    using second = attachXdp(loaded.program, { interface: 'eth1', netns: there.netns, mode: 'generic' });
    const found = ours();
    assert.deepEqual(
      found.map(({ netns, interface: { name }, mode }) => [netns, name, mode]).sort(),
      [
        [here.namespace, 'eth0', first.mode],
        [there.namespace, 'eth1', second.mode],
      ].sort(),
    );
    const [one, other] = found;
    const info = loaded.program.info();
    assert.deepEqual(
      [one!.program.name, one!.program.tag, one!.program.maps],
      ['count_frames', info.tag, [{ id: info.mapIds[0], type: 'percpu_array', name: 'tallies' }]],
    );
    const age = Date.now() - Date.parse(String(one!.program.loadedAt));
    assert.ok(age >= -1000 && age < 600_000, `loaded ${age} ms ago`);
    assert.equal(one!.owner.kind, 'link');
    assert.notEqual(one!.owner.linkId, other!.owner.linkId);
    assert.deepEqual(
      one!.owner.processes.map(({ pid }) => pid),
      [process.pid],
    );
    assert.match(one!.owner.processes[0]!.command, /node/);
  });

  it('looks into one namespace, and at one interface', () => {
    using first = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns });
    using second = attachXdp(loaded.program, { interface: 'eth1', netns: there.netns });
    assert.notEqual(first.interface.name, second.interface.name);
    assert.deepEqual(
      ours('--netns', here.namespace).map((found) => found.interface.name),
      ['eth0'],
    );
    assert.deepEqual(
      ours('eth1').map((found) => found.interface.name),
      ['eth1'],
    );
    assert.deepEqual(ours('lo'), []);
    const missing = barewire('status', 'eth9', '--netns', here.namespace);
    assert.equal(missing.code, 1);
    assert.match(errorLine(missing), /^there is no interface 'eth9'; did you mean '/i);
  });

  it('names the path that keeps a link', () => {
    const path = join(bpffs, 'folder', 'link');
    const attachment = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns });
    attachment.pin(path);
    attachment.close();
    const [found] = ours();
    assert.deepEqual([found!.owner.kind, found!.owner.pins, found!.owner.processes], ['link', [path], []]);
    execFileSync('rm', ['-r', join(bpffs, 'folder')]);
  });

  it('tells what netlink put there, and what keeps that program', () => {
    const path = join(bpffs, 'program');
    loaded.program.pin(path);
    using attachment = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns, method: 'netlink' });
    const [found] = ours();
    assert.equal(attachment.method, 'netlink');
    assert.deepEqual(
      [found!.owner.kind, found!.owner.linkId, found!.owner.pins],
      ['netlink', undefined, [path]],
    );
    assert.deepEqual(
      found!.owner.processes.map(({ pid }) => pid),
      [process.pid],
    );
    execFileSync('rm', [path]);
  });

  it('finds namespaces that only a process keeps', async () => {
    const line = `ip link add bw0 type veth peer name bw1 && exec ${process.execPath} ${MAIN} count bw0`;
    const running = new Running(spawn('unshare', ['--net', 'bash', '-c', line]));
    await running.until(({ stderr }) => stderr.includes('Counting on'), 'it counted');
    const { pid } = running.child;
    const all = barewire('status', 'bw0', '--json').stdout.trim().split('\n');
    const one = all
      .map((text) => JSON.parse(text) as AttachedProgram)
      .find(({ owner }) => owner.processes.some((process) => process.pid === pid));
    assert.equal(one?.netns, `/proc/${pid}/ns/net`);
    assert.match(one.owner.processes[0]!.command, /count bw0$/);
    running.child.kill();
    await running.ended;
  });

  it('lays a table out for people', () => {
    assert.equal(barewire('status', '--netns', there.namespace).stdout, 'No XDP program is attached.\n');
    using attachment = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns });
    const { stdout } = barewire('status', '--netns', here.namespace);
    const [titles, row, ...rest] = stdout.split('\n');
    assert.deepEqual(rest, ['']);
    assert.match(titles!, /^Namespace +Interface +Mode +ID +Program +Tag +Loaded +Maps +Owner$/);
    assert.match(
      row!,
      new RegExp(
        `^${here.namespace} +eth0 +${attachment.mode} +${id} +count_frames .*\\(percpu_array\\) +link \\d+: ${process.pid} `,
      ),
    );
  });

  it('tells what it can without rights, and that there is more', () => {
    using attachment = attachXdp(loaded.program, { interface: 'eth0', netns: here.netns });
    const drop = '-all';
    const { code, stdout, stderr } = run(
      'ip',
      'netns',
      'exec',
      here.namespace,
      'setpriv',
      '--bounding-set',
      drop,
      '--inh-caps',
      drop,
      '--ambient-caps',
      drop,
      process.execPath,
      MAIN,
      'status',
      'eth0',
    );
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^eth0 +${attachment.mode} +${id} +\\?`, 'm'));
    assert.match(stderr, /^names and maps are not shown: .*EPERM.*root/m);
  });
});
