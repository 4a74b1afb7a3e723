import type { IpPacket } from './packet.ts';
import { Timer, type TimerOwner, type TimerWheel } from './timer-wheel.ts';

/** RFC 8200, section 4.5, and RFC 1122, section 3.3.2: a minute. In ms. */
const PATIENCE = 60_000;
/** Packets in pieces at once, over all interfaces, and bytes of all of them. */
const MAX_PACKETS = 256;
const MAX_MEMORY = 4 << 20;
/** Pieces of one packet. */
const MAX_PIECES = 64;
const LARGEST = 65535;

/** A packet in pieces. */
class Pieces implements TimerOwner {
  readonly key: string;
  readonly timer: Timer;
  readonly #onTimeout: (pieces: Pieces) => void;
  /** What came, by place; grows with it. */
  bytes: Uint8Array = new Uint8Array(2048);
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  /** Length of the whole; -1 until the last piece has come. */
  total = -1;
  received = 0;
  protocol = 0;
  /** Pieces that overlap were seen: all others are dropped too. */
  poisoned = false;

  constructor(key: string, onTimeout: (pieces: Pieces) => void) {
    this.key = key;
    this.#onTimeout = onTimeout;
    this.timer = new Timer(this);
  }

  onTimer(): void {
    this.#onTimeout(this);
  }
}

/**
 * Puts fragmented packets together (RFC 791, section 3.2; RFC 8200, section 4.5).
 *
 * Overlapping fragments end a packet without a trace (RFC 5722, also for IPv4), and memory is bounded: the oldest
 * packet gives way.
 */
export class Reassembly {
  readonly #wheel: TimerWheel;
  readonly #packets: Map<string, Pieces> = new Map<string, Pieces>();
  #memory = 0;
  /** Packets that were given up. */
  dropped = 0;

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel;
  }

  get count(): number {
    return this.#packets.size;
  }

  /**
   * Takes a fragment.
   *
   * @returns true when the packet is complete: its transport part is what `packet` now holds.
   */
  take(packet: IpPacket, now: number): boolean {
    const { fragmentOffset: start, moreFragments, transport } = packet;
    const length = packet.end - transport;
    const end = start + length;
    // Only the last piece may have any length (RFC 8200), and a piece without bytes is none.
    if (length === 0 || end > LARGEST || (moreFragments && (length & 7) !== 0)) return false;
    const key = `${packet.interface.id} ${packet.s0} ${packet.s1} ${packet.s2} ${packet.s3} ${packet.d0} ${packet.d1} ${packet.d2} ${packet.d3} ${packet.fragmentId} ${packet.version === 4 ? packet.protocol : ''}`;
    const pieces = this.#packets.get(key) ?? this.#begin(key, now);
    if (pieces.poisoned) return false;
    if (!fits(pieces, start, end, moreFragments)) {
      this.#poison(pieces);
      return false;
    }
    if (isKnown(pieces, start, end)) return false;
    this.#store(pieces, packet, start, end);
    if (start === 0) pieces.protocol = packet.protocol;
    if (!moreFragments) pieces.total = end;
    if (pieces.received !== pieces.total) return false;
    this.#forget(pieces);
    packet.bytes = pieces.bytes;
    packet.start = 0;
    packet.transport = 0;
    packet.end = pieces.total;
    packet.protocol = pieces.protocol;
    return true;
  }

  #begin(key: string, now: number): Pieces {
    while (this.#packets.size >= MAX_PACKETS || this.#memory > MAX_MEMORY) {
      const [oldest] = this.#packets.values();
      this.#giveUp(oldest!);
    }
    const pieces = new Pieces(key, (late) => this.#giveUp(late));
    this.#packets.set(key, pieces);
    this.#memory += pieces.bytes.length;
    this.#wheel.set(pieces.timer, now + PATIENCE);
    return pieces;
  }

  #store(pieces: Pieces, packet: IpPacket, start: number, end: number): void {
    if (end > pieces.bytes.length) {
      const grown = new Uint8Array(Math.min(LARGEST, Math.max(end, 2 * pieces.bytes.length)));
      grown.set(pieces.bytes);
      this.#memory += grown.length - pieces.bytes.length;
      pieces.bytes = grown;
    }
    pieces.bytes.set(packet.bytes.subarray(packet.transport, packet.end), start);
    pieces.starts.push(start);
    pieces.ends.push(end);
    pieces.received += end - start;
  }

  /** Its remaining fragments are dropped as they come. */
  #poison(pieces: Pieces): void {
    pieces.poisoned = true;
    this.#memory -= pieces.bytes.length;
    pieces.bytes = new Uint8Array(0);
    this.dropped++;
  }

  #giveUp(pieces: Pieces): void {
    if (!pieces.poisoned) this.dropped++;
    this.#forget(pieces);
  }

  #forget(pieces: Pieces): void {
    this.#packets.delete(pieces.key);
    this.#memory -= pieces.bytes.length;
    this.#wheel.clear(pieces.timer);
  }
}

/** Whether the piece contradicts none before it. An exact duplicate does not (RFC 8200, section 4.5). */
function fits(pieces: Pieces, start: number, end: number, more: boolean): boolean {
  const { starts, ends, total } = pieces;
  if (starts.length >= MAX_PIECES) return false;
  if (total >= 0 && (end > total || (!more && end !== total))) return false;
  for (let i = 0; i < starts.length; i++) {
    if (!more && ends[i]! > end) return false;
    if (starts[i] === start && ends[i] === end) continue;
    if (start < ends[i]! && starts[i]! < end) return false;
  }
  return true;
}

function isKnown(pieces: Pieces, start: number, end: number): boolean {
  return pieces.starts.some((known, i) => known === start && pieces.ends[i] === end);
}
