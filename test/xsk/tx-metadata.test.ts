import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import fc from 'fast-check';
import { attachXdp, load } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { checksum } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { DescriptorOption, redirectSpec, TxMetadata, Umem, XskSocket } from '../../src/xsk/index.ts';
import { completeChecksum } from '../../src/xsk/tx-metadata.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const stock = takeStock();
const lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'] }] });
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

it('completes a checksum by itself as the kernel does, whatever stands in its place beforehand', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2, maxLength: 300 }),
      fc.nat(100),
      fc.nat(298),
      (packet, before, place) => {
        const offset = place % (packet.length - 1);
        const bytes = new Uint8Array(before + packet.length + 7).fill(0xa5);
        bytes.set(packet, before);
        completeChecksum(bytes, before, before + packet.length, offset);
        const expected = packet.slice();
        const sum = checksum(packet, 0, packet.length);
        expected[offset] = sum >> 8;
        expected[offset + 1] = sum & 0xff;
        assert.deepEqual(bytes.slice(before, before + packet.length), expected);
        assert.ok(
          [...bytes.slice(0, before), ...bytes.slice(before + packet.length)].every((b) => b === 0xa5),
        );
      },
    ),
  );
});

it('a packet with a launch time carries it where the kernel looks, and leaves', async () => {
  using umem = Umem.create({ frames: 64, txMetadata: 'software', debug: true });
  using far = Umem.create({ frames: 64 });
  using socket = await XskSocket.open({ umem, interface: 'eth0', netns: lab.host('near').netns });
  using other = await XskSocket.open({ umem: far, interface: 'eth0', netns: lab.host('far').netns });
  using loaded = load(redirectSpec({ etherTypes: [TEST_ETHER_TYPE] }, { queues: 1 }));
  loaded.maps.sockets.set(0, other);
  using _attached = attachXdp(loaded.program, { interface: 'eth0', netns: lab.host('far').netns });
  const metadata = new TxMetadata(socket);
  const address = socket.reserve();
  umem.bytes.fill(7, address, address + 60);
  new DataView(umem.bytes.buffer, umem.bytes.byteOffset).setUint16(address + 12, TEST_ETHER_TYPE);
  const launchTime = 0x0102_0304_0506_0708n;
  const options = metadata.request(address, 60, { launchTime });
  assert.equal(options, DescriptorOption.txMetadata);
  // struct xsk_tx_metadata { flags @0, csum_start @8, csum_offset @10, launch_time @16 }, 24 bytes before the packet
  const view = new DataView(umem.bytes.buffer, umem.bytes.byteOffset + address - 24, 24);
  assert.equal(view.getBigUint64(0, true), 4n);
  assert.equal(view.getBigUint64(16, true), launchTime);
  assert.equal(metadata.request(address, 60, {}), 0);
  metadata.request(address, 60, { launchTime });
  socket.enqueue(address, 60, options);
  // A veth has no clock to wait by: it sends at once.
  assert.equal(await socket.drain(), true);
  for (let tries = 0; other.waiting() === 0 && tries < 500; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  let length = 0;
  other.receive((bytes, at, octets) => {
    assert.equal(bytes[at], 7);
    length = octets;
  });
  assert.equal(length, 60);
  assert.equal(socket.statistics().txInvalidDescriptors, 0n);
});

it('refuses metadata without room for it', async () => {
  using umem = Umem.create({ frames: 64 });
  using socket = await XskSocket.open({ umem, interface: 'eth0', netns: lab.host('near').netns });
  assert.throws(() => new TxMetadata(socket), { code: 'BW_ARGUMENT', message: /without `txMetadata`/ });
});
