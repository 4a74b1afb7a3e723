import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import type { LinePool, PppoeLine } from '../../src/lines/index.ts';
import { emitDns } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { PacketLink } from '../../src/xsk/index.ts';
import { Isp } from './isp.ts';

/** So many addresses that no datagram holds them. */
const MANY = Array.from({ length: 100 }, (_, i) => `10.99.0.${i + 1}`);

const stock = takeStock();
let isp: Isp;
let pool: LinePool;
let line: PppoeLine;
let server: import('node:child_process').ChildProcess;

before(async () => {
  isp = await Isp.start();
  const records = [
    '--host-record=one.test,203.0.113.9',
    '--host-record=both.test,203.0.113.9,2001:db8::9',
    ...MANY.map((address) => `--host-record=many.test,${address}`),
    '--cname=alias.test,one.test',
  ];
  const web = isp.lab.host('web');
  const options = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--pid-file=',
  ];
  server = web.spawn('dnsmasq', [...options, '--user=root', '--log-facility=-', ...records], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(server.stderr!, 'data');
  pool = await isp.openPool();
  line = pool.add({ user: 'user1', password: 'pass1' });
  await line.up();
});

after(async () => {
  await pool.close();
  const ended = once(server, 'exit');
  server.kill();
  await ended;
  await isp[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

describe('names', () => {
  it("are asked of the session's own servers, over the line", async () => {
    await using capture = PacketLink.open('eth0', { netns: isp.isp.netns, etherType: 0x0800 });
    assert.deepEqual(line.dns, ['198.51.100.2']);
    assert.deepEqual(await line.resolve('one.test'), ['203.0.113.9']);
    assert.deepEqual(await line.resolve('alias.test'), ['203.0.113.9']);
    assert.deepEqual(await line.resolve('192.0.2.7'), ['192.0.2.7']);
    assert.equal(
      capture.receive(() => {}),
      0,
      'no packet has left outside of the session',
    );
  });

  it('with more addresses than a datagram holds are asked for by TCP', async () => {
    const found = await line.resolve('many.test');
    assert.deepEqual([...found].sort(), [...MANY].sort());
  });

  it('that nobody has are not found', async () => {
    await assert.rejects(line.resolve('none.test'), (error: { code: string }) => /^E/.test(error.code));
  });

  it("can be asked for by datagrams of one's own, which a line that goes down takes along", async () => {
    const udp = await line.openUdp();
    const query = new Uint8Array(64);
    const length = emitDns(query, 0, {
      id: 7,
      recursionDesired: true,
      questions: [{ name: 'one.test', type: 'A' }],
    });
    const answered = new Promise<number>((resolve) => {
      udp.onMessage = (payload, host, port) => {
        assert.deepEqual([host, port], ['198.51.100.2', 53]);
        resolve((payload[0]! << 8) | payload[1]!);
      };
    });
    udp.send(query.subarray(0, length), '198.51.100.2', 53);
    assert.equal(await answered, 7);
    const gone = new Promise<Error>((resolve) => {
      udp.onGone = resolve;
    });
    const socket = await line.openDatagram();
    const failed = once(socket, 'error');
    const { before, after } = await line.redial();
    assert.notEqual(before, after);
    assert.equal(((await gone) as { code?: string }).code, 'BW_LINE_DOWN');
    assert.equal(((await failed) as [{ code: string }])[0].code, 'BW_LINE_DOWN');
  });

  it('of a line that is down are not asked for', async () => {
    const down = pool.add();
    await assert.rejects(down.resolve('one.test'));
  });
});
