import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { describePacket } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { connectThrough, datagramThrough } from '../../src/tun/index.ts';
import { PacketLink } from '../../src/xsk/index.ts';
import { TunWire } from './wire.ts';

/**
 * A client with three lines: two wires, one of them its default, and a TUN device. Whatever is connected through the
 * TUN device must never show on the wires, where a capture looks at every frame.
 */
const SERVERS = `
  const { createServer } = require('node:net');
  const { createSocket } = require('node:dgram');
  const serve = (port, each) => new Promise((up) => createServer(each).listen(port, '::', up));
  const answer = (version) => new Promise((up) => {
    const socket = createSocket({ type: 'udp' + version, ipv6Only: version === 6 });
    socket.on('message', (_, from) => socket.send(from.address, from.port, from.address));
    socket.bind(9, up);
  });
  Promise.all([
    serve(80, (socket) => socket.end(socket.remoteAddress)),
    serve(81, (socket) => socket.pipe(socket)),
    serve(83, (socket) => socket.on('error', () => {})),
    answer(4), answer(6),
  ]).then(() => console.log('up'));`;

/** A connection that has nothing but its source address. */
const SOURCE_ONLY = `
  const socket = require('node:net').connect({ host: '203.0.113.1', port: 80, localAddress: '10.64.1.1' });
  socket.on('data', (data) => console.log(String(data)));`;

const stock = takeStock();
let lab: Lab;
let client: LabHost;
let server: LabHost;
let wire: TunWire;
let servers: ChildProcess;
const captures: PacketLink[] = [];

before(async () => {
  lab = Lab.create({
    hosts: [{ name: 'client', gateway: '10.77.0.2' }, 'left', 'right', 'server'],
    wires: [{ between: ['client', 'left'] }, { between: ['client', 'right'] }],
  });
  client = lab.host('client');
  server = lab.host('server');
  client.net.routes.add({ destination: 'default', version: 6, via: 'fd00:77:0::2' });
  for (const host of ['left', 'right']) {
    captures.push(PacketLink.open('eth0', { netns: lab.host(host).netns }));
  }
  wire = new TunWire(
    { name: 'bwline', netns: client.netns, addresses: ['10.64.1.1/32', '2001:db8:1::1/64'] },
    { name: 'bwfar', netns: server.netns, addresses: ['203.0.113.1/24', '2001:db8:1::2/64'] },
  );
  server.net.routes.add({ destination: '10.64.1.1/32', link: 'bwfar' });
  servers = server.spawn(process.execPath, ['-e', SERVERS], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(servers.stdout!, 'data');
});

after(async () => {
  servers.kill();
  await once(servers, 'exit');
  wire[Symbol.dispose]();
  for (const capture of captures) await capture.close();
  lab.destroy();
  requireNoLeaks(stock);
});

/** The IP packets that have left by a wire since the last call; what a host's own IPv6 does by itself is left out. */
function leaked(): string[] {
  const found: string[] = [];
  for (const capture of captures) {
    let count = 1;
    while (count > 0) {
      count = capture.receive((bytes, at, length) => {
        const type = (bytes[at + 12]! << 8) | bytes[at + 13]!;
        const linkLocal = bytes[at + 22] === 0xfe && bytes[at + 23] === 0x80;
        const unspecified = bytes.subarray(at + 22, at + 38).every((byte) => byte === 0);
        if (type === 0x0806 || (type === 0x86dd && (linkLocal || unspecified))) return;
        found.push(describePacket(bytes.slice(at, at + length)));
      });
    }
  }
  return found;
}

/** Ends when the socket does, in whatever way. */
async function outcome(socket: Socket): Promise<string> {
  try {
    return (await text(socket)).trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}

/** The next packet has left by the device. */
async function nextPacket(): Promise<void> {
  const { sent } = wire;
  while (wire.sent === sent) await new Promise((resolve) => setTimeout(resolve, 5));
}

const through = (host: string, port = 80): Socket =>
  connectThrough({ device: 'bwline', netns: client.netns, host, port });

describe('what the capture is good for', () => {
  it('sees a connection that has only the source address of the line', async () => {
    leaked();
    const child = client.spawn(process.execPath, ['-e', SOURCE_ONLY], { stdio: 'inherit' });
    let seen: string[] = [];
    while (seen.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      seen = leaked();
    }
    child.kill();
    await once(child, 'exit');
    assert.match(seen[0]!, /10\.64\.1\.1/);
  });

  it('does not see it with a rule and a table for that source', async () => {
    client.net.routes.add({ destination: 'default', link: 'bwline', table: 100 });
    client.net.rules.add({ from: '10.64.1.1/32', table: 100 });
    leaked();
    const child = client.spawn(process.execPath, ['-e', SOURCE_ONLY], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.match(await text(child.stdout!), /10\.64\.1\.1$/m);
    client.net.rules.delete({ from: '10.64.1.1/32', table: 100 });
    assert.deepEqual(leaked(), []);
  });
});

describe('a connection through the device', () => {
  it('goes by it, over IPv4 and IPv6', async () => {
    leaked();
    assert.equal(await outcome(through('203.0.113.1')), '::ffff:10.64.1.1');
    assert.equal(await outcome(through('2001:db8:1::2')), '2001:db8:1::1');
    assert.deepEqual(leaked(), []);
  });

  it('takes the source address that it is given', async () => {
    const socket = connectThrough({
      device: 'bwline',
      netns: client.netns,
      host: '203.0.113.1',
      port: 80,
      localAddress: '10.64.1.1',
    });
    assert.equal(await outcome(socket), '::ffff:10.64.1.1');
    assert.deepEqual(leaked(), []);
  });

  it('carries a large answer and a large question', async () => {
    const socket = through('203.0.113.1', 81);
    const data = 'barewire '.repeat(100_000);
    socket.end(data);
    assert.equal((await text(socket)) === data, true);
    assert.deepEqual(leaked(), []);
  });

  it('stays with it when nobody answers there', async () => {
    wire.open = false;
    const socket = through('203.0.113.1');
    socket.on('error', () => {});
    await nextPacket();
    // The SYN again, a second later.
    await nextPacket();
    wire.open = true;
    socket.destroy();
    assert.deepEqual(leaked(), []);
  });

  it('is refused where the port is closed, and goes nowhere else', async () => {
    assert.equal(await outcome(through('203.0.113.1', 82)), 'ECONNREFUSED');
    assert.deepEqual(leaked(), []);
  });

  it('fails when the device is down, or not there', async () => {
    client.net.links.set('bwline', { up: false });
    const code = await outcome(through('203.0.113.1'));
    assert.match(code, /^E(NETUNREACH|NETDOWN|HOSTUNREACH|ADDRNOTAVAIL)$/);
    assert.match(await outcome(through('2001:db8:1::2')), /^E/);
    client.net.links.set('bwline', { up: true });
    client.net.addresses.replace('bwline', '2001:db8:1::1/64', { noDad: true });
    assert.throws(
      () => connectThrough({ device: 'bwnone', netns: client.netns, host: '203.0.113.1', port: 80 }),
      { code: 'BW_NOT_FOUND' },
    );
    assert.deepEqual(leaked(), []);
  });

  it('takes no names, so that nothing asks for them elsewhere', () => {
    for (const host of ['example.net', 'localhost', '', '203.0.113.1.example']) {
      assert.throws(() => through(host), { code: 'BW_ARGUMENT' });
    }
    assert.throws(() => through('203.0.113.1', 0), { code: 'BW_ARGUMENT' });
    assert.throws(
      () => connectThrough({ device: 'bwline', host: '203.0.113.1', port: 80, localAddress: '2001:db8::1' }),
      { code: 'BW_ARGUMENT' },
    );
    assert.deepEqual(leaked(), []);
  });
});

describe('datagrams through the device', () => {
  for (const [version, address] of [
    [4, '203.0.113.1'],
    [6, '2001:db8:1::2'],
  ] as const) {
    it(`go by it, over IPv${version}`, async () => {
      const socket = await datagramThrough({ device: 'bwline', netns: client.netns, version });
      socket.send('who am I', 9, address);
      const [answer] = (await once(socket, 'message')) as [Buffer];
      assert.equal(answer.toString(), version === 4 ? '10.64.1.1' : '2001:db8:1::1');
      socket.close();
      assert.deepEqual(leaked(), []);
    });
  }

  it('take no names', async () => {
    const socket = await datagramThrough({ device: 'bwline', netns: client.netns });
    const refused = once(socket, 'error');
    socket.send('hello', 9, 'example.net');
    const [error] = (await refused) as [{ code: string }];
    assert.equal(error.code, 'BW_ARGUMENT');
    socket.close();
    assert.deepEqual(leaked(), []);
  });
});

describe('when the device goes away', () => {
  it('an open connection finds no other way', async () => {
    const socket = through('203.0.113.1', 83);
    socket.on('error', () => {});
    await once(socket, 'connect');
    leaked();
    wire.near.close();
    socket.write('into the void');
    // Three tries of the kernel's to send it again.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    socket.destroy();
    assert.deepEqual(leaked(), []);
  });
});
