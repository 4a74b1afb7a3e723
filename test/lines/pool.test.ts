import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import type { LineOptions, LinePool, PppoeLine } from '../../src/lines/index.ts';
import { buildPacket } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { get, Isp } from './isp.ts';

const stock = takeStock();
let isp: Isp;
before(async () => {
  isp = await Isp.start({
    queues: 2,
    mru: 1500,
    services: [{ name: 'internet' }, { name: 'open', authentication: [] }],
  });
});
after(async () => {
  await isp[Symbol.asyncDispose]();
  requireNoLeaks(stock);
});

const account = (number: number): LineOptions => ({ user: `user${number}`, password: `pass${number}` });

/** Adds lines and brings them up. */
async function bringUp(pool: LinePool, count: number, options: LineOptions = {}): Promise<PppoeLine[]> {
  const lines = Array.from({ length: count }, (_, i) => pool.add({ ...account(i + 1), ...options }));
  await Promise.all(lines.map((line) => line.up()));
  return lines;
}

describe('lines of a pool', () => {
  it('have an address each, and are seen by it', async () => {
    await using pool = await isp.openPool();
    const lines = await bringUp(pool, 8);
    const addresses = lines.map((line) => line.given?.local);
    assert.equal(new Set(addresses).size, 8);
    const seen = await Promise.all(lines.map((line) => get(line)));
    assert.deepEqual(seen, addresses);
    assert.equal(isp.server?.sessions.size, 8);
    assert.equal(new Set(lines.map((line) => line.device?.name)).size, 8);
    const [first] = lines;
    assert.equal(isp.customer.net.links.get(first!.device!.name).mtu, 1492);
    assert.ok(first!.session.receivedPackets > 0 && first!.session.sentPackets > 0);
  });

  it('end with the pool, and leave nothing behind', async () => {
    const { net } = isp.customer;
    const rules = net.rules.list().length;
    const pool = await isp.openPool();
    await bringUp(pool, 3);
    assert.ok(net.rules.list().length > rules);
    await pool.close();
    await pool.close();
    assert.equal(isp.server?.sessions.size, 0);
    assert.equal(net.rules.list().length, rules);
    assert.equal(net.links.list({ kind: 'tun' }).length, 0);
    assert.equal(
      net.routes.list().some((route) => route.table > 0x6277_0000),
      false,
    );
    assert.deepEqual(net.links.get('eth0').xdp, []);
  });

  it('have a MAC address each if wished', async () => {
    await using pool = await isp.openPool({ mac: 'per-session' });
    const lines = await bringUp(pool, 3);
    const peers = new Set([...isp.server!.sessions.values()].map((session) => session.peerMac));
    assert.equal(peers.size, 3);
    assert.ok(!peers.has(isp.customer.net.links.get('eth0').address!));
    for (const line of lines) assert.equal(await get(line), line.given?.local);
    assert.ok(isp.customer.net.links.get('eth0').promiscuity > 0);
  });

  it('carry 1,500 bytes where both sides can', async () => {
    await using pool = await isp.openPool();
    const [line] = await bringUp(pool, 1, { mru: 1500 });
    assert.equal(line!.given?.mtu, 1500);
    assert.equal((await get(line!, '/large')).length, 2_000_000);
  });

  it('clamp segments to what they carry', async () => {
    await using pool = await isp.openPool();
    const [line] = await bringUp(pool, 1, { mru: 1400 });
    assert.equal(line!.given?.mtu, 1492);
    // The concentrator drops what is longer than we take, so without clamping nothing large would come.
    assert.equal((await get(line!, '/large')).length, 2_000_000);
  });

  it('have a device with several queues where wished', async () => {
    await using pool = await isp.openPool();
    const [line] = await bringUp(pool, 1, { device: { name: 'bwmany', queues: 4 } });
    assert.equal(line!.device?.name, 'bwmany');
    const { info } = isp.customer.net.links.get('bwmany');
    assert.equal(info?.kind === 'tun' && info.multiQueue, true);
    const seen = await Promise.all(Array.from({ length: 12 }, () => get(line!)));
    assert.deepEqual(new Set(seen), new Set([line!.given?.local]));
  });

  it('hand their packets to somebody else where there is no device', async () => {
    await using pool = await isp.openPool();
    const [line] = await bringUp(pool, 1, { device: false });
    const { local, peer } = line!.given!;
    const answered = new Promise<Uint8Array>((resolve) =>
      line!.attach((bytes, offset, length) => resolve(bytes.slice(offset, offset + length))),
    );
    const ping = buildPacket([
      { layer: 'ipv4', source: local!, destination: peer! },
      { layer: 'icmp', type: 8, code: 0 },
    ]);
    assert.equal(line!.send(ping), true);
    const answer = await answered;
    assert.deepEqual([answer[9], answer[20]], [1, 0], 'an echo reply');
    await assert.rejects(line!.connect({ host: '198.51.100.2', port: 80 }), { code: 'BW_NO_DEVICE' });
    const spoofed = buildPacket([
      { layer: 'ipv4', source: '192.0.2.66', destination: peer! },
      { layer: 'icmp', type: 8, code: 0 },
    ]);
    line!.send(spoofed);
    while (isp.server!.spoofed === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('dial again for another address', async () => {
    await using pool = await isp.openPool();
    const [line] = await bringUp(pool, 1);
    const socket = await line!.connect({ host: '198.51.100.2', port: 80 });
    const failed = once(socket, 'error');
    const { before, after } = await line!.redial();
    assert.notEqual(before, after);
    assert.equal(await get(line!), after);
    const [error] = (await failed) as [{ code: string }];
    assert.equal(error.code, 'BW_LINE_DOWN');
  });

  it('tell what happens to them', async () => {
    await using pool = await isp.openPool();
    const line = pool.add({ ...account(1), name: 'home' });
    const over = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of pool.events({ signal: over.signal })) {
        if ('line' in event && event.event.type === 'state')
          seen.push(`${event.line.name} ${event.event.state}`);
      }
    })();
    await line.up();
    await line.hangUp();
    over.abort();
    await reading;
    assert.deepEqual(seen.slice(-3), ['home open', 'home closing', 'home idle']);
    assert.ok(seen.includes('home authenticating'));
    assert.throws(() => pool.add({ name: 'home' }), { code: 'BW_ARGUMENT' });
  });
});

describe('a line that cannot', () => {
  const refused = async (options: LineOptions): Promise<{ code: string; message: string }> => {
    await using pool = await isp.openPool();
    const line = pool.add({ retry: false, timing: { padi: 100, padiTries: 2 }, ...options });
    let caught: unknown;
    await line.up().catch((error: unknown) => {
      caught = error;
    });
    assert.equal(line.state, 'idle');
    assert.equal(line.lastError, caught);
    await assert.rejects(line.connect({ host: '198.51.100.2', port: 80 }), { code: 'BW_LINE_DOWN' });
    return caught as { code: string; message: string };
  };

  it('log in says so', async () => {
    const error = await refused({ user: 'user1', password: 'wrong' });
    assert.equal(error.code, 'BW_PPP_AUTHENTICATION');
    assert.doesNotMatch(JSON.stringify(error), /wrong/);
  });

  it('find the service says so', async () => {
    assert.equal((await refused({ ...account(1), serviceName: 'gold' })).code, 'BW_PPPOE_SERVICE_NAME');
  });

  it('find the concentrator says so', async () => {
    assert.match(
      (await refused({ ...account(1), acName: 'nobody' })).code,
      /BW_PPPOE_(AC_NAME|NO_CONCENTRATOR)/,
    );
  });

  it('have more sessions than its MAC address may says so, and the others stay', async () => {
    await isp.server?.close();
    await isp.serve({ maxSessionsPerMac: 2 });
    await using pool = await isp.openPool();
    const lines = await bringUp(pool, 2);
    const third = pool.add({ ...account(3), retry: false });
    await assert.rejects(third.up(), { code: 'BW_PPPOE_AC_SYSTEM_ERROR' });
    for (const line of lines) assert.equal(await get(line), line.given?.local);
    await pool.close();
    await isp.server?.close();
    await isp.serve();
  });

  it('log in by a method that both sides take says so', async () => {
    const { code } = await refused({ ...account(1), authentication: ['eap-md5'] });
    assert.match(code, /^BW_PPP_(AUTHENTICATION_METHOD|TERMINATED)$/);
  });

  it('find anybody says so', async () => {
    await isp.server?.close();
    assert.equal((await refused(account(1))).code, 'BW_PPPOE_NO_CONCENTRATOR');
    await isp.serve();
  });

  it('get an address because none is left says so', async () => {
    await isp.server?.close();
    await isp.serve({ pool: '10.64.0.1-10.64.0.2' });
    await using pool = await isp.openPool();
    const [first] = await bringUp(pool, 1);
    const second = pool.add({ ...account(2), retry: false });
    await assert.rejects(second.up(), { code: /^BW_PPP(OE_AC_SYSTEM_ERROR|_NO_ADDRESS)$/ });
    assert.equal(await get(first!), first!.given?.local);
    await pool.close();
    await isp.server?.close();
    await isp.serve();
  });

  it('log in without a password where none is asked for, it can', async () => {
    await using pool = await isp.openPool();
    const line = pool.add({ serviceName: 'open' });
    await line.up();
    assert.equal(await get(line), line.given?.local);
  });
});
