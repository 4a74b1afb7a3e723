import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redirector, type RedirectorOptions } from '../../src/apps/redirect.ts';
import type { PortRedirect } from '../../src/apps/redirect-events.ts';
import type { RedirectRule } from '../../src/apps/redirect-rule.ts';
import { BPFFS, OccupiedError, tcxPrograms } from '../../src/bpf/index.ts';
import type { BarewireError } from '../../src/error.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { errorLine, MAIN, Running } from '../cli/bin.ts';
import { refusalOf } from '../cli/in-process.ts';
import type { Answer, Question } from './ask.ts';

const ECHO = fileURLToPath(new URL('echo.js', import.meta.url));
const ASK = fileURLToPath(new URL('ask.js', import.meta.url));
const REDIRECT = new URL('../../src/apps/redirect.js', import.meta.url).href;
/** Of the fifty or so calls of bpf(2) that make what is kept: among the maps, the programs, the attachments. */
const DEATHS = [4, 15, 30, 44, 47, 50];
const stock = takeStock();
const lab = Lab.create({ hosts: ['client', 'server'], wires: [{ between: ['client', 'server'] }] });
const client = lab.host('client');
const server = lab.host('server');
const roots = {
  pins: `${BPFFS}/bw-redirect-${process.pid}`,
  state: mkdtempSync(join(tmpdir(), 'barewire-redirect-')),
};
process.env.BAREWIRE_PINS = roots.pins;
process.env.BAREWIRE_STATE = roots.state;
const place = { interface: 'eth0', netns: server.namespace };
const udp: RedirectRule = { protocol: 'udp', from: 7999, to: 7998 };
const tcp: RedirectRule = { protocol: 'tcp', from: 7999, to: 7998 };

const echo = new Running(server.spawn(process.execPath, [ECHO, '7998']));
before(() => echo.until(({ stdout }) => stdout.includes('ready'), 'it was ready'));
after(async () => {
  echo.child.kill();
  await echo.ended;
  asker.stdin!.end();
  await once(asker, 'close');
  Redirector.remove(place);
  lab.destroy();
  rmSync(roots.pins, { recursive: true, force: true });
  rmSync(roots.state, { recursive: true });
  requireNoLeaks(stock);
});

const asker = client.spawn(process.execPath, [ASK], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: asker.stdout! })[Symbol.asyncIterator]();
async function ask(question: Question): Promise<Answer> {
  asker.stdin!.write(`${JSON.stringify(question)}\n`);
  const { value } = await answers.next();
  return JSON.parse(value as string) as Answer;
}
const attached = (): number => server.net.links.get('eth0').xdp.length;
const sending = (): number => tcxPrograms({ ...place, direction: 'egress' }).length;
/** Errors of checksums that the server's stack has counted. */
const checksumErrors = (): number => {
  const words = server.exec('cat', ['/proc/net/snmp', '/proc/net/snmp6']);
  const [, names = '', values = ''] = /^Udp: (.*InCsumErrors.*)\nUdp: (.*)$/m.exec(words) ?? [];
  const udp4 = Number(values.split(' ')[names.split(' ').indexOf('InCsumErrors')]);
  const [, tcpNames = '', tcpValues = ''] = /^Tcp: (.*InCsumErrors.*)\nTcp: (.*)$/m.exec(words) ?? [];
  const tcp = Number(tcpValues.split(' ')[tcpNames.split(' ').indexOf('InCsumErrors')]);
  return udp4 + tcp + Number(/^Udp6InCsumErrors\s+(\d+)$/m.exec(words)?.[1]);
};

/** Links go from the kernel a moment after their last descriptor. */
async function gone(): Promise<void> {
  for (let tries = 0; tries < 500 && attached() + sending() > 0; tries++) await sleep(10);
  assert.deepEqual([attached(), sending()], [0, 0]);
}

describe('redirected ports', () => {
  for (const offload of ['on', 'off'] as const) {
    it(`reach the listener and answer from the port that was asked, checksum offload ${offload}`, async () => {
      for (const host of [client, server]) {
        host.exec('ethtool', ['-K', 'eth0', 'tx', offload, 'rx', offload]);
      }
      const errors = checksumErrors();
      using redirector = Redirector.open({ ...place, rules: [udp, tcp], replies: true });
      assert.deepEqual([attached(), sending()], [1, 1]);
      for (const address of ['10.77.0.2', 'fd00:77::2']) {
        for (const size of [0, 1, 100, 1401]) {
          const answer = await ask({ protocol: 'udp', address, port: 7999, size, times: 3 });
          assert.deepEqual(answer, { same: 3, ports: [7999, 7999, 7999], lost: 0 }, `${address} ${size}`);
        }
        // A reply that comes in fragments has its ports in the first of them; what is asked must not.
        const large = await ask({ protocol: 'udp', address, port: 7998, size: 5000 });
        assert.deepEqual(large, { same: 1, ports: [7998], lost: 0 });
        assert.deepEqual((await ask({ protocol: 'udp', address, port: 7999, size: 5000 })).lost, 1);
        for (const size of [1, 4_000_000]) {
          const answer = await ask({ protocol: 'tcp', address, port: 7999, size });
          assert.deepEqual(answer, { same: 1, ports: [7999], lost: 0 }, `${address} ${size}`);
        }
      }
      const [tcpStatus, udpStatus] = redirector.list();
      assert.deepEqual([udpStatus!.packets, udpStatus!.replies], [24n, 24n]);
      assert.ok(tcpStatus!.packets > 100n && tcpStatus!.replies > 100n);
      assert.equal(checksumErrors(), errors);
      redirector.close();
      await gone();
    });
  }

  it('answer from the real port without replies, and whoever asks the real port gets it', async () => {
    using plain = Redirector.open({ ...place, rules: [udp] });
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 })).ports, [7998]);
    plain.close();
    using redirector = Redirector.open({ ...place, rules: [udp], replies: true });
    const from = 40_123;
    const asked = async (port: number): Promise<number | undefined> =>
      (await ask({ protocol: 'udp', address: '10.77.0.2', port, from })).ports[0];
    for (const port of [7999, 7998, 7999, 7998]) assert.equal(await asked(port), port);
    assert.equal(redirector.list()[0]!.replies, 2n);
  });

  it('come and go while it runs, each port with the answers to its own', async () => {
    using redirector = Redirector.open({ ...place, replies: true });
    const asked = async (port: number): Promise<number[]> => [
      ...(await ask({ protocol: 'udp', address: 'fd00:77::2', port })).ports,
    ];
    assert.deepEqual(await asked(7999), []);
    redirector.add(udp, { protocol: 'udp', from: 53, to: 7998 }, tcp);
    assert.deepEqual(
      [...(await asked(7999)), ...(await asked(53)), ...(await asked(7998))],
      [7999, 53, 7998],
    );
    assert.equal(redirector.delete(udp), true);
    assert.equal(redirector.delete(udp), false);
    assert.deepEqual([await asked(7999), await asked(53)], [[], [53]]);
    assert.deepEqual(
      redirector.list().map(({ protocol, from, to }) => [protocol, from, to]),
      [
        ['tcp', 7999, 7998],
        ['udp', 53, 7998],
      ],
    );
    assert.deepEqual((await ask({ protocol: 'tcp', address: 'fd00:77::2', port: 7999 })).ports, [7999]);
  });

  it('work in generic mode too', async () => {
    using redirector = Redirector.open({ ...place, rules: [udp, tcp], replies: true, mode: 'generic' });
    assert.equal(redirector.mode, 'generic');
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 })).ports, [7999]);
    const answer = await ask({ protocol: 'tcp', address: 'fd00:77::2', port: 7999, size: 500_000 });
    assert.deepEqual(answer, { same: 1, ports: [7999], lost: 0 });
  });

  it('work on the loopback interface, where both ends are at home', async () => {
    using redirector = Redirector.open({ ...place, interface: 'lo', rules: [udp, tcp], replies: true });
    assert.deepEqual([redirector.mode, redirector.refusals.length], ['generic', 1]);
    const script = `
      import socket
      for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
          u = socket.socket(family, socket.SOCK_DGRAM)
          u.settimeout(3)
          u.connect((host, 7999))
          u.send(b'over udp')
          t = socket.create_connection((host, 7999), 3)
          t.sendall(b'over tcp')
          print(u.recv(99), t.recv(99))`;
    const answers = server.exec('python3', ['-c', script.replace(/^ {6}/gm, '').trim()]);
    assert.equal(answers, "b'over udp' b'over tcp'\n".repeat(2));
  });

  it('are told as they happen, to one reader, who gets nothing of before', async () => {
    using redirector = Redirector.open({ ...place, rules: [udp] });
    await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 });
    const events = redirector.events();
    const first = events.next();
    await assert.rejects(redirector.events().next(), { code: 'BW_BUSY' });
    await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999, from: 40_001 });
    await ask({ protocol: 'udp', address: 'fd00:77::2', port: 7999, from: 40_002, size: 10 });
    const shown = ({ time: _, ...event }: PortRedirect): object => event;
    const common = { protocol: 'udp', from: 7999, to: 7998 };
    const got = [(await first).value as PortRedirect, (await events.next()).value as PortRedirect];
    assert.deepEqual(got.map(shown), [
      { ...common, source: '10.77.0.1', sourcePort: 40_001, destination: '10.77.0.2', length: 142 },
      { ...common, source: 'fd00:77::1', sourcePort: 40_002, destination: 'fd00:77::2', length: 72 },
    ]);
    assert.ok(Math.abs(got[1]!.time.getTime() - Date.now()) < 60_000);
    await events.return(undefined);
    // Whoever comes after one that ended need not wait.
    const again = redirector.events({ signal: AbortSignal.timeout(30) });
    assert.equal((await again.next()).done, true);
    const last = redirector.events().next();
    await sleep(20);
    redirector.close();
    assert.equal((await last).done, true);
  });

  it('refuse what cannot be, and then change nothing', () => {
    using redirector = Redirector.open({ ...place, rules: [udp] });
    const refused = (rules: readonly RedirectRule[], expected: object): void => {
      assert.throws(() => redirector.add(...rules), expected);
      assert.equal(redirector.list().length, 1);
    };
    refused([tcp, { ...udp, to: 9 }], { code: 'BW_EXISTS', message: 'eth0 has the rule udp 7999 -> 7998' });
    refused([{ ...tcp, to: 7999 }], { code: 'BW_ARGUMENT', message: /leads a port to itself/ });
    refused([tcp, { ...tcp, to: 9 }], { code: 'BW_ARGUMENT', message: 'tcp 7999 leads to 7998 and to 9' });
    refused([{ ...tcp, from: 0 }], { code: 'BW_ARGUMENT', message: "'0' is no port" });
    const many = Array.from({ length: 1024 }, (_, i): RedirectRule => ({ ...tcp, from: 10_000 + i }));
    refused(many, { code: 'BW_LIMIT', message: 'eth0 has 1 of 1024 rules, and no room for 1024 more' });
    redirector.add(...many.slice(1));
    assert.equal(redirector.list().length, 1024);
    assert.throws(() => Redirector.open(place), OccupiedError);
  });
});

describe('ports that are redirected for good', () => {
  const folder = `${roots.pins}/redirect`;
  const barewire = (...args: string[]): Running =>
    new Running(server.spawn(process.execPath, [MAIN, 'redirect', ...args]));
  const told = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await barewire(...args).ended;
    assert.equal(code, 0, stderr);
    return `${stdout}${stderr}`;
  };
  const refusal = async (...args: string[]): Promise<string> => {
    const ended = await barewire(...args).ended;
    assert.ok(ended.code === 1 || ended.code === 2, `${ended.code}`);
    return errorLine(ended);
  };
  const pinned = (): string[] =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('eth0/'))
      : [];

  it('outlive every process, take rules, are listed, watched and taken away without a trace', async () => {
    assert.match(
      await told('add', 'eth0', 'udp', '7999', '7998', '--replies'),
      /^Redirecting on eth0 by 1 rule in driver mode, replies included$/m,
    );
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 })).ports, [7999]);
    await told('add', 'eth0', 'tcp', '7999', '7998', 'udp', '53', '7998');
    assert.deepEqual(
      (await ask({ protocol: 'tcp', address: 'fd00:77::2', port: 7999, size: 9 })).ports,
      [7999],
    );
    const listed = JSON.parse(await told('list', '--json')) as {
      rules: Record<string, unknown>[];
      replies: boolean;
    };
    assert.deepEqual(
      [listed.replies, ...listed.rules.map(({ protocol, from, to }) => `${protocol} ${from} ${to}`)],
      [true, 'tcp 7999 7998', 'udp 53 7998', 'udp 7999 7998'],
    );
    assert.equal(listed.rules[2]!.packets, 1);

    const watching = barewire('watch', 'eth0', '--json', '-n', '1');
    await watching.until(({ stderr }) => stderr.includes('Redirecting'), 'it watched');
    // It listens a moment after it says so: ask until it has heard.
    while (watching.child.exitCode === null) {
      await ask({ protocol: 'udp', address: '10.77.0.2', port: 53 });
      await sleep(20);
    }
    const { stdout } = await watching.ended;
    assert.equal((JSON.parse(stdout) as PortRedirect).from, 53);

    // A reader that is killed leaves the rules as they are.
    const killed = barewire('watch', 'eth0');
    await killed.until(({ stderr }) => stderr.includes('Redirecting'), 'it watched');
    killed.child.kill('SIGKILL');
    await killed.ended;
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 53 })).ports, [53]);

    assert.match(await told('remove', 'eth0', 'udp', '53'), /^2 rules left on eth0$/m);
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 53 })).ports, []);
    assert.match(await refusal('eth0', 'udp', '1', '2'), /^eth0 has another owner's XDP program/);
    await told('detach', 'eth0');
    await gone();
    assert.deepEqual(pinned(), []);
  });

  it('are taken up again when the interface was made anew', () => {
    const create = (): void => {
      server.net.links.create({ kind: 'veth', name: 'bw0', up: true, peer: { name: 'bw1', up: true } });
    };
    const options: RedirectorOptions = { ...place, interface: 'bw0', rules: [udp], replies: true };
    create();
    Redirector.keep(options).close();
    server.net.links.delete('bw0');
    create();
    assert.throws(() => Redirector.openKept({ ...place, interface: 'bw0' }), { code: 'BW_NOT_FOUND' });
    using again = Redirector.keep({ ...options, rules: [tcp] });
    assert.deepEqual(
      again.list().map(({ protocol }) => protocol),
      ['tcp', 'udp'],
    );
    assert.equal(server.net.links.get('bw0').xdp.length, 1);
    again.close();
    assert.equal(Redirector.remove({ ...place, interface: 'bw0' }), true);
    assert.equal(Redirector.remove({ ...place, interface: 'bw0' }), false);
    server.net.links.delete('bw0');
  });

  it('come back after a reboot, in which the pins are lost and the file stays', async () => {
    await told('add', 'eth0', 'udp', '7999', '7998', 'tcp', '7999', '7998', '--replies', '--mode', 'generic');
    await told('remove', 'eth0', 'tcp', '7999');
    await told('add', 'eth0', 'udp', '53', '7998');
    const kept = Redirector.kept().map(({ interface: name, netns, pinned }) => ({ name, netns, pinned }));
    assert.deepEqual(kept, [{ name: 'eth0', netns: server.namespace, pinned: true }]);
    rmSync(roots.pins, { recursive: true });
    await gone();
    assert.match(await told('list'), /rules are saved from before, and wait for redirect restore/);
    assert.match(
      await refusal('list', 'eth0'),
      /rules are saved from before: barewire redirect restore eth0$/,
    );
    assert.match(
      await told('restore'),
      /^Redirecting on eth0 by 2 rules in generic mode, replies included$/m,
    );
    assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 53 })).ports, [53]);
    // A second call leaves standing what stands.
    assert.match(await told('restore', 'eth0'), /by 2 rules in generic mode/);

    const [file = ''] = readdirSync(roots.state, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('rules.json'))
      .map((name) => join(roots.state, name));
    rmSync(roots.pins, { recursive: true });
    await gone();
    writeFileSync(file, '{"format":1,"rules":[{"protocol":"udp"');
    assert.match(await refusal('restore', 'eth0'), /rules\.json is none that this version wrote; mend it/);
    assert.equal(attached(), 0);
    await told('detach', 'eth0');
    assert.match(await refusal('restore', 'eth0'), /^no ports are redirected for good on eth0; add a rule/);
  });

  it('are all there or not at all, wherever a process dies on the way', async () => {
    // Killed at its n-th call of bpf(2): strace injects the signal.
    const options = JSON.stringify({ ...place, rules: [udp, tcp], replies: true });
    const script = `import { Redirector } from '${REDIRECT}'; Redirector.keep(${options}).close();`;
    for (const step of DEATHS) {
      const inject = ['-f', '-e', `inject=bpf:signal=KILL:when=${step}`];
      const traced = [
        '-qq',
        '-o',
        '/dev/null',
        ...inject,
        process.execPath,
        '--input-type=module',
        '-e',
        script,
      ];
      await new Running(server.spawn('strace', traced)).ended;
      using again = Redirector.keep({ ...place, rules: [udp, tcp], replies: true });
      assert.deepEqual(
        again.list().map(({ protocol, from, to }) => [protocol, from, to]),
        [
          ['tcp', 7999, 7998],
          ['udp', 7999, 7998],
        ],
        `step ${step}`,
      );
      assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 })).ports, [7999]);
      again.close();
      assert.equal(Redirector.remove(place), true);
      await gone();
      assert.deepEqual(pinned(), []);
    }
  });

  it('leave nothing when they cannot be attached', async () => {
    using other = Redirector.open(place);
    assert.match(await refusal('add', 'eth0', 'udp', '1', '2'), /another owner's XDP program/);
    assert.deepEqual(pinned(), []);
    assert.throws(
      () => Redirector.keep({ ...place, mode: 'offload' }),
      (error: BarewireError) => error.code === 'BW_MODE_REFUSED',
    );
    assert.deepEqual(pinned(), []);
    other.close();
  });

  it('say in one line what is wrong with what was typed', async () => {
    const lines: readonly (readonly [string[], RegExp])[] = [
      [['eth0', 'udp', '7999'], /^the rule 'udp 7999' is not complete; write PROTOCOL FROM TO/],
      [['eth0', 'upd', '1', '2'], /^'upd' is no protocol with ports.*; did you mean udp\?$/],
      [['eth0', 'icmp', '1', '2'], /^'icmp' is no protocol with ports.*; choose tcp or udp$/],
      [['eth0', 'udp', '0', '2'], /^'0' is no port; ports go from 1 to 65535$/],
      [['eth0', 'udp', '7999', '70000'], /^'70000' is no port/],
      [['eth0', 'udp', '80', '80'], /^udp 80 -> 80 leads a port to itself/],
      [['eth0', 'udp', '1', '2', 'udp', '1', '3'], /^udp 1 leads to 2 and to 3; a port has one rule/],
      [['ehh0', 'udp', '1', '2'], /^there is no interface 'ehh0'; did you mean 'eth0'\?$/i],
      [['eth0'], /^redirect run needs RULE/],
      [['add', 'ehh0', 'udp', '1', '2'], /^there is no interface 'ehh0'/i],
      [['list', 'eth0'], /^no ports are redirected for good on eth0; add a rule: barewire redirect add eth0/],
      [['remove', 'eth0', 'udp', '1'], /^no ports are redirected for good on eth0/],
      [['detach', 'eth0'], /^no ports are redirected for good on eth0/],
      [['detach', 'ehh0'], /^there is no interface 'ehh0'/i],
      [['watch', 'eth0'], /^no ports are redirected for good on eth0/],
    ];
    for (const [args, expected] of lines) {
      assert.match(await refusalOf('redirect', ...args, '--netns', server.namespace), expected);
    }
    assert.deepEqual([attached(), pinned()], [0, []]);
  });
});

describe('barewire redirect', () => {
  it('lasts as long as it runs, kill -9 included', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const running = new Running(
        server.spawn(process.execPath, [MAIN, 'redirect', 'eth0', 'udp', '7999', '7998', '--replies']),
      );
      await running.until(({ stderr }) => stderr.includes('Redirecting'), 'it redirected');
      assert.deepEqual((await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999 })).ports, [7999]);
      running.child.kill(signal);
      const { stdout } = await running.ended;
      if (signal === 'SIGTERM') assert.match(stdout, /^udp +7999 +7998 +1 /m);
      await gone();
    }
  });

  it('shows each packet as a line, and the trace pipe beside it', async () => {
    const running = new Running(
      server.spawn(process.execPath, [MAIN, 'redirect', 'eth0', 'udp', '7999', '7998', '--trace', '-n', '1']),
    );
    await running.until(({ stderr }) => stderr.includes('Redirecting'), 'it redirected');
    while (running.child.exitCode === null) {
      await ask({ protocol: 'udp', address: '10.77.0.2', port: 7999, from: 40_007 });
      await sleep(20);
    }
    const { code, stdout } = await running.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^[\d:.]{12} udp 10\.77\.0\.1:40007 -> 10\.77\.0\.2:7999 to 7998, 142 bytes$/m);
  });
});
