import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, describe, it } from 'node:test';
import { Lab } from '../../src/lab/index.ts';
import { FrameLink, Host } from '../../src/nethost/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { memoryLinkPair, openXskLink } from '../../src/xsk/index.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** A lab of two machines: on the one the kernel's stack, on the other ours alone, over AF_XDP. */
async function hostOnWire(lab: Lab): Promise<Host> {
  // A veth hands over unfinished checksums, as no wire does.
  lab.host('a').net.ethtool.setFeatures('eth0', { 'tx-checksum-ip-generic': false });
  const { netns } = lab.host('b');
  const link = await openXskLink('eth0', { netns, match: 'all' });
  const host = new Host();
  host.attach(new FrameLink(link), { addresses: ['10.77.0.99/24', 'fd00:77::99/64'] });
  return host;
}

function curl(lab: Lab, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = lab
      .host('a')
      .spawn('curl', ['-sS', '--max-time', '10', '-g', url], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      text += chunk;
    });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve(text) : reject(new Error(`curl: ${code} ${text}`))));
  });
}

function ping(lab: Lab, address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = ['-c', '3', '-i', '0.05', '-W', '3', '-s', '3000', address];
    const child = lab.host('a').spawn('ping', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    child.on('error', reject);
    child.on('exit', () => resolve(text));
  });
}

describe('a host of its own on the wire, over AF_XDP', () => {
  for (const address of ['10.77.0.99', 'fd00:77::99']) {
    it(`${address} answers ARP or neighbour solicitations, pings in fragments, and HTTP`, async () => {
      using lab = Lab.create({
        hosts: ['a', 'b'],
        // The kernel on that side has no address at all: whatever answers is ours.
        wires: [{ between: ['a', { host: 'b', addresses: [] }] }],
      });
      await using host = await hostOnWire(lab);
      const server = createServer((request, response) => response.end(`you asked for ${request.url}`));
      using _listener = host.listen({ port: 80, allowHalfOpen: true }, (socket) =>
        server.emit('connection', socket),
      );
      assert.match(await ping(lab, address), /3 received, 0% packet loss/);
      const url = address.includes(':') ? `http://[${address}]/page` : `http://${address}/page`;
      assert.equal(await curl(lab, url), 'you asked for /page');
      assert.ok((await host.ping(address.includes(':') ? 'fd00:77::1' : '10.77.0.1')) > 0);
    });
  }

  it('nobody answers for an address: EHOSTUNREACH', async () => {
    using lab = Lab.create({ hosts: ['a', 'b'], wires: [{ between: ['a', { host: 'b', addresses: [] }] }] });
    await using host = await hostOnWire(lab);
    const [line] = host.interfaces;
    await assert.rejects(line!.connect({ host: '10.77.0.55', port: 80 }), {
      code: 'EHOSTUNREACH',
      stableCode: 'BW_UNREACHABLE',
    });
  });
});

describe('two hosts on a link in memory', () => {
  it('find each other by ARP and neighbour discovery, and talk', async () => {
    const [a, b] = memoryLinkPair();
    await using left = new Host();
    await using right = new Host();
    left.attach(new FrameLink(a), { addresses: ['192.0.2.1/24', '2001:db8::1/64'] });
    right.attach(new FrameLink(b), { addresses: ['192.0.2.2/24', '2001:db8::2/64'] });
    using server = right.listen({}, (socket) => socket.pipe(socket));
    for (const host of ['192.0.2.2', '2001:db8::2']) {
      const socket = left.connect({ host, port: server.port, allowHalfOpen: true });
      socket.end('hello there');
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk as Buffer);
      assert.equal(Buffer.concat(chunks).toString(), 'hello there');
      assert.ok((await left.ping(host)) >= 0);
    }
  });
});
