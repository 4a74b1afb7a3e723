import { ArgumentError } from '../error.ts';
import { type Ipv4Address, ipv4Text, putIpv4 } from './address.ts';
import { OptionCursor } from './option-cursor.ts';
import { requireField, requireRoom } from './view.ts';
import { copyBytes, putU16, u16At, u32At } from './wire.ts';

/** IPv4 option types (IANA), the copied bit included. */
export const Ipv4OptionType = {
  end: 0,
  nop: 1,
  recordRoute: 7,
  timestamp: 68,
  security: 130,
  looseSourceRoute: 131,
  strictSourceRoute: 137,
  routerAlert: 148,
} as const;

/** One option as plain data; decoding gives addresses as text. What has no form of its own is `other`, its data as it stands. */
export type Ipv4Option =
  | { readonly kind: 'end' }
  | { readonly kind: 'nop' }
  | {
      readonly kind: 'recordRoute' | 'looseSourceRoute' | 'strictSourceRoute';
      /** Where the next address goes, counted from 1 at the option's first byte. Default is 4, the first. */
      readonly pointer?: number;
      readonly addresses: readonly Ipv4Address[];
    }
  | { readonly kind: 'routerAlert'; readonly value: number }
  | { readonly kind: 'other'; readonly type: number; readonly data: Uint8Array };

const ROUTES: Readonly<Record<number, 'recordRoute' | 'looseSourceRoute' | 'strictSourceRoute'>> = {
  [Ipv4OptionType.recordRoute]: 'recordRoute',
  [Ipv4OptionType.looseSourceRoute]: 'looseSourceRoute',
  [Ipv4OptionType.strictSourceRoute]: 'strictSourceRoute',
};

/** Most bytes of options that a header length of 60 leaves room for. */
const MAXIMUM = 40;

/**
 * Walks the options of a header without allocating.
 *
 *     cursor.start(view.bytes, view.optionsOffset, view.payloadOffset);
 *     while (cursor.next()) if (cursor.type === Ipv4OptionType.routerAlert) …
 */
export class Ipv4OptionCursor extends OptionCursor {
  constructor() {
    super('ipv4', 1, Ipv4OptionType.nop);
  }
}

/** The options in a range as plain data. @throws CodecError if they are malformed. */
export function decodeIpv4Options(bytes: Uint8Array, offset: number, end: number): Ipv4Option[] {
  const cursor = new Ipv4OptionCursor().start(bytes, offset, end);
  const options: Ipv4Option[] = [];
  while (cursor.next()) options.push(optionAt(cursor));
  return options;
}

/** Bytes that options take in a header, padded to whole 32-bit words. */
export function ipv4OptionsLength(options: readonly Ipv4Option[]): number {
  let length = 0;
  for (const option of options) length += optionLength(option);
  length = (length + 3) & ~3;
  if (length > MAXIMUM) {
    throw new ArgumentError(`ipv4 options take ${length} bytes; a header has room for ${MAXIMUM}`);
  }
  return length;
}

/** Writes options, padded with `end`. @returns the offset behind the padding. */
export function emitIpv4Options(out: Uint8Array, offset: number, options: readonly Ipv4Option[]): number {
  const end = offset + ipv4OptionsLength(options);
  requireRoom('ipv4 options', out, offset, end - offset);
  let at = offset;
  for (const option of options) at = emitOption(out, at, option);
  out.fill(Ipv4OptionType.end, at, end);
  return end;
}

function optionAt(cursor: Ipv4OptionCursor): Ipv4Option {
  const { bytes, type, dataOffset, dataEnd } = cursor;
  if (type === Ipv4OptionType.end) return { kind: 'end' };
  if (type === Ipv4OptionType.nop) return { kind: 'nop' };
  const route = ROUTES[type];
  const length = dataEnd - dataOffset;
  if (route !== undefined && length % 4 === 1) {
    const addresses: string[] = [];
    for (let at = dataOffset + 1; at < dataEnd; at += 4) addresses.push(ipv4Text(u32At(bytes, at)));
    return { kind: route, pointer: bytes[dataOffset]!, addresses };
  }
  if (type === Ipv4OptionType.routerAlert && length === 2) {
    return { kind: 'routerAlert', value: u16At(bytes, dataOffset) };
  }
  return { kind: 'other', type, data: copyBytes(bytes, dataOffset, dataEnd) };
}

function optionLength(option: Ipv4Option): number {
  switch (option.kind) {
    case 'end':
    case 'nop':
      return 1;
    case 'routerAlert':
      return 4;
    case 'other':
      return 2 + option.data.length;
    default:
      return 3 + 4 * option.addresses.length;
  }
}

function emitOption(out: Uint8Array, offset: number, option: Ipv4Option): number {
  const length = optionLength(option);
  switch (option.kind) {
    case 'end':
    case 'nop':
      out[offset] = Ipv4OptionType[option.kind];
      break;
    case 'routerAlert':
      requireField('ipv4 routerAlert value', option.value, 0xffff);
      out[offset] = Ipv4OptionType.routerAlert;
      out[offset + 1] = length;
      putU16(out, offset + 2, option.value);
      break;
    case 'other':
      requireField('ipv4 option type - 2', option.type - 2, 0xff - 2);
      out[offset] = option.type;
      out[offset + 1] = length;
      out.set(option.data, offset + 2);
      break;
    default: {
      const { pointer = 4, addresses } = option;
      requireField('ipv4 route pointer', pointer, 0xff);
      out[offset] = Ipv4OptionType[option.kind];
      out[offset + 1] = length;
      out[offset + 2] = pointer;
      for (const [i, address] of addresses.entries()) putIpv4(out, offset + 3 + 4 * i, address);
    }
  }
  return offset + length;
}
