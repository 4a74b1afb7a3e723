/**
 * What bench/c/xsk-yardstick.c does, in TypeScript: same arguments, same output. A process of its own, as the C
 * program is, so that both are pinned and measured alike. In mode `packet` the same over AF_PACKET's mmap
 * ring, in mode `plain` over AF_PACKET with a system call for each packet. With a
 * last argument `deep` the RX ring has 4096 entries, and nearly all frames wait for packets.
 */

import { PerformanceObserver } from 'node:perf_hooks';
import { argv, cpuUsage, exit, hrtime, memoryUsage, stderr, stdout } from 'node:process';
import { openPlainPacket } from '../src/apps/bench-packet.ts';
import { assemble, func, mov64, r0, exit as ret } from '../src/asm/index.ts';
import { attachXdp, load } from '../src/bpf/index.ts';
import { type Driver, drive, PacketLink, redirectSpec, Umem, XskSocket } from '../src/xsk/index.ts';

const [scenario = '', name = '', seconds = '1', batchText, wait = 'nap', mode, deep] = argv.slice(2);
if (mode !== 'driver' && mode !== 'generic' && mode !== 'packet' && mode !== 'plain') {
  stderr.write('see the head of xsk-yardstick.c for the arguments\n');
  exit(2);
}
const WARM_UP = 1000;
const DEEP = { rings: { rx: 4096 }, fillTarget: 3584 };
const batch = Number(batchText);
const packet = new Uint8Array(64);
packet.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
const samples: number[] = [];

const subject = mode === 'packet' || mode === 'plain' ? overPacket(mode) : await overXdp(mode);
stdout.write('ready\n');
let packets = 0;
const { once } = subject;
const work = (): number => {
  const count = once();
  packets += count;
  return count;
};
const stop = new AbortController();
let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ['gc'] });
let start = { at: hrtime.bigint(), cpu: cpuUsage(), heap: 0, collections: 0 };
setTimeout(() => {
  packets = 0;
  samples.length = 0;
  start = { at: hrtime.bigint(), cpu: cpuUsage(), heap: memoryUsage().heapUsed, collections };
}, WARM_UP);
setTimeout(() => stop.abort(), WARM_UP + Number(seconds) * 1000);
await drive(
  { work, name, fds: subject.fds, room: subject.room },
  { driver: wait as Driver, signal: stop.signal },
);
const took = Number(hrtime.bigint() - start.at) / 1e9;
const used = cpuUsage(start.cpu);
const heap = memoryUsage().heapUsed - start.heap;
samples.sort((a, b) => a - b);
stdout.write(
  `${JSON.stringify({
    packets,
    seconds: took,
    cpu: (used.user + used.system) / 1e6,
    mode: subject.mode,
    p50: samples[samples.length >> 1],
    p99: samples[Math.floor(samples.length * 0.99)],
    heap,
    collections: collections - start.collections,
  })}\n`,
);
exit(0);

interface Subject {
  readonly once: () => number;
  readonly fds: readonly XskSocket['fd'][];
  readonly mode: string;
  /** Packets that may wait. */
  readonly room: number;
}

async function overXdp(where: 'driver' | 'generic'): Promise<Subject> {
  const umem = Umem.create();
  for (let at = 0; at < umem.bytes.length; at += umem.frameSize) umem.bytes.set(packet, at);
  const socket = await XskSocket.open({
    umem,
    interface: name,
    copy: 'copy',
    busyTimeout: 2000,
    ...(deep === 'deep' ? DEEP : {}),
  });
  const loaded = load(redirectSpec('all', { queues: 1 }));
  loaded.maps.sockets.set(0, socket);
  const attached = attachXdp(loaded.program, { interface: name, mode: where });
  const view = new DataView(umem.bytes.buffer, umem.bytes.byteOffset, umem.bytes.length);
  const ignore = (): void => {};
  const sample = (_bytes: Uint8Array, at: number): void => {
    samples.push(Number(hrtime.bigint() - view.getBigUint64(at + 16, true)) / 1000);
  };
  // The packets lie in their frames from the beginning on, as in a program that sends always the same.
  const build = (): number => 64;
  // Packets begin at even addresses here, so that addresses swap in three steps, as the C compiler's memcpy does it.
  const halves = new Uint16Array(umem.bytes.buffer, umem.bytes.byteOffset, umem.bytes.length / 2);
  const swapHalves = (_bytes: Uint8Array, at: number, length: number): number => {
    const i = at >> 1;
    const first = halves[i]!;
    const second = halves[i + 1]!;
    const third = halves[i + 2]!;
    halves[i] = halves[i + 3]!;
    halves[i + 1] = halves[i + 4]!;
    halves[i + 2] = halves[i + 5]!;
    halves[i + 3] = first;
    halves[i + 4] = second;
    halves[i + 5] = third;
    return length;
  };
  const works: Record<string, () => number> = {
    rxdrop: () => socket.receive(ignore, batch),
    txpush: () => socket.send(batch, build),
    l2fwd: () => socket.forward(swapHalves, socket, batch),
    latency: () => socket.receive(sample, batch),
  };
  return {
    once: works[scenario] ?? exit(2),
    fds: [socket.fd],
    mode: `${attached.mode} ${socket.mode}`,
    room: socket.fillTarget,
  };
}

function overPacket(how: 'packet' | 'plain'): Subject {
  // So that the interface takes live frames as it does for AF_XDP.
  const assembly = assemble([func('pass', 1), mov64(r0, 2), ret()]);
  const pass = {
    name: 'pass',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: {},
  } as const;
  attachXdp(load({ ...pass, ...assembly }).program, { interface: name });
  const link = how === 'plain' ? overPlain() : PacketLink.open(name, { frames: 2048 });
  const ignore = (): void => {};
  const build = (bytes: Uint8Array, at: number): number => {
    bytes.set(packet, at);
    return 64;
  };
  const waiting = new Uint8Array(batch * 2048);
  const lengths = new Int32Array(batch);
  let taken = 0;
  const copyIn = (bytes: Uint8Array, at: number, length: number): void => {
    waiting.set(bytes.subarray(at, at + length), 2048 * taken);
    lengths[taken++] = length;
  };
  const copyOut = (bytes: Uint8Array, at: number, _room: number, index: number): number => {
    const length = lengths[index]!;
    bytes.set(waiting.subarray(2048 * index, 2048 * index + length), at);
    return swap(bytes, at, length);
  };
  const works: Record<string, () => number> = {
    rxdrop: () => link.receive(ignore, batch),
    txpush: () => link.send(batch, build),
    l2fwd: () => {
      taken = 0;
      const count = link.receive(copyIn, batch);
      for (let done = 0; done < count; ) {
        const sent = link.send(count - done, (bytes, at, room, index) =>
          copyOut(bytes, at, room, done + index),
        );
        if (sent === 0) break;
        done += sent;
      }
      return count;
    },
  };
  return { once: works[scenario] ?? exit(2), fds: [], mode: `AF_PACKET ${how}`, room: 0 };
}

function overPlain(): Pick<PacketLink, 'receive' | 'send'> {
  const socket = openPlainPacket(name);
  return {
    receive: (visit, limit = batch) => socket.receive(visit, limit),
    send: (count, build) => {
      let index = 0;
      return socket.send(count, (bytes, at) => build(bytes, at, 2048, index++));
    },
  };
}

function swap(bytes: Uint8Array, at: number, length: number): number {
  for (let i = at; i < at + 6; i++) {
    const byte = bytes[i]!;
    bytes[i] = bytes[i + 6]!;
    bytes[i + 6] = byte;
  }
  return length;
}
