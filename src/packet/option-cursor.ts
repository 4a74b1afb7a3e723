import { CodecError } from '../error.ts';
import { inside, refusal } from './view.ts';

const NOTHING = new Uint8Array(0);

/**
 * What the cursors over options have in common: a type, a length that counts both of them, and data. Formats that
 * count otherwise have a `next` of their own. TCP, which is walked for every segment, stands for itself: methods that
 * objects of several classes share cost a few nanoseconds more.
 */
export abstract class OptionCursor {
  bytes: Uint8Array = NOTHING;
  type = 0;
  /** Where the option begins. */
  offset = 0;
  /** Where the option's data begins, behind type and length. */
  dataOffset = 0;
  dataEnd = 0;
  /** Where the next option begins, and where all of them end. */
  protected nextOffset = 0;
  protected end = 0;
  protected readonly format: string;
  protected readonly unit: number;
  protected readonly lastLone: number;

  /**
   * @param format The name in errors.
   * @param unit Bytes that the length counts by.
   * @param lastLone Types up to this one are a byte alone, and type 0 ends the options. Default is that there are none.
   */
  constructor(format: string, unit = 1, lastLone = -1) {
    this.format = format;
    this.unit = unit;
    this.lastLone = lastLone;
  }

  /** @throws CodecError if `offset` to `end` is no range of `bytes`. */
  start(bytes: Uint8Array, offset: number, end: number): this {
    if (!inside(bytes, offset, end, 0)) throw refusal(this.format, bytes, offset, end, 0);
    this.bytes = bytes;
    this.nextOffset = offset;
    this.end = end;
    return this;
  }

  /**
   * Steps to the next option; false behind the last. The `end` (0) of IPv4 is an option too, and always the last.
   *
   * @throws CodecError if an option's length is too small for itself or runs past what it is in.
   */
  next(): boolean {
    const { bytes, end } = this;
    const offset = this.nextOffset;
    if (offset >= end) return false;
    const type = bytes[offset]!;
    this.type = type;
    this.offset = offset;
    if (type <= this.lastLone) {
      this.dataOffset = offset + 1;
      this.dataEnd = offset + 1;
      this.nextOffset = type === 0 ? end : offset + 1;
      return true;
    }
    const length = offset + 1 < end ? bytes[offset + 1]! * this.unit : 0;
    if (length < 2 || offset + length > end)
      throw this.malformed(offset, `option ${type} has a length of ${length}`);
    this.dataOffset = offset + 2;
    this.dataEnd = offset + length;
    this.nextOffset = offset + length;
    return true;
  }

  /** The error for an option; nothing behind it is walked. */
  protected malformed(offset: number, problem: string): CodecError {
    this.nextOffset = this.end;
    return new CodecError(this.format, offset, problem);
  }
}
