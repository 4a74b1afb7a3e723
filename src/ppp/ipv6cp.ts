import { Ipv6cpOptionType, PppOptionCursor, PppProtocol } from '../packet/index.ts';
import { type ControlOwner, ControlProtocol, type OptionVerdict } from './control-protocol.ts';

const IDENTIFIER_BYTES = 8;
const cursor = new PppOptionCursor();

/** The IPv6 Control Protocol (RFC 5072): each end gets an interface identifier, from which its link-local address comes. */
export class Ipv6cp extends ControlProtocol {
  /** Eight bytes each; zeros if there is none. */
  readonly local: Uint8Array;
  readonly peer: Uint8Array = new Uint8Array(IDENTIFIER_BYTES);

  /** @param local the identifier to ask for; zeros take a random one. */
  constructor(owner: ControlOwner, local: Uint8Array = new Uint8Array(IDENTIFIER_BYTES)) {
    super(owner, PppProtocol.ipv6cp);
    this.local = local.slice();
    if (isZero(this.local, 0)) this.#draw(this.local);
  }

  protected override begin(now: number): void {
    super.begin(now);
    this.peer.fill(0);
  }

  protected writeRequest(out: Uint8Array, at: number): number {
    return putIdentifier(out, at, this.local);
  }

  protected judge(type: number, bytes: Uint8Array, from: number, to: number): OptionVerdict {
    if (type !== Ipv6cpOptionType.interfaceIdentifier || to - from !== IDENTIFIER_BYTES) return 'reject';
    return isZero(bytes, from) || isEqual(this.local, bytes, from) ? 'nak' : 'ack';
  }

  protected writeNak(
    _type: number,
    _bytes: Uint8Array,
    _from: number,
    _to: number,
    out: Uint8Array,
    at: number,
  ): number {
    const suggestion = new Uint8Array(IDENTIFIER_BYTES);
    do this.#draw(suggestion);
    while (isEqual(this.local, suggestion, 0));
    return putIdentifier(out, at, suggestion);
  }

  protected accept(bytes: Uint8Array, from: number, to: number): void {
    this.peer.fill(0);
    cursor.start(bytes, from, to);
    while (cursor.next()) this.peer.set(bytes.subarray(cursor.dataOffset, cursor.dataEnd));
  }

  protected naked(type: number, bytes: Uint8Array, from: number, to: number): void {
    if (type !== Ipv6cpOptionType.interfaceIdentifier || to - from !== IDENTIFIER_BYTES) return;
    if (isZero(bytes, from) || isEqual(this.peer, bytes, from)) this.#draw(this.local);
    else this.local.set(bytes.subarray(from, to));
  }

  protected rejected(_type: number): void {
    // Without an identifier there is no link-local address; the next request asks again, and the counters end it.
  }

  /** A random identifier that says that it is not unique world-wide (RFC 5072, section 4.1). */
  #draw(into: Uint8Array): void {
    this.owner.random(into);
    into[0]! &= ~0x02;
    // Zero would ask for another one.
    if (isZero(into, 0)) into[7] = 1;
  }
}

/** `fe80::` and an interface identifier, as 16 bytes. */
export function linkLocal(identifier: Uint8Array): Uint8Array {
  const address = new Uint8Array(16);
  address[0] = 0xfe;
  address[1] = 0x80;
  address.set(identifier, 8);
  return address;
}

function putIdentifier(out: Uint8Array, at: number, identifier: Uint8Array): number {
  out[at] = Ipv6cpOptionType.interfaceIdentifier;
  out[at + 1] = 2 + IDENTIFIER_BYTES;
  out.set(identifier, at + 2);
  return at + 2 + IDENTIFIER_BYTES;
}

function isZero(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < IDENTIFIER_BYTES; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

function isEqual(identifier: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < IDENTIFIER_BYTES; i++) if (bytes[at + i] !== identifier[i]) return false;
  return true;
}
