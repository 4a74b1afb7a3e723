/**
 * What bench/c/xsk-yardstick.c does, in TypeScript: same arguments, same output. A process of its own, as the C
 * program is, so that both are pinned and measured alike.
 */
import { argv, cpuUsage, exit, hrtime, stderr, stdout } from 'node:process';
import { attachXdp, load } from '../src/bpf/index.ts';
import { type Driver, drive, redirectSpec, Umem, XskSocket } from '../src/xsk/index.ts';

const [scenario, name, seconds, batchText, wait, mode] = argv.slice(2);
if (mode === undefined || name === undefined || (mode !== 'driver' && mode !== 'generic')) {
  stderr.write('see the head of xsk-yardstick.c for the arguments\n');
  exit(2);
}
const batch = Number(batchText);
const packet = new Uint8Array(64);
packet.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);

using umem = Umem.create();
using socket = await XskSocket.open({ umem, interface: name, copy: 'copy' });
using loaded = load(redirectSpec('all', { queues: 1 }));
loaded.maps.sockets.set(0, socket);
using attached = attachXdp(loaded.program, { interface: name, mode });
stdout.write('ready\n');

const ignore = (): void => {};
const build = (bytes: Uint8Array, at: number): number => {
  for (let i = 0; i < 64; i++) bytes[at + i] = packet[i]!;
  return 64;
};
const swap = (bytes: Uint8Array, at: number, length: number): number => {
  for (let i = at; i < at + 6; i++) {
    const byte = bytes[i]!;
    bytes[i] = bytes[i + 6]!;
    bytes[i + 6] = byte;
  }
  return length;
};
const works: Record<string, () => number> = {
  rxdrop: () => socket.receive(ignore, batch),
  txpush: () => socket.send(batch, build),
  l2fwd: () => socket.forward(swap, socket, batch),
};
let packets = 0;
const once = works[scenario ?? ''] ?? exit(2);
const work = (): number => {
  const count = once();
  packets += count;
  return count;
};
const stop = new AbortController();
setTimeout(() => stop.abort(), Number(seconds) * 1000);
const heapBefore = heapSize();
const from = hrtime.bigint();
const cpu = cpuUsage();
await drive({ work, name, fds: [socket.fd] }, { driver: wait as Driver, signal: stop.signal });
const took = Number(hrtime.bigint() - from) / 1e9;
const used = cpuUsage(cpu);
const heap = heapSize() - heapBefore;
stdout.write(
  `${JSON.stringify({ packets, seconds: took, cpu: (used.user + used.system) / 1e6, mode: `${attached.mode} ${socket.mode}`, heap })}\n`,
);

function heapSize(): number {
  return process.memoryUsage().heapUsed;
}
