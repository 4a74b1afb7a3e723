/**
 * Floods an interface by live frames: the kernel repeats one frame and redirects it out of the interface.
 *
 *   node xsk-generator.js IFNAME SECONDS
 */
import { argv, stdout } from 'node:process';
import { assemble, call, exit, func, mov64, r1, r2 } from '../src/asm/index.ts';
import { load } from '../src/bpf/index.ts';
import { Netlink } from '../src/netlink/index.ts';

const [name = '', seconds = '1'] = argv.slice(2);
using net = new Netlink();
const { index } = net.links.get(name);
const assembly = assemble([func('flood', 1), mov64(r1, index), mov64(r2, 0), call('redirect'), exit()]);
using loaded = load({
  name: 'flood',
  type: 'xdp',
  attachType: 'xdp',
  frags: false,
  license: 'GPL',
  maps: {},
  ...assembly,
});
const data = new Uint8Array(64);
data.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
stdout.write('ready\n');
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) {
  loaded.program.testRun({ data, repeat: 1_000_000, liveFrames: true, batchSize: 64 });
}
