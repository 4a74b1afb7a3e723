import type { IpVersion } from '../address/index.ts';
import {
  type Kernel,
  type KernelMap,
  type MapSpec,
  type Packet,
  program,
  type View,
  type XdpProgram,
} from '../compiler/index.ts';
import type { Entry } from '../policy/entry.ts';
import type { AddressAction, TableName } from '../policy/table.ts';
import type { Prefix } from '../spec/index.ts';
import {
  type Bucket,
  type Buckets4,
  type Buckets6,
  bucketMaps,
  type Capacities,
  type CpuState,
  type DropEvent,
  dropEvents,
  type Guard,
  guardMap,
  previousMap,
  type RuleCount,
  ruleCounts,
  stateMap,
  type TableMaps,
  tableMaps,
} from './filter-maps.ts';

/** A rule that becomes code: everything in it is a constant of the program. */
export interface CodeRule {
  /** Its place in the policy, and in the counts. */
  readonly index: number;
  /** What becomes of a packet by it: of OUTCOMES, and `index << 8`. For a limit that grants, also what keeps to it. */
  readonly outcome: number;
  readonly granted: number;
  /** 32-bit words of the address and of its mask, one pair for IPv4 and four for IPv6; none matches every address. */
  readonly source: readonly Word[];
  readonly destination: readonly Word[];
  /** -1 for any. */
  readonly protocol: number;
  /** 0 for any, 1 for a TCP connection's first segment (SYN without ACK), 2 for one that has ACK or RST. */
  readonly segment: 0 | 1 | 2;
  /** Inclusive; none matches every port, and what has none. */
  readonly ports: readonly PortSpan[];
  readonly sourcePorts: readonly PortSpan[];
  /** When it ends, in ns of CLOCK_MONOTONIC; 0 for never. */
  readonly deadline: bigint;
  /** Limits only. */
  readonly limit: CodeLimit;
}

export interface Word {
  /** From the start of the address, in bytes. */
  readonly offset: number;
  readonly mask: number;
  readonly value: number;
}

export interface PortSpan {
  readonly from: number;
  readonly to: number;
}

/** A token bucket as a virtual clock: each packet moves it on by its cost, and must not find it ahead of time. */
export interface CodeLimit {
  /** Masks of the source's words: packets that are equal under them share a bucket. One for IPv4, four for IPv6. */
  readonly masks: readonly number[];
  /** Cost of a packet, in ns; 0 without such a limit. */
  readonly packetCost: bigint;
  /** Idle time that may be saved up, in ns. */
  readonly packetBurst: bigint;
  /** Cost of a byte, in 1/1024 ns; 0 without such a limit. */
  readonly byteCost: bigint;
  readonly byteBurst: bigint;
  /** Whether what keeps to the limit passes at once; otherwise whatever comes next decides. */
  readonly grants: boolean;
}

/** What the program is made for. Whatever a policy does not use costs nothing. */
export interface FilterShape {
  /** Which tables are looked at. */
  readonly tables: ReadonlySet<TableName>;
  /** In order; every one that applies to IPv4 resp. IPv6. */
  readonly allow4: readonly CodeRule[];
  readonly allow6: readonly CodeRule[];
  readonly deny4: readonly CodeRule[];
  readonly deny6: readonly CodeRule[];
  readonly limit4: readonly CodeRule[];
  readonly limit6: readonly CodeRule[];
  /** How many rules there are to count for. */
  readonly rules: number;
  readonly defaultAction: 'allow' | 'deny';
  readonly laterFragments: 'pass' | 'drop';
  readonly malformed: 'pass' | 'drop';
  readonly arp: 'pass' | 'drop';
  /** `filter`: like everything else. */
  readonly nd: 'pass' | 'filter';
  readonly other: 'pass' | 'drop';
  /** Whether drops are told. */
  readonly events: boolean;
  /** Whether the guard is asked first. */
  readonly guarded: boolean;
  readonly capacities: Capacities;
  /** Sources that limits keep count of. */
  readonly sources: number;
  /** Of the ring buffer, in bytes. */
  readonly eventBytes: number;
  /** Take packets in several buffers. */
  readonly frags: boolean;
}

/** Names of all maps of the program. */
export interface FilterMaps extends TableMaps {
  readonly buckets4: Buckets4;
  readonly buckets6: Buckets6;
  readonly state: MapSpec<'percpu_array', number, CpuState>;
  readonly rule_counts: MapSpec<'percpu_array', number, RuleCount>;
  readonly guard: MapSpec<'array', number, Guard>;
  readonly previous: typeof previousMap;
  readonly drop_events: MapSpec<'ringbuf', never, DropEvent>;
}

export function filterMaps(shape: FilterShape): FilterMaps {
  return {
    ...tableMaps(shape.capacities),
    ...bucketMaps(shape.sources),
    state: stateMap,
    rule_counts: ruleCounts(shape.rules),
    guard: guardMap,
    previous: previousMap,
    drop_events: dropEvents(shape.eventBytes),
  };
}

/** The filter's program for one shape. */
export function filterProgram(shape: FilterShape): XdpProgram<FilterEnv> {
  const env: FilterEnv = {
    ...filterMaps(shape),
    use: useOf(shape),
    rules: {
      allow4: shape.allow4,
      allow6: shape.allow6,
      deny4: shape.deny4,
      deny6: shape.deny6,
      limit4: shape.limit4,
      limit6: shape.limit6,
    },
    address,
    prefix,
    search,
    tick,
    applies,
    fresh,
    overdrawn,
    word,
  };
  return program('barewire_filter', env, decide, { frags: shape.frags, onShort: shape.malformed, unroll: 2 });
}

interface FilterEnv extends FilterMaps {
  readonly use: Use;
  readonly rules: Pick<FilterShape, 'allow4' | 'allow6' | 'deny4' | 'deny6' | 'limit4' | 'limit6'>;
  readonly address: typeof address;
  readonly prefix: typeof prefix;
  readonly applies: typeof applies;
  readonly search: typeof search;
  readonly tick: typeof tick;
  readonly fresh: typeof fresh;
  readonly overdrawn: typeof overdrawn;
  readonly word: typeof word;
}

/** What the program does at all, as constants that decide its branches. */
interface Use {
  readonly allow4: Looks;
  readonly allow6: Looks;
  readonly deny4: Looks;
  readonly deny6: Looks;
  /** Whether anything matters beyond the tables. */
  readonly transport: boolean;
  /** Whether anything beyond addresses does. */
  readonly walk: boolean;
  readonly ports: boolean;
  readonly segments: boolean;
  readonly rules: boolean;
  readonly limits6: boolean;
  /** Rules that allow come before the tables that deny. */
  readonly allowRules: boolean;
  readonly denies: boolean;
  readonly passLater: boolean;
  readonly passMalformed: boolean;
  readonly passArp: boolean;
  readonly passNd: boolean;
  readonly passOther: boolean;
  readonly events: boolean;
  readonly guarded: boolean;
}

function useOf(shape: FilterShape): Use {
  const { allow4, allow6, deny4, deny6, limit4, limit6 } = shape;
  const rules = [allow4, allow6, deny4, deny6, limit4, limit6].flat();
  const segments = rules.some((rule) => rule.segment !== 0);
  const ports = segments || rules.some((rule) => rule.ports.length > 0 || rule.sourcePorts.length > 0);
  const denies = shape.defaultAction === 'deny';
  const passLater = shape.laterFragments === 'pass';
  const looks = (action: AddressAction, version: IpVersion): Looks => ({
    source: shape.tables.has(`${action}_src${version}`),
    sourceNet: shape.tables.has(`${action}_src${version}_net`),
    destination: shape.tables.has(`${action}_dst${version}`),
    destinationNet: shape.tables.has(`${action}_dst${version}_net`),
  });
  return {
    allow4: looks('allow', 4),
    allow6: looks('allow', 6),
    deny4: looks('deny', 4),
    deny6: looks('deny', 6),
    transport: rules.length > 0 || denies || !passLater,
    walk: ports || denies || !passLater || rules.some((rule) => rule.protocol >= 0),
    ports,
    segments,
    rules: rules.length > 0,
    limits6: limit6.length > 0,
    allowRules: allow4.length > 0 || allow6.length > 0,
    denies,
    passLater,
    passMalformed: shape.malformed === 'pass',
    passArp: shape.arp === 'pass',
    passNd: shape.nd === 'pass',
    passOther: shape.other === 'pass',
    events: shape.events,
    guarded: shape.guarded,
  };
}

type Decide = XdpProgram<FilterEnv>['fn'];

// Outcomes are written as numbers here: the function sees env only, and constants of env cost a name each.
// Those from 8 on drop; bits 8 and up are the rule or the prefix's length.
const decide: Decide = (env, pkt, kernel) => {
  const { use, rules, address, prefix, search, applies, fresh, overdrawn, tick, word } = env;
  if (use.guarded) {
    const guard = env.guard.get(0);
    if (guard && guard.deadline !== 0n && kernel.coarseTime() >= guard.deadline) {
      return env.previous.tailCall(0, 'pass');
    }
  }
  const own = env.state.get(0);
  if (!own) return 'aborted';
  let outcome = 0;
  let type = pkt.be16(12);
  let off = 14;
  let cut = false;
  for (let i = 0; i < 2; i++) {
    if (type !== 0x8100 && type !== 0x88a8) break; // 802.1Q, 802.1ad
    if (!pkt.has(off, 4)) {
      cut = true;
      break;
    }
    type = pkt.be16(off + 2);
    off += 4;
  }
  if (cut) {
    outcome = 13;
  } else if (type === 0x0800) {
    if (!pkt.has(off, 20) || pkt.u8(off) < 0x45 || pkt.u8(off) > 0x4f) {
      outcome = 13;
    } else {
      const ip = pkt.ipv4(off);
      const source = ip.source;
      const destination = ip.destination;
      const { allow4, deny4 } = use;
      outcome = search(
        address,
        prefix,
        allow4,
        env.allow_src4,
        env.allow_src4_net,
        env.allow_dst4,
        env.allow_dst4_net,
        source,
        destination,
        32,
        1,
        own,
        tick,
        kernel,
      );
      if (outcome === 0 && !use.allowRules) {
        outcome = search(
          address,
          prefix,
          deny4,
          env.deny_src4,
          env.deny_src4_net,
          env.deny_dst4,
          env.deny_dst4_net,
          source,
          destination,
          32,
          9,
          own,
          tick,
          kernel,
        );
      }
      if (outcome === 0 && use.transport) {
        const protocol = ip.protocol;
        const later = ip.fragmentOffset !== 0;
        let broken = false;
        let segment = 0;
        let from = -1;
        let to = -1;
        if (use.ports && !later) {
          // TCP, UDP, DCCP, SCTP and UDP-Lite begin with their ports.
          if (protocol === 6 || protocol === 17 || protocol === 33 || protocol === 132 || protocol === 136) {
            const l4 = off + ip.headerLength;
            if (!pkt.has(l4, 4)) {
              broken = true;
            } else {
              from = pkt.be16(l4);
              to = pkt.be16(l4 + 2);
              if (use.segments && protocol === 6) {
                if (!pkt.has(l4, 14)) broken = true;
                else segment = pkt.u8(l4 + 13);
              }
            }
          }
        }
        const what = { protocol, segment, from, to };
        if (!broken) {
          for (const rule of rules.allow4) {
            if (applies(rule, pkt, off + 12, off + 16, what, kernel)) {
              outcome = rule.outcome;
              break;
            }
          }
        }
        if (outcome === 0 && use.allowRules) {
          outcome = search(
            address,
            prefix,
            deny4,
            env.deny_src4,
            env.deny_src4_net,
            env.deny_dst4,
            env.deny_dst4_net,
            source,
            destination,
            32,
            9,
            own,
            tick,
            kernel,
          );
        }
        if (outcome === 0 && broken) outcome = 13;
        if (outcome === 0) {
          for (const rule of rules.deny4) {
            if (applies(rule, pkt, off + 12, off + 16, what, kernel)) {
              outcome = rule.outcome;
              break;
            }
          }
        }
        if (outcome === 0) {
          let granted = 0;
          for (const rule of rules.limit4) {
            if (applies(rule, pkt, off + 12, off + 16, what, kernel)) {
              const key = { rule: rule.index, address: (source & rule.limit.masks[0]!) >>> 0 };
              const bucket = env.buckets4.get(key);
              if (!bucket) {
                env.buckets4.set(key, fresh(rule.limit, pkt, kernel));
              } else if (overdrawn(bucket, rule.limit, pkt, kernel)) {
                outcome = rule.outcome;
                break;
              }
              if (rule.limit.grants) granted = rule.granted;
            }
          }
          if (outcome === 0) {
            if (granted !== 0) outcome = granted;
            else if (later) outcome = use.passLater ? 7 : 14;
            else if (use.denies) outcome = 8;
          }
        }
      }
    }
  } else if (type === 0x86dd) {
    if (!pkt.has(off, 40) || pkt.u8(off) >> 4 !== 6) {
      outcome = 13;
    } else {
      const ip = pkt.ipv6(off);
      const source = ip.source;
      const destination = ip.destination;
      const { allow6, deny6 } = use;
      if (use.passNd && ip.nextHeader === 58 && ip.hopLimit === 255 && pkt.has(off + 40, 1)) {
        const message = pkt.u8(off + 40);
        if (message >= 133 && message <= 137) outcome = 5; // RFC 4861, section 4
      }
      if (outcome === 0) {
        outcome = search(
          address,
          prefix,
          allow6,
          env.allow_src6,
          env.allow_src6_net,
          env.allow_dst6,
          env.allow_dst6_net,
          source,
          destination,
          128,
          1,
          own,
          tick,
          kernel,
        );
      }
      if (outcome === 0 && !use.allowRules) {
        outcome = search(
          address,
          prefix,
          deny6,
          env.deny_src6,
          env.deny_src6_net,
          env.deny_dst6,
          env.deny_dst6_net,
          source,
          destination,
          128,
          9,
          own,
          tick,
          kernel,
        );
      }
      if (outcome === 0 && use.transport) {
        let next = ip.nextHeader;
        let l4 = off + 40;
        let fault = use.walk ? 2 : 0;
        let offset = 0;
        for (let i = 0; use.walk && i < 9; i++) {
          if (
            next !== 0 &&
            next !== 43 &&
            next !== 44 &&
            next !== 51 &&
            next !== 60 &&
            next !== 135 &&
            next !== 139 &&
            next !== 140
          ) {
            fault = 0;
            break;
          }
          // Eight at most (RFC 8200 knows seven); the first 8 bytes of each have the same form but for their length.
          if (i === 8 || !pkt.has(l4, 8)) break;
          const words = pkt.u8(l4 + 1);
          const fragment = next === 44;
          const authentication = next === 51;
          next = pkt.u8(l4);
          if (fragment) {
            offset = pkt.be16(l4 + 2) >> 3;
            l4 += 8;
            if (offset !== 0) {
              fault = 0;
              break;
            }
          } else {
            l4 += authentication ? (words + 2) * 4 : (words + 1) * 8;
          }
        }
        let segment = 0;
        let from = -1;
        let to = -1;
        if (use.ports && fault === 0 && offset === 0) {
          if (next === 6 || next === 17 || next === 33 || next === 132 || next === 136) {
            if (!pkt.has(l4, 4)) {
              fault = 1;
            } else {
              from = pkt.be16(l4);
              to = pkt.be16(l4 + 2);
              if (use.segments && next === 6) {
                if (!pkt.has(l4, 14)) fault = 1;
                else segment = pkt.u8(l4 + 13);
              }
            }
          }
        }
        // Through memory, so that the verifier takes all the ways that lead here for one.
        own.protocol = next;
        own.segment = segment;
        own.from = from;
        own.to = to;
        own.later = offset;
        own.broken = fault;
        const what = { protocol: own.protocol, segment: own.segment, from: own.from, to: own.to };
        const later = own.later !== 0;
        const broken = own.broken !== 0;
        if (!broken) {
          for (const rule of rules.allow6) {
            if (applies(rule, pkt, off + 8, off + 24, what, kernel)) {
              outcome = rule.outcome;
              break;
            }
          }
        }
        if (outcome === 0 && use.allowRules) {
          outcome = search(
            address,
            prefix,
            deny6,
            env.deny_src6,
            env.deny_src6_net,
            env.deny_dst6,
            env.deny_dst6_net,
            source,
            destination,
            128,
            9,
            own,
            tick,
            kernel,
          );
        }
        if (outcome === 0 && broken) outcome = 13;
        if (outcome === 0) {
          for (const rule of rules.deny6) {
            if (applies(rule, pkt, off + 8, off + 24, what, kernel)) {
              outcome = rule.outcome;
              break;
            }
          }
        }
        if (outcome === 0) {
          if (use.limits6) {
            own.a = pkt.be32(off + 8);
            own.b = pkt.be32(off + 12);
            own.c = pkt.be32(off + 16);
            own.d = pkt.be32(off + 20);
          }
          let granted = 0;
          for (const rule of rules.limit6) {
            if (applies(rule, pkt, off + 8, off + 24, what, kernel)) {
              const { masks } = rule.limit;
              const bucket = env.buckets6.get({
                rule: rule.index,
                a: (own.a & masks[0]!) >>> 0,
                b: (own.b & masks[1]!) >>> 0,
                c: (own.c & masks[2]!) >>> 0,
                d: (own.d & masks[3]!) >>> 0,
              });
              if (!bucket) {
                // The key is read anew: kept, it would take the stack of a program that has several limits.
                env.buckets6.set(
                  {
                    rule: rule.index,
                    a: (own.a & masks[0]!) >>> 0,
                    b: (own.b & masks[1]!) >>> 0,
                    c: (own.c & masks[2]!) >>> 0,
                    d: (own.d & masks[3]!) >>> 0,
                  },
                  fresh(rule.limit, pkt, kernel),
                );
              } else if (overdrawn(bucket, rule.limit, pkt, kernel)) {
                outcome = rule.outcome;
                break;
              }
              if (rule.limit.grants) granted = rule.granted;
            }
          }
          if (outcome === 0) {
            if (granted !== 0) outcome = granted;
            else if (later) outcome = use.passLater ? 7 : 14;
            else if (use.denies) outcome = 8;
          }
        }
      }
    }
  } else if (type === 0x0806) {
    outcome = use.passArp ? 5 : 15;
  } else {
    outcome = use.passOther ? 6 : 15;
  }
  const kind = outcome & 15;
  const tally = own.outcomes[kind]!;
  tally.packets += 1n;
  tally.bytes += BigInt(pkt.length);
  if (use.rules && (kind === 3 || kind === 4 || kind === 11 || kind === 12)) {
    const rule = env.rule_counts.get(outcome >> 8);
    if (rule) {
      rule.packets += 1n;
      rule.bytes += BigInt(pkt.length);
      tick(own, kernel);
      rule.lastSeen = own.now;
    }
  }
  if (kind < 8 || (kind === 13 && use.passMalformed)) return 'pass';
  if (use.events) {
    own.drops += 1n;
    tick(own, kernel);
    if (own.toldAt !== own.ticks) {
      own.toldAt = own.ticks;
      const told = env.drop_events.output({
        time: own.now,
        stands: own.drops - own.toldDrops,
        length: pkt.length,
        ifindex: pkt.ingressIfindex,
        outcome: kind,
        detail: outcome >> 8,
        head: [
          word(pkt, 0),
          word(pkt, 8),
          word(pkt, 16),
          word(pkt, 24),
          word(pkt, 32),
          word(pkt, 40),
          word(pkt, 48),
          word(pkt, 56),
        ],
      });
      if (told) own.toldDrops = own.drops;
    }
  }
  return 'drop';
};

type Trie = KernelMap<'lpm_trie', Prefix, Entry>;

/** Which of four tables are looked at. */
interface Looks {
  readonly source: boolean;
  readonly sourceNet: boolean;
  readonly destination: boolean;
  readonly destinationNet: boolean;
}

/** Searches the tables of one action; `found`, or `found + 1` for a destination, with a prefix's length; or 0. */
function search<K extends number | Uint8Array>(
  address: (
    map: KernelMap<'hash', K, Entry>,
    key: K,
    found: number,
    own: Own,
    tick: Tick,
    kernel: Kernel,
  ) => number,
  prefix: (map: Trie, key: K, bits: number, found: number, own: Own, tick: Tick, kernel: Kernel) => number,
  looks: Looks,
  sources: KernelMap<'hash', K, Entry>,
  sourceNets: Trie,
  destinations: KernelMap<'hash', K, Entry>,
  destinationNets: Trie,
  source: K,
  destination: K,
  bits: number,
  found: number,
  own: Own,
  tick: Tick,
  kernel: Kernel,
): number {
  let outcome = 0;
  if (looks.source) outcome = address(sources, source, found, own, tick, kernel);
  if (looks.sourceNet && outcome === 0) outcome = prefix(sourceNets, source, bits, found, own, tick, kernel);
  if (looks.destination && outcome === 0)
    outcome = address(destinations, destination, found + 1, own, tick, kernel);
  if (looks.destinationNet && outcome === 0) {
    outcome = prefix(destinationNets, destination, bits, found + 1, own, tick, kernel);
  }
  return outcome;
}

type Own = View<CpuState>;

/** Keeps the time of the present tick: a clock is asked once each tick, and not for each packet. */
function tick(own: Own, kernel: Kernel): void {
  const ticks = kernel.ticks();
  if (own.ticks !== ticks) {
    own.ticks = ticks;
    const now = kernel.coarseTime();
    own.now = now;
    own.seen = Number((now >> 27n) & 0xffffffffn);
  }
}

/** Looks a whole address up; `found`, or 0. */
function address<K>(
  map: KernelMap<'hash', K, Entry>,
  key: K,
  found: number,
  own: Own,
  tick: Tick,
  kernel: Kernel,
): number {
  const entry = map.get(key);
  if (!entry) return 0;
  tick(own, kernel);
  if (entry.deadline !== 0n && own.now >= entry.deadline) return 0;
  entry.hits += 1n;
  entry.lastSeen = own.seen;
  return found;
}

/** Looks for the longest prefix; `found` with its length, or 0. One that has ended does not hide a shorter one. */
function prefix(
  map: Trie,
  key: number | Uint8Array,
  bits: number,
  found: number,
  own: Own,
  tick: Tick,
  kernel: Kernel,
): number {
  let length = bits;
  for (let i = 0; i <= bits; i++) {
    const entry = map.get({ prefixlen: length, address: key });
    if (!entry) return 0;
    tick(own, kernel);
    if (entry.deadline === 0n || own.now < entry.deadline) {
      entry.hits += 1n;
      entry.lastSeen = own.seen;
      return found | (entry.length << 8);
    }
    if (entry.length === 0) return 0;
    length = entry.length - 1;
  }
  return 0;
}

type Tick = typeof tick;

/** What a packet is beyond its addresses; ports are -1 where it has none. */
interface What {
  readonly protocol: number;
  /** TCP's flags. */
  readonly segment: number;
  readonly from: number;
  readonly to: number;
}

/** Whether a rule applies to a packet whose addresses lie at `source` and `destination`. */
function applies(
  rule: CodeRule,
  pkt: Packet,
  source: number,
  destination: number,
  what: What,
  kernel: Kernel,
): boolean {
  if (rule.protocol >= 0 && what.protocol !== rule.protocol) return false;
  if (rule.ports.length > 0) {
    let inside = false;
    for (const span of rule.ports) if (what.to >= span.from && what.to <= span.to) inside = true;
    if (!inside) return false;
  }
  if (rule.sourcePorts.length > 0) {
    let inside = false;
    for (const span of rule.sourcePorts) if (what.from >= span.from && what.from <= span.to) inside = true;
    if (!inside) return false;
  }
  if (rule.segment === 1 && (what.segment & 0x12) !== 0x02) return false;
  if (rule.segment === 2 && (what.segment & 0x14) === 0) return false;
  for (const { offset, mask, value } of rule.source) {
    if ((pkt.be32(source + offset) & mask) >>> 0 !== value) return false;
  }
  for (const { offset, mask, value } of rule.destination) {
    if ((pkt.be32(destination + offset) & mask) >>> 0 !== value) return false;
  }
  if (rule.deadline !== 0n && kernel.coarseTime() >= rule.deadline) return false;
  return true;
}

/**
 * Whether a packet comes before its time, and if not, moves its bucket's clock on.
 *
 * The clock is moved by one atomic addition, so that CPUs which take packets of one source at once do not lose each
 * other's. Buckets count from 2^52 ns before boot: no burst reaches below zero.
 */
function overdrawn(bucket: View<Bucket>, limit: CodeLimit, pkt: Packet, kernel: Kernel): boolean {
  const now = kernel.ktime() + 0x10000000000000n;
  if (limit.packetCost !== 0n) {
    if (bucket.packets < now - limit.packetBurst) bucket.packets = now - limit.packetBurst;
    if (bucket.packets > now) return true;
  }
  if (limit.byteCost !== 0n) {
    if (bucket.bytes < now - limit.byteBurst) bucket.bytes = now - limit.byteBurst;
    if (bucket.bytes > now) return true;
    bucket.bytes += (BigInt(pkt.length) * limit.byteCost) >> 10n;
  }
  if (limit.packetCost !== 0n) bucket.packets += limit.packetCost;
  return false;
}

/** The bucket of a source that had none, after its first packet. */
function fresh(limit: CodeLimit, pkt: Packet, kernel: Kernel): Bucket {
  const now = kernel.ktime() + 0x10000000000000n;
  return {
    packets: now - limit.packetBurst + limit.packetCost,
    bytes: now - limit.byteBurst + ((BigInt(pkt.length) * limit.byteCost) >> 10n),
  };
}

/** Eight bytes of the packet, or zeros where it has ended. */
function word(pkt: Packet, offset: number): bigint {
  return pkt.has(offset, 8) ? pkt.be64(offset) : 0n;
}
