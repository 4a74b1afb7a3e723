import {
  add64,
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
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r6,
  r7,
  r8,
  r9,
  r10,
  st,
  stx,
  sub64,
} from '../asm/index.ts';
import { type Layout, struct, u32, u64 } from '../layout/index.ts';
import { type MapSpec, type ProgramSpec, perCpuArray, ringBuffer } from '../spec/index.ts';
import { type Match, matchCode } from '../xsk/index.ts';

/** What stands before the bytes of each packet in the ring. */
export interface CaptureHead {
  /** Of the monotonic clock, in ns. */
  readonly time: bigint;
  /** Bytes of the packet. */
  readonly length: number;
  /** Bytes of it that follow. */
  readonly captured: number;
}

const head: Layout<CaptureHead> = struct('capture_head', { time: u64, length: u32, captured: u32 });
export const HEAD = { time: 0, length: 8, captured: 12, size: 16 } as const;

export interface CaptureTally {
  /** Packets that were meant. */
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Of them, those for which the ring had no room. */
  readonly dropped: bigint;
}

const tally: Layout<CaptureTally> = struct('capture_tally', { packets: u64, bytes: u64, dropped: u64 });
const TALLY = { packets: 0, bytes: 8, dropped: 16 } as const;

export type CaptureMaps = {
  readonly ring: MapSpec<'ringbuf', never, CaptureHead>;
  readonly tallies: MapSpec<'percpu_array', number, CaptureTally>;
};

/** Most bytes of a packet that can be kept. */
export const MOST_CAPTURED = 16_384;
/** The kernel reserves room by a constant: the sizes that there are. */
const SIZES = [128, 256, 512, 1024, 2048, 4096, 8192, MOST_CAPTURED];

const XDP_PASS = 2;
/** `struct xdp_md` (linux/bpf.h). */
const CTX = { data: 0, dataEnd: 4 } as const;
/** The reader looks by itself every few milliseconds; to wake it for each packet would cost more than the copy. */
const NO_WAKEUP = 1;
/** Below what the match keeps on the stack. */
const KEY = -64;

/**
 * An XDP program that copies the frames which `match` means into a ring buffer and lets every frame pass.
 *
 *     r6 context   r7 length   r8 the CPU's tally, then the record   r9 bytes to keep
 *
 * @param snapLength Most bytes of a packet to keep, up to 16384.
 * @param ringSize In bytes, a power of two.
 */
export function captureSpec(
  match: Match,
  options: { readonly snapLength: number; readonly ringSize: number; readonly frags: boolean },
): ProgramSpec<CaptureMaps> {
  const { snapLength, ringSize, frags } = options;
  const last = SIZES.findIndex((size) => size >= snapLength);
  const assembly = assemble(
    [
      matchCode(match),
      frags
        ? [mov64(r1, r6), call('xdp_get_buff_len'), mov64(r7, r0)]
        : [ldx('u32', r7, r6, CTX.dataEnd), ldx('u32', r1, r6, CTX.data), sub64(r7, r1)],
      st('u32', r10, KEY, 0),
      mov64(r2, r10),
      add64(r2, KEY),
      mapByName(r1, 'tallies'),
      call('map_lookup_elem'),
      jeq(r0, 0, 'pass it'),
      count(TALLY.packets, 1),
      [ldx('u64', r1, r0, TALLY.bytes), add64(r1, r7), stx('u64', r0, r1, TALLY.bytes)],
      mov64(r8, r0),
      mov64(r9, r7),
      jle(r9, snapLength, 'cut'),
      mov64(r9, snapLength),
      label('cut'),
      // Says to the verifier that there is something to copy.
      jlt(r9, 1, 'pass it'),
      SIZES.slice(0, last + 1).map(record),
      ja('pass it'),
      label('full'),
      mov64(r0, r8),
      count(TALLY.dropped, 1),
      label('pass it'),
      mov64(r0, XDP_PASS),
      exit(),
    ],
    { entry: 'capture' },
  );
  return {
    name: 'capture',
    type: 'xdp',
    attachType: 'xdp',
    frags,
    // The clock of the kernel is for programs under the GPL, or both.
    license: 'Dual MIT/GPL',
    maps: { ring: ringBuffer('ring', head, ringSize), tallies: perCpuArray('tallies', tally, 1) },
    ...assembly,
  };
}

/** Keeps a packet of at most `size` bytes. */
function record(size: number): Item[] {
  return [
    jgt(r9, size, `longer than ${size}`),
    mapByName(r1, 'ring'),
    mov64(r2, HEAD.size + size),
    mov64(r3, 0),
    call('ringbuf_reserve'),
    jeq(r0, 0, 'full'),
    mov64(r8, r0),
    call('ktime_get_ns'),
    stx('u64', r8, r0, HEAD.time),
    stx('u32', r8, r7, HEAD.length),
    stx('u32', r8, r9, HEAD.captured),
    mov64(r1, r6),
    mov64(r2, 0),
    mov64(r3, r8),
    add64(r3, HEAD.size),
    mov64(r4, r9),
    call('xdp_load_bytes'),
    mov64(r1, r8),
    mov64(r2, NO_WAKEUP),
    jge(r0, 1, `failed ${size}`),
    call('ringbuf_submit'),
    ja('pass it'),
    label(`failed ${size}`),
    call('ringbuf_discard'),
    ja('pass it'),
    label(`longer than ${size}`),
  ];
}

/** Adds to the tally in r0. Plain additions lose nothing: on one CPU one frame is in the program at a time. */
function count(offset: number, amount: number): Item[] {
  return [ldx('u64', r1, r0, offset), add64(r1, amount), stx('u64', r0, r1, offset)];
}
