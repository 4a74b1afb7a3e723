import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { after, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../src/lab/index.ts';
import { Netlink } from '../../src/netlink/index.ts';
import { Netns, requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { atDeath } from '../at-death.ts';

/** A namespace that no lab made. */
const foreign = `bwother-${process.pid}`;
atDeath('ip', 'netns', 'delete', foreign);

const before = takeStock();
const rootLinks = () => {
  using net = new Netlink();
  return net.links.list().map(({ name, address, up, mtu }) => ({ name, address, up, mtu }));
};
const linksBefore = rootLinks();
after(() => {
  requireNoLeaks(before);
  assert.deepEqual(rootLinks(), linksBefore, 'the root namespace is as it was');
});
const pair = { hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] as const }] };
/** Whether a process is gone, or a zombie that nobody has asked after yet, within two seconds. */
async function hasEnded(pid: number): Promise<boolean> {
  for (let i = 0; i < 40; i++) {
    try {
      if (/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return true;
    } catch {
      return true;
    }
    await setTimeout(50);
  }
  return false;
}
const namespaces = (lab: string) => Netns.names().filter((name) => name.startsWith(`bw-${lab}-`));

it('joins two hosts, IPv4 and IPv6, apart from the machine', () => {
  using lab = Lab.create(pair);
  const left = lab.host('left');
  assert.match(left.exec('ping', ['-c', '1', '-W', '2', '10.77.0.2']), / 0% packet loss/);
  assert.match(left.exec('ping', ['-c', '1', '-W', '2', 'fd00:77::2']), / 0% packet loss/);
  assert.deepEqual(
    left.net.links.list().map((link) => link.name),
    ['lo', 'eth0'],
  );
  assert.throws(() => left.exec('ping', ['-c', '1', '-W', '1', '10.77.0.9']), { code: 'BW_COMMAND' });
});

it('routes through a host in the middle', () => {
  using lab = Lab.create({
    hosts: [
      { name: 'left', gateway: '10.77.0.2' },
      { name: 'router', forwarding: true },
      { name: 'right', gateway: '10.77.1.1' },
    ],
    wires: [{ between: ['left', 'router'] }, { between: ['router', 'right'], mtu: 1400, queues: 2 }],
  });
  assert.match(lab.host('left').exec('ping', ['-c', '1', '-W', '2', '10.77.1.2']), / 0% packet loss/);
  const wire = lab.host('right').net.links.get('eth0');
  assert.equal(wire.mtu, 1400);
  assert.equal(wire.rxQueues, 2);
});

it('takes names, addresses and MACs as told', () => {
  using lab = Lab.create({
    hosts: ['one', 'two'],
    wires: [
      {
        between: [
          { host: 'one', interface: 'wan', addresses: ['192.0.2.1/30'], mac: '02:00:00:00:00:aa' },
          { host: 'two', addresses: [] },
        ],
      },
    ],
  });
  const link = lab.host('one').net.links.get('wan');
  assert.equal(link.address, '02:00:00:00:00:aa');
  assert.ok(
    lab
      .host('one')
      .net.addresses.list({ link: 'wan' })
      .some((entry) => entry.address === '192.0.2.1'),
  );
  assert.ok(
    !lab
      .host('two')
      .net.addresses.list({ link: 'eth0' })
      .some((entry) => entry.version === 4),
  );
});

it('is gone after destroy, with its processes, however often one asks', async () => {
  const lab = Lab.create(pair);
  const child = lab.host('left').spawn('sleep', ['1000']);
  assert.equal(namespaces(lab.name).length, 2);
  lab.destroy();
  lab.destroy();
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGKILL');
  assert.deepEqual(namespaces(lab.name), []);
  assert.ok(!Lab.list().some((record) => record.name === lab.name));
});

it('leaves nothing when it cannot be made', () => {
  const name = `bad-${process.pid}`;
  assert.throws(() =>
    Lab.create({
      name,
      hosts: ['a', 'b'],
      wires: [{ between: [{ host: 'a', addresses: ['nonsense'] }, 'b'] }],
    }),
  );
  assert.deepEqual(namespaces(name), []);
  assert.ok(!Lab.list().some((record) => record.name === name));
  for (const spec of [
    { hosts: ['a', 'a'], wires: [] },
    { hosts: ['../x'], wires: [] },
    { hosts: ['a'], wires: [{ between: ['a', 'nobody'] as const }] },
    { hosts: ['a', 'b'], wires: [{ between: ['a', 'b'] as const, queues: 0 }] },
    { name: 'no/slash', hosts: [], wires: [] },
  ]) {
    assert.throws(() => Lab.create(spec), { code: 'BW_ARGUMENT' });
  }
});

it('outlives its maker when told to, and is opened by name', () => {
  const name = `stay-${process.pid}`;
  const lab = Lab.create({ ...pair, name, persistent: true });
  assert.throws(() => Lab.create({ ...pair, name }), { code: 'BW_EXISTS' });
  lab.close();
  assert.equal(namespaces(name).length, 2);
  using again = Lab.open(name);
  assert.match(again.host('right').exec('ping', ['-c', '1', '-W', '2', '10.77.0.1']), / 0% packet loss/);
  again.destroy();
  assert.deepEqual(namespaces(name), []);
  assert.throws(() => Lab.open(name), { code: 'BW_NO_LAB' });
});

/** A process that made a lab, with a process in it. */
async function makeLabAndWait(): Promise<{ maker: ChildProcess; name: string; sleeper: number }> {
  const maker = spawn(process.execPath, [fileURLToPath(new URL('make-lab-and-wait.js', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(maker.stdout!, 'data')) as [Buffer];
  return { maker, ...(JSON.parse(said.toString()) as { name: string; sleeper: number }) };
}

/** The process that waits for another's end, to clear its labs away. */
function caretakerOf(pid: number): number {
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      if (words[0] === '/bin/sh' && words.some((word) => word.startsWith(`{"pid":${pid},`)))
        return Number(entry);
    } catch {
      // It ended in between.
    }
  }
  throw new Error(`process ${pid} has no caretaker`);
}

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  it(`after ${signal} to its maker it is cleared away by itself, with its processes and nobody else's`, async () => {
    using bystander = Lab.create(pair);
    const { maker, name, sleeper } = await makeLabAndWait();
    assert.equal(namespaces(name).length, 2);
    const caretaker = caretakerOf(maker.pid!);
    maker.kill(signal);
    await once(maker, 'exit');
    while (namespaces(name).length > 0) await setTimeout(10);
    assert.equal(await hasEnded(sleeper), true, 'its processes are ended too');
    assert.equal(await hasEnded(caretaker), true, 'and so is who did it');
    assert.ok(!Lab.list().some((lab) => lab.name === name));
    assert.equal(namespaces(bystander.name).length, 2);
  });
}

it('nobody waits for a process without labs', async () => {
  const caretaker = await (async () => {
    using _one = Lab.create(pair);
    using _other = Lab.create(pair);
    return caretakerOf(process.pid);
  })();
  assert.equal(await hasEnded(caretaker), true);
});

it('after kill -9 of its maker and its caretaker the next lab clears it away, and nothing that is not a leftover', async () => {
  using bystander = Lab.create(pair);
  Netns.create(foreign).close();
  try {
    const { maker, name, sleeper } = await makeLabAndWait();
    process.kill(caretakerOf(maker.pid!), 'SIGKILL');
    maker.kill('SIGKILL');
    await once(maker, 'exit');
    assert.equal(namespaces(name).length, 2, 'a killed process cleans nothing');
    using next = Lab.create(pair);
    assert.deepEqual(namespaces(name), []);
    assert.equal(await hasEnded(sleeper), true, 'its processes are ended too');
    assert.equal(namespaces(bystander.name).length, 2);
    assert.ok(Netns.names().includes(foreign));
    assert.equal(namespaces(next.name).length, 2);
  } finally {
    Netns.remove(foreign);
  }
});

it('an uncaught error takes the lab down on the way out', () => {
  const code = `
    import { Lab } from ${JSON.stringify(new URL('../../src/lab/index.js', import.meta.url).href)};
    const lab = Lab.create({ hosts: ['a'], wires: [] });
    process.stdout.write(lab.name);
    throw new Error('on purpose');
  `;
  let name = '';
  try {
    execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    name = (error as { stdout: string }).stdout;
  }
  assert.notEqual(name, '');
  assert.deepEqual(namespaces(name), []);
});

it('sends as many datagrams as told, at the rate and size that was told', async () => {
  using lab = Lab.create(pair);
  const right = lab.host('right').net;
  const start = right.links.get('eth0').stats?.rxPackets ?? 0n;
  const { sent } = await lab.host('left').flood({ to: '10.77.0.2', packets: 20_000, payload: 100, cpu: 0 });
  assert.equal(sent, 20_000);
  const received = (right.links.get('eth0').stats?.rxPackets ?? 0n) - start;
  assert.ok(received >= 20_000n, `${received} received`);
  await assert.rejects(lab.host('left').flood({ to: 'nowhere', packets: 1 }), {
    code: 'BW_COMMAND',
    message: /nowhere/,
  });
});
