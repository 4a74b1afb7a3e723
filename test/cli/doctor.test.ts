import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Check } from '../../src/apps/check.ts';
import type { Diagnosis } from '../../src/apps/doctor.ts';
import { Lab } from '../../src/lab/index.ts';
import { tool } from '../dev-tools.ts';
import { barewire, type Ended, errorLine, MAIN, Running } from './bin.ts';

const lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'], queues: 2 }] });
const near = lab.host('near');
after(() => lab.destroy());

/** Runs the command inside the host. */
function inside(...args: string[]): Promise<Ended> {
  return new Running(near.spawn(process.execPath, [MAIN, ...args])).ended;
}

function find(checks: readonly Check[], id: string): Check | undefined {
  return checks.find((check) => check.id === id);
}

describe('barewire doctor', () => {
  it('finds this machine fit, and ends with 0', () => {
    const { code, stdout, stderr } = barewire('doctor', '--json');
    assert.deepEqual([code, stderr], [0, '']);
    const found = JSON.parse(stdout) as Diagnosis;
    assert.equal(found.healthy, true);
    assert.equal(found.interface, undefined);
    assert.equal(find(found.kernel, 'load')?.state, 'ok');
    assert.equal(find(found.rights, 'cap_bpf')?.state, 'ok');
    assert.equal(find(found.features, 'xdp-link')?.state, 'ok');
  });

  it('tells people the same in a page', () => {
    const { code, stdout } = barewire('doctor');
    assert.equal(code, 0);
    for (const title of ['Kernel', 'Rights', 'Features']) assert.match(stdout, new RegExp(`^${title}$`, 'm'));
    assert.match(stdout, /^ {2}ok {7}The verifier takes programs/m);
    assert.match(stdout, /\nXDP works here; name an interface to look at its driver\.\n$/);
  });

  it('says which rights are missing and what follows, with 1', async () => {
    const drop = '-all';
    const bare = near.spawn('setpriv', [
      '--bounding-set',
      drop,
      '--inh-caps',
      drop,
      '--ambient-caps',
      drop,
      process.execPath,
      MAIN,
      'doctor',
      '--json',
    ]);
    const { code, stdout } = await new Running(bare).ended;
    assert.equal(code, 1);
    const found = JSON.parse(stdout) as Diagnosis;
    assert.equal(find(found.kernel, 'load')?.state, 'fails');
    for (const name of ['cap_bpf', 'cap_net_admin', 'cap_perfmon'])
      assert.equal(find(found.rights, name)?.state, 'fails');
    assert.match(find(found.rights, 'cap_bpf')?.remedy ?? '', /root/);
    assert.match(found.verdict, /does not work here/);
  });

  it('knows the nearest interface', () => {
    const ended = barewire('doctor', 'eth0x', '--netns', near.namespace);
    assert.equal(ended.code, 1);
    assert.match(errorLine(ended), /^there is no interface 'eth0x'; did you mean 'eth0'\?$/i);
  });

  it('describes an interface that is ready', () => {
    const { code, stdout } = barewire('doctor', 'eth0', '--netns', near.namespace, '--json');
    assert.equal(code, 0);
    const { interface: found, verdict } = JSON.parse(stdout) as Diagnosis;
    assert.equal(found?.driver, 'veth');
    assert.deepEqual(found?.queues, { rx: 2, tx: 2 });
    assert.ok(found?.xdp?.features.includes('basic'));
    assert.equal(found?.mode, 'driver');
    assert.equal(verdict, 'eth0 is ready for XDP in driver mode.');
  });

  it('lets the driver answer on request, and leaves nothing attached', async () => {
    const { code, stdout } = await inside('doctor', 'eth0', '--attempt', '--json');
    assert.equal(code, 0);
    const found = JSON.parse(stdout) as Diagnosis;
    assert.equal(find(found.interface!.checks, 'attempt')?.state, 'ok');
    assert.deepEqual(near.net.links.get('eth0').xdp, []);
  });

  it('tells of a driver without XDP of its own', async () => {
    const { code, stdout } = await inside('doctor', 'lo');
    assert.equal(code, 0);
    assert.match(stdout, /warning {2}The driver has no XDP of its own/);
    assert.match(stdout, /lo works in generic mode, for its driver has no XDP\.\n$/);
  });

  it('names what blocks the driver mode with the command that mends it, which it does', async () => {
    near.net.ethtool.setChannels('eth0', { rx: 1 });
    const blocked = await inside('doctor', 'eth0', '--json');
    assert.equal(blocked.code, 1);
    const { interface: found, verdict } = JSON.parse(blocked.stdout) as Diagnosis;
    const check = find(found!.checks, 'peer-queues');
    assert.equal(check?.state, 'blocks');
    assert.match(check.finding, /eth0, has 2 transmit queues for 1 receive queue here/);
    assert.equal(found!.mode, 'generic');
    assert.match(verdict, /generic mode only/);

    // The kernel agrees: the driver refuses, in its own words, and the counter falls back.
    const refused = await inside('doctor', 'eth0', '--attempt', '--json');
    const { interface: asked } = JSON.parse(refused.stdout) as Diagnosis;
    assert.match(find(asked!.checks, 'attempt')?.finding ?? '', /The driver refused a program: .*queues/);
    const fallback = await inside('count', 'eth0', '-n', '1', '-i', '10ms');
    assert.match(fallback.stderr, /^Counting on eth0 in generic mode; driver mode was refused: .*queues/);

    const [command, ...args] = check.remedy!.split(' ');
    near.exec(tool(command!), args);
    const mended = await inside('doctor', 'eth0', '--attempt', '--json');
    assert.equal(mended.code, 0);
    assert.equal((JSON.parse(mended.stdout) as Diagnosis).interface!.mode, 'driver');
  });

  it('mentions an interface that is down, and how to set it up', async () => {
    near.net.links.set('eth0', { up: false });
    const { stdout } = await inside('doctor', 'eth0');
    assert.match(stdout, /warning {2}eth0 is down: nothing comes in\n {11}-> ip link set dev eth0 up\n/);
    near.net.links.set('eth0', { up: true });
  });
});
