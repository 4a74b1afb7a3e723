import {
  add64,
  and32,
  and64,
  assemble,
  call,
  exit,
  type Item,
  ja,
  jeq,
  jge,
  jgt,
  jle,
  jlt,
  label,
  lddw,
  ldx,
  lsh64,
  mapByName,
  mapValueByName,
  mod32,
  mov32,
  mov64,
  mul32,
  or64,
  type Register,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
  r6,
  r7,
  r8,
  r9,
  rsh32,
  rsh64,
  st,
  stx,
  sub64,
  toBe,
  xor32,
  xor64,
} from '../asm/index.ts';
import { type Layout, struct, u64 } from '../layout/index.ts';
import { array, type DevmapValue, devMap, type MapSpec, type ProgramSpec } from '../spec/index.ts';

/** What the program keeps between packets, and what it is told. */
export interface LiveState {
  /** Packets sent. */
  readonly sent: bigint;
  /** It sends no more than so many. */
  readonly limit: bigint;
  /** When it began (`bpf_ktime_get_ns`), 0 before. */
  readonly start: bigint;
  /** When the next packet is due, from the start, in 1/256 ns. */
  readonly next: bigint;
}

const liveState: Layout<LiveState> = struct('live_state', { sent: u64, limit: u64, start: u64, next: u64 });
const STATE = { sent: 0, limit: 8, start: 16, next: 24 } as const;

export type LiveSendMaps = {
  readonly state: MapSpec<'array', number, LiveState>;
  /** Its first entry is the interface to send on. A map is a tenth faster here than naming the interface's index. */
  readonly out: MapSpec<'devmap', number, DevmapValue>;
};

/** One frame, and what of it changes from packet to packet. */
export interface LiveSendOptions {
  readonly frame: Uint8Array;
  /** Packets per second. Default is as many as go. */
  readonly rate?: number | undefined;
  /** Nothing for a frame that goes out as it is. */
  readonly patch?: LivePatch | undefined;
}

/** Offsets are bytes from the start of the frame; sums are one's complement sums without the patched fields. */
export interface LivePatch {
  readonly order: 'random' | 'sequential';
  readonly seed: number;
  readonly udp: number;
  readonly udpSum: number;
  readonly firstPort: number;
  readonly ports: number;
  /** Of a DNS ID. */
  readonly id?: number | undefined;
  /** Of eight random letters. */
  readonly label?: number | undefined;
  /** The last 32 bits of the source address. */
  readonly source?:
    | {
        readonly at: number;
        /** The bits that stay, and those that change. */
        readonly network: number;
        readonly mask: number;
        /** Of an IPv4 header, whose checksum changes as well. */
        readonly ip?: { readonly at: number; readonly sum: number } | undefined;
      }
    | undefined;
}

/** `struct xdp_md` (linux/bpf.h). */
const CTX = { data: 0, dataEnd: 4 } as const;
const XDP_DROP = 1;

/**
 * Whatever lies behind this many bytes stays in the page from packet to packet: receivers change headers, if anything,
 * before a page comes back.
 */
const REWRITTEN = 256;
/** Fractions of a nanosecond in `next`, as a power of two. */
const FRACTION = 8;
/** Later than this, in ns, the pace starts anew: a pause must not be followed by a flood. */
const MOST_DEBT = 100_000_000;

/**
 * A program for `BPF_PROG_TEST_RUN` with live frames: each run makes the frame anew, patches it and redirects it.
 *
 * The pages come back from the receiver as it left them, so headers are written whole each time.
 *
 *     r6 state   r7 frame   r8 number of the packet   r9 sum under the UDP checksum
 */
export function liveSendSpec(options: LiveSendOptions): ProgramSpec<LiveSendMaps> {
  const { frame, rate, patch } = options;
  const assembly = assemble(
    [
      ldx('u32', r7, r1, CTX.data),
      ldx('u32', r2, r1, CTX.dataEnd),
      mov64(r3, r7),
      add64(r3, frame.length),
      jgt(r3, r2, 'drop'),
      mapValueByName(r6, 'state', 0),
      ldx('u64', r8, r6, STATE.sent),
      ldx('u64', r1, r6, STATE.limit),
      jge(r8, r1, 'drop'),
      rate === undefined ? [] : pace(rate),
      mov64(r1, r8),
      add64(r1, 1),
      stx('u64', r6, r1, STATE.sent),
      writeFrame(frame),
      patch === undefined ? [] : patchFields(patch),
      mapByName(r1, 'out'),
      mov64(r2, 0),
      // What to do when the interface is gone.
      mov64(r3, XDP_DROP),
      call('redirect_map'),
      exit(),
      label('drop'),
      mov64(r0, XDP_DROP),
      exit(),
    ],
    { entry: 'live_send' },
  );
  return {
    name: 'live_send',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: { state: array('state', liveState, 1), out: devMap('out', 1) },
    ...assembly,
  };
}

/** Drops the run unless the packet is due. */
function pace(rate: number): Item[] {
  const step = BigInt(Math.max(1, Math.round((1e9 * 2 ** FRACTION) / rate)));
  return [
    call('ktime_get_ns'),
    ldx('u64', r1, r6, STATE.start),
    jeq(r1, 0, 'first'),
    sub64(r0, r1),
    lsh64(r0, FRACTION),
    ldx('u64', r1, r6, STATE.next),
    jlt(r0, r1, 'drop'),
    mov64(r2, r0),
    sub64(r2, r1),
    lddw(r3, BigInt(MOST_DEBT) << BigInt(FRACTION)),
    jle(r2, r3, 'in time'),
    mov64(r1, r0),
    ja('in time'),
    label('first'),
    stx('u64', r6, r0, STATE.start),
    mov64(r1, 0),
    label('in time'),
    lddw(r2, step),
    add64(r1, r2),
    stx('u64', r6, r1, STATE.next),
  ];
}

function writeFrame(frame: Uint8Array): Item[] {
  const items: Item[] = [];
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const end = Math.min(frame.length, REWRITTEN);
  let at = 0;
  for (; at + 4 <= end; at += 4) items.push(st('u32', r7, at, view.getInt32(at, true)));
  for (; at < end; at++) items.push(st('u8', r7, at, frame[at]!));
  return items;
}

function patchFields(patch: LivePatch): Item[] {
  const { order, seed, udp, udpSum, firstPort, ports, id, label: letters, source } = patch;
  const random = order === 'random';
  return [
    mov64(r9, udpSum),
    // r5: 32 bits that look like chance, or simply count.
    mov32(r5, r8),
    random ? scatter(r5, seed) : [],
    // The port by the lower half, the ID by the upper one, so that the two do not go in step.
    mov32(r1, r5),
    ports === 1 ? mov64(r1, 0) : mod32(r1, ports),
    add64(r1, firstPort),
    add64(r9, r1),
    toBe(r1, 16),
    stx('u16', r7, r1, udp),
    id === undefined
      ? []
      : [
          mov32(r1, r5),
          random ? rsh32(r1, 16) : and32(r1, 0xffff),
          add64(r9, r1),
          toBe(r1, 16),
          stx('u16', r7, r1, id),
        ],
    source === undefined ? [] : patchSource(source, random, seed),
    letters === undefined ? [] : patchLabel(letters, (letters - udp) % 2 === 1, seed),
    complement(r9),
    // A computed 0 is sent as 0xffff, for 0 says that there is none (RFC 768).
    jgt(r9, 0, 'checksum'),
    mov64(r9, 0xffff),
    label('checksum'),
    toBe(r9, 16),
    stx('u16', r7, r9, udp + 6),
  ];
}

function patchSource(source: NonNullable<LivePatch['source']>, random: boolean, seed: number): Item[] {
  const { at, network, mask, ip } = source;
  return [
    mov32(r1, r8),
    random ? scatter(r1, ~seed) : [],
    and32(r1, mask),
    mov32(r2, network),
    or64(r1, r2),
    mov64(r2, r1),
    rsh64(r2, 16),
    mov64(r3, r1),
    and64(r3, 0xffff),
    add64(r2, r3),
    add64(r9, r2),
    toBe(r1, 32),
    stx('u32', r7, r1, at),
    ip === undefined ? [] : [add64(r2, ip.sum), complement(r2), toBe(r2, 16), stx('u16', r7, r2, ip.at + 10)],
  ];
}

/** Spreads the eight nibbles of 32 random bits over the eight bytes of a register, each to become a letter. */
function patchLabel(at: number, odd: boolean, seed: number): Item[] {
  const spread = (shift: number, mask: bigint): Item[] => [
    mov64(r2, r1),
    lsh64(r2, shift),
    or64(r1, r2),
    lddw(r2, mask),
    and64(r1, r2),
  ];
  return [
    mov32(r1, r8),
    scatter(r1, seed),
    spread(16, 0x0000_ffff_0000_ffffn),
    spread(8, 0x00ff_00ff_00ff_00ffn),
    spread(4, 0x0f0f_0f0f_0f0f_0f0fn),
    lddw(r2, 0x6161_6161_6161_6161n),
    add64(r1, r2),
    stx('u64', r7, r1, at),
    // The sum of its words as they lie in a little-endian register.
    mov64(r3, 0),
    Array.from({ length: 4 }, () => [mov64(r2, r1), and64(r2, 0xffff), add64(r3, r2), rsh64(r1, 16)]),
    // An odd place in the datagram swaps the bytes of each word, and so the bytes of the sum (RFC 1071, section 2 B).
    odd ? [] : [mov64(r2, r3), rsh64(r2, 16), and64(r3, 0xffff), add64(r3, r2), fold(r3, r2), toBe(r3, 16)],
    add64(r9, r3),
  ];
}

/** As `scatter` of apps/send-keys, in 32 bits; r4 is lost. */
function scatter(x: Register, seed: number): Item[] {
  return [
    xor32(x, seed | 0),
    xorShifted(x, 16),
    mul32(x, 0x7feb352d),
    xorShifted(x, 15),
    mul32(x, 0x846ca68b | 0),
    xorShifted(x, 16),
  ];
}

function xorShifted(x: Register, shift: number): Item[] {
  return [mov32(r4, x), rsh32(r4, shift), xor32(x, r4)];
}

/** From a sum to the checksum. */
function complement(sum: Register): Item[] {
  const other = sum === r2 ? r3 : r2;
  return [fold(sum, other), fold(sum, other), xor64(sum, 0xffff)];
}

function fold(sum: Register, other: Register): Item[] {
  return [mov64(other, sum), rsh64(other, 16), and64(sum, 0xffff), add64(sum, other)];
}
