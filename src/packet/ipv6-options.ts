import { OptionCursor } from './option-cursor.ts';
import { requireField, requireRoom } from './view.ts';
import { copyBytes, putU16, putU32, u16At, u32At } from './wire.ts';

/** Types of the options in hop-by-hop and destination options headers (IANA), action bits included. */
export const Ipv6OptionType = { pad1: 0, padN: 1, routerAlert: 0x05, jumbo: 0xc2 } as const;

/** One option as plain data; padding is left out when decoding and made when emitting. */
export type Ipv6Option =
  | { readonly kind: 'routerAlert'; readonly value: number }
  /** Bytes of the packet behind the IPv6 header (RFC 2675). */
  | { readonly kind: 'jumbo'; readonly length: number }
  | { readonly kind: 'other'; readonly type: number; readonly data: Uint8Array };

/** An extension header of 2048 bytes, less its first two. */
const MAXIMUM = 2046;

/**
 * Walks the options of a hop-by-hop or destination options header without allocating.
 *
 *     cursor.start(view.bytes, view.optionsOffset, view.payloadOffset);
 *     while (cursor.next()) if (cursor.type === Ipv6OptionType.routerAlert) …
 */
export class Ipv6OptionCursor extends OptionCursor {
  constructor() {
    super('ipv6');
  }

  /**
   * Steps to the next option that is no padding; false behind the last.
   *
   * @throws CodecError if an option runs past the header.
   */
  override next(): boolean {
    const { bytes, end } = this;
    let offset = this.nextOffset;
    while (offset < end) {
      const type = bytes[offset]!;
      if (type === Ipv6OptionType.pad1) {
        offset++;
        continue;
      }
      const after = offset + 1 < end ? offset + 2 + bytes[offset + 1]! : Number.POSITIVE_INFINITY;
      if (after > end) throw this.malformed(offset, `option ${type} runs past its header`);
      if (type !== Ipv6OptionType.padN) {
        this.type = type;
        this.offset = offset;
        this.dataOffset = offset + 2;
        this.dataEnd = after;
        this.nextOffset = after;
        return true;
      }
      offset = after;
    }
    this.nextOffset = end;
    return false;
  }
}

/** The options in a range as plain data, padding left out. @throws CodecError if they are malformed. */
export function decodeIpv6Options(bytes: Uint8Array, offset: number, end: number): Ipv6Option[] {
  const cursor = new Ipv6OptionCursor().start(bytes, offset, end);
  const options: Ipv6Option[] = [];
  while (cursor.next()) {
    const { type, dataOffset, dataEnd } = cursor;
    const length = dataEnd - dataOffset;
    if (type === Ipv6OptionType.routerAlert && length === 2) {
      options.push({ kind: 'routerAlert', value: u16At(bytes, dataOffset) });
    } else if (type === Ipv6OptionType.jumbo && length === 4) {
      options.push({ kind: 'jumbo', length: u32At(bytes, dataOffset) });
    } else {
      options.push({ kind: 'other', type, data: copyBytes(bytes, dataOffset, dataEnd) });
    }
  }
  return options;
}

/** Bytes that options take behind the first two of their header, alignment and padding to 8 included. */
export function ipv6OptionsLength(options: readonly Ipv6Option[]): number {
  let at = 2;
  for (const option of options) at += alignment(option, at) + optionLength(option);
  const length = ((at + 7) & ~7) - 2;
  requireField('ipv6 options length', length, MAXIMUM);
  return length;
}

/** Writes options, aligned and padded. `offset` is 2 behind the start of a header. @returns the offset behind. */
export function emitIpv6Options(out: Uint8Array, offset: number, options: readonly Ipv6Option[]): number {
  const end = offset + ipv6OptionsLength(options);
  requireRoom('ipv6 options', out, offset, end - offset);
  let at = offset;
  for (const option of options) {
    at = emitPadding(out, at, alignment(option, at - offset + 2));
    at = emitOption(out, at, option);
  }
  return emitPadding(out, at, end - at);
}

/** Padding before an option at `at`, so that its data is aligned: 2n for router alert, 4n + 2 for jumbo. */
function alignment(option: Ipv6Option, at: number): number {
  if (option.kind === 'routerAlert') return at & 1;
  if (option.kind === 'jumbo') return (2 - at) & 3;
  return 0;
}

function optionLength(option: Ipv6Option): number {
  if (option.kind === 'routerAlert') return 4;
  return option.kind === 'jumbo' ? 6 : 2 + option.data.length;
}

function emitPadding(out: Uint8Array, offset: number, length: number): number {
  if (length === 0) return offset;
  out.fill(0, offset, offset + length);
  if (length > 1) {
    out[offset] = Ipv6OptionType.padN;
    out[offset + 1] = length - 2;
  }
  return offset + length;
}

function emitOption(out: Uint8Array, offset: number, option: Ipv6Option): number {
  const length = optionLength(option);
  switch (option.kind) {
    case 'routerAlert':
      requireField('ipv6 routerAlert value', option.value, 0xffff);
      out[offset] = Ipv6OptionType.routerAlert;
      putU16(out, offset + 2, option.value);
      break;
    case 'jumbo':
      requireField('ipv6 jumbo length', option.length, 0xffffffff);
      out[offset] = Ipv6OptionType.jumbo;
      putU32(out, offset + 2, option.length);
      break;
    case 'other':
      // 0 and 1 are padding, which emitting makes by itself.
      requireField('ipv6 option type - 2', option.type - 2, 0xff - 2);
      requireField('ipv6 option length', option.data.length, 0xff);
      out[offset] = option.type;
      out.set(option.data, offset + 2);
  }
  out[offset + 1] = length - 2;
  return offset + length;
}
