import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import {
  discoverConcentrators,
  type LineOptions,
  LinePool,
  type PoolOptions,
  type PppoeLine,
} from '../../src/lines/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { PacketLink } from '../../src/xsk/index.ts';
import { ODD_USER } from './guest-root.ts';
import { RealConcentrator } from './real-concentrator.ts';

const stock = takeStock();
let real: RealConcentrator;

before(async () => {
  real = await RealConcentrator.start({ vlans: [100], secondName: 'other-ac' });
});

after(async () => {
  await real[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

/** What the web server behind the concentrator says of who asks. */
async function whoami(line: PppoeLine, host = '203.0.113.1'): Promise<string> {
  const socket = await line.connect({ host, port: 80 });
  socket.write('GET /cgi-bin/whoami HTTP/1.0\r\n\r\n');
  const answer = await text(socket);
  return answer.split('\r\n\r\n')[1]?.trim() ?? answer;
}

const openPool = (options: PoolOptions = {}): Promise<LinePool> =>
  LinePool.open('cpe0', { netns: real.client.netns, ...options });

const USUAL: LineOptions = { user: 'user7', password: 'pass7', retry: false, acName: 'lab-ac' };

/** Runs with a line in a pool of its own. */
async function withLine(options: LineOptions, use: (line: PppoeLine) => Promise<void>): Promise<void> {
  await using pool = await openPool();
  await use(pool.add({ ...USUAL, ...options }));
}

/** Comes up, is seen by its own address, and hangs up. */
const works = (options: LineOptions): Promise<void> =>
  withLine(options, async (line) => {
    const { local } = await line.up();
    assert.equal(await whoami(line), local);
    await line.hangUp();
    assert.equal(line.state, 'idle');
  });

describe('discovery', () => {
  it('lists both concentrators with their services', async () => {
    const found = await discoverConcentrators('cpe0', { netns: real.client.netns, timeout: 300 });
    assert.deepEqual(found.map(({ name }) => name).sort(), ['lab-ac', 'other-ac']);
    assert.ok(found[0]!.services.includes('mschapv2'));
    assert.ok(found[0]!.roundTrip > 0);
  });

  it('finds the one behind a VLAN', async () => {
    const found = await discoverConcentrators('cpe0', {
      netns: real.client.netns,
      timeout: 300,
      vlans: [{ id: 100 }],
    });
    assert.deepEqual(
      found.map(({ name }) => name),
      ['lab-ac-vlan100'],
    );
  });
});

describe('one session', () => {
  it('comes up, is seen by its own address, and gets another one', async () => {
    await withLine({}, async (line) => {
      const first = await line.up();
      assert.match(first.local ?? '', /^10\.64\.1\.\d+$/);
      assert.equal(first.peer, '10.64.0.1');
      assert.equal(first.acName, 'lab-ac');
      assert.equal(first.mtu, 1492);
      assert.deepEqual(first.dns, ['198.51.100.2', '203.0.113.1']);
      assert.equal(await whoami(line), first.local);
      assert.equal(await whoami(line, '203.0.113.2'), first.local);
      const { before, after } = await line.redial();
      assert.equal(before, first.local);
      assert.notEqual(after, undefined);
      assert.equal(await whoami(line), after);
    });
  });

  for (const serviceName of ['', 'pap', 'chap', 'mschapv2', 'eap', 'noauth', 'nodns', 'noip6']) {
    it(`works with the service '${serviceName}'`, () => works({ serviceName }));
  }

  it('shows a name and a password with blanks and quotes', () => works({ ...ODD_USER, serviceName: 'chap' }));

  for (const method of ['pap', 'chap-md5'] as const) {
    it(`gets ${method} where that is all it offers`, () => works({ authentication: [method] }));
  }

  it('carries 1,500 bytes by RFC 4638', async () => {
    await withLine({ mru: 1500 }, async (line) => {
      const { mtu } = await line.up();
      assert.equal(mtu, 1500);
      const { name } = line.device!;
      const ping = ['-c', '1', '-W', '2', '-M', 'do', '-s', '1472', '-I', name, '203.0.113.1'];
      const child = real.client.spawn('ping', ping, { stdio: 'ignore' });
      const [code] = await once(child, 'exit');
      assert.equal(code, 0);
    });
  });

  it('takes the concentrator that it is told to', async () => {
    for (const acName of ['lab-ac', 'other-ac']) {
      await withLine({ acName }, async (line) => {
        const { local } = await line.up();
        assert.equal(line.given?.acName, acName);
        assert.match(local ?? '', acName === 'lab-ac' ? /^10\.64\./ : /^10\.96\./);
        assert.equal(await whoami(line), local);
      });
    }
  });

  it('works on a VLAN', () => works({ vlans: [{ id: 100 }], acName: 'lab-ac-vlan100' }));

  it('lets the concentrator ask again who it is', async () => {
    // A port of a bridge shows its frames to those alone that look at all of them.
    await using capture = PacketLink.open('isp0', { netns: real.lab.host('isp').netns });
    const late = AbortSignal.timeout(15_000);
    await withLine({ serviceName: 'rechap' }, async (line) => {
      await line.up();
      // PPP's CHAP (0xc223), a Response (2), each with an identifier of its own.
      const answers = new Set<number>();
      while (answers.size < 3) {
        await capture.readable(late);
        late.throwIfAborted();
        capture.receive((bytes, at) => {
          if (bytes[at + 12] !== 0x88 || bytes[at + 13] !== 0x64) return;
          if (bytes[at + 20] === 0xc2 && bytes[at + 21] === 0x23 && bytes[at + 22] === 2)
            answers.add(bytes[at + 23]!);
        });
      }
      assert.equal(await whoami(line), line.given?.local);
    });
  });

  it('gets IPv6 by router advertisement', async () => {
    await withLine({ serviceName: 'advertise' }, async (line) => {
      await line.up();
      while (line.ipv6.addresses.length === 0)
        await once(line, 'ipv6', { signal: AbortSignal.timeout(15_000) });
      assert.match(line.ipv6.addresses[0]!, /^2001:db8:1:/);
      assert.equal(line.ipv6.defaultRoute, true);
      assert.deepEqual(line.ipv6.dns, ['2001:db8:ff::53']);
      assert.equal(await whoami(line, '2001:db8:ff::53'), `[${line.ipv6.addresses[0]}]`);
    });
  });

  it('gets a prefix of its own by DHCPv6, which leads nowhere until it is used', async () => {
    await withLine({ serviceName: 'advertise' }, async (line) => {
      await line.up();
      while (line.ipv6.delegated.length === 0)
        await once(line, 'ipv6', { signal: AbortSignal.timeout(15_000) });
      const [prefix] = line.ipv6.delegated;
      assert.match(prefix!, /^2001:db8:1[0-9a-f]+::\/48$/);
      const [route] = real.client.net.routes.list({ version: 6 }).filter((one) => one.destination === prefix);
      assert.equal(route?.type, 'unreachable');
    });
    assert.ok(!real.client.net.routes.list({ version: 6 }).some(({ type }) => type === 'unreachable'));
  });
});
