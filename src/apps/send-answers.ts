import type { IpAddress } from '../address/index.ts';
import { EtherType, IpProtocol } from '../packet/index.ts';
import { type HistogramBar, type Latencies, LatencyHistogram } from './send-histogram.ts';
import type { QueryKeys } from './send-keys.ts';

/** Response codes by number (IANA), as far as a header's four bits tell them. */
const CODES = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;

/** What became of the queries up to now. */
export interface AnswerReport {
  /** In time. */
  readonly answered: number;
  /** Sent and not answered in time; while it runs, those that may still be answered are not among them. */
  readonly lost: number;
  /** Sent, and there is still time for the answer. */
  readonly waiting: number;
  /** Came after the time-out; their queries count as lost. */
  readonly late: number;
  /** From the server to our ports, but to no query that waits: second answers, or somebody else's. */
  readonly unexpected: number;
  /** Answers that did not fit into a datagram (TC). */
  readonly truncated: number;
  /** Answers in time by response code, as in `NOERROR`; those that never came are left out. */
  readonly codes: Readonly<Record<string, number>>;
  /** Of the answers in time; undefined without any. */
  readonly latency: Latencies | undefined;
  readonly histogram: readonly HistogramBar[];
}

/** Queries that can wait at once; a further one takes the place of the oldest, which then counts as lost. */
const MOST_WAITING = 1 << 20;
const FREE = -1;

/**
 * Which queries wait for an answer since when. Nothing here allocates per packet, and nothing is searched: the answer
 * brings the query's key back, and the key tells its place.
 */
export class AnswerBook {
  readonly #keys: QueryKeys;
  readonly #server: IpAddress;
  readonly #port: number;
  readonly #timeout: number;
  /** Slots are a power of two that divides the number of keys, so that a place's slot does not depend on the lap. */
  readonly #mask: number;
  readonly #sentAt: Float64Array;
  readonly #places: Float64Array;
  readonly #codes = new Float64Array(16);
  readonly #histogram = new LatencyHistogram();
  #answered = 0;
  #late = 0;
  #unexpected = 0;
  #truncated = 0;
  #waiting = 0;

  readonly #reading: Float64Array;

  /**
   * @param timeout In ms.
   * @param reading Of the clock, in ms.
   */
  constructor(keys: QueryKeys, server: IpAddress, port: number, timeout: number, reading: Float64Array) {
    this.#reading = reading;
    this.#keys = keys;
    this.#server = server;
    this.#port = port;
    this.#timeout = timeout;
    const divisor = keys.size & -keys.size;
    const slots = divisor <= 0 ? MOST_WAITING : Math.min(divisor, MOST_WAITING);
    this.#mask = slots - 1;
    this.#sentAt = new Float64Array(slots);
    this.#places = new Float64Array(slots).fill(FREE);
  }

  /** How many queries wait, those that waited too long among them. */
  get waiting(): number {
    return this.#waiting;
  }

  sent(place: number): void {
    const slot = place & this.#mask;
    if (this.#places[slot] === FREE) this.#waiting++;
    this.#places[slot] = place;
    this.#sentAt[slot] = this.#reading[0]!;
  }

  /** Takes note of a received frame. What is no DNS answer of the server is passed over. */
  received(bytes: Uint8Array, start: number, length: number): void {
    const dns = this.#dnsOf(bytes, start, start + length);
    if (dns < 0) return;
    const key = this.#keys.keyOf(u16(bytes, dns - 6), u16(bytes, dns));
    const place = key < 0 ? FREE : this.#keys.placeOf(key);
    const slot = place & this.#mask;
    if (place === FREE || this.#places[slot] !== place) {
      this.#unexpected++;
      return;
    }
    this.#places[slot] = FREE;
    this.#waiting--;
    const latency = this.#reading[0]! - this.#sentAt[slot]!;
    if (latency > this.#timeout) {
      this.#late++;
      return;
    }
    this.#answered++;
    if ((bytes[dns + 2]! & 0x02) !== 0) this.#truncated++;
    this.#codes[bytes[dns + 3]! & 0x0f]! += 1;
    this.#histogram.add(latency);
  }

  /** @param ended Whether nothing is waited for any longer. */
  report(sent: number, ended: boolean): AnswerReport {
    const waiting = ended ? 0 : this.#youngWaiting();
    const codes: Record<string, number> = {};
    for (const [code, count] of this.#codes.entries())
      if (count > 0) codes[CODES[code] ?? `CODE${code}`] = count;
    return {
      answered: this.#answered,
      lost: sent - this.#answered - waiting,
      waiting,
      late: this.#late,
      unexpected: this.#unexpected,
      truncated: this.#truncated,
      codes,
      latency: this.#histogram.summary(),
      histogram: this.#histogram.bars(),
    };
  }

  #youngWaiting(): number {
    const now = this.#reading[0]!;
    if (this.#waiting === 0) return 0;
    let young = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#places[slot] !== FREE && now - this.#sentAt[slot]! <= this.#timeout) young++;
    }
    return young;
  }

  /** Where the DNS header of an answer from the server begins, or -1. */
  #dnsOf(bytes: Uint8Array, start: number, end: number): number {
    if (start + 14 > end) return -1;
    let at = start + 14;
    let type = u16(bytes, at - 2);
    for (let tags = 0; tags < 2 && (type === EtherType.vlan || type === EtherType.qinq); tags++) {
      if (at + 4 > end) return -1;
      type = u16(bytes, at + 2);
      at += 4;
    }
    const { version, bytes: server } = this.#server;
    let udp: number;
    let source: number;
    if (version === 4) {
      if (type !== EtherType.ipv4 || at + 20 > end || bytes[at + 9] !== IpProtocol.udp) return -1;
      udp = at + 4 * (bytes[at]! & 0x0f);
      source = at + 12;
    } else {
      if (type !== EtherType.ipv6 || at + 40 > end || bytes[at + 6] !== IpProtocol.udp) return -1;
      udp = at + 40;
      source = at + 8;
    }
    for (let i = 0; i < server.length; i++) if (bytes[source + i] !== server[i]) return -1;
    const dns = udp + 8;
    // An answer has the QR bit.
    if (dns + 12 > end || u16(bytes, udp) !== this.#port || (bytes[dns + 2]! & 0x80) === 0) return -1;
    return dns;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
