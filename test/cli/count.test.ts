import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../src/lab/index.ts';
import { type Ended, errorLine, MAIN, Running, run } from './bin.ts';

const lab = Lab.create({ hosts: ['client', 'server'], wires: [{ between: ['client', 'server'] }] });
const client = lab.host('client');
const server = lab.host('server');
after(() => lab.destroy());

const attached = () => server.net.links.get('eth0').xdp;

/** Starts the command inside the server. */
function count(...args: string[]): Running {
  return new Running(server.spawn(process.execPath, [MAIN, 'count', ...args]));
}

async function counting(...args: string[]): Promise<Running> {
  const running = count('eth0', ...args);
  await running.until(({ stderr }) => stderr.includes('Counting on'), 'it counted');
  return running;
}

/** Sends so many UDP datagrams of 100 bytes from the client, by an ordinary socket of an ordinary process. */
async function send(packets: number, address = '10.77.0.2'): Promise<void> {
  const script = `
    const socket = require('node:dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
    let left = ${packets};
    // In small batches, for a veth's queue is short.
    const step = () => {
      if (left === 0) return socket.close();
      let pending = Math.min(left, 20);
      left -= pending;
      for (let i = pending; i > 0; i--) socket.send(Buffer.alloc(100), 9, '${address}', () => { if (--pending === 0) setImmediate(step); });
    };
    step();`;
  const sender = new Running(client.spawn(process.execPath, ['-e', script]));
  assert.equal((await sender.ended).code, 0);
}

interface Line {
  readonly interface: string;
  readonly mode: string;
  readonly packets: number;
  readonly bytes: number;
  readonly kinds: Readonly<Record<string, { packets: number; bytes: number }>>;
  readonly cpus: readonly { packets: number }[];
  readonly refusals?: readonly { mode: string; reason: string }[];
}

const linesOf = ({ stdout }: { stdout: string }): Line[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

before(() => {
  // Neighbours known for good: no ARP and no neighbour discovery among what is counted.
  client.net.neighbours.replace('eth0', '10.77.0.2', server.net.links.get('eth0').address!);
  client.net.neighbours.replace('eth0', 'fd00:77::2', server.net.links.get('eth0').address!);
});

describe('barewire count', () => {
  it('counts what ordinary sockets send, per protocol and CPU, as the interface itself does', async () => {
    const statistics = () => server.net.links.get('eth0').stats!;
    const running = await counting('--json', '--interval', '100ms');
    const earlier = statistics();
    await send(300);
    await send(200, 'fd00:77::2');
    await running.until((it) => linesOf(it).at(-1)?.kinds['ipv6-udp']?.packets === 200, 'all was counted');
    const later = statistics();
    running.child.kill('SIGINT');
    const lines = linesOf(await running.ended);
    const last = lines.at(-1)!;
    // 100 bytes of payload, 8 of UDP, 20 or 40 of IP, 14 of Ethernet.
    assert.deepEqual([last.kinds['ipv4-udp']!.packets, last.kinds['ipv4-udp']!.bytes], [300, 300 * 142]);
    assert.deepEqual([last.kinds['ipv6-udp']!.packets, last.kinds['ipv6-udp']!.bytes], [200, 200 * 162]);
    assert.equal(last.interface, 'eth0');
    assert.equal(last.mode, 'driver');
    assert.equal(last.refusals, undefined);
    const sum = (tallies: Iterable<{ packets: number }>): number =>
      [...tallies].reduce((all, { packets }) => all + packets, 0);
    for (const line of lines) {
      assert.equal(sum(Object.values(line.kinds)), line.packets);
      assert.equal(sum(line.cpus), line.packets);
    }
    assert.ok(later.rxPackets - earlier.rxPackets >= 500n);
    assert.ok(BigInt(last.packets) >= later.rxPackets - earlier.rxPackets);
  });

  it('makes as many reports as asked for, and ends with 0', async () => {
    const { code, stdout, stderr } = await count('eth0', '--json', '-n', '3', '-i', '50ms').ended;
    assert.equal(code, 0);
    assert.equal(stderr, 'Counting on eth0 in driver mode\n');
    assert.equal(linesOf({ stdout }).length, 3);
    assert.deepEqual(attached(), []);
  });

  it('ends after its time, with a last report', async () => {
    const { code, stdout } = await count('eth0', '--json', '--duration', '250ms', '-i', '1h').ended;
    assert.equal(code, 0);
    assert.equal(linesOf({ stdout }).length, 1);
  });

  it('prints lines and a table where nobody looks', async () => {
    const { stdout } = await count('eth0', '-n', '2', '-i', '50ms').ended;
    assert.match(stdout, /^(\d{4}-\d\d-\d\dT\S+Z \d+ packets, \d+ bytes, .*\n){2}\nAfter /);
    for (const name of ['All', 'IPv4', 'IPv6', 'ARP', 'other'])
      assert.match(stdout, new RegExp(`^${name} +\\d`, 'm'));
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`detaches on ${signal}, reports once more, and ends by that very signal`, async () => {
      const running = await counting('--json', '-i', '1h');
      assert.equal(attached().length, 1);
      running.child.kill(signal);
      const ended = await running.ended;
      assert.deepEqual([ended.code, ended.signal], [null, signal]);
      assert.equal(linesOf(ended).length, 1);
      assert.equal(ended.stderr, 'Counting on eth0 in driver mode\n');
      assert.deepEqual(attached(), []);
    });
  }

  it('takes a signal that a wrapper hands on for the one it is', async () => {
    const running = await counting('--json', '-i', '1h');
    running.child.kill('SIGINT');
    running.child.kill('SIGINT');
    const ended = await running.ended;
    assert.equal(ended.signal, 'SIGINT');
    assert.equal(linesOf(ended).length, 1);
  });

  it('leaves nothing attached after kill -9', async () => {
    const running = await counting();
    assert.equal(attached().length, 1);
    running.child.kill('SIGKILL');
    assert.equal((await running.ended).signal, 'SIGKILL');
    // The kernel takes a closed link off in the background.
    for (let tries = 0; attached().length > 0 && tries < 200; tries++) await sleep(10);
    assert.deepEqual(attached(), []);
  });

  it('lets go when its reader does, quietly', async () => {
    const line = `set -o pipefail; ${process.execPath} ${MAIN} count eth0 --json -i 20ms | head -1`;
    const ended = await new Running(server.spawn('bash', ['-c', line])).ended;
    assert.deepEqual([ended.code, ended.stderr], [0, 'Counting on eth0 in driver mode\n']);
    assert.equal(linesOf(ended).length, 1);
    assert.deepEqual(attached(), []);
  });

  it('says which mode was granted, and why no better one', async () => {
    const generic = await count('lo', '--json', '-n', '1', '-i', '10ms').ended;
    assert.equal(generic.code, 0);
    const reason = 'Underlying driver does not support XDP in native mode';
    assert.match(
      generic.stderr,
      new RegExp(`^Counting on lo in generic mode; driver mode was refused: ${reason}`),
    );
    assert.deepEqual(
      [linesOf(generic)[0]!.mode, linesOf(generic)[0]!.refusals![0]!.reason],
      ['generic', reason],
    );

    const driver = await count('lo', '--mode', 'driver').ended;
    assert.equal(driver.code, 1);
    assert.match(
      errorLine(driver),
      new RegExp(`^lo does not take the program in driver mode: ${reason}; the driver has no XDP`),
    );
    const offload = await count('eth0', '--mode', 'offload').ended;
    assert.equal(offload.code, 1);
    assert.match(errorLine(offload), /^eth0 does not take the program in offload mode: .*; use the driver/);
    assert.deepEqual(attached(), []);
  });

  it("never evicts another owner's program unless told to", async () => {
    const first = await counting('-i', '1h');
    const [theirs] = attached();
    const second = await count('eth0').ended;
    assert.equal(second.code, 1);
    assert.match(
      errorLine(second),
      new RegExp(
        `^eth0 has another owner's XDP program: ${theirs!.programId} 'count_frames'.*; .*barewire status eth0.*--replace`,
      ),
    );
    assert.deepEqual(attached(), [theirs]);

    const third = await counting('--replace', '-i', '20ms', '-n', '2');
    assert.notDeepEqual(attached(), [theirs]);
    assert.equal((await third.ended).code, 0);
    first.child.kill('SIGTERM');
    assert.equal((await first.ended).signal, 'SIGTERM');
    assert.deepEqual(attached(), []);
  });

  it('notices when it is evicted', async () => {
    const first = await counting('--json', '-i', '20ms');
    assert.equal((await count('eth0', '--replace', '--json', '-n', '1', '-i', '100ms').ended).code, 0);
    const ended = await first.ended;
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /\nbarewire: somebody took the counter off eth0; `barewire status` shows/);
  });

  it('notices when the interface goes', async () => {
    const host = lab.host('server');
    host.net.links.create({ kind: 'veth', name: 'bw0', up: true, peer: { name: 'bw1', up: true } });
    const running = new Running(
      server.spawn(process.execPath, [MAIN, 'count', 'bw0', '-i', '20ms', '--json']),
    );
    await running.until(({ stdout }) => stdout.includes('\n'), 'it counted');
    host.net.links.delete('bw0');
    const ended = await running.ended;
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /\nbarewire: bw0 has gone, and the counter with it; /);
  });

  it('names the nearest interface for one that is not there', async () => {
    const ended = await count('ehh0').ended;
    assert.equal(ended.code, 1);
    assert.match(errorLine(ended), /^there is no interface 'ehh0'; did you mean 'eth0'\?$/i);
  });

  it('works from outside a namespace', () => {
    const ended = run(
      process.execPath,
      MAIN,
      'count',
      'eth0',
      '--netns',
      server.namespace,
      '-n',
      '1',
      '-i',
      '10ms',
      '--json',
    );
    assert.equal(ended.code, 0);
    assert.equal(linesOf(ended)[0]!.interface, 'eth0');
  });

  it('says which capability is missing', async () => {
    const without = (...capabilities: string[]): Promise<Ended> => {
      const drop = capabilities.map((name) => (name.startsWith('+') ? name : `-${name}`)).join(',');
      const dropped = ['--bounding-set', drop, '--inh-caps', drop, '--ambient-caps', drop];
      const child = server.spawn('setpriv', [
        ...dropped,
        process.execPath,
        MAIN,
        'count',
        'eth0',
        '-n',
        '1',
        '-i',
        '10ms',
      ]);
      return new Running(child).ended;
    };
    const none = await without('bpf', 'net_admin', 'sys_admin');
    assert.equal(none.code, 1);
    assert.match(
      errorLine(none),
      /operation not permitted \(EPERM\); this process lacks CAP_BPF and CAP_NET_ADMIN: run it as root/,
    );
    const noNetwork = await without('net_admin', 'sys_admin');
    assert.equal(noNetwork.code, 1);
    assert.match(errorLine(noNetwork), /EPERM.*CAP_NET_ADMIN/);
    const noOffsets = await without('sys_admin', 'perfmon');
    assert.equal(noOffsets.code, 1);
    assert.match(
      errorLine(noOffsets),
      /^the verifier refused the program 'count_frames'.*; without CAP_PERFMON/,
    );
    // The three that suffice.
    assert.equal((await without('all', '+bpf', '+net_admin', '+perfmon')).code, 0);
    assert.deepEqual(attached(), []);
  });
});

describe('on a terminal', () => {
  /** Runs a line on a terminal of its own, of the given size. */
  function terminal(line: string, columns: number, rows: number): Running {
    const command = `stty cols ${columns} rows ${rows}; ${line}`;
    return new Running(server.spawn('script', ['-qefc', command, '/dev/null']));
  }

  it('draws a table that fits, again and again in place', async () => {
    const line = `${process.execPath} ${MAIN} count eth0 -n 3 -i 50ms`;
    const { code, stdout } = await terminal(line, 40, 8).ended;
    assert.equal(code, 0);
    const frames = stdout.replace(/\r/g, '').split('\u001b[J').slice(0, -1);
    assert.equal(frames.length, 3);
    for (const [index, frame] of frames.entries()) {
      // Every frame after the first goes back up to where the one before began.
      const up = /\p{Cc}\[(\d+)A/u.exec(frame)?.[1];
      const lines = frame
        .split('\u001b[K\n')
        .slice(0, -1)
        .map((text) => text.replace(/\p{Cc}\[\d*[mA]/gu, ''));
      assert.ok(lines.length <= 7, `${lines.length} lines`);
      if (index > 0) assert.equal(Number(up), lines.length);
      for (const text of lines) assert.ok(text.split('\n').at(-1)!.length <= 40, text);
      assert.match(lines[1]!, /^All +\d/);
    }
    assert.ok(stdout.includes('\u001b[1m'));
  });

  it('shows no colour against the wish of NO_COLOR', async () => {
    const { stdout } = await terminal(
      `NO_COLOR=1 ${process.execPath} ${MAIN} count eth0 -n 1 -i 10ms`,
      80,
      24,
    ).ended;
    assert.match(stdout, /After/);
    assert.doesNotMatch(stdout, /\p{Cc}\[\d+m/u);
  });

  it('detaches when the terminal is closed', async () => {
    const running = terminal(`${process.execPath} ${MAIN} count eth0 -i 20ms`, 80, 24);
    await running.until(({ stdout }) => stdout.includes('All'), 'it drew');
    assert.equal(attached().length, 1);
    running.child.kill('SIGKILL');
    for (let tries = 0; attached().length > 0 && tries < 300; tries++) await sleep(10);
    assert.deepEqual(attached(), []);
  });

  it('takes Ctrl-C', async () => {
    const running = terminal(`${process.execPath} ${MAIN} count eth0 -i 20ms; echo "code $?"`, 80, 24);
    await running.until(({ stdout }) => stdout.includes('All'), 'it drew');
    running.child.stdin!.write('\u0003');
    const { stdout } = await running.ended;
    assert.match(stdout, /All/);
    assert.deepEqual(attached(), []);
  });
});
