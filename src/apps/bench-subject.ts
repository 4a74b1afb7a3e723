/**
 * One subject of a benchmark, in a process of its own: started by `runBench` with its orders as JSON. It says `ready`,
 * works until it is told to end, and prints what it did.
 */
import { argv, cpuUsage, exit, hrtime, stdin, stdout } from 'node:process';
import { attachXdp, load } from '../bpf/index.ts';
import { drive, redirectSpec, Umem, XskSocket } from '../xsk/index.ts';
import type { Scenario, SubjectOrder } from './bench.ts';
import { pinTo } from './bench-cpu.ts';
import { openPacketRings, openPlainPacket, type PacketSubject } from './bench-packet.ts';

/** What a subject prints at its end. */
export interface SubjectReport {
  readonly packets: number;
  /** Of the measured time. */
  readonly seconds: number;
  /** Of CPU time that the process itself used. */
  readonly cpu: number;
  readonly mode: string;
}

const BATCH = 64;
const LENGTH = 64;
const frame = new Uint8Array(LENGTH);
frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);

if (argv[2] !== undefined) await work(JSON.parse(argv[2]) as SubjectOrder);

async function work(order: SubjectOrder): Promise<void> {
  pinTo(order.cpu);
  const { once, fds, mode, room = 0 } = order.over === 'xdp' ? await overXdp(order) : overPacket(order);
  let packets = 0;
  let from = hrtime.bigint();
  let cpu = cpuUsage();
  const counted = (): number => {
    const count = once();
    packets += count;
    return count;
  };
  const stop = new AbortController();
  let report: SubjectReport | undefined;
  const tell = (): SubjectReport => ({
    packets,
    seconds: Number(hrtime.bigint() - from) / 1e9,
    cpu: usedSince(cpu),
    mode,
  });
  // The first byte on the standard input begins the count, the second ends it.
  let begun = false;
  stdin.on('data', () => {
    if (begun) {
      report = tell();
      stop.abort();
      return;
    }
    begun = true;
    packets = 0;
    from = hrtime.bigint();
    cpu = cpuUsage();
  });
  stdin.once('end', () => stop.abort());
  stdout.write('ready\n');
  await drive(
    { work: counted, name: order.interface, fds, room },
    { driver: order.driver, signal: stop.signal },
  );
  stdout.write(`${JSON.stringify(report ?? tell())}\n`, () => exit(0));
}

function usedSince(cpu: NodeJS.CpuUsage): number {
  const { user, system } = cpuUsage(cpu);
  return (user + system) / 1e6;
}

interface Subject {
  readonly once: () => number;
  readonly fds: readonly XskSocket['fd'][];
  readonly mode: string;
  /** Packets that may wait. */
  readonly room?: number;
}

async function overXdp({ interface: name, mode, scenario }: SubjectOrder): Promise<Subject> {
  const umem = Umem.create();
  for (let at = 0; at < umem.bytes.length; at += umem.frameSize) umem.bytes.set(frame, at);
  const socket = await XskSocket.open({ umem, interface: name, busyTimeout: 2000 });
  const loaded = load(redirectSpec('all', { queues: 1 }));
  loaded.maps.sockets.set(0, socket);
  const attached = attachXdp(loaded.program, { interface: name, mode: mode ?? 'driver' });
  const ignore = (): void => {};
  // The frames were written once, as by a program that sends the same again and again.
  const build = (): number => LENGTH;
  const works: Record<Scenario, () => number> = {
    rxdrop: () => socket.receive(ignore, BATCH),
    txpush: () => socket.send(BATCH, build),
    l2fwd: () => socket.forward(swapped, socket, BATCH),
  };
  const room = socket.fillTarget;
  return { once: works[scenario], fds: [socket.fd], mode: `${attached.mode}, ${socket.mode}`, room };
}

function overPacket({ interface: name, over, scenario }: SubjectOrder): Subject {
  const socket = over === 'packet-rings' ? openPacketRings(name) : openPlainPacket(name);
  const ignore = (): void => {};
  const build = (bytes: Uint8Array, at: number): number => {
    for (let i = 0; i < LENGTH; i++) bytes[at + i] = frame[i]!;
    return LENGTH;
  };
  const works: Record<Scenario, () => number> = {
    rxdrop: () => socket.receive(ignore, BATCH),
    txpush: () => socket.send(BATCH, build),
    l2fwd: forwarder(socket),
  };
  return { once: works[scenario], fds: [], mode: over === 'packet-rings' ? 'mmap, V3' : 'system calls' };
}

/** A frame that came in is copied once, from where it was received to where it is sent from. */
function forwarder(socket: PacketSubject): () => number {
  const waiting = new Uint8Array(BATCH * 2048);
  const lengths = new Int32Array(BATCH);
  let taken = 0;
  let given = 0;
  const copyIn = (bytes: Uint8Array, at: number, length: number): void => {
    const to = 2048 * taken;
    for (let i = 0; i < length; i++) waiting[to + i] = bytes[at + i]!;
    lengths[taken++] = length;
  };
  const copyOut = (bytes: Uint8Array, at: number): number => {
    const from = 2048 * given;
    const length = lengths[given++]!;
    for (let i = 0; i < length; i++) bytes[at + i] = waiting[from + i]!;
    return swapped(bytes, at, length);
  };
  return () => {
    taken = 0;
    given = 0;
    const count = socket.receive(copyIn, BATCH);
    if (count > 0) socket.send(count, copyOut);
    return count;
  };
}

/** Source and destination MAC change places. */
function swapped(bytes: Uint8Array, at: number, length: number): number {
  for (let i = at; i < at + 6; i++) {
    const byte = bytes[i]!;
    bytes[i] = bytes[i + 6]!;
    bytes[i + 6] = byte;
  }
  return length;
}
