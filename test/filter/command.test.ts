import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { PcapWriter } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { errorLine, MAIN, Running } from '../cli/bin.ts';
import { Bed } from './bed.ts';
import { frame } from './frames.ts';

const stock = takeStock();
const bed = new Bed();
after(() => {
  bed.destroy();
  requireNoLeaks(stock);
});
const { namespace } = bed.right;

/** Runs `barewire filter`, which must succeed, and gives its lines. */
async function filter(...args: string[]): Promise<string[]> {
  const ended = await bed.barewire('filter', ...args);
  assert.equal(ended.code, 0, ended.stderr + ended.stdout);
  return ended.stdout.split('\n').filter((line) => line !== '');
}

async function json(...args: string[]): Promise<Record<string, unknown>[]> {
  return (await filter(...args, '--json')).map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Runs `barewire filter`, which must fail in one line. */
async function refused(...args: string[]): Promise<string> {
  const ended = await bed.barewire('filter', ...args);
  assert.notEqual(ended.code, 0, ended.stdout);
  assert.equal(ended.stdout, '');
  return errorLine(ended);
}

/** A file in the bed's folder. */
function write(name: string, text: string | Uint8Array): string {
  mkdirSync(bed.folder, { recursive: true });
  const path = `${bed.folder}/${name}`;
  writeFileSync(path, text);
  return path;
}

async function listed(): Promise<string[]> {
  return (await json('list')).map((line) => `${line.action} ${line.prefix ?? line.rule}`).sort();
}

describe('barewire filter', () => {
  beforeEach(async () => {
    await filter('attach', 'eth0', '--netns', namespace);
  });
  afterEach(async () => {
    await bed.barewire('filter', 'detach', '--forget');
  });

  it('attaches, adds, lists, removes and detaches, in either spelling', async () => {
    assert.match(await refused('attach', '--dev', 'eth0', '--netns', namespace), /attached to .* already/);
    assert.deepEqual(
      await filter('add', '10.77.0.1', '2001:db8::/32', '--reason', 'scan', '--expire', '1h'),
      [`2 added, 0 changed on eth0@${namespace}`],
    );
    assert.equal(bed.reaches(), false);
    await filter('add', '--ip', '192.0.2.7');
    await filter('add', '-p', 'tcp', '--port', '22,8000-8010', '--source-port', '1024-65535');
    assert.deepEqual(await listed(), [
      'deny 10.77.0.1/32',
      'deny 192.0.2.7/32',
      'deny 2001:db8::/32',
      'deny deny tcp port 22,8000-8010 source-port 1024-65535',
    ]);
    const [scan] = (await json('list')).filter(({ prefix }) => prefix === '10.77.0.1/32');
    assert.equal(scan?.reason, 'scan');
    assert.equal(scan?.hits, 1);
    assert.ok(Math.abs(Date.parse(String(scan?.expires)) - Date.now() - 3_600_000) < 60_000);
    await filter('remove', '10.77.0.1');
    await filter('remove', '-p', 'tcp', '--port', '22,8000-8010', '--source-port', '1024-65535');
    await filter('remove', '--ip', '192.0.2.7');
    assert.deepEqual(await listed(), ['deny 2001:db8::/32']);
    const again = await bed.barewire('filter', 'remove', '10.77.0.1');
    assert.equal(again.code, 1);
    assert.match(again.stderr, /not on the list: deny 10.77.0.1/);
    assert.deepEqual(await filter('detach', '--dev', 'eth0', '--netns', namespace), [
      `eth0@${namespace} is open`,
    ]);
    assert.match((await filter('attach', 'eth0', '--netns', namespace))[0] ?? '', /with 1 saved entries/);
  });

  it('explains, shows its state, and tries packets', async () => {
    await filter('add', '10.77.0.0/28', '--reason', 'neighbours');
    await filter('add', '--preset', 'syn-flood');
    assert.equal(bed.reaches(), false);
    const told = (await filter('explain', '10.77.0.1')).join('\n');
    assert.match(
      told,
      /Packets from 10\.77\.0\.1 are dropped\n\s+deny 10\.77\.0\.0\/28 \(neighbours\): since .*; 1 packets, the last 20/,
    );
    assert.match(
      (await filter('explain', '198.51.100.1')).join('\n'),
      /meet rules; where none applies they pass\n\s+limit tcp syn per source/,
    );
    const [state] = await json('status');
    assert.deepEqual(state?.tables, [{ table: 'deny_src4_net', entries: 1, capacity: 2_097_152 }]);
    const outcomes = state?.outcomes as { outcome: string; packets: number }[];
    assert.equal(outcomes.find(({ outcome }) => outcome === 'deny-source')?.packets, 1);
    assert.deepEqual(
      (await json('test', '--source', '10.77.0.15', '--port', '53')).map(({ verdict, outcome }) => [
        verdict,
        outcome,
      ]),
      [['drop', 'deny-source']],
    );
    assert.equal(
      (await json('test', '--source', '10.77.0.16', '-p', 'tcp', '--syn', '--vlan', '7', '--vlan', '8'))[0]
        ?.verdict,
      'pass',
    );
    const writer = new PcapWriter();
    const frames = [
      frame({ source: '10.77.0.3' }),
      frame({ source: '10.78.0.3' }),
      frame({ source: '2001:db8::1' }),
    ];
    for (const bytes of frames) writer.packet(bytes, 0, bytes.length, 0n);
    const capture = write('some.pcap', writer.take());
    assert.deepEqual(
      (await json('test', capture)).map(({ verdict }) => verdict),
      ['drop', 'pass', 'pass'],
    );
    const config = write('strict.yaml', 'default: deny\nallow:\n  - { protocol: udp, ports: 53 }\n');
    assert.deepEqual(
      (await json('test', '--config', config, capture)).map(({ verdict, rule }) => [verdict, rule]),
      frames.map(() => ['pass', 'allow udp port 53']),
    );
    assert.equal(
      (await json('test', '--config', config, '--source', '10.0.0.1', '--port', '54'))[0]?.outcome,
      'default-deny',
    );
  });

  it('applies YAML, JSON and modules, shows what would change, and goes back unless confirmed', async () => {
    const yaml = write(
      'filter.yaml',
      'deny:\n  - 10.77.0.1\n  - source: [192.0.2.0/24, 2001:db8::/32]\n    reason: lab\nprotect:\n  syn-flood: true\n',
    );
    const dry = await filter('apply', yaml, '--dry-run');
    assert.deepEqual(dry.slice(0, 4).sort(), [
      '+ deny 10.77.0.1/32',
      '+ deny 192.0.2.0/24',
      '+ deny 2001:db8::/32',
      '+ limit tcp syn per source',
    ]);
    assert.equal(bed.reaches(), true);
    await filter('apply', yaml);
    assert.equal(bed.reaches(), false);
    const module = write('filter.mjs', `export default { deny: ['192.0.2.0/24'] };`);
    await filter('apply', module, '--confirm', '1m');
    assert.equal(bed.reaches(), true);
    assert.equal((await json('status'))[0]?.guard, 'pending');
    assert.match(await refused('apply', yaml), /waits for its confirmation/);
    await filter('confirm');
    assert.equal((await json('status'))[0]?.guard, 'none');
    assert.match(await refused('confirm'), /nothing on .* waits/);
    assert.deepEqual(await listed(), ['deny 192.0.2.0/24']);
    write('bad.txt', '10.77.0.1\n198.51.100.0/24\n');
    await filter('apply', write('filter.json', '{ "lists": [{ "name": "bad", "file": "bad.txt" }] }'));
    assert.equal(bed.reaches(), false);
    assert.deepEqual(
      (await json('list')).map(({ prefix, lists, reason }) => [prefix, lists, reason]).sort(),
      [
        ['10.77.0.1/32', ['bad'], 'bad'],
        ['198.51.100.0/24', ['bad'], 'bad'],
      ],
    );
    await filter('apply', write('empty.json', '{}'));
    assert.deepEqual(
      await listed(),
      ['deny 10.77.0.1/32', 'deny 198.51.100.0/24'],
      'a list that is not named any more is a feed’s',
    );
    await filter('apply', write('empty.json', '{}'), '--prune');
    assert.deepEqual(await listed(), []);
  });

  it('lets the address of an SSH session in', async () => {
    const config = write('closed.yaml', 'default: deny\nallow: [198.51.100.0/24]\n');
    process.env.SSH_CONNECTION = '10.77.0.1 51000 10.77.0.2 22';
    try {
      await filter('apply', config);
    } finally {
      delete process.env.SSH_CONNECTION;
    }
    assert.equal(bed.reaches(), true);
    await filter('apply', write('other.yaml', 'default: deny\nallow: [198.51.100.0/24, 203.0.113.1]\n'));
    assert.equal(bed.reaches(), true, 'for a day, whoever applies');
    await filter('apply', config, '--prune');
    assert.equal(bed.reaches(), false);
  });

  it('imports lists of many forms, exports them, and reads its own', async () => {
    const lists: Record<string, string> = {
      'plain.txt': '# comment\n10.77.0.1\n192.0.2.0/24 ; note\n\n2001:db8::/48\n198.51.100.4-198.51.100.7\n',
      'some.csv': 'id,address,reason\n1,"203.0.113.9",scan\n2,203.0.113.16/28,"a, b"\n',
      'set.nft':
        'table ip f {\n set s {\n type ipv4_addr\n elements = { 203.0.113.100 timeout 1h expires 59m58s, 203.0.113.104/29,\n 203.0.113.120-203.0.113.121 }\n }\n}\n',
      'saved.ipset':
        'create s hash:ip family inet\nadd s 203.0.113.200 timeout 600 comment "by ipset"\nadd s 203.0.113.201\n',
      'decisions.json':
        '[{"id":1,"origin":"crowdsec","type":"ban","scope":"Ip","value":"203.0.113.210","duration":"3h59m58.5s","scenario":"ssh-bf"},{"type":"captcha","scope":"Ip","value":"203.0.113.211","duration":"1h"},{"type":"ban","scope":"Country","value":"XX"}]',
    };
    const counts: (Record<string, unknown> | undefined)[] = [];
    for (const [name, text] of Object.entries(lists)) {
      counts.push((await json('import', write(name, text), '--list', 'feeds'))[0]);
    }
    assert.deepEqual(
      counts.map((done) => [done?.format, done?.added]),
      [
        ['plain', 4],
        ['csv', 2],
        ['nft', 3],
        ['ipset', 2],
        ['crowdsec', 1],
      ],
    );
    assert.equal(bed.reaches(), false);
    const byPrefix = new Map((await json('list')).map((line) => [line.prefix, line]));
    assert.equal(byPrefix.get('198.51.100.4/30')?.action, 'deny');
    assert.equal(byPrefix.get('203.0.113.16/28')?.reason, 'a, b');
    assert.equal(byPrefix.get('203.0.113.210/32')?.reason, 'ssh-bf');
    assert.ok(Date.parse(String(byPrefix.get('203.0.113.100/32')?.expires)) < Date.now() + 3_600_000);
    const exported = (await filter('export')).join('\n');
    const before = await listed();
    for (const format of ['plain', 'nft', 'ipset']) {
      const text = (await filter('export', '--format', format)).join('\n');
      assert.equal((await json('import', write(`out.${format}`, text)))[0]?.added, 0, format);
    }
    await filter('detach', '--forget');
    await filter('attach', 'eth0', '--netns', namespace);
    assert.equal((await json('import', write('all.json', exported)))[0]?.added, before.length);
    assert.deepEqual(await listed(), before);
    // Replaced: what is not named any more goes, but only from the list.
    await filter('import', write('a.txt', '10.1.1.1\n10.1.1.2\n'), '--list', 'feed');
    assert.deepEqual(
      (await json('import', write('b.txt', '10.1.1.2\n10.1.1.3\n'), '--list', 'feed', '--replace')).map(
        ({ added, removed }) => [added, removed],
      ),
      [[1, 1]],
    );
  });

  it('refuses a list with errors, with their lines, and takes the rest when asked', async () => {
    const bad = write(
      'bad.txt',
      '192.0.2.1\n192.0.2.300\n192.0.2.7/24\n\n2001:db8::/129\n192.0.2.9\n192.0.2.020\n1.2.3.9-1.2.3.4\n',
    );
    const line = await refused('import', bad);
    assert.match(
      line,
      /has 5 lines that are wrong, and nothing was changed: line 2: '192\.0\.2\.300'.*line 3: .*bits set.*line 5: .*0 to 128.*line 7.*line 8.*backwards/,
    );
    assert.deepEqual(await listed(), []);
    assert.equal((await json('import', bad, '--skip-bad'))[0]?.added, 2);
    assert.equal((await json('import', bad, '--skip-bad', '--clear-host-bits'))[0]?.added, 1);
    assert.match(await refused('import', `${bed.folder}/missing.txt`), /there is no file/);
  });

  it('refuses what cannot be meant, in one line, and changes nothing', async () => {
    for (const [args, said] of [
      [['add', '192.0.2.1000'], /'192\.0\.2\.1000' is not an IP/],
      [['add', '192.0.2.7/24'], /bits set beyond its prefix length; the network is 192\.0\.2\.0\/24/],
      [['add', '2001:db8::/129'], /not a length of 0 to 128/],
      [['add', '192.0.2.1', '--expire', '10'], /'10' has no unit/],
      [['add', '192.0.2.1', '--expire', 'soon'], /not a duration/],
      [['add', '-p', 'tcp', '--port', '70000'], /port 70000 is beyond 65535/],
      [['add', '-p', 'tcp', '--port', '90-80'], /runs backwards; write 80-90/],
      [['add', '-p', 'tcp', '--port', '80,70-90'], /overlap/],
      [['add', '--port', '80'], /ports belong to a protocol/],
      [['add', '-p', 'icmp', '--port', '80'], /icmp has no ports/],
      [['add', '-p', 'tpc', '--port', '80'], /'tpc' is not a protocol; did you mean tcp/],
      [['add', '-p', 'udp', '--limit', 'many'], /not a rate of packets/],
      [['add', '-p', 'udp', '--limit', '10/s', '--per', '/200'], /does not say whom/],
      [['add', '--preset', 'sin-flood'], /did you mean syn-flood/],
      [['add'], /the rule says nothing/],
      [['add', '192.0.2.1', '--reason', 'x'.repeat(96)], /the reason has 96 bytes/],
      [['add', '192.0.2.1', '--dev', 'eth7', '--netns', namespace], /no filter is attached to eth7/],
      [['attach', 'eth7', '--netns', namespace], /eth7/],
      [['apply', 'nowhere.yaml'], /there is no file nowhere\.yaml/],
      [['apply', write('a.yaml', 'deny: [1\n')], /a\.yaml:2:1/],
      [['apply', write('b.yaml', 'dney: []\n')], /dney: there is no such key; did you mean deny/],
      [
        ['apply', write('c.yaml', 'deny:\n  - { protocol: tcp, prots: 80 }\n')],
        /deny\[0\]\.prots: there is no such key; did you mean ports/,
      ],
      [['apply', write('d.yaml', 'limits:\n  - { protocol: udp }\n')], /limits\[0\]: a limit says how much/],
      [
        ['apply', write('e.yaml', 'default: dney\n')],
        /default: 'dney' is not one of allow, deny; did you mean deny/,
      ],
      [['apply', write('f.yaml', 'deny: [192.0.2.1/24]\n')], /deny\[0\]: '192\.0\.2\.1\/24' has bits set/],
      [['apply', write('g.yaml', 'default: deny\n')], /would deny everything and allow nothing/],
      [
        ['apply', write('h.yaml', 'deny: [{ source: 192.0.2.1, expires: 2001-01-01T00:00:00Z }]\n')],
        /has passed/,
      ],
      [
        ['apply', write('i.yaml', 'lists: [{ name: x, file: nothing.txt }]\n')],
        /the list 'x': .*nothing\.txt cannot be read/,
      ],
      [['apply', write('j.txt', '')], /no ending that says/],
      [['explain', 'somebody'], /somebody/],
      [['metrics', '--listen', 'everywhere'], /not an address and a port/],
    ] as const) {
      assert.match(await refused(...args), said, args.join(' '));
    }
    assert.deepEqual(await listed(), []);
  });

  it('refuses what has no room before anything changes, and says the size to set', async () => {
    await filter('detach', '--forget');
    await filter('attach', 'eth0', '--netns', namespace, '--capacity', '16');
    await filter('import', write('ten.txt', Array.from({ length: 10 }, (_, i) => `10.1.1.${i}\n`).join('')));
    const more = write('more.txt', Array.from({ length: 20 }, (_, i) => `10.1.1.${i + 5}\n`).join(''));
    assert.match(
      await refused('import', more),
      /holds 10 of 16 entries, and 15 more have no room; nothing was changed; set a capacity of 32 or more/,
    );
    assert.equal((await listed()).length, 10);
    const nearly = write('six.txt', Array.from({ length: 4 }, (_, i) => `10.1.2.${i}\n`).join(''));
    await filter('import', nearly, '--expire', '1s');
    const warned = await bed.barewire('filter', 'status');
    assert.match(warned.stderr, /the table deny_src4 is 87 % full/);
    // What has ended makes room.
    while ((await listed()).length > 10) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    await filter('import', write('six.txt', Array.from({ length: 6 }, (_, i) => `10.1.3.${i}\n`).join('')));
    assert.equal((await listed()).length, 16);
    assert.match(
      await refused(
        'apply',
        write(
          'big.yaml',
          `deny: [${Array.from({ length: 5 }, (_, i) => `10.9.9.${i}`).join(', ')}]\ncapacity: 16\n`,
        ),
      ),
      /21 entries and takes 16; nothing was changed/,
    );
    await filter('apply', write('big.yaml', 'deny: [10.9.9.9]\ncapacity: 64\n'));
    assert.equal((await listed()).length, 17);
  });

  it('serves metrics on the loopback interface', async () => {
    await filter('add', '10.77.0.1');
    await filter('add', '-p', 'udp', '--port', '9');
    assert.equal(bed.reaches(), false);
    const env = bed.environment;
    const { spawn } = await import('node:child_process');
    const running = new Running(
      spawn(process.execPath, [MAIN, 'filter', 'metrics', '--listen', ':0'], { env }),
    );
    await running.until(({ stderr }) => stderr.includes('http://'), 'it listens');
    const url = /http:\/\/127\.0\.0\.1:\d+\/metrics/.exec(running.stderr)?.[0] ?? '';
    const text = await (await fetch(url)).text();
    const label = `interface="eth0@${namespace}"`;
    assert.ok(
      text.includes(`barewire_filter_packets_total{${label},outcome="deny-source",verdict="drop"} 1`),
      text,
    );
    assert.ok(text.includes(`barewire_filter_table_entries{${label},table="deny_src4"} 1`));
    assert.ok(text.includes(`barewire_filter_rule_packets_total{${label},rule="deny udp port 9"} 0`));
    assert.equal((await fetch(url.replace('/metrics', '/other'))).status, 404);
    running.child.kill('SIGINT');
    await running.ended;
  });

  it('tells drops as they happen', async () => {
    await filter('add', '10.77.0.1');
    const { spawn } = await import('node:child_process');
    const env = bed.environment;
    assert.equal(bed.reaches(), false);
    const running = new Running(
      spawn(process.execPath, [MAIN, 'filter', 'watch', '--json', '-n', '1'], { env }),
    );
    const { stdout } = await running.ended;
    const drop = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(
      [drop.outcome, drop.stands, drop.length, drop.by],
      ['deny-source', 1, 98, 'deny-source, by address'],
    );
    assert.match(String(drop.head), /0a4d00010a4d0002/, 'the frame’s first bytes are there');
  });

  it('follows a file and CrowdSec’s stream', { timeout: 60_000 }, async () => {
    const { spawn } = await import('node:child_process');
    const env = bed.environment;
    const follow = (...args: string[]): Running =>
      new Running(
        spawn(
          process.execPath,
          [MAIN, 'filter', 'import', '--watch', '--json', '--interval', '1s', ...args],
          { env },
        ),
      );
    const list = write('feed.txt', '10.1.1.1\n10.77.0.1\n');
    const file = follow(list, '--list', 'file');
    await file.until(({ stdout }) => stdout.includes('"added":2'), 'it read the file');
    assert.equal(bed.reaches(), false);
    writeFileSync(list, '10.1.1.1\nnonsense\n');
    await file.until(({ stderr }) => stderr.includes('line 2'), 'it told of the error');
    assert.equal(bed.reaches(), false, 'the list stays as it was');
    writeFileSync(list, '10.1.1.1\n10.1.1.2\n');
    await file.until(({ stdout }) => stdout.includes('"removed":1'), 'it read the file again');
    assert.equal(bed.reaches(), true);
    file.child.kill('SIGINT');
    await file.ended;

    const asked: string[] = [];
    const ban = (value: string) => ({
      type: 'ban',
      scope: 'Ip',
      value,
      duration: '4h',
      scenario: 'http-probing',
    });
    const server = createServer((request, response) => {
      asked.push(`${request.url} ${String(request.headers['x-api-key'])}`);
      const answers = [
        { new: [ban('10.77.0.1'), ban('10.1.1.1')], deleted: null },
        { new: [], deleted: [ban('10.77.0.1')] },
      ];
      response.end(JSON.stringify(answers[asked.length - 1] ?? { new: null, deleted: null }));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    const key = write('key', 'secret-key\n');
    const crowd = follow(
      `http://127.0.0.1:${port}/v1/decisions/stream`,
      '--list',
      'crowdsec',
      '--key-file',
      key,
    );
    await crowd.until(({ stdout }) => stdout.includes('"removed":1'), 'it followed the stream');
    crowd.child.kill('SIGINT');
    const { stdout, stderr } = await crowd.ended;
    server.close();
    assert.deepEqual(asked.slice(0, 2), [
      '/v1/decisions/stream?startup=true secret-key',
      '/v1/decisions/stream secret-key',
    ]);
    assert.ok(!(stdout + stderr).includes('secret-key'));
    // The address that both had listed stays for the other’s sake.
    const both = (await json('list')).find(({ prefix }) => prefix === '10.1.1.1/32');
    assert.deepEqual(both?.lists, ['file', 'crowdsec']);
    assert.equal(bed.reaches(), true);
  });
});
