import { CodecError } from '../error.ts';
import { type Ipv6Address, putIpv6 } from './address.ts';
import { AH_LENGTH } from './ah.ts';
import { IpProtocol } from './headers.ts';
import { emitIpv6Options, type Ipv6Option, ipv6OptionsLength } from './ipv6-options.ts';
import { inside, PacketView, refusal, requireField, requireRange, requireRoom } from './view.ts';
import { putU16, putU32, u16At, u32At } from './wire.ts';

/**
 * IPv6 extension headers (RFC 8200, section 4): hop-by-hop options, destination options, routing and fragment.
 * The authentication header has its own file.
 */
const UNIT = 8;
export const FRAGMENT_LENGTH = 8;

/** More headers than this in one packet are an attack on whoever walks them. */
const MAXIMUM_HEADERS = 32;

/** Whether a next header value names an extension header that can be stepped over. */
export function isIpv6Extension(nextHeader: number): boolean {
  switch (nextHeader) {
    case IpProtocol.hopByHop:
    case IpProtocol.routing:
    case IpProtocol.fragment:
    case IpProtocol.ah:
    case IpProtocol.destinationOptions:
    case IpProtocol.mobility:
      return true;
    default:
      return false;
  }
}

/**
 * Bytes of the extension header of kind `nextHeader` at `offset`, or -1 if it is not there whole.
 *
 * @param nextHeader One for which {@link isIpv6Extension} holds.
 */
export function ipv6ExtensionLength(
  nextHeader: number,
  bytes: Uint8Array,
  offset: number,
  end: number,
): number {
  if (!inside(bytes, offset, end, UNIT)) return -1;
  let length = UNIT;
  // AH counts in 32-bit words less two (RFC 4302, section 2.2), all others in 8-byte units less one.
  if (nextHeader === IpProtocol.ah) length = Math.max(AH_LENGTH, (bytes[offset + 1]! + 2) * 4);
  else if (nextHeader !== IpProtocol.fragment) length = (bytes[offset + 1]! + 1) * UNIT;
  return offset + length <= end ? length : -1;
}

/**
 * Walks the extension headers of a packet without allocating.
 *
 *     chain.start(ipv6.bytes, ipv6.payloadOffset, ipv6.payloadEnd, ipv6.nextHeader);
 *     while (chain.next()) if (chain.header === IpProtocol.fragment) …
 *     // now chain.protocol lies at chain.payloadOffset
 */
export class Ipv6ExtensionCursor {
  bytes: Uint8Array = new Uint8Array(0);
  /** The protocol number of the header just stepped to. */
  header = 0;
  /** Where that header begins. */
  offset = 0;
  /** What comes next: behind the last header, the upper-layer protocol. */
  protocol = 0;
  /** Where `protocol` begins. */
  payloadOffset = 0;
  end = 0;
  /** Whether a fragment header with more than one fragment's worth of meaning was passed. */
  fragmented = false;
  /** Of the fragment header that was passed, in bytes; unless it is 0 no upper-layer header is here. */
  fragmentOffset = 0;
  #count = 0;

  /** @throws CodecError if `offset` to `end` is no range of `bytes`. */
  start(bytes: Uint8Array, offset: number, end: number, nextHeader: number): this {
    requireRange('ipv6', bytes, offset, end);
    this.bytes = bytes;
    this.payloadOffset = offset;
    this.end = end;
    this.protocol = nextHeader;
    this.fragmented = false;
    this.fragmentOffset = 0;
    this.#count = 0;
    return this;
  }

  /**
   * Steps to the next extension header; false where the upper layer begins, and behind a fragment header
   * whose offset is not 0.
   *
   * @throws CodecError if a header is not there whole, or if there are more than 32 of them.
   */
  next(): boolean {
    const { bytes, protocol, payloadOffset, end } = this;
    if (!isIpv6Extension(protocol) || this.fragmentOffset !== 0) return false;
    const length = ipv6ExtensionLength(protocol, bytes, payloadOffset, end);
    if (length < 0) {
      throw new CodecError('ipv6', payloadOffset, `extension header ${protocol} is cut short`);
    }
    this.#count++;
    if (this.#count > MAXIMUM_HEADERS) {
      throw new CodecError('ipv6', payloadOffset, `more than ${MAXIMUM_HEADERS} extension headers`);
    }
    if (protocol === IpProtocol.fragment) {
      const word = u16At(bytes, payloadOffset + 2);
      this.fragmentOffset = word & 0xfff8;
      // Offset 0 without more fragments is an atomic fragment (RFC 6946): a whole packet.
      this.fragmented = (word & 0xfff9) !== 0;
    }
    this.header = protocol;
    this.offset = payloadOffset;
    this.protocol = bytes[payloadOffset]!;
    this.payloadOffset = payloadOffset + length;
    return true;
  }
}

/** A hop-by-hop options, destination options or routing header. */
export class Ipv6ExtensionView extends PacketView {
  /** @throws CodecError if the header is not there whole. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      const size = inside(bytes, offset, end, UNIT) ? (bytes[offset + 1]! + 1) * UNIT : UNIT;
      throw refusal('ipv6 extension', bytes, offset, end, size);
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, UNIT)) return false;
    if (offset + (bytes[offset + 1]! + 1) * UNIT > end) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the options of a hop-by-hop or destination options header begin; they end at `payloadOffset`. */
  get optionsOffset(): number {
    return this.offset + 2;
  }

  get payloadOffset(): number {
    return Math.min(this.end, this.offset + this.headerLength);
  }

  get nextHeader(): number {
    return this.bytes[this.offset]!;
  }
  set nextHeader(value: number) {
    this.bytes[this.offset] = value;
  }

  /** In 8-byte units, the first not counted: `headerLength` is in bytes. */
  get extensionLength(): number {
    return this.bytes[this.offset + 1]!;
  }
  set extensionLength(value: number) {
    this.bytes[this.offset + 1] = value;
  }

  /** In bytes: 8 to 2048. */
  get headerLength(): number {
    return (this.extensionLength + 1) * UNIT;
  }
}

/** Routing types (IANA). */
export const RoutingType = { source: 0, home: 2, segment: 4 } as const;

/** A routing header (RFC 8200, section 4.4; RFC 6275, section 6.4; RFC 8754). */
export class Ipv6RoutingView extends Ipv6ExtensionView {
  get routingType(): number {
    return this.bytes[this.offset + 2]!;
  }
  set routingType(value: number) {
    this.bytes[this.offset + 2] = value;
  }

  get segmentsLeft(): number {
    return this.bytes[this.offset + 3]!;
  }
  set segmentsLeft(value: number) {
    this.bytes[this.offset + 3] = value;
  }

  /** Addresses in the header, by its length; 0 for a type that holds none. */
  get addressCount(): number {
    const { routingType } = this;
    if (routingType === RoutingType.segment) {
      return Math.min(this.bytes[this.offset + 4]! + 1, this.extensionLength >>> 1);
    }
    const holdsAddresses = routingType === RoutingType.source || routingType === RoutingType.home;
    return holdsAddresses ? this.extensionLength >>> 1 : 0;
  }

  /** Where the 16 bytes of address `index` lie in `bytes`; `index` is below `addressCount`. */
  addressOffset(index: number): number {
    return this.offset + UNIT + 16 * index;
  }
}

export class Ipv6FragmentView extends PacketView {
  /** @throws CodecError if fewer than 8 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('ipv6 fragment', bytes, offset, end, FRAGMENT_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, FRAGMENT_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + FRAGMENT_LENGTH;
  }

  get nextHeader(): number {
    return this.bytes[this.offset]!;
  }
  set nextHeader(value: number) {
    this.bytes[this.offset] = value;
  }

  /** In bytes, a multiple of 8. */
  get fragmentOffset(): number {
    return u16At(this.bytes, this.offset + 2) & 0xfff8;
  }
  set fragmentOffset(value: number) {
    const at = this.offset + 2;
    putU16(this.bytes, at, (u16At(this.bytes, at) & 0x0007) | (value & 0xfff8));
  }

  get moreFragments(): boolean {
    return (this.bytes[this.offset + 3]! & 0x01) !== 0;
  }
  set moreFragments(value: boolean) {
    this.bytes[this.offset + 3] = (this.bytes[this.offset + 3]! & 0xfe) | (value ? 1 : 0);
  }

  get identification(): number {
    return u32At(this.bytes, this.offset + 4);
  }
  set identification(value: number) {
    putU32(this.bytes, this.offset + 4, value);
  }
}

export interface Ipv6OptionsFields {
  readonly nextHeader: number;
  /** Padded to a multiple of 8 bytes with Pad1 or PadN. */
  readonly options: readonly Ipv6Option[];
}

/** Writes a hop-by-hop or destination options header. @returns the offset behind it. */
export function emitIpv6OptionsHeader(out: Uint8Array, offset: number, fields: Ipv6OptionsFields): number {
  return writeIpv6OptionsHeader(out, offset, fields, fields.nextHeader);
}

/** As {@link emitIpv6OptionsHeader}, with what the builder found out. */
export function writeIpv6OptionsHeader(
  out: Uint8Array,
  offset: number,
  fields: Omit<Ipv6OptionsFields, 'nextHeader'>,
  nextHeader: number,
): number {
  const length = ipv6OptionsHeaderLength(fields);
  requireRoom('ipv6 options', out, offset, length);
  requireField('ipv6 nextHeader', nextHeader, 0xff);
  out[offset] = nextHeader;
  out[offset + 1] = length / UNIT - 1;
  return emitIpv6Options(out, offset + 2, fields.options);
}

/** Bytes of the header that {@link emitIpv6OptionsHeader} would write. */
export function ipv6OptionsHeaderLength(fields: Pick<Ipv6OptionsFields, 'options'>): number {
  return 2 + ipv6OptionsLength(fields.options);
}

export interface Ipv6RoutingFields {
  readonly nextHeader: number;
  /** `RoutingType`. */
  readonly routingType: number;
  readonly segmentsLeft: number;
  /** In wire order: of a segment routing header, the last segment first. */
  readonly addresses: readonly Ipv6Address[];
}

/** Writes a routing header that holds addresses. @returns the offset behind it. */
export function emitIpv6Routing(out: Uint8Array, offset: number, fields: Ipv6RoutingFields): number {
  return writeIpv6Routing(out, offset, fields, fields.nextHeader);
}

/** As {@link emitIpv6Routing}, with what the builder found out. */
export function writeIpv6Routing(
  out: Uint8Array,
  offset: number,
  fields: Omit<Ipv6RoutingFields, 'nextHeader'>,
  nextHeader: number,
): number {
  const { routingType, segmentsLeft, addresses } = fields;
  const length = ipv6RoutingLength(fields);
  requireRoom('ipv6 routing', out, offset, length);
  requireField('ipv6 nextHeader', nextHeader, 0xff);
  requireField('ipv6 routingType', routingType, 0xff);
  requireField('ipv6 segmentsLeft', segmentsLeft, 0xff);
  requireField('ipv6 routing addresses', addresses.length, 127);
  out[offset] = nextHeader;
  out[offset + 1] = length / UNIT - 1;
  out[offset + 2] = routingType;
  out[offset + 3] = segmentsLeft;
  putU32(out, offset + 4, 0);
  if (routingType === RoutingType.segment) out[offset + 4] = Math.max(0, addresses.length - 1);
  for (const [i, address] of addresses.entries()) putIpv6(out, offset + UNIT + 16 * i, address);
  return offset + length;
}

/** Bytes of the header that {@link emitIpv6Routing} would write. */
export function ipv6RoutingLength(fields: Pick<Ipv6RoutingFields, 'addresses'>): number {
  return UNIT + 16 * fields.addresses.length;
}

export interface Ipv6FragmentFields {
  readonly nextHeader: number;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly moreFragments: boolean;
  readonly identification: number;
}

/** Writes a fragment header. @returns the offset behind it. */
export function emitIpv6Fragment(out: Uint8Array, offset: number, fields: Ipv6FragmentFields): number {
  return writeIpv6Fragment(out, offset, fields, fields.nextHeader);
}

/** As {@link emitIpv6Fragment}, with what the builder found out. */
export function writeIpv6Fragment(
  out: Uint8Array,
  offset: number,
  fields: Omit<Ipv6FragmentFields, 'nextHeader'>,
  nextHeader: number,
): number {
  const { fragmentOffset, moreFragments, identification } = fields;
  requireRoom('ipv6 fragment', out, offset, FRAGMENT_LENGTH);
  requireField('ipv6 nextHeader', nextHeader, 0xff);
  requireField('ipv6 fragmentOffset / 8', fragmentOffset / UNIT, 0x1fff);
  requireField('ipv6 identification', identification, 0xffffffff);
  out[offset] = nextHeader;
  out[offset + 1] = 0;
  putU16(out, offset + 2, fragmentOffset | (moreFragments ? 1 : 0));
  putU32(out, offset + 4, identification);
  return offset + FRAGMENT_LENGTH;
}
