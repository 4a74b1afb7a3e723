import { type Prefix, parsePrefix } from '../../src/address/index.ts';

/**
 * What a filter should do, said plainly and without a thought of speed: a list of rules, gone through one by one. It
 * shares nothing with the program but the words of the policy.
 */
export interface PlainPolicy {
  readonly default: 'allow' | 'deny';
  readonly fragments: 'pass' | 'drop';
  readonly malformed: 'pass' | 'drop';
  readonly arp: 'pass' | 'drop';
  readonly nd: 'pass' | 'filter';
  readonly other: 'pass' | 'drop';
  readonly rules: readonly PlainRule[];
}

export interface PlainRule {
  readonly action: 'allow' | 'deny';
  readonly source?: string;
  readonly destination?: string;
  readonly protocol?: number;
  readonly ports?: readonly (readonly [number, number])[];
  readonly sourcePorts?: readonly (readonly [number, number])[];
  readonly segment?: 'syn' | 'established';
  /** Has ended already. */
  readonly ended?: true;
}

export type PlainVerdict = 'pass' | 'drop';

interface Packet {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Undefined where it cannot be told, or need not be. */
  readonly transport: Transport | 'broken' | undefined;
  readonly later: boolean;
}

interface Transport {
  readonly protocol: number;
  readonly sourcePort: number | undefined;
  readonly port: number | undefined;
  readonly flags: number | undefined;
}

export function verdictOf(policy: PlainPolicy, frame: Uint8Array): PlainVerdict {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  let type = view.getUint16(12);
  let rest = frame.subarray(14);
  for (let tags = 0; tags < 2 && (type === 0x8100 || type === 0x88a8); tags++) {
    if (rest.length < 4) return policy.malformed;
    type = (rest[2]! << 8) | rest[3]!;
    rest = rest.subarray(4);
  }
  if (type === 0x0806) return policy.arp;
  if (type !== 0x0800 && type !== 0x86dd) return policy.other;
  const packet = type === 0x0800 ? readIPv4(policy, rest) : readIPv6(policy, rest);
  if (packet === 'malformed') return policy.malformed;
  if (packet === 'neighbour discovery') return 'pass';
  const { transport, later } = packet;
  const simple = (rule: PlainRule): boolean => isSimple(rule) && applies(rule, packet);
  const full = (rule: PlainRule): boolean =>
    !isSimple(rule) && transport !== 'broken' && applies(rule, packet);
  const allows = policy.rules.filter(({ action }) => action === 'allow');
  const denies = policy.rules.filter(({ action }) => action === 'deny');
  if (allows.some(simple) || allows.some(full)) return 'pass';
  if (denies.some(simple)) return 'drop';
  if (transport === 'broken') return policy.malformed;
  if (denies.some(full)) return 'drop';
  if (later) return policy.fragments;
  return policy.default === 'allow' ? 'pass' : 'drop';
}

/** Rules for one address or prefix and nothing else are held first. */
function isSimple(rule: PlainRule): boolean {
  return (
    Object.keys(rule).every((key) => ['action', 'source', 'destination', 'ended'].includes(key)) &&
    (rule.source === undefined) !== (rule.destination === undefined)
  );
}

function applies(rule: PlainRule, { source, destination, transport }: Packet): boolean {
  if (rule.ended) return false;
  if (rule.source !== undefined && !contains(parsePrefix(rule.source), source)) return false;
  if (rule.destination !== undefined && !contains(parsePrefix(rule.destination), destination)) return false;
  const what = transport === 'broken' ? undefined : transport;
  if (rule.protocol !== undefined && what?.protocol !== rule.protocol) return false;
  const inside = (port: number | undefined, spans: readonly (readonly [number, number])[]): boolean =>
    port !== undefined && spans.some(([from, to]) => port >= from && port <= to);
  if (rule.ports !== undefined && !inside(what?.port, rule.ports)) return false;
  if (rule.sourcePorts !== undefined && !inside(what?.sourcePort, rule.sourcePorts)) return false;
  const flags = what?.flags ?? 0;
  const [syn, rst, ack] = [(flags & 2) !== 0, (flags & 4) !== 0, (flags & 16) !== 0];
  if (rule.segment === 'syn' && !(syn && !ack)) return false;
  if (rule.segment === 'established' && !(ack || rst)) return false;
  return true;
}

/** Bit by bit. */
function contains(prefix: Prefix, address: Uint8Array): boolean {
  if (prefix.bytes.length !== address.length) return false;
  for (let bit = 0; bit < prefix.length; bit++) {
    const mask = 128 >> (bit % 8);
    const at = Math.floor(bit / 8);
    if ((prefix.bytes[at]! & mask) !== (address[at]! & mask)) return false;
  }
  return true;
}

/** What must be known of a packet depends on the policy, and what need not be known cannot be wrong. */
function needs(policy: PlainPolicy): { extensions: boolean; ports: boolean; flags: boolean } {
  const flags = policy.rules.some(({ segment }) => segment !== undefined);
  const ports =
    flags || policy.rules.some((rule) => rule.ports !== undefined || rule.sourcePorts !== undefined);
  const protocols = policy.rules.some(({ protocol }) => protocol !== undefined);
  return {
    extensions: ports || protocols || policy.default === 'deny' || policy.fragments === 'drop',
    ports,
    flags,
  };
}

function readTransport(policy: PlainPolicy, protocol: number, rest: Uint8Array): Transport | 'broken' {
  const { ports, flags } = needs(policy);
  const none = { protocol, sourcePort: undefined, port: undefined, flags: undefined };
  if (!ports || ![6, 17, 33, 132, 136].includes(protocol)) return none;
  if (rest.length < 4) return 'broken';
  const both = { protocol, sourcePort: (rest[0]! << 8) | rest[1]!, port: (rest[2]! << 8) | rest[3]! };
  if (protocol !== 6 || !flags) return { ...both, flags: undefined };
  return rest.length < 14 ? 'broken' : { ...both, flags: rest[13] };
}

function readIPv4(policy: PlainPolicy, bytes: Uint8Array): Packet | 'malformed' {
  if (bytes.length < 20) return 'malformed';
  const version = bytes[0]! >> 4;
  const words = bytes[0]! & 15;
  if (version !== 4 || words < 5) return 'malformed';
  const later = (((bytes[6]! << 8) | bytes[7]!) & 0x1fff) !== 0;
  const protocol = bytes[9]!;
  const transport = later
    ? { protocol, sourcePort: undefined, port: undefined, flags: undefined }
    : readTransport(policy, protocol, bytes.subarray(words * 4));
  return { source: bytes.subarray(12, 16), destination: bytes.subarray(16, 20), transport, later };
}

function readIPv6(policy: PlainPolicy, bytes: Uint8Array): Packet | 'malformed' | 'neighbour discovery' {
  if (bytes.length < 40 || bytes[0]! >> 4 !== 6) return 'malformed';
  if (policy.nd === 'pass' && bytes[6] === 58 && bytes[7] === 255 && bytes.length > 40) {
    if (bytes[40]! >= 133 && bytes[40]! <= 137) return 'neighbour discovery';
  }
  const packet = { source: bytes.subarray(8, 24), destination: bytes.subarray(24, 40) };
  if (!needs(policy).extensions) return { ...packet, transport: undefined, later: false };
  let protocol = bytes[6]!;
  let rest = bytes.subarray(40);
  for (let headers = 0; [0, 43, 44, 51, 60, 135, 139, 140].includes(protocol); headers++) {
    // Too many, or cut short: every extension header has eight bytes at least.
    if (headers === 8 || rest.length < 8) return { ...packet, transport: 'broken', later: false };
    const next = rest[0]!;
    let length = (rest[1]! + 1) * 8;
    if (protocol === 51) length = (rest[1]! + 2) * 4;
    if (protocol === 44) {
      length = 8;
      if ((((rest[2]! << 8) | rest[3]!) & 0xfff8) !== 0) {
        const transport = { protocol: next, sourcePort: undefined, port: undefined, flags: undefined };
        return { ...packet, transport, later: true };
      }
    }
    protocol = next;
    rest = rest.subarray(Math.min(length, rest.length));
  }
  return { ...packet, transport: readTransport(policy, protocol, rest), later: false };
}
