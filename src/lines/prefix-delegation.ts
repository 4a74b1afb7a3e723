import {
  type Dhcpv6Answer,
  type Dhcpv6MessageType,
  Dhcpv6Type,
  decodeDhcpv6,
  encodeDhcpv6,
} from './dhcpv6.ts';

export interface PrefixDelegationOptions {
  /** DUID of this machine on this line. */
  readonly clientId: Uint8Array;
  /** Tells this line from others of the same machine. */
  readonly iaid: number;
  readonly random: (bytes: Uint8Array) => void;
  /** Sends a datagram to the servers on the line. */
  readonly send: (message: Uint8Array) => void;
  readonly changed: () => void;
}

/** Retransmission of each message (RFC 8415, section 7.6), in ms: first, largest, and how often at most. */
const TIMING: Readonly<Record<number, readonly [number, number, number]>> = {
  [Dhcpv6Type.solicit]: [1000, 3_600_000, Number.POSITIVE_INFINITY],
  [Dhcpv6Type.request]: [1000, 30_000, 10],
  [Dhcpv6Type.renew]: [10_000, 600_000, Number.POSITIVE_INFINITY],
  [Dhcpv6Type.rebind]: [10_000, 600_000, Number.POSITIVE_INFINITY],
};
const FOREVER = 0xffff_ffff;

/** A client of DHCPv6 for prefixes alone (RFC 8415, section 18.2): time and messages in, messages and prefixes out. */
export class PrefixDelegation {
  readonly #options: PrefixDelegationOptions;
  #asking: Dhcpv6MessageType | undefined;
  #transaction = 0;
  #began = 0;
  #timeout = 0;
  #tries = 0;
  #next = Number.POSITIVE_INFINITY;
  #serverId: Uint8Array | undefined;
  #prefixes: readonly string[] = [];
  #dns: readonly string[] = [];
  #renewAt = Number.POSITIVE_INFINITY;
  #rebindAt = Number.POSITIVE_INFINITY;
  #expiry = Number.POSITIVE_INFINITY;

  constructor(options: PrefixDelegationOptions) {
    this.#options = options;
  }

  get prefixes(): readonly string[] {
    return this.#prefixes;
  }

  get dns(): readonly string[] {
    return this.#dns;
  }

  get deadline(): number {
    return Math.min(this.#next, this.#renewAt, this.#rebindAt, this.#expiry);
  }

  start(now: number): void {
    if (this.#asking === undefined && this.#prefixes.length === 0) this.#ask(Dhcpv6Type.solicit, now);
  }

  /** Forgets everything: the line is down. */
  stop(): void {
    this.#asking = undefined;
    this.#next = Number.POSITIVE_INFINITY;
    this.#forget();
  }

  /** Takes a datagram that came to port 546. @throws CodecError */
  input(message: Uint8Array, now: number): void {
    const answer = decodeDhcpv6(message, this.#options.iaid);
    if (this.#asking === undefined || answer.transaction !== this.#transaction) return;
    if (answer.clientId === undefined || !same(answer.clientId, this.#options.clientId)) return;
    if (answer.serverId === undefined) return;
    const usable = (answer.delegation?.prefixes ?? []).some(({ validLifetime }) => validLifetime > 0);
    if (answer.type === Dhcpv6Type.advertise) {
      if (this.#asking !== Dhcpv6Type.solicit || !usable) return;
      this.#serverId = answer.serverId;
      this.#prefixes = (answer.delegation?.prefixes ?? []).map(({ prefix }) => prefix);
      this.#ask(Dhcpv6Type.request, now);
    } else if (answer.type === Dhcpv6Type.reply) {
      if (this.#asking === Dhcpv6Type.solicit && !answer.rapidCommit) return;
      if (usable) this.#bind(answer, now);
      else if (this.#asking !== Dhcpv6Type.solicit) this.#restart(now);
    }
  }

  advance(now: number): void {
    if (now >= this.#expiry) this.#restart(now);
    else if (now >= this.#rebindAt) {
      this.#rebindAt = Number.POSITIVE_INFINITY;
      this.#serverId = undefined;
      this.#ask(Dhcpv6Type.rebind, now);
    } else if (now >= this.#renewAt) {
      this.#renewAt = Number.POSITIVE_INFINITY;
      this.#ask(Dhcpv6Type.renew, now);
    } else if (now >= this.#next) this.#repeat(now);
  }

  #ask(type: Dhcpv6MessageType, now: number): void {
    const bytes = new Uint8Array(3);
    this.#options.random(bytes);
    this.#transaction = (bytes[0]! << 16) | (bytes[1]! << 8) | bytes[2]!;
    this.#asking = type;
    this.#began = now;
    this.#tries = 0;
    this.#timeout = 0;
    this.#repeat(now);
  }

  #repeat(now: number): void {
    const type = this.#asking;
    if (type === undefined) {
      this.#next = Number.POSITIVE_INFINITY;
      return;
    }
    const [first, largest, most] = TIMING[type]!;
    if (this.#tries >= most) {
      this.#restart(now);
      return;
    }
    this.#tries++;
    this.#timeout = this.#timeout === 0 ? first : Math.min(largest, 2 * this.#timeout);
    this.#next = now + this.#timeout * (0.9 + 0.2 * this.#fraction());
    const { clientId, iaid } = this.#options;
    const elapsed = now - this.#began;
    const message = {
      type,
      transaction: this.#transaction,
      clientId,
      iaid,
      elapsed,
      prefixes: this.#prefixes,
    };
    this.#options.send(encodeDhcpv6({ ...message, serverId: this.#serverId }));
  }

  #bind(answer: Dhcpv6Answer, now: number): void {
    const { t1, t2, prefixes } = answer.delegation!;
    const good = prefixes.filter(({ validLifetime }) => validLifetime > 0);
    const at = (seconds: number): number =>
      seconds === FOREVER ? Number.POSITIVE_INFINITY : now + seconds * 1000;
    const preferred = Math.min(...good.map(({ preferredLifetime }) => preferredLifetime));
    this.#asking = undefined;
    this.#next = Number.POSITIVE_INFINITY;
    this.#serverId = answer.serverId;
    this.#prefixes = good.map(({ prefix }) => prefix);
    this.#dns = answer.dns;
    // A server that leaves them to us: half and four fifths of the time (RFC 8415, section 14.2).
    this.#renewAt = at(t1 !== 0 || preferred === FOREVER ? t1 || FOREVER : preferred * 0.5);
    this.#rebindAt = at(t2 !== 0 || preferred === FOREVER ? t2 || FOREVER : preferred * 0.8);
    this.#expiry = at(Math.max(...good.map(({ validLifetime }) => validLifetime)));
    this.#options.changed();
  }

  #restart(now: number): void {
    const had = this.#prefixes.length > 0;
    this.#forget();
    if (had) this.#options.changed();
    this.#ask(Dhcpv6Type.solicit, now);
  }

  #forget(): void {
    this.#serverId = undefined;
    this.#prefixes = [];
    this.#dns = [];
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#rebindAt = Number.POSITIVE_INFINITY;
    this.#expiry = Number.POSITIVE_INFINITY;
  }

  #fraction(): number {
    const bytes = new Uint8Array(2);
    this.#options.random(bytes);
    return ((bytes[0]! << 8) | bytes[1]!) / 65_536;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
