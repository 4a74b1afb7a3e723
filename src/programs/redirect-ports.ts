import {
  add64,
  call,
  exit,
  jeq,
  jne,
  label,
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
  r6,
  r7,
  r10,
  st,
  stx,
} from '../asm/index.ts';
import {
  compile,
  type Kernel,
  type KernelEnv,
  type Packet,
  program,
  type View,
  type XdpProgram,
} from '../compiler/index.ts';
import { be16, be64, type Layout, struct, u8, u16, u32, u64 } from '../layout/index.ts';
import {
  array,
  hash,
  lruHash,
  type MapSpec,
  type ProgramSpec,
  perCpuArray,
  ringBuffer,
} from '../spec/index.ts';
import { asTrafficControl, TCX_NEXT } from './traffic-control.ts';

/** What a rule is about: a protocol (6 or 17) and the port that was asked for. */
export interface PortKey {
  readonly protocol: number;
  readonly port: number;
}

/** Where packets for it go, and where they are counted. */
export interface PortTarget {
  readonly to: number;
  /** Index in `hits`. */
  readonly slot: number;
}

/** What one rule did, on one CPU. */
export interface RuleHits {
  readonly packets: bigint;
  /** Of whole frames. */
  readonly bytes: bigint;
  /** Replies that were sent from the port that was asked for. */
  readonly replies: bigint;
  /** Of the last packet, in ns since boot; 0 for none. */
  readonly last: bigint;
}

/**
 * One packet that went to another port. Addresses are 128 bits in two halves, those of IPv4 as IPv6 maps them
 * (::ffff:192.0.2.1, RFC 4291).
 */
export interface RedirectEvent {
  /** In ns since boot. */
  readonly time: bigint;
  /** Of the frame, in bytes. */
  readonly length: number;
  /** 6 or 17. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly from: number;
  readonly to: number;
  /** IPv4 addresses take the first four bytes. */
  readonly source: bigint;
  readonly sourceLow: bigint;
  readonly destination: bigint;
  readonly destinationLow: bigint;
}

/** One client's way to one port, as packets of both directions show it. */
export interface Flow {
  readonly remote: bigint;
  readonly remoteLow: bigint;
  readonly local: bigint;
  readonly localLow: bigint;
  readonly remotePort: number;
  readonly localPort: number;
  readonly protocol: number;
}

/** Which port the client of a flow asked for. */
interface Asked {
  readonly port: number;
  readonly slot: number;
}

/** A packet for a rule, as far as what follows needs to know. */
interface Found {
  readonly remote: bigint;
  readonly remoteLow: bigint;
  readonly local: bigint;
  readonly localLow: bigint;
  /** Of the transport header. */
  readonly start: number;
  /** Of the checksum. */
  readonly place: number;
  /** Bytes from the transport header to the end of the IP packet. */
  readonly length: number;
  /** Of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1). */
  readonly sum: number;
  readonly checksum: number;
  readonly remotePort: number;
  readonly from: number;
  readonly to: number;
  readonly slot: number;
  readonly protocol: number;
}

/** What the search for a reply found: where its transport header lies and which port it gets. */
interface Reply {
  readonly offset: number;
  /** Of the checksum. */
  readonly checksum: number;
  readonly slot: number;
  readonly protocol: number;
  readonly from: number;
  readonly to: number;
}

/** What may change while the program runs. */
export interface RedirectSettings {
  /** Events are made up to this moment of the monotonic clock, in ns: they end by themselves when a reader dies. */
  readonly until: bigint;
  /** 1 to remember who asked for which port, so that replies can be sent from it. */
  readonly replies: number;
}

const portKey: Layout<PortKey> = struct('port_key', { protocol: u8, port: be16 });
const portTarget: Layout<PortTarget> = struct('port_target', { to: u16, slot: u16 });
const ruleHits: Layout<RuleHits> = struct('rule_hits', { packets: u64, bytes: u64, replies: u64, last: u64 });
const redirectSettings: Layout<RedirectSettings> = struct('redirect_settings', { until: u64, replies: u32 });
const asked: Layout<Asked> = struct('asked', { port: u16, slot: u16 });
const flow: Layout<Flow> = struct('flow', {
  remote: be64,
  remoteLow: be64,
  local: be64,
  localLow: be64,
  remotePort: be16,
  localPort: be16,
  protocol: u8,
});
const reply: Layout<Reply> = struct('reply', {
  offset: u32,
  checksum: u32,
  slot: u32,
  protocol: u32,
  from: be16,
  to: be16,
});
const REPLY = { offset: 0, checksum: 4, slot: 8, protocol: 12, from: 16, to: 18 } as const;
const REPLIES_IN_HITS = 16;
const foundLayout: Layout<Found> = struct('found', {
  remote: be64,
  remoteLow: be64,
  local: be64,
  localLow: be64,
  start: u32,
  place: u32,
  length: u32,
  sum: u32,
  checksum: u16,
  remotePort: u16,
  from: u16,
  to: u16,
  slot: u16,
  protocol: u8,
});
export const redirectEvent: Layout<RedirectEvent> = struct('redirect_event', {
  time: u64,
  length: u32,
  protocol: u8,
  sourcePort: u16,
  from: u16,
  to: u16,
  source: be64,
  sourceLow: be64,
  destination: be64,
  destinationLow: be64,
});

/** Most rules on one interface. */
export const MAX_RULES = 1024;

export type RedirectMaps = {
  readonly rules: MapSpec<'hash', PortKey, PortTarget>;
  /** Ports that rules lead to: who asks for one of them directly gets answers from it. */
  readonly targets: MapSpec<'hash', PortKey, number>;
  readonly hits: MapSpec<'percpu_array', number, RuleHits>;
  readonly flows: MapSpec<'lru_hash', Flow, Asked>;
  readonly settings: MapSpec<'array', number, RedirectSettings>;
  readonly events: MapSpec<'ringbuf', never, RedirectEvent>;
  /** The packet at hand. */
  readonly work: MapSpec<'percpu_array', number, Found>;
};

export type ReplyMaps = Pick<RedirectMaps, 'targets' | 'hits' | 'flows'> & {
  readonly reply: MapSpec<'percpu_array', number, Reply>;
};

export interface RedirectProgramOptions {
  /** Flows that are remembered for their replies; the least recently used go first. */
  readonly flows: number;
  /** Takes packets in several buffers (Linux 5.18). */
  readonly frags: boolean;
}

/** The maps that both directions share. */
export function redirectMaps({ flows }: Pick<RedirectProgramOptions, 'flows'>): RedirectMaps {
  return {
    rules: hash('rules', portKey, portTarget, MAX_RULES),
    targets: hash('targets', portKey, u32, MAX_RULES),
    hits: perCpuArray('hits', ruleHits, MAX_RULES),
    flows: lruHash('flows', flow, asked, flows),
    settings: array('settings', redirectSettings, 1),
    events: ringBuffer('events', redirectEvent, 256 * 1024),
    work: perCpuArray('work', foundLayout, 1),
  };
}

/** Tags are looked through up to this depth. */
const TAGS = 2;
/** IPv6 extension headers are followed so far. */
const EXTENSIONS = 6;
/**
 * A packet whose checksum might be unfinished is summed up to this length, in bytes; longer ones come from offloads.
 * Without frags none comes longer than the second.
 */
const LONGEST_SUM = 9216;
const LONGEST_WITHOUT_FRAGS = 1500;

/**
 * The transport header of an IP packet whose EtherType stands at `at`: its offset times 256, plus 6 for TCP or 17 for
 * UDP. 0 for what has none, is a fragment (where `first` says so, other than the first one), or travels on to further
 * destinations by a routing header.
 */
type Transport = (
  pkt: Packet,
  at: number,
  first: boolean,
  extensions: number,
  ipv6Transport: Ipv6Transport,
) => number;

const transport: Transport = (pkt, at, first, extensions, ipv6Transport) => {
  const type = pkt.be16(at);
  if (type === 0x86dd) return ipv6Transport(pkt, at + 2, first, extensions);
  if (type !== 0x0800) return 0;
  const ip = pkt.ipv4(at + 2);
  if (ip.version !== 4 || ip.headerLength < 20 || ip.fragmentOffset !== 0) return 0;
  if (ip.moreFragments && !first) return 0;
  const protocol = ip.protocol;
  if (protocol !== 6 && protocol !== 17) return 0;
  return (at + 2 + ip.headerLength) * 256 + protocol;
};

type Ipv6Transport = (pkt: Packet, start: number, first: boolean, extensions: number) => number;

const ipv6Transport: Ipv6Transport = (pkt, start, first, extensions) => {
  let next = pkt.ipv6(start).nextHeader;
  let off = start + 40;
  for (let i = 0; i < extensions; i++) {
    if (next === 6 || next === 17) break;
    if (next === 44) {
      // The offset and the flag for more; an "atomic" fragment (RFC 6946) is a whole packet.
      const field = pkt.be16(off + 2) & 0xfff9;
      if (field > 1 || (field === 1 && !first)) return 0;
      next = pkt.u8(off);
      off += 8;
    } else if (next === 51) {
      next = pkt.u8(off);
      off += (pkt.u8(off + 1) + 2) * 4;
    } else if (next === 0 || next === 43 || next === 60 || next === 135 || next === 139 || next === 140) {
      // Segments left: the destination is one on the way.
      if (next === 43 && pkt.u8(off + 3) !== 0) return 0;
      next = pkt.u8(off);
      off += (pkt.u8(off + 1) + 1) * 8;
    } else {
      return 0;
    }
  }
  return next === 6 || next === 17 ? off * 256 + next : 0;
};

/** The offset of the EtherType behind the VLAN tags. */
type Untag = (pkt: Packet, tags: number) => number;

const untag: Untag = (pkt, tags) => {
  let at = 12;
  for (let i = 0; i < tags; i++) {
    const type = pkt.be16(at);
    if (type !== 0x8100 && type !== 0x88a8 && type !== 0x9100) break;
    at += 4;
  }
  return at;
};

/** Adds the upper bits of a sum to the lower 16 (RFC 1071). */
type Fold = (sum: number) => number;

const fold: Fold = (sum) => {
  const once = Math.floor(sum / 65536) + (sum % 65536);
  const twice = Math.floor(once / 65536) + (once % 65536);
  return Math.floor(twice / 65536) + (twice % 65536);
};

/**
 * The checksum after the port changed (RFC 1624, equation 3; 0xffff for UDP's zero, RFC 768). One that is still to be
 * finished by an offload (CHECKSUM_PARTIAL) stays: what stands there is the sum of the pseudo-header, of which ports
 * are no part, and what finishes it reads the new port.
 *
 * A finished checksum equals that sum once in 65,536 packets. Then the packet is summed up: if it is right as it
 * stands, it is taken for finished.
 */
type Repaired = (
  pkt: Packet,
  kernel: Kernel,
  found: View<Found>,
  fold: Fold,
  limits: { readonly longest: number; readonly frags: boolean },
) => number;

const repaired: Repaired = (pkt, kernel, found, fold, limits) => {
  const checksum = found.checksum;
  const pseudo = found.sum;
  if (checksum === pseudo) {
    const start = found.start;
    const length = found.length;
    if (length > limits.longest || start + length > pkt.length) return checksum;
    let sum = pseudo;
    let done = 0;
    if (limits.frags) {
      // Changes nothing, but the verifier forgets how much of the packet it knows on each way here, and follows one.
      pkt.whole.store.be16(found.place, checksum);
      for (; done < length - 3; done += 4) sum += pkt.whole.be32(start + done);
      if ((length & 2) !== 0) sum += pkt.whole.be16(start + (length & 0xfffc));
      if ((length & 1) !== 0) sum += pkt.whole.u8(start + length - 1) * 256;
    } else {
      for (; done < length - 3; done += 4) sum += pkt.be32(start + done);
      if ((length & 2) !== 0) sum += pkt.be16(start + (length & 0xfffc));
      if ((length & 1) !== 0) sum += pkt.u8(start + length - 1) * 256;
    }
    if (fold(sum) !== 0xffff) return checksum;
  }
  const after = kernel.csumReplace16(checksum, found.from, found.to);
  return found.protocol === 17 && after === 0 ? 0xffff : after;
};

/** How far headers are followed. */
const DEPTHS: { readonly tags: number; readonly extensions: number } = { tags: TAGS, extensions: EXTENSIONS };

type Parts = {
  readonly untag: Untag;
  readonly transport: Transport;
  readonly ipv6Transport: Ipv6Transport;
  readonly depths: typeof DEPTHS;
};

const PARTS: Parts = { untag, transport, ipv6Transport, depths: DEPTHS };

type SendParts = {
  readonly fold: Fold;
  readonly repaired: Repaired;
  readonly limits: { readonly longest: number; readonly frags: boolean };
};
type SendEnv = KernelEnv<RedirectMaps & SendParts>;

export type RedirectEnv = RedirectMaps & Parts & SendParts & { readonly send: Send };

/** {@link redirectPorts}, compiled. */
export function redirectSpec(
  maps: RedirectMaps,
  options: Pick<RedirectProgramOptions, 'frags'>,
): ProgramSpec<RedirectMaps> {
  return { ...compile(redirectPorts(maps, options)), maps };
}

/** Sends packets for one port to another, before the host's stack sees them. What is no such packet passes. */
export function redirectPorts(
  maps: RedirectMaps,
  { frags }: Pick<RedirectProgramOptions, 'frags'>,
): XdpProgram<RedirectEnv> {
  const env: RedirectEnv = {
    ...maps,
    ...PARTS,
    fold,
    repaired,
    send,
    limits: { longest: frags ? LONGEST_SUM : LONGEST_WITHOUT_FRAGS, frags },
  };
  return program(
    'redirect_ports',
    env,
    (env, pkt, kernel) => {
      const { rules, targets, settings, flows, work, depths } = env;
      const at = env.untag(pkt, depths.tags);
      const header = env.transport(pkt, at, false, depths.extensions, env.ipv6Transport);
      if (header === 0) return 'pass';
      const start = header >>> 8;
      const protocol = header & 0xff;
      const ip = at + 2;
      const v6 = pkt.be16(at) === 0x86dd;
      const remotePort = pkt.be16(start);
      const from = pkt.be16(start + 2);
      const rule = rules.get({ protocol, port: from });
      if (!rule) {
        const wanted = settings.get(0);
        if (!wanted || wanted.replies === 0 || !targets.has({ protocol, port: from })) return 'pass';
      }
      const found = work.get(0);
      if (!found) return 'pass';
      let end = 0;
      let sum = protocol;
      if (v6) {
        found.remote = pkt.be64(ip + 8);
        found.remoteLow = pkt.be64(ip + 16);
        found.local = pkt.be64(ip + 24);
        found.localLow = pkt.be64(ip + 32);
        for (let i = 8; i < 40; i += 4) sum += pkt.be32(ip + i);
        end = pkt.ipv6(ip).payloadLength;
        if (end !== 0) end += 40;
      } else {
        const source = pkt.be32(ip + 12);
        const destination = pkt.be32(ip + 16);
        found.remote = 0n;
        found.remoteLow = 0xffff_0000_0000n + BigInt(source);
        found.local = 0n;
        found.localLow = 0xffff_0000_0000n + BigInt(destination);
        sum += source + destination;
        end = pkt.ipv4(ip).totalLength;
      }
      // Zero is a packet longer than the field can say, as offloads make them.
      end = end === 0 ? pkt.length : ip + end;
      const place = protocol === 6 ? start + 16 : start + 6;
      const checksum = pkt.be16(place);
      const length = end - start;
      if (rule && length >= 8) {
        found.start = start;
        found.length = length;
        found.sum = env.fold(sum + length);
        found.place = place;
        found.checksum = checksum;
        found.remotePort = remotePort;
        found.from = from;
        found.to = rule.to;
        found.slot = rule.slot;
        found.protocol = protocol;
        return env.send(env, pkt, kernel, found);
      }
      if (!rule) {
        // Whoever asks for the real port gets answers from it.
        flows.delete({
          remote: found.remote,
          remoteLow: found.remoteLow,
          local: found.local,
          localLow: found.localLow,
          remotePort,
          localPort: from,
          protocol,
        });
      }
      return 'pass';
    },
    { frags },
  );
}

/**
 * Sends one packet to its rule's port.
 *
 * All it needs is read from the map, so that the verifier, which came here on many ways, follows only one of them
 * further.
 */
type Send = (env: SendEnv, pkt: Packet, kernel: Kernel, found: View<Found>) => 'pass';

const send: Send = (env, pkt, kernel, found) => {
  const { hits, flows, settings, events } = env;
  const protocol = found.protocol;
  if (protocol === 6 || found.checksum !== 0) {
    pkt.store.be16(found.place, env.repaired(pkt, kernel, found, env.fold, env.limits));
  }
  pkt.store.be16(found.start + 2, found.to);
  const now = kernel.ktime();
  const count = hits.get(found.slot);
  if (count) {
    count.packets += 1n;
    count.bytes += BigInt(pkt.length);
    count.last = now;
  }
  const wanted = settings.get(0);
  if (!wanted) return 'pass';
  if (wanted.replies !== 0) {
    const key = {
      remote: found.remote,
      remoteLow: found.remoteLow,
      local: found.local,
      localLow: found.localLow,
      remotePort: found.remotePort,
      localPort: found.to,
      protocol,
    };
    const known = flows.get(key);
    if (known) {
      known.port = found.from;
      known.slot = found.slot;
    } else {
      flows.set(key, { port: found.from, slot: found.slot });
    }
  }
  if (now < wanted.until) {
    events.output({
      time: now,
      length: pkt.length,
      protocol,
      sourcePort: found.remotePort,
      from: found.from,
      to: found.to,
      source: found.remote,
      sourceLow: found.remoteLow,
      destination: found.local,
      destinationLow: found.localLow,
    });
  }
  return 'pass';
};

type FindEnv = ReplyMaps & Parts;

/** Finds replies from a port that somebody asked for under another number: `tx` says that there is one in `reply`. */
export function findReplies(maps: ReplyMaps): XdpProgram<FindEnv> {
  const env: FindEnv = { ...maps, ...PARTS };
  return program('redirect_replies', env, (env, pkt) => {
    const { targets, flows, reply, depths } = env;
    const at = env.untag(pkt, depths.tags);
    // A first fragment has the ports, and the checksum is of the whole datagram: it may change like any other.
    const found = env.transport(pkt, at, true, depths.extensions, env.ipv6Transport);
    if (found === 0) return 'pass';
    const start = found >>> 8;
    const protocol = found & 0xff;
    const ip = at + 2;
    const localPort = pkt.be16(start);
    if (!targets.has({ protocol, port: localPort })) return 'pass';
    const remotePort = pkt.be16(start + 2);
    let remote = 0n;
    let remoteLow = 0n;
    let local = 0n;
    let localLow = 0n;
    if (pkt.be16(at) === 0x86dd) {
      local = pkt.be64(ip + 8);
      localLow = pkt.be64(ip + 16);
      remote = pkt.be64(ip + 24);
      remoteLow = pkt.be64(ip + 32);
    } else {
      localLow = 0xffff_0000_0000n + BigInt(pkt.be32(ip + 12));
      remoteLow = 0xffff_0000_0000n + BigInt(pkt.be32(ip + 16));
    }
    const asked = flows.get({ remote, remoteLow, local, localLow, remotePort, localPort, protocol });
    const out = reply.get(0);
    if (!asked || !out) return 'pass';
    out.offset = start;
    out.checksum = protocol === 6 ? start + 16 : start + 6;
    out.slot = asked.slot;
    out.protocol = protocol;
    out.from = localPort;
    out.to = asked.port;
    return 'tx';
  });
}

const XDP_TX = 3;
/** Flags of `l4_csum_replace` (linux/bpf.h): a field of two bytes; and UDP's zero, which stays and never comes about. */
const FIELD_OF_TWO = 2;
const MANGLED_ZERO = 0x20;
const UDP = 17;

/**
 * Sends replies from the port that the client asked for, on their way out of the interface.
 *
 * XDP sees only what comes in, so this is a program for traffic control. Unlike XDP it is told by the kernel which
 * checksums are still to be finished: `l4_csum_replace` leaves those alone.
 */
export function replySpec(maps: ReplyMaps): ProgramSpec<ReplyMaps> {
  const find = compile(findReplies(maps)) as ProgramSpec<ReplyMaps>;
  return asTrafficControl(
    { ...find, maps },
    'tcx/egress',
    [mov64(r6, r1)],
    [
      jne(r0, XDP_TX, 'next'),
      st('u32', r10, -4, 0),
      mov64(r2, r10),
      add64(r2, -4),
      mapByName(r1, 'reply'),
      call('map_lookup_elem'),
      jeq(r0, 0, 'next'),
      mov64(r7, r0),
      mov64(r5, FIELD_OF_TWO),
      ldx('u32', r1, r7, REPLY.protocol),
      jne(r1, UDP, 'replace'),
      mov64(r5, FIELD_OF_TWO | MANGLED_ZERO),
      label('replace'),
      mov64(r1, r6),
      ldx('u32', r2, r7, REPLY.checksum),
      ldx('u16', r3, r7, REPLY.from),
      ldx('u16', r4, r7, REPLY.to),
      call('l4_csum_replace'),
      jne(r0, 0, 'next'),
      mov64(r1, r6),
      ldx('u32', r2, r7, REPLY.offset),
      mov64(r3, r7),
      add64(r3, REPLY.to),
      mov64(r4, 2),
      mov64(r5, 0),
      call('skb_store_bytes'),
      jne(r0, 0, 'next'),
      ldx('u32', r1, r7, REPLY.slot),
      stx('u32', r10, r1, -4),
      mov64(r2, r10),
      add64(r2, -4),
      mapByName(r1, 'hits'),
      call('map_lookup_elem'),
      jeq(r0, 0, 'next'),
      ldx('u64', r1, r0, REPLIES_IN_HITS),
      add64(r1, 1),
      stx('u64', r0, r1, REPLIES_IN_HITS),
      label('next'),
      mov64(r0, TCX_NEXT),
      exit(),
    ],
  );
}

/** The map that the parts of the reply program speak through. */
export function replyMap(): ReplyMaps['reply'] {
  return perCpuArray('reply', reply, 1);
}
