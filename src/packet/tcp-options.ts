import { ArgumentError, CodecError } from '../error.ts';
import { requireField, requireRange, requireRoom } from './view.ts';
import { copyBytes, putU16, putU32, u16At, u32At } from './wire.ts';

/** TCP option kinds (IANA). */
export const TcpOptionKind = {
  end: 0,
  nop: 1,
  mss: 2,
  windowScale: 3,
  sackPermitted: 4,
  sack: 5,
  timestamps: 8,
  fastOpen: 34,
} as const;

/** A range of sequence numbers that arrived: `left` is the first, `right` the one behind the last. */
export interface SackBlock {
  readonly left: number;
  readonly right: number;
}

/** One option as plain data. A kind that is not known, or not of its proper length, is `other`. */
export type TcpOption =
  | { readonly kind: 'end' }
  | { readonly kind: 'nop' }
  /** The maximum segment size in bytes. */
  | { readonly kind: 'mss'; readonly value: number }
  /** The window's shift count. */
  | { readonly kind: 'windowScale'; readonly shift: number }
  | { readonly kind: 'sackPermitted' }
  | { readonly kind: 'sack'; readonly blocks: readonly SackBlock[] }
  | { readonly kind: 'timestamps'; readonly value: number; readonly echo: number }
  /** An empty cookie asks for one. */
  | { readonly kind: 'fastOpen'; readonly cookie: Uint8Array }
  | { readonly kind: 'other'; readonly number: number; readonly data: Uint8Array };

/** Most bytes of options that a header length of 60 leaves room for. */
const MAXIMUM = 40;

/**
 * Walks the options of a header without allocating.
 *
 *     cursor.start(view.bytes, view.optionsOffset, view.payloadOffset);
 *     while (cursor.next()) if (cursor.kind === TcpOptionKind.mss) … cursor.mss …
 */
export class TcpOptionCursor {
  bytes: Uint8Array = new Uint8Array(0);
  kind = 0;
  /** Where the option begins. */
  offset = 0;
  /** Where the option's data begins, behind kind and length. */
  dataOffset = 0;
  dataEnd = 0;
  #next = 0;
  #end = 0;

  /** @throws CodecError if `offset` to `end` is no range of `bytes`. */
  start(bytes: Uint8Array, offset: number, end: number): this {
    requireRange('tcp', bytes, offset, end);
    this.bytes = bytes;
    this.#next = offset;
    this.#end = end;
    return this;
  }

  /**
   * Steps to the next option; false behind the last. `end` (0) is an option too, and always the last.
   *
   * @throws CodecError if an option's length is below 2 or runs past the header.
   */
  next(): boolean {
    const offset = this.#next;
    if (offset >= this.#end) return false;
    const kind = this.bytes[offset]!;
    this.kind = kind;
    this.offset = offset;
    if (kind <= TcpOptionKind.nop) {
      this.dataOffset = offset + 1;
      this.dataEnd = offset + 1;
      this.#next = kind === TcpOptionKind.end ? this.#end : offset + 1;
      return true;
    }
    const length = offset + 1 < this.#end ? this.bytes[offset + 1]! : 0;
    if (length < 2 || offset + length > this.#end) {
      this.#next = this.#end;
      throw new CodecError('tcp', offset, `option ${kind} has a length of ${length}`);
    }
    this.dataOffset = offset + 2;
    this.dataEnd = offset + length;
    this.#next = offset + length;
    return true;
  }

  /** Bytes of the option, kind and length included. */
  get length(): number {
    return this.dataEnd - this.offset;
  }

  /** Of an option of kind `mss`; 0 unless its length is 4. */
  get mss(): number {
    return this.length === 4 ? u16At(this.bytes, this.dataOffset) : 0;
  }
  set mss(value: number) {
    if (this.length === 4) putU16(this.bytes, this.dataOffset, value);
  }

  /** Of an option of kind `windowScale`; 0 unless its length is 3. */
  get windowScale(): number {
    return this.length === 3 ? this.bytes[this.dataOffset]! : 0;
  }

  /** Of an option of kind `timestamps`; 0 unless its length is 10. */
  get timestamp(): number {
    return this.length === 10 ? u32At(this.bytes, this.dataOffset) : 0;
  }

  /** Of an option of kind `timestamps`; 0 unless its length is 10. */
  get timestampEcho(): number {
    return this.length === 10 ? u32At(this.bytes, this.dataOffset + 4) : 0;
  }

  /** Whole blocks in an option of kind `sack`. */
  get sackCount(): number {
    return (this.dataEnd - this.dataOffset) >>> 3;
  }

  /** Of an option of kind `sack`; 0 unless `index` is below `sackCount`. */
  sackLeft(index: number): number {
    return index >>> 0 < this.sackCount ? u32At(this.bytes, this.dataOffset + 8 * index) : 0;
  }

  /** Of an option of kind `sack`; 0 unless `index` is below `sackCount`. */
  sackRight(index: number): number {
    return index >>> 0 < this.sackCount ? u32At(this.bytes, this.dataOffset + 8 * index + 4) : 0;
  }
}

/** The options in a range as plain data. @throws CodecError if they are malformed. */
export function decodeTcpOptions(bytes: Uint8Array, offset: number, end: number): TcpOption[] {
  const cursor = new TcpOptionCursor().start(bytes, offset, end);
  const options: TcpOption[] = [];
  while (cursor.next()) options.push(optionAt(cursor));
  return options;
}

/** Bytes that options take in a header, padded to whole 32-bit words. */
export function tcpOptionsLength(options: readonly TcpOption[]): number {
  let length = 0;
  for (const option of options) length += optionLength(option);
  length = (length + 3) & ~3;
  if (length > MAXIMUM) {
    throw new ArgumentError(`tcp options take ${length} bytes; a header has room for ${MAXIMUM}`);
  }
  return length;
}

/** Writes options, padded with `end`. @returns the offset behind the padding. */
export function emitTcpOptions(out: Uint8Array, offset: number, options: readonly TcpOption[]): number {
  const end = offset + tcpOptionsLength(options);
  requireRoom('tcp options', out, offset, end - offset);
  let at = offset;
  for (const option of options) at = emitOption(out, at, option);
  out.fill(TcpOptionKind.end, at, end);
  return end;
}

function optionAt(cursor: TcpOptionCursor): TcpOption {
  const { bytes, kind, length, dataOffset, dataEnd } = cursor;
  switch (kind) {
    case TcpOptionKind.end:
      return { kind: 'end' };
    case TcpOptionKind.nop:
      return { kind: 'nop' };
    case TcpOptionKind.mss:
      if (length === 4) return { kind: 'mss', value: cursor.mss };
      break;
    case TcpOptionKind.windowScale:
      if (length === 3) return { kind: 'windowScale', shift: cursor.windowScale };
      break;
    case TcpOptionKind.sackPermitted:
      if (length === 2) return { kind: 'sackPermitted' };
      break;
    case TcpOptionKind.sack:
      if (length % 8 === 2 && length > 2) return { kind: 'sack', blocks: sackBlocks(cursor) };
      break;
    case TcpOptionKind.timestamps:
      if (length === 10) {
        return { kind: 'timestamps', value: cursor.timestamp, echo: cursor.timestampEcho };
      }
      break;
    case TcpOptionKind.fastOpen:
      return { kind: 'fastOpen', cookie: copyBytes(bytes, dataOffset, dataEnd) };
  }
  return { kind: 'other', number: kind, data: copyBytes(bytes, dataOffset, dataEnd) };
}

function sackBlocks(cursor: TcpOptionCursor): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (let i = 0; i < cursor.sackCount; i++) {
    blocks.push({ left: cursor.sackLeft(i), right: cursor.sackRight(i) });
  }
  return blocks;
}

function optionLength(option: TcpOption): number {
  switch (option.kind) {
    case 'end':
    case 'nop':
      return 1;
    case 'sackPermitted':
      return 2;
    case 'windowScale':
      return 3;
    case 'mss':
      return 4;
    case 'timestamps':
      return 10;
    case 'sack':
      return 2 + 8 * option.blocks.length;
    case 'fastOpen':
      return 2 + option.cookie.length;
    case 'other':
      return 2 + option.data.length;
  }
}

function emitOption(out: Uint8Array, offset: number, option: TcpOption): number {
  const length = optionLength(option);
  const data = offset + 2;
  if (option.kind === 'other') {
    // 0 and 1 have no length byte, so they cannot carry data.
    requireField('tcp option number - 2', option.number - 2, 0xff - 2);
    out[offset] = option.number;
  } else {
    out[offset] = TcpOptionKind[option.kind];
  }
  if (length > 1) out[offset + 1] = length;
  switch (option.kind) {
    case 'mss':
      requireField('tcp mss', option.value, 0xffff);
      putU16(out, data, option.value);
      break;
    case 'windowScale':
      requireField('tcp windowScale', option.shift, 0xff);
      out[data] = option.shift;
      break;
    case 'sack':
      for (const [i, { left, right }] of option.blocks.entries()) {
        requireField('tcp sack left', left, 0xffffffff);
        requireField('tcp sack right', right, 0xffffffff);
        putU32(out, data + 8 * i, left);
        putU32(out, data + 8 * i + 4, right);
      }
      break;
    case 'timestamps':
      requireField('tcp timestamp', option.value, 0xffffffff);
      requireField('tcp timestamp echo', option.echo, 0xffffffff);
      putU32(out, data, option.value);
      putU32(out, data + 4, option.echo);
      break;
    case 'fastOpen':
      out.set(option.cookie, data);
      break;
    case 'other':
      out.set(option.data, data);
  }
  return offset + length;
}
