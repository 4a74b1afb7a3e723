import {
  add64,
  assemble,
  call,
  exit,
  type Item,
  ja,
  jeq,
  jgt,
  jne,
  label,
  ldx,
  lsh64,
  mapByName,
  mov64,
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
  r10,
  stx,
  sub64,
} from '../asm/index.ts';
import { type Layout, struct, u64 } from '../layout/index.ts';
import { type MapSpec, type ProgramSpec, perCpuArray } from '../spec/index.ts';

/**
 * What a frame is counted as. Every frame is counted once, under the first that fits, and apart for frames with and
 * without a VLAN tag.
 */
export const FRAME_KINDS = [
  'ipv4-tcp',
  'ipv4-udp',
  'ipv4-icmp',
  'ipv4-other',
  'ipv6-tcp',
  'ipv6-udp',
  'ipv6-icmpv6',
  'ipv6-other',
  'arp',
  'other',
] as const;

export type FrameKind = (typeof FRAME_KINDS)[number];

/** Frames of one kind. */
export interface Tally {
  readonly packets: bigint;
  /** Of the whole frames, from the destination MAC on, without the frame check sequence. */
  readonly bytes: bigint;
}

const tally: Layout<Tally> = struct('tally', { packets: u64, bytes: u64 });

/** Index: the place in `FRAME_KINDS`, and as much again for frames with a VLAN tag. */
export type CounterMaps = { readonly tallies: MapSpec<'percpu_array', number, Tally> };

/** Tags are stripped up to this depth (802.1ad with an 802.1Q tag inside); what lies deeper counts as `other`. */
export const MAX_VLAN_TAGS = 2;
/** IPv6 extension headers are followed so far; what hides behind more counts as `ipv6-other`. */
export const MAX_EXTENSION_HEADERS = 6;

export interface CounterOptions {
  /** Takes frames in several buffers, as jumbo frames come (Linux 5.18); then their whole length is counted. */
  readonly frags: boolean;
}

/**
 * A program that counts every frame and lets it pass.
 *
 * One counter per CPU and kind: on one CPU at most one frame is in the program at a time, so plain additions lose
 * nothing.
 */
export function counterSpec({ frags }: CounterOptions): ProgramSpec<CounterMaps> {
  const { instructions, functions } = assemble(code(frags), { entry: 'count_frames' });
  return {
    name: 'count_frames',
    type: 'xdp',
    attachType: 'xdp',
    frags,
    license: 'MIT',
    instructions,
    functions,
    maps: { tallies: perCpuArray('tallies', tally, 2 * FRAME_KINDS.length) },
  };
}

const ETHERNET = 14;
const IPV4 = 20;
const IPV6 = 40;
const XDP_PASS = 2;
/** `struct xdp_md` in `linux/bpf.h`. */
const XDP_MD = { data: 0, dataEnd: 4 };

// All of the code: r6 the header at hand, r7 the end of the frame, r8 the kind, r5 the tag's share of the index,
// r9 the context.

function code(frags: boolean): Item[] {
  return [
    mov64(r9, r1),
    ldx('u32', r6, r9, XDP_MD.data),
    ldx('u32', r7, r9, XDP_MD.dataEnd),
    mov64(r5, 0),
    kindIs('other'),
    unless(ETHERNET, 'count'),
    ldx('u16', r3, r6, 12),
    vlanTags(),
    label('untagged'),
    jeq(r3, networkOrder(0x0800), 'ipv4'),
    jeq(r3, networkOrder(0x86dd), 'ipv6'),
    jne(r3, networkOrder(0x0806), 'count'),
    kindIs('arp'),
    ja('count'),
    ipv4(),
    ipv6(),
    label('count'),
    count(frags),
    mov64(r0, XDP_PASS),
    exit(),
  ];
}

/** r6 moves along with the tags, so that the EtherType stays at its offset. */
function vlanTags(): Item[] {
  return Array.from({ length: MAX_VLAN_TAGS }, (_, depth) => [
    jeq(r3, networkOrder(0x8100), `tag ${depth}`),
    jeq(r3, networkOrder(0x88a8), `tag ${depth}`),
    // The EtherType of stacked tags before 802.1ad gave them one.
    jne(r3, networkOrder(0x9100), 'untagged'),
    label(`tag ${depth}`),
    mov64(r5, FRAME_KINDS.length),
    add64(r6, 4),
    unless(ETHERNET, 'count'),
    ldx('u16', r3, r6, 12),
  ]);
}

function ipv4(): Item[] {
  return [
    label('ipv4'),
    kindIs('ipv4-other'),
    unless(ETHERNET + IPV4, 'count'),
    ldx('u8', r3, r6, ETHERNET + 9),
    transport({ 6: 'ipv4-tcp', 17: 'ipv4-udp', 1: 'ipv4-icmp' }, 'ipv4'),
    ja('count'),
  ];
}

/** The protocol stands at the end of a chain of extension headers, each with its own length (RFC 8200, section 4). */
function ipv6(): Item[] {
  return [
    label('ipv6'),
    kindIs('ipv6-other'),
    unless(ETHERNET + IPV6, 'count'),
    ldx('u8', r3, r6, ETHERNET + 6),
    add64(r6, ETHERNET + IPV6),
    Array.from({ length: MAX_EXTENSION_HEADERS }, (_, depth) => [
      transport({ 6: 'ipv6-tcp', 17: 'ipv6-udp', 58: 'ipv6-icmpv6' }, `ipv6 ${depth}`),
      extensionHeader(`${depth}`),
    ]),
    transport({ 6: 'ipv6-tcp', 17: 'ipv6-udp', 58: 'ipv6-icmpv6' }, 'ipv6 last'),
    ja('count'),
  ];
}

/** Hop-by-hop options, routing, destination options, mobility, HIP, shim6: next header, then 8-byte units beyond the first. */
const EXTENSIONS = [0, 43, 60, 135, 139, 140];
const FRAGMENT = 44;
/** RFC 4302: its length counts 4-byte units less two. */
const AUTHENTICATION = 51;

function extensionHeader(name: string): Item[] {
  return [
    ...EXTENSIONS.map((number) => jeq(r3, number, `extension ${name}`)),
    jeq(r3, FRAGMENT, `fragment ${name}`),
    jne(r3, AUTHENTICATION, 'count'),
    unless(2, 'count'),
    ldx('u8', r4, r6, 1),
    add64(r4, 2),
    lsh64(r4, 2),
    ja(`advance ${name}`),
    label(`fragment ${name}`),
    unless(2, 'count'),
    mov64(r4, 8),
    ja(`advance ${name}`),
    label(`extension ${name}`),
    unless(2, 'count'),
    ldx('u8', r4, r6, 1),
    add64(r4, 1),
    lsh64(r4, 3),
    label(`advance ${name}`),
    ldx('u8', r3, r6, 0),
    add64(r6, r4),
  ];
}

/** Sets the kind by the protocol number in r3, if it is one of these. */
function transport(kinds: Readonly<Record<number, FrameKind>>, name: string): Item[] {
  return Object.entries(kinds).map(([number, kind]) => [
    jne(r3, Number(number), `not ${name} ${kind}`),
    kindIs(kind),
    ja('count'),
    label(`not ${name} ${kind}`),
  ]);
}

function count(frags: boolean): Item[] {
  return [
    add64(r8, r5),
    stx('u32', r10, r8, -4),
    frags
      ? [mov64(r1, r9), call('xdp_get_buff_len'), mov64(r7, r0)]
      : [ldx('u32', r6, r9, XDP_MD.data), sub64(r7, r6)],
    mapByName(r1, 'tallies'),
    mov64(r2, r10),
    add64(r2, -4),
    call('map_lookup_elem'),
    jeq(r0, 0, 'done'),
    addTo(0, 1),
    addTo(8, r7),
    label('done'),
  ];
}

function addTo(offset: number, amount: Register | number): Item[] {
  return [ldx('u64', r1, r0, offset), add64(r1, amount), stx('u64', r0, r1, offset)];
}

function kindIs(kind: FrameKind): Item {
  return mov64(r8, FRAME_KINDS.indexOf(kind));
}

/** Jumps unless so many bytes lie in the frame from r6 on. */
function unless(bytes: number, otherwise: string): Item[] {
  return [mov64(r2, r6), add64(r2, bytes), jgt(r2, r7, otherwise)];
}

/** A 16-bit number as it reads on a little-endian machine. */
function networkOrder(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}
