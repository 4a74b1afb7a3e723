import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { LabDescription } from '../../src/apps/playground.ts';
import { Lab } from '../../src/lab/index.ts';
import { Netns } from '../../src/sys/index.ts';
import { atDeath } from '../at-death.ts';
import { barewire, errorLine, MAIN, run } from './bin.ts';

const name = `cli-${process.pid}`;
const namespaces = [`bw-${name}-client`, `bw-${name}-server`];
// They are made to outlive the process that made them.
for (const lab of [name, `${name}-c`]) atDeath(process.execPath, MAIN, 'lab', 'down', lab);
after(() => void barewire('lab', 'down', name));

const listed = (): LabDescription[] =>
  barewire('lab', 'list', '--json')
    .stdout.split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LabDescription);

describe('barewire lab', () => {
  it('makes a lab that stands, and says how to use it', () => {
    const { code, stdout, stderr } = barewire('lab', 'up', name);
    assert.deepEqual([code, stderr], [0, '']);
    for (const namespace of namespaces) assert.ok(Netns.names().includes(namespace));
    // What it prints can be typed as it stands.
    const enter = /^Enter a host +(.*) bash$/m.exec(stdout)?.[1];
    const nsenter = /^or +(.*) bash$/m.exec(stdout)?.[1];
    const ping = /^Send something +(.*)$/m.exec(stdout)?.[1];
    for (const line of [`${enter} ip -br address`, `${nsenter} ip -br address`]) {
      assert.match(run('bash', '-c', line).stdout, /eth0\S* +UP +10\.77\.0\.1\/24/);
    }
    assert.equal(run('bash', '-c', `${ping} -c 1 -W 2`).code, 0);
    const count = /^Count it +barewire (.*)$/m.exec(stdout)?.[1];
    assert.equal(barewire(...count!.split(' '), '-n', '1', '-i', '10ms').code, 0);
    assert.ok(stdout.includes(`barewire lab down ${name}\n`));
  });

  it('lists it', () => {
    const mine = listed().find((lab) => lab.name === name);
    assert.deepEqual(
      mine?.hosts.map((host) => host.namespace),
      namespaces,
    );
    assert.deepEqual(mine?.hosts[1]?.interfaces, [
      { name: 'eth0', addresses: ['10.77.0.2/24', 'fd00:77::2/64'] },
    ]);
    assert.equal(mine?.owner, undefined);
    const row = new RegExp(
      `^${name} +client +${namespaces[0]} +eth0 +10\\.77\\.0\\.1/24, fd00:77::1/64 +itself$`,
      'm',
    );
    assert.match(barewire('lab', 'list').stdout, row);
  });

  it('refuses a name that is taken or is none, and does not know others', () => {
    const taken = barewire('lab', 'up', name);
    assert.equal(taken.code, 1);
    assert.match(
      errorLine(taken),
      new RegExp(`^there is a lab named '${name}' already; .*barewire lab down ${name}$`),
    );
    const bad = barewire('lab', 'up', '../x');
    assert.equal(bad.code, 2);
    assert.match(errorLine(bad), /^'\.\.\/x' cannot name a lab/);
    const unknown = barewire('lab', 'down', `${name}x`);
    assert.equal(unknown.code, 1);
    assert.match(errorLine(unknown), new RegExp(`^there is no lab named '${name}x'; there are: .*${name}`));
  });

  it("takes nobody's lab away while they use it", () => {
    using theirs = Lab.create({ hosts: ['one'], wires: [] });
    const refused = barewire('lab', 'down', theirs.name);
    assert.equal(refused.code, 1);
    assert.match(
      errorLine(refused),
      new RegExp(`belongs to process ${process.pid} \\(.*; end that process, or .*--force$`),
    );
    assert.equal(listed().find((lab) => lab.name === theirs.name)?.owner?.pid, process.pid);
    assert.equal(barewire('lab', 'down', theirs.name, '--force').code, 0);
    assert.equal(
      listed().find((lab) => lab.name === theirs.name),
      undefined,
    );
  });

  it('takes it down, also when half of it is gone', () => {
    assert.ok(Netns.remove(namespaces[0]!));
    assert.ok(listed().some((lab) => lab.name === name));
    const { code, stdout, stderr } = barewire('lab', 'down', name);
    assert.deepEqual([code, stdout, stderr], [0, `Lab '${name}' is down.\n`, '']);
    for (const namespace of namespaces) assert.ok(!Netns.names().includes(namespace));
    assert.equal(
      listed().find((lab) => lab.name === name),
      undefined,
    );
  });

  it('routes between the hosts of a chain', () => {
    const chain = `${name}-c`;
    try {
      const { hosts } = JSON.parse(
        barewire('lab', 'up', chain, '--shape', 'chain', '--mtu', '9000', '--json').stdout,
      ) as LabDescription;
      assert.deepEqual(
        hosts.map((host) => host.name),
        ['client', 'router', 'server'],
      );
      const ping = run(
        'ip',
        'netns',
        'exec',
        hosts[0]!.namespace,
        'ping',
        '-c',
        '1',
        '-W',
        '2',
        '-M',
        'do',
        '-s',
        '8000',
        '10.77.1.2',
      );
      assert.equal(ping.code, 0, ping.stdout + ping.stderr);
    } finally {
      assert.equal(barewire('lab', 'down', chain).code, 0);
    }
  });
});
