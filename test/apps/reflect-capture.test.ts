import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { openCapture } from '../../src/apps/capture.ts';
import { Dropper } from '../../src/apps/drop.ts';
import { Reflector } from '../../src/apps/reflect.ts';
import { REWRITES, rewrites } from '../../src/apps/reflect-rewrite.ts';
import { Sender } from '../../src/apps/send.ts';
import type { TrafficReport } from '../../src/apps/traffic.ts';
import { Lab } from '../../src/lab/index.ts';
import { buildPacket, CaptureReader, describePacket, type PacketLayer } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { type Ended, errorLine, MAIN, Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-capture-'));
const lab = Lab.create({ hosts: ['client', 'server'], wires: [{ between: ['client', 'server'] }] });
const client = lab.host('client');
const server = lab.host('server');
after(() => {
  lab.destroy();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});

const attached = (): number => server.net.links.get('eth0').xdp.length;

/** Starts the command inside the server. */
function start(...args: string[]): Running {
  return new Running(server.spawn(process.execPath, [MAIN, ...args]));
}

async function begun(...args: string[]): Promise<Running> {
  const running = start(...args);
  await running.until(({ stderr }) => stderr.includes(' on eth0'), 'it began');
  return running;
}

const ping = (address: string, count: number, ...more: string[]): string =>
  client.exec('ping', ['-c', String(count), '-i', '0.01', '-W', '5', ...more, address]);

/** Sends so many UDP datagrams to port 9 and yields when they are out. */
async function sendUdp(count: number, rate: number | undefined, port = 9): Promise<void> {
  const payload = { kind: 'udp', port, payload: new Uint8Array(40) } as const;
  const options = {
    interface: 'eth0',
    netns: client.namespace,
    destination: '10.77.0.2',
    payload,
    count,
    rate,
  };
  await using sender = await Sender.open({ ...options, engine: 'xsk' });
  for await (const _ of sender.reports(1000));
}

before(() => {
  // On a veth unfinished checksums travel as they are, for the stack at the other end to finish; we are none.
  client.net.ethtool.setFeatures('eth0', { 'tx-checksum-ip-generic': false });
  client.net.neighbours.replace('eth0', '10.77.0.2', server.net.links.get('eth0').address!);
});

describe('the rewriting of frames', () => {
  const eth = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
  const v4 = { layer: 'ipv4', source: '192.0.2.1', destination: '192.0.2.2' } as const;
  const v6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' } as const;
  const udp = { layer: 'udp', sourcePort: 4000, destinationPort: 7 } as const;
  const echo = { type: 8, code: 0, identifier: 5, sequence: 6 };
  const text = new TextEncoder().encode('hello');

  function rewritten(
    name: (typeof REWRITES)[number],
    layers: readonly PacketLayer[],
  ): Uint8Array | undefined {
    const frame = buildPacket(layers);
    const room = new Uint8Array(frame.length + 64);
    room.set(frame, 32);
    const length = rewrites[name](room, 32, frame.length, false);
    return length === 0 ? undefined : room.slice(32, 32 + length);
  }

  it('swaps addresses and ports, and leaves what is right right', () => {
    const back = { ...eth, source: eth.destination, destination: eth.source };
    for (const ip of [v4, v6]) {
      const returned = { ...ip, source: ip.destination, destination: ip.source };
      const swapped = { ...udp, sourcePort: 7, destinationPort: 4000 };
      const tags = [{ layer: 'vlan', id: 7 }] as const;
      assert.deepEqual(
        rewritten('swap-ip', [eth, ...tags, ip, udp, text]),
        buildPacket([back, ...tags, returned, swapped, text]),
      );
      assert.deepEqual(rewritten('swap-mac', [eth, ip, udp, text]), buildPacket([back, ip, udp, text]));
      const all = { ...eth, destination: 'ff:ff:ff:ff:ff:ff' };
      assert.deepEqual(rewritten('broadcast', [eth, ip, udp, text]), buildPacket([all, ip, udp, text]));
    }
  });

  it('answers echo requests as a host does, and nothing else', () => {
    const back = { ...eth, source: eth.destination, destination: eth.source };
    const request4: PacketLayer = { layer: 'icmp', ...echo };
    const reply4: PacketLayer = { layer: 'icmp', ...echo, type: 0 };
    const turned4 = { ...v4, source: v4.destination, destination: v4.source };
    assert.deepEqual(
      rewritten('echo', [eth, v4, request4, text]),
      buildPacket([back, turned4, reply4, text]),
    );
    assert.equal(rewritten('echo', [eth, v4, reply4, text]), undefined);
    assert.equal(rewritten('echo', [eth, v4, udp, text]), undefined);
    assert.equal(rewritten('echo', [eth, { ...v4, moreFragments: true }, request4, text]), undefined);
    const everybody = { ...eth, destination: 'ff:ff:ff:ff:ff:ff' };
    assert.equal(rewritten('echo', [everybody, v4, request4, text]), undefined);
  });

  it('stays within the frame, whatever is in it', () => {
    const kinds = fc.constantFrom(...REWRITES);
    const types = fc.constantFrom(
      [0x08, 0x00, 0x45],
      [0x08, 0x00, 0x4f],
      [0x86, 0xdd, 0x60],
      [0x81, 0, 0, 1, 8, 0, 0x45],
    );
    fc.assert(
      fc.property(kinds, types, fc.uint8Array({ maxLength: 90 }), (name, type, noise) => {
        const frame = Uint8Array.from([...noise.subarray(0, 12), ...type, ...noise.subarray(12)]);
        const room = new Uint8Array(frame.length + 200).fill(0xee);
        room.set(frame, 100);
        const length = rewrites[name](room, 100, frame.length, false);
        assert.ok(length === 0 || length === frame.length);
        assert.ok(
          room.subarray(0, 100).every((byte) => byte === 0xee),
          'before the frame',
        );
        assert.ok(
          room.subarray(100 + frame.length).every((byte) => byte === 0xee),
          'behind the frame',
        );
      }),
    );
  });
});

describe('barewire reflect', () => {
  it('answers pings of a kernel, over IPv4 and IPv6, and leaves the rest to the host', async () => {
    const running = await begun('reflect', 'eth0', '--rewrite', 'echo', '--json');
    // The host's own answers are off: who answers is the reflector.
    server.sysctl('net.ipv4.icmp_echo_ignore_all', 1);
    server.sysctl('net.ipv6.icmp.echo_ignore_all', 1);
    client.net.neighbours.delete('eth0', '10.77.0.2');
    for (const [address, ...size] of [['10.77.0.2'], ['fd00:77::2'], ['10.77.0.2', '-s', '1400']] as const) {
      assert.match(ping(address!, 20, ...size), /20 packets transmitted, 20 received, 0% packet loss/);
    }
    server.sysctl('net.ipv4.icmp_echo_ignore_all', 0);
    server.sysctl('net.ipv6.icmp.echo_ignore_all', 0);
    running.child.kill('SIGTERM');
    const { stdout, signal } = await running.ended;
    assert.equal(signal, 'SIGTERM');
    const last = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as TrafficReport;
    assert.deepEqual([last.done, last.rxPackets, last.txPackets, Number(last.dropped)], [true, 60, 60, 0]);
    assert.equal(attached(), 0);
  });

  it('is a UDP echo service with swap-ip, and passes what is not meant', async () => {
    const running = await begun('reflect', 'eth0', '-w', 'swap-ip', '--protocol', 'udp', '--port', '7');
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      let back = 0;
      socket.on('message', (text, from) => {
        if (String(text) === 'packet ' + back && from.port === 7 && from.address === '10.77.0.2') back++;
        if (back === 50) { console.log('all'); socket.close(); } else socket.send('packet ' + back, 7, '10.77.0.2');
      });
      socket.send('packet 0', 7, '10.77.0.2');`;
    const asked = new Running(client.spawn(process.execPath, ['-e', script]));
    assert.equal((await asked.ended).stdout, 'all\n');
    assert.match(ping('10.77.0.2', 3), /3 received/);
    running.child.kill('SIGINT');
    const { stdout } = await running.ended;
    assert.match(stdout, /^Received {2}50 packets.*\nSent {6}50 packets.*\nDropped {3}0$/m);
  });

  it('broadcasts what comes in, as many as came', async () => {
    const reflector = await Reflector.open({
      interface: 'eth0',
      netns: server.namespace,
      rewrite: 'broadcast',
      match: { protocols: [17], ports: [9] },
    });
    await using capture = await openCapture({ interface: 'eth0', netns: client.namespace });
    const stop = new AbortController();
    let broadcasts = 0;
    const capturing = capture.run(
      (bytes, at) => {
        if (bytes.subarray(at, at + 6).every((byte) => byte === 0xff)) broadcasts++;
        if (broadcasts === 1000) stop.abort();
      },
      { signal: stop.signal, duration: 10_000 },
    );
    let last: TrafficReport | undefined;
    const reflecting = (async () => {
      for await (const report of reflector.reports({ signal: stop.signal, interval: 50 })) last = report;
    })();
    await sendUdp(1000, 2000);
    await Promise.all([capturing, reflecting]);
    await reflector.close();
    assert.equal(broadcasts, 1000);
    assert.deepEqual([last?.rxPackets, last?.txPackets], [1000, 1000]);
  });

  it('brings every numbered frame back, once and unaltered but for its MACs', async () => {
    const count = 4000;
    const frames = Array.from({ length: count }, (_, i) => {
      const frame = new Uint8Array(60 + (i % 1400)).fill(i);
      frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
      new DataView(frame.buffer).setUint32(16, i);
      return frame;
    });
    const match = { etherTypes: [0x88b5] };
    await using reflector = await Reflector.open({
      interface: 'eth0',
      netns: server.namespace,
      rewrite: 'swap-mac',
      match,
    });
    await using capture = await openCapture({ interface: 'eth0', netns: client.namespace, match });
    const stop = new AbortController();
    const seen = new Uint8Array(count);
    const returned = new Uint8Array(1600);
    const capturing = capture.run(
      (bytes, at, captured, length) => {
        assert.equal(captured, length);
        returned.set(bytes.subarray(at, at + captured));
        returned.copyWithin(1590, 0, 6);
        returned.copyWithin(0, 6, 12);
        returned.copyWithin(6, 1590, 1596);
        const number = new DataView(returned.buffer).getUint32(16);
        assert.deepEqual(returned.subarray(0, captured), frames[number]);
        seen[number]!++;
      },
      { count, duration: 20_000, signal: stop.signal },
    );
    let last: TrafficReport | undefined;
    const reflecting = (async () => {
      for await (const report of reflector.reports({ signal: stop.signal, interval: 50 })) last = report;
    })();
    await using sender = await Sender.open({
      interface: 'eth0',
      netns: client.namespace,
      payload: { kind: 'frames', frames },
      count,
      rate: 2000,
    });
    for await (const _ of sender.reports(1000));
    await capturing;
    stop.abort();
    await reflecting;
    assert.ok(seen.every((times) => times === 1));
    assert.deepEqual([last?.rxPackets, last?.txPackets, last?.dropped], [count, count, 0n]);
  });

  it('goes with kill -9, and the next start works at once', async () => {
    const running = await begun('reflect', 'eth0');
    assert.equal(attached(), 1);
    running.child.kill('SIGKILL');
    await running.ended;
    for (let tries = 0; attached() > 0 && tries < 200; tries++) await sleep(10);
    assert.equal(attached(), 0);
    const next = await begun('reflect', 'eth0', '-d', '50ms');
    assert.equal((await next.ended).code, 0);
  });

  it('ends with a line when its interface is deleted, and waits while it is down', async () => {
    server.net.links.create({ kind: 'veth', name: 'bwx', peer: { name: 'bwy' } });
    for (const name of ['bwx', 'bwy']) server.net.links.set(name, { up: true });
    const running = start('reflect', 'bwx');
    await running.until(({ stderr }) => stderr.includes(' on bwx'), 'it began');
    server.net.links.set('bwx', { up: false });
    await running.until(({ stderr }) => stderr.includes('bwx went down; going on'), 'it noticed');
    server.net.links.set('bwx', { up: true });
    await running.until(({ stderr }) => stderr.includes('bwx is up again'), 'it noticed');
    server.net.links.delete('bwx');
    const { code, stderr } = await running.ended;
    assert.equal(code, 1);
    assert.match(stderr, /barewire: the interface bwx went away\n$/);
  });
});

describe('barewire drop', () => {
  it('takes and counts what is meant, and the host does not get it', async () => {
    await using dropper = await Dropper.open({
      interface: 'eth0',
      netns: server.namespace,
      match: { protocols: [17], ports: [9] },
    });
    const sending = sendUdp(2000, 4000);
    let last: TrafficReport | undefined;
    for await (const report of dropper.reports({ count: 2000, duration: 10_000, interval: 50 }))
      last = report;
    await sending;
    assert.deepEqual([last?.rxPackets, last?.rxBytes, last?.dropped], [2000, 2000 * 82, 0n]);
    assert.match(ping('10.77.0.2', 2), /2 received/);
  });

  it('refuses a second owner and a queue that is none, in one line each', async () => {
    await using dropper = await Dropper.open({ interface: 'eth0', netns: server.namespace });
    assert.equal(dropper.open.name, 'eth0');
    const refused = async (...args: string[]): Promise<[number | null, string]> => {
      const ended: Ended = await start(...args).ended;
      return [ended.code, errorLine(ended)];
    };
    const [code, line] = await refused('drop', 'eth0');
    assert.equal(code, 1);
    assert.match(
      line,
      /^(queue 0 of eth0 belongs to another AF_XDP socket|eth0 has another owner's XDP program)/,
    );
    assert.match((await refused('drop', 'eth0', '-q', '5'))[1], /^eth0 has no queue 5/);
    assert.match((await refused('capture', 'eth0'))[1], /^eth0 has another owner's XDP program/);
    assert.deepEqual(await refused('capture', 'eth0', '-w', '/none/x.pcapng'), [
      1,
      'cannot write to /none/x.pcapng: ENOENT',
    ]);
    assert.equal((await refused('drop', 'eth0', '--protocol', 'qux'))[0], 2);
    assert.equal((await refused('reflect', 'eth0', '--rewrite', 'swap'))[0], 2);
    assert.equal((await refused('capture', 'eth0', '-s', '0'))[0], 2);
  });
});

describe('barewire capture', () => {
  for (const steal of [false, true]) {
    it(`writes what tshark reads: ${steal ? 'and takes it' : 'and the host gets it all the same'}`, async () => {
      const path = join(folder, `${steal}.pcapng`);
      const more = steal ? ['--steal'] : [];
      const running = await begun('capture', 'eth0', '-w', path, '--protocol', 'icmp', '-n', '20', ...more);
      const start = Date.now() / 1000;
      const said = client.spawn('ping', ['-c', '20', '-i', '0.01', '-W', '1', '-s', '700', '10.77.0.2']);
      const pinged = await new Running(said).ended;
      assert.match(pinged.stdout, steal ? / 0 received/ : / 20 received/);
      const { code, stderr } = await running.ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /20 captured, 0 dropped/);
      const fields = [
        'frame.len',
        'icmp.seq',
        'ip.checksum.status',
        'icmp.checksum.status',
        'frame.time_epoch',
      ];
      const shown = client.exec(tool('tshark'), [
        ...['-r', path, '-T', 'fields', '-o', 'ip.check_checksum:TRUE'],
        ...fields.flatMap((field) => ['-e', field]),
      ]);
      const lines = shown
        .trimEnd()
        .split('\n')
        .map((line) => line.split('\t'));
      const wanted = Array.from({ length: 20 }, (_, i) => ['742', String(i + 1), '1', '1']);
      assert.deepEqual(
        lines.map((line) => line.slice(0, 4)),
        wanted,
      );
      for (const [i, line] of lines.entries()) {
        const time = Number(line[4]);
        assert.ok(Math.abs(time - start) < 5, `${time} is about ${start}`);
        if (i > 0) assert.ok(time >= Number(lines[i - 1]![4]));
      }
    });
  }

  it('cuts at the snap length and says how long packets were; counts stand in the file', async () => {
    const path = join(folder, 'cut.pcapng');
    const running = await begun(
      'capture',
      'eth0',
      '-w',
      path,
      '--protocol',
      'icmp',
      '-s',
      '60',
      '-n',
      '3',
      '--json',
    );
    ping('10.77.0.2', 3, '-s', '1000');
    const { stdout } = await running.ended;
    const summary = { interface: 'eth0', mode: 'driver', captured: 3, received: 3, dropped: 0 };
    assert.deepEqual(JSON.parse(stdout), summary);
    const reader = new CaptureReader();
    const packets = [...reader.push(readFileSync(path))];
    reader.end();
    assert.deepEqual(
      packets.map(({ bytes, originalLength }) => [bytes.length, originalLength]),
      Array.from({ length: 3 }, () => [60, 1042]),
    );
    const [described] = reader.interfaces;
    assert.deepEqual([described?.name, described?.snapLength], ['eth0', 60]);
    assert.deepEqual([described?.statistics?.received, described?.statistics?.dropped], [3n, 0n]);
  });

  it('gets packets of every length whole', async () => {
    await using capture = await openCapture({
      interface: 'eth0',
      netns: server.namespace,
      match: { protocols: [1] },
    });
    const lengths = [1, 30, 86, 87, 214, 470, 471, 982, 983, 1400, 1472];
    const got: number[] = [];
    const running = capture.run(
      (bytes, at, captured, length) => {
        assert.equal(captured, length);
        assert.match(
          describePacket(bytes, at, at + captured),
          /^10\.77\.0\.1 > 10\.77\.0\.2 ICMP echo request/,
        );
        // What ping fills its payload with behind the time stamp: bytes that count up.
        if (captured > 60) assert.equal(bytes[at + captured - 1], (captured - 1 - 42) & 0xff);
        got.push(captured - 42);
      },
      { count: lengths.length, duration: 10_000 },
    );
    for (const length of lengths) {
      const child = client.spawn('ping', ['-c', '1', '-w', '5', '-s', String(length), '10.77.0.2']);
      await new Running(child).ended;
    }
    await running;
    assert.deepEqual(got, lengths);
    assert.deepEqual(capture.statistics(), { received: BigInt(lengths.length), dropped: 0n });
  });

  it('counts what the ring had no room for, and every packet once', async () => {
    await using capture = await openCapture({
      interface: 'eth0',
      netns: server.namespace,
      match: { protocols: [17], ports: [9] },
      ringSize: 4096,
    });
    // Nobody reads meanwhile.
    await sendUdp(500, 4000);
    let captured = 0n;
    await capture.run(() => void captured++, { duration: 50 });
    const { received, dropped } = capture.statistics();
    assert.equal(received, 500n);
    assert.ok(captured > 0n && dropped > 0n);
    assert.equal(captured + dropped, 500n);
  });

  it('shows lines without a file, and writes to a pipe with -', async () => {
    const shown = await begun('capture', 'eth0', '--protocol', 'icmp', '-n', '2');
    ping('10.77.0.2', 2);
    assert.match(
      (await shown.ended).stdout,
      /^\S+Z 10\.77\.0\.1 > 10\.77\.0\.2 ICMP echo request .*\n\S+Z 10\.77.*\n$/,
    );
    const piped = server.spawn('sh', [
      '-c',
      `'${process.execPath}' '${MAIN}' capture eth0 --protocol icmp -n 2 -w - | '${tool('tshark')}' -r - -T fields -e icmp.seq`,
    ]);
    const running = new Running(piped);
    await running.until(({ stderr }) => stderr.includes(' on eth0'), 'it began');
    ping('10.77.0.2', 2);
    assert.equal((await running.ended).stdout, '1\n2\n');
  });
});
