import type { AnyXdpProgram } from '../src/compiler/index.ts';
import { blocklist } from '../src/programs/blocklist.ts';
import { counter } from '../src/programs/counter.ts';
import { etherTypeRedirect } from '../src/programs/ethertype-redirect.ts';
import { ipv6Walk } from '../src/programs/ipv6-walk.ts';
import { mssClamp } from '../src/programs/mss-clamp.ts';
import { portRewrite } from '../src/programs/port-rewrite.ts';
import { udpChecksum } from '../src/programs/udp-checksum.ts';

/** A program of the library that has a counterpart in C. */
export interface Subject {
  /** The counterpart's name in C. */
  readonly name: string;
  readonly program: AnyXdpProgram;
  /** What its maps hold, by their names in env. */
  readonly fill: Readonly<Record<string, readonly (readonly [unknown, unknown])[]>>;
  /** Frames that go different ways through it, each a row of the benchmark. */
  readonly frames: Readonly<Record<string, Uint8Array>>;
  /** Whether a hot loop decides how long it takes. */
  readonly loop: boolean;
}

/** Values of env that the C is compiled with, too. */
export interface Settings {
  readonly portTo: number;
  readonly mss: number;
}

/** As the C has them by default. */
export const DEFAULTS: Settings = { portTo: 7998, mss: 1400 };

export function subjects({ portTo, mss }: Settings): readonly Subject[] {
  return [
    {
      name: 'count_frames',
      program: counter({ frags: false }),
      fill: {},
      frames: { counter: frame(ipv4(17, udp(53, 26))) },
      loop: false,
    },
    {
      name: 'blocklist',
      program: blocklist(),
      fill: { blocked: Array.from({ length: 1000 }, (_, i) => [0x0a01_0000 + i, { hits: 0n }]) },
      frames: {
        'blocklist-miss': frame(ipv4(17, udp(53, 26))),
        'blocklist-hit': frame(ipv4(17, udp(53, 26), BLOCKED)),
        'blocklist-qinq-hit': tagged(frame(ipv4(17, udp(53, 26), BLOCKED)), 0x88a8, 0x8100),
      },
      loop: false,
    },
    {
      name: 'port_rewrite',
      program: portRewrite({ from: 7999, to: portTo }),
      fill: {},
      frames: { 'port-rewrite': frame(ipv4(17, udp(7999, 26))) },
      loop: false,
    },
    {
      name: 'ethertype',
      program: etherTypeRedirect(),
      fill: {
        etherTypes: [
          [0x8863, 1],
          [0x8864, 1],
        ],
      },
      frames: {
        'ethertype-redirect': Uint8Array.from([...ETHERNET, 0x88, 0x64, ...new Array<number>(46).fill(0)]),
      },
      loop: false,
    },
    {
      name: 'udp_checksum',
      program: udpChecksum(),
      fill: {},
      frames: { 'udp-checksum': frame(ipv4(17, udp(53, 1442))) },
      loop: true,
    },
    {
      name: 'mss_clamp',
      program: mssClamp({ mss }),
      fill: {},
      frames: {
        'mss-clamp': frame(ipv4(6, syn([1, 1, 8, 10, ...EIGHT, 4, 2, 1, 3, 3, 7, 1, 2, 4, 5, 0xb4, 1, 1]))),
      },
      loop: true,
    },
    {
      name: 'ipv6_walk',
      program: ipv6Walk(),
      fill: {},
      frames: { 'ipv6-walk': ipv6([0, 60, 43, 44], 6, syn([])) },
      loop: true,
    },
  ];
}

const ETHERNET = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const EIGHT = [0, 0, 0, 1, 0, 0, 0, 2];
const BLOCKED = [10, 1, 1, 44];

function be16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

/** An Ethernet frame of at least 60 bytes. */
function frame(packet: readonly number[]): Uint8Array {
  const padding = new Array<number>(Math.max(0, 46 - packet.length)).fill(0);
  return Uint8Array.from([...ETHERNET, 0x08, 0x00, ...packet, ...padding]);
}

function tagged(untagged: Uint8Array, ...types: number[]): Uint8Array {
  const tags = types.flatMap((type) => [...be16(type), 0, 7]);
  return Uint8Array.from([...untagged.subarray(0, 12), ...tags, ...untagged.subarray(12)]);
}

function ipv4(
  protocol: number,
  payload: readonly number[],
  source: readonly number[] = [10, 0, 0, 1],
): number[] {
  const destination = [10, 0, 0, 2];
  const bytes = [
    0x45,
    0,
    ...be16(20 + payload.length),
    0,
    1,
    0x40,
    0,
    64,
    protocol,
    0,
    0,
    ...source,
    ...destination,
  ];
  return [...bytes, ...withChecksum(payload, protocol, [...source, ...destination])];
}

/** An IPv6 frame with extension headers of the given types before its payload. */
function ipv6(extensions: readonly number[], protocol: number, payload: readonly number[]): Uint8Array {
  const rest: number[] = [];
  extensions.forEach((type, i) => {
    const units = type === 60 ? 1 : 0;
    rest.push(extensions[i + 1] ?? protocol, units, ...new Array<number>(6 + 8 * units).fill(0));
  });
  rest.push(...payload);
  const address = [0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(11).fill(0)];
  const header = [
    0x60,
    0,
    0,
    0,
    ...be16(rest.length),
    extensions[0] ?? protocol,
    64,
    ...address,
    1,
    ...address,
    2,
  ];
  return Uint8Array.from([...ETHERNET, 0x86, 0xdd, ...header, ...rest]);
}

function udp(port: number, length: number): number[] {
  const data = Array.from({ length }, (_, i) => (i * 7) & 0xff);
  return [...be16(4000), ...be16(port), ...be16(8 + length), 0, 0, ...data];
}

function syn(options: readonly number[]): number[] {
  const padded = [...options, ...new Array<number>((4 - (options.length & 3)) & 3).fill(0)];
  return [
    ...be16(4000),
    ...be16(443),
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    (5 + padded.length / 4) << 4,
    2,
    0xff,
    0xff,
    0,
    0,
    0,
    0,
    ...padded,
  ];
}

/** Fills in the checksum of UDP or TCP over IPv4. */
function withChecksum(payload: readonly number[], protocol: number, addresses: readonly number[]): number[] {
  const words = [...addresses, 0, protocol, ...be16(payload.length), ...payload];
  let sum = 0;
  for (let i = 0; i < words.length; i += 2) sum += (words[i]! << 8) | (words[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const filled = [...payload];
  filled.splice(protocol === 17 ? 6 : 16, 2, ...be16(~sum & 0xffff));
  return filled;
}
