import { parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { ipv4Number } from '../packet/index.ts';

/** Larger pools would only hide a mistyped prefix. */
const MAX_SIZE = 2 ** 24;

/**
 * IPv4 addresses to give out. One that comes back is the last to be given again: whoever still sends to it should not
 * reach somebody else, and who dials again gets another address.
 */
export class AddressPool {
  readonly first: number;
  readonly last: number;
  /** The concentrator's own, never given out. */
  readonly own: number;
  readonly #taken: Set<number> = new Set();
  /** Addresses that were given before and are free, oldest first, from `#returnedAt`. */
  #returned: number[] = [];
  #returnedAt = 0;
  readonly #queued: Set<number> = new Set();
  /** The next that was never given. */
  #fresh: number;
  #inside = 0;

  /**
   * @param text a prefix as in `10.64.0.0/16`, whose first and last address are left out, or a range as in
   *   `10.64.0.2-10.64.0.99`.
   * @param own the concentrator's own address. Default is the first of the pool.
   * @throws ArgumentError if the text is neither, or has no address.
   */
  constructor(text: string, own?: number) {
    const [first, last] = rangeOf(text);
    this.first = first;
    this.last = last;
    this.own = own ?? first;
    this.#fresh = first;
    if (this.size < 1) throw new ArgumentError(`the pool '${text}' has no address to give out`);
  }

  /** Addresses in all. */
  get size(): number {
    return this.last - this.first + 1 - (this.#contains(this.own) ? 1 : 0);
  }

  get free(): number {
    return this.size - this.#inside;
  }

  /** Addresses that are given out, those outside the range included. */
  get taken(): number {
    return this.#taken.size;
  }

  /** @returns an address; undefined if none is left. */
  take(): number | undefined {
    while (this.#fresh <= this.last) {
      const address = this.#fresh++;
      if (address !== this.own && !this.#taken.has(address) && !this.#queued.has(address)) {
        return this.#give(address);
      }
    }
    while (this.#returnedAt < this.#returned.length) {
      const address = this.#returned[this.#returnedAt++]!;
      if (this.#returnedAt > 1024 && this.#returnedAt * 2 > this.#returned.length) {
        this.#returned = this.#returned.slice(this.#returnedAt);
        this.#returnedAt = 0;
      }
      this.#queued.delete(address);
      if (!this.#taken.has(address)) return this.#give(address);
    }
    return undefined;
  }

  /** Takes a certain address, which need not be in the range. @returns whether it was free. */
  takeCertain(address: number): boolean {
    if (this.#taken.has(address) || address === this.own) return false;
    this.#give(address);
    return true;
  }

  giveBack(address: number): void {
    if (!this.#taken.delete(address)) return;
    if (!this.#contains(address)) return;
    this.#inside--;
    // A certain address may not have had its turn yet, or wait for it already.
    if (address >= this.#fresh || this.#queued.has(address)) return;
    this.#queued.add(address);
    this.#returned.push(address);
  }

  #give(address: number): number {
    this.#taken.add(address);
    if (this.#contains(address)) this.#inside++;
    return address;
  }

  #contains(address: number): boolean {
    return address >= this.first && address <= this.last;
  }
}

function rangeOf(text: string): [first: number, last: number] {
  const dash = text.indexOf('-');
  let first: number;
  let last: number;
  if (dash >= 0) {
    first = ipv4Number(text.slice(0, dash).trim());
    last = ipv4Number(text.slice(dash + 1).trim());
  } else {
    const { version, bytes, length } = parsePrefix(text, 'clear');
    if (version !== 4) throw new ArgumentError(`the pool '${text}' is not of IPv4`);
    const size = 2 ** (32 - length);
    const network = ipv4Number(bytes);
    // RFC 3021: two addresses of a /31 are both hosts.
    [first, last] = size > 2 ? [network + 1, network + size - 2] : [network, network + size - 1];
  }
  if (last < first) throw new ArgumentError(`the pool '${text}' ends before it begins`);
  if (last - first >= MAX_SIZE) throw new ArgumentError(`the pool '${text}' has more than 2^24 addresses`);
  return [first, last];
}
