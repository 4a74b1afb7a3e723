import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Netlink } from '../../src/netlink/index.ts';
import { buildPacket } from '../../src/packet/index.ts';
import { Netns, requireNoLeaks, SystemError, takeStock } from '../../src/sys/index.ts';
import { TunDevice } from '../../src/tun/index.ts';

const stock = takeStock();
const netns = Netns.createAnonymous();
const net = new Netlink({ netns });
after(() => {
  net.close();
  netns.close();
  requireNoLeaks(stock);
});

/** An IPv4 packet with a UDP datagram. */
function udp(source: string, destination: string, text: string): Uint8Array {
  const data = new TextEncoder().encode(text);
  const packet = new Uint8Array(28 + data.length);
  packet.set(
    buildPacket([
      { layer: 'ipv4', source, destination },
      { layer: 'udp', sourcePort: 7, destinationPort: 9 },
      data,
    ]),
  );
  return packet;
}

it('makes a device with address, MTU and queues, and takes it away', () => {
  const tun = TunDevice.open({
    name: 'bwtest0',
    netns,
    mtu: 1492,
    addresses: ['192.0.2.1/32', '2001:db8::1/128'],
    queues: 2,
  });
  const link = net.links.get('bwtest0');
  assert.equal(link.index, tun.index);
  assert.equal(link.mtu, 1492);
  assert.equal(link.up, true);
  assert.equal(link.info?.kind, 'tun');
  assert.equal(tun.queues.length, 2);
  const addresses = net.addresses.list({ link: 'bwtest0' }).map(({ address }) => address);
  assert.deepEqual(addresses.sort(), ['192.0.2.1', '2001:db8::1']);
  assert.equal(tun.configure('ipv4', 'rp_filter', 2), true);
  assert.equal(tun.configure('ipv4', 'no_such_thing', 2), false);
  tun.close();
  tun.close();
  assert.equal(net.links.find('bwtest0'), undefined);
});

it('numbers devices, and joins none that is there', () => {
  using first = TunDevice.open({ netns });
  using second = TunDevice.open({ netns });
  assert.match(first.name, /^bw\d+$/);
  assert.notEqual(first.name, second.name);
  assert.throws(
    () => TunDevice.open({ name: first.name, netns }),
    (error) => error instanceof SystemError && error.code === 'BW_BUSY',
  );
  for (const name of ['', 'sixteen-letters!', 'a b', 'a/b', '..']) {
    assert.throws(() => TunDevice.open({ name, netns }), { code: 'BW_ARGUMENT' });
  }
  assert.throws(() => TunDevice.open({ netns, queues: 0 }), { code: 'BW_ARGUMENT' });
});

it('reads what the kernel sends and gives it what it receives', async () => {
  using tun = TunDevice.open({ netns, addresses: ['192.0.2.1/24'] });
  const queue = tun.queues[0]!;
  const child = netns.run(() =>
    spawn('ping', ['-c', '1', '-W', '5', '192.0.2.9'], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  const seen: number[] = [];
  queue.watch(() =>
    queue.receive((bytes, at, length) => {
      // An echo request becomes its own answer: addresses swapped, type 0, the checksum eight hundred more.
      if (bytes[at + 9] !== 1 || bytes[at + 20] !== 8) return;
      seen.push(length);
      const answer = bytes.slice(at, at + length);
      answer.copyWithin(12, 16, 20);
      answer.set(bytes.subarray(at + 12, at + 16), 16);
      answer[20] = 0;
      const view = new DataView(answer.buffer);
      const sum = view.getUint16(22, false) + 0x0800;
      view.setUint16(22, (sum & 0xffff) + (sum >>> 16), false);
      assert.equal(queue.send(answer), true);
    }),
  );
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
  assert.deepEqual(seen, [84]);
});

it('says when the kernel drops a packet, and survives the loss of its device', () => {
  using tun = TunDevice.open({ netns, addresses: ['192.0.2.1/24'] });
  const queue = tun.queues[0]!;
  const packet = udp('192.0.2.9', '192.0.2.1', 'hello');
  assert.equal(queue.send(packet), true);
  assert.equal(queue.send(new Uint8Array(0)), false);
  assert.equal(queue.send(new Uint8Array(40)), false, 'neither IPv4 nor IPv6');
  net.links.set(tun.name, { up: false });
  assert.equal(queue.send(packet), false);
  net.links.delete(tun.name);
  assert.equal(queue.send(packet), false);
  assert.equal(
    queue.receive(() => {}),
    0,
  );
});

it('carries frames as a TAP device, and headers of virtio where asked', () => {
  using tap = TunDevice.open({ netns, kind: 'tap', name: 'bwtap0' });
  assert.equal(net.links.get('bwtap0').type, 'ether');
  assert.equal(tap.queues[0]!.send(new Uint8Array(60)), true);
  using tun = TunDevice.open({ netns, vnetHeader: true, addresses: ['192.0.2.1/24'] });
  const packet = udp('192.0.2.9', '192.0.2.1', 'hello');
  const framed = new Uint8Array(10 + packet.length);
  framed.set(packet, 10);
  assert.equal(tun.queues[0]!.send(framed), true);
  assert.equal(tun.queues[0]!.send(packet), false, 'its first bytes are no header');
});

it('is gone when its process was killed', async () => {
  const program = fileURLToPath(new URL('open-and-wait.js', import.meta.url));
  const child = netns.run(() =>
    spawn(process.execPath, [program, 'bwkilled'], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  await once(child.stdout!, 'data');
  assert.notEqual(net.links.find('bwkilled'), undefined);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(net.links.find('bwkilled'), undefined);
});
