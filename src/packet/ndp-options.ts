import { formatIPv6 } from '../address/index.ts';
import { type Ipv6Address, type MacAddress, macText, putIpv6, putMac } from './address.ts';
import { decodeName, emitName, nameLength, skipName } from './dns-name.ts';
import { OptionCursor } from './option-cursor.ts';
import { requireField, requireRoom } from './view.ts';
import { copyBytes, putU32, u32At, u48At } from './wire.ts';

/** Neighbour discovery option types (IANA). */
export const NdpOptionType = {
  sourceLinkLayer: 1,
  targetLinkLayer: 2,
  prefix: 3,
  redirected: 4,
  mtu: 5,
  routeInformation: 24,
  rdnss: 25,
  dnssl: 31,
} as const;

/** One option as plain data; decoding gives addresses as text. Unknown or oddly sized ones are `other`. */
export type NdpOption =
  | { readonly kind: 'sourceLinkLayer' | 'targetLinkLayer'; readonly address: MacAddress }
  | {
      readonly kind: 'prefix';
      readonly prefixLength: number;
      readonly onLink: boolean;
      readonly autonomous: boolean;
      /** In seconds; 0xffffffff is for ever. */
      readonly validLifetime: number;
      /** In seconds; 0xffffffff is for ever. */
      readonly preferredLifetime: number;
      readonly prefix: Ipv6Address;
    }
  /** The packet that is redirected, as much of it as fits; padded to 8 bytes. */
  | { readonly kind: 'redirected'; readonly packet: Uint8Array }
  | { readonly kind: 'mtu'; readonly mtu: number }
  /** Recursive DNS servers (RFC 8106); the lifetime is in seconds. */
  | { readonly kind: 'rdnss'; readonly lifetime: number; readonly addresses: readonly Ipv6Address[] }
  /** DNS search list (RFC 8106); the lifetime is in seconds. */
  | { readonly kind: 'dnssl'; readonly lifetime: number; readonly names: readonly string[] }
  | { readonly kind: 'other'; readonly type: number; readonly data: Uint8Array };

/** The length byte counts units of 8. */
const UNIT = 8;

/**
 * Walks the options of a neighbour discovery message without allocating.
 *
 *     cursor.start(view.bytes, view.optionsOffset, view.end);
 *     while (cursor.next()) if (cursor.type === NdpOptionType.sourceLinkLayer) …
 */
export class NdpOptionCursor extends OptionCursor {
  constructor() {
    super('ndp', UNIT);
  }

  /** Bytes of the option, type and length included. */
  get length(): number {
    return this.dataEnd - this.offset;
  }

  /** Of a link-layer address option, as a 48-bit number. */
  get linkLayerAddress(): number {
    return this.length >= UNIT ? u48At(this.bytes, this.dataOffset) : 0;
  }
}

/** The options in a range as plain data. @throws CodecError if they are malformed. */
export function decodeNdpOptions(bytes: Uint8Array, offset: number, end: number): NdpOption[] {
  const cursor = new NdpOptionCursor().start(bytes, offset, end);
  const options: NdpOption[] = [];
  while (cursor.next()) options.push(optionAt(cursor));
  return options;
}

/** Bytes that options take. */
export function ndpOptionsLength(options: readonly NdpOption[]): number {
  return options.reduce((length, option) => length + optionLength(option), 0);
}

/** Writes options, each padded to 8 bytes with zeros. @returns the offset behind them. */
export function emitNdpOptions(out: Uint8Array, offset: number, options: readonly NdpOption[]): number {
  let at = offset;
  for (const option of options) at = emitOption(out, at, option);
  return at;
}

function optionAt(cursor: NdpOptionCursor): NdpOption {
  const { bytes, type, offset, dataOffset, dataEnd, length } = cursor;
  switch (type) {
    case NdpOptionType.sourceLinkLayer:
      if (length === 8) return { kind: 'sourceLinkLayer', address: macText(cursor.linkLayerAddress) };
      break;
    case NdpOptionType.targetLinkLayer:
      if (length === 8) return { kind: 'targetLinkLayer', address: macText(cursor.linkLayerAddress) };
      break;
    case NdpOptionType.prefix:
      if (length === 32) {
        return {
          kind: 'prefix',
          prefixLength: bytes[offset + 2]!,
          onLink: (bytes[offset + 3]! & 0x80) !== 0,
          autonomous: (bytes[offset + 3]! & 0x40) !== 0,
          validLifetime: u32At(bytes, offset + 4),
          preferredLifetime: u32At(bytes, offset + 8),
          prefix: formatIPv6(bytes, offset + 16),
        };
      }
      break;
    case NdpOptionType.redirected:
      return { kind: 'redirected', packet: copyBytes(bytes, offset + 8, dataEnd) };
    case NdpOptionType.mtu:
      if (length === 8) return { kind: 'mtu', mtu: u32At(bytes, offset + 4) };
      break;
    case NdpOptionType.rdnss:
      if (length % 16 === 8 && length > 8) {
        const addresses: string[] = [];
        for (let at = offset + 8; at < dataEnd; at += 16) addresses.push(formatIPv6(bytes, at));
        return { kind: 'rdnss', lifetime: u32At(bytes, offset + 4), addresses };
      }
      break;
    case NdpOptionType.dnssl:
      if (length > 8) {
        return {
          kind: 'dnssl',
          lifetime: u32At(bytes, offset + 4),
          names: namesAt(bytes, offset + 8, dataEnd),
        };
      }
      break;
  }
  return { kind: 'other', type, data: copyBytes(bytes, dataOffset, dataEnd) };
}

/** Uncompressed names up to the zero padding (RFC 8106, section 5.2). */
function namesAt(bytes: Uint8Array, offset: number, end: number): string[] {
  const names: string[] = [];
  let at = offset;
  while (at < end && bytes[at] !== 0) {
    const after = skipName(bytes, at, end);
    // Pointers count from `at` here, so that none can lead anywhere: they are not allowed.
    names.push(decodeName(bytes, at, at, after));
    at = after;
  }
  return names;
}

function optionLength(option: NdpOption): number {
  switch (option.kind) {
    case 'sourceLinkLayer':
    case 'targetLinkLayer':
    case 'mtu':
      return 8;
    case 'prefix':
      return 32;
    case 'redirected':
      return 8 + padded(option.packet.length);
    case 'rdnss':
      return 8 + 16 * option.addresses.length;
    case 'dnssl':
      return 8 + padded(option.names.reduce((length, name) => length + nameLength(name), 0));
    case 'other':
      return padded(2 + option.data.length);
  }
}

function padded(length: number): number {
  return (length + UNIT - 1) & ~(UNIT - 1);
}

function emitOption(out: Uint8Array, offset: number, option: NdpOption): number {
  const length = optionLength(option);
  requireRoom('ndp option', out, offset, length);
  requireField('ndp option length / 8', length / UNIT, 0xff);
  out.fill(0, offset, offset + length);
  if (option.kind === 'other') requireField('ndp option type', option.type, 0xff);
  out[offset] = option.kind === 'other' ? option.type : NdpOptionType[option.kind];
  out[offset + 1] = length / UNIT;
  switch (option.kind) {
    case 'sourceLinkLayer':
    case 'targetLinkLayer':
      putMac(out, offset + 2, option.address);
      break;
    case 'prefix':
      requireField('ndp prefixLength', option.prefixLength, 128);
      requireField('ndp validLifetime', option.validLifetime, 0xffffffff);
      requireField('ndp preferredLifetime', option.preferredLifetime, 0xffffffff);
      out[offset + 2] = option.prefixLength;
      out[offset + 3] = (option.onLink ? 0x80 : 0) | (option.autonomous ? 0x40 : 0);
      putU32(out, offset + 4, option.validLifetime);
      putU32(out, offset + 8, option.preferredLifetime);
      putIpv6(out, offset + 16, option.prefix);
      break;
    case 'redirected':
      out.set(option.packet, offset + 8);
      break;
    case 'mtu':
      requireField('ndp mtu', option.mtu, 0xffffffff);
      putU32(out, offset + 4, option.mtu);
      break;
    case 'rdnss':
      requireField('ndp lifetime', option.lifetime, 0xffffffff);
      putU32(out, offset + 4, option.lifetime);
      for (const [i, address] of option.addresses.entries()) putIpv6(out, offset + 8 + 16 * i, address);
      break;
    case 'dnssl': {
      requireField('ndp lifetime', option.lifetime, 0xffffffff);
      putU32(out, offset + 4, option.lifetime);
      let at = offset + 8;
      for (const name of option.names) at = emitName(out, at, name);
      break;
    }
    case 'other':
      out.set(option.data, offset + 2);
  }
  return offset + length;
}
