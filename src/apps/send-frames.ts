import { bitsOf, formatPrefix, type Prefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { buildPacket, type DnsQuestion, emitDns, onesSum, type PacketLayer } from '../packet/index.ts';
import { type Order, QueryKeys, scatter } from './send-keys.ts';
import type { Path } from './send-path.ts';

/** The letters of a random label: 8 of them, of 16 kinds each, so 32 bits. */
export const LABEL_LETTERS = 8;
const FIRST_LETTER = 0x61;

/** What is asked for, with the options that all queries share. */
export interface DnsPayload {
  readonly kind: 'dns';
  readonly questions: readonly DnsQuestion[];
  /** A random label of 8 letters before each name, so that no cache knows the answer. Default is false. */
  readonly randomLabel?: boolean;
  /** Default is true. */
  readonly recursionDesired?: boolean;
  /** EDNS(0) with DNSSEC records wanted. Default is no EDNS. */
  readonly dnssec?: boolean;
  /** Default is 53. */
  readonly port?: number;
}

export interface UdpPayload {
  readonly kind: 'udp';
  readonly port: number;
  readonly payload: Uint8Array;
}

export interface Variation {
  /** Source ports. */
  readonly ports: readonly [first: number, last: number];
  /** Source addresses: all of this network in turn, of IPv6 at most 2^32 of them. Default is the path's source alone. */
  readonly sources?: Prefix | undefined;
  /** Default is `random`. */
  readonly order?: Order;
  /** Default is chance. */
  readonly seed?: number;
}

/** Where the parts of one frame lie that change from packet to packet, in bytes from its start; -1 for none. */
export interface FramePlan {
  readonly bytes: Uint8Array;
  /** 0 for frames that go out as they are. */
  readonly ipVersion: 0 | 4 | 6;
  readonly ip: number;
  readonly udp: number;
  /** Of the DNS header, whose first two bytes are the ID. */
  readonly id: number;
  /** The letters of the random label. */
  readonly label: number;
}

/**
 * The frames that one run sends: built once, and patched for each packet while it is copied to where it leaves from.
 *
 * Checksums are those of the built frame plus what the patched fields add, so the payload is never summed again.
 */
export class FrameSource {
  readonly plans: readonly FramePlan[];
  readonly keys: QueryKeys;
  readonly order: Order;
  readonly seed: number;
  readonly sources: Prefix | undefined;
  /** Bytes of the longest frame. */
  readonly longest: number;
  readonly #words: Int32Array;
  /** Per frame: first word, length, IP checksum's base, UDP checksum's base. */
  readonly #table: Int32Array;
  readonly #hostMask: number;
  readonly #network: number;
  #out: Int32Array | undefined;
  #outBytes: Uint8Array | undefined;
  #frame = 0;
  #place = 0;
  #number = 0;

  constructor(plans: readonly FramePlan[], variation: Variation) {
    if (plans.length === 0) throw new ArgumentError('there is nothing to send');
    const { order = 'random', seed = Math.floor(Math.random() * 2 ** 32), sources } = variation;
    this.plans = plans;
    this.order = order;
    this.seed = seed | 0;
    this.sources = sources;
    this.keys = new QueryKeys(variation.ports, order, seed);
    this.longest = Math.max(...plans.map(({ bytes }) => bytes.length));
    const starts: number[] = [];
    let words = 0;
    for (const { bytes } of plans) {
      starts.push(words);
      words += (bytes.length + 3) >>> 2;
    }
    this.#words = new Int32Array(words);
    const packed = new Uint8Array(this.#words.buffer);
    this.#table = new Int32Array(4 * plans.length);
    for (const [i, plan] of plans.entries()) {
      packed.set(plan.bytes, 4 * starts[i]!);
      const { ip, udp } = baseSums(plan, sources !== undefined);
      this.#table.set([starts[i]!, plan.bytes.length, ip, udp], 4 * i);
    }
    const bits = sources === undefined ? 0 : bitsOf(sources.version) - sources.length;
    this.#hostMask = bits >= 32 ? -1 : bits === 0 ? 0 : (1 << bits) - 1;
    this.#network = sources === undefined ? 0 : lastWord(sources.bytes);
    for (const plan of plans) {
      if (sources === undefined || plan.ipVersion === 0) continue;
      if (plan.ipVersion !== sources.version) {
        throw new ArgumentError(
          `${formatPrefix(sources)} cannot be the source of IPv${plan.ipVersion} packets`,
        );
      }
    }
  }

  /** The bits of a source address's last word that stay, and those that change. */
  get addressBits(): { readonly network: number; readonly mask: number } {
    return { network: this.#network, mask: this.#hostMask };
  }

  /** The place, in the order of the keys, of the packet that comes next. */
  get place(): number {
    return this.#place;
  }

  /**
   * Writes the next packet; its length.
   *
   * @param at A multiple of 4 from the start of the buffer under `bytes`.
   */
  write(bytes: Uint8Array, at: number): number {
    if (bytes !== this.#outBytes) this.#outTo(bytes);
    const out = this.#out!;
    const table = this.#table;
    const frame = this.#frame;
    const from = table[4 * frame]!;
    const length = table[4 * frame + 1]!;
    const to = (bytes.byteOffset + at) >>> 2;
    const count = (length + 3) >>> 2;
    const words = this.#words;
    for (let i = 0; i < count; i++) out[to + i] = words[from + i]!;
    const plan = this.plans[frame]!;
    if (plan.ipVersion !== 0) this.#patch(bytes, at, plan, table[4 * frame + 2]!, table[4 * frame + 3]!);
    this.#frame = frame + 1 === this.plans.length ? 0 : frame + 1;
    this.#place = this.#place + 1 === this.keys.size ? 0 : this.#place + 1;
    this.#number = (this.#number + 1) | 0;
    return length;
  }

  #patch(bytes: Uint8Array, at: number, plan: FramePlan, ipBase: number, udpBase: number): void {
    const key = this.keys.keyAt(this.#place);
    const port = this.keys.portOf(key);
    let udpSum = udpBase + port;
    const udp = at + plan.udp;
    put16(bytes, udp, port);
    if (plan.id >= 0) {
      const id = this.keys.idOf(key);
      put16(bytes, at + plan.id, id);
      udpSum += id;
    }
    if (this.#hostMask !== 0) {
      const host = this.order === 'random' ? scatter(this.#number ^ ~this.seed) : this.#number;
      const address = this.#network | (host & this.#hostMask);
      const added = (address >>> 16) + (address & 0xffff);
      udpSum += added;
      if (plan.ipVersion === 4) {
        put32(bytes, at + plan.ip + 12, address);
        put16(bytes, at + plan.ip + 10, ~fold(ipBase + added) & 0xffff);
      } else {
        put32(bytes, at + plan.ip + 20, address);
      }
    }
    if (plan.label >= 0) {
      let letters = scatter(this.#number ^ this.seed);
      let odd = ((plan.label - plan.udp) & 1) === 1;
      for (let i = at + plan.label; i < at + plan.label + LABEL_LETTERS; i++) {
        const letter = FIRST_LETTER + (letters & 15);
        letters >>>= 4;
        bytes[i] = letter;
        udpSum += odd ? letter : letter << 8;
        odd = !odd;
      }
    }
    // A computed 0 is sent as 0xffff, for 0 says that there is none (RFC 768).
    put16(bytes, udp + 6, ~fold(udpSum) & 0xffff || 0xffff);
  }

  #outTo(bytes: Uint8Array): void {
    this.#out = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 2);
    this.#outBytes = bytes;
  }
}

/** Frames that ask a DNS server. */
export function dnsPlans(path: Path, payload: DnsPayload): FramePlan[] {
  const { recursionDesired = true, dnssec = false, randomLabel = false, port = 53 } = payload;
  return payload.questions.map((question) => {
    const { name } = question;
    const asked = randomLabel ? `${'a'.repeat(LABEL_LETTERS)}${name === '.' ? '' : `.${name}`}` : name;
    const message = new Uint8Array(1024);
    const end = emitDns(message, 0, {
      id: 0,
      recursionDesired,
      questions: [{ ...question, name: asked }],
      ...(dnssec ? { edns: { dnssecOk: true } } : {}),
    });
    const plan = udpPlan(path, port, message.subarray(0, end));
    // The header takes 12 bytes, the label's length one.
    return { ...plan, id: plan.udp + 8, label: randomLabel ? plan.udp + 8 + 13 : -1 };
  });
}

/** A frame with a UDP datagram, whose source port is patched in. */
export function udpPlan(path: Path, port: number, payload: Uint8Array): FramePlan {
  const { version, bytes: source } = path.source;
  const destination = path.destination.bytes;
  const headers: PacketLayer[] = [
    { layer: 'eth', source: path.sourceMac, destination: path.destinationMac },
    ...path.vlans.map((id) => ({ layer: 'vlan' as const, id })),
    version === 4
      ? { layer: 'ipv4', source, destination, dontFragment: true, ttl: 64 }
      : { layer: 'ipv6', source, destination, hopLimit: 64 },
    { layer: 'udp', sourcePort: 0, destinationPort: port },
    payload,
  ];
  const ip = 14 + 4 * path.vlans.length;
  const udp = ip + (version === 4 ? 20 : 40);
  return { bytes: buildPacket(headers), ipVersion: version, ip, udp, id: -1, label: -1 };
}

/** A frame that goes out as it is. */
export function plainPlan(bytes: Uint8Array): FramePlan {
  return { bytes, ipVersion: 0, ip: -1, udp: -1, id: -1, label: -1 };
}

/** The sums under the checksums, with nothing where fields are patched in. */
export function baseSums(plan: FramePlan, addresses: boolean): { ip: number; udp: number } {
  if (plan.ipVersion === 0) return { ip: 0, udp: 0 };
  const bytes = plan.bytes.slice();
  const { ip, udp, id, label, ipVersion } = plan;
  if (addresses) bytes.fill(0, ipVersion === 4 ? ip + 12 : ip + 20, ipVersion === 4 ? ip + 16 : ip + 24);
  if (id >= 0) bytes.fill(0, id, id + 2);
  if (label >= 0) bytes.fill(0, label, label + LABEL_LETTERS);
  bytes.fill(0, udp, udp + 2);
  bytes.fill(0, udp + 6, udp + 8);
  if (ipVersion === 4) bytes.fill(0, ip + 10, ip + 12);
  const addressesAt = ipVersion === 4 ? ip + 12 : ip + 8;
  const pseudo = onesSum(bytes, addressesAt, udp, 17 + bytes.length - udp);
  return {
    ip: ipVersion === 4 ? onesSum(bytes, ip, ip + 20) : 0,
    udp: onesSum(bytes, udp, bytes.length, pseudo),
  };
}

function lastWord(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(bytes.length - 4);
}

function fold(sum: number): number {
  let folded = (sum >>> 16) + (sum & 0xffff);
  folded = (folded >>> 16) + (folded & 0xffff);
  return folded;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}
