import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCapture } from '../../src/apps/capture.ts';
import { Sender, type SendOptions, type SendReport } from '../../src/apps/send.ts';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { PcapngWriter, PcapWriter } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { type Ended, errorLine, MAIN, Running } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-send-'));
const lab = Lab.create({
  hosts: ['client', 'router', 'server'],
  wires: [{ between: ['client', 'server'], queues: 2 }, { between: ['client', 'router'] }],
});
const client = lab.host('client');
const server = lab.host('server');
const router = lab.host('router');
after(() => {
  lab.destroy();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});

const attached = (host: LabHost): number => host.net.links.get('eth0').xdp.length;
const received = (host: LabHost): bigint => host.net.links.get('eth0').stats!.rxPackets;

/** Runs the command inside the client. */
function barewire(...args: string[]): Promise<Ended> {
  return new Running(client.spawn(process.execPath, [MAIN, ...args])).ended;
}

/** The last of the reports of a whole run. */
async function send(
  options: Omit<SendOptions, 'interface' | 'netns'>,
): Promise<SendReport & { engine: string }> {
  await using sender = await Sender.open({ interface: 'eth0', netns: client.namespace, ...options });
  let last: SendReport | undefined;
  for await (const report of sender.reports(50)) last = report;
  assert.ok(last?.done);
  return { ...last, engine: sender.engine.kind };
}

/** A dnsmasq in the server that answers for `test` by itself; its counters come in its log. */
async function dnsmasq(): Promise<Running> {
  const options = [
    '--no-daemon',
    '--conf-file=/dev/null',
    '--no-hosts',
    '--no-resolv',
    '--user=root',
    '--pid-file=',
    '--cache-size=0',
    '--local=/test/',
    '--address=/four.test/192.0.2.7',
    '--address=/six.test/2001:db8::7',
  ];
  const running = new Running(server.spawn(tool('dnsmasq'), options));
  await running.until(({ stderr }) => stderr.includes('started'), 'dnsmasq started');
  return running;
}

/** How many queries dnsmasq says it has answered. */
async function answered(running: Running): Promise<number> {
  const before = running.stderr.length;
  running.child.kill('SIGUSR1');
  const count = (text: string): RegExpExecArray | null => /queries answered locally (\d+)/.exec(text);
  await running.until(({ stderr }) => count(stderr.slice(before)) !== null, 'it told its counters');
  return Number(count(running.stderr.slice(before))![1]);
}

describe('send dns', () => {
  let dns: Running;
  before(async () => {
    dns = await dnsmasq();
  });
  after(() => {
    dns.child.kill();
    return dns.ended;
  });

  it('is answered by dnsmasq, and counts what dnsmasq counts, with all of it answered', async () => {
    const before = await answered(dns);
    const questions = [
      { name: 'four.test', type: 'A' as const },
      { name: 'nothing.test', type: 'A' as const },
      { name: 'six.test', type: 'AAAA' as const },
      { name: 'elsewhere.example', type: 'A' as const },
    ];
    const report = await send({
      destination: '10.77.0.2',
      payload: { kind: 'dns', questions },
      rate: 500,
      count: 600,
    });
    assert.equal(report.engine, 'xsk');
    const { answers } = report;
    assert.deepEqual([report.sent, answers?.answered, answers?.lost, answers?.waiting], [600, 600, 0, 0]);
    assert.deepEqual(answers?.codes, { NOERROR: 300, NXDOMAIN: 150, REFUSED: 150 });
    assert.equal((await answered(dns)) - before, 600);
    assert.ok(answers !== undefined && answers.latency !== undefined);
    const { min, p50, p90, p99, p999, max } = answers.latency;
    assert.ok(0 < min && min <= p50 && p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max && max < 2000);
    assert.equal(
      answers.histogram.reduce((sum, bar) => sum + bar.count, 0),
      600,
    );
    assert.equal(attached(client), 0);
  });

  it('does so over IPv6, with random labels, from one port with IDs in order', async () => {
    const report = await send({
      destination: 'fd00:77::2',
      payload: {
        kind: 'dns',
        questions: [{ name: 'six.test', type: 'AAAA' }],
        randomLabel: true,
        dnssec: true,
      },
      ports: [50_000, 50_000],
      order: 'sequential',
      rate: 500,
      count: 250,
    });
    assert.deepEqual([report.answers?.answered, report.answers?.codes], [250, { NOERROR: 250 }]);
  });

  it('sends from a whole network, whose addresses the kernel answers for', async () => {
    client.net.routes.add({ destination: '10.77.0.128/26', type: 'local', link: 'lo', table: 'local' });
    const report = await send({
      destination: '10.77.0.2',
      source: '10.77.0.128/26',
      payload: { kind: 'dns', questions: [{ name: 'four.test', type: 'A' }] },
      rate: 640,
      count: 640,
      order: 'sequential',
    });
    // Until the server has the MACs of all 64, it may lose what waits for them.
    assert.ok(report.answers !== undefined && report.answers.answered >= 500, `${report.answers?.answered}`);
    const known = server.net.neighbours.list({ link: 'eth0', version: 4 });
    const sources = known.filter(({ address }) => Number(address.split('.')[3]) >= 128);
    assert.equal(sources.length, 64);
  });

  it('leaves the host its own queries while it runs', async () => {
    await using sender = await Sender.open({
      interface: 'eth0',
      netns: client.namespace,
      destination: '10.77.0.2',
      payload: { kind: 'dns', questions: [{ name: 'four.test', type: 'A' }] },
      rate: 300,
      count: 300,
    });
    const script = `
      const { Resolver } = require('node:dns').promises;
      const resolver = new Resolver();
      resolver.setServers(['10.77.0.2']);
      Promise.all(Array.from({ length: 50 }, () => resolver.resolve4('four.test'))).then((all) => console.log(all.flat().join()));`;
    let own: Running | undefined;
    let last: SendReport | undefined;
    for await (const report of sender.reports(100)) {
      own ??= new Running(client.spawn(process.execPath, ['-e', script]));
      last = report;
    }
    assert.equal((await own!.ended).stdout.trim(), Array.from({ length: 50 }, () => '192.0.2.7').join());
    assert.deepEqual([last?.answers?.answered, last?.answers?.unexpected], [300, 0]);
  });

  it('counts as lost what nobody answers, after the time-out', async () => {
    const report = await send({
      destination: '10.77.0.2',
      payload: { kind: 'dns', questions: [{ name: 'four.test', type: 'A' }], port: 5353 },
      count: 10,
      timeout: 50,
    });
    assert.deepEqual(
      [report.answers?.answered, report.answers?.lost, report.answers?.latency],
      [0, 10, undefined],
    );
  });

  it('says so when a rate cannot be held', async () => {
    const { code, stdout, stderr } = await barewire(
      ...['send', 'dns', 'eth0', '--dst-ip', '10.77.0.2', '--domain', 'four.test'],
      ...['-r', '50M', '-d', '300ms', '--timeout', '100ms', '--json'],
    );
    assert.equal(code, 0, stderr);
    const last = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as SendReport;
    assert.equal(last.held, false);
    assert.match(stderr, /The rate of 50\.0 M\/s was not held: .* went out\.\n$/);
  });

  it('tells people in a page, with a histogram', async () => {
    writeFileSync(join(folder, 'names'), '# names\nfour.test\nsix.test aaaa\n\n');
    const { code, stdout, stderr } = await barewire(
      ...[
        'send',
        'dns',
        'eth0',
        '--dstip',
        '10.77.0.2',
        '--queries',
        join(folder, 'names'),
        '-n',
        '100',
        '-r',
        '400',
      ],
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^Sending DNS queries from 10\.77\.0\.1 to 10\.77\.0\.2 on eth0 by AF_XDP, queue 0/);
    assert.match(stdout, /^Sent {6}100 packets, .* \(400 \/s asked for, (not )?held\)$/m);
    assert.match(stdout, /^Answered {2}100 \(100\.00 %\)$/m);
    assert.match(stdout, /^NOERROR {3}100$/m);
    assert.match(stdout, / {10}p50 .*, p90 .*, p99 .*, p99\.9 /m);
    assert.match(stdout, /< [\d.]+ µs {2}█/);
  });

  it('stops at a signal, with a summary, and leaves nothing behind; neither does kill -9', async () => {
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const args = [
        'send',
        'dns',
        'eth0',
        '--dst-ip',
        '10.77.0.2',
        '--domain',
        'four.test',
        '-r',
        '100',
        '-i',
        '50ms',
      ];
      const running = new Running(client.spawn(process.execPath, [MAIN, ...args]));
      await running.until(({ stdout }) => /[1-9]\d* answered/.test(stdout), 'it was answered');
      assert.equal(attached(client), 1);
      running.child.kill(signal);
      const ended = await running.ended;
      if (signal === 'SIGINT') assert.match(ended.stdout, /^Answered/m);
      for (let tries = 0; attached(client) > 0 && tries < 200; tries++) await sleep(10);
      assert.equal(attached(client), 0, signal);
    }
    // And the next start works at once.
    const report = await send({
      destination: '10.77.0.2',
      payload: { kind: 'dns', questions: [{ name: 'four.test', type: 'A' }] },
      count: 10,
      rate: 1000,
    });
    assert.equal(report.answers?.answered, 10);
  });
});

describe('send udp', () => {
  const payload = { kind: 'udp', port: 9, payload: new Uint8Array(30) } as const;

  it('arrives whole at the rate, by AF_XDP', async () => {
    const before = received(server);
    const report = await send({
      destination: '10.77.0.2',
      payload,
      rate: 20_000,
      count: 10_000,
      engine: 'xsk',
    });
    assert.equal(report.sent, 10_000);
    assert.ok(report.averagePerSecond < 20_500, `${report.averagePerSecond} a second`);
    // A ring of a veth holds 256 frames; a receiver that gets no CPU for a while loses some.
    assert.ok(received(server) - before >= 9000n);
  });

  it('puts two VLAN tags in front, which a capture finds', async () => {
    await using capture = await openCapture({
      interface: 'eth0',
      netns: server.namespace,
      match: { vlans: [7], protocols: [17], ports: [9] },
    });
    const seen: string[] = [];
    const capturing = capture.run(
      (bytes, at, captured) =>
        void seen.push(Buffer.from(bytes.subarray(at + 12, at + captured)).toString('hex')),
      { count: 5, duration: 10_000 },
    );
    await send({ destination: '10.77.0.2', payload, vlans: [7, 9], count: 5, rate: 500 });
    await capturing;
    assert.equal(seen.length, 5);
    for (const frame of seen) assert.match(frame, /^88a80007810000090800/);
  });

  it('says what keeps the live engine from it, and takes the other one by itself', async () => {
    const auto = await send({ destination: '10.77.0.2', payload, count: 100 });
    assert.equal(auto.engine, 'xsk');
    await assert.rejects(send({ destination: '10.77.0.2', payload, count: 1, engine: 'live' }), {
      code: 'BW_UNSUPPORTED',
      message: /the other end of eth0 takes redirected frames only with an XDP program or GRO/,
    });
  });

  it('goes by live frames where the other end takes them, as many as were asked for, with right checksums', async () => {
    server.net.ethtool.setFeatures('eth0', { 'rx-gro': true });
    const sink = server.exec(process.execPath, [
      '-e',
      `process.stdout.write(require('node:fs').readFileSync('/proc/net/snmp', 'utf8'))`,
    ]);
    const sums = (text: string): number => {
      const [names, values] = text.split('\n').filter((line) => line.startsWith('Udp:'));
      return Number(values!.split(' ')[names!.split(' ').indexOf('InCsumErrors')]);
    };
    const before = received(server);
    const report = await send({
      destination: '10.77.0.2',
      payload,
      count: 300_000,
      source: '10.77.0.128/26',
    });
    assert.equal(report.engine, 'live');
    assert.equal(report.sent, 300_000);
    const arrived = received(server) - before;
    // The ring of a veth may be full; what it drops nobody gets.
    assert.ok(arrived > 100_000n && arrived <= 300_100n, `${arrived}`);
    const later = server.exec(process.execPath, [
      '-e',
      `process.stdout.write(require('node:fs').readFileSync('/proc/net/snmp', 'utf8'))`,
    ]);
    assert.equal(sums(later), sums(sink), 'no checksum was wrong');
  });

  it('keeps a rate by live frames too', async () => {
    const before = received(server);
    const report = await send({
      destination: '10.77.0.2',
      payload,
      rate: 10_000,
      count: 5000,
      engine: 'live',
    });
    assert.equal(report.sent, 5000);
    assert.ok(received(server) - before >= 4000n);
    assert.ok(report.elapsed >= 400, `${report.elapsed} ms`);
  });

  it('finds the router on the way, and its MAC', async () => {
    client.net.routes.add({ destination: '198.51.100.0/24', via: '10.77.1.2' });
    await using sender = await Sender.open({
      interface: 'eth1',
      netns: client.namespace,
      destination: '198.51.100.9',
      payload,
      count: 5,
    });
    assert.equal(sender.path?.via, '10.77.1.2');
    const mac = Buffer.from(sender.path?.destinationMac ?? []).toString('hex');
    assert.equal(mac, router.net.links.get('eth0').address!.replaceAll(':', ''));
  });

  it('ends with a typed error when the interface goes down under load, and when it is deleted', async () => {
    client.net.links.create({ kind: 'veth', name: 'bwx', peer: { name: 'bwy' } });
    for (const name of ['bwx', 'bwy']) client.net.links.set(name, { up: true });
    const options = { interface: 'bwx', netns: client.namespace, payload, engine: 'xsk' } as const;
    const path = { destination: '192.0.2.9', source: '192.0.2.1', destinationMac: '02:00:00:00:00:09' };
    for (const [code, change] of [
      ['BW_INTERFACE_DOWN', () => client.net.links.set('bwx', { up: false })],
      ['BW_INTERFACE_GONE', () => client.net.links.delete('bwx')],
    ] as const) {
      client.net.links.set('bwx', { up: true });
      await using sender = await Sender.open({ ...options, ...path });
      await assert.rejects(
        async () => {
          for await (const report of sender.reports(20)) if (report.sent > 100) change();
        },
        { code },
      );
    }
  });
});

describe('send raw and send pcap', () => {
  const frames = [60, 64, 100, 1514].map((length, i) => {
    const frame = new Uint8Array(length).fill(i + 1);
    frame.set([2, 0x77, 0, 0, 0, 2, 2, 0x77, 0, 0, 0, 1, 0x88, 0xb5]);
    return frame;
  });

  /** What arrives at the server with that EtherType, seen by tshark. */
  async function sniff(count: number, task: () => Promise<Ended>): Promise<{ seen: string[]; ended: Ended }> {
    const args = [
      '-i',
      'eth0',
      '-c',
      String(count),
      '-f',
      'ether proto 0x88b5',
      '-T',
      'fields',
      '-e',
      'data',
      '-l',
    ];
    const tshark = new Running(server.spawn(tool('tshark'), args));
    await tshark.until(({ stderr }) => stderr.includes('Capturing on'), 'tshark captured');
    const ended = await task();
    const { stdout } = await tshark.ended;
    return { seen: stdout.trimEnd().split('\n'), ended };
  }

  const data = frames.map((frame) => Buffer.from(frame.subarray(14)).toString('hex'));

  it('send the frames of a hexadecimal file, as tshark sees them', async () => {
    const text = frames.map((frame) =>
      Buffer.from(frame)
        .toString('hex')
        .replaceAll(/(..)(?=.)/g, '$1:'),
    );
    writeFileSync(join(folder, 'frames.txt'), `# four frames\n${text.join('\n')}\n`);
    const { seen, ended } = await sniff(4, () => barewire('send', 'raw', join(folder, 'frames.txt'), 'eth0'));
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(seen, data);
  });

  it('send the frames of captures, twice through, in order', async () => {
    const pcap = new PcapWriter();
    const pcapng = new PcapngWriter();
    pcapng.addInterface();
    for (const frame of frames) {
      pcap.packet(frame, 0, frame.length, 1n);
      pcapng.packet(frame, 0, frame.length, 1n);
    }
    for (const [name, writer] of [
      ['a.pcap', pcap],
      ['a.pcapng', pcapng],
    ] as const) {
      writeFileSync(join(folder, name), writer.take());
      const { seen, ended } = await sniff(8, () =>
        barewire('send', 'pcap', join(folder, name), 'eth0', '--loops', '2', '--rate', '200'),
      );
      assert.equal(ended.code, 0, ended.stderr);
      assert.deepEqual(seen, [...data, ...data]);
    }
  });
});

describe('what send refuses', () => {
  const to = ['--dst-ip', '10.77.0.2'];
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const ask = (...args: string[]): string[] => ['dns', 'eth0', ...to, ...args];
  const cut = (): Uint8Array => {
    const writer = new PcapWriter({ linkType: 101 });
    writer.packet(new Uint8Array(20), 0, 20, 1n);
    return writer.take();
  };
  const cases: readonly [args: () => string[], code: number, message: RegExp][] = [
    [
      () => ask('--domain', `${'a'.repeat(64)}.test`),
      2,
      /^'a{64}\.test' has a label of 64 bytes; a label has 1 to 63/,
    ],
    [() => ask('--domain', `${'abcdefg.'.repeat(32)}`), 2, /takes 257 bytes; a name has at most 255/],
    [() => ask('--domain', 'a..b'), 2, /^'a\.\.b' has a label of 0 bytes/],
    [() => ask('--domain', 'a', '--type', 'QUX'), 2, /^'QUX' is not a DNS record type/],
    [() => ask(), 2, /^there is nothing to ask for; give --domain NAME or --queries FILE$/],
    [() => ask('--domain', 'a', '--queue', '2'), 1, /^eth0 has no queue 2; it has 2, numbers 0 to 1$/],
    [() => ask('--domain', 'a', '--src-mac', '02:00'), 2, /^--src-mac: '02:00' is not a MAC address/],
    [() => ask('--domain', 'a', '--src-ip', '10.1'), 2, /^--src-ip: '10\.1' is not an IP prefix/],
    [() => ask('--domain', 'a', '--src-ip', 'fd00::1'), 2, /^the source fd00::1 is IPv6, the destination 10/],
    [() => ask('--domain', 'a', '--src-port', '9-3'), 2, /^--src-port: '9-3' is not a port/],
    [
      () => ask('--domain', 'a', '--engine', 'live'),
      1,
      /^the live engine cannot do this: it receives nothing/,
    ],
    [() => ask('--queries', '/bin/ls'), 1, /^\/bin\/ls is not a text file$/],
    [() => ask('--queries', join(folder, 'none')), 1, /^cannot read .*none: there is no such file$/],
    [() => ask('--queries', file('q', 'a A b\n')), 2, /q, line 1: 'a A b' is more than a name and a type$/],
    [() => ask('--queries', file('q', '\n#\n')), 2, /q holds no names$/],
    [
      () => ['dns', 'eth0', '--domain', 'a', '--dst-ip', '10.77.0.9'],
      1,
      /^nobody on eth0 answers for 10\.77\.0\.9/,
    ],
    [() => ['dns', 'eth7', '--domain', 'a', ...to], 1, /^there is no interface 'eth7'/],
    [() => ['udp', 'eth0', ...to, '--size', '9000'], 2, /^frame 1 has 9042 bytes; eth0 takes at most 1522$/],
    [() => ['udp', 'eth0', ...to, '--rate', '0'], 2, /^--rate: '0' is not a rate above 0/],
    [() => ['pcap', '/bin/ls', 'eth0'], 1, /^\/bin\/ls is no capture: .*neither pcap nor pcapng/],
    [
      () => ['pcap', file('raw.pcap', cut()), 'eth0'],
      1,
      /no capture of Ethernet frames: its link type is 101$/,
    ],
    [() => ['raw', file('r', 'zz\n'), 'eth0'], 2, /r, line 1: not a frame in hexadecimal/],
    [() => ['raw', file('r', 'ff\n'), 'eth0'], 2, /^frame 1 has 1 bytes, less than an Ethernet header/],
  ];
  for (const [args, code, message] of cases) {
    it(`one line for ${message.source}`, async () => {
      const ended = await barewire('send', ...args());
      assert.match(errorLine(ended), message);
      assert.equal(ended.code, code);
      assert.equal(attached(client), 0);
    });
  }

  it('a queue that somebody else has', async () => {
    const payload = { kind: 'udp', port: 9, payload: new Uint8Array(9) } as const;
    const options = { destination: '10.77.0.2', payload, engine: 'xsk', queue: 1, count: 1 } as const;
    await using first = await Sender.open({ interface: 'eth0', netns: client.namespace, ...options });
    await assert.rejects(send(options), { code: 'BW_QUEUE_BUSY' });
    assert.equal(first.interface, 'eth0');
  });
});
