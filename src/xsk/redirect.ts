import type { Prefix } from '../address/index.ts';
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
  jeq32,
  jgt,
  jlt,
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
  st,
  stx,
  toBe,
} from '../asm/index.ts';
import { EtherType, IpProtocol } from '../packet/headers.ts';
import { type MapSpec, type ProgramSpec, xskMap } from '../spec/index.ts';
import { type HintFunctions, hintCode } from './hint-code.ts';
import { type Match, type Rule, readMatch } from './match.ts';

export type RedirectMaps = { readonly sockets: MapSpec<'xskmap', number, number> };

export interface RedirectOptions {
  /** Queues of the interface: the size of the socket map. */
  readonly queues: number;
  /** Takes packets in several buffers (Linux 5.18). Default is false. */
  readonly frags?: boolean;
  /**
   * Puts the driver's hints before each packet: the functions to ask it by, by `findHintFunctions`. The program must be
   * loaded for its interface (`boundTo`). Default is to ask for none.
   */
  readonly hints?: HintFunctions;
}

const XDP_PASS = 2;

/** How many IPv6 extension headers are followed; what hides behind more has no known protocol. */
const MAX_EXTENSION_HEADERS = 6;

/** `struct xdp_md` (linux/bpf.h). */
const CTX = { data: 0, dataEnd: 4, rxQueueIndex: 16 } as const;

/** What is known of the frame, below the frame pointer, 8 bytes each; UNKNOWN where the frame has none. */
const KNOWN = { etherType: -8, vlan: -16, protocol: -24, port: -32, sourcePort: -40 } as const;
const UNKNOWN = -1;

/**
 * An XDP program that sends the frames which `match` means to the socket of their queue, and passes all others.
 *
 * A frame that is meant but whose queue has no socket passes as well.
 *
 * @throws ArgumentError for a match that cannot be.
 */
export function redirectSpec(match: Match, options: RedirectOptions): ProgramSpec<RedirectMaps> {
  const assembly = assemble(
    [
      matchCode(match),
      options.hints === undefined ? [] : hintCode(options.hints),
      mapByName(r1, 'sockets'),
      ldx('u32', r2, r6, CTX.rxQueueIndex),
      // The low bits of the flags are what to do without a socket (Linux 5.3).
      mov64(r3, XDP_PASS),
      call('redirect_map'),
      exit(),
    ],
    { entry: 'redirect' },
  );
  return {
    name: 'barewire_xsk',
    type: 'xdp',
    attachType: 'xdp',
    frags: options.frags ?? false,
    // Kernel functions are for programs under the GPL as well.
    license: options.hints === undefined ? 'MIT' : 'Dual MIT/GPL',
    maps: { sockets: xskMap('sockets', options.queues) },
    ...assembly,
  };
}

/**
 * The beginning of an XDP program that goes on, with the context in r6, for the frames which `match` means, and lets
 * all others pass.
 *
 * @throws ArgumentError for a match that cannot be.
 */
export function matchCode(match: Match): Item[] {
  const rules = readMatch(match);
  const body: Item[] =
    rules === 'all' ? [] : [parse(rules), rules.map(evaluate), label(`rule ${rules.length}`), label('pass')];
  return [
    mov64(r6, r1),
    body.length > 0 ? [body, mov64(r0, XDP_PASS), exit()] : [],
    // Where a rule whose fields all agree jumps to.
    label('redirect'),
  ];
}

/*
 * Registers of the parser: r6 the context, r8 the frame's end, r9 where the network header begins; r7 runs ahead.
 * Every access stands behind a comparison of the very register it goes through, which each verifier follows.
 */

function parse(rules: readonly Rule[]): Item[] {
  const deep = rules.some((rule) => rule.protocols ?? rule.ports ?? rule.sourcePorts);
  return [
    ldx('u32', r7, r6, CTX.data),
    ldx('u32', r8, r6, CTX.dataEnd),
    Object.values(KNOWN).map((at) => st('u64', r10, at, UNKNOWN)),
    within(r7, 14, 'pass'),
    ldx('u16', r2, r7, 12),
    toBe(r2, 16),
    mov64(r9, r7),
    add64(r9, 14),
    tag(0),
    tag(1),
    label('untagged'),
    stx('u64', r10, r2, KNOWN.etherType),
    deep ? parseNetwork() : [],
    label('rule 0'),
  ];
}

/** Steps over one VLAN tag; remembers the first one's ID. */
function tag(depth: number): Item[] {
  return [
    jeq(r2, EtherType.vlan, `tag ${depth}`),
    jeq(r2, EtherType.qinq, `tag ${depth}`),
    ja('untagged'),
    label(`tag ${depth}`),
    within(r9, 4, 'pass'),
    depth > 0 ? [] : [ldx('u16', r3, r9, 0), toBe(r3, 16), and64(r3, 0xfff), stx('u64', r10, r3, KNOWN.vlan)],
    ldx('u16', r2, r9, 2),
    toBe(r2, 16),
    add64(r9, 4),
  ];
}

function parseNetwork(): Item[] {
  return [
    jeq(r2, EtherType.ipv4, 'ipv4'),
    jeq(r2, EtherType.ipv6, 'ipv6'),
    ja('rule 0'),

    label('ipv4'),
    within(r9, 20, 'rule 0'),
    ldx('u8', r4, r9, 9),
    stx('u64', r10, r4, KNOWN.protocol),
    // More fragments, or an offset: bits 0x3fff of the flags and offset in network order.
    ldx('u16', r2, r9, 6),
    toBe(r2, 16),
    and64(r2, 0x3fff),
    jne(r2, 0, 'rule 0'),
    ldx('u8', r2, r9, 0),
    and64(r2, 0x0f),
    lsh64(r2, 2),
    jlt(r2, 20, 'rule 0'),
    mov64(r7, r9),
    add64(r7, r2),
    ja('ports'),

    label('ipv6'),
    within(r9, 40, 'rule 0'),
    ldx('u8', r4, r9, 6),
    mov64(r7, r9),
    add64(r7, 40),
    Array.from({ length: MAX_EXTENSION_HEADERS }, (_, i) => extensionHeader(i)),
    // One more header than is followed.
    isExtensionHeader('rule 0'),
    label('upper'),
    stx('u64', r10, r4, KNOWN.protocol),

    label('ports'),
    jeq(r4, IpProtocol.tcp, 'read ports'),
    jeq(r4, IpProtocol.udp, 'read ports'),
    jne(r4, IpProtocol.sctp, 'rule 0'),
    label('read ports'),
    within(r7, 4, 'rule 0'),
    ldx('u16', r2, r7, 0),
    toBe(r2, 16),
    stx('u64', r10, r2, KNOWN.sourcePort),
    ldx('u16', r2, r7, 2),
    toBe(r2, 16),
    stx('u64', r10, r2, KNOWN.port),
  ];
}

/** Steps over one extension header (RFC 8200, section 4): r4 its number and then the next one's, r7 where it begins. */
function extensionHeader(index: number): Item[] {
  return [
    isExtensionHeader(`extension ${index}`),
    ja('upper'),
    label(`extension ${index}`),
    within(r7, 8, 'rule 0'),
    ldx('u8', r5, r7, 0),
    ldx('u8', r2, r7, 1),
    jne(r4, IpProtocol.fragment, `sized ${index}`),
    ldx('u16', r3, r7, 2),
    toBe(r3, 16),
    mov64(r4, r5),
    // The offset and the bit for more: a fragment has a protocol, but no ports to go by.
    and64(r3, 0xfff9),
    jeq(r3, 0, `whole ${index}`),
    stx('u64', r10, r4, KNOWN.protocol),
    ja('rule 0'),
    label(`whole ${index}`),
    mov64(r2, 0),
    label(`sized ${index}`),
    // In units of 8 bytes, the first not counted.
    and64(r2, 0xff),
    add64(r2, 1),
    lsh64(r2, 3),
    add64(r7, r2),
    mov64(r4, r5),
  ];
}

function isExtensionHeader(target: string): Item[] {
  return [
    jeq(r4, IpProtocol.hopByHop, target),
    jeq(r4, IpProtocol.routing, target),
    jeq(r4, IpProtocol.destinationOptions, target),
    jeq(r4, IpProtocol.fragment, target),
  ];
}

/** Goes to 'redirect' when every field agrees, else on to the next rule. */
function evaluate(rule: Rule, index: number): Item[] {
  const name = (field: string) => `rule ${index} ${field}`;
  const next = `rule ${index + 1}`;
  const values = (at: number, field: string, list: readonly number[] | undefined): Item[] =>
    list === undefined
      ? []
      : [
          ldx('u64', r2, r10, at),
          list.map((value) => jeq(r2, value, name(field))),
          ja(next),
          label(name(field)),
        ];
  const ranges = (at: number, field: string, list: Rule['ports']): Item[] =>
    list === undefined
      ? []
      : [
          ldx('u64', r2, r10, at),
          // Unknown is the greatest number there is.
          jgt(r2, 0xffff, next),
          list.map(([first, last], i) =>
            first === last
              ? jeq(r2, first, name(field))
              : [
                  jlt(r2, first, name(`${field} not ${i}`)),
                  jlt(r2, last + 1, name(field)),
                  label(name(`${field} not ${i}`)),
                ],
          ),
          ja(next),
          label(name(field)),
        ];
  return [
    index === 0 ? [] : label(`rule ${index}`),
    values(KNOWN.etherType, 'etherTypes', rule.etherTypes),
    values(KNOWN.vlan, 'vlans', rule.vlans),
    values(KNOWN.protocol, 'protocols', rule.protocols),
    ranges(KNOWN.port, 'ports', rule.ports),
    ranges(KNOWN.sourcePort, 'sourcePorts', rule.sourcePorts),
    addresses(rule.destinations, 16, 24, name('destinations'), next),
    addresses(rule.sources, 12, 8, name('sources'), next),
    ja('redirect'),
  ];
}

/** @param at4 Where the address lies in an IPv4 header, in bytes; `at6` in an IPv6 one. */
function addresses(
  prefixes: readonly Prefix[] | undefined,
  at4: number,
  at6: number,
  name: string,
  next: string,
): Item[] {
  if (prefixes === undefined) return [];
  const family = (version: 4 | 6, etherType: number, size: number, at: number): Item[] => {
    const list = prefixes.filter((prefix) => prefix.version === version);
    if (list.length === 0) return [];
    return [
      jne(r2, etherType, `${name} not ${version}`),
      within(r9, size, next),
      // The verifier refuses code that nothing leads to, as what follows the prefix of all addresses.
      list.some((prefix) => prefix.length === 0)
        ? ja(name)
        : [list.map((prefix, i) => prefixMatch(prefix, at, name, `${name} ${version} not ${i}`)), ja(next)],
      label(`${name} not ${version}`),
      ldx('u64', r2, r10, KNOWN.etherType),
    ];
  };
  return [
    ldx('u64', r2, r10, KNOWN.etherType),
    family(4, EtherType.ipv4, 20, at4),
    family(6, EtherType.ipv6, 40, at6),
    ja(next),
    label(name),
  ];
}

/** Compares the words that the prefix covers, in the order in which they lie in memory. */
function prefixMatch(prefix: Prefix, at: number, matched: string, not: string): Item[] {
  const items: Item[] = [];
  const view = new DataView(prefix.bytes.buffer, prefix.bytes.byteOffset, prefix.bytes.length);
  for (let bit = 0; bit < prefix.length; bit += 32) {
    const bits = Math.min(32, prefix.length - bit);
    const mask = new DataView(new ArrayBuffer(4));
    mask.setUint32(0, bits === 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0);
    const little = mask.getInt32(0, true);
    items.push(
      ldx('u32', r3, r9, at + bit / 8),
      bits === 32 ? [] : and32(r3, little),
      jeq32(r3, view.getInt32(bit / 8, true) & little, `${not} ${bit}`),
      ja(not),
      label(`${not} ${bit}`),
    );
  }
  return [...items, ja(matched), label(not)];
}

/** Goes to `otherwise` unless the frame has `bytes` bytes from `pointer` on. */
function within(pointer: Register, bytes: number, otherwise: string): Item[] {
  return [mov64(r1, pointer), add64(r1, bytes), jgt(r1, r8, otherwise)];
}
