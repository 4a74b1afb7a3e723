import { compile, type Packet, program, type XdpProgram } from '../compiler/index.ts';
import { type Layout, struct, u64 } from '../layout/index.ts';
import { type MapSpec, type ProgramSpec, perCpuArray } from '../spec/index.ts';
import { FRAME_KINDS, type Tally } from './frame-kinds.ts';

export { FRAME_KINDS, type FrameKind, type Tally } from './frame-kinds.ts';

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

/** What the program is given. */
export type CounterEnv = CounterMaps & {
  readonly kindOf: KindOf;
  readonly ipv6Kind: Ipv6Kind;
  readonly kinds: Kinds;
  readonly tags: number;
  readonly extensions: number;
};

/**
 * A program that counts every frame and lets it pass, compiled.
 *
 * One counter per CPU and kind: on one CPU at most one frame is in the program at a time, so plain additions lose
 * nothing.
 */
export function counterSpec(options: CounterOptions): ProgramSpec<CounterMaps> {
  return compile(counter(options));
}

/** The same as it is written. A frame that ends early counts as what it is so far. */
export function counter({ frags }: CounterOptions): XdpProgram<CounterEnv> {
  const tallies = perCpuArray('tallies', tally, 2 * FRAME_KINDS.length);
  const env: CounterEnv = {
    tallies,
    kindOf,
    ipv6Kind,
    kinds,
    tags: MAX_VLAN_TAGS,
    extensions: MAX_EXTENSION_HEADERS,
  };
  return program(
    'count_frames',
    env,
    ({ tallies, kindOf, ipv6Kind, kinds, tags, extensions }, pkt) => {
      let kind = kinds.other;
      let tagged = 0;
      let off = 12;
      if (pkt.has(0, 14)) {
        let type = pkt.be16(12);
        let whole = true;
        for (let i = 0; i < tags; i++) {
          if (type !== 0x8100 && type !== 0x88a8 && type !== 0x9100) break; // 802.1Q, 802.1ad, and its forerunner
          tagged = kinds.count;
          off += 4;
          if (!pkt.has(off, 2)) {
            whole = false;
            break;
          }
          type = pkt.be16(off);
        }
        if (whole) kind = kindOf(pkt, off + 2, type, kinds, extensions, ipv6Kind);
      }
      const tally = tallies.get(kind + tagged);
      if (tally) {
        tally.packets += 1n;
        tally.bytes += BigInt(pkt.length);
      }
      return 'pass';
    },
    { frags, license: 'MIT' },
  );
}

/** Places in `FRAME_KINDS`, as constants for the program. */
type Kinds = Readonly<
  Record<
    | 'ipv4Tcp'
    | 'ipv4Udp'
    | 'ipv4Icmp'
    | 'ipv4Other'
    | 'ipv6Tcp'
    | 'ipv6Udp'
    | 'ipv6Icmp'
    | 'ipv6Other'
    | 'arp'
    | 'other'
    | 'count',
    number
  >
>;

const kinds: Kinds = {
  ipv4Tcp: 0,
  ipv4Udp: 1,
  ipv4Icmp: 2,
  ipv4Other: 3,
  ipv6Tcp: 4,
  ipv6Udp: 5,
  ipv6Icmp: 6,
  ipv6Other: 7,
  arp: 8,
  other: 9,
  count: FRAME_KINDS.length,
};

type Ipv6Kind = (pkt: Packet, start: number, known: Kinds, extensions: number) => number;

type KindOf = (
  pkt: Packet,
  off: number,
  type: number,
  known: Kinds,
  extensions: number,
  ipv6: Ipv6Kind,
) => number;

const kindOf: KindOf = (
  pkt: Packet,
  off: number,
  type: number,
  known: Kinds,
  extensions: number,
  ipv6: Ipv6Kind,
): number => {
  if (type === 0x0806) return known.arp;
  if (type === 0x86dd) return ipv6(pkt, off, known, extensions);
  if (type !== 0x0800) return known.other;
  if (!pkt.has(off, 20)) return known.ipv4Other;
  const protocol = pkt.ipv4(off).protocol;
  if (protocol === 6) return known.ipv4Tcp;
  if (protocol === 17) return known.ipv4Udp;
  return protocol === 1 ? known.ipv4Icmp : known.ipv4Other;
};

/** The protocol stands at the end of a chain of extension headers, each with its own length (RFC 8200, section 4). */
const ipv6Kind: Ipv6Kind = (pkt, start, known, extensions) => {
  if (!pkt.has(start, 40)) return known.ipv6Other;
  let next = pkt.ipv6(start).nextHeader;
  let off = start + 40;
  for (let i = 0; i < extensions; i++) {
    if (next === 6 || next === 17 || next === 58) break;
    let unit = 8;
    let more = 1;
    switch (next) {
      case 0: // hop-by-hop options
      case 43: // routing
      case 60: // destination options
      case 135: // mobility
      case 139: // HIP
      case 140: // shim6
        break;
      case 44: // fragment, of eight bytes whatever its second one says
        unit = 0;
        break;
      case 51: // authentication, in units of four bytes less two (RFC 4302)
        unit = 4;
        more = 2;
        break;
      default:
        return known.ipv6Other;
    }
    if (!pkt.has(off, 2)) return known.ipv6Other;
    next = pkt.u8(off);
    off += unit === 0 ? 8 : (pkt.u8(off + 1) + more) * unit;
  }
  if (next === 6) return known.ipv6Tcp;
  if (next === 17) return known.ipv6Udp;
  return next === 58 ? known.ipv6Icmp : known.ipv6Other;
};
