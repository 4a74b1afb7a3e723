/** Programs on the interfaces of a lab, where real frames come in and go out again. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { attachXdp, load } from '../../src/bpf/index.ts';
import {
  array,
  compile,
  cpuMap,
  devMap,
  program,
  programArray,
  struct,
  u32,
  u64,
  xskMap,
} from '../../src/compiler/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { PacketLink, Umem, XskSocket } from '../../src/xsk/index.ts';
import { noise } from './agree.ts';

/** IEEE 802's EtherType for local experiments: nothing else on the wire has it. */
const TEST = 0x88b5;

let lab: Lab;
/** The program's interface in the middle, and the one that leads on. */
let inward: { readonly index: number; readonly mac: number };
let outward: { readonly index: number; readonly mac: number };
const cleanups: (() => void)[] = [];

before(() => {
  lab = Lab.create({
    hosts: ['a', { name: 'm', forwarding: true }, 'b'],
    wires: [{ between: ['a', 'm'] }, { between: ['m', 'b'] }, { between: ['a', 'm'], mtu: 9000 }],
  });
  [inward, outward] = ['eth0', 'eth1'].map((name) => {
    const link = lab.host('m').net.links.get(name);
    return { index: link.index, mac: Number.parseInt(link.address!.replaceAll(':', ''), 16) };
  }) as [typeof inward, typeof outward];
  // A veth takes redirected frames only where its peer runs a program too.
  const pass = load(compile(program('pass', {}, () => 'pass')));
  const attached = attachXdp(pass.program, { interface: 'eth0', netns: lab.host('b').netns });
  cleanups.push(
    () => attached.close(),
    () => pass.close(),
  );
});
after(() => {
  for (const clean of cleanups) clean();
  lab.destroy();
});

const attachments: (() => void)[] = [];
afterEach(() => {
  for (const detach of attachments.splice(0).reverse()) detach();
});

/** Puts a program on the middle's interface until the test is over. */
function on<L extends ReturnType<typeof load>>(loaded: L, name = 'eth0'): L {
  const attached = attachXdp(loaded.program, { interface: name, netns: lab.host('m').netns });
  assert.equal(attached.mode, 'driver');
  attachments.push(() => {
    attached.close();
    loaded.close();
  });
  return loaded;
}

function frame(length: number, etherType: number = TEST): Uint8Array {
  const bytes = noise(length, length);
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, etherType >> 8, etherType & 0xff]);
  return bytes;
}

/** Sends a frame from host a and gives what arrives elsewhere; fails after five seconds. */
async function carry(
  sent: Uint8Array,
  to: { readonly host: string; readonly interface?: string },
  from = 'eth0',
): Promise<Buffer> {
  const receiver = PacketLink.open(to.interface ?? 'eth0', {
    netns: lab.host(to.host).netns,
    etherType: etherTypeOf(sent),
  });
  const sender = PacketLink.open(from, { netns: lab.host('a').netns });
  try {
    sender.send(1, (bytes, at) => {
      bytes.set(sent, at);
      return sent.length;
    });
    let got: Buffer | undefined;
    for (const end = Date.now() + 5000; got === undefined; ) {
      assert.ok(Date.now() < end, `no frame came to ${to.host}`);
      receiver.receive((bytes, at, length) => {
        got = Buffer.from(bytes.subarray(at, at + length));
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
    return got;
  } finally {
    await sender.close();
    await receiver.close();
  }
}

function etherTypeOf(bytes: Uint8Array): number {
  return bytes[12]! * 256 + bytes[13]!;
}

describe('real frames', () => {
  it('go to another device by a map, and by number', async () => {
    const devices = devMap('devices', 2);
    const away = on(
      load(
        compile(
          program('to_device', { devices, ifindex: outward.index }, ({ devices, ifindex }, pkt, kernel) => {
            if (pkt.eth().etherType !== 0x88b5) return 'pass';
            pkt.store.be32(14, 0x01020304);
            return pkt.u8(18) === 1 ? kernel.redirect(ifindex) : devices.redirect(1, 'aborted');
          }),
        ),
      ),
    );
    // An interface's number means what it means where the map is written.
    lab.host('m').run(() => away.maps.devices.set(1, { ifindex: outward.index, prog: 0 }));
    for (const way of [0, 1]) {
      const sent = frame(90);
      sent[18] = way;
      const wanted = Buffer.from(sent);
      wanted.writeUInt32BE(0x01020304, 14);
      assert.deepEqual(await carry(sent, { host: 'b' }), wanted);
    }
  });

  it('go on at another CPU', async () => {
    const cpus = cpuMap('cpus', 1);
    const spread = on(
      load(
        compile(
          program('to_cpu', { cpus }, ({ cpus }, pkt) => {
            if (pkt.eth().etherType !== 0x88b5) return 'pass';
            pkt.store.u8(14, 0xcc);
            return cpus.redirect(0, 'drop');
          }),
        ),
      ),
    );
    spread.maps.cpus.set(0, { qsize: 64, prog: 0 });
    const got = await carry(frame(70), { host: 'm' });
    assert.equal(got[14], 0xcc);
  });

  it('go to an AF_XDP socket', async () => {
    const sockets = xskMap('sockets', 1);
    using umem = Umem.create({ frames: 64 });
    const { netns } = lab.host('m');
    const rings = { rx: 64, tx: 64, fill: 64 };
    using socket = await XskSocket.open({ umem, netns, interface: 'eth0', rings });
    const taken = on(
      load(
        compile(
          program('to_socket', { sockets }, ({ sockets }, pkt) => {
            if (pkt.eth().etherType !== 0x88b5) return 'pass';
            return sockets.redirect(pkt.rxQueue, 'drop');
          }),
        ),
      ),
    );
    taken.maps.sockets.set(0, socket);
    const sent = frame(100);
    const sender = PacketLink.open('eth0', { netns: lab.host('a').netns });
    sender.send(1, (bytes, at) => {
      bytes.set(sent, at);
      return sent.length;
    });
    await sender.close();
    const seen: Buffer[] = [];
    for (const end = Date.now() + 5000; seen.length === 0; ) {
      assert.ok(Date.now() < end, 'no frame came to the socket');
      socket.receive((bytes, at, length) => {
        seen.push(Buffer.from(bytes.subarray(at, at + length)));
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(seen, [Buffer.from(sent)]);
  });

  it('go through several programs, and have their ends moved', async () => {
    const others = programArray('others', 4);
    const moved = array('moved', u32, 2);
    const second = load(
      compile(
        program('second', { moved }, ({ moved }, pkt) => {
          if (!pkt.adjustMeta(-8)) return 'aborted';
          moved.set(0, 1);
          if (!pkt.adjustHead(-4)) return 'aborted';
          const source = pkt.bytes(10, 6);
          pkt.store.bytes(0, pkt.bytes(4, 6));
          pkt.store.bytes(6, source);
          pkt.store.be16(12, 0x88b5);
          pkt.store.be32(14, 0xfeedf00d);
          if (!pkt.adjustTail(-10)) return 'aborted';
          moved.set(1, pkt.length);
          return 'pass';
        }),
      ),
    );
    const first = on(
      load(
        compile(
          program('first', { others }, ({ others }, pkt) =>
            pkt.eth().etherType === 0x88b5 ? others.tailCall(3, 'drop') : 'pass',
          ),
        ),
      ),
    );
    first.maps.others.set(3, second.program as never);
    const sent = frame(100);
    const got = await carry(sent, { host: 'm' });
    const wanted = Buffer.concat([
      sent.subarray(0, 14),
      Buffer.from('feedf00d', 'hex'),
      sent.subarray(14, 90),
    ]);
    // What stood after the addresses was the EtherType's second half and on.
    wanted.set(sent.subarray(14, 90), 18);
    assert.deepEqual(got, wanted);
    assert.deepEqual([second.maps.moved.get(0), second.maps.moved.get(1)], [1, 94]);
    second.close();
  });

  it('are routed as the kernel would', async () => {
    const { net } = lab.host('m');
    const b = lab.host('b').net.links.get('eth0').address!;
    const target = net.addresses
      .list()
      .find(({ index, address }) => index === outward.index && /^10\./.test(address));
    assert.ok(target !== undefined);
    const address = target.address.replace(/\.\d+$/, '.2');
    net.neighbours.replace(outward.index, address, b);
    const found = array('found', struct('Found', { code: u32, ifindex: u32, times: u64 }), 1);
    const router = on(
      load(
        compile(
          program('router', { found }, ({ found }, pkt, kernel) => {
            if (pkt.eth().etherType !== 0x0800) return 'pass';
            const ip = pkt.ipv4(14);
            if (ip.protocol !== 253) return 'pass';
            const { source, destination } = ip;
            const route = kernel.fibLookup({ source, destination, ifindex: pkt.ingressIfindex });
            const slot = found.get(0);
            if (!slot) return 'aborted';
            slot.code = route.code;
            slot.ifindex = route.ifindex;
            slot.times += 1n;
            if (route.code !== 0) return 'drop';
            const eth = pkt.eth();
            eth.source = route.source;
            eth.destination = route.destination;
            ip.ttl -= 1;
            ip.checksum = kernel.csumReplace16(ip.checksum, (ip.ttl + 1) * 256, ip.ttl * 256);
            return kernel.redirect(route.ifindex);
          }),
        ),
      ),
    );
    const from = net.addresses
      .list()
      .find(({ index, address: own }) => index === inward.index && /^10\./.test(own))!;
    const sent = frame(60, 0x0800);
    // IPv4 (RFC 791), protocol 253 of RFC 3692 for experiments; the checksum as a sender would write it.
    const header = [0x45, 0, 0, 46, 0, 1, 0, 0, 64, 253, 0, 0];
    const octets = (text: string): number[] => text.split('.').map(Number);
    sent.set([...header, ...octets(from.address.replace(/\.\d+$/, '.1')), ...octets(address)], 14);
    const sum = (bytes: Uint8Array): number => {
      let total = 0;
      for (let i = 14; i < 34; i += 2) total += bytes[i]! * 256 + bytes[i + 1]!;
      while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
      return total;
    };
    new DataView(sent.buffer).setUint16(24, ~sum(sent) & 0xffff);
    const got = await carry(sent, { host: 'b' });
    assert.deepEqual(router.maps.found.get(0), { code: 0, ifindex: outward.index, times: 1n });
    assert.equal(got.readUIntBE(0, 6), Number.parseInt(b.replaceAll(':', ''), 16));
    assert.equal(got.readUIntBE(6, 6), outward.mac);
    assert.equal(got[22], 63);
    assert.equal(sum(got), 0xffff, 'the checksum holds');
  });

  it('of 9,000 bytes are read to their end', async () => {
    const sums = array('sums', struct('Sums', { length: u32, linear: u32, sum: u64 }), 1);
    const whole = on(
      load(
        compile(
          program(
            'whole',
            { sums },
            ({ sums }, pkt) => {
              if (pkt.eth().etherType !== 0x88b5) return 'pass';
              const { length } = pkt;
              if (length > 9014) return 'drop';
              let sum = 0;
              for (let i = 0; i + 1 < length; i += 2) sum += pkt.whole.be16(i);
              const slot = sums.get(0);
              if (!slot) return 'aborted';
              slot.length = length;
              slot.linear = pkt.has(1000, 1000) ? 1 : 0;
              slot.sum = BigInt(sum);
              pkt.whole.store.be32(9000, 0xcafef00d);
              return 'pass';
            },
            { frags: true },
          ),
        ),
      ),
      'eth2',
    );
    const sent = frame(9014);
    const got = await carry(sent, { host: 'm', interface: 'eth2' }, 'eth1');
    let sum = 0;
    for (let i = 0; i + 1 < sent.length; i += 2) sum += sent[i]! * 256 + sent[i + 1]!;
    assert.deepEqual(whole.maps.sums.get(0), { length: 9014, linear: 1, sum: BigInt(sum) });
    const wanted = Buffer.from(sent);
    wanted.writeUInt32BE(0xcafef00d, 9000);
    assert.deepEqual(got, wanted);
  });
});
