/**
 * The packet codecs, ns a packet: views over frames in a shared arena, as AF_XDP receives them, and emitters into it.
 *
 * Figures are of processor time, as others may be using the machine: one thread over a batch of 64 frames that lie 2,048
 * bytes apart and are in the cache. Parsing a header means to read every field of its fixed part.
 */
import {
  ArpView,
  addressSum4,
  addressSum6,
  buildPacket,
  CaptureReader,
  checksum,
  DnsView,
  decodeDns,
  describeLayers,
  EthernetView,
  emitArp,
  emitDns,
  emitEthernet,
  emitIcmp,
  emitIpv4,
  emitIpv6,
  emitPppoe,
  emitTcp,
  emitUdp,
  emitVlan,
  flowHash,
  IcmpView,
  Ipv4View,
  Ipv6View,
  type PacketLayer,
  PacketLayers,
  PcapngWriter,
  PppoeView,
  TcpOptionCursor,
  TcpView,
  UdpView,
  VlanView,
} from '../src/packet/index.ts';
import { type Bench, interleave, type Measured, type Row } from './row.ts';

const RUNS = 7;
const FRAMES = 64;
const STRIDE = 2048;
/** Of processor time, for each run. */
const RUN_MILLISECONDS = 15;
const WARM_UP = 20_000;

const arena = new Uint8Array(new SharedArrayBuffer(FRAMES * STRIDE), 0, FRAMES * STRIDE);
/** Where a header that is parsed or built alone lies in its frame. */
const AT = 14;
/** What was read goes here, so that no read is left out as unused; a plain variable would allocate at each write. */
const sink = new Float64Array(1);

/** One packet's work: the frame begins at `offset` and ends at `end`. */
type Work = (offset: number, end: number) => void;

interface Subject {
  readonly name: string;
  /** The frame that lies in the arena before each run; built ones overwrite it. */
  readonly frame: readonly PacketLayer[];
  readonly work: Work;
}

const eth: PacketLayer = { layer: 'eth', source: 0x020000000001, destination: 0x020000000002 };
const v4: PacketLayer = { layer: 'ipv4', source: 0xc0000201, destination: 0xc0000202 };
const v6: PacketLayer = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8::2' };
const udp = { layer: 'udp', sourcePort: 4000, destinationPort: 5000 } as const;
const tcp = {
  layer: 'tcp',
  sourcePort: 4000,
  destinationPort: 80,
  sequence: 1,
  ack: true,
  options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'timestamps', value: 1, echo: 2 }],
} as const;
const arp = {
  layer: 'arp',
  operation: 1,
  senderHardwareAddress: 0x020000000001,
  senderProtocolAddress: 0xc0000201,
  targetProtocolAddress: 0xc0000202,
} as const;
const query = {
  id: 1,
  recursionDesired: true,
  questions: [{ name: 'www.example.com', type: 'A' }],
} as const;
const answer = {
  ...query,
  response: true,
  answers: [
    { name: 'www.example.com', type: 'CNAME', ttl: 60, target: 'web.example.com' },
    { name: 'web.example.com', type: 'A', ttl: 60, address: '192.0.2.1' },
  ],
} as const;
const source6 = new Uint8Array(16).fill(1);
const destination6 = new Uint8Array(16).fill(2);
const sum4 = addressSum4(0xc0000201, 0xc0000202);
const sum6 = addressSum6(source6, destination6);

const ethernetView = new EthernetView();
const vlanView = new VlanView();
const arpView = new ArpView();
const ipv4View = new Ipv4View();
const ipv6View = new Ipv6View();
const icmpView = new IcmpView();
const udpView = new UdpView();
const tcpView = new TcpView();
const tcpOptions = new TcpOptionCursor();
const pppoeView = new PppoeView();
const dnsView = new DnsView();
const layers = new PacketLayers();

const small: readonly PacketLayer[] = [eth, v4, udp, new Uint8Array(18)];
const large: readonly PacketLayer[] = [eth, v4, udp, new Uint8Array(1472).fill(0x5a)];

const parse: readonly Subject[] = [
  {
    name: 'parse ethernet',
    frame: small,
    work: (offset, end) => {
      const view = ethernetView.at(arena, offset, end);
      sink[0]! += view.destination + view.source + view.etherType;
    },
  },
  {
    name: 'parse vlan',
    frame: [eth, { layer: 'vlan', id: 5 }, v4, udp],
    work: (offset, end) => {
      const view = vlanView.at(arena, offset + AT, end);
      sink[0]! += view.priority + view.id + view.etherType + Number(view.dropEligible);
    },
  },
  {
    name: 'parse arp',
    frame: [eth, arp],
    work: (offset, end) => {
      const view = arpView.at(arena, offset + AT, end);
      sink[0]! += view.operation + view.senderHardwareAddress + view.senderProtocolAddress;
      sink[0]! += view.targetHardwareAddress + view.targetProtocolAddress;
    },
  },
  {
    name: 'parse ipv4',
    frame: small,
    work: (offset, end) => {
      const view = ipv4View.at(arena, offset + AT, end);
      sink[0]! += view.headerLength + view.dscp + view.ecn + view.totalLength + view.identification;
      sink[0]! += view.flags + view.fragmentOffset + view.ttl + view.protocol + view.checksum;
      sink[0]! += view.source + view.destination;
    },
  },
  {
    name: 'parse ipv4, checksum verified',
    frame: small,
    work: (offset, end) => {
      if (ipv4View.at(arena, offset + AT, end).verifyChecksum()) sink[0]!++;
    },
  },
  {
    name: 'parse ipv6',
    frame: [eth, v6, udp],
    work: (offset, end) => {
      const view = ipv6View.at(arena, offset + AT, end);
      sink[0]! += view.trafficClass + view.flowLabel + view.payloadLength + view.nextHeader + view.hopLimit;
      sink[0]! += arena[view.sourceOffset]! + arena[view.destinationOffset]!;
    },
  },
  {
    name: 'parse icmp',
    frame: [eth, v4, { layer: 'icmp', type: 8, identifier: 1, sequence: 2 }],
    work: (offset, end) => {
      const view = icmpView.at(arena, offset + 34, end);
      sink[0]! += view.type + view.code + view.checksum + view.identifier + view.sequence;
    },
  },
  {
    name: 'parse udp',
    frame: small,
    work: (offset, end) => {
      const view = udpView.at(arena, offset + 34, end);
      sink[0]! += view.sourcePort + view.destinationPort + view.length + view.checksum;
    },
  },
  {
    name: 'parse tcp',
    frame: [eth, v4, tcp],
    work: (offset, end) => {
      const view = tcpView.at(arena, offset + 34, end);
      sink[0]! += view.sourcePort + view.destinationPort + view.sequence + view.acknowledgment + view.flags;
      sink[0]! += view.headerLength + view.window + view.checksum + view.urgentPointer;
    },
  },
  {
    name: 'parse tcp options',
    frame: [eth, v4, tcp],
    work: (offset, end) => {
      const view = tcpView.at(arena, offset + 34, end);
      tcpOptions.start(arena, view.optionsOffset, view.payloadOffset);
      while (tcpOptions.next()) sink[0]! += tcpOptions.timestamp;
    },
  },
  {
    name: 'parse pppoe',
    frame: [eth, { layer: 'pppoe', code: 0, sessionId: 7 }, { layer: 'ppp' }, v4, udp],
    work: (offset, end) => {
      const view = pppoeView.at(arena, offset + AT, end);
      sink[0]! += view.code + view.sessionId + view.length;
    },
  },
  {
    name: 'parse dns header',
    frame: [eth, v4, { ...udp, sourcePort: 53 }, { layer: 'dns', message: answer }],
    work: (offset, end) => {
      const view = dnsView.at(arena, offset + 42, end);
      sink[0]! += view.id + view.responseCode + view.answerCount + Number(view.response);
    },
  },
  {
    name: 'parse dns message of two answers to an object',
    frame: [eth, v4, { ...udp, sourcePort: 53 }, { layer: 'dns', message: answer }],
    work: (offset, end) => {
      sink[0]! += decodeDns(arena, offset + 42, end).answers.length;
    },
  },
  {
    name: 'walk eth/ipv4/udp',
    frame: small,
    work: (offset, end) => {
      sink[0]! += layers.decode(arena, offset, end).count;
    },
  },
  {
    name: 'walk eth/vlan/vlan/ipv6/tcp',
    frame: [eth, { layer: 'vlan', id: 1 }, { layer: 'vlan', id: 2 }, v6, tcp],
    work: (offset, end) => {
      sink[0]! += layers.decode(arena, offset, end).count;
    },
  },
  {
    name: 'walk and flow hash of eth/ipv4/udp',
    frame: small,
    work: (offset, end) => {
      sink[0]! += flowHash(layers.decode(arena, offset, end));
    },
  },
  {
    name: 'describe eth/ipv4/udp in one line',
    frame: small,
    work: (offset, end) => {
      sink[0]! += describeLayers(layers.decode(arena, offset, end)).length;
    },
  },
];

const build: readonly Subject[] = [
  {
    name: 'build ethernet',
    frame: small,
    work: (offset) => {
      sink[0]! += emitEthernet(arena, offset, {
        destination: 0x020000000002,
        source: 0x020000000001,
        etherType: 0x0800,
      });
    },
  },
  {
    name: 'build vlan',
    frame: small,
    work: (offset) => {
      sink[0]! += emitVlan(arena, offset + AT, { id: 5, priority: 3, etherType: 0x0800 });
    },
  },
  {
    name: 'build arp',
    frame: [eth, arp],
    work: (offset) => {
      sink[0]! += emitArp(arena, offset + AT, arp);
    },
  },
  {
    name: 'build ipv4 with checksum',
    frame: small,
    work: (offset) => {
      const payloadLength = 26;
      sink[0]! += emitIpv4(arena, offset + AT, {
        source: 0xc0000201,
        destination: 0xc0000202,
        protocol: 17,
        identification: offset & 0xffff,
        payloadLength,
      });
    },
  },
  {
    name: 'build ipv6',
    frame: [eth, v6, udp],
    work: (offset) => {
      sink[0]! += emitIpv6(arena, offset + AT, {
        source: source6,
        destination: destination6,
        nextHeader: 17,
        payloadLength: 26,
      });
    },
  },
  {
    name: 'build icmp echo of 56 bytes with checksum',
    frame: small,
    work: (offset) => {
      sink[0]! += emitIcmp(arena, offset + 34, { type: 8, identifier: 1, sequence: 2, payloadLength: 56 });
    },
  },
  {
    name: 'build udp of 18 bytes with checksum',
    frame: small,
    work: (offset) => {
      sink[0]! += emitUdp(arena, offset + 34, {
        sourcePort: 4000,
        destinationPort: 5000,
        addressSum: sum4,
        payloadLength: 18,
      });
    },
  },
  {
    name: 'build udp of 1472 bytes with checksum',
    frame: large,
    work: (offset) => {
      sink[0]! += emitUdp(arena, offset + 34, {
        sourcePort: 4000,
        destinationPort: 5000,
        addressSum: sum4,
        payloadLength: 1472,
      });
    },
  },
  {
    name: 'build tcp without payload with checksum',
    frame: small,
    work: (offset) => {
      sink[0]! += emitTcp(arena, offset + 54, {
        sourcePort: 4000,
        destinationPort: 80,
        sequence: offset,
        acknowledgment: 7,
        ack: true,
        addressSum: sum6,
      });
    },
  },
  {
    name: 'build pppoe session',
    frame: small,
    work: (offset) => {
      sink[0]! += emitPppoe(arena, offset + AT, { code: 0, sessionId: 7, payloadLength: 40 });
    },
  },
  {
    name: 'build dns query from an object',
    frame: small,
    work: (offset) => {
      sink[0]! += emitDns(arena, offset + 42, query);
    },
  },
  {
    name: 'build eth/ipv4/udp from a list of layers',
    frame: small,
    work: () => {
      sink[0]! += buildPacket(small).length;
    },
  },
];

const sums: readonly Subject[] = [20, 64, 256, 1480].map((length) => ({
  name: `checksum of ${length} bytes`,
  frame: large,
  work: (offset) => {
    sink[0]! += checksum(arena, offset + AT, offset + AT + length);
  },
}));

export const bench: Bench = {
  summary: 'the packet codecs, ns a packet: views read, headers built, checksums, captures',
  *run(): Generator<Row> {
    for (const subject of [...parse, ...build]) {
      const { ours } = interleave(RUNS, { ours: () => measure(subject) });
      yield row(subject.name, ours, { 'heap bytes a packet': heapPerPacket(subject) });
    }
    for (const [i, length] of [20, 64, 256, 1480].entries()) {
      const yardstick: Subject = {
        name: '',
        frame: large,
        work: (at) => plainSum(at + AT, at + AT + length),
      };
      const { ours, plain } = interleave(RUNS, {
        ours: () => measure(sums[i]!),
        plain: () => measure(yardstick),
      });
      yield {
        ...row(sums[i]!.name, ours, { 'GB/s': length / ours.median }),
        yardstick: plain.median,
        against: 'a loop over 16-bit words',
        ratio: ours.median / plain.median,
        loop: true,
      };
    }
    yield row('write pcapng, 60-byte packets', interleave(RUNS, { ours: measureWriter }).ours, {});
    yield row('read pcapng, 60-byte packets', interleave(RUNS, { ours: measureReader }).ours, {});
    if (Number.isNaN(sink[0])) throw new Error('nothing was measured');
  },
};

function row(name: string, ours: Measured, more: Record<string, number>): Row {
  return { name, unit: 'ns/packet', ours: ours.median, spread: ours.spread, runs: ours.runs, more };
}

/** Fills the arena with a subject's frame. @returns the frame's length. */
function fill(subject: Subject): number {
  const frame = buildPacket(subject.frame);
  for (let i = 0; i < FRAMES; i++) arena.set(frame, i * STRIDE);
  return frame.length;
}

/** ns a packet of one run. */
function measure(subject: Subject): number {
  const length = fill(subject);
  // A function of its own for each subject: one loop for all would make the call a megamorphic one.
  const loop = loopOf(subject.work);
  const warm = process.cpuUsage();
  loop(WARM_UP, length);
  const packets = Math.ceil((RUN_MILLISECONDS * 1e6 * WARM_UP) / (nanosecondsSince(warm) + 1));
  const start = process.cpuUsage();
  loop(packets, length);
  return nanosecondsSince(start) / packets;
}

function nanosecondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1000;
}

type Loop = (packets: number, length: number) => void;
const loops = new Map<Work, Loop>();

function loopOf(work: Work): Loop {
  const known = loops.get(work);
  if (known !== undefined) return known;
  const source = `return (packets, length) => {
    for (let i = 0; i < packets; i++) {
      const offset = (i & ${FRAMES - 1}) * ${STRIDE};
      work(offset, offset + length);
    }
  };`;
  const loop = new Function('work', source)(work) as Loop;
  loops.set(work, loop);
  return loop;
}

/** Heap that a packet costs, over few enough packets that nothing is collected meanwhile. */
function heapPerPacket(subject: Subject): number {
  const length = fill(subject);
  const loop = loopOf(subject.work);
  const packets = 5000;
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  loop(packets, length);
  return Math.max(0, Math.round((process.memoryUsage().heapUsed - before) / packets));
}

function plainSum(start: number, end: number): void {
  let sum = 0;
  for (let i = start; i + 1 < end; i += 2) sum += (arena[i]! << 8) | arena[i + 1]!;
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  sink[0]! += ~sum & 0xffff;
}

const CAPTURED = 100_000;
const captured = buildPacket(small);

function measureWriter(): number {
  const writer = new PcapngWriter();
  writer.addInterface();
  const start = process.cpuUsage();
  for (let i = 0; i < CAPTURED; i++) {
    writer.packet(captured, 0, captured.length, BigInt(i));
    if (writer.size > 60_000) sink[0]! += writer.take().length;
  }
  return nanosecondsSince(start) / CAPTURED;
}

let file: Uint8Array | undefined;

function measureReader(): number {
  if (file === undefined) {
    const writer = new PcapngWriter();
    writer.addInterface();
    for (let i = 0; i < CAPTURED; i++) writer.packet(captured, 0, captured.length, BigInt(i));
    file = writer.take();
  }
  const reader = new CaptureReader();
  const start = process.cpuUsage();
  for (let at = 0; at < file.length; at += 65_536) {
    for (const packet of reader.push(file.subarray(at, at + 65_536))) sink[0]! += packet.bytes.length;
  }
  return nanosecondsSince(start) / CAPTURED;
}
