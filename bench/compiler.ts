import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { BPFFS, BpfMap, ensureBpffs, load, Program } from '../src/bpf/index.ts';
import { type AnyXdpProgram, compile, type ProgramSpec } from '../src/compiler/index.ts';
import { blocklist } from '../src/programs/blocklist.ts';
import { etherTypeRedirect } from '../src/programs/ethertype-redirect.ts';
import { ipv6Walk } from '../src/programs/ipv6-walk.ts';
import { mssClamp } from '../src/programs/mss-clamp.ts';
import { portRewrite } from '../src/programs/port-rewrite.ts';
import { udpChecksum } from '../src/programs/udp-checksum.ts';
import { tool } from '../test/dev-tools.ts';
import { type Bench, compare, interleave, type Row } from './row.ts';
import { nanosecondsPerRun } from './run-program.ts';

const RUNS = 7;
const SOURCE = join(import.meta.dirname, '../../bench/compiler/programs.c');
/** An address that both sides' blocklists hold. */
const BLOCKED = 0x0a000001;

interface Case {
  readonly row: string;
  /** The section of the C file. */
  readonly section: string;
  readonly program: () => AnyXdpProgram;
  readonly frame: Uint8Array;
  readonly loop?: boolean;
  readonly hit?: boolean;
}

const CASES: readonly Case[] = [
  { row: 'blocklist miss', section: 'blocklist', program: blocklist, frame: ipv4(17, 26, 0x0a000002) },
  { row: 'blocklist hit', section: 'blocklist', program: blocklist, frame: ipv4(17, 26, BLOCKED), hit: true },
  { row: 'blocklist QinQ hit', section: 'blocklist', program: blocklist, frame: stacked(), hit: true },
  {
    row: 'port rewrite',
    section: 'port_rewrite',
    program: () => portRewrite({ from: 7999, to: 7998 }),
    frame: ipv4(17, 26, BLOCKED, (b) => write(b, 34, [0, 1, 0x1f, 0x3f, 0, 26, 0x12, 0x34])),
  },
  {
    row: 'EtherType redirect',
    section: 'ethertype',
    program: etherTypeRedirect,
    frame: ipv4(17, 26, BLOCKED),
  },
  {
    row: 'UDP checksum, 1442 bytes',
    section: 'udp_checksum',
    program: udpChecksum,
    frame: datagram(),
    loop: true,
  },
  {
    row: 'TCP MSS clamp',
    section: 'mss_clamp',
    program: () => mssClamp({ mss: 1400 }),
    frame: ipv4(6, 40, BLOCKED, (b) => {
      write(b, 46, [0xa0, 2]);
      write(b, 54, [1, 1, 1, 1, 1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 4, 2]);
    }),
    loop: true,
  },
  { row: 'IPv6 extension headers', section: 'ipv6_walk', program: ipv6Walk, frame: extended(), loop: true },
];

export const bench: Bench = {
  summary: 'the library’s programs in TypeScript and in C (clang -O2 -mcpu=v3), ns per packet',
  *run(): Generator<Row> {
    ensureBpffs();
    const objects = mkdtempSync(join(tmpdir(), 'bw-bench-'));
    const pins = mkdtempSync(join(BPFFS, 'bw-bench-'));
    try {
      const object = join(objects, 'programs.o');
      execFileSync(tool('clang-14'), ['-O2', '-mcpu=v3', '-g', '-target', 'bpf', '-c', SOURCE, '-o', object]);
      const maps = join(pins, 'maps');
      execFileSync(tool('bpftool'), ['prog', 'loadall', object, pins, 'type', 'xdp', 'pinmaps', maps], {
        stdio: 'pipe',
      });
      for (const each of CASES) yield measure(each, pins, maps);
    } finally {
      rmSync(objects, { recursive: true });
      rmSync(pins, { recursive: true });
    }
  },
};

function measure({ row, section, program, frame, loop, hit }: Case, pins: string, maps: string): Row {
  const written = program();
  const first = performance.now();
  compile(written as never);
  const cold = performance.now() - first;
  const spec = compile(written as never) as unknown as ProgramSpec;
  const start = performance.now();
  for (let i = 0; i < 10; i++) compile(written as never);
  const warm = (performance.now() - start) / 10;
  using ours = load(spec);
  using theirs = Program.openPinned(join(pins, section));
  if (hit) {
    const table = blocklist().env.blocked;
    (ours.maps as unknown as { blocked: BpfMap<number, { hits: bigint }> }).blocked.set(BLOCKED, {
      hits: 0n,
    });
    using map = BpfMap.openPinned(table, join(maps, 'blocked'));
    map.set(BLOCKED, { hits: 0n });
  }
  const results = [ours.program, theirs].map((side) => side.testRun({ data: frame }));
  const [a, b] = results;
  if (a?.action !== b?.action || Buffer.compare(a!.data, b!.data) !== 0) {
    throw new Error(`${row}: TypeScript and C disagree`);
  }
  const measured = interleave(RUNS, {
    ours: () => nanosecondsPerRun(ours.program, frame),
    theirs: () => nanosecondsPerRun(theirs, frame),
  });
  const [x, y] = [ours.program.info(), theirs.info()];
  return compare(row, 'ns/packet', measured.ours, measured.theirs, 'clang -O2', {
    ...(loop === undefined ? {} : { loop }),
    more: {
      instructions: `${x.translatedSize / 8} / ${y.translatedSize / 8}`,
      'JIT bytes': `${x.jitedSize} / ${y.jitedSize}`,
      'verifier steps': `${x.verifiedInstructions} / ${y.verifiedInstructions}`,
      'compile ms, first and warm': `${cold.toFixed(1)} / ${warm.toFixed(1)}`,
    },
  });
}

function write(bytes: Uint8Array, offset: number, values: readonly number[]): void {
  bytes.set(values, offset);
}

function ipv4(
  protocol: number,
  payload: number,
  source: number,
  fill: (bytes: Uint8Array) => void = () => {},
): Uint8Array {
  const bytes = new Uint8Array(34 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x45);
  view.setUint16(16, 20 + payload);
  view.setUint8(22, 64);
  view.setUint8(23, protocol);
  view.setUint32(26, source);
  view.setUint32(30, 0x0a000002);
  fill(bytes);
  return bytes;
}

/** 802.1ad, 802.1Q, IPv4. */
function stacked(): Uint8Array {
  const bytes = new Uint8Array(68);
  write(bytes, 12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0]);
  new DataView(bytes.buffer).setUint32(34, BLOCKED);
  return bytes;
}

/** A datagram of 1442 bytes of payload with a right checksum. */
function datagram(): Uint8Array {
  return ipv4(17, 1450, BLOCKED, (bytes) => {
    const view = new DataView(bytes.buffer);
    write(bytes, 34, [0, 1, 0, 2]);
    view.setUint16(38, 1450);
    for (let i = 42; i < bytes.length; i++) bytes[i] = i * 7;
    let sum = 17 + 1450;
    for (let i = 26; i < bytes.length; i += 2) sum += view.getUint16(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(40, ~sum & 0xffff);
  });
}

/** IPv6 with hop-by-hop options, destination options and a routing header before UDP. */
function extended(): Uint8Array {
  const bytes = new Uint8Array(120);
  write(bytes, 12, [0x86, 0xdd]);
  write(bytes, 54, [60, 0, 0, 0, 0, 0, 0, 0, 43, 1]);
  write(bytes, 70, [17, 0]);
  return bytes;
}
