/**
 * Floods an interface by live frames: the kernel repeats one frame and redirects it out of the interface. Or, with a
 * rate, sends single packets with the time in them, for latencies.
 *
 *   node xsk-generator.js flood IFNAME SECONDS BATCH      (to be killed: the kernel repeats it in one call)
 *   node xsk-generator.js steady IFNAME SECONDS PACKETS-PER-SECOND
 *   node xsk-generator.js clock IFNAME SECONDS PACKETS-PER-SECOND
 */
import { argv, hrtime, stdout } from 'node:process';
import { Sender } from '../src/apps/send.ts';
import { assemble, call, exit, func, mov64, r1, r2 } from '../src/asm/index.ts';
import { load } from '../src/bpf/index.ts';
import { Netlink } from '../src/netlink/index.ts';
import { Sleeper, Umem, XskSocket } from '../src/xsk/index.ts';

const [kind, name = '', secondsText = '1', figure = '64'] = argv.slice(2);
const frame = new Uint8Array(64);
frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
const end = performance.now() + Number(secondsText) * 1000;
if (kind === 'flood') flood(Number(figure));
else if (kind === 'steady') await steady(Number(figure));
else await clock(Number(figure));

function flood(batchSize: number): void {
  using net = new Netlink();
  const { index } = net.links.get(name);
  const assembly = assemble([func('flood', 1), mov64(r1, index), mov64(r2, 0), call('redirect'), exit()]);
  const spec = {
    name: 'flood',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'GPL',
    maps: {},
  } as const;
  using loaded = load({ ...spec, ...assembly });
  stdout.write('ready\n');
  // Each call takes 25 ms before its first frame, in which the subject would have nothing to do: so only one.
  loaded.program.testRun({ data: frame, repeat: 0x7fff_ffff, liveFrames: true, batchSize });
}

async function steady(rate: number): Promise<void> {
  await using sender = await Sender.open({
    interface: name,
    payload: { kind: 'frames', frames: [frame] },
    engine: 'live',
    rate,
    duration: Number(secondsText) * 1000,
  });
  stdout.write('ready\n');
  for await (const _ of sender.reports(60_000));
}

async function clock(perSecond: number): Promise<void> {
  using umem = Umem.create({ frames: 256 });
  using socket = await XskSocket.open({ umem, interface: name });
  using sleeper = new Sleeper(1e6 / perSecond);
  const view = new DataView(umem.bytes.buffer, umem.bytes.byteOffset, umem.bytes.length);
  stdout.write('ready\n');
  while (performance.now() < end) {
    sleeper.sleep();
    socket.send(1, (bytes, at) => {
      bytes.set(frame, at);
      view.setBigUint64(at + 16, hrtime.bigint(), true);
      return 64;
    });
  }
}
