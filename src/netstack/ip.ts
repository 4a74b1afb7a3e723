import { formatIp, type IpVersion, type Prefix, parseIp } from '../address/index.ts';

/**
 * An address as the stack keeps it: four signed 32-bit words, in which IPv4 lies as ::ffff:0:0/96 does, so that one
 * comparison serves both. IPv4-mapped addresses must not be on a wire, hence the two never meet.
 */
export class Ip {
  readonly version: IpVersion;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(version: IpVersion, w0: number, w1: number, w2: number, w3: number) {
    this.version = version;
    this.w0 = w0;
    this.w1 = w1;
    this.w2 = w2;
    this.w3 = w3;
  }

  static v4(word: number): Ip {
    return new Ip(4, 0, 0, MAPPED, word | 0);
  }

  static v6(bytes: Uint8Array, offset: number): Ip {
    return new Ip(
      6,
      wordAt(bytes, offset),
      wordAt(bytes, offset + 4),
      wordAt(bytes, offset + 8),
      wordAt(bytes, offset + 12),
    );
  }

  /** 4 or 16 bytes. */
  static from(bytes: Uint8Array): Ip {
    return bytes.length === 4 ? Ip.v4(wordAt(bytes, 0)) : Ip.v6(bytes, 0);
  }

  /** @throws ArgumentError when the text is no IP address. */
  static parse(text: string): Ip {
    return Ip.from(parseIp(text).bytes);
  }

  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.version === 4 ? 4 : 16);
    this.put(bytes, 0);
    return bytes;
  }

  /** Writes its 4 or 16 bytes. */
  put(out: Uint8Array, offset: number): void {
    if (this.version === 6) {
      putWord(out, offset, this.w0);
      putWord(out, offset + 4, this.w1);
      putWord(out, offset + 8, this.w2);
      putWord(out, offset + 12, this.w3);
    } else putWord(out, offset, this.w3);
  }

  equals(other: Ip): boolean {
    return this.is(other.w0, other.w1, other.w2, other.w3);
  }

  is(w0: number, w1: number, w2: number, w3: number): boolean {
    return this.w3 === w3 && this.w2 === w2 && this.w1 === w1 && this.w0 === w0;
  }

  get isUnspecified(): boolean {
    return this.w3 === 0 && this.w0 === 0 && this.w1 === 0 && (this.w2 === 0 || this.version === 4);
  }

  /** 224.0.0.0/4, 255.255.255.255 or ff00::/8. */
  get isMulticast(): boolean {
    return this.version === 4 ? this.w3 >>> 28 === 14 || this.w3 === -1 : this.w0 >>> 24 === 0xff;
  }

  /** fe80::/10 */
  get isLinkLocal(): boolean {
    return this.version === 6 && this.w0 >>> 22 === 0x3fa;
  }

  /** What it adds to a pseudo-header, unfolded. */
  get sum(): number {
    const low = (this.w3 >>> 16) + (this.w3 & 0xffff);
    if (this.version === 4) return low;
    return (
      low +
      (this.w0 >>> 16) +
      (this.w0 & 0xffff) +
      (this.w1 >>> 16) +
      (this.w1 & 0xffff) +
      (this.w2 >>> 16) +
      (this.w2 & 0xffff)
    );
  }

  /** For maps. */
  get key(): string {
    return `${this.w0},${this.w1},${this.w2},${this.w3}`;
  }

  toString(): string {
    return formatIp(this.bytes);
  }
}

/** The third word of an IPv4 address. */
export const MAPPED = 0xffff;

/** A network: an address and how many of its bits count. */
export class Network {
  readonly address: Ip;
  readonly length: number;
  readonly #masks: readonly number[];

  constructor(address: Ip, length: number) {
    this.address = address;
    this.length = length;
    const bits = address.version === 4 ? length + 96 : length;
    this.#masks = [0, 32, 64, 96].map((from) => {
      const own = Math.min(32, Math.max(0, bits - from));
      return own === 0 ? 0 : (-1 << (32 - own)) | 0;
    });
  }

  static from(prefix: Prefix): Network {
    return new Network(Ip.from(prefix.bytes), prefix.length);
  }

  contains(ip: Ip): boolean {
    const { address } = this;
    const masks = this.#masks;
    return (
      ip.version === address.version &&
      ((ip.w0 ^ address.w0) & masks[0]!) === 0 &&
      ((ip.w1 ^ address.w1) & masks[1]!) === 0 &&
      ((ip.w2 ^ address.w2) & masks[2]!) === 0 &&
      ((ip.w3 ^ address.w3) & masks[3]!) === 0
    );
  }

  /** The last address of an IPv4 network, which means all hosts in it; undefined where there is none. */
  get broadcast(): Ip | undefined {
    if (this.address.version === 6 || this.length > 30) return undefined;
    return Ip.v4(this.address.w3 | ~this.#masks[3]!);
  }
}

export function wordAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

export function halfAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

export function putWord(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

export function putHalf(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}
