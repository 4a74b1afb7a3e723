import type { Ip } from './ip.ts';
import { HEADROOM } from './ip-header.ts';
import { Timer, type TimerOwner, type TimerWheel } from './timer-wheel.ts';

/** Between two questions, in ms, and how many are asked (RFC 4861, section 10). */
const RETRANSMIT = 1000;
const TRIES = 3;
/** How long an answer is believed without a doubt, in ms. */
const REACHABLE = 30_000;
/** Packets that wait for one neighbour (RFC 4861, section 7.2.2 asks for at least one). */
const QUEUE = 16;
const MAX_NEIGHBOURS = 4096;

/** What the table needs of its link. */
export interface NeighbourEnvironment {
  readonly wheel: TimerWheel;
  /** Asks who has the address: everybody, or the known MAC address whether it still does. */
  solicit(neighbour: Neighbour): void;
  /** Sends a packet that waited; it lies at HEADROOM. */
  send(neighbour: Neighbour, bytes: Uint8Array, length: number): void;
  onUnreachable(next: Ip): void;
}

/** One address on the link. */
export class Neighbour implements TimerOwner {
  readonly ip: Ip;
  readonly timer: Timer;
  readonly #table: NeighbourTable;
  /** Undefined while it is not known. */
  mac: Uint8Array | undefined = undefined;
  /** When it was last heard to have it, in ms. */
  confirmedAt = 0;
  /** Questions without an answer. */
  tries = 0;
  readonly waiting: Uint8Array[] = [];

  constructor(table: NeighbourTable, ip: Ip) {
    this.#table = table;
    this.ip = ip;
    this.timer = new Timer(this);
  }

  onTimer(now: number): void {
    this.#table.onTimer(this, now);
  }
}

/** Who on a link has which MAC address: ARP's cache (RFC 1122, section 2.3.2) and IPv6's (RFC 4861, section 7.3). */
export class NeighbourTable {
  readonly #environment: NeighbourEnvironment;
  readonly #all: Map<string, Neighbour> = new Map<string, Neighbour>();
  // Most packets go to the same neighbour as the one before.
  #last: Neighbour | undefined;

  constructor(environment: NeighbourEnvironment) {
    this.#environment = environment;
  }

  get size(): number {
    return this.#all.size;
  }

  get(ip: Ip): Neighbour {
    const neighbour = this.#last?.ip.equals(ip) ? this.#last : (this.#all.get(ip.key) ?? this.#add(ip));
    this.#last = neighbour;
    return neighbour;
  }

  /**
   * Asks for the neighbour when it is not known, and again after a while. Only after the packet for it is out of the
   * way: the question is written to where that lay.
   */
  check(neighbour: Neighbour, now: number): void {
    const known = neighbour.mac !== undefined && now - neighbour.confirmedAt < REACHABLE;
    if (!known && neighbour.tries === 0) this.#ask(neighbour, now);
  }

  /** The packet goes once the neighbour is known; the oldest one gives way. */
  queue(neighbour: Neighbour, bytes: Uint8Array, offset: number, length: number): void {
    if (neighbour.waiting.length >= QUEUE) neighbour.waiting.shift();
    const copy = new Uint8Array(HEADROOM + length);
    copy.set(bytes.subarray(offset, offset + length), HEADROOM);
    neighbour.waiting.push(copy);
  }

  /**
   * Somebody says whose address that is.
   *
   * @param create Whether to remember it if nobody asked: only for those who want something of us.
   * @param confirmed It is the answer to a question of ours.
   */
  learn(ip: Ip, mac: Uint8Array, create: boolean, confirmed: boolean, now: number): void {
    let neighbour = this.#all.get(ip.key);
    if (neighbour === undefined) {
      if (!create) return;
      neighbour = this.#add(ip);
    }
    neighbour.mac = mac;
    // An unasked word is taken, and checked when it is used (RFC 4861, section 7.2.3).
    neighbour.confirmedAt = confirmed ? now : now - REACHABLE;
    if (neighbour.tries > 0 && !confirmed && neighbour.waiting.length === 0) return;
    neighbour.tries = 0;
    this.#environment.wheel.clear(neighbour.timer);
    for (const packet of neighbour.waiting.splice(0)) {
      this.#environment.send(neighbour, packet, packet.length - HEADROOM);
    }
  }

  /** Traffic from beyond shows that the neighbour is there (RFC 4861, section 7.3.1). */
  confirm(ip: Ip, now: number): void {
    const neighbour = this.#all.get(ip.key);
    if (neighbour?.mac !== undefined) neighbour.confirmedAt = now;
  }

  onTimer(neighbour: Neighbour, now: number): void {
    if (neighbour.tries < TRIES) {
      this.#ask(neighbour, now);
      return;
    }
    this.#remove(neighbour);
    this.#environment.onUnreachable(neighbour.ip);
  }

  clear(): void {
    for (const neighbour of [...this.#all.values()]) this.#remove(neighbour);
  }

  #ask(neighbour: Neighbour, now: number): void {
    neighbour.tries++;
    this.#environment.wheel.set(neighbour.timer, now + RETRANSMIT);
    this.#environment.solicit(neighbour);
  }

  #add(ip: Ip): Neighbour {
    if (this.#all.size >= MAX_NEIGHBOURS) {
      const [oldest] = this.#all.values();
      this.#remove(oldest!);
    }
    const neighbour = new Neighbour(this, ip);
    this.#all.set(ip.key, neighbour);
    return neighbour;
  }

  #remove(neighbour: Neighbour): void {
    this.#all.delete(neighbour.ip.key);
    this.#environment.wheel.clear(neighbour.timer);
    neighbour.waiting.length = 0;
    if (this.#last === neighbour) this.#last = undefined;
  }
}
